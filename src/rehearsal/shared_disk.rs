//! SBD's shared disk in a rehearsal: hapair writes nothing to it, so the install ends where it is needed, and says what to type.

use anyhow::{Result, bail};

use super::proof;
use crate::command::{install, print};
use crate::exit;
use crate::journal::Journal;
use crate::node::{At, Cmd, Pair};
use crate::setup::Setup;

/// Installs up to where `disks` are needed, which must be told in words, and prepares them as a person would: with
/// `sbd create` (sbd(8)) on one node. The install behind it goes on from there.
///
/// # Errors
/// When the install does not end there, or a disk can't be prepared.
pub fn prepared(setup: &Setup, pair: &Pair, run: &install::Run<'_>, disks: &[String]) -> Result<()> {
    let outcome = install::run(setup, run)?;
    let said = Journal::last_failure(&setup.state, &setup.answers.cluster)?;
    let Some(failure) = said.filter(|failure| {
        let words = format!("{} {}", failure.what, failure.stderr.join(" "));
        outcome.code == exit::STEP_FAILED && words.contains("is not prepared") && words.contains("create")
    }) else {
        bail!("a shared disk that is not prepared for SBD was not found: exit code {}", outcome.code);
    };
    print(&format!(
        "proof: a disk that SBD does not know is found before the cluster trusts it\n  {}\n",
        failure.stderr.join("\n  ")
    ))?;
    for disk in disks {
        // Four times the usual times: a machine that has no processor for five seconds is not dead here.
        proof::ask(pair, At::First, &Cmd::write(["sbd", "-d", disk, "-1", "20", "-4", "40", "create"]))?;
    }
    Ok(())
}

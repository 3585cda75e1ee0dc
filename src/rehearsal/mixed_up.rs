//! Answers that give each node the BMC of the other one: the BMCs answer, user and password are right, and only the proof of
//! the fencing can tell.

use anyhow::{Result, bail};

use crate::answers::FencingMethod;
use crate::command::{install, print};
use crate::exit;
use crate::journal::Journal;
use crate::setup::Setup;

/// Installs with such answers, on the machines of `setup`, up to the proof of the fencing, which must end it in words.
///
/// # Errors
/// When it does not, or the machines have no BMCs.
pub fn found(setup: &Setup, run: &install::Run<'_>) -> Result<()> {
    let mut answers = setup.answers.clone();
    let FencingMethod::Ipmi { nodes } = &mut answers.fencing.method else {
        bail!("only machines with BMCs can have them mixed up");
    };
    nodes.reverse();
    let mut wrong = Setup::of(answers, setup.places.clone())?;
    wrong.rehearsal = true;
    let outcome = install::run(&wrong, run)?;
    let said = Journal::last_failure(&setup.state, &setup.answers.cluster)?.map(|failure| failure.what);
    let named = |what: &str| what.contains("the fencing device of") || what.contains("both were rebooted");
    match said {
        Some(what) if outcome.code == exit::STEP_FAILED && named(&what) => {
            print(&format!("proof: BMCs that are mixed up are found before any VM is defined\n  {what}\n"))
        }
        other => bail!("BMCs that are mixed up were not found: exit code {}, {other:?}", outcome.code),
    }
}

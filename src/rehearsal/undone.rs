//! `hapair undo` on the throw-away machines, and what must be so behind it.

use anyhow::{Context, Result, bail};

use super::lab::Lab;
use super::proof;
use crate::cancel::Cancel;
use crate::cli::RehearseArgs;
use crate::command::{install, print, undo};
use crate::exit;
use crate::node::{At, Cmd, Pair};
use crate::setup::Setup;

/// Takes everything back, sees that the data stay, installs again and proves it again; gives the exit code.
///
/// # Errors
/// When a proof fails.
pub fn proved(args: &RehearseArgs, lab: &mut dyn Lab, setup: &Setup, pair: &Pair, cancel: &Cancel) -> Result<u8> {
    let file = format!("{}/.kept-by-undo", setup.answers.storage.mount);
    proof::ask(pair, At::First, &Cmd::write_sh("echo kept >\"$1\" && sync", [file.clone()]))?;
    let options = undo::Options {
        until: None,
        confirm: Some(setup.answers.cluster.clone()),
        format: args.format,
        cancel,
        resume: "hapair rehearse (a rehearsal always begins anew)".to_owned(),
    };
    let back = undo::run(setup, &options)?;
    if back.code != exit::DONE {
        return Ok(back.code);
    }
    let script = "! pidof corosync pacemakerd >/dev/null && ! grep -q ' ocfs2 rw' /proc/mounts && ! grep -q 'cs:Connected' /proc/drbd \
                  && [ ! -e /etc/ocfs2/cluster.conf ] && [ ! -e /etc/drbd.d/hapair.res ]";
    for at in At::BOTH {
        proof::ask(pair, at, &Cmd::read_sh(script, [] as [&str; 0]))
            .with_context(|| format!("{} after undo", pair.at(at).name))?;
    }
    let again = undo::run(setup, &options)?;
    if again.changed > 0 {
        bail!("a second undo took back {} things: there must be nothing left", again.changed);
    }
    let run = install::Run {
        command: "install (after undo)".to_owned(),
        steps: None,
        with_needs: false,
        continue_after_reboot: false,
        format: args.format,
        cancel,
        resume: options.resume.clone(),
    };
    let third = install::run(setup, &run)?;
    if third.code != exit::DONE {
        return Ok(third.code);
    }
    for at in At::BOTH {
        if proof::ask(pair, at, &Cmd::read(["cat", &file]))?.trim() != "kept" {
            bail!("{}: {file} is not what was written before undo", pair.at(at).name);
        }
    }
    proof::state(&proof::Stage { lab, setup, pair, cancel })?;
    print(&format!(
        "proof: undo took back {} things, a second one none; an install made the pair again, with its data\n",
        back.changed
    ))?;
    Ok(exit::DONE)
}

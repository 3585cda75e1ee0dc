//! `hapair undo` on the throw-away machines, and what must be so behind it.

use anyhow::{Context, Result, bail};

use super::lab::Lab;
use super::matrix::{self, Work};
use super::proof;
use crate::cancel::Cancel;
use crate::cli::{Harm, RehearseArgs};
use crate::command::{install, print, undo};
use crate::exit;
use crate::node::{At, Cmd, Pair};
use crate::setup::Setup;

/// Everything, without a question: the machines are nobody's.
pub fn options<'a>(args: &RehearseArgs, setup: &Setup, cancel: &'a Cancel) -> undo::Options<'a> {
    undo::Options {
        until: None,
        confirm: Some(setup.answers.cluster.clone()),
        format: args.format,
        cancel,
        resume: "hapair rehearse (a rehearsal always begins anew)".to_owned(),
    }
}

/// Takes everything back, sees that the data stay, installs again and proves it again; gives the exit code.
///
/// # Errors
/// When a proof fails.
pub fn proved(args: &RehearseArgs, lab: &mut dyn Lab, setup: &Setup, pair: &Pair, cancel: &Cancel) -> Result<u8> {
    let file = format!("{}/.kept-by-undo", setup.answers.storage.mount);
    proof::ask(pair, At::First, &Cmd::write_sh("echo kept >\"$1\" && sync", [file.clone()]))?;
    let options = options(args, setup, cancel);
    let count = if matches!(args.harm, Some(Harm::KillSteps | Harm::KillActions)) {
        // In each step is enough: what its actions are on the way is seen at every event on simulated nodes.
        let count =
            matrix::run(&mut proof::Stage { lab: &mut *lab, setup, pair, cancel }, Harm::KillSteps, &[], Work::Undo)?;
        for at in At::BOTH {
            pair.at(at).transport.reset();
        }
        count
    } else {
        let back = undo::run(setup, &options)?;
        if back.code != exit::DONE {
            return Ok(back.code);
        }
        back.changed
    };
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
        "proof: undo took back {count} things, a second one none; an install made the pair again, with its data\n"
    ))?;
    Ok(exit::DONE)
}

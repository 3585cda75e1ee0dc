//! A machine as a process: started, watched and ended with all that belongs to it.

// What is started here outlives the call and is ended by its process number, which duct's handle doesn't do.
#![allow(clippy::disallowed_methods)]

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A running machine. It's process 1 of a process namespace of its own: each process inside the machine is one of the
/// host's too, and all of them end with the first.
#[derive(Debug)]
pub(super) struct Process {
    /// `unshare`, which waits for the machine.
    keeper: Child,
}

impl Process {
    /// Starts User-Mode Linux with these kernel arguments. What it needs to keep in files it keeps in `folder`, which has
    /// to be in memory: the machine's memory is there.
    pub(super) fn start(arguments: &[String], folder: &Path, console: &Path) -> Result<Process> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(console)
            .with_context(|| format!("open {}", console.display()))?;
        let errors = log.try_clone().context("open the console's file twice")?;
        let keeper = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "linux.uml"])
            .args(arguments)
            .env("PATH", super::tools::path())
            // It writes its control socket to $HOME and the machine's memory to $TMPDIR.
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // The terminal's interrupt is for hapair, which then decides.
            .process_group(0)
            .spawn()
            .context("start a machine with `unshare linux.uml`; is user-mode-linux installed?")?;
        Ok(Process { keeper })
    }

    /// Whether it runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.keeper.try_wait(), Ok(None))
    }

    /// Ends it at once, and returns when nothing of it is left, so that its disks are free.
    pub(super) fn end(&mut self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        // The machine and not its keeper: the keeper's end is then the sign that the kernel has ended all the rest.
        match machine(self.keeper.id()) {
            Some(pid) => kill_process(pid, Signal::KILL).context("end a machine")?,
            // Not started yet: the keeper alone is all there is, and --kill-child does the rest.
            None => self.keeper.kill().context("end a machine that was just being started")?,
        }
        self.keeper.wait().context("wait for a machine's end")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to hear about a failure, and the namespace's end does it again.
        let _ = self.end();
    }
}

/// The keeper's only child.
fn machine(keeper: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(super::namespace::child(keeper)?).ok()?)
}

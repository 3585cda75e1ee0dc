//! A machine as a process: QEMU, which must not outlive hapair however that ends.

// An emulator is started and ended here, which is no node's work.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use duct::Handle;

use super::super::command::last_lines;

/// A started machine.
#[derive(Debug)]
pub(super) struct Process {
    handle: Arc<Handle>,
}

impl Process {
    /// Starts QEMU; what it says goes to the file `log`.
    pub(super) fn start(qemu: &Path, arguments: &[String], log: &Path) -> Result<Process> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        // The kernel ends the process with the thread that started it, so that thread does nothing else: even when
        // hapair is killed, no machine is left. It is a thread and not hapair's main one because callers come and go.
        let words: Vec<_> = ["--pdeathsig".into(), "KILL".into(), "--".into(), qemu.as_os_str().to_owned()]
            .into_iter()
            .chain(arguments.iter().map(Into::into))
            .collect();
        let errors = file.try_clone().context("open QEMU's log twice")?;
        let expression =
            duct::cmd("setpriv", words).stdin_null().stdout_file(file).stderr_file(errors).unchecked().before_spawn(
                |command| {
                    use std::os::unix::process::CommandExt as _;
                    // The terminal's interrupt is for hapair, which then decides.
                    command.process_group(0);
                    Ok(())
                },
            );
        let (tell, told) = mpsc::channel();
        thread::Builder::new()
            .name("machine".to_owned())
            .spawn(move || match expression.start() {
                Ok(handle) => {
                    let handle = Arc::new(handle);
                    let _ = tell.send(Ok(Arc::clone(&handle)));
                    let _ = handle.wait();
                }
                Err(error) => drop(tell.send(Err(error))),
            })
            .context("start a thread for a machine")?;
        let handle =
            told.recv().context("hear from a machine's thread")?.context("start `setpriv qemu-system-x86_64`")?;
        Ok(Process { handle })
    }

    /// Whether it runs.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.handle.try_wait(), Ok(None))
    }

    /// Ends it at once and returns when it's gone, so that its disk and its ports are free.
    pub(super) fn end(&self) -> Result<()> {
        if self.is_running() {
            self.handle.kill().context("end a machine's QEMU")?;
            self.handle.wait().context("wait for the end of a machine's QEMU")?;
        }
        Ok(())
    }

    /// Why it ended, in an error with what it said last.
    pub(super) fn complaint(log: &Path) -> anyhow::Error {
        let said = fs::read_to_string(log).unwrap_or_default();
        anyhow!("QEMU ended right after its start; it said:\n{}", last_lines(&said, 8))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to hear about a failure; the kernel does it again when the thread ends.
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn outlives_the_thread_that_asked_for_it_and_ends_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = thread::spawn(move || Process::start(Path::new("sleep"), &["60".to_owned()], &log).unwrap())
            .join()
            .unwrap();
        thread::sleep(Duration::from_millis(200));
        assert!(process.is_running());
        process.end().unwrap();
        assert!(!process.is_running());
    }

    #[test]
    fn what_it_said_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = Process::start(Path::new("ls"), &["/no/such/file".to_owned()], &log).unwrap();
        while process.is_running() {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(Process::complaint(&log).to_string().contains("/no/such/file"));
    }
}

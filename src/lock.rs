//! One run at a time: a lock on the state folder. It names its owner; the system lets go of it when the owner ends.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, test_kill_process};

/// How long the lock of a process that has ended may outlive it. What it was just starting has the lock for a moment too, from
/// fork() to exec(): on a busy machine, or for a kill in that very moment, that is seen (flock(2)).
const AFTERLIFE: Duration = Duration::from_secs(10);

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Another run holds the lock.
#[derive(Debug)]
pub struct Held {
    /// Who: process, host, since when, which command.
    pub owner: String,
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "another run holds the lock: {}; wait for it, or end it", self.owner.trim())
    }
}

impl std::error::Error for Held {}

impl Lock {
    /// Takes the lock of a state folder.
    ///
    /// # Errors
    /// [`Held`] when another process has it; otherwise when the folder can't be written.
    pub fn take(state: &Path, command: &str) -> Result<Self> {
        let path = state.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| {
                format!(
                    "opening the lock {}; see that you may write in this folder (`ls -la {}`), or name another state folder with --state-dir",
                    path.display(),
                    state.display()
                )
            })?;
        let began = Instant::now();
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            file.rewind().and_then(|()| file.read_to_string(&mut owner)).context("reading the lock")?;
            if !ended(&owner) || began.elapsed() > AFTERLIFE {
                return Err(Held { owner }.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let owner = who(command) + "\n";
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(owner.as_bytes()))
            .with_context(|| format!("writing the lock {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

/// Whether the process that is named there runs no more. One of another machine can't be asked.
fn ended(owner: &str) -> bool {
    let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let named = owner.strip_prefix("process ").and_then(|rest| rest.split_once(" on "));
    let Some((number, rest)) = named else { return false };
    let pid = number.parse().ok().and_then(Pid::from_raw);
    rest.starts_with(&format!("{here}, "))
        && pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// This run: process, host, since when, which command.
pub fn who(command: &str) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("process {} on {host}, since {}: hapair {command}", std::process::id(), jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_that_can_not_be_written_is_told_with_what_to_do() {
        let state = tempfile::tempdir().expect("a folder");
        // A mode alone would not keep root out.
        std::fs::create_dir(state.path().join("lock")).expect("a folder");
        let error = Lock::take(state.path(), "install").expect_err("no file");
        assert!(error.downcast_ref::<Held>().is_none());
        let words = format!("{error:#}");
        let begin = format!("opening the lock {}/lock; see that you may write", state.path().display());
        assert!(words.starts_with(&begin) && words.contains("--state-dir: Is a directory"), "{words}");
    }

    #[test]
    fn a_second_run_is_told_who_holds_the_lock() {
        let state = tempfile::tempdir().expect("a folder");
        let first = Lock::take(state.path(), "install").expect("free");
        let error = Lock::take(state.path(), "install").expect_err("held");
        let held = error.downcast_ref::<Held>().expect("held");
        assert!(held.owner.contains(&format!("process {}", std::process::id())), "{}", held.owner);
        drop(first);
        Lock::take(state.path(), "install").expect("free again");
    }

    #[test]
    fn what_a_dead_process_was_just_starting_is_waited_for() {
        let state = tempfile::tempdir().expect("a folder");
        let first = Lock::take(state.path(), "install").expect("free");
        // As if a process that is no more had written it: its number is above all that there are (proc(5), pid_max).
        let path = state.path().join("lock");
        let mine = who("install");
        let (_, rest) = mine.split_once(" on ").expect("its words");
        let dead = format!("process 4194305 on {rest}");
        std::fs::write(&path, &dead).expect("written");
        let held = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(first);
        });
        let began = Instant::now();
        Lock::take(state.path(), "install").expect("free behind it");
        assert!(began.elapsed() >= Duration::from_millis(200));
        held.join().expect("ended");
        // Another machine's process can't be asked for.
        assert!(
            ended(&dead) && !ended(&dead.replace(" on ", " on elsewhere-")) && !ended(&who("install")) && !ended("")
        );
    }
}

//! One private world for a rehearsal: its own users, network, mounts and processes. No root needed, and when hapair
//! ends, however it ends, the kernel ends all that was started in it.

// This starts hapair itself and no command on a node.
#![allow(clippy::disallowed_methods)]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::rehearsal::command;

/// Set inside, so that the inner hapair knows where it is; its value is what [`entrance`] gives.
const MARK: &str = "HAPAIR_NAMESPACE";

/// Exit code of a program that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Starts the rest of its arguments inside. `$$` is what the keeper's process number will be: exec doesn't change it.
const START: &str = r#"export HAPAIR_NAMESPACE="nsenter --target $$ $0"; exec setpriv --pdeathsig KILL unshare "$@""#;

/// Process 1 inside. It gets no signal that it doesn't ask for, so hapair itself must not be process 1; and it reaps what
/// hapair leaves behind. When hapair ends it ends, and with it everything inside.
const FIRST: &str = r#""$0" "$@"; exit $?"#;

/// Whether this process runs inside already.
pub fn inside() -> bool {
    env::var_os(MARK).is_some()
}

/// Inside: the words to put before a command with which somebody outside, in another terminal, runs it inside.
pub fn entrance() -> Option<String> {
    env::var(MARK).ok()
}

/// Runs hapair once more, inside, with these arguments (without the program's name) and these variables besides its own,
/// and returns its exit code.
///
/// This outer process stays. What ends it ends the inside as well, even a kill. Ctrl-C reaches the inner hapair from the
/// terminal and SIGTERM is handed on to it, so that it can finish in order; the second of either ends all at once.
///
/// # Errors
/// When the host doesn't allow such a namespace, with what to do about it.
pub fn enter_namespace(arguments: &[OsString], variables: &[(&str, &OsStr)]) -> Result<i32> {
    let myself = env::current_exe().context("find hapair's own program file")?;
    let root = rustix::process::geteuid().is_root();
    let (user, door) = if root {
        (&[][..], "--net --mount")
    } else {
        (&["--user", "--map-root-user"][..], "--user --preserve-credentials --net --mount")
    };
    let flags: Vec<&str> = [user, &["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]].concat();
    allowed(&flags)?;
    let words = ["-c", START, door].into_iter().chain(flags).chain(["sh", "-c", FIRST]).map(OsString::from);
    let words: Vec<OsString> = words.chain([myself.into_os_string()]).chain(arguments.iter().cloned()).collect();
    let mut inner = duct::cmd("sh", words).env("PATH", super::tools::path()).unchecked();
    for (name, value) in variables {
        inner = inner.env(name, value);
    }
    let keeper = hand_on()?;
    let handle = inner.start().context("start hapair in a namespace of its own with setpriv and unshare")?;
    // The listener lives as long as this process; if it's gone there is nobody to tell.
    let _ = keeper.send(handle.pids().first().copied().unwrap_or_default());
    let output = handle.wait().context("wait for hapair in its namespace")?;
    // By a signal: as the shell would say it after a kill.
    Ok(output.status.code().unwrap_or(128 + 9))
}

/// Tries it with a command that does nothing, to say clearly what's wrong if that fails.
fn allowed(flags: &[&str]) -> Result<()> {
    let words: Vec<&str> = flags.iter().copied().chain(["true"]).collect();
    let Err(error) = command::run("try a namespace", "unshare", &words) else { return Ok(()) };
    bail!(
        "{error:#}\nThis system doesn't let you make a namespace of your own. Either start the rehearsal as root, or let \
         users do it (as root):\n  sysctl kernel.unprivileged_userns_clone=1    (if there is such a setting)\n  sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0    (on Ubuntu)\nIn a container, the container itself must be \
         allowed to."
    );
}

/// From now on, the first Ctrl-C or SIGTERM doesn't end this process. Wants to be told the keeper's process number.
fn hand_on() -> Result<mpsc::Sender<u32>> {
    let (told, keeper) = mpsc::channel::<u32>();
    let (ready, listening) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("listen for signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let streams =
                    signal(SignalKind::interrupt()).and_then(|first| Ok((first, signal(SignalKind::terminate())?)));
                let (mut interrupt, mut terminate) = match streams {
                    Ok(streams) => streams,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                if ready.send(Ok(())).is_err() {
                    return;
                }
                let mut earlier = false;
                loop {
                    let hand = tokio::select! {
                        // The terminal has sent it to the inner hapair too.
                        _ = interrupt.recv() => false,
                        _ = terminate.recv() => true,
                    };
                    if earlier {
                        std::process::exit(INTERRUPTED);
                    }
                    earlier = true;
                    if let (true, Ok(pid)) = (hand, keeper.recv()) {
                        // Keeper, process 1 inside, hapair. If it can't be told, a second SIGTERM ends all.
                        let _ = child(pid)
                            .and_then(child)
                            .and_then(|pid| i32::try_from(pid).ok())
                            .and_then(Pid::from_raw)
                            .map(|pid| kill_process(pid, Signal::TERM));
                    }
                }
            });
        })
        .context("start a thread that listens for signals")?;
    listening
        .recv()
        .map_err(|_| anyhow!("the thread that listens for signals has ended"))?
        .context("listen for signals")?;
    Ok(told)
}

/// Number of a process's first child.
pub(super) fn child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

//! The wrapper around every command, shared by [`super::ssh`] and [`super::local`].
//!
//! SSH loses the output of a command that ends with 127 or by a signal, and cannot tell a broken
//! connection from either. So the exit code comes back in band, on standard error, behind a word
//! that no other call uses; without it, nothing is known of the command. Standard output ends with
//! the same word: then it is complete, even while a daemon that the command started holds it open.
//! Both begin with it too: what a login shell's start-up files print belongs to nobody.

use std::time::Duration;

use super::{Cmd, Effect, Lost, Output, quote};
use crate::random;

/// How a command is ended on the node when its time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limit {
    /// `timeout -k 10 SECS`: what ignores SIGTERM is killed ten seconds later.
    #[default]
    CoreutilsKill,
    /// `timeout SECS`: coreutils before 8.5 know no `-k`.
    Plain,
    /// Not at all: there is no `timeout`. The caller gives up waiting, the command runs on.
    None,
}

impl Limit {
    fn prefix(self, limit: Duration) -> Vec<String> {
        // `timeout 0` would be no limit.
        let secs = (limit.as_secs() + u64::from(limit.subsec_nanos() > 0)).max(1).to_string();
        match self {
            Limit::CoreutilsKill => vec!["timeout".to_owned(), "-k".to_owned(), "10".to_owned(), secs],
            Limit::Plain => vec!["timeout".to_owned(), secs],
            Limit::None => Vec::new(),
        }
    }
}

/// `printf` is built into the shell: the frame costs no fork. Where there is no `timeout` at all (coreutils before 7.0),
/// the words before `env` are left out: then only the caller gives up waiting.
const SCRIPT: &str = concat!(
    r#"n=$1; shift; case $1 in timeout) command -v timeout >/dev/null || while [ "$1" != env ]; do shift; done;; esac; "#,
    r#"printf "%s<\n" "$n"; printf "%s<\n" "$n" >&2; "$@"; c=$?; "#,
    r#"printf "\n%s .\n" "$n"; printf "\n%s %d\n" "$n" "$c" >&2"#,
);

/// How the wrapper of a write calls itself: so a later run sees in the node's list of processes what an earlier one, which was
/// ended, has still at work there (`src/record/read.sh`).
pub const ORDER: &str = "hapair-order";

/// A command in its wrapper.
#[derive(Debug)]
pub struct Wrapped {
    nonce: String,
    argv: Vec<String>,
    limit: Duration,
}

impl Wrapped {
    /// Wraps it; with `sudo`, the whole runs as root.
    ///
    /// # Errors
    /// [`Lost::Refused`] for what cannot run at all.
    pub fn new(cmd: &Cmd, limit: Limit, sudo: bool) -> Result<Self, Lost> {
        cmd.is_runnable()?;
        let nonce = random::hex::<16>().map_err(|error| Lost::Refused(error.to_string()))?;
        Ok(Self::with_nonce(cmd, limit, sudo, nonce))
    }

    fn with_nonce(cmd: &Cmd, limit: Limit, sudo: bool, nonce: String) -> Self {
        let mut argv: Vec<String> = Vec::new();
        if sudo {
            argv.extend(["sudo", "-n"].map(str::to_owned));
        }
        let name = if cmd.effect == Effect::Write { ORDER } else { "sh" };
        argv.extend(["sh", "-c", SCRIPT, name, &nonce].map(str::to_owned));
        argv.extend(limit.prefix(cmd.timeout));
        // Programs speak English to us, whatever the node's language. `env` also makes sure that
        // a program is meant and not a builtin of the shell.
        argv.extend(["env", "LC_ALL=C"].map(str::to_owned));
        argv.extend(cmd.argv.iter().cloned());
        Self { nonce, argv, limit: cmd.timeout }
    }

    /// Program and arguments.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// The same as a line for a shell.
    pub fn line(&self) -> String {
        quote::line(&self.argv)
    }

    /// What stands before the output, and how the line behind it begins.
    pub(super) fn frame(&self) -> (String, String) {
        (format!("{}<", self.nonce), format!("{} ", self.nonce))
    }

    /// A place for one of its two streams.
    pub(super) fn stream(&self) -> Stream {
        let begin = format!("{}<\n", self.nonce).into_bytes();
        let end = format!("\n{} ", self.nonce).into_bytes();
        Stream { begin, end, bytes: Vec::new(), seen: 0 }
    }

    /// What the command gave, taken out of its frame; `took` is how long it ran.
    ///
    /// # Errors
    /// [`Lost::Sudo`] when sudo refused or is not there, [`Lost::Dropped`] when the frame is not complete.
    pub(super) fn open(&self, stdout: Stream, stderr: Stream, took: Duration) -> Result<Output, Lost> {
        let code = stderr.word().and_then(|word| word.parse().ok());
        let (Some(mut code), true) = (code, stdout.word().is_some()) else {
            return Err(missing(&stderr.bytes));
        };
        // What ignored SIGTERM was killed, and `timeout` died with it.
        if code == 137 && took >= self.limit {
            code = Output::LATE;
        }
        Ok(Output { code, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() })
    }
}

fn missing(stderr: &[u8]) -> Lost {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    let refused = |line: &str| line.starts_with("sudo: ") || line.contains("not in the sudoers file");
    if text.lines().any(refused) {
        let hint = if text.contains("tty") {
            "take `requiretty` out of its sudoers file"
        } else {
            "allow this user NOPASSWD in its sudoers file, or log in as root"
        };
        return Lost::Sudo(format!("{text}; {hint}"));
    }
    // A fresh Debian whose root has a password has no sudo; which words say so depends on the login's shell.
    if text.lines().any(|line| line.contains("sudo: not found") || line.contains("sudo: command not found")) {
        return Lost::Sudo(format!("{text}; install the package sudo there, or log in as root"));
    }
    let last = text.lines().last().unwrap_or_default();
    let said = if last.is_empty() { String::new() } else { format!("; the last it said: {last}") };
    Lost::Dropped(format!("the command did not report its end{said}"))
}

/// One stream of a wrapped command, as it comes in.
#[derive(Debug)]
pub(super) struct Stream {
    begin: Vec<u8>,
    end: Vec<u8>,
    bytes: Vec<u8>,
    seen: usize,
}

impl Stream {
    /// Adds what was read; true once the frame is closed.
    pub(super) fn push(&mut self, read: &[u8]) -> bool {
        self.bytes.extend_from_slice(read);
        if self.closed().is_some() {
            return true;
        }
        // The mark may be in two pieces: its beginning is looked at again.
        self.seen = self.bytes.len().saturating_sub(self.end.len() + 16);
        false
    }

    /// Where the end of the frame begins, where its word begins and ends.
    fn closed(&self) -> Option<(usize, usize, usize)> {
        let start = self.seen + find(self.bytes.get(self.seen..)?, &self.end)?;
        let word = start + self.end.len();
        let len = self.bytes[word..].iter().position(|b| *b == b'\n')?;
        Some((start, word, word + len))
    }

    fn word(&self) -> Option<&str> {
        let (_, start, end) = self.closed()?;
        std::str::from_utf8(&self.bytes[start..end]).ok()
    }

    /// Without the frame. What a daemon said after it belongs to the command.
    fn into_bytes(mut self) -> Vec<u8> {
        if let Some((start, _, end)) = self.closed() {
            self.bytes.drain(start..=end);
        }
        if let Some(start) = find(&self.bytes, &self.begin) {
            self.bytes.drain(..start + self.begin.len());
        }
        self.bytes
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wrapped(cmd: &Cmd, limit: Limit, sudo: bool) -> Wrapped {
        Wrapped::with_nonce(cmd, limit, sudo, "NONCE".to_owned())
    }

    fn open(stdout: &[u8], stderr: &[u8], took: u64) -> Result<Output, Lost> {
        let wrapped = wrapped(&Cmd::read(["x"]), Limit::None, false);
        let (mut out, mut err) = (wrapped.stream(), wrapped.stream());
        // In the smallest pieces there are.
        for byte in stdout {
            out.push(&[*byte]);
        }
        for byte in stderr {
            err.push(&[*byte]);
        }
        wrapped.open(out, err, Duration::from_secs(took))
    }

    #[test]
    fn the_prefix_is_the_platforms() {
        let cmd = Cmd::read(["ls", "a b"]).timeout(Duration::from_millis(1500));
        let tail = |limit, sudo| {
            let line = wrapped(&cmd, limit, sudo).line();
            let (head, tail) = line.split_once(" sh NONCE ").unwrap();
            (head.starts_with("sudo -n sh -c 'n=$1;"), tail.to_owned())
        };
        assert_eq!(tail(Limit::CoreutilsKill, false), (false, "timeout -k 10 2 env LC_ALL=C ls 'a b'".into()));
        assert_eq!(tail(Limit::Plain, true), (true, "timeout 2 env LC_ALL=C ls 'a b'".into()));
        assert_eq!(tail(Limit::None, false), (false, "env LC_ALL=C ls 'a b'".into()));
        let zero = wrapped(&cmd.clone().timeout(Duration::ZERO), Limit::Plain, false);
        assert!(zero.argv().contains(&"1".to_owned()));
    }

    #[test]
    fn the_frame_is_taken_off_exactly() {
        let out = open(b"NONCE<\n\0\xff\nNONCE .\n", b"NONCE<\noops\n\nNONCE 127\n", 0).unwrap();
        assert_eq!(out, Output { code: 127, stdout: b"\0\xff".to_vec(), stderr: b"oops\n".to_vec() });
        let out = open(b"NONCE<\n\nNONCE .\nlater", b"NONCE<\n\nNONCE 255\nlater", 0).unwrap();
        assert_eq!(out, Output { code: 255, stdout: b"later".to_vec(), stderr: b"later".to_vec() });
        let out = open(b"NONCE<\nx NONCE .\n\nNONCE<\n\nNONCE .\n", b"NONCE<\n\nNONC\nNONCE 0\n", 0).unwrap();
        assert_eq!((out.text(), out.errors()), ("x NONCE .\n\nNONCE<\n".into(), "\nNONC".into()));
        let out = open(b"Welcome!\nNONCE<\nx\nNONCE .\n", b"rc: noNONCE<\ny\nNONCE 0\n", 0).unwrap();
        assert_eq!((out.text(), out.errors()), ("x".into(), "y".into()));
    }

    #[test]
    fn killed_when_its_time_was_up_is_124() {
        assert_eq!(open(b"\nNONCE .\n", b"\nNONCE 137\n", 59).unwrap().code, 137);
        assert_eq!(open(b"\nNONCE .\n", b"\nNONCE 137\n", 70).unwrap().code, 124);
    }

    #[test]
    fn without_its_end_nothing_is_known() {
        let dropped = |out: &[u8], err: &[u8]| matches!(open(out, err, 0), Err(Lost::Dropped(_)));
        assert!(dropped(b"", b""));
        assert!(dropped(b"abc", b"\nNONCE 0\n"));
        assert!(dropped(b"\nNONCE .\n", b"\nNONCE 0"));
        assert!(dropped(b"\nNONCE .\n", b"\nNONCE x\n"));
        let Err(Lost::Sudo(why)) = open(b"", b"sudo: a password is required\n", 0) else { panic!() };
        assert!(why.contains("NOPASSWD"));
        let Err(Lost::Sudo(why)) = open(b"", b"sudo: sorry, you must have a tty to run sudo\n", 0) else { panic!() };
        assert!(why.contains("requiretty"));
        for none in ["sh: 1: sudo: not found\n", "bash: line 1: sudo: command not found\n"] {
            let Err(Lost::Sudo(why)) = open(b"", none.as_bytes(), 127) else { panic!() };
            assert!(why.contains("install the package sudo"));
        }
    }
}

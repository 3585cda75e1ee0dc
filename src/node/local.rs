//! This machine as a node, and the plain local programs that the node layer needs.

use std::ffi::OsString;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use super::wrap::{Limit, Wrapped};
use super::{Cmd, Lost, Output, Transport};

/// How much longer than the command's own limit we wait before we give up on it.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// Runs commands on this machine.
#[derive(Debug, Default)]
pub struct Local {
    limit: Limit,
    sudo: bool,
}

impl Local {
    /// This machine as the user we are.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another way to end what takes too long.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    /// As root, through `sudo -n`.
    #[must_use]
    pub fn sudo(mut self, sudo: bool) -> Self {
        self.sudo = sudo;
        self
    }
}

impl Transport for Local {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        let wrapped = Wrapped::new(cmd, self.limit, self.sudo)?;
        let start = Instant::now();
        let raw = run(wrapped.argv(), &cmd.stdin, cmd.timeout + GRACE)
            .map_err(|e| Lost::Unreachable(format!("sh does not start: {e}")))?
            .ok_or_else(|| Lost::Dropped(format!("no end after {} s", (cmd.timeout + GRACE).as_secs())))?;
        let (mut out, mut err) = (wrapped.stream(), wrapped.stream());
        out.push(&raw.stdout);
        err.push(&raw.stderr);
        wrapped.open(out, err, start.elapsed())
    }
}

/// Runs a program on this machine as it is; `None` when it took too long and was killed.
///
/// It is in a process group of its own, so Ctrl-C at our terminal does not reach it. Its output goes
/// to files without a name: a daemon that holds a pipe open could keep us waiting for ever.
// Here processes are started; everywhere else clippy refuses it.
#[allow(clippy::disallowed_methods)]
pub(super) fn run<S: Into<OsString> + Clone>(words: &[S], stdin: &[u8], limit: Duration) -> io::Result<Option<Output>> {
    let [program, args @ ..] = words else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let (mut stdout, mut stderr) = (nameless()?, nameless()?);
    let program: OsString = program.clone().into();
    let mut run = duct::cmd(program, args.iter().cloned())
        .stdout_file(stdout.try_clone()?)
        .stderr_file(stderr.try_clone()?)
        .unchecked()
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        });
    // An empty input needs no thread to write it.
    run = if stdin.is_empty() { run.stdin_null() } else { run.stdin_bytes(stdin) };
    let handle = run.start()?;
    let Some(status) = handle.wait_timeout(limit)?.map(|done| done.status) else {
        handle.kill()?;
        return Ok(None);
    };
    let mut output = Output { code: code(status), ..Output::default() };
    stdout.rewind()?;
    stdout.read_to_end(&mut output.stdout)?;
    stderr.rewind()?;
    stderr.read_to_end(&mut output.stderr)?;
    Ok(Some(output))
}

/// Appended to, so that a program that opens `/dev/stderr` anew leaves no hole in it.
fn nameless() -> io::Result<std::fs::File> {
    Ok(tempfile::Builder::new().append(true).tempfile()?.into_file())
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_exit_code_comes_with_its_output() {
        for code in [0, 3, 124, 126, 127, 137, 255] {
            let cmd = Cmd::read_sh("printf out; printf err >&2; exit $1", [code.to_string()]);
            let out = Local::new().exec(&cmd).unwrap();
            assert_eq!((out.code, out.line(), out.errors()), (code, "out".into(), "err".into()));
        }
        let out = Local::new().exec(&Cmd::read(["no-such-program"])).unwrap();
        assert_eq!(out.code, 127);
        assert!(out.errors().contains("no-such-program"));
    }

    #[test]
    fn a_megabyte_goes_in_and_out() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_048_576).collect();
        let out = Local::new().exec(&Cmd::read_sh("tee /dev/stderr", [""; 0]).stdin(bytes.clone())).unwrap();
        assert!(out.stdout == bytes && out.stderr == bytes);
        // What is not read does no harm.
        assert!(Local::new().exec(&Cmd::read(["true"]).stdin(bytes)).unwrap().ok());
    }

    #[test]
    fn time_is_up_on_the_node() {
        let second = Duration::from_secs(1);
        for limit in [Limit::CoreutilsKill, Limit::Plain] {
            let out = Local::new().limit(limit).exec(&Cmd::read(["sleep", "20"]).timeout(second)).unwrap();
            assert_eq!(out.code, 124);
        }
        let none = Local::new().limit(Limit::None);
        assert!(none.exec(&Cmd::read(["exit", "4"]).timeout(second)).unwrap().code == 127);
        assert_eq!(run(&["sleep", "20"], b"", second).unwrap(), None);
    }

    #[test]
    fn a_daemon_that_keeps_its_output_open_does_not_hold_us_up() {
        let start = Instant::now();
        let out = Local::new().exec(&Cmd::read_sh("sleep 5 & echo started", [""; 0])).unwrap();
        assert_eq!(out.line(), "started");
        assert!(start.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn it_speaks_english_and_batches() {
        let reads = [Cmd::read_sh("echo $LC_ALL", [""; 0]), Cmd::read(["false"])];
        let outs = Local::new().exec_all(&reads).unwrap();
        assert_eq!((outs[0].line(), outs[1].code), ("C".to_owned(), 1));
    }
}

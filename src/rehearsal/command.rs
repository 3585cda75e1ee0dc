//! Runs the host's programs for the lab, with errors that a reader can act on.

// The lab's own programs run on this host and never on a node, so there is no transport for them to go through.
#![allow(clippy::disallowed_methods)]

use std::ffi::OsStr;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

/// How many of a failed command's last lines are shown.
const LAST_LINES: usize = 8;

/// Runs a program and returns what it wrote to standard output. `doing` says what for ("unpack the root tree").
///
/// # Errors
/// When it can't be started or exits with something else than 0: with the command, its exit code and its last lines.
pub fn run<S: AsRef<OsStr>>(doing: &str, program: &str, arguments: &[S]) -> Result<String> {
    run_with_input(doing, program, arguments, &[])
}

/// Like [`run`], with bytes for the program's standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input<S: AsRef<OsStr>>(doing: &str, program: &str, arguments: &[S], input: &[u8]) -> Result<String> {
    let words: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    let output = duct::cmd(program, &words)
        .stdin_bytes(input)
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        // Messages are read by people and sometimes by us; the language must not depend on who runs it.
        .env("LC_ALL", "C.UTF-8")
        .run()
        .with_context(|| format!("{doing}: can't start {program} (is it installed, and in PATH?)"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut line = program.to_owned();
    for word in &words {
        let _ = write!(line, " {}", word.to_string_lossy());
    }
    // mmdebstrap and apt explain themselves on standard error, dpkg-like tools sometimes on standard output.
    let told = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    bail!(
        "{doing}: this command failed ({}):\n  {line}\n{}",
        output.status,
        last_lines(&String::from_utf8_lossy(told), LAST_LINES)
    );
}

/// The last lines of a text, indented for an error message.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut out = String::new();
    for line in &lines[lines.len().saturating_sub(count)..] {
        let _ = writeln!(out, "  | {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_says_what_for_which_and_why() {
        let error = run("look at a test folder", "ls", &["/no/such/folder"]).unwrap_err().to_string();
        assert!(error.contains("look at a test folder"), "{error}");
        assert!(error.contains("ls /no/such/folder"), "{error}");
        assert!(error.contains("| ls:"), "{error}");
    }

    #[test]
    fn the_last_lines_skip_empty_ones() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "  | b\n  | c\n");
    }
}

//! A shell as root of a namespace of its own, where folders of a test stand for those of a node.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use hapair::node::Cmd;

/// Runs what a node would run, behind `prepare`: a script that sees to the mounts, has `arguments` as `$1` and so on, and leaves only
/// the command's words behind them.
pub(crate) fn run(prepare: &str, arguments: &[&OsStr], cmd: &Cmd) -> Output {
    let mut child = Command::new("unshare")
        .args(["-r", "-m", "sh", "-c", &format!("{prepare}\nshift {}\nexec \"$@\"", arguments.len()), "sh"])
        .args(arguments)
        .args(&cmd.argv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs unshare and user namespaces, as the rehearsal does");
    // A script that refuses may not have read it.
    let _ = child.stdin.take().unwrap().write_all(&cmd.stdin);
    child.wait_with_output().unwrap()
}

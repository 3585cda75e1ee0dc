//! The guard matrix: what a device may hold, the three destructive actions, and the answers' consent.
//!
//! Everything in it is real: the contents come from the real mkfs tools, the actions are run by the engine, and their
//! shell text runs on real block devices, with the kernel's DRBD under the file system. For that the test starts a User-Mode
//! Linux kernel on the host's own file system: a machine of its own, so that no device of the host is touched and no
//! privilege is needed. `make guards` prints the table.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "guards/content.rs"]
mod content;
#[path = "guards/machine.rs"]
mod machine;
#[path = "guards/matrix.rs"]
mod matrix;
#[path = "guards/space.rs"]
mod space;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Five minutes on an idle machine of two cores; much more on a busy one.
const LIMIT: Duration = Duration::from_secs(3000);

/// Starts the machine, in which [`inside`] runs.
#[test]
#[ignore = "takes ten minutes: `make guards`"]
fn nothing_is_overwritten_without_consent_that_names_it() {
    let scratch = tempfile::tempdir().unwrap();
    let console = scratch.path().join("console");
    let init = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guards/init.sh");
    let mut machine = Command::new("linux.uml")
        .args(["mem=1280M", "root=none", "rootfstype=hostfs", "rootflags=/", "rw", "con=null", "con0=null,fd:1"])
        .arg(format!("umid=guards{}", std::process::id()))
        .arg(format!("init={}", init.display()))
        .arg(format!("HAPAIR_TEST={}", std::env::current_exe().unwrap().display()))
        // Its control socket goes to $HOME and its memory to $TMPDIR.
        .env("HOME", scratch.path())
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(File::create(&console).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .expect("the guard matrix needs User-Mode Linux: tests/tools test installs it; without it nothing is proved");
    let began = Instant::now();
    while machine.try_wait().unwrap().is_none() {
        if began.elapsed() > LIMIT {
            machine.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let said = String::from_utf8_lossy(&std::fs::read(&console).unwrap()).replace('\r', "");
    let table: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("| ")).collect();
    println!("{}", table.join("\n"));
    assert!(said.contains("guards: exit 0\n"), "the machine said:\n{said}");
    let cells: usize = table.iter().map(|line| line.matches("ok: ").count()).sum();
    assert!(cells >= 13 * 3 * 3, "only {cells} cells were seen");
}

/// What runs in the machine; see tests/guards/init.sh.
#[test]
#[ignore = "runs inside the machine that the other test starts"]
fn inside() {
    assert!(std::env::var_os("HAPAIR_TEST").is_some(), "only inside the machine");
    matrix::all();
}

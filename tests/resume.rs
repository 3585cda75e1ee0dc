//! What a person does to a running install, and what the state folder may be: Ctrl-C, a full disk, no permission, journals
//! of earlier releases. With real processes.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hapair::cancel::Cancel;
use hapair::engine::{Ended, Engine};
use hapair::event::{Event, Sink};
use hapair::exit;
use hapair::journal::{self, Journal};
use hapair::node::local::Local;
use hapair::node::{Node, Pair};
use hapair::plan::{Plan, PlannedAction, PlannedStep};
use hapair::report;
use hapair::step::Step;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const RESUME: &str = "hapair install --answers pair.yaml";
const FOLDER: &str = "HAPAIR_TEST_FOLDER";
const ACTIONS: [&str; 3] = ["one", "two", "three"];

struct Both(Journal, Box<dyn Sink>);

impl Sink for Both {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.0.event(event)?;
        self.1.event(event)
    }
}

/// Each action notes that it began, takes a moment, and leaves a file.
fn plan(folder: &Path) -> Plan {
    let mut yaml = "id: own\ntitle: T\nsection: s\nwhy: w\nactions:\n".to_owned();
    for name in ACTIONS {
        let path = folder.join(name).display().to_string();
        yaml.push_str(&format!(
            "  - command: {{ title: make {name}, scope: pair, run: [sh, -c, 'echo >>\"$1.begun\"; sleep 1; : >\"$1\"', sh, '{path}'], unless: [test, -e, '{path}'] }}\n"
        ));
    }
    let step: Step = serde_yaml::from_str(&yaml).unwrap();
    let actions = step
        .actions
        .iter()
        .map(|entry| PlannedAction { id: "command".to_owned(), instances: [Some(entry.action().unwrap()), None] })
        .collect();
    Plan { steps: vec![PlannedStep { step, skipped: None, actions }], hash: String::new() }
}

/// An install in a process of its own; see below.
#[test]
#[ignore = "only as the child of the tests of Ctrl-C"]
fn child_that_installs() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let pair = Pair(["node1", "node2"].map(|name| Node { name: name.to_owned(), transport: Arc::new(Local::new()) }));
    let (journal, _) = Journal::open(&folder, "x").unwrap();
    let sink = Mutex::new(Both(journal, report::choose_here(report::Format::Text)));
    let cancel = Cancel::listen().unwrap();
    let code = match Engine::new(&pair, &sink, &cancel, RESUME.to_owned()).run(&plan(&folder), None) {
        Ok(Ended::Done { .. }) => exit::DONE,
        Ok(Ended::Interrupted | Ended::Rebooting) => exit::INTERRUPTED,
        Err(failure) => failure.exit,
    };
    std::process::exit(i32::from(code));
}

fn begin(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "child_that_installs"])
        .env(FOLDER, folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

fn is(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}

fn events(folder: &Path) -> Vec<Event> {
    Journal::read(folder, "x").unwrap().into_iter().map(|line| line.event).collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs it to its end, and sees that each action was begun this often.
fn ends(folder: &Path, begun: [usize; 3]) {
    let output = begin(folder).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for (name, times) in ACTIONS.iter().zip(begun) {
        assert!(is(folder, name));
        assert_eq!(fs::read(folder.join(format!("{name}.begun"))).unwrap().len(), times, "{name}");
    }
    let lines = Journal::read(folder, "x").unwrap();
    assert_eq!(journal::unfinished(&lines), None);
}

#[test]
fn ctrl_c_once_finishes_the_running_action_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let child = begin(folder.path());
    until("the first action begins", || is(folder.path(), "one.begun"));
    kill_process_group(pid(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains(RESUME), "{}", said(&output));
    assert!(is(folder.path(), "one") && !is(folder.path(), "two.begun"));
    let events = events(folder.path());
    assert!(events.iter().any(|event| matches!(event, Event::ActionDone { title, .. } if title == "make one")));
    assert!(matches!(events.last(), Some(Event::Interrupted { resume, .. }) if resume == RESUME), "{events:?}");
    ends(folder.path(), [1, 1, 1]);
}

#[test]
fn ctrl_c_twice_leaves_at_once_and_the_next_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = begin(folder.path());
    until("the second action begins", || is(folder.path(), "two.begun"));
    kill_process_group(pid(&child), Signal::INT).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let still = child.try_wait().unwrap().is_none();
    kill_process_group(pid(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(still, "the first press left at once");
    assert!(matches!(events(folder.path()).last(), Some(Event::Command { .. })), "the action was not waited for");
    // What ran on the node goes on; the next run finds it done, or does it again.
    until("the command ends by itself", || is(folder.path(), "two"));
    ends(folder.path(), [1, 1, 1]);
}

#[test]
fn sigkill_in_mid_action_and_the_next_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let child = begin(folder.path());
    until("the second action begins", || is(folder.path(), "two.begun"));
    kill_process(pid(&child), Signal::KILL).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(9));
    let lines = Journal::read(folder.path(), "x").unwrap();
    assert!(matches!(journal::unfinished(&lines), Some(Event::ActionStarting { title, .. }) if title == "make two"));
    until("the command ends by itself", || is(folder.path(), "two"));
    ends(folder.path(), [1, 1, 1]);
}

/// A journal of each format that was ever written, and how many lines it holds.
#[test]
fn journals_of_earlier_formats_are_read_and_continued() {
    for (name, count) in [("journal-1.jsonl", 33), ("journal-2.jsonl", 33)] {
        let state = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        fs::copy(&fixture, state.path().join("journal.jsonl")).unwrap();
        let before = Journal::read(state.path(), "xencluster").unwrap();
        assert_eq!(before.len(), count, "{name}");
        let (mut journal, lines) = Journal::open(state.path(), "xencluster").unwrap();
        assert_eq!(lines, before, "{name}");
        journal.event(&Event::Note { text: "one more".to_owned() }).unwrap();
        let after = Journal::read(state.path(), "xencluster").unwrap();
        assert_eq!(after[..count], before[..], "{name}");
        assert_eq!(after.len(), count + 1, "{name}");
    }
}

fn answers(folder: &Path) -> PathBuf {
    let path = folder.join("pair.yaml");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/tutorial.yaml")).unwrap();
    // Nobody answers there, and at once.
    fs::write(&path, text.replace("192.0.2.1", "127.0.0.1:1").replace("192.0.2.2", "127.0.0.1:2")).unwrap();
    path
}

fn hapair(answers: &Path, state: &Path, wrap: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_hapair");
    let words: Vec<&str> = wrap.iter().copied().chain([program, "install", "--answers"]).collect();
    Command::new(words[0])
        .args(&words[1..])
        .arg(answers)
        .arg("--state-dir")
        .arg(state)
        .env("BMC1_PASSWORD", "x")
        .env("BMC2_PASSWORD", "x")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_state_folder_that_cannot_be_used_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let answers = answers(folder.path());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = hapair(&answers, &file, &[]);
    assert_eq!(output.status.code(), Some(1));
    let words = said(&output);
    assert!(words.contains("state folder") && words.contains("--state-dir"), "{words}");

    let state = folder.path().join("state");
    fs::create_dir_all(state.join("xencluster")).unwrap();
    fs::write(state.join("xencluster/journal.jsonl"), "this is a shopping list\n").unwrap();
    let output = hapair(&answers, &state, &[]);
    assert_eq!(output.status.code(), Some(1));
    let words = said(&output);
    assert!(words.contains("journal.jsonl") && words.contains("first line"), "{words}");
    assert_eq!(fs::read(state.join("xencluster/journal.jsonl")).unwrap(), b"this is a shopping list\n");

    // Root may write anywhere: as somebody else, into a folder of root's.
    if rustix::process::geteuid().is_root() {
        let program = folder.path().join("hapair");
        fs::copy(env!("CARGO_BIN_EXE_hapair"), &program).unwrap();
        for path in [folder.path(), &program] {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(&answers, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--clear-groups"])
            .arg(&program)
            .args(["install", "--answers"])
            .arg(&answers)
            .arg("--state-dir")
            .arg(folder.path().join("denied"))
            .env("BMC1_PASSWORD", "x")
            .env("BMC2_PASSWORD", "x")
            .output()
            .unwrap();
        let words = said(&output);
        assert!(words.contains("Permission denied") && words.contains("--state-dir"), "{words}");
    }
}

/// Runs in a name space of its own, on a disk of 16 KiB; see below.
#[test]
#[ignore = "only as the child of a_full_disk_in_mid_run_loses_nothing"]
fn child_on_a_small_disk() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let (mut journal, _) = Journal::open(&folder, "x").unwrap();
    let note = |number: usize| Event::Note { text: format!("{number} {}", "x".repeat(100)) };
    let mut kept = 0;
    let error = loop {
        match journal.event(&note(kept)) {
            Ok(()) => kept += 1,
            Err(error) => break format!("{error:#}"),
        }
    };
    assert!(error.contains("journal.jsonl") && error.contains("No space left"), "{error}");
    // There is room again, but what was announced is not known to be on the disk: this run is over.
    fs::remove_file(folder.join("ballast")).unwrap();
    assert!(journal.event(&note(kept)).is_err());
    let (mut journal, lines) = Journal::open(&folder, "x").unwrap();
    assert_eq!(lines.len(), kept);
    journal.event(&note(kept)).unwrap();
    assert_eq!(Journal::read(&folder, "x").unwrap().len(), kept + 1);
}

#[test]
fn a_full_disk_in_mid_run_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=16k none \"$1\" && head -c 4096 /dev/zero >\"$1/ballast\" && exec \"$2\" --ignored --exact --nocapture child_on_a_small_disk";
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let words = said(&output);
    assert!(output.status.success() && words.contains("1 passed"), "{words}");
}

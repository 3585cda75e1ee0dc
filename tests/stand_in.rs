//! The agent that stands in for a VM, run as Pacemaker runs it: it must never be on two nodes because one forgot it.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use hapair::template::Templates;

struct Agent {
    folder: tempfile::TempDir,
    script: PathBuf,
}

impl Agent {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = Templates::load(None).unwrap();
        let text = text.render("stand-in/StandIn.tera", &serde_json::json!({ "version": "test" })).unwrap();
        let run = folder.path().join("run");
        std::fs::create_dir_all(&run).unwrap();
        let script = folder.path().join("StandIn");
        std::fs::write(&script, text.replace("/run/hapair", run.to_str().unwrap())).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        Self { folder, script }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn does(&self, action: &str) -> (i32, String) {
        let output = Command::new(&self.script)
            .arg(action)
            .env("OCF_RESOURCE_INSTANCE", "vm01")
            .env("OCF_RESKEY_dir", self.folder.path())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn ended(child: &mut Child) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

fn ticks(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().filter(|line| line.starts_with("tick ")).count()
}

#[test]
fn it_counts_from_its_start_to_its_stop() {
    let agent = Agent::new();
    assert_eq!(agent.does("monitor").0, 7);
    assert_eq!(agent.does("start"), (0, String::new()));
    assert_eq!((agent.does("start").0, agent.does("monitor").0), (0, 0));
    assert!(!agent.path("run/StandIn-vm01.start").exists());
    assert_eq!((agent.does("stop").0, agent.does("monitor").0), (0, 7));
    let count = ticks(&agent.path("ticks"));
    assert!(count >= 1);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(ticks(&agent.path("ticks")), count, "it still counts");
}

#[test]
fn a_start_that_can_not_write_says_so() {
    let agent = Agent::new();
    // What can't be synced is nothing to count on.
    assert!(Command::new("mkfifo").arg(agent.path("ticks")).status().unwrap().success());
    let (code, said) = agent.does("start");
    assert_eq!(code, 1);
    assert!(said.contains("ended before its first tick"), "{said}");
}

/// A start that came to its end while the counter waited for the mount: it would count as soon as it can, here too.
#[test]
fn one_that_still_waits_for_the_mount_runs_and_is_stopped() {
    let agent = Agent::new();
    let mut waiting = Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", waiting.id())).unwrap();
    let began: u64 = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
    let started =
        |began: u64| std::fs::write(agent.path("run/StandIn-vm01.start"), format!("{} {began}\n", waiting.id()));
    // A process that has the same number and began at another time is somebody else's.
    started(began + 1).unwrap();
    assert_eq!((agent.does("monitor").0, agent.does("stop").0), (7, 0));
    assert!(Path::new(&format!("/proc/{}", waiting.id())).exists());
    started(began).unwrap();
    assert_eq!(agent.does("monitor").0, 0);
    // The test is its parent: without this it would live on as a zombie, and the agent would wait for it.
    let reaper = std::thread::spawn(move || ended(&mut waiting));
    assert_eq!(agent.does("stop").0, 0);
    assert!(reaper.join().unwrap());
    assert_eq!(agent.does("monitor").0, 7);
}

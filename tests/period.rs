//! The tutorial's own platform, from two fresh machines to the end, on a stage: what runs there reads like the tutorial.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "period/stage.rs"]
mod stage;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hapair::answers::load::Secrets as Values;
use hapair::cancel::Cancel;
use hapair::engine::{Ended, Engine};
use hapair::event::{Event, Failure, Sink};
use hapair::journal::Journal;
use hapair::node::{Node, Pair};
use hapair::plan::Plan;
use hapair::secrets::Secrets;
use hapair::setup::{Places, Setup};
use hapair::{exit, facts};
use similar::{ChangeTag, TextDiff};
use stage::{Stage, Wire};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn plan() -> Plan {
    let answers = root().join("tests/examples/ubuntu-7.10.yaml");
    let setup = Setup::load(&answers, Places::default(), Values::Leave).unwrap();
    let (platform, found) = setup.offline().unwrap();
    setup.plan(&platform, &found, &Secrets::placeholders()).unwrap()
}

/// The journal, and a heading in what the machines have done.
struct Told {
    journal: Journal,
    stage: Arc<Stage>,
}

impl Sink for Told {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if let Event::StepStarted { step, title, .. } = event {
            self.stage.head(&format!("\n=== {step}: {title}"));
        }
        self.journal.event(event)
    }
}

struct Rig {
    stage: Arc<Stage>,
    cut: Arc<Mutex<Option<(usize, bool)>>>,
    pair: Pair,
    state: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let stage = Stage::new();
        let cut = Arc::default();
        let node =
            |name: &'static str| Node { name: name.to_owned(), transport: Arc::new(Wire::new(&stage, name, &cut)) };
        let pair = Pair(["node1", "node2"].map(node));
        Self { stage, cut, pair, state: tempfile::tempdir().unwrap() }
    }

    fn run(&self, plan: &Plan) -> Result<Ended, Box<Failure>> {
        let (journal, _) = Journal::open(self.state.path(), "test").unwrap();
        let sink: Mutex<Told> = Mutex::new(Told { journal, stage: Arc::clone(&self.stage) });
        let cancel = Cancel::default();
        Engine::new(&self.pair, &sink, &cancel, "hapair install --answers a.yaml".to_owned()).run(plan, None)
    }

    /// How often a command with these words was run on both machines together.
    fn count(&self, words: &str) -> usize {
        ["node1", "node2"].iter().map(|name| self.stage.log(name).matches(words).count()).sum()
    }

    /// What both did; a line of both only once.
    fn transcript(&self) -> String {
        let (first, second) = (self.stage.log("node1"), self.stage.log("node2"));
        let mut text = String::new();
        for change in TextDiff::from_lines(&first, &second).iter_all_changes() {
            let line = change.value();
            let whom = match change.tag() {
                ChangeTag::Equal if line.trim().is_empty() || line.starts_with("===") => "",
                ChangeTag::Equal => "both#  ",
                ChangeTag::Delete => "node1# ",
                ChangeTag::Insert => "node2# ",
            };
            text.push_str(whom);
            text.push_str(line);
        }
        text
    }
}

fn golden(path: &str, now: &str) {
    let path: PathBuf = root().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let then = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(now == then, "{} is another one now:\n{}", path.display(), TextDiff::from_lines(&then, now).unified_diff());
}

#[test]
fn two_fresh_machines_of_2007_become_a_pair() {
    let rig = Rig::new();
    let plan = plan();
    match rig.run(&plan) {
        Ok(Ended::Done { changed }) => assert!(changed > 30, "{changed}"),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => panic!("{failure}\n{}", rig.transcript()),
    }
    golden("tests/period/transcript.txt", &rig.transcript());

    // The facts of a machine without lsblk, systemd and os-release.
    for node in &rig.pair.0 {
        let facts = facts::judge(&node.read_all(&facts::reads()).unwrap()).unwrap();
        assert_eq!((facts.release.as_str(), facts.kernel.release.as_str()), ("Ubuntu 7.10", "2.6.22-14-xen"));
        assert_eq!((facts.hostname.as_str(), facts.kernel.drbd.as_deref()), (node.name.as_str(), Some("8.0.3")));
        assert!(facts.kernel.drbd_loaded);
    }

    let before = rig.transcript();
    let again = rig.run(&plan).unwrap();
    assert_eq!(again, Ended::Done { changed: 0 });
    let only_headings = rig.transcript();
    let after: Vec<&str> = only_headings[before.len()..].lines().filter(|line| line.contains('#')).collect();
    assert_eq!(after, Vec::<&str>::new(), "a second run changed something");
}

#[test]
fn the_offline_script_is_the_tutorial_corrected() {
    let output = assert_cmd::Command::cargo_bin("hapair")
        .unwrap()
        .args(["plan", "--offline", "--format", "sh", "--answers"])
        .arg(root().join("tests/examples/ubuntu-7.10.yaml"))
        .output()
        .unwrap();
    let script = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    golden("tests/period/tutorial.sh", &script);
    for shell in ["dash", "bash"] {
        assert_cmd::Command::new(shell).args(["-n", "tests/period/tutorial.sh"]).current_dir(root()).assert().success();
    }
    // Every command of the page is there, as it should have been.
    for line in [
        "ubuntu-xen-server",
        "m-a --text-mode --non-inter -l",
        "drbdadm -- --force create-md r0",
        "drbdadm -- --overwrite-data-of-peer primary r0",
        "mkfs.ocfs2 -b 4K -C 4K -N 2 -L ocfs2 /dev/drbd0",
        "mount -t ocfs2 -o noatime,_netdev /dev/drbd0 /drbd0",
        "write both /etc/ha.d/authkeys 0600",
        "load.sh load crm_config /root/cluster/bootstrap.xml",
        "update-rc.d mountdrbd.sh start 72 2 3 4 5 . stop 06 0 1 6 .",
    ] {
        assert!(script.contains(line), "{line} is not in the script");
    }
    let longest = script.lines().map(str::len).max().unwrap_or(0);
    assert!(longest < 400, "a line of {longest} characters is not for reading");
}

#[test]
fn cut_again_and_again_it_still_comes_to_the_same_end() {
    let rig = Rig::new();
    let plan = plan();
    let mut runs = 0;
    loop {
        // Now before and now after the write took effect, and never at the same distance.
        *rig.cut.lock().unwrap() = Some((3 + runs % 7, runs % 2 == 1));
        runs += 1;
        assert!(runs < 120, "it does not come to an end\n{}", rig.transcript());
        match rig.run(&plan) {
            Ok(Ended::Done { .. }) => break,
            Ok(other) => panic!("{other:?}"),
            Err(failure) => {
                assert_eq!(failure.exit, exit::UNREACHABLE, "{failure}\n{}", rig.transcript());
                assert_eq!(failure.resume.as_deref(), Some("hapair install --answers a.yaml"));
            }
        }
    }
    assert!(runs > 6, "it was cut only {runs} times");
    // What can't be taken back was done once.
    assert_eq!(rig.count("create-md r0"), 2, "{}", rig.transcript());
    assert_eq!(rig.count("--overwrite-data-of-peer"), 1, "{}", rig.transcript());
    assert_eq!(rig.count("mkfs.ocfs2"), 1, "{}", rig.transcript());
    assert_eq!(rig.count("shutdown -r now"), 2, "{}", rig.transcript());
    *rig.cut.lock().unwrap() = None;
    assert_eq!(rig.run(&plan).unwrap(), Ended::Done { changed: 0 });
    for name in ["node1", "node2"] {
        assert!(rig.stage.file(name, "Proc/drbd").contains("st:Primary/Primary ds:UpToDate/UpToDate"));
    }
}

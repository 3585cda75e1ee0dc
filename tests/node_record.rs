//! The record on a node, written by the very scripts that a node gets: here a shell whose /var/lib is a folder of the test.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use hapair::action::file::{change_whole, write_whole};
use hapair::node::{At, Cmd, Lost, Pair, Transport};
use hapair::record::{self, Claim, Install};
use hapair::rehearsal::mapping;

/// A folder that stands for a node: `lib` is its /var/lib.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        fs::create_dir(node.0.path().join("lib")).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn record(&self, name: &str) -> PathBuf {
        self.0.path().join("lib/hapair").join(name)
    }

    /// Runs a command as root of a namespace of its own.
    fn run(&self, cmd: &Cmd) -> Output {
        let mut child = Command::new("unshare")
            .args(["-r", "-m", "sh", "-c", "mount --bind \"$1\" /var/lib && shift && exec \"$@\"", "sh"])
            .arg(self.path("lib"))
            .args(&cmd.argv)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs unshare and user namespaces, as the rehearsal does");
        child.stdin.take().unwrap().write_all(&cmd.stdin).unwrap();
        child.wait_with_output().unwrap()
    }

    fn write(&self, path: &Path, text: &str) {
        let out = self.run(&write_whole(path.to_str().unwrap(), "0640", "root:root", text.as_bytes().to_vec()));
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(fs::read_to_string(path).unwrap(), text);
    }
}

impl Transport for Node {
    fn exec(&self, cmd: &Cmd) -> Result<hapair::node::Output, Lost> {
        let out = self.run(cmd);
        Ok(hapair::node::Output { code: out.status.code().unwrap(), stdout: out.stdout, stderr: out.stderr })
    }
}

fn key(path: &Path) -> String {
    path.to_str().unwrap().replace('%', "%25").replace('/', "%2F")
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_hapair_did_not_write_is_kept_and_what_it_wrote_is_not() {
    let node = Node::new();
    let path = node.path("a 100% conf");
    fs::write(&path, "theirs\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    node.write(&path, "one\n");
    let backup = node.record("backup").join(key(&path));
    assert_eq!(fs::read_to_string(&backup).unwrap(), "theirs\n");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o7777, 0o604);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    node.write(&path, "two\n");
    assert_eq!(entries(&node.record("changed")), [""; 0], "hapair's own content needs no copy");
    fs::write(&path, "edited by hand\n").unwrap();
    node.write(&path, "three\n");
    fs::write(&path, "edited again\n").unwrap();
    node.write(&path, "four\n");
    let kept = node.record("changed").join(format!("{}.1", key(&path)));
    assert_eq!(fs::read_to_string(kept).unwrap(), "edited by hand\n");
    let kept = node.record("changed").join(format!("{}.2", key(&path)));
    assert_eq!(fs::read_to_string(kept).unwrap(), "edited again\n");
    assert_eq!(fs::read_to_string(&backup).unwrap(), "theirs\n", "what stood there before hapair came stays");
    let sums = fs::read_to_string(node.record("written").join(key(&path))).unwrap();
    assert_eq!(sums.lines().count(), 4);
    let sha = Command::new("sha256sum").arg(&path).output().unwrap();
    assert!(String::from_utf8_lossy(&sha.stdout).starts_with(sums.lines().last().unwrap()));
    assert_eq!(fs::metadata(node.record("")).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn nothing_and_a_link_are_remembered_as_what_they_were() {
    let node = Node::new();
    let new = node.path("new/file");
    node.write(&new, "one\n");
    assert!(node.record("absent").join(key(&new)).exists());
    let link = node.path("link");
    symlink("/nowhere", &link).unwrap();
    node.write(&link, "one\n");
    assert_eq!(fs::read_link(node.record("backup").join(key(&link))).unwrap(), Path::new("/nowhere"));
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
}

#[test]
fn a_shared_file_is_changed_only_as_it_was_seen() {
    let node = Node::new();
    let path = node.path("hosts");
    fs::write(&path, "a\n").unwrap();
    let change = |old: &str, new: &str| {
        node.run(&change_whole(path.to_str().unwrap(), old.as_bytes(), new.as_bytes())).status.success()
    };
    assert!(change("a\n", "a\nb\n"));
    assert!(!change("a\n", "a\nc\n"), "it holds something else by now");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
    assert!(change("a\nb\n", "a\nb\nc\n"));
    assert_eq!(fs::read_to_string(node.record("backup").join(key(&path))).unwrap(), "a\n");
    assert_eq!(entries(&node.record("changed")), [""; 0]);
}

fn pair() -> (Pair, [Arc<Node>; 2]) {
    let nodes = [Arc::new(Node::new()), Arc::new(Node::new())];
    let node = |index: usize| hapair::node::Node {
        name: format!("node{}", index + 1),
        transport: nodes[index].clone() as Arc<dyn Transport>,
    };
    (Pair([node(0), node(1)]), nodes)
}

fn records(pair: &Pair) -> [record::NodeRecord; 2] {
    At::BOTH.map(|at| record::parse(&pair.at(at).exec(&record::read("r0")).unwrap()))
}

#[test]
fn one_run_at_a_time_on_each_node() {
    let (pair, nodes) = pair();
    let answers = mapping::tutorial();
    let (one, two) = (Install::new(None).unwrap(), Install::new(None).unwrap());
    let first = Claim::new(&pair, &answers, &one, "process 1 on desk");
    let second = Claim::new(&pair, &answers, &two, "process 2 on laptop");
    first.take().unwrap();
    let failure = second.take().expect_err("held");
    assert_eq!(failure.exit, hapair::exit::LOCKED);
    assert!(failure.what.contains("process 1 on desk") && failure.what.contains("s old"), "{}", failure.what);
    let found = records(&pair);
    for (record, name) in found.iter().zip(["node1", "node2"]) {
        assert_eq!(record.held.as_ref().unwrap().who, "process 1 on desk");
        let belongs = record.belongs.as_ref().unwrap();
        assert_eq!((belongs.cluster.as_str(), belongs.node.as_str()), ("xencluster", name));
        assert_eq!(belongs.install, one.id);
    }
    // The same state folder again, after its run was killed: at once.
    Claim::new(&pair, &answers, &one, "process 3 on desk").take().unwrap();
    assert_eq!(records(&pair)[0].held.as_ref().unwrap().who, "process 3 on desk");
    // Its owner is dead: no sign of life since an earlier boot of the node, or for long.
    for node in &nodes {
        let lock = fs::read_to_string(node.record("lock")).unwrap();
        let dead: String = lock
            .lines()
            .map(|line| if line.starts_with("uptime=") { "uptime=-1000\n".to_owned() } else { format!("{line}\n") })
            .collect();
        fs::write(node.record("lock"), dead).unwrap();
    }
    second.take().unwrap();
    assert_eq!(records(&pair)[1].held.as_ref().unwrap().owner, two.seat);
    assert_eq!(records(&pair)[1].belongs.as_ref().unwrap().install, one.id, "whose node it is does not change");
    // Letting go of what is not ours any more takes nothing.
    first.release();
    assert!(records(&pair)[0].held.is_some());
    second.release();
    assert!(records(&pair)[0].held.is_none() && records(&pair)[1].held.is_none());
    assert_eq!(entries(&nodes[0].record("")), ["record"]);
}

/// The end of a run does not end its order: the next run sees it, and waits for it.
#[test]
fn an_order_of_an_earlier_run_is_waited_for() {
    let pair = Pair(["node1", "node2"].map(|name| hapair::node::Node {
        name: name.to_owned(),
        transport: Arc::new(hapair::node::local::Local::new()),
    }));
    let folder = tempfile::tempdir().unwrap();
    let (begun, done) = (folder.path().join("begun"), folder.path().join("done"));
    let order = Cmd::write_sh(
        "echo >\"$1\"; sleep 3; echo >\"$2\"",
        [begun.to_str().unwrap().to_owned(), done.to_str().unwrap().to_owned()],
    );
    std::thread::scope(|scope| {
        scope.spawn(|| pair.at(At::First).exec(&order).unwrap());
        while !begun.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let found = records(&pair);
        assert!(found[0].orders > 0, "the order is not seen");
        let said = std::sync::Mutex::new(Vec::new());
        let tell = |text: String| {
            said.lock().unwrap().push(text);
            Ok(())
        };
        let interrupted = hapair::cancel::Cancel::default();
        interrupted.request();
        let error = record::over(&pair, "r0", &found, &interrupted, &tell).unwrap_err();
        assert_eq!(error.downcast::<hapair::event::Failure>().unwrap().exit, hapair::exit::INTERRUPTED);
        assert!(!done.exists());
        assert!(record::over(&pair, "r0", &found, &hapair::cancel::Cancel::default(), &tell).unwrap());
        assert!(done.exists(), "it was not waited for");
        assert!(said.lock().unwrap()[0].contains("is still at work there"), "{said:?}");
    });
    let nothing = [record::NodeRecord::default(), record::NodeRecord::default()];
    let quiet = |text: String| panic!("{text}");
    assert!(!record::over(&pair, "r0", &nothing, &hapair::cancel::Cancel::default(), &quiet).unwrap());
}

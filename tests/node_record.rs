//! The record on a node, written by the very scripts that a node gets: here a shell whose /var/lib is a folder of the test.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod namespace;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use hapair::action::Act as _;
use hapair::action::file::{change_whole, write_whole};
use hapair::action::filesystem::Filesystem;
use hapair::action::ssh_trust::SshTrust;
use hapair::node::{At, Cmd, Lost, Pair, Transport};
use hapair::record::{self, Claim, Install};
use hapair::rehearsal::mapping;
use hapair::undo::{Known, Undoing};

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
        namespace::run("mount --bind \"$1\" /var/lib || exit 99", &[self.path("lib").as_os_str()], cmd)
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
    let claim = |install, owner: &str, who| Claim::new(&pair, &answers, install, owner.to_owned(), who);
    let first = claim(&one, "desk", "process 1 on desk");
    let second = claim(&two, "laptop", "process 2 on laptop");
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
    claim(&one, "desk", "process 3 on desk").take().unwrap();
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
    assert_eq!(records(&pair)[1].held.as_ref().unwrap().owner, "laptop");
    assert_eq!(records(&pair)[1].belongs.as_ref().unwrap().install, one.id, "whose node it is does not change");
    // Letting go of what is not ours any more takes nothing.
    first.release();
    assert!(records(&pair)[0].held.is_some());
    second.release();
    assert!(records(&pair)[0].held.is_none() && records(&pair)[1].held.is_none());
    assert_eq!(entries(&nodes[0].record("")), ["lock.guard", "record"]);
}

#[test]
fn a_copy_of_the_state_folder_is_another_owner() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let install = Install::new(None).unwrap();
    install.keep(folder.path()).unwrap();
    fs::copy(folder.path().join("install.json"), copy.path().join("install.json")).unwrap();
    let owner = |state: &Path| Install::of(state).unwrap().unwrap().owner(state);
    assert_eq!(owner(folder.path()), owner(&folder.path().join(".")), "the same folder");
    assert_ne!(owner(folder.path()), owner(copy.path()));
}

/// Runs `claim.sh` itself, as [`Claim`] does every 30 seconds.
fn renewed(node: &Node, owner: &str) -> Option<i32> {
    const CLAIM: &str = include_str!("../src/record/claim.sh");
    node.run(&Cmd::write_sh(CLAIM, ["renew", owner, "process 1 on desk", "180"])).status.code()
}

#[test]
fn a_run_that_slept_while_another_came_and_went_does_not_take_the_node_back() {
    let (pair, nodes) = pair();
    let answers = mapping::tutorial();
    let one = Install::new(None).unwrap();
    let claim = Claim::new(&pair, &answers, &one, "desk".to_owned(), "process 1 on desk");
    claim.take().unwrap();
    assert_eq!(renewed(&nodes[0], "desk"), Some(0));
    assert_eq!(renewed(&nodes[0], "laptop"), Some(7));
    fs::remove_file(nodes[0].record("lock")).unwrap();
    assert_eq!(renewed(&nodes[0], "desk"), Some(7));
    assert!(!nodes[0].record("lock").exists());
}

/// Two that find the same dead lock: one of them gets it.
#[test]
fn a_dead_lock_is_taken_over_by_one() {
    let (pair, nodes) = pair();
    let answers = mapping::tutorial();
    let one = Install::new(None).unwrap();
    for _ in 0..5 {
        for node in &nodes {
            fs::create_dir_all(node.record("")).unwrap();
            fs::write(node.record("lock"), "owner=dead\nwho=process 0\nboot=earlier\nuptime=1\n").unwrap();
        }
        let won: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = ["a", "b", "c", "d"]
                .into_iter()
                .map(|owner| {
                    let claim = Claim::new(&pair, &answers, &one, owner.to_owned(), owner);
                    // Only the first node: of two nodes each may get one, and then both let go.
                    scope.spawn(move || {
                        let cmd = claim.order("claim", At::First);
                        usize::from(claim.pair.at(At::First).exec(&cmd).unwrap().ok())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }
}

/// A power cut between the erasure of what a DRBD device held and `mkfs.ocfs2` must not use the consent up.
#[test]
fn an_erasure_under_the_file_system_leaves_its_consent() {
    let node = Node::new();
    fs::create_dir_all(node.record("")).unwrap();
    fs::write(node.record("erased-r0-1.txt"), "consent=A1\n").unwrap();
    fs::write(node.record("erased-r0-filesystem-1.txt"), "consent=B2\n").unwrap();
    let filesystem: Filesystem = serde_yaml::from_str(
        "{nodes: [node1, node2], device: /dev/no-drbd0, backing: [/dev/no-a, /dev/no-b], label: l, cluster: c, stack: o2cb, slots: '2', resource: r0}",
    )
    .unwrap();
    let said = String::from_utf8(node.run(&filesystem.reads(At::First)[1]).stdout).unwrap();
    assert!(said.contains("used=A1\n") && !said.contains("B2"), "{said}");
    assert_eq!(said.matches("erased=").count(), 2, "{said}");
}

/// What `undo` takes out of root's own files is what hapair put in.
#[test]
fn a_key_and_host_keys_that_were_there_before_stay() {
    let peer_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGvvCQYx5Ul9hRkfvqlzFE0pc7EbhRNQFbHUNTUPZ5Rs";
    let trust: SshTrust = serde_yaml::from_str("{nodes: [node1, node2], addresses: [10.0.0.1, 10.0.0.2]}").unwrap();
    let known = Known::new([None, Some(format!("{peer_key} root@node2"))], [true, true], &[]);
    for (before, keys, hosts) in [
        (Some("ssh-rsa AAAAadmin admin\n"), "", ""),
        (None, "", ""),
        (Some("from=\"10.0.0.2\" KEY theirs\nssh-rsa AAAAadmin admin\n"), "KEY", "node2 KEY\n"),
    ] {
        let node = Node::new();
        let ssh = node.path("ssh");
        fs::create_dir(&ssh).unwrap();
        let [authorized, known_hosts] = ["authorized_keys", "known_hosts"].map(|name| ssh.join(name));
        let before = before.map(|text| text.replace("KEY", peer_key));
        let others = "elsewhere ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5Yx0P5lYp3nV5bB0o9nTQ0zq0aNQ6xDmq2wq0m4Jr7\n";
        let hosts = hosts.replace("KEY", peer_key);
        // As the install did: the copies are under the names of root's files.
        for name in ["backup", "absent"] {
            fs::create_dir_all(node.record(name)).unwrap();
        }
        let kept = |name: &str| node.record("backup").join(format!("%2Froot%2F.ssh%2F{name}"));
        match &before {
            Some(text) => fs::write(kept("authorized_keys"), text).unwrap(),
            None => fs::write(node.record("absent").join("%2Froot%2F.ssh%2Fauthorized_keys"), "").unwrap(),
        }
        fs::write(kept("known_hosts"), format!("{others}{hosts}")).unwrap();
        let had = before.clone().unwrap_or_default();
        let with = if keys.is_empty() { format!("{had}{peer_key} root@node2\n") } else { had.clone() };
        fs::write(&authorized, with).unwrap();
        fs::write(&known_hosts, format!("{others}node2,10.0.0.2 {peer_key}\n")).unwrap();
        for command in trust.undo(At::First, &Undoing { begun: true, cluster_stays: false, known: &known }) {
            let here = |words: &[String]| {
                let words: Vec<String> = words
                    .iter()
                    .map(|word| if word == "/root/.ssh" { ssh.to_str().unwrap().to_owned() } else { word.clone() })
                    .collect();
                node.run(&Cmd::write(words))
            };
            if !here(&command.unless).status.success() {
                let out = here(&command.run);
                assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
                assert!(here(&command.unless).status.success(), "{} is not done", command.title);
            }
        }
        assert_eq!(fs::read_to_string(&authorized).unwrap(), had);
        assert_eq!(fs::read_to_string(&known_hosts).unwrap(), format!("{others}{hosts}"));
    }
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

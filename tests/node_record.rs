//! The record on a node, written by the very scripts that a node gets: here a shell whose /var/lib is a folder of the test.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hapair::action::file::{change_whole, write_whole};
use hapair::node::Cmd;

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

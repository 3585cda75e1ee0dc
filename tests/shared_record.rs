//! Files on the shared mount, written and taken back by the very scripts that a node gets: here a shell whose /var/lib is a
//! folder of the test, and whose /proc/mounts says what the test wants.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod namespace;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;

use hapair::action::shared_file::SharedFile;
use hapair::action::vm_config::VmConfig;
use hapair::action::{Act, Memory, Seen, State};
use hapair::node::{At, Cmd};
use hapair::undo::{self, Known, Undoing};

/// The first node, or its peer, and the mount that both see.
struct Node {
    folder: tempfile::TempDir,
    mounted: bool,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("lib")).unwrap();
        fs::create_dir_all(folder.path().join("mnt/vm01")).unwrap();
        Self { folder, mounted: true }
    }

    fn mount(&self) -> String {
        self.folder.path().join("mnt").to_str().unwrap().to_owned()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mnt/vm01/vm01.cfg")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// What is in a folder of the record, with its content.
    fn kept(&self, name: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("lib/hapair").join(name)) else { return Vec::new() };
        let mut kept: Vec<String> = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        kept.sort();
        kept
    }

    /// As root of a namespace of its own.
    fn run(&self, cmd: &Cmd) -> Output {
        const PREPARE: &str = r#"mount --bind "$1" /var/lib && mount -t tmpfs proc /proc || exit 99
[ -z "$2" ] || echo "/dev/drbd0 $2 ocfs2 rw 0 0" >/proc/mounts
[ -n "$2" ] || : >/proc/mounts"#;
        let mount = if self.mounted { self.mount() } else { String::new() };
        namespace::run(PREPARE, &[self.folder.path().join("lib").as_os_str(), mount.as_ref()], cmd)
    }

    fn outputs(&self, action: &dyn Act, at: At) -> Vec<hapair::node::Output> {
        let outputs = action.reads(at).into_iter().map(|read| {
            let out = self.run(&read);
            hapair::node::Output { code: out.status.code().unwrap(), stdout: out.stdout, stderr: out.stderr }
        });
        outputs.collect()
    }

    /// What the engine does with an action: looks, orders, looks again. Gives the diff.
    fn install(&self, action: &dyn Act) -> Option<String> {
        let (first, second) = (self.outputs(action, At::First), self.outputs(action, At::Second));
        let memory = Memory::default();
        let seen = Seen { outputs: [&first, &second], memory: &memory };
        let diff = match action.judge(At::First, &seen) {
            State::Satisfied => return None,
            State::Drift(change) => change.diff,
            other => panic!("{other:?}"),
        };
        for order in action.orders(At::First, &seen).unwrap() {
            assert_eq!(order.at, At::First);
            let out = self.run(&order.cmd);
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        let (first, second) = (self.outputs(action, At::First), self.outputs(action, At::Second));
        assert_eq!(action.judge(At::First, &Seen { outputs: [&first, &second], memory: &memory }), State::Satisfied);
        Some(diff.unwrap_or_default())
    }

    /// What `undo` does; gives whether there was anything to take back.
    fn undo(&self, action: &dyn Act) -> bool {
        let known = Known::default();
        let undoing = Undoing { begun: true, cluster_stays: false, known: &known };
        let [command] = action.undo(At::First, &undoing).try_into().unwrap();
        let there = || !self.run(&Cmd::write(command.unless.clone())).status.success();
        let todo = there();
        if todo {
            let out = self.run(&Cmd::write(command.run.clone()));
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            assert!(!there(), "it is not done");
        }
        todo
    }

    /// What is told of the path before an `undo`.
    fn changed(&self) -> Option<i32> {
        self.run(&undo::changed_since(self.path().to_str().unwrap(), &self.mount())).status.code()
    }

    fn shared(&self, content: &str) -> SharedFile {
        serde_yaml::from_str(&format!(
            "{{path: {}, content: {content:?}, guard: {}}}",
            self.path().display(),
            self.mount()
        ))
        .unwrap()
    }
}

#[test]
fn what_stood_there_is_shown_kept_on_the_node_and_put_back() {
    let node = Node::new();
    fs::write(node.path(), "theirs\n").unwrap();
    fs::set_permissions(node.path(), fs::Permissions::from_mode(0o604)).unwrap();
    // Again behind an undo: the same.
    for _ in 0..2 {
        let diff = node.install(&node.shared("one\n")).unwrap();
        assert!(diff.starts_with("--- /") && diff.ends_with("-theirs\n+one\n"), "{diff}");
        assert_eq!((node.text(), node.kept("backup")), ("one\n".to_owned(), vec!["theirs\n".to_owned()]));
        assert_eq!(node.install(&node.shared("one\n")), None);
        node.install(&node.shared("two\n")).unwrap();
        assert_eq!(node.kept("changed"), [""; 0], "hapair's own content needs no copy");
        assert_eq!(node.changed(), Some(1));

        assert!(node.undo(&node.shared("two\n")));
        assert_eq!(node.text(), "theirs\n");
        assert_eq!(fs::metadata(node.path()).unwrap().permissions().mode() & 0o7777, 0o604);
        assert!(["backup", "absent", "written", "changed"].iter().all(|name| node.kept(name).is_empty()));
        assert!(!node.undo(&node.shared("two\n")));
    }
    // The other node has no record, and nothing to take back.
    let peer = Node { folder: tempfile::tempdir().unwrap(), mounted: true };
    fs::create_dir(peer.folder.path().join("lib")).unwrap();
    node.install(&node.shared("one\n")).unwrap();
    assert!(!peer.undo(&node.shared("one\n")));
}

#[test]
fn what_hapair_alone_made_stays_and_is_hapairs_still() {
    let node = Node::new();
    let diff = node.install(&node.shared("one\n")).unwrap();
    assert!(diff.starts_with("--- /dev/null\n"), "{diff}");
    assert_eq!(fs::metadata(node.path()).unwrap().permissions().mode() & 0o7777, 0o644);
    assert!(!node.undo(&node.shared("one\n")));
    assert_eq!(node.text(), "one\n");
    node.install(&node.shared("two\n")).unwrap();
    assert!(["backup", "absent", "changed"].iter().all(|name| node.kept(name).is_empty()));
    // Changed by hand behind it: that is what is put back.
    fs::write(node.path(), "by hand\n").unwrap();
    assert!(node.install(&node.shared("two\n")).unwrap().ends_with("-by hand\n+two\n"));
    assert_eq!(node.kept("backup"), ["by hand\n"]);
    fs::write(node.path(), "again\n").unwrap();
    node.install(&node.shared("two\n")).unwrap();
    assert_eq!(node.kept("changed"), ["again\n"]);
    assert!(node.undo(&node.shared("two\n")));
    assert_eq!(node.text(), "by hand\n");
}

#[test]
fn without_the_mount_nothing_is_written_and_nothing_put_back() {
    let mut node = Node::new();
    let shared = node.shared("one\n");
    let order = &shared.orders(At::First, &Seen { outputs: [&[], &[]], memory: &Memory::default() }).unwrap()[0];
    node.mounted = false;
    fs::remove_dir(node.folder.path().join("mnt/vm01")).unwrap();
    let out = node.run(&order.cmd);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("is not mounted"), "{out:?}");
    assert!(!node.path().parent().unwrap().exists());

    node.mounted = true;
    fs::create_dir(node.folder.path().join("mnt/vm01")).unwrap();
    fs::write(node.path(), "theirs\n").unwrap();
    node.install(&shared).unwrap();
    node.mounted = false;
    assert_eq!(node.changed(), Some(undo::NOT_MOUNTED));
    assert!(!node.undo(&shared), "left, and told by its exit code");
    // It goes between the look and the order.
    let command = undo::shared_file(node.path().to_str().unwrap(), &node.mount());
    let out = node.run(&Cmd::write(command.run));
    assert!(String::from_utf8_lossy(&out.stderr).contains("is not mounted"), "{out:?}");
    assert_eq!((node.text(), node.kept("backup")), ("one\n".to_owned(), vec!["theirs\n".to_owned()]));
    node.mounted = true;
    fs::write(node.path(), "changed since\n").unwrap();
    assert_eq!(node.changed(), Some(0));
    assert!(!node.undo(&shared));
    assert_eq!(node.text(), "changed since\n");
}

/// The script, ended before the line that holds `before`, as by a power cut.
fn cut(cmd: &Cmd, before: &str) -> Cmd {
    let mut cmd = cmd.clone();
    assert_eq!(cmd.argv[2].matches(before).count(), 1, "{before}");
    cmd.argv[2] = cmd.argv[2].replace(before, &format!("exit 99\n{before}"));
    cmd
}

#[test]
fn cut_off_at_any_line_that_changes_something_it_goes_on_and_is_put_back() {
    const WRITE: [&str; 7] = [
        "if [ ! -e \"$kept/backup/$key\" ]",
        "rm -f \"$new\"\nif [ \"$mode\" = keep ]",
        "case $mode in",
        "# Before the file is in its place",
        "mv -f -T \"$kept/.new\" \"$kept/written/$key\"",
        "mv -f -T \"$new\" \"$path\"",
        "sync \"$dir/\"",
    ];
    const BACK: [&str; 5] = [
        "    cp -a \"$kept/backup/$key\" \"$new\"",
        "    mv -f -T \"$new\" \"$path\"",
        "rm -f \"$kept/written/$key\"",
        "rm -f \"$kept/backup/$key\"",
        "sync \"$kept/written\"",
    ];
    for theirs in [Some("theirs\n"), None] {
        for at in WRITE {
            let node = Node::new();
            if let Some(theirs) = theirs {
                fs::write(node.path(), theirs).unwrap();
            }
            let shared = node.shared("one\n");
            let order =
                &shared.orders(At::First, &Seen { outputs: [&[], &[]], memory: &Memory::default() }).unwrap()[0];
            assert_eq!(node.run(&cut(&order.cmd, at)).status.code(), Some(99), "{at}");
            let text = fs::read_to_string(node.path()).ok();
            assert!(text.as_deref() == theirs || text.as_deref() == Some("one\n"), "{at}: {text:?}");
            node.install(&shared);
            assert_eq!(node.text(), "one\n", "{at}");
            assert_eq!(node.undo(&shared), theirs.is_some(), "{at}");
            assert_eq!(node.text(), theirs.unwrap_or("one\n"), "{at}");
        }
    }
    for at in BACK {
        let node = Node::new();
        fs::write(node.path(), "theirs\n").unwrap();
        let shared = node.shared("one\n");
        node.install(&shared).unwrap();
        let command = undo::shared_file(node.path().to_str().unwrap(), &node.mount());
        assert_eq!(node.run(&cut(&Cmd::write(command.run), at)).status.code(), Some(99), "{at}");
        node.undo(&shared);
        assert_eq!(node.text(), "theirs\n", "{at}");
        assert!(["backup", "absent", "written"].iter().all(|name| node.kept(name).is_empty()), "{at}");
        // Nor is it taken for hapair's by an install that comes in between.
        node.install(&shared).unwrap();
        assert_eq!(node.kept("backup"), ["theirs\n"], "{at}");
    }
}

#[test]
fn a_configuration_of_ones_own_is_written_and_taken_back_in_the_same_way() {
    let node = Node::new();
    let source = node.folder.path().join("own.cfg");
    fs::write(&source, "name = \"vm01\"\n").unwrap();
    fs::write(node.path(), "name = \"vm01\"\nmemory = 512\n").unwrap();
    fs::set_permissions(node.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let config: VmConfig = serde_yaml::from_str(&format!(
        "{{name: vm01, source: {}, path: {}, mount: {}}}",
        source.display(),
        node.path().display(),
        node.mount()
    ))
    .unwrap();
    let diff = node.install(&config).unwrap();
    assert!(diff.ends_with(" name = \"vm01\"\n-memory = 512\n"), "{diff}");
    assert_eq!(fs::metadata(node.path()).unwrap().permissions().mode() & 0o7777, 0o600, "it may hold a password");
    assert_eq!(node.kept("backup"), ["name = \"vm01\"\nmemory = 512\n"]);
    assert_eq!(node.install(&config), None);
    // The source may go: the copy is what the cluster uses.
    fs::remove_file(&source).unwrap();
    assert_eq!(node.install(&config), None);
    assert!(node.undo(&config));
    assert_eq!(node.text(), "name = \"vm01\"\nmemory = 512\n");
}

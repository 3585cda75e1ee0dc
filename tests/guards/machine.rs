//! Two nodes in one kernel: each has its own /var/lib and its own name; disks are files behind loop devices.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use hapair::action::kind::Entry;
use hapair::cancel::Cancel;
use hapair::engine::{Ended, Engine};
use hapair::event::{Event, Failure, Sink};
use hapair::node::local::Local;
use hapair::node::{At, Cmd, Lost, Node, Output, Pair, Transport};
use hapair::plan::{Plan, PlannedAction, PlannedStep};
use hapair::step::Step;

/// Runs a shell script as the machine's root; what it prints.
pub(crate) fn sh(script: &str, args: &[&str]) -> String {
    let out = Command::new("sh").args(["-euc", script, "sh"]).args(args).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{script} {args:?}: {}\n{said}{errors}", out.status);
    said.trim().to_owned()
}

/// Commands of one node: its own /var/lib and its own name.
struct Own {
    local: Local,
    lib: PathBuf,
    name: String,
}

impl Transport for Own {
    fn exec(&self, cmd: &Cmd) -> Result<Output, Lost> {
        const ENTER: &str = "mount --bind \"$1\" /var/lib && hostname \"$2\" && shift 2 && exec \"$@\"";
        // The two nodes share one kernel here: what one opens to look at it is open for the other too. Real nodes have
        // a kernel each.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut argv: Vec<String> = ["unshare", "-m", "-u", "sh", "-c", ENTER, "sh"].map(str::to_owned).to_vec();
        argv.extend([self.lib.display().to_string(), self.name.clone()]);
        argv.extend(cmd.argv.iter().cloned());
        self.local.exec(&Cmd { argv, ..cmd.clone() })
    }
}

/// Keeps what was said.
#[derive(Default)]
struct Kept(Vec<Event>);

impl Sink for Kept {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.0.push(event.clone());
        Ok(())
    }
}

/// The two nodes.
pub(crate) struct Nodes {
    folder: PathBuf,
    pair: Pair,
}

impl Nodes {
    pub(crate) fn new() -> Self {
        let folder = PathBuf::from("/tmp/guards");
        let nodes = ["node1", "node2"].map(|name| {
            let lib = folder.join(name);
            fs::create_dir_all(lib.join("drbd")).unwrap();
            Node { name: name.to_owned(), transport: Arc::new(Own { local: Local::new(), lib, name: name.to_owned() }) }
        });
        Self { folder, pair: Pair(nodes) }
    }

    /// A node's record.
    pub(crate) fn record(&self, at: At) -> PathBuf {
        self.folder.join(&self.pair.at(at).name).join("hapair")
    }

    /// Nobody has ever made anything here.
    pub(crate) fn forget(&self) {
        for at in At::BOTH {
            let _ = fs::remove_dir_all(self.record(at));
        }
    }

    /// Runs one action as an install does.
    pub(crate) fn run(&self, action: &str) -> Result<usize, Box<Failure>> {
        let entry: Entry = serde_yaml::from_str(action).unwrap();
        let action = entry.action().unwrap();
        let yaml = "{id: test, title: T, section: s, why: w, actions: []}";
        let step: Step = serde_yaml::from_str(yaml).unwrap();
        let planned = PlannedAction { id: format!("1-{}", action.kind()), instances: [Some(action), None] };
        let plan =
            Plan { steps: vec![PlannedStep { step, skipped: None, actions: vec![planned] }], hash: String::new() };
        let sink = Mutex::new(Kept::default());
        match Engine::new(&self.pair, &sink, &Cancel::default(), String::new()).run(&plan, None) {
            Ok(Ended::Done { changed }) => Ok(changed),
            Ok(Ended::Interrupted | Ended::Rebooting) => panic!("nobody interrupted it"),
            Err(failure) => {
                // What was refused was refused before any order.
                let orders =
                    sink.lock().unwrap().0.iter().filter(|event| matches!(event, Event::Command { .. })).count();
                assert!(failure.exit == 1 || orders == 0, "{orders} orders before {failure}");
                Err(failure)
            }
        }
    }
}

/// A disk: a file behind a loop device, with a name under /dev/disk/by-id as udev gives it.
pub(crate) struct Disk {
    file: PathBuf,
    pub(crate) device: String,
    pub(crate) id: String,
}

impl Disk {
    /// A disk of so many bytes that is all zero, or a copy of an image.
    pub(crate) fn new(name: &str, bytes: u64, image: Option<&Path>) -> Self {
        Self::attached(name, bytes, image, "")
    }

    /// A disk of zeros on which the kernel looks for partitions, and forgets them with the disk.
    pub(crate) fn with_partitions(name: &str, bytes: u64) -> Self {
        Self::attached(name, bytes, None, "--partscan")
    }

    fn attached(name: &str, bytes: u64, image: Option<&Path>, how: &str) -> Self {
        let file = PathBuf::from(format!("/tmp/guards/{name}.disk"));
        match image {
            Some(image) => {
                sh("cp --sparse=always \"$1\" \"$2\"", &[image.to_str().unwrap(), file.to_str().unwrap()]);
            }
            None => File::create(&file).unwrap().set_len(bytes).unwrap(),
        }
        let device = sh("losetup -f --show $2 \"$1\"", &[file.to_str().unwrap(), how]);
        let id = format!("test-{name}");
        sh("ln -sfn \"../../$1\" \"/dev/disk/by-id/$2\"", &[device.trim_start_matches("/dev/"), &id]);
        Self { file, device, id }
    }

    pub(crate) fn hash(&self) -> String {
        sh("sync; blockdev --flushbufs \"$1\"; b2sum <\"$1\"", &[&self.device])
    }

    /// So many bytes from a place.
    pub(crate) fn bytes(&self, from: u64, count: usize) -> Vec<u8> {
        read(&self.device, from, count)
    }
}

pub(crate) fn read(device: &str, from: u64, count: usize) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; count];
    File::open(device).unwrap().read_exact_at(&mut bytes, from).unwrap();
    bytes
}

pub(crate) fn size(device: &str) -> u64 {
    sh("blockdev --getsize64 \"$1\"", &[device]).parse().unwrap()
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.device]).status();
        let _ = fs::remove_file(format!("/dev/disk/by-id/{}", self.id));
        let _ = fs::remove_file(&self.file);
    }
}

//! A simulated pair: enough of Debian, DRBD, OCFS2, Pacemaker and Xen for the real plan, with the real actions, to run to
//! its end. It knows the commands of the actions and keeps what they would leave behind; an order that would be refused
//! on a real node is refused here too (a device that changed since it was looked at, a second mkfs).

mod back;
mod cluster;
mod orders;
mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hapair::action::kind::Action;
use hapair::answers::load::Secrets as Values;
use hapair::node::scripted::Scripted;
use hapair::node::{At, Cmd, Effect, Node, Output, Pair};
use hapair::plan::Plan;
use hapair::secrets::Secrets;
use hapair::setup::{Places, Setup};

/// GRUB's menu without Xen.
pub const MENU: &str =
    "menuentry 'Debian GNU/Linux' --class os $menuentry_id_option 'simple' {\n\tlinux /boot/vmlinuz\n}\n";

/// A file: content, mode, owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub bytes: Vec<u8>,
    pub mode: String,
    pub owner: String,
}

/// A unit of systemd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    pub enabled: bool,
    pub active: bool,
    pub masked: bool,
}

/// What one node keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    pub name: String,
    pub files: BTreeMap<String, Entry>,
    pub packages: BTreeSet<String>,
    pub units: BTreeMap<String, Unit>,
    /// It belongs to no pair any more. (The claim of a run, which notes that it does, is not simulated.)
    pub left: bool,
    /// GRUB's menu as update-grub wrote it.
    pub menu: String,
    pub boots: usize,
    /// The unit is there with which a run goes on behind the next boot.
    pub continues: bool,
    pub xen: bool,
    pub module: bool,
    /// Commands of steps whose `unless` holds by now.
    pub done: BTreeSet<String>,
    pub key: bool,
    /// DRBD: metadata made, resource up, what its files said then, role.
    pub metadata: bool,
    pub up: bool,
    pub adjusted: Vec<u8>,
    pub primary: bool,
    pub mounted: bool,
    /// hapair's record: UUIDs of what was made, by the names of its files.
    pub records: BTreeMap<String, String>,
    /// hapair's record: what stood at a path before, and what was written there last.
    pub before: BTreeMap<String, Option<Entry>>,
    pub written: BTreeMap<String, Vec<u8>>,
}

/// What both have in common, and how often each destructive order took effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    pub machines: [Machine; 2],
    pub synced: bool,
    pub ocfs2: Option<String>,
    /// Files on the shared mount.
    pub shared: BTreeMap<String, Entry>,
    /// Sections of the CIB: objects in order.
    pub cib: BTreeMap<String, Vec<String>>,
    pub create_md: [usize; 2],
    pub force: usize,
    pub mkfs: usize,
    pub reboots: [usize; 2],
    /// How often each node was switched off by its peer, by its name.
    pub fenced: BTreeMap<String, usize>,
}

/// Which action a read belongs to, and its number there.
type Reads = BTreeMap<(At, Vec<String>), (Action, usize)>;

/// Two nodes that can be looked at, and the plan that they understand.
#[derive(Clone)]
pub struct Model {
    pub world: Arc<Mutex<World>>,
    pub plan: Arc<Plan>,
    /// Which action a read belongs to.
    reads: Arc<Reads>,
    pub transports: [Arc<Scripted>; 2],
}

/// The plan of an answers file for a fresh pair of Debian 12.
pub fn setup(answers: &Path, state: &Path) -> Setup {
    let places = Places { state_dir: Some(state.to_owned()), ..Places::default() };
    Setup::load(answers, places, Values::Resolve).unwrap()
}

pub fn plan(setup: &Setup, secrets: &Secrets) -> Plan {
    let (platform, found) = setup.offline().unwrap();
    setup.plan(&platform, &found, secrets).unwrap()
}

impl Model {
    /// A fresh pair.
    pub fn new(plan: &Arc<Plan>) -> Self {
        let mut reads = BTreeMap::new();
        for action in plan.steps.iter().flat_map(|step| &step.actions) {
            for at in At::BOTH {
                let Some(instance) = action.of(at) else { continue };
                for (index, read) in instance.reads(at).into_iter().enumerate() {
                    reads.entry((at, read.argv)).or_insert((instance.clone(), index));
                }
            }
        }
        let world = Arc::new(Mutex::new(World::fresh(["node1", "node2"])));
        Self::with(world, Arc::clone(plan), Arc::new(reads))
    }

    fn with(world: Arc<Mutex<World>>, plan: Arc<Plan>, reads: Arc<Reads>) -> Self {
        let transports = At::BOTH.map(|at| {
            let (world, reads) = (Arc::clone(&world), Arc::clone(&reads));
            Arc::new(Scripted::new(move |cmd| Ok(answer(&mut world.lock().unwrap(), &reads, at, cmd))))
        });
        Self { world, plan, reads, transports }
    }

    /// Another pair in the same state, of which this one knows nothing.
    pub fn copy(&self) -> Self {
        let world = self.world.lock().unwrap().clone();
        Self::with(Arc::new(Mutex::new(world)), Arc::clone(&self.plan), Arc::clone(&self.reads))
    }

    pub fn pair(&self) -> Pair {
        Pair(
            At::BOTH.map(|at| Node {
                name: format!("node{}", at.index() + 1),
                transport: self.transports[at.index()].clone(),
            }),
        )
    }

    pub fn world(&self) -> World {
        self.world.lock().unwrap().clone()
    }
}

impl World {
    fn fresh(names: [&str; 2]) -> Self {
        let machines = names.map(|name| {
            let hosts = format!("127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n");
            let mut machine = Machine { name: format!("fresh-{name}"), ..Machine::default() };
            machine.put("/etc/hosts", hosts.as_bytes());
            machine.put("/etc/hostname", format!("fresh-{name}\n").as_bytes());
            machine.menu = MENU.to_owned();
            // What the package brings is enabled; step boot takes it back.
            machine.units.insert("drbd.service".to_owned(), Unit { enabled: true, ..Unit::default() });
            machine
        });
        Self { machines, ..Self::default() }
    }

    pub fn proc_drbd(&self, at: At) -> String {
        let (own, peer) = (&self.machines[at.index()], &self.machines[at.peer().index()]);
        if !own.module {
            return String::new();
        }
        let mut text = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: X\n\n".to_owned();
        if own.up {
            let role = |machine: &Machine| if machine.primary { "Primary" } else { "Secondary" };
            let disk = if self.synced { "UpToDate" } else { "Inconsistent" };
            let (cs, peer_role, peer_disk) =
                if peer.up { ("Connected", role(peer), disk) } else { ("WFConnection", "Unknown", "DUnknown") };
            let _ = writeln!(text, " 0: cs:{cs} ro:{}/{peer_role} ds:{disk}/{peer_disk} C r-----", role(own));
        }
        text
    }

    pub fn running(&self, at: At) -> bool {
        let machine = &self.machines[at.index()];
        machine.active("corosync.service") && machine.active("pacemaker.service")
    }
}

impl Machine {
    pub fn put(&mut self, path: &str, bytes: &[u8]) {
        let entry = Entry { bytes: bytes.to_vec(), mode: "0644".to_owned(), owner: "root:root".to_owned() };
        self.files.insert(path.to_owned(), entry);
    }

    pub fn text(&self, path: &str) -> String {
        self.files.get(path).map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).unwrap_or_default()
    }

    pub fn active(&self, unit: &str) -> bool {
        self.units.get(unit).is_some_and(|unit| unit.active)
    }

    pub fn has(&self, package: &str) -> bool {
        self.packages.contains(package)
    }

    /// DRBD's files, as the kernel would get them.
    pub fn drbd_files(&self) -> Vec<u8> {
        ["/etc/drbd.d/hapair.res", "/etc/drbd.d/fencing.res"]
            .iter()
            .filter_map(|path| self.files.get(*path))
            .flat_map(|file| file.bytes.clone())
            .collect()
    }

    /// Down and up again.
    pub fn reboot(&mut self) {
        self.boots += 1;
        self.continues = false;
        self.xen = self.menu.contains("multiboot2");
        self.module = self.files.contains_key("/etc/modules-load.d/drbd.conf");
        (self.up, self.primary, self.mounted) = (false, false, false);
        self.done.clear();
        for unit in self.units.values_mut() {
            unit.active = unit.enabled && !unit.masked;
        }
    }
}

fn answer(world: &mut World, reads: &Reads, at: At, cmd: &Cmd) -> Output {
    if cmd.effect == Effect::Write {
        return orders::apply(world, at, cmd);
    }
    if let Some((action, index)) = reads.get(&(at, cmd.argv.clone())) {
        return reads::of(world, at, action, *index, cmd);
    }
    reads::other(world, at, cmd)
}

/// The tutorial's answers with one VM, and `secret` as every password in them.
pub fn answers(folder: &Path, secret: &str) -> std::path::PathBuf {
    let password = folder.join("password");
    std::fs::write(&password, secret).unwrap();
    let path = folder.join("pair.yaml");
    let text = format!(
        "cluster: xencluster\nplatform: debian-12\nnodes:\n  - {{ name: node1, ssh: root@192.0.2.1, address: 10.0.0.1 }}\n  - {{ name: node2, ssh: root@192.0.2.2, address: 10.0.0.2 }}\nstorage: {{ device: /dev/sda3 }}\nfencing:\n  method: ipmi\n  node1: {{ address: 10.9.0.1, user: admin, password: 'file:{0}' }}\n  node2: {{ address: 10.9.0.2, user: admin, password: 'file:{0}' }}\nvms:\n  - {{ name: vm01, memory: 1G, disk: 8G, image: demo }}\n",
        password.display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

//! The lab with User-Mode Linux: each machine is a Linux kernel that runs as an ordinary process. No hypervisor, no
//! emulation, no root. Only Xen is missing.

mod chassis;
mod image;
mod namespace;
mod network;
mod process;
mod pulse;
mod tools;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use self::namespace::{enter_namespace, entrance, inside};
pub use self::tools::{TOOLS, TOOLS_WITHOUT_ROOT, missing};

use self::chassis::Chassis;
use self::image::{Base, Disks, path_of};
use self::network::{Bridge, Network};
use self::pulse::Pulse;
use super::bmc::{self, Bmc, Chassis as _};
use super::lab::{Lab, Link, Login, Machine, Sbd, Wish};
use super::{cache, command};
use crate::answers::{self, LabHypervisor};

/// Memory of a machine: the whole cluster stack takes about 270 MiB.
const MEMORY_MIB: u64 = 768;

/// How long a reset machine is dark. A server takes a minute to test itself before it starts anything; these are back at once,
/// while they are still being fenced, which is harder on the other node (`templates/boot/o2net.service.tera`).
const DARK: Duration = Duration::from_secs(2);

/// Two machines, and the wires between them.
#[derive(Debug)]
pub struct Uml {
    folder: PathBuf,
    scratch: PathBuf,
    network: Network,
    // In this order: a BMC must not switch on what is being ended.
    bmcs: [Bmc; 2],
    machines: [Arc<Chassis>; 2],
    /// A disk that both have, for SBD.
    shared: Option<File>,
    /// Disks, and opened folders that the machines mount; kept open because the machines know them by our file numbers.
    _files: [(Disks, File); 2],
    _packages: File,
    /// Only to be there as long as the machines are.
    _pulse: Pulse,
}

/// Builds or downloads what the machines need, as far as the cache hasn't got it. This needs the network: call it before
/// [`enter_namespace`].
///
/// # Errors
/// When a program is missing, when a download fails or when the cache can't be written.
pub fn prepare(wish: &Wish, say: &dyn Fn(&str)) -> Result<()> {
    if let Some(text) = missing() {
        bail!(text);
    }
    image::base(wish, say).map(drop)
}

/// Lays the wires and makes the disks; the machines are still off. Call it inside the namespace.
///
/// # Errors
/// When it's called outside, or when the disks or the network can't be made.
pub fn new(wish: &Wish, say: &dyn Fn(&str)) -> Result<Uml> {
    if !inside() {
        bail!(
            "the machines must not be made outside a namespace of their own: they would change this system's network"
        );
    }
    let Base { image, packages } = image::base(wish, say)?;
    fs::create_dir_all(&wish.scratch).with_context(|| format!("create {}", wish.scratch.display()))?;
    let folder = wish.scratch.join("uml");
    in_memory(&folder, 2 * (MEMORY_MIB + Disks::data_mib(wish)) + 256)?;
    say("laying the wires between the machines and making their disks");
    let network = Network::new(wish)?;
    let login = folder.join("login");
    image::ssh_key(&login, "hapair rehearse")?;
    let authorized = image::public_key(&login)?;
    let mut known_hosts = String::new();
    let mut make = |machine: Machine| -> Result<(Disks, File)> {
        let name = &wish.names[machine.index()];
        let host_key = folder.join(format!("host-{}", machine.index() + 1));
        image::ssh_key(&host_key, &format!("root@{name}"))?;
        let public = image::public_key(&host_key)?;
        let mut words = public.split_whitespace();
        if let (Some(kind), Some(key)) = (words.next(), words.next()) {
            writeln!(known_hosts, "{} {kind} {key}", network.address(Bridge::Management, machine))?;
        }
        let seed = folder.join(format!("seed-{}", machine.index() + 1));
        image::seed(&seed, wish, machine, &network, &authorized, &host_key)?;
        Ok((Disks::new(&image, wish, &folder)?, open(&seed)?))
    };
    let files = [make(Machine::First)?, make(Machine::Second)?];
    let packages = open(&packages)?;
    let shared = if wish.sbd { Some(image::shared(&folder)?) } else { None };
    fs::write(folder.join("known_hosts"), known_hosts).context("write the machines' host keys")?;
    let machines = Machine::BOTH.map(|machine| {
        let (disks, seed) = &files[machine.index()];
        let console = folder.join(format!("console-{}.log", machine.index() + 1));
        let mut arguments = kernel_arguments(machine, disks, seed, &packages);
        if let Some(shared) = &shared {
            // `c`: it is not locked, since the other machine has it too.
            arguments.push(format!("ubdcct={}", path_of(shared)));
        }
        Arc::new(Chassis::new(arguments, folder.clone(), console))
    });
    let bmc = |machine: Machine| {
        let (number, chassis) = (machine.index() + 1, Arc::clone(&machines[machine.index()]));
        Bmc::start(&folder.join(format!("bmc-{number}")), &network.bmc(machine), bmc::PORT, chassis, DARK)
    };
    let addresses = Machine::BOTH.map(|machine| network.address(Bridge::Management, machine));
    Ok(Uml {
        _pulse: Pulse::start(addresses.to_vec())?,
        bmcs: [bmc(Machine::First)?, bmc(Machine::Second)?],
        machines,
        scratch: wish.scratch.clone(),
        shared,
        _files: files,
        _packages: packages,
        network,
        folder,
    })
}

/// A folder whose content is in memory and goes with the namespace: nothing of it is left on a disk, even after a kill.
/// The machines' memory is there as well, because /dev/shm is too small for that in many containers.
fn in_memory(folder: &Path, mib: u64) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let options = format!("mode=0700,size={mib}M");
    let path = folder.to_string_lossy();
    command::run("mount a folder in memory", "mount", &["-t", "tmpfs", "-o", &options, "none", &path]).map(drop)
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("open {}", path.display()))
}

fn kernel_arguments(machine: Machine, disks: &Disks, seed: &File, packages: &File) -> Vec<String> {
    let index = machine.index();
    let mut arguments = vec![
        format!("mem={MEMORY_MIB}M"),
        format!("umid=node{}", index + 1),
        // `t`: no discards. They are made in pieces of 32 KiB, one after the other: mkfs.ocfs2 would take minutes for them, and
        // DRBD would lose its peer meanwhile.
        format!("ubdat={}", disks.root()),
        format!("ubdbt={}", disks.data()),
        "root=/dev/ubda".to_owned(),
        "rw".to_owned(),
        "con=null".to_owned(),
        "con0=null,fd:1".to_owned(),
        "init=/sbin/hapair-init".to_owned(),
        format!("hapair_seed={}", path_of(seed)),
        format!("hapair_packages={}", path_of(packages)),
    ];
    for (number, bridge) in Bridge::ALL.into_iter().enumerate() {
        // The same hardware address after each start: the other side remembers it.
        let plug = bridge.plug(machine);
        arguments.push(format!(
            "vec{number}:transport=raw,ifname={plug},depth=64,gro=1,mac=02:68:61:70:{number:02x}:{:02x}",
            index + 1
        ));
    }
    arguments
}

impl Lab for Uml {
    fn engine(&self) -> &'static str {
        "uml"
    }

    fn hypervisor(&self) -> LabHypervisor {
        LabHypervisor::StandIn
    }

    fn limits(&self) -> Vec<String> {
        vec![
            "There is no Xen in these machines: User-Mode Linux can't start a hypervisor.".to_owned(),
            "Their kernel is Debian's package user-mode-linux of this host, not the release's own kernel, and they have no boot loader.".to_owned(),
            "Starting a process takes about twenty times as long as on metal; times are no measure of a real pair.".to_owned(),
            bmc::LIMIT.to_owned(),
            "A cut power line loses only what the machine itself hadn't written: no disk cache is lost with it.".to_owned(),
        ]
    }

    fn data_device(&self) -> String {
        "/dev/ubdb3".to_owned()
    }

    fn power_on(&mut self, machine: Machine) -> Result<()> {
        self.machines[machine.index()].power_on()
    }

    fn power_off(&mut self, machine: Machine) -> Result<()> {
        self.machines[machine.index()].power_off()
    }

    fn is_on(&mut self, machine: Machine) -> bool {
        self.machines[machine.index()].is_on()
    }

    fn console(&self, machine: Machine) -> &Path {
        &self.machines[machine.index()].console
    }

    fn bmcs(&self) -> [answers::Bmc; 2] {
        self.bmcs.each_ref().map(|bmc| bmc.access().clone())
    }

    fn sbd(&self) -> Option<Sbd> {
        // The kernel of User-Mode Linux has a watchdog of an older kind of its own, so softdog is the second.
        self.shared.as_ref().map(|_| Sbd { disk: "/dev/ubdc".to_owned(), watchdog: "/dev/watchdog1".to_owned() })
    }

    fn set_bmc(&mut self, machine: Machine, up: bool) -> Result<()> {
        self.bmcs[machine.index()].set(up)
    }

    fn switched(&self, machine: Machine) -> Vec<String> {
        self.bmcs[machine.index()].done()
    }

    fn set_link(&mut self, link: Link, up: bool) -> Result<()> {
        network::set(link.into(), &Machine::BOTH, up)
    }

    fn set_login(&mut self, machine: Machine, up: bool) -> Result<()> {
        network::set(Bridge::Management, &[machine], up)
    }

    fn login(&self, machine: Machine) -> Login {
        Login {
            host: self.network.address(Bridge::Management, machine),
            port: 22,
            key: self.folder.join("login"),
            known_hosts: self.folder.join("known_hosts"),
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(240)
    }

    fn gone(&mut self) -> Result<()> {
        for bmc in &mut self.bmcs {
            bmc.end()?;
        }
        for machine in Machine::BOTH {
            self.power_off(machine)?;
        }
        network::remove()?;
        let path = self.folder.to_string_lossy();
        command::run("unmount the folder in memory", "umount", &["--lazy", &path])?;
        cache::remove(&self.scratch)
    }
}

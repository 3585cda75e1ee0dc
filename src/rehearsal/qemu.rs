//! The lab with QEMU: two whole machines with a disk, GRUB and a hypervisor's processor, so that the boot into Xen and
//! the migration of a guest are rehearsed too. With KVM where it works, emulated where not.

mod chassis;
mod disk;
mod emulator;
mod hardware;
mod identity;
mod management;
mod monitor;
mod probe;
mod process;
mod serve;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub use self::emulator::{Bug, Emulator, TOOLS, TOOLS_WITHOUT_ROOT, kvm_works, missing};

use self::chassis::Chassis;
use self::hardware::Hardware;
use self::management::FarEnd;
use self::serve::Server;
use super::bmc::{self, Bmc, Chassis as _};
use super::cache;
use super::lab::{Lab, Link, Login, Machine, Sbd, Wish};
use crate::answers::{self, LabHypervisor};
use crate::random;

/// What this engine can be told beyond the [`Wish`].
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Another emulator than the one in PATH (`--qemu`).
    pub qemu: Option<PathBuf>,
}

/// Two machines, their wires and their package source.
#[derive(Debug)]
pub struct Qemu {
    emulator: Emulator,
    /// Debian release of the machines.
    release: String,
    // In this order: a BMC must not switch on what is being ended.
    bmcs: [Bmc; 2],
    machines: [Arc<Chassis>; 2],
    /// The machines' ways to the BMCs; they end with the lab.
    _management: [FarEnd; 2],
    folder: PathBuf,
    scratch: PathBuf,
    /// The package source; it ends with the lab.
    _server: Server,
    /// Holds the sockets where the scratch folder's path is too long for any.
    _sockets: Option<TempDir>,
}

/// Builds what the machines need, as far as the cache hasn't got it, and makes their disks; they are still off.
///
/// # Errors
/// When a program is missing, a download fails or there is no room.
pub fn new(wish: &Wish, options: &Options, say: &dyn Fn(&str)) -> Result<Qemu> {
    if let Some(text) = missing(options.qemu.as_deref()) {
        bail!(text);
    }
    let emulator = Emulator::look(options.qemu.as_deref())?;
    say(&format!(
        "QEMU {} {}",
        emulator.version,
        if emulator.kvm { "with KVM" } else { "emulates the machines: KVM doesn't work here" }
    ));
    enough_memory()?;
    let base = disk::base(wish, say)?;
    let folder = wish.scratch.join("qemu");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let (sockets, short) = sockets(&folder)?;
    let server = Server::start(&base.packages)?;
    let authorized = identity::key_pair(&login_key(&folder), "hapair rehearse")?;
    let mut known_hosts = String::new();
    let [ssh_first, ssh_second, bmc_first, bmc_second, cluster_first, cluster_second, second_first, second_second] =
        free_ports()?;
    let wires = [[cluster_first, cluster_second], [second_first, second_second]];
    let shared = if wish.sbd { Some(disk::shared(&folder)?) } else { None };
    let mut make = |machine: Machine| -> Result<Hardware> {
        let index = machine.index();
        say(&format!("making {}'s disk", wish.names[index]));
        let disk = folder.join(format!("disk-{}.raw", index + 1));
        disk::copy(&base, &disk, wish)?;
        let own = folder.join(format!("machine-{}", index + 1));
        let public = identity::write(&own, &disk, wish, machine, &authorized, server.port())?;
        let port = [ssh_first, ssh_second][index];
        let key: Vec<&str> = public.split_whitespace().take(2).collect();
        let _ = writeln!(known_hosts, "[{}]:{port} {}", Ipv4Addr::LOCALHOST, key.join(" "));
        let console = folder.join(format!("console-{}.log", index + 1));
        Ok(Hardware {
            machine,
            name: wish.names[index].clone(),
            disk,
            shared: shared.clone(),
            console,
            sockets: sockets.clone(),
            port,
            wires,
        })
    };
    let hardware = [make(Machine::First)?, make(Machine::Second)?];
    fs::write(known_hosts_file(&folder), known_hosts).context("write the machines' host keys")?;
    let ports = [bmc_first, bmc_second];
    let far_end = |hardware: &Hardware| FarEnd::start(&hardware.far_end(), &hardware.management(), ports);
    let management = [far_end(&hardware[0])?, far_end(&hardware[1])?];
    let machines = hardware.map(|hardware| {
        let mut arguments = emulator.processor();
        arguments.extend(hardware.arguments());
        let log = folder.join(format!("qemu-{}.log", hardware.machine.index() + 1));
        Arc::new(Chassis::new(emulator.program.clone(), arguments, hardware, log))
    });
    let bmc = |machine: Machine| {
        let (index, chassis) = (machine.index(), Arc::clone(&machines[machine.index()]));
        let own = folder.join(format!("bmc-{}", index + 1));
        Bmc::start(&own, &Ipv4Addr::LOCALHOST.to_string(), ports[index], chassis, Duration::from_secs(1))
    };
    Ok(Qemu {
        bmcs: [bmc(Machine::First)?, bmc(Machine::Second)?],
        machines,
        _management: management,
        emulator,
        folder,
        scratch: wish.scratch.clone(),
        release: wish.release.clone(),
        _server: server,
        _sockets: short,
    })
}

impl Qemu {
    /// Whether the emulator has the fault that keeps Debian 12's PVH guests from running.
    pub fn emulator_has_pvh_bug(&self) -> Bug {
        self.emulator.bug
    }

    /// Whether a guest can be moved between the machines while it runs. That takes a PVH guest, and those need a processor
    /// whose virtualization works; PV guests run anyway.
    pub fn live_migration(&self) -> bool {
        match self.emulator.bug {
            Bug::Absent => true,
            Bug::Present => self.runs_in_spite_of_the_fault(),
            Bug::Unknown => false,
        }
    }

    /// Seen, not explained: with the same emulator a PVH guest of Debian 12 halted at each of two starts, and one of
    /// Debian 13 (another Xen and another kernel) ran at two and moved once.
    fn runs_in_spite_of_the_fault(&self) -> bool {
        self.release == "trixie"
    }

    /// Whether the machines are emulated. Their guests then need `tsc_mode = "native"`: Xen can't emulate the
    /// instruction that the emulator reports to it instead of RDTSCP.
    pub fn emulated(&self) -> bool {
        !self.emulator.kvm
    }
}

impl Lab for Qemu {
    fn engine(&self) -> &'static str {
        "qemu"
    }

    fn hypervisor(&self) -> LabHypervisor {
        match (self.live_migration(), self.emulated()) {
            (false, _) => LabHypervisor::XenEmulatedPv,
            (true, true) => LabHypervisor::XenEmulated,
            (true, false) => LabHypervisor::Xen,
        }
    }

    fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        let version = &self.emulator.version;
        if self.emulated() {
            limits.push("The machines are emulated, because KVM doesn't work here: starting them takes minutes, the cluster's agents have twice as long and look half as often, and no time is a measure of a real pair.".to_owned());
        }
        let reason = match (self.emulator.bug, self.emulator.kvm) {
            (Bug::Absent, _) => None,
            (Bug::Present, _) if self.runs_in_spite_of_the_fault() => {
                limits.push(format!("QEMU {version}'s emulation has a fault that halts PVH guests of Debian 12. Those of this release were seen to run and to move with it, but if one halts at its start, try another emulator (--qemu PATH)."));
                None
            }
            (Bug::Present, _) => Some(format!(
                "QEMU {version}'s emulation has a fault that halts such guests of Debian 12 at once. KVM hasn't got it, and --qemu PATH takes an emulator without it"
            )),
            (Bug::Unknown, true) => Some(
                "KVM doesn't let the machines be hosts themselves (kvm_intel or kvm_amd without nested=1)".to_owned(),
            ),
            (Bug::Unknown, false) => Some(format!("QEMU {version} doesn't emulate the processor's virtualization")),
        };
        if let Some(reason) = reason {
            limits.push(format!("Guests of type PVH can't run here, and those of type PV can't be moved while they run, so no live migration is rehearsed: {reason}."));
        }
        limits.push(format!("Each machine has one processor, {} MiB of memory and one disk.", hardware::MEMORY_MIB));
        limits.push(bmc::LIMIT.to_owned());
        limits.push(
            "A cut power line loses only what the machine itself hadn't written: no disk cache is lost with it."
                .to_owned(),
        );
        limits
    }

    fn data_device(&self) -> String {
        "/dev/sda3".to_owned()
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
        &self.machines[machine.index()].hardware.console
    }

    fn set_link(&mut self, link: Link, up: bool) -> Result<()> {
        self.machines.iter().try_for_each(|machine| machine.set_link(link, up))
    }

    fn bmcs(&self) -> [answers::Bmc; 2] {
        Machine::BOTH.map(|machine| answers::Bmc {
            address: management::bmc(machine).to_string(),
            ..self.bmcs[machine.index()].access().clone()
        })
    }

    fn sbd(&self) -> Option<Sbd> {
        let [first, _] = &self.machines;
        let own = || Sbd { disk: hardware::SHARED_DISK.to_owned(), watchdog: hardware::WATCHDOG.to_owned() };
        first.hardware.shared.as_ref().map(|_| own())
    }

    fn set_bmc(&mut self, machine: Machine, up: bool) -> Result<()> {
        self.bmcs[machine.index()].set(up)
    }

    fn switched(&self, machine: Machine) -> Vec<String> {
        self.bmcs[machine.index()].done()
    }

    fn login(&self, machine: Machine) -> Login {
        Login {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: self.machines[machine.index()].hardware.port,
            key: login_key(&self.folder),
            known_hosts: known_hosts_file(&self.folder),
        }
    }

    fn patience(&self) -> Duration {
        self.emulator.patience()
    }

    fn gone(&mut self) -> Result<()> {
        for bmc in &mut self.bmcs {
            bmc.end()?;
        }
        let ended = Machine::BOTH.map(|machine| self.power_off(machine));
        ended.into_iter().collect::<Result<Vec<()>>>()?;
        cache::remove(&self.scratch)
    }
}

fn login_key(folder: &Path) -> PathBuf {
    folder.join("login")
}

fn known_hosts_file(folder: &Path) -> PathBuf {
    folder.join("known_hosts")
}

/// A folder for sockets. The kernel takes paths of 107 bytes at most for those.
fn sockets(folder: &Path) -> Result<(PathBuf, Option<TempDir>)> {
    if folder.as_os_str().len() < 80 {
        return Ok((folder.to_owned(), None));
    }
    let short = tempfile::Builder::new().prefix("hapair-").tempdir().context("create a folder for sockets")?;
    Ok((short.path().to_owned(), Some(short)))
}

/// Ports on 127.0.0.1 that nobody listens on, by TCP or UDP, below those that the kernel gives to outgoing connections: one of those
/// could be taken while a machine is off.
fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let mut free = Vec::with_capacity(COUNT);
    for _ in 0..100 * COUNT {
        let port = 20000 + u16::from_ne_bytes(random::bytes()?) % 10000;
        let place = (Ipv4Addr::LOCALHOST, port);
        if !free.contains(&port) && TcpListener::bind(place).is_ok() && UdpSocket::bind(place).is_ok() {
            free.push(port);
        }
        if let Ok(ports) = <[u16; COUNT]>::try_from(free.as_slice()) {
            return Ok(ports);
        }
    }
    bail!("found no {COUNT} free ports between 20000 and 29999 on 127.0.0.1 for the machines' SSH, links and BMCs")
}

/// Both machines' memory, and what QEMU itself takes, have to be there: a swapping host makes every time limit wrong.
fn enough_memory() -> Result<()> {
    let text = fs::read_to_string("/proc/meminfo").context("read how much memory is free")?;
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<u64>().ok());
    let needed = 2 * (hardware::MEMORY_MIB + 700);
    match available {
        Some(kib) if kib / 1024 < needed => {
            bail!(
                "two machines need {needed} MiB of memory and {} MiB are free; end other programs, or rehearse with --engine uml",
                kib / 1024
            )
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_get_a_short_folder_for_sockets() {
        let short = Path::new("/tmp/x");
        assert_eq!(sockets(short).unwrap().0, short);
        let (path, kept) = sockets(&PathBuf::from("/").join("x".repeat(100))).unwrap();
        assert!(kept.is_some() && path.as_os_str().len() < 80);
    }

    #[test]
    fn ports_are_free_and_low() {
        let ports: [u16; 8] = free_ports().unwrap();
        assert!(ports.iter().all(|port| (20000..30000).contains(port)), "{ports:?}");
        assert!(ports.iter().enumerate().all(|(index, port)| !ports[..index].contains(port)), "{ports:?}");
    }
}

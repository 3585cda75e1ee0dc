//! What a node is, read in one round trip. Knows no steps, and nothing of the other node.
//!
//! [`reads`] are the commands, [`judge`] makes [`Facts`] of their outputs: both pure, so a program that asks a person
//! (the wizard) and one that compares two nodes (`preflight`) use the same survey, which `Setup::survey` makes of both
//! nodes at once. All types are plain data.
//!
//! | to ask about | take |
//! |---|---|
//! | a backing device | [`Facts::disks`]: [`disk::Disk`] with `parts` (what each holds, who uses it) and `gaps` ([`disk::Disk::room`] is what `storage.create` would take); [`Facts::volumes`] for logical volumes |
//! | consent by serial | [`disk::Disk::serial`], else a name of [`disk::Disk::by_id`] or [`disk::Part::by_id`] |
//! | a cluster link | [`Facts::links`]: [`link::Link`] with `kind`, `carrier`, `megabits`, `addresses`, `default_route` |
//! | the machine | [`Facts::identity`], [`Facts::cpu`], [`Facts::memory_mib`], [`Facts::virtualization`] |
//! | what is there already | [`Facts::presence`], [`Facts::software`], [`Facts::firewall`] |
//!
//! What a tool that is missing would have told is empty or `None`: a node of 2007 has fewer facts, and is no error.

pub mod clock;
pub mod cpu;
pub mod disk;
pub mod firewall;
pub mod identity;
pub mod kernel;
pub mod link;
pub mod presence;
pub mod software;

use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Output};
use crate::platform::release_title;

/// Files whose first lines are read by one process; those that are not there are left out.
const FILES: &[&str] = &[
    "/etc/os-release",
    "/etc/lsb-release",
    "/etc/SuSE-release",
    "/etc/debian_version",
    "/etc/hosts",
    "/etc/machine-id",
    "/etc/ufw/ufw.conf",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/etc/ssh/ssh_host_ecdsa_key.pub",
    "/etc/ssh/ssh_host_rsa_key.pub",
    "/etc/ssh/ssh_host_dsa_key.pub",
    "/proc/sys/kernel/random/boot_id",
    "/sys/hypervisor/type",
    "/proc/xen/capabilities",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/drbd",
    "/sys/devices/system/cpu/online",
    "/sys/class/dmi/id/product_uuid",
    "/sys/class/dmi/id/sys_vendor",
    "/sys/class/dmi/id/product_name",
];

/// What a node is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Text of /etc/os-release; of /etc/lsb-release where there is none.
    pub os_release: String,
    /// The release in one line.
    pub release: String,
    /// What `uname -n` says.
    pub hostname: String,
    /// Text of /etc/hosts.
    pub hosts: String,
    /// The running kernel and the firmware.
    pub kernel: kernel::Kernel,
    /// What tells this machine from another.
    pub identity: identity::Identity,
    /// `xen` when it runs under Xen; else empty.
    pub hypervisor: String,
    /// It is Xen's privileged domain.
    pub dom0: bool,
    /// What it runs in: `none` on bare metal, `kvm`, `qemu`, `uml`, `xen`...
    pub virtualization: String,
    /// The processor.
    pub cpu: cpu::Cpu,
    /// Memory that the kernel has, in MiB: under Xen that of dom0.
    pub memory_mib: u64,
    /// Memory that the machine has, in MiB, as far as it can be told.
    pub machine_memory_mib: u64,
    /// The clock.
    pub clock: clock::Clock,
    /// Network interfaces, without the loopback.
    pub links: Vec<link::Link>,
    /// Whole disks, with their partitions.
    pub disks: Vec<disk::Disk>,
    /// Logical volumes, RAIDs and other devices that lie on disks.
    pub volumes: Vec<disk::Volume>,
    /// What is there already.
    pub presence: presence::Presence,
    /// The package manager, and the room it has.
    pub software: software::Software,
    /// The packet filter.
    pub firewall: firewall::Firewall,
}

impl Facts {
    /// One line for people: release, kernel, what it runs on, memory.
    pub fn summary(&self) -> String {
        let under = match (self.hypervisor.as_str(), self.virtualization.as_str()) {
            ("xen", _) => "under Xen".to_owned(),
            (_, "" | "none") => "on metal".to_owned(),
            (_, virtualization) => format!("in {virtualization}"),
        };
        format!("{}, Linux {} {under}, {} MiB", self.release, self.kernel.release, self.memory_mib)
    }

    /// The interface that has an address.
    pub fn link(&self, address: Ipv4Addr) -> Option<&link::Link> {
        self.links.iter().find(|link| link.has(address))
    }

    /// Speed of the link that has an address, if its driver tells it.
    pub fn link_bytes_per_second(&self, address: Ipv4Addr) -> Option<u64> {
        self.link(address)?.megabits.map(|megabits| megabits * 125_000)
    }

    /// A partition by its path, or by a name under /dev/disk/by-id; with its disk.
    pub fn partition(&self, path: &str) -> Option<(&disk::Disk, &disk::Part)> {
        let id = path.strip_prefix("/dev/disk/by-id/");
        self.disks.iter().find_map(|disk| {
            let part = disk
                .parts
                .iter()
                .find(|part| part.path == path || id.is_some_and(|id| part.by_id.iter().any(|name| name == id)))?;
            Some((disk, part))
        })
    }
}

/// One part of the survey: how many outputs it takes is how many commands it has.
type Reads = fn() -> Vec<Cmd>;

/// In the order in which they are run. The clock is first, the slow ones are last.
const PARTS: [Reads; 8] = [
    clock::reads,
    machine_reads,
    kernel::reads,
    link::reads,
    presence::reads,
    software::reads,
    firewall::reads,
    disk::reads,
];

fn machine_reads() -> Vec<Cmd> {
    vec![
        Cmd::read(["head", "-v", "-n", "200"].into_iter().chain(FILES.iter().copied())),
        Cmd::read(["systemd-detect-virt"]),
    ]
}

/// The commands of the survey: about two dozen, meant for one round trip.
pub fn reads() -> Vec<Cmd> {
    PARTS.iter().flat_map(|part| part()).collect()
}

/// Facts from the outputs of [`reads`].
///
/// # Errors
/// When the node does not even say which kernel it runs.
pub fn judge(outputs: &[Output]) -> Result<Facts> {
    let mut rest = outputs;
    let [clock, machine, kernel, links, presence, software, firewall, disks] = PARTS.map(|part| {
        let (own, others) = rest.split_at(part().len().min(rest.len()));
        rest = others;
        own
    });
    let text = |index: usize| machine.get(index).map(Output::text).unwrap_or_default();
    let (files, virt) = (text(0), text(1));
    let file = |path: &str| section(&files, path);
    let line = |path: &str| file(path).trim().to_owned();
    // os-release came in 2012; before it each distribution had a file of its own.
    let os_release = ["/etc/os-release", "/etc/lsb-release", "/etc/SuSE-release", "/etc/debian_version"]
        .map(&file)
        .into_iter()
        .find(|text| !text.trim().is_empty())
        .unwrap_or_default();
    let Some((hostname, kernel)) = kernel::parse(kernel, &file("/proc/drbd")) else {
        let uname = kernel.first().cloned().unwrap_or_default();
        bail!("it does not say which kernel it runs; uname said: {:?} {:?}", uname.line(), uname.errors().trim());
    };
    let cpuinfo = file("/proc/cpuinfo");
    let cpu = cpu::parse(&cpuinfo, &file("/sys/devices/system/cpu/online"));
    let hypervisor = line("/sys/hypervisor/type");
    let presence = presence::parse(presence);
    let blocks = disk::parse(disks);
    let memory_mib = file("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024;
    let mut facts = Facts {
        release: release_title(&os_release),
        os_release: os_release.clone(),
        hostname,
        hosts: file("/etc/hosts"),
        kernel,
        identity: identity::Identity {
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            machine_id: line("/etc/machine-id"),
            dmi_uuid: line("/sys/class/dmi/id/product_uuid"),
            product: format!("{} {}", line("/sys/class/dmi/id/sys_vendor"), line("/sys/class/dmi/id/product_name"))
                .trim()
                .to_owned(),
            host_keys: ["ed25519", "ecdsa", "rsa", "dsa"]
                .iter()
                .filter_map(|kind| identity::fingerprint(&file(&format!("/etc/ssh/ssh_host_{kind}_key.pub"))))
                .collect(),
        },
        dom0: hypervisor == "xen" && file("/proc/xen/capabilities").contains("control_d"),
        virtualization: virtualization(virt.trim(), &cpuinfo, &cpu, &hypervisor),
        hypervisor,
        cpu,
        memory_mib,
        machine_memory_mib: presence.xen("total_memory").and_then(|mib| mib.parse().ok()).unwrap_or(memory_mib),
        clock: clock::parse(clock),
        links: link::parse(links),
        disks: blocks.disks,
        volumes: blocks.volumes,
        software: software::parse(software),
        firewall: firewall::parse(firewall, &file("/etc/ufw/ufw.conf"), presence.running("firewalld")),
        presence,
    };
    facts.mark_drbd();
    Ok(facts)
}

impl Facts {
    /// DRBD holds its backing devices without a trace in sysfs.
    fn mark_drbd(&mut self) {
        for drbd in &self.presence.drbd_disks {
            let id = drbd.disk.strip_prefix("/dev/disk/by-id/");
            let word = format!("DRBD {}", drbd.resource).trim_end().to_owned();
            for part in self.disks.iter_mut().flat_map(|disk| &mut disk.parts) {
                if part.path == drbd.disk || id.is_some_and(|id| part.by_id.iter().any(|name| name == id)) {
                    part.uses.push(word.clone());
                }
            }
            for volume in self.volumes.iter_mut().filter(|volume| volume.path == drbd.disk) {
                volume.uses.push(word.clone());
            }
        }
    }
}

/// One file's lines in what `head -v` wrote.
fn section(text: &str, path: &str) -> String {
    let head = format!("==> {path} <==");
    let mut lines: Vec<&str> =
        text.lines().skip_while(|line| *line != head).skip(1).take_while(|line| !line.starts_with("==> /")).collect();
    // head puts an empty line before the next file.
    if lines.last() == Some(&"") {
        lines.pop();
    }
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

fn virtualization(detected: &str, cpuinfo: &str, cpu: &cpu::Cpu, hypervisor: &str) -> String {
    if cpuinfo.contains("User Mode Linux") {
        "uml".to_owned()
    } else if !detected.is_empty() {
        detected.to_owned()
    } else if hypervisor.is_empty() {
        if cpu.flags.contains("hypervisor") { "unknown" } else { "none" }.to_owned()
    } else {
        hypervisor.to_owned()
    }
}

#[cfg(test)]
mod tests;

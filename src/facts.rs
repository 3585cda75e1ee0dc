//! What a node is, read in one round trip: release, kernel, hypervisor, network, disks. Knows no steps.

use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Output};
use crate::platform::release_title;

/// Files whose first lines are read by one process; those that are not there are left out.
const FILES: &[&str] = &[
    "/etc/os-release",
    "/etc/lsb-release",
    "/proc/sys/kernel/random/boot_id",
    "/etc/machine-id",
    "/sys/hypervisor/type",
    "/proc/xen/capabilities",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/drbd",
];

/// One line for each network interface, without starting a process.
const LINKS: &str = r#"for dir in /sys/class/net/*; do
    [ -e "$dir/address" ] || continue
    mac= state= speed=
    read -r mac <"$dir/address"
    read -r state <"$dir/operstate"
    { read -r speed <"$dir/speed"; } 2>/dev/null
    echo "${dir##*/} ${mac:--} ${state:--} ${speed:--}"
done"#;

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Such as `eth0`.
    pub name: String,
    /// MAC address; empty if it has none.
    pub mac: String,
    /// `up`, `down`, `unknown`.
    pub state: String,
    /// Mbit/s, where the driver tells it.
    pub megabits: Option<u64>,
    /// IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
}

/// A whole disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Such as `sda`.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// Empty if it tells none.
    pub serial: String,
    /// Empty if it tells none.
    pub model: String,
    /// Names under /dev/disk/by-id.
    pub by_id: Vec<String>,
}

/// What a node is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Text of /etc/os-release; of /etc/lsb-release where there is none.
    pub os_release: String,
    /// The release in one line.
    pub release: String,
    /// Kernel: `6.1.0-56-amd64`.
    pub kernel: String,
    /// Architecture: `x86_64`.
    pub machine: String,
    /// What `uname -n` says.
    pub hostname: String,
    /// New at each boot.
    pub boot_id: String,
    /// The same at each boot; empty if it has none.
    pub machine_id: String,
    /// `xen` when it runs under Xen; else empty.
    pub hypervisor: String,
    /// It is Xen's privileged domain.
    pub dom0: bool,
    /// What it runs in: `none` on bare metal, `kvm`, `qemu`, `uml`, `xen`...
    pub virtualization: String,
    /// The processor can run guests with hardware help, as the running kernel sees it (dom0 does not see it).
    pub virtualization_help: bool,
    /// Memory that the kernel has.
    pub memory_mib: u64,
    /// Version of DRBD's module: the loaded one, else the one that would be loaded.
    pub drbd_version: Option<String>,
    /// DRBD's module is loaded.
    pub drbd_loaded: bool,
    /// Network interfaces, without the loopback.
    pub links: Vec<Link>,
    /// Whole disks.
    pub disks: Vec<Disk>,
}

impl Facts {
    /// One line for people: release, kernel, what it runs on, memory.
    pub fn summary(&self) -> String {
        let under = match (self.hypervisor.as_str(), self.virtualization.as_str()) {
            ("xen", _) => "under Xen".to_owned(),
            (_, "" | "none") => "on metal".to_owned(),
            (_, virtualization) => format!("in {virtualization}"),
        };
        format!("{}, Linux {} {under}, {} MiB", self.release, self.kernel, self.memory_mib)
    }

    /// The interface that has an address.
    pub fn link(&self, address: Ipv4Addr) -> Option<&Link> {
        self.links.iter().find(|link| link.addresses.contains(&address))
    }

    /// Speed of the link that has an address, if its driver tells it.
    pub fn link_bytes_per_second(&self, address: Ipv4Addr) -> Option<u64> {
        self.link(address)?.megabits.map(|megabits| megabits * 125_000)
    }
}

/// Eight commands.
pub fn reads() -> Vec<Cmd> {
    vec![
        Cmd::read(["head", "-v", "-n", "40"].into_iter().chain(FILES.iter().copied())),
        Cmd::read(["uname", "-n", "-r", "-m"]),
        Cmd::read(["systemd-detect-virt"]),
        Cmd::read(["modinfo", "-F", "version", "drbd"]),
        Cmd::read(["ip", "-o", "-4", "addr", "show"]),
        Cmd::read_sh(LINKS, [""; 0]),
        Cmd::read(["lsblk", "-b", "-d", "-n", "-P", "-o", "NAME,SIZE,TYPE,SERIAL,MODEL"]),
        Cmd::read(["find", "/dev/disk/by-id", "-type", "l", "-printf", "%f %l\\n"]),
    ]
}

/// Facts from the outputs of [`reads`].
///
/// # Errors
/// When the node does not even say which kernel it runs.
pub fn judge(outputs: &[Output]) -> Result<Facts> {
    let text = |index: usize| outputs.get(index).map(Output::text).unwrap_or_default();
    let [files, uname, virt, modinfo, addresses, links, disks, by_id] = [0, 1, 2, 3, 4, 5, 6, 7].map(text);
    let mut words = uname.split_whitespace().map(str::to_owned);
    let (Some(hostname), Some(kernel), Some(machine)) = (words.next(), words.next(), words.next()) else {
        let errors = outputs.get(1).map(Output::errors).unwrap_or_default();
        bail!("it does not say which kernel it runs; uname said: {:?} {:?}", uname.trim(), errors.trim());
    };
    let file = |path: &str| section(&files, path);
    let os_release = Some(file("/etc/os-release")).filter(|text| !text.is_empty()).unwrap_or(file("/etc/lsb-release"));
    let cpu = file("/proc/cpuinfo");
    let hypervisor = file("/sys/hypervisor/type").trim().to_owned();
    let drbd = file("/proc/drbd");
    let loaded = drbd.lines().find_map(|line| line.strip_prefix("version: ")?.split_whitespace().next());
    let shipped = modinfo.split_whitespace().next();
    Ok(Facts {
        release: release_title(&os_release),
        os_release: os_release.clone(),
        kernel,
        machine,
        hostname,
        boot_id: file("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        machine_id: file("/etc/machine-id").trim().to_owned(),
        dom0: hypervisor == "xen" && file("/proc/xen/capabilities").contains("control_d"),
        virtualization: virtualization(virt.trim(), &cpu, &hypervisor),
        hypervisor,
        virtualization_help: cpu
            .lines()
            .filter(|line| line.starts_with("flags"))
            .any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm")),
        memory_mib: file("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0)
            / 1024,
        drbd_version: loaded.or(shipped).map(str::to_owned),
        drbd_loaded: loaded.is_some(),
        links: parse_links(&links, &addresses),
        disks: parse_disks(&disks, &by_id),
    })
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

fn virtualization(detected: &str, cpu: &str, hypervisor: &str) -> String {
    if cpu.contains("User Mode Linux") {
        "uml".to_owned()
    } else if !detected.is_empty() {
        detected.to_owned()
    } else if hypervisor.is_empty() {
        let virtual_cpu = cpu
            .lines()
            .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor"));
        if virtual_cpu { "unknown" } else { "none" }.to_owned()
    } else {
        hypervisor.to_owned()
    }
}

fn parse_links(links: &str, addresses: &str) -> Vec<Link> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
    links
        .lines()
        .map(words)
        .filter(|words| words.len() == 4 && words[0] != "lo")
        .map(|words| Link {
            mac: words[1].trim_matches('-').to_owned(),
            state: words[2].trim_matches('-').to_owned(),
            // Where nothing is known, drivers say -1.
            megabits: words[3].parse::<u64>().ok().filter(|speed| (1..1_000_000).contains(speed)),
            addresses: addresses
                .lines()
                .map(words_of_address)
                .filter(|(name, _)| *name == words[0])
                .filter_map(|(_, address)| address)
                .collect(),
            name: words[0].clone(),
        })
        .collect()
}

/// Interface and address of a line such as `2: ens3    inet 10.0.2.15/24 brd ... scope global ens3\ ...`.
fn words_of_address(line: &str) -> (&str, Option<Ipv4Addr>) {
    let mut words = line.split_whitespace().skip(1);
    let name = words.next().unwrap_or_default();
    let mut rest = words.skip_while(|word| *word != "inet").skip(1);
    let address = rest.next().and_then(|word| word.split('/').next()?.parse().ok());
    (name.split('@').next().unwrap_or_default(), address)
}

fn parse_disks(disks: &str, by_id: &str) -> Vec<Disk> {
    disks
        .lines()
        .filter(|line| value(line, "TYPE") == "disk" && !value(line, "NAME").starts_with("zram"))
        .map(|line| {
            let name = value(line, "NAME");
            let mut ids: Vec<String> = by_id
                .lines()
                .filter_map(|line| line.rsplit_once(' '))
                .filter(|(_, target)| target.rsplit('/').next() == Some(name.as_str()))
                .map(|(id, _)| id.to_owned())
                .collect();
            ids.sort();
            Disk {
                bytes: value(line, "SIZE").parse().unwrap_or(0),
                serial: value(line, "SERIAL").trim().to_owned(),
                model: value(line, "MODEL").trim().to_owned(),
                by_id: ids,
                name,
            }
        })
        .collect()
}

/// A value of `NAME="sda" SIZE="10737418240"`.
fn value(line: &str, key: &str) -> String {
    let begin = format!("{key}=\"");
    let at = if line.starts_with(&begin) { Some(0) } else { line.find(&format!(" {begin}")).map(|at| at + 1) };
    at.and_then(|at| line[at + begin.len()..].split('"').next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node of the lab: Debian 12 under Xen in an emulator.
    fn outputs() -> Vec<Output> {
        let head = "==> /etc/os-release <==\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n\n\
            ==> /proc/sys/kernel/random/boot_id <==\n6681d55d-3f5b-4a0a-9d55-0d6c3d3f6a61\n\n\
            ==> /etc/machine-id <==\n0123456789abcdef0123456789abcdef\n\n\
            ==> /sys/hypervisor/type <==\nxen\n\n==> /proc/xen/capabilities <==\ncontrol_d\n\n\
            ==> /proc/meminfo <==\nMemTotal:        1011148 kB\nMemFree:          18118 kB\n\n\
            ==> /proc/cpuinfo <==\nprocessor\t: 0\nflags\t\t: fpu de hypervisor\n\n\
            ==> /proc/drbd <==\nversion: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n";
        [
            head,
            "node1 6.1.0-56-amd64 x86_64\n",
            "qemu\n",
            "",
            "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n\
             2: ens3    inet 10.0.2.15/24 brd 10.0.2.255 scope global dynamic ens3\\       valid_lft 86000sec\n\
             3: ens4    inet 10.77.0.1/24 brd 10.77.0.255 scope global ens4\\       valid_lft forever\n\
             4: bond0@ens4    inet 10.78.0.1/24 scope global bond0\\       valid_lft forever\n",
            "lo 00:00:00:00:00:00 unknown -\nens3 52:54:00:12:34:56 up -1\nens4 52:54:00:12:34:57 up 1000\nbond0 - down -\n",
            "NAME=\"sda\" SIZE=\"10737418240\" TYPE=\"disk\" SERIAL=\"A1\" MODEL=\"QEMU HARDDISK   \"\n\
             NAME=\"sr0\" SIZE=\"1073741312\" TYPE=\"rom\" SERIAL=\"QM00003\" MODEL=\"QEMU DVD-ROM\"\n",
            "scsi-0QEMU_QEMU_HARDDISK_A1-part3 ../../sda3\nscsi-0QEMU_QEMU_HARDDISK_A1 ../../sda\n",
        ]
        .map(|text| Output { stdout: text.as_bytes().to_vec(), ..Output::default() })
        .to_vec()
    }

    #[test]
    fn a_dom0_is_seen() {
        let facts = judge(&outputs()).expect("facts");
        assert_eq!(facts.release, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!((facts.hostname.as_str(), facts.kernel.as_str()), ("node1", "6.1.0-56-amd64"));
        assert_eq!(facts.boot_id, "6681d55d-3f5b-4a0a-9d55-0d6c3d3f6a61");
        assert!(facts.dom0 && facts.drbd_loaded && !facts.virtualization_help);
        assert_eq!(facts.virtualization, "qemu");
        assert_eq!(facts.memory_mib, 987);
        assert_eq!(facts.drbd_version.as_deref(), Some("8.4.11"));
    }

    #[test]
    fn links_and_disks_are_seen() {
        let facts = judge(&outputs()).expect("facts");
        let names: Vec<&str> = facts.links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["ens3", "ens4", "bond0"]);
        assert_eq!(facts.link_bytes_per_second(Ipv4Addr::new(10, 77, 0, 1)), Some(125_000_000));
        assert_eq!(facts.link_bytes_per_second(Ipv4Addr::new(10, 0, 2, 15)), None);
        assert_eq!(facts.link(Ipv4Addr::new(10, 78, 0, 1)).map(|link| link.mac.as_str()), Some(""));
        assert_eq!(facts.disks.len(), 1);
        assert_eq!((facts.disks[0].bytes, facts.disks[0].model.as_str()), (10_737_418_240, "QEMU HARDDISK"));
        assert_eq!(facts.disks[0].by_id, ["scsi-0QEMU_QEMU_HARDDISK_A1"]);
    }

    #[test]
    fn a_machine_without_tools_has_fewer_facts() {
        let mut outputs = outputs();
        for index in [2, 3, 4, 5, 6, 7] {
            outputs[index] = Output { code: 127, ..Output::default() };
        }
        outputs[0].stdout =
            b"==> /proc/cpuinfo <==\nprocessor\t: 0\nvendor_id\t: User Mode Linux\nmodel name\t: UML\n".to_vec();
        let facts = judge(&outputs).expect("facts");
        assert_eq!((facts.virtualization.as_str(), facts.release.as_str()), ("uml", "an unknown release"));
        assert_eq!((facts.links.len(), facts.drbd_version), (0, None));
        assert!(judge(&[]).is_err());
    }

    #[test]
    fn the_module_that_would_be_loaded_counts() {
        let mut outputs = outputs();
        let text = outputs[0].text();
        outputs[0].stdout = text.as_bytes()[..text.find("==> /proc/drbd").expect("a section")].to_vec();
        outputs[3].stdout = b"8.4.11\n".to_vec();
        let facts = judge(&outputs).expect("facts");
        assert_eq!((facts.drbd_version.as_deref(), facts.drbd_loaded), (Some("8.4.11"), false));
    }
}

use super::*;
use crate::node::scripted::says;

/// Outputs of a survey in which these commands (by their beginning) say this; all others are not there.
fn outputs(told: &[(&str, &str)]) -> Vec<Output> {
    reads()
        .iter()
        .map(|cmd| {
            let line = cmd.argv.join(" ");
            match told.iter().find(|(begin, _)| line.starts_with(begin)) {
                Some((_, text)) => says(*text),
                None => Output { code: 127, ..Output::default() },
            }
        })
        .collect()
}

const HEAD: &str = "==> /etc/os-release <==\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n\n\
    ==> /etc/hosts <==\n127.0.0.1\tlocalhost\n127.0.1.1\tnode1\n\n\
    ==> /etc/machine-id <==\n0123456789abcdef0123456789abcdef\n\n\
    ==> /etc/ssh/ssh_host_ed25519_key.pub <==\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl root@node1\n\n\
    ==> /proc/sys/kernel/random/boot_id <==\n6681d55d-3f5b-4a0a-9d55-0d6c3d3f6a61\n\n\
    ==> /sys/hypervisor/type <==\nxen\n\n==> /proc/xen/capabilities <==\ncontrol_d\n\n\
    ==> /proc/meminfo <==\nMemTotal:        1011148 kB\nMemFree:          18118 kB\n\n\
    ==> /proc/cpuinfo <==\nprocessor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu de hypervisor\n\n\
    ==> /proc/drbd <==\nversion: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n\n\
    ==> /sys/devices/system/cpu/online <==\n0\n\n\
    ==> /sys/class/dmi/id/product_uuid <==\n4c4c4544-0051-3510-8050-b9c04f4a4e32\n\n\
    ==> /sys/class/dmi/id/sys_vendor <==\nQEMU\n\n==> /sys/class/dmi/id/product_name <==\nStandard PC (i440FX + PIIX, 1996)\n";

/// A node of the lab: Debian 12 under Xen in an emulator, with a pair on it.
fn dom0() -> Vec<Output> {
    outputs(&[
        ("date", "1795380000.123456789\n"),
        ("head -v -n 200", HEAD),
        ("uname", "node1 6.1.0-56-amd64 x86_64\n"),
        ("systemd-detect-virt", "qemu\n"),
        (
            "sh -c # What runs",
            "drbd-show\tresource r0 {\ndrbd-show\t            disk\t\t\t\"/dev/sda3\";\n\
            xen\ttotal_memory           : 2047\n",
        ),
        ("sh -c # Network", "ens4\t52:54:00:12:34:57\tup\t1\t1000\t1500\tethernet\n"),
        ("ip -o -4 addr", "3: ens4    inet 10.77.0.1/24 brd 10.77.0.255 scope global ens4\\       valid_lft forever\n"),
        (
            "sh -c # Block",
            "sda\tblock\twhole\nsda\tsize\t20971520\nsda\tdev\t8:0\nsda3\tpart\tsda\nsda3\tnumber\t3\n\
            sda3\tstart\t13633536\nsda3\tsize\t4194304\n",
        ),
        ("lsblk", "NAME=\"sda\" SERIAL=\"A1\" MODEL=\"QEMU HARDDISK   \" TRAN=\"\"\n"),
        ("find", "scsi-0QEMU_QEMU_HARDDISK_A1-part3 ../../sda3\nscsi-0QEMU_QEMU_HARDDISK_A1 ../../sda\n"),
    ])
}

#[test]
fn a_dom0_is_seen() {
    let facts = judge(&dom0()).expect("facts");
    assert_eq!(facts.release, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!((facts.hostname.as_str(), facts.kernel.release.as_str()), ("node1", "6.1.0-56-amd64"));
    assert_eq!(facts.identity.boot_id, "6681d55d-3f5b-4a0a-9d55-0d6c3d3f6a61");
    assert_eq!(facts.identity.unique_dmi(), Some("4c4c4544-0051-3510-8050-b9c04f4a4e32"));
    assert_eq!(facts.identity.product, "QEMU Standard PC (i440FX + PIIX, 1996)");
    assert_eq!(facts.identity.host_keys, ["SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"]);
    assert!(facts.dom0 && facts.kernel.drbd_loaded && !facts.cpu.virtualizes());
    assert_eq!(facts.virtualization, "qemu");
    assert_eq!((facts.memory_mib, facts.machine_memory_mib), (987, 2047));
    assert_eq!(facts.kernel.drbd.as_deref(), Some("8.4.11"));
    assert!(facts.hosts.contains("127.0.1.1\tnode1"));
    assert_eq!(facts.summary(), "Debian GNU/Linux 12 (bookworm), Linux 6.1.0-56-amd64 under Xen, 987 MiB");
}

#[test]
fn what_drbd_holds_is_marked() {
    let facts = judge(&dom0()).expect("facts");
    let (disk, part) = facts.partition("/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_A1-part3").expect("a partition");
    assert_eq!((disk.serial.as_str(), disk.model.as_str()), ("A1", "QEMU HARDDISK"));
    assert_eq!((part.path.as_str(), &part.uses[..]), ("/dev/sda3", &["DRBD r0".to_owned()][..]));
    assert!(facts.partition("/dev/sda4").is_none());
    let address = Ipv4Addr::new(10, 77, 0, 1);
    assert_eq!(facts.link_bytes_per_second(address), Some(125_000_000));
    assert_eq!(facts.link_bytes_per_second(Ipv4Addr::new(10, 0, 2, 15)), None);
}

#[test]
fn a_machine_without_tools_has_fewer_facts() {
    let head = "==> /proc/cpuinfo <==\nprocessor\t: 0\nvendor_id\t: User Mode Linux\nmodel name\t: UML\n";
    let facts = judge(&outputs(&[("uname", "a 2.6.22-14-xen x86_64\n"), ("head -v -n 200", head)])).expect("facts");
    assert_eq!((facts.virtualization.as_str(), facts.release.as_str()), ("uml", "an unknown release"));
    assert_eq!((facts.links.len(), facts.kernel.drbd.clone()), (0, None));
    assert!(facts.disks.is_empty() && facts.software.space.is_empty());
    let json = serde_json::to_string(&facts).expect("plain data");
    assert_eq!(serde_json::from_str::<Facts>(&json).expect("the same"), facts);
    assert!(judge(&[]).is_err());
}

/// The survey runs for real on the machine that tests it: the scripts are sound in its shell, and nothing is written.
#[test]
fn this_machine_can_be_surveyed() {
    use crate::node::{ReadOnly, Transport as _, local::Local};
    let node = ReadOnly(Local::new());
    let facts = judge(&node.exec_all(&reads()).expect("outputs")).expect("facts");
    assert!(!facts.kernel.release.is_empty() && facts.memory_mib > 0 && facts.clock.utc_millis > 0);
    assert!(!facts.cpu.vendor.is_empty() && facts.cpu.count > 0);
    for disk in &facts.disks {
        assert!(disk.bytes > 0, "{disk:?}");
    }
}

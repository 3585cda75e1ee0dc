//! The table of all checks: names that users and scripts rely on. `docs/checks.md` is made from it.

use std::fmt::Write as _;

/// How bad a finding of a check can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It refuses the install.
    Error,
    /// It is said, and nothing more.
    Warning,
    /// Both, by how far it goes.
    Either,
}

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Name, for `--ignore`.
    pub name: &'static str,
    /// Whether it refuses.
    pub weight: Weight,
    /// `--ignore` may drop it. What the install itself would refuse can't be dropped.
    pub ignorable: bool,
    /// What is compared with what.
    pub what: &'static str,
    /// Why it matters.
    pub why: &'static str,
}

use Weight::{Either, Error, Warning};

const fn check(name: &'static str, weight: Weight, what: &'static str, why: &'static str) -> Check {
    Check { name, weight, ignorable: true, what, why }
}

/// Not to be ignored: the install refuses it by itself.
const fn firm(name: &'static str, what: &'static str, why: &'static str) -> Check {
    Check { name, weight: Error, ignorable: false, what, why }
}

/// All checks, in the order in which they are made.
pub static CHECKS: &[Check] = &[
    firm(
        "same-machine",
        "The boot ids of the two nodes.",
        "DRBD would mirror a machine to itself, and its loss would be the loss of everything.",
    ),
    check(
        "same-machine-id",
        Warning,
        "/etc/machine-id of the two nodes.",
        "One disk is a copy of the other: DHCP and the journal take both machines for one.",
    ),
    check(
        "same-dmi-uuid",
        Warning,
        "The UUIDs of the mainboards, unless they are the makers' placeholders.",
        "They should be two machines.",
    ),
    check(
        "same-host-key",
        Warning,
        "The SSH host keys.",
        "Whoever has one node's key can play the other; ssh can't tell a wrong address from a right one.",
    ),
    check(
        "same-mac",
        Error,
        "The MAC addresses of all interfaces.",
        "A switch sends frames for both to one of them: the link works by chance.",
    ),
    firm(
        "release",
        "/etc/os-release of both, and the platforms that hapair knows.",
        "Names of packages, files and dialects depend on the release; two releases don't make one cluster.",
    ),
    firm("architecture", "`uname -m` of both.", "A VM can't move between two architectures."),
    check(
        "host-name",
        Warning,
        "`uname -n`, and the names in the answers.",
        "DRBD, OCFS2 and the cluster go by what `uname -n` says.",
    ),
    check(
        "name-address",
        Warning,
        "What both names lead to on both nodes (`getent hosts`).",
        "With 127.0.1.1 a node's daemons listen where the peer can't reach them.",
    ),
    firm(
        "kernel-drbd",
        "`modinfo drbd`, where the release's kernel brings the module.",
        "Without the module there is no mirror.",
    ),
    check(
        "kernel-ocfs2",
        Error,
        "`modinfo ocfs2`, with `layout: ocfs2`.",
        "Without the module the file system can't be mounted; Debian's cloud kernel has none.",
    ),
    check(
        "kernel-dom0",
        Error,
        "CONFIG_XEN_DOM0 of the running kernel, with `hypervisor: xen`.",
        "A kernel that can't be dom0 does not boot under Xen; Debian's cloud kernel can't.",
    ),
    check(
        "drbd-version",
        Warning,
        "The versions of DRBD's module on both nodes.",
        "DRBD 8 and 9 understand each other only in part.",
    ),
    firm(
        "secure-boot",
        "The EFI variable SecureBoot, with `hypervisor: xen`.",
        "GRUB would not load Xen, which nobody has signed.",
    ),
    check("cpu-vendor", Error, "The processors' makers.", "A running VM can't move between processors of two makers."),
    check(
        "cpu-flags",
        Warning,
        "The processors' flags, as far as both kernels see them alike.",
        "A VM that started on the node that can do more may crash when it moves to the other.",
    ),
    check(
        "cpu-virtualization",
        Error,
        "The flags vmx and svm; under Xen what `xl info` says.",
        "The guests need the processor's help for virtual machines.",
    ),
    check(
        "memory",
        Error,
        "The machine's memory, all VMs of the answers and dom0's memory.",
        "When one node is lost, all VMs must fit on the other.",
    ),
    check(
        "clock",
        Either,
        "The clocks of both nodes, measured: more than 1 s warns, more than 5 s refuses.",
        "Logs can't be compared, certificates and tickets fail, and a cluster's timers jump when one is set right.",
    ),
    check(
        "clock-sync",
        Warning,
        "Whether something (NTP) keeps the clocks right.",
        "Clocks that nobody sets drift apart.",
    ),
    check(
        "address",
        Error,
        "The addresses of the answers, and those of the interfaces.",
        "DRBD and the cluster bind to them; hapair configures no interfaces.",
    ),
    check(
        "link-down",
        Error,
        "The carrier of the interfaces that carry the cluster's addresses.",
        "No cable, no cluster.",
    ),
    check(
        "second-link",
        Warning,
        "Whether there is a second address on an interface of its own.",
        "With one link, one pulled cable parts the pair, and a node is shot.",
    ),
    check(
        "port-in-use",
        Error,
        "Sockets on the ports that the pair needs.",
        "What has the port already keeps DRBD or the cluster from it.",
    ),
    check(
        "port",
        Error,
        "Each port that the pair needs, really connected to from the peer.",
        "A packet filter in between keeps DRBD, OCFS2, the cluster or a live migration from working.",
    ),
    check(
        "link-mtu",
        Either,
        "Packets of the link's full size that may not be cut, and both ends' MTU.",
        "Small packets pass and large ones vanish: DRBD connects and then hangs.",
    ),
    check(
        "latency",
        Warning,
        "The round trip between the nodes: more than 5 ms warns.",
        "Each write of a VM waits for the peer.",
    ),
    check(
        "throughput",
        Warning,
        "Bytes really sent between the nodes for half a second: less than 10 MB/s warns, or less than a quarter of the link's own speed.",
        "All writes go over that link, and the first copy of the whole device.",
    ),
    check(
        "firewall",
        Warning,
        "nftables, iptables, ufw and firewalld.",
        "What passes today may not pass after the next reboot, and hapair opens no ports.",
    ),
    check(
        "bridge",
        Error,
        "The bridges that VMs name, on both nodes.",
        "A VM whose bridge is missing does not start there.",
    ),
    check(
        "package-source",
        Error,
        "The package sources, really asked, when something is to be installed.",
        "An install that stops halfway is worse than none.",
    ),
    check(
        "package-missing",
        Error,
        "Every package that the install needs.",
        "An install that stops halfway is worse than none.",
    ),
    check(
        "package-lock",
        Warning,
        "The locks of dpkg and apt.",
        "Somebody installs something right now; hapair waits for it.",
    ),
    check(
        "package-unfinished",
        Warning,
        "`dpkg --audit`.",
        "Packages that are installed by half get finished by the next install, with whatever that brings.",
    ),
    check(
        "disk-space",
        Error,
        "Free space in /usr, /var and /boot, when packages are to be installed.",
        "dpkg in a full file system leaves packages installed by half.",
    ),
    firm(
        "clustered",
        "Corosync, Heartbeat, a CIB and OCFS2's cluster that are there already.",
        "A node can be in one cluster only; what another one runs there would be stopped.",
    ),
    check(
        "drbd-in-use",
        Error,
        "DRBD's resources that are there already.",
        "Another resource of the same name, or on the same device, is not ours to take.",
    ),
    firm(
        "backing-device",
        "The device of the answers on both nodes: there, or room for it; large enough; free, not mounted and not held.",
        "It becomes one side of the mirror.",
    ),
    check(
        "device-size",
        Warning,
        "The sizes of both backing devices.",
        "DRBD takes the smaller one; the rest of the larger one is lost.",
    ),
    check(
        "device-removable",
        Warning,
        "Whether a backing device can be pulled out.",
        "A stick that is pulled out is a disk that failed.",
    ),
    firm(
        "consent",
        "What the backing devices hold, and `erase` of the answers.",
        "It would be destroyed; only the answers can allow that, by the device's serial.",
    ),
    check(
        "fencing-reach",
        Error,
        "Each BMC, asked by the node that would use it (RMCP ping, UDP 623); of an agent the address it names; the disks and the watchdog of sbd.",
        "A node that can't be switched off stops the whole cluster when it fails.",
    ),
    check(
        "fencing-login",
        Error,
        "User and password of each BMC, tried by the node that would use them, where it has ipmitool already; else that they are not tried yet is a warning, and the step stonith tries them.",
        "With a wrong password nothing is switched off, and that shows only when it is needed.",
    ),
    check(
        "fencing-shown",
        Warning,
        "Whether the fence agent is one that shows its password (fence_ipmilan and its other names).",
        "A list of processes is everybody's on a node.",
    ),
    firm(
        "fencing-softdog",
        "What the watchdog of `method: sbd` says that it is, unless `accept_unsafe: softdog`.",
        "A kernel that hangs takes its own timer with it: the node that must die lives on.",
    ),
    firm(
        "fencing-unsafe",
        "`fencing.method: ssh` without `accept_unsafe`.",
        "It can't switch off a node that hangs: then both write to the same data.",
    ),
    firm("step", "What any other step refuses by itself.", "The install would stop there."),
];

/// The check of a name.
pub fn find(name: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.name == name)
}

/// Whether all these names may be ignored.
///
/// # Errors
/// In words: a name that there is not, or one that can't be ignored.
pub fn may_ignore(names: &[String]) -> Result<(), String> {
    for name in names {
        match find(name) {
            None => {
                let known = CHECKS.iter().filter(|check| check.ignorable).map(|check| check.name);
                let near = crate::answers::fields::nearest(name, known.clone())
                    .map(|near| format!("; do you mean {near}?"))
                    .unwrap_or_default();
                return Err(format!(
                    "--ignore {name}: there is no such check{near} Known are {}",
                    known.collect::<Vec<_>>().join(", ")
                ));
            }
            Some(check) if !check.ignorable => {
                return Err(format!(
                    "--ignore {name}: this can't be ignored, since the install itself refuses it. {}",
                    check.why
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The page `docs/checks.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# The preflight\n\n\
         <!-- Generated from src/preflight/checks.rs: `UPDATE_DOCS=1 cargo test --test docs` writes it. -->\n\n\
         `hapair check --answers FILE` reads both nodes, compares them with each other and with the answers, and lets them talk to\n\
         each other for a few seconds. It changes nothing. `hapair install` does the same before its first change. Everything is\n\
         told at once; an error refuses (exit code 4, or 6 when only consent is missing), a warning does not.\n\n\
         `--ignore NAME` drops the findings of a check. It can be given several times, is written to the journal of an\n\
         install, and refuses a name that is not in this list (exit code 2).\n\n\
         | name | finding | may be ignored | what is looked at | why it matters |\n|---|---|---|---|---|\n",
    );
    for check in CHECKS {
        let weight = match check.weight {
            Error => "error",
            Warning => "warning",
            Either => "warning or error",
        };
        let ignorable = if check.ignorable { "yes" } else { "no" };
        let _ = writeln!(page, "| `{}` | {weight} | {ignorable} | {} | {} |", check.name, check.what, check.why);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_named_once_and_explained() {
        for check in CHECKS {
            assert_eq!(CHECKS.iter().filter(|other| other.name == check.name).count(), 1, "{}", check.name);
            assert!(check.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            for text in [check.what, check.why] {
                assert!(text.ends_with('.') && !text.contains('|'), "{}: {text}", check.name);
            }
        }
    }

    #[test]
    fn only_what_is_known_and_not_firm_may_be_ignored() {
        assert_eq!(may_ignore(&["cpu-flags".to_owned(), "second-link".to_owned()]), Ok(()));
        let error = may_ignore(&["cpu-flag".to_owned()]).expect_err("unknown");
        assert!(error.contains("do you mean cpu-flags?") && error.contains("second-link"), "{error}");
        let error = may_ignore(&["consent".to_owned()]).expect_err("firm");
        assert!(error.contains("can't be ignored"), "{error}");
    }
}

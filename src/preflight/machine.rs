//! The machines themselves: two of them, of one kind, with names.

use super::{Evidence, Finding};
use crate::node::At;

/// Two machines, not one twice, and not one a copy of the other.
pub(super) fn identity(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    let [first, second] = e.facts.each_ref().map(|facts| &facts.identity);
    if first.boot_id == second.boot_id && !first.boot_id.is_empty() {
        found.push(Finding::error(
            "same-machine",
            None,
            format!(
                "{} and {} are one and the same machine (boot id {})",
                e.name(At::First),
                e.name(At::Second),
                first.boot_id
            ),
            "correct `ssh` of the two nodes in the answers file",
        ));
        return;
    }
    if !first.machine_id.is_empty() && first.machine_id == second.machine_id {
        found.push(Finding::warning(
            "same-machine-id",
            None,
            format!("both nodes have the machine id {}", first.machine_id),
            "on one of them: rm /etc/machine-id && systemd-machine-id-setup, and a reboot",
        ));
    }
    if let (Some(uuid), true) = (first.unique_dmi(), first.unique_dmi() == second.unique_dmi()) {
        found.push(Finding::warning(
            "same-dmi-uuid",
            None,
            format!("both mainboards have the UUID {uuid} ({})", first.product),
            "see that these are the two machines you mean; a virtual machine that was copied needs a UUID of its own",
        ));
    }
    if let Some(key) = first.host_keys.iter().find(|key| second.host_keys.contains(key)) {
        found.push(Finding::warning(
            "same-host-key",
            None,
            format!("both nodes have the SSH host key {key}"),
            "on one of them: rm /etc/ssh/ssh_host_* && ssh-keygen -A, then restart ssh and accept the new key",
        ));
    }
    for link in e.facts[0].links.iter().filter(|link| link.kind == "ethernet" && !link.mac.is_empty()) {
        if let Some(other) = e.facts[1].links.iter().find(|other| other.kind == "ethernet" && other.mac == link.mac) {
            found.push(Finding::error(
                "same-mac",
                None,
                format!(
                    "{} of {} and {} of {} have the MAC address {}",
                    link.name,
                    e.name(At::First),
                    other.name,
                    e.name(At::Second),
                    link.mac
                ),
                "give one of them another MAC address: a virtual machine that was copied needs new ones",
            ));
        }
    }
}

/// Releases and architectures.
pub(super) fn release(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for (at, why) in At::BOTH.into_iter().zip(e.platforms) {
        if let Err(why) = why {
            found.push(Finding::error("release", Some(e.name(at)), why.clone(), "install a release that is supported"));
        }
    }
    if let [Ok(first), Ok(second)] = &e.platforms {
        if first.id != second.id {
            found.push(Finding::error(
                "release",
                None,
                format!("{} is {} and {} is {}", e.name(At::First), first.id, e.name(At::Second), second.id),
                "install the same release on both",
            ));
        }
    }
    for why in e.platform().map(|platform| e.answers.unsupported(&platform.id)).unwrap_or_default() {
        found.push(Finding::error("release", None, why, "change the answers file, or install another release"));
    }
    let [first, second] = e.facts.each_ref().map(|facts| facts.kernel.machine.as_str());
    if first != second {
        found.push(Finding::error(
            "architecture",
            None,
            format!("the nodes are {first} and {second}"),
            "use two machines of one architecture",
        ));
    }
    for at in At::BOTH {
        let machine = &e.fact(at).kernel.machine;
        if machine != "x86_64" {
            found.push(Finding::error(
                "architecture",
                Some(e.name(at)),
                format!("it is {machine}; hapair's Xen is that of x86_64"),
                "use x86_64 machines",
            ));
        }
    }
}

/// Names, and where they lead to.
pub(super) fn names(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for at in At::BOTH {
        let (own, is) = (e.name(at), &e.fact(at).hostname);
        if own != *is {
            let hint = if own.eq_ignore_ascii_case(is) { ", in other letters" } else { "" };
            found.push(Finding::warning(
                "host-name",
                Some(own),
                format!("`uname -n` says {is}{hint}; the answers call it {own}"),
                "if that is the machine you mean, nothing: the step `hosts` renames it",
            ));
        }
        for (of, leads) in [(at, &e.asked[at.index()].own), (at.peer(), &e.asked[at.index()].peer)] {
            let wanted = e.answers.nodes[of.index()].address;
            // A name that leads nowhere yet is no surprise; one that leads elsewhere is.
            if let Some(elsewhere) = leads.iter().find(|address| **address != wanted) {
                found.push(Finding::warning(
                    "name-address",
                    Some(own),
                    format!("here the name {} leads to {elsewhere}, not to {wanted}", e.name(of)),
                    "nothing: the step `hosts` writes the cluster's addresses into /etc/hosts",
                ));
            }
        }
    }
}

/// What the kernels can do.
pub(super) fn kernel(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    let Some(platform) = e.platform() else { return };
    let other = platform.kernel_advice();
    for at in At::BOTH {
        let (name, kernel) = (e.name(at), &e.fact(at).kernel);
        let cloud = if kernel.is_cloud() { " (a cloud kernel)" } else { "" };
        if platform.ships_drbd() && kernel.drbd.is_none() {
            found.push(Finding::error(
                "kernel-drbd",
                Some(name),
                format!("the kernel {}{cloud} has no module drbd", kernel.release),
                other,
            ));
        }
        if e.uses_ocfs2() && kernel.ocfs2 == Some(false) {
            found.push(Finding::error(
                "kernel-ocfs2",
                Some(name),
                format!("the kernel {}{cloud} has no module ocfs2", kernel.release),
                other,
            ));
        }
        if e.uses_xen() && kernel.dom0 == Some(false) && platform.ships_drbd() {
            found.push(Finding::error(
                "kernel-dom0",
                Some(name),
                format!("the kernel {}{cloud} can't be Xen's dom0", kernel.release),
                other,
            ));
        }
        if e.uses_xen() && kernel.secure_boot {
            found.push(Finding::error(
                "secure-boot",
                Some(name),
                "Secure Boot is on".to_owned(),
                "switch Secure Boot off in the node's firmware setup",
            ));
        }
    }
    if let [Some(first), Some(second)] = e.facts.each_ref().map(|facts| facts.kernel.drbd.as_deref()) {
        let major = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
        if major(first) != major(second) {
            found.push(Finding::warning(
                "drbd-version",
                None,
                format!("DRBD's module is {first} on {} and {second} on {}", e.name(At::First), e.name(At::Second)),
                "bring both nodes to the same kernel: apt-get upgrade, and a reboot",
            ));
        }
    }
}

/// How far apart clocks may be, in milliseconds: warned about, refused.
const SKEW: [i64; 2] = [1000, 5000];

/// The clocks.
pub(super) fn clock(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    if let [Some(first), Some(second)] = e.asked.each_ref().map(|asked| asked.clock) {
        let skew = (first.millis - second.millis).abs();
        // Only what is sure: a slow connection is not a wrong clock.
        let sure = skew - first.unsure - second.unsure;
        if sure > SKEW[0] {
            let (ahead, behind) =
                if first.millis > second.millis { (At::First, At::Second) } else { (At::Second, At::First) };
            let finding = Finding::warning(
                "clock",
                None,
                format!(
                    "the clock of {} is {}.{} s ahead of that of {}",
                    e.name(ahead),
                    skew / 1000,
                    skew % 1000 / 100,
                    e.name(behind)
                ),
                "set both clocks by NTP: apt-get install chrony (or systemd-timesyncd), and see `timedatectl`",
            );
            found.push(Finding { error: sure > SKEW[1], ..finding });
        }
    }
    for at in At::BOTH {
        if e.fact(at).clock.synchronized == Some(false) {
            found.push(Finding::warning(
                "clock-sync",
                Some(e.name(at)),
                "nothing keeps its clock right (`timedatectl` says: not synchronized)".to_owned(),
                "apt-get install chrony (or systemd-timesyncd), and see that it finds its servers",
            ));
        }
    }
}

#[cfg(test)]
mod tests {

    use crate::facts::Facts;
    use crate::preflight::asked::Offset;
    use crate::preflight::samples::{self, Sample};

    #[test]
    fn one_machine_twice_and_copies_are_found() {
        let mut sample = Sample::default();
        assert!(sample.names().is_empty(), "{:?}", sample.find());
        let identity = sample.facts[0].identity.clone();
        sample.facts[1].identity = crate::facts::identity::Identity { boot_id: "other".to_owned(), ..identity.clone() };
        sample.facts[1].links[0].mac = sample.facts[0].links[0].mac.clone();
        assert_eq!(sample.names(), ["same-machine-id", "same-dmi-uuid", "same-host-key", "same-mac"]);
        sample.facts[1].identity = identity;
        assert!(sample.names().contains(&"same-machine"));
        assert!(!sample.names().contains(&"same-machine-id"));
    }

    #[test]
    fn a_board_without_a_uuid_is_no_copy() {
        let mut sample = Sample::default();
        for facts in &mut sample.facts {
            "00000000-0000-0000-0000-000000000000".clone_into(&mut facts.identity.dmi_uuid);
        }
        assert!(sample.names().is_empty());
    }

    #[test]
    fn releases_and_architectures_must_be_one() {
        let mut sample = Sample::default();
        sample.platforms[1] = Ok(samples::platform("debian-13"));
        sample.facts[1].kernel.machine = "aarch64".to_owned();
        assert_eq!(sample.names(), ["release", "architecture", "architecture"]);
        let mut sample = Sample::default();
        sample.platforms[0] = Err("Debian GNU/Linux 11 (bullseye) is not supported; nearest is debian-12".to_owned());
        let findings = sample.find();
        assert_eq!(
            (findings[0].name, findings[0].node.as_deref(), findings[0].error),
            ("release", Some("node1"), true)
        );
    }

    #[test]
    fn names_that_are_not_right_yet_are_told() {
        let mut sample = Sample::default();
        sample.facts[0].hostname = "Node1".to_owned();
        sample.asked[1].own = vec![std::net::Ipv4Addr::new(127, 0, 1, 1)];
        let findings = sample.find();
        let told: Vec<(&str, &str)> = findings.iter().map(|finding| (finding.name, finding.what.as_str())).collect();
        assert_eq!(
            told,
            [
                ("host-name", "`uname -n` says Node1, in other letters; the answers call it node1"),
                ("name-address", "here the name node2 leads to 127.0.1.1, not to 10.77.0.2"),
            ]
        );
        assert!(findings.iter().all(|finding| !finding.error));
    }

    #[test]
    fn a_cloud_kernel_is_refused() {
        let mut sample = Sample::default();
        let kernel = &mut sample.facts[1].kernel;
        kernel.release = "6.1.0-56-cloud-amd64".to_owned();
        (kernel.ocfs2, kernel.dom0, kernel.drbd) = (Some(false), Some(false), None);
        kernel.secure_boot = true;
        assert_eq!(sample.names(), ["kernel-drbd", "kernel-ocfs2", "kernel-dom0", "secure-boot"]);
        assert!(sample.find()[0].what.contains("6.1.0-56-cloud-amd64 (a cloud kernel)"));
        // Where the module is built on the node, none is needed yet; and a stand-in needs no dom0.
        sample.platforms = [(); 2].map(|()| Ok(samples::platform("ubuntu-7.10")));
        assert_eq!(sample.names(), ["kernel-ocfs2", "secure-boot"]);
    }

    #[test]
    fn two_drbds_are_told() {
        let mut sample = Sample::default();
        sample.facts[1].kernel.drbd = Some("9.2.13".to_owned());
        assert_eq!(sample.names(), ["drbd-version"]);
        sample.facts[1].kernel.drbd = Some("8.4.12".to_owned());
        assert!(sample.names().is_empty());
    }

    #[test]
    fn clocks_warn_at_one_second_and_refuse_at_five() {
        let mut sample = Sample::default();
        let mut at = |millis: i64, unsure: i64| {
            sample.asked[0].clock = Some(Offset { millis, unsure });
            sample.asked[1].clock = Some(Offset { millis: 0, unsure: 1 });
            sample.find().into_iter().map(|finding| (finding.name, finding.error)).collect::<Vec<_>>()
        };
        assert_eq!(at(900, 1), []);
        assert_eq!(at(1500, 1), [("clock", false)]);
        assert_eq!(at(-7000, 1), [("clock", true)]);
        assert_eq!(at(1500, 600), []);
        sample.asked[0].clock = None;
        sample.facts[0] = Facts {
            clock: crate::facts::clock::Clock { utc_millis: 1, synchronized: Some(false) },
            ..sample.facts[0].clone()
        };
        assert_eq!(sample.names(), ["clock-sync"]);
    }
}

//! What is there already and belongs to somebody: other clusters, DRBD, the backing devices; and what fencing needs.

use super::{Evidence, Finding};
use crate::device::bytes;
use crate::fencing::login::Login;
use crate::node::At;

/// Another cluster's node.
pub(super) fn clustered(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for at in At::BOTH {
        let (name, presence) = (e.name(at), &e.fact(at).presence);
        let mut refuse = |what: String, next: &str| found.push(Finding::error("clustered", Some(name), what, next));
        if presence.corosync_is_a_cluster() && !e.is_ours(at) {
            refuse(
                format!(
                    "Corosync is configured for the cluster {} of {}",
                    presence.corosync_cluster,
                    presence.corosync_nodes.join(" and ")
                ),
                "use other machines; or, if that cluster is given up, stop pacemaker and corosync on it and remove /etc/corosync/corosync.conf and /var/lib/pacemaker/cib",
            );
        } else if !presence.heartbeat_nodes.is_empty() && !e.is_ours(at) {
            refuse(
                format!("Heartbeat is configured for {}", presence.heartbeat_nodes.join(" and ")),
                "use other machines; or, if that cluster is given up, stop heartbeat and remove /etc/ha.d/ha.cf and /var/lib/heartbeat/crm",
            );
        } else if presence.cib_primitives.unwrap_or(0) > 0 && !e.is_ours(at) {
            refuse(
                format!("a CIB with {} resources is there", presence.cib_primitives.unwrap_or(0)),
                "if that cluster is given up, stop pacemaker and move /var/lib/pacemaker/cib away",
            );
        }
        let ocfs2 = presence.ocfs2_mounts.iter().find(|place| **place != e.answers.storage.mount);
        if let Some(place) = ocfs2.filter(|_| e.uses_ocfs2()) {
            refuse(
                format!("OCFS2 is mounted on {place}, and its cluster {} is online", presence.ocfs2_cluster),
                "a node can be in one OCFS2 cluster only: unmount it and take /etc/ocfs2/cluster.conf away, or use other machines",
            );
        }
    }
}

/// DRBD resources of others.
pub(super) fn drbd(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for at in At::BOTH {
        let (name, presence) = (e.name(at), &e.fact(at).presence);
        let (device, resource) = (&e.answers.nodes[at.index()].device, &e.answers.storage.resource);
        for drbd in &presence.drbd_disks {
            let same_disk = same_device(e, at, device, &drbd.disk);
            // DRBD 8.0 does not tell the name.
            if drbd.resource.is_empty() || (same_disk && drbd.resource == *resource) {
                continue;
            }
            let what = if drbd.resource == *resource {
                format!("the DRBD resource {resource} runs already, on {}", drbd.disk)
            } else if same_disk {
                format!("{device} is the backing device of the DRBD resource {}", drbd.resource)
            } else {
                continue;
            };
            found.push(Finding::error(
                "drbd-in-use",
                Some(name),
                what,
                "name another `storage.resource` or `device`; or, if that resource is given up, `drbdadm down` it and remove its file",
            ));
        }
    }
}

fn same_device(e: &Evidence<'_>, at: At, one: &str, other: &str) -> bool {
    let path = |device: &str| e.fact(at).partition(device).map(|(_, part)| part.path.as_str());
    one == other || path(one).is_some_and(|one| path(other) == Some(one))
}

/// Sizes and kinds of the backing devices; whether they may be taken is the step's own look.
pub(super) fn devices(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    let seen = At::BOTH.map(|at| e.fact(at).partition(&e.answers.nodes[at.index()].device));
    if let [Some((_, first)), Some((_, second))] = seen {
        let (small, large) = (first.bytes.min(second.bytes), first.bytes.max(second.bytes));
        // What DRBD's metadata takes is more than a MiB of a small device.
        if large - small > 1 << 20 {
            found.push(Finding::warning(
                "device-size",
                None,
                format!(
                    "{} is {} on {} and {} is {} on {}: {} are lost",
                    first.path,
                    bytes(first.bytes),
                    e.name(At::First),
                    second.path,
                    bytes(second.bytes),
                    e.name(At::Second),
                    bytes(large - small)
                ),
                "make them equal, if the rest is of use elsewhere",
            ));
        }
    }
    for (at, seen) in At::BOTH.into_iter().zip(seen) {
        if let Some((disk, part)) = seen.filter(|(disk, _)| disk.removable || disk.transport == "usb") {
            found.push(Finding::warning(
                "device-removable",
                Some(e.name(at)),
                format!("{} is on {} ({}), which can be pulled out", part.path, disk.path(), disk.model),
                "take a disk that is built in",
            ));
        }
    }
}

/// What fencing needs.
pub(super) fn fencing(e: &Evidence<'_>, found: &mut Vec<Finding>) {
    for why in e.answers.refusals(e.rehearsal) {
        found.push(Finding::error("fencing-unsafe", None, why, "change `fencing` in the answers file"));
    }
    if let Some(agent) = e.answers.fencing.method.agent_that_shows_its_password() {
        found.push(Finding::warning(
            "fencing-shown",
            None,
            format!("{agent} gives the BMC's password to ipmitool as an argument: every user of a node can read it there meanwhile"),
            "take `method: ipmi`, which hands it over out of sight; or let nobody but root log in to the nodes",
        ));
    }
    for at in At::BOTH {
        let silent = e.asked[at.index()].fencing.iter().any(|(_, answers)| !answers);
        for login in &e.asked[at.index()].logins {
            match login {
                // What does not answer is told once.
                Login::Fails(what, next) if !silent => {
                    found.push(Finding::error("fencing-login", Some(e.name(at)), what.clone(), next));
                }
                Login::Fails(..) | Login::Works | Login::NotTried => {}
            }
        }
        if !silent && e.asked[at.index()].logins.contains(&Login::NotTried) {
            found.push(not_tried(e, at));
        }
        for (target, answers) in &e.asked[at.index()].fencing {
            let (kind, place) = target.split_once(':').unwrap_or(("", target));
            if *answers {
                continue;
            }
            if kind == "hard" {
                if !e.rehearsal && !e.answers.fencing.accept_unsafe_softdog {
                    found.push(Finding::error(
                        "fencing-softdog",
                        Some(e.name(at)),
                        format!("the watchdog {place} is softdog, a timer of the kernel itself"),
                        "load the driver of the mainboard's watchdog (iTCO_wdt, sp5100_tco, ipmi_watchdog...) and unload softdog; or accept it with `accept_unsafe: softdog` under `fencing`",
                    ));
                }
                continue;
            }
            let peer = e.name(at.peer());
            let (what, next) = match kind {
                "bmc" => (
                    format!("the BMC of {peer} ({place}) does not answer on UDP port 623"),
                    "switch IPMI over LAN on in the BMC, and see that this node has a way to it: `ipmitool -I lanplus -H ADDRESS ... power status`",
                ),
                "ping" => (
                    format!("what switches {peer} off ({place}) does not answer a ping"),
                    "see that this node has a way to it; ignore this if it answers no pings by design",
                ),
                "block" => (
                    format!("there is no shared disk {place}"),
                    "let this node see the disk (iSCSI, a shared controller), under the same by-id name on both",
                ),
                _ => (
                    format!("there is no watchdog {place}"),
                    "load the driver of the mainboard's watchdog, and add it to /etc/modules",
                ),
            };
            found.push(Finding::error("fencing-reach", Some(e.name(at)), what, next));
        }
        let backing = &e.answers.nodes[at.index()].device;
        for (target, _) in &e.asked[at.index()].fencing {
            if let Some(place) = target.strip_prefix("block:").filter(|place| holds(e, at, place, backing)) {
                let what = format!("{place}, for sbd, is or holds {backing}, which DRBD is to take");
                let next = "give sbd a small disk of its own that both nodes share; DRBD's would be overwritten by it";
                found.push(Finding::error("fencing-reach", Some(e.name(at)), what, next));
            }
        }
    }
}

/// Nobody should take silence for a password that is right.
fn not_tried(e: &Evidence<'_>, at: At) -> Finding {
    // The step tries them where the cluster is Corosync's (steps/15-stonith.yaml).
    let step = e.platform().is_some_and(|platform| platform.messaging == "corosync");
    let what = format!(
        "user and password of the BMC of {} are not tried yet: ipmitool is not installed{}",
        e.name(at.peer()),
        if step {
            "; the step stonith installs it and tries them, before the cluster gets to know the device"
        } else {
            ""
        }
    );
    Finding::warning(
        "fencing-login",
        Some(e.name(at)),
        what,
        "to have them tried now: install the package ipmitool on this node, and `hapair check` again",
    )
}

/// Whether `one` is the partition `backing`, or the disk that it lies on, by whatever name.
fn holds(e: &Evidence<'_>, at: At, one: &str, backing: &str) -> bool {
    let disk = e.fact(at).partition(backing).map(|(disk, _)| disk);
    one == backing
        || same_device(e, at, one, backing)
        || disk.is_some_and(|disk| {
            let id = one.strip_prefix("/dev/disk/by-id/");
            disk.path() == one || disk.by_id.iter().any(|known| Some(known.as_str()) == id)
        })
}

#[cfg(test)]
mod tests {
    use crate::answers::FencingMethod;
    use crate::facts::presence::DrbdDisk;
    use crate::fencing::login::Login;
    use crate::preflight::samples::{self, Sample};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_node_of_another_cluster_is_refused_ours_is_not() {
        let mut sample = Sample::default();
        let presence = &mut sample.facts[0].presence;
        presence.corosync_cluster = "web".to_owned();
        presence.corosync_nodes = words("node1 node2");
        presence.corosync_addresses = words("10.77.0.1 10.77.0.2");
        let findings = sample.find();
        assert_eq!((findings[0].name, findings[0].error), ("clustered", true));
        assert_eq!(findings[0].what, "Corosync is configured for the cluster web of node1 and node2");
        sample.facts[0].presence.corosync_cluster = "pair".to_owned();
        assert!(sample.names().is_empty());
        // The ring of one that the package brings.
        sample.facts[0].presence.corosync_cluster = "debian".to_owned();
        sample.facts[0].presence.corosync_addresses = words("127.0.0.1");
        assert!(sample.names().is_empty());
        sample.facts[0].presence.cib_primitives = Some(3);
        assert_eq!(sample.names(), ["clustered"]);
        sample.facts[0].presence.heartbeat_nodes = words("node1 other");
        assert!(sample.find()[0].what.contains("Heartbeat"));
    }

    #[test]
    fn ocfs2_of_others_is_refused() {
        let mut sample = Sample::default();
        sample.facts[0].presence.ocfs2_cluster = "ocfs2".to_owned();
        sample.facts[0].presence.ocfs2_mounts = words("/drbd0");
        assert!(sample.names().is_empty());
        sample.facts[0].presence.ocfs2_mounts = words("/srv/shared");
        assert_eq!(sample.names(), ["clustered"]);
    }

    #[test]
    fn drbd_of_others_is_not_taken() {
        let mut sample = Sample::default();
        let of = |resource: &str, disk: &str| vec![DrbdDisk { resource: resource.to_owned(), disk: disk.to_owned() }];
        for (disks, names) in [
            (of("r0", "/dev/sda3"), vec![]),
            (of("r1", "/dev/sdb1"), vec![]),
            (of("r0", "/dev/sdb1"), vec!["drbd-in-use"]),
            (of("r7", "/dev/sda3"), vec!["drbd-in-use"]),
            (of("", "/dev/sda3"), vec![]),
        ] {
            sample.facts[1].presence.drbd_disks = disks.clone();
            assert_eq!(sample.names(), names, "{disks:?}");
        }
    }

    #[test]
    fn devices_of_two_sizes_and_sticks_are_told() {
        let mut sample = Sample::default();
        sample.facts[0].disks[0].parts[0].bytes = 3 << 30;
        sample.facts[1].disks[0].transport = "usb".to_owned();
        assert_eq!(sample.names(), ["device-size", "device-removable"]);
        assert!(sample.find()[0].what.ends_with("1 GiB are lost"), "{}", sample.find()[0].what);
    }

    #[test]
    fn an_agent_that_shows_its_password_is_told_alone_or_as_a_level() {
        let agent = |name: &str| FencingMethod::Agent { name: name.to_owned(), nodes: Box::default() };
        let mut sample = Sample::default();
        for (method, names) in [
            (agent("fence_ilo4"), vec!["fencing-shown"]),
            (FencingMethod::Levels { methods: vec![agent("fence_ipmilan")] }, vec!["fencing-shown"]),
            (FencingMethod::Levels { methods: vec![agent("fence_apc_snmp"), FencingMethod::Manual] }, vec![]),
        ] {
            sample.answers.fencing.method = method;
            assert_eq!(sample.names(), names);
        }
        assert!(!sample.find().iter().any(|finding| finding.error));
    }

    #[test]
    fn what_fencing_needs_must_be_there() {
        let mut sample = Sample::default();
        sample.asked[0].fencing = vec![("bmc:192.0.2.12".to_owned(), true)];
        assert!(sample.names().is_empty());
        for target in ["bmc:192.0.2.12", "ping:192.0.2.12", "block:/dev/disk/by-id/x", "char:/dev/watchdog"] {
            sample.asked[0].fencing = vec![(target.to_owned(), false)];
            assert_eq!(sample.names(), ["fencing-reach"], "{target}");
        }
        for (disk, names) in
            [("/dev/sda3", vec!["fencing-reach"]), ("/dev/sda", vec!["fencing-reach"]), ("/dev/sdz", vec![])]
        {
            sample.asked[0].fencing = vec![(format!("block:{disk}"), true)];
            assert_eq!(sample.names(), names, "{disk}");
        }
        sample.asked[0].fencing = vec![("hard:/dev/watchdog".to_owned(), false)];
        assert_eq!(sample.names(), ["fencing-softdog"]);
        sample.answers.fencing.accept_unsafe_softdog = true;
        assert!(sample.names().is_empty());
        sample.asked[0].fencing.clear();
        sample.asked[0].logins = vec![Login::Fails("the BMC of node2 does not take the password".to_owned(), "put")];
        assert_eq!(sample.names(), ["fencing-login"]);
        // On a fresh node nothing can try them, and that is said.
        sample.asked[0].logins = vec![Login::NotTried, Login::NotTried];
        assert_eq!(sample.names(), ["fencing-login"]);
        let finding = sample.find().remove(0);
        assert!(!finding.error && finding.what.starts_with("user and password of the BMC of node2 are not tried"));
        assert!(finding.what.contains("the step stonith") && finding.next.contains("ipmitool"), "{finding:?}");
        sample = Sample { answers: samples::answers_with("fencing: { method: ssh }"), ..Sample::default() };
        assert_eq!(sample.names(), ["fencing-unsafe"]);
        sample.rehearsal = true;
        assert!(sample.names().is_empty());
    }
}

//! SBD that could not do its part: a daemon that does not run, a disk that can't be read or has lost its header, a message
//! that nobody read. The cluster sees none of it: its device answers from the node that it runs on, and says that a node is
//! dead once the time of the message is over, read or not (sbd(8)).

use super::member::peer;
use super::node::NodeStatus;
use super::trouble::{HARMLESS, LOOKS, Trouble};
use crate::answers::{Answers, FencingMethod};
use crate::fencing::sbd::{Disk, Header, Sbd};
use crate::node::Lost;

const AWAY: &str = "the VMs of this node move to the other one";
const RESTART: &str = "systemctl stop pacemaker && systemctl restart corosync && systemctl start pacemaker";
const RESTARTS: &str = "the cluster and SBD of this node stop and start; in standby nothing runs there meanwhile. Where SBD reads no \
                        disk the watchdog may reset the node";
const MUST_READ: &str =
    "a node that is shot by it lives on, and the other one takes over what still runs: both write to the same disks";

/// What is amiss with SBD; nothing where the fencing does without it.
pub(super) fn troubles(answers: &Answers, nodes: &[Result<NodeStatus, Lost>; 2]) -> Vec<Trouble> {
    let mut found = Vec::new();
    let names = answers.nodes.each_ref().map(|node| node.name.as_str());
    let asked = || names.into_iter().zip(nodes).filter_map(|(name, node)| Some((name, node.as_ref().ok()?)));
    if !answers.fencing.method.uses_sbd() && !asked().any(|(_, node)| node.fencing_by_sbd) {
        return found;
    }
    for (name, node) in asked() {
        match &node.sbd {
            Ok(sbd) => {
                daemon(name, node, sbd, &mut found);
                watchdog(answers, name, sbd, &mut found);
                for disk in &sbd.disks {
                    of_disk(names, name, sbd, disk, &mut found);
                }
            }
            Err(why) => found.push(
                Trouble::new("sbd-unknown", Some(name), format!("SBD on {name} can't be looked at: {why}")).mend(
                    name,
                    "cat /etc/default/sbd; systemctl status sbd",
                    LOOKS,
                ),
            ),
        }
    }
    two_disks(names, nodes, &mut found);
    messages(names, nodes, &mut found);
    found
}

/// Empties the node, starts its cluster, and SBD with it, anew, and fills it again.
fn restarted(trouble: Trouble, name: &str) -> Trouble {
    trouble
        .mend(name, format!("crm_standby -v on -N {name} && crm_resource --wait"), AWAY)
        .mend(name, RESTART, RESTARTS)
        .mend(name, format!("crm_standby -D -N {name}"), HARMLESS)
}

/// It starts and stops with Corosync, so where no cluster runs its absence is no news.
fn daemon(name: &str, node: &NodeStatus, sbd: &Sbd, found: &mut Vec<Trouble>) {
    if sbd.running || node.cluster.is_err() {
        return;
    }
    let what =
        format!("the cluster runs on {name} and SBD does not, so nobody reads the messages to {name}: {MUST_READ}");
    let looked = Trouble::new("sbd-stopped", Some(name), what).mend(name, "journalctl -b -u sbd", LOOKS);
    found.push(restarted(looked, name));
}

fn watchdog(answers: &Answers, name: &str, sbd: &Sbd, found: &mut Vec<Trouble>) {
    // The first watchdog has two names.
    let one = |path: &str| if path == "/dev/watchdog" { "/dev/watchdog0".to_owned() } else { path.to_owned() };
    if let Some(held) = sbd.held.iter().find(|held| one(held) != one(&sbd.watchdog)) {
        let what = format!("SBD on {name} keeps the watchdog {held} and is set to {}", sbd.watchdog);
        found.push(restarted(Trouble::new("sbd-watchdog", Some(name), what), name));
    }
    if let FencingMethod::Sbd { watchdog, .. } = &answers.fencing.method {
        let set = Some(sbd.setting("SBD_WATCHDOG_DEV")).filter(|set| !set.is_empty()).unwrap_or("/dev/watchdog");
        // Not before it is set up.
        if !sbd.disks.is_empty() && set != watchdog {
            let what = format!("SBD on {name} is set to the watchdog {set} and not to {watchdog}, that of the answers");
            found.push(Trouble::new("sbd-watchdog", Some(name), what).mend(
                "here",
                "hapair step stonith --answers FILE",
                HARMLESS,
            ));
        }
    }
    if sbd.softdog && !answers.fencing.accept_unsafe_softdog {
        let what = format!(
            "the watchdog {} of {name} is softdog, a timer of the kernel itself: it does not reset a node whose kernel hangs",
            sbd.watchdog
        );
        found.push(Trouble::new("sbd-softdog", Some(name), what).mend(
            name,
            "modprobe DRIVER (iTCO_wdt, sp5100_tco, ipmi_watchdog...); keep softdog from being loaded; boot anew",
            "the node boots: move its VMs away first",
        ));
    }
}

fn of_disk(names: [&str; 2], name: &str, sbd: &Sbd, disk: &Disk, found: &mut Vec<Trouble>) {
    let path = &disk.path;
    let others = if sbd.disks.len() > 1 { ", beside the other disks" } else { "" };
    match &disk.header {
        Header::Lost => found.push(
            Trouble::new(
                "sbd-disk",
                Some(name),
                format!(
                    "{name} can't read {path}, a disk of SBD{others}: when no more than half of them can be read, messages reach \
                     nobody, fencing fails, and a node whose cluster ends, or is stopped, resets itself"
                ),
            )
            .mend(name, format!("ls -l {path}; blockdev --getsize64 {path}; dmesg | tail -n 30"), LOOKS)
            .mend(name, "bring back the way to it (iSCSI: iscsiadm -m session --rescan; multipath -ll)", HARMLESS)
            .mend(name, format!("sbd -d {path} list"), LOOKS),
        ),
        Header::Gone => found.push(gone(name, sbd, disk)),
        Header::Read(_) => {
            if sbd.running && !sbd.watched.contains(path) {
                let what = format!("SBD runs on {name} and does not watch {path}, a disk of its settings: {MUST_READ}");
                // A watcher that ended is started again after five seconds (`-t` of sbd(8)).
                let look = "sleep 10; systemctl status sbd; journalctl -b -u sbd";
                let looked = Trouble::new("sbd-unwatched", Some(name), what).mend(name, look, LOOKS);
                found.push(restarted(looked, name));
            }
            for node in names {
                // As `sbd` compares names.
                if !disk.slots.iter().any(|slot| slot.node.eq_ignore_ascii_case(node)) {
                    let what = format!("{node} has no slot on {path} as {name} sees it, so no message can reach {node} there");
                    found.push(
                        Trouble::new("sbd-slot", Some(node), what)
                            .mend(name, format!("sbd -d {path} list; ls -l {path}"), LOOKS)
                            .mend(node, format!("sbd -d {path} allocate {node}"), "none, when it is one disk that both nodes share"),
                    );
                }
            }
        }
    }
}

/// The times of a header that is still there are those that the new one must have.
fn gone(name: &str, sbd: &Sbd, disk: &Disk) -> Trouble {
    let path = &disk.path;
    let time = |name: &str, usual: &str| {
        let known = sbd.disks.iter().find_map(|disk| disk.field(name));
        known.unwrap_or(usual).to_owned()
    };
    let create =
        format!("sbd -d {path} -1 {} -4 {} create", time("Timeout (watchdog)", "5"), time("Timeout (msgwait)", "10"));
    let what = format!("{path}, a disk of SBD, has no header any more as {name} sees it: no message can be left there");
    Trouble::new("sbd-header", Some(name), what)
        .mend(name, format!("ls -l {path}; wipefs {path}; blkid -p {path}"), "none: it only looks whether something else was written there")
        .mend(
            "either node",
            create,
            "its beginning is overwritten: only when nothing else is on it. The times must be those that it had; the fencing has to be \
             proved again behind it, and that switches each node off once",
        )
        .mend(
            "each node",
            format!("sleep 10; sbd -d {path} list; systemctl status sbd"),
            "none: it only looks whether both have their slots again, and SBD a watcher for the disk; SBD starts it by itself",
        )
}

/// Two disks of one name would be two letter boxes.
fn two_disks(names: [&str; 2], nodes: &[Result<NodeStatus, Lost>; 2], found: &mut Vec<Trouble>) {
    let [Ok(first), Ok(second)] = nodes else { return };
    let (Ok(first), Ok(second)) = (&first.sbd, &second.sbd) else { return };
    for disk in &first.disks {
        let same = second.disks.iter().find(|other| other.path == disk.path);
        let ids = (disk.field("UUID"), same.and_then(|other| other.field("UUID")));
        if let (Some(one), Some(other)) = ids {
            if one != other {
                let what = format!(
                    "{} is one disk on {} ({one}) and another one on {} ({other}): messages reach nobody",
                    disk.path, names[0], names[1]
                );
                found.push(Trouble::new("sbd-two-disks", None, what).mend(
                    "both nodes",
                    format!("ls -l {}; lsblk -o NAME,SERIAL,WWN", disk.path),
                    LOOKS,
                ));
            }
        }
    }
}

/// What waits in a slot although it should have been read, or that keeps its node from starting.
fn messages(names: [&str; 2], nodes: &[Result<NodeStatus, Lost>; 2], found: &mut Vec<Trouble>) {
    let of = |index: usize| nodes[index].as_ref().ok().and_then(|node| node.sbd.as_ref().ok());
    for (index, name) in names.into_iter().enumerate() {
        // Of whoever sees the disk.
        let disks = [index, 1 - index].into_iter().filter_map(of).flat_map(|sbd| &sbd.disks);
        let mut slots = disks.flat_map(|disk| disk.slots.iter().map(move |slot| (disk, slot)));
        let waiting = slots.find(|(_, slot)| slot.waits() && slot.node.eq_ignore_ascii_case(name));
        let Some((disk, slot)) = waiting else { continue };
        let what = format!("the message `{}` of {} waits for {name} on {}", slot.message, slot.from, disk.path);
        let clear = format!("sbd -d {} message {name} clear", disk.path);
        let running = of(index).is_some_and(|sbd| sbd.running);
        // Set to start always, SBD clears its slot itself when it starts.
        let clean = of(index).or_else(|| of(1 - index)).is_some_and(|sbd| sbd.setting("SBD_STARTMODE") == "clean");
        if running {
            let what =
                format!("{what}, and SBD runs there: either it is read right now, or SBD does not read: {MUST_READ}");
            let looked = Trouble::new("sbd-message", Some(name), what).mend(
                name,
                format!("sleep 10; sbd -d {} list", disk.path),
                LOOKS,
            );
            found.push(restarted(looked, name));
        } else if clean {
            let what =
                format!("{what}, and keeps SBD, and with it the cluster, from starting there (SBD_STARTMODE=clean)");
            found.push(
                Trouble::new("sbd-message", Some(name), what)
                    .mend(
                        peer(names, name),
                        clear,
                        "none once it was switched off or booted since; before, the order to die is lost, and what runs there still is started a second time",
                    )
                    .mend(name, "systemctl start corosync pacemaker", HARMLESS),
            );
        }
    }
}

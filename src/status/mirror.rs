//! What is amiss with DRBD's mirror, and what mends it.

use super::node::NodeStatus;
use super::split_brain;
use super::trouble::{HARMLESS, LOOKS, Trouble};
use super::vm::VmStatus;
use crate::answers::Answers;
use crate::drbd;
use crate::node::Lost;

/// What is amiss with DRBD: that of the answers, and the devices beside it.
pub(super) fn all(
    answers: &Answers,
    names: [&str; 2],
    nodes: &[Result<NodeStatus, Lost>; 2],
    vms: &[VmStatus],
    found: &mut Vec<Trouble>,
) {
    for (index, name) in names.into_iter().enumerate() {
        let devices = nodes[index].iter().flat_map(|node| &node.vm_devices);
        let place = |resource| Place { resource, name, peer: names[1 - index], port: None, disk: None };
        found.extend(devices.filter_map(|(resource, device)| of_device(place(resource), device)));
    }
    let resource = &answers.storage.resource;
    let device = |index: usize| nodes[index].as_ref().ok().and_then(|node| node.drbd.device.as_ref());
    let gi = |index: usize| nodes[index].as_ref().ok().and_then(|node| node.drbd.gi.as_ref());
    let apart = |index: usize| device(index).is_some_and(|device| !device.connected());
    if let (Some(first), Some(second)) = (gi(0), gi(1))
        && apart(0)
        && apart(1)
        && first.split_from(second)
    {
        let versions = nodes.iter().filter_map(|node| node.as_ref().ok()?.drbd.version.as_deref());
        let dialect = versions.map(drbd::dialect).next().unwrap_or("8.4");
        found.push(split_brain::trouble(answers, names, vms, dialect));
        return;
    }
    for (index, name) in names.into_iter().enumerate() {
        let Ok(node) = &nodes[index] else { continue };
        let Some(device) = &node.drbd.device else {
            let what = if node.drbd.version.is_some() { "is not up" } else { "is not up: the module is not loaded" };
            found.push(Trouble::new("drbd-down", Some(name), format!("DRBD's {resource} {what} on {name}")).mend(
                name,
                format!("modprobe drbd && drbdadm up {resource}"),
                HARMLESS,
            ));
            continue;
        };
        let (port, disk) = (Some(answers.storage.port), Some(answers.nodes[index].device.as_str()));
        found.extend(of_device(Place { resource, name, peer: names[1 - index], port, disk }, device));
    }
}

/// A DRBD device on one node.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// As `drbdadm` takes it.
    resource: &'a str,
    name: &'a str,
    peer: &'a str,
    /// `None` where only the node's own configuration tells it.
    port: Option<u16>,
    /// The backing device; `None` likewise.
    disk: Option<&'a str>,
}

fn of_device(place: Place<'_>, device: &drbd::Device) -> Option<Trouble> {
    let Place { resource, name, .. } = place;
    if device.syncing() {
        return Some(Trouble::new(
            "resync",
            Some(name),
            format!(
                "{resource} on {name} is being synchronised ({}): until it is done only one copy is good",
                device.connection
            ),
        ));
    }
    let trouble = match device.connection.as_str() {
        "StandAlone" => Trouble::new(
            "standalone",
            Some(name),
            format!("{resource} on {name} has stopped talking to its peer (StandAlone)"),
        )
        .mend(name, "dmesg | grep -i drbd | tail -n 40", LOOKS)
        .mend(
            name,
            format!("drbdadm connect {resource}"),
            "none: if the two sides differ, DRBD refuses and says so",
        ),
        _ if !device.connected() => Trouble::new(
            "disconnected",
            Some(name),
            format!("{resource} on {name} doesn't reach its peer ({}): writes are on one side only", device.connection),
        )
        .mend(
            name,
            match place.port {
                None => "ip -s link; drbdadm dump all | grep address".to_owned(),
                Some(port) => format!("ip -s link; ss -tn 'sport = :{port} or dport = :{port}'"),
            },
            LOOKS,
        )
        .mend(place.peer, format!("drbdadm up {resource}"), HARMLESS),
        _ => match device.disk.as_str() {
            "UpToDate" => return None,
            "Diskless" | "Failed" => Trouble::new(
                "diskless",
                Some(name),
                format!("{resource} on {name} has lost its disk ({}) and works with the peer's", device.disk),
            )
            .mend(name, format!("dmesg | tail -n 40; {}", health(place)), LOOKS)
            .mend(
                name,
                format!("drbdadm attach {resource}"),
                "none when the disk is sound again; a new disk needs `drbdadm create-md` first, on this node only",
            ),
            other => Trouble::new("not-up-to-date", Some(name), format!("{resource} on {name} is {other}")).mend(
                name,
                format!("drbdadm disconnect {resource}; drbdadm connect {resource}"),
                "none: the good side is copied to this one",
            ),
        },
    };
    Some(trouble)
}

/// The command that asks the disks below a backing device how they are: the device may be a partition or a volume of theirs.
fn health(place: Place<'_>) -> String {
    let device = place.disk.map_or_else(|| format!("$(drbdadm sh-ll-dev {})", place.resource), str::to_owned);
    format!("for disk in $(lsblk -nrso PATH,TYPE {device} | sed -n 's/ disk$//p'); do smartctl -a $disk; done")
}

//! What is not as it must be, each thing with the commands that mend it and what they risk. hapair never runs them by
//! itself: most of them need somebody who knows what happened.

use serde::Serialize;

use super::node::NodeStatus;
use super::vm::VmStatus;
use super::{member, mirror};
use crate::answers::{Answers, Layout};
use crate::cluster::ClusterView;
use crate::node::Lost;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Its name, for programs: `split-brain`, `node-unclean`...
    pub name: &'static str,
    /// Where, when it is about one node.
    pub node: Option<String>,
    /// What it is, in words.
    pub what: String,
    /// What mends it, in this order.
    pub mend: Vec<Mend>,
}

/// A command that mends something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mend {
    /// Where to type it.
    pub on: String,
    /// The command, or what to do by hand.
    pub command: String,
    /// What it may cost.
    pub risk: String,
}

pub(super) const HARMLESS: &str = "none";
pub(super) const LOOKS: &str = "none: it only looks";

impl Trouble {
    pub(super) fn new(name: &'static str, node: Option<&str>, what: impl Into<String>) -> Self {
        Self { name, node: node.map(str::to_owned), what: what.into(), mend: Vec::new() }
    }

    pub(super) fn mend(mut self, on: &str, command: impl Into<String>, risk: &str) -> Self {
        self.mend.push(Mend { on: on.to_owned(), command: command.into(), risk: risk.to_owned() });
        self
    }
}

/// All that is not as it must be; empty: the pair is healthy.
#[must_use]
pub fn all(
    answers: &Answers,
    nodes: &[Result<NodeStatus, Lost>; 2],
    view: Option<&ClusterView>,
    vms: &[VmStatus],
) -> Vec<Trouble> {
    let names = [answers.nodes[0].name.as_str(), answers.nodes[1].name.as_str()];
    let mut found = Vec::new();
    for (name, node) in names.into_iter().zip(nodes) {
        match node {
            Err(why) => found.push(unreachable(name, why)),
            Ok(node) => of_node(answers, name, node, &mut found),
        }
    }
    mirror::all(answers, names, nodes, vms, &mut found);
    match view {
        Some(view) => {
            member::all(answers, names, nodes, view, &mut found);
            of_cluster(names, view, vms, &mut found);
            of_handler(nodes, view, &mut found);
        }
        None if nodes.iter().any(Result::is_ok) => found.push(
            Trouble::new(
                "cluster-down",
                None,
                "the cluster runs on no node, so nothing is watched and nothing is taken over",
            )
            .mend(
                "both nodes",
                "systemctl start corosync pacemaker",
                "a node that doesn't see the other one fences it: start both at about the same time",
            ),
        ),
        None => {}
    }
    found
}

fn unreachable(name: &str, why: &Lost) -> Trouble {
    let what = format!("{name} can't be asked: {why}");
    // Whoever answers there is not known to be the node.
    if matches!(why, Lost::HostKey(_)) {
        return Trouble::new("host-key", Some(name), what).mend(
            name,
            "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done",
            "none: it only looks, on the node's own console; a key is accepted only when its fingerprint is one of these",
        );
    }
    Trouble::new("node-unreachable", Some(name), what).mend(
        name,
        "look at its console or its BMC; if it is off, switch it on",
        HARMLESS,
    )
}

fn of_node(answers: &Answers, name: &str, node: &NodeStatus, found: &mut Vec<Trouble>) {
    for link in node.links.iter().filter(|link| !link.is_up()) {
        found.push(
            Trouble::new(
                "link-down",
                Some(name),
                format!("{name} doesn't hear its peer over link {} ({}): {}", link.number, link.address, link.state),
            )
            .mend(name, "ip -s link; corosync-cfgtool -s", LOOKS),
        );
    }
    for unit in &node.failed_units {
        // Nothing that starts it: a restart of o2cb.service or of hapair-o2net.service is for a node that carries nothing.
        let trouble = Trouble::new("unit-failed", Some(name), failed_unit(unit, name)).mend(
            name,
            format!("systemctl status {unit}; journalctl -b -u {unit}"),
            LOOKS,
        );
        found.push(trouble);
    }
    if answers.storage.layout != Layout::Ocfs2 {
        return;
    }
    let folder = &answers.storage.mount;
    match &node.mount {
        Some(mount) if mount.read_only => found.push(
            Trouble::new(
                "mount-read-only",
                Some(name),
                format!("{folder} is read-only on {name}: OCFS2 does so to itself after an error on its disk"),
            )
            .mend(name, "dmesg | grep -i ocfs2", LOOKS)
            .mend(name, format!("crm_standby -v on -N {name}"), "the VMs of this node move to the other one")
            .mend(
                "either node, unmounted on both",
                "fsck.ocfs2 -f /dev/drbd0",
                "every VM stops for as long as it takes; on a mounted file system it destroys data",
            ),
        ),
        Some(_) => {}
        None => found.push(Trouble::new("not-mounted", Some(name), format!("{folder} is not mounted on {name}")).mend(
            "either node",
            format!("crm_resource --cleanup -r fs-{}", answers.storage.resource),
            "none: the cluster tries again what failed before",
        )),
    }
}

fn failed_unit(unit: &str, name: &str) -> String {
    let meaning = match unit {
        "hapair-o2net.service" => {
            ": booting faster than its fencing ends, this node could make the other one reset itself; does its kernel have \
             policy routing (`ip rule`)?"
        }
        _ => "",
    };
    format!("{unit} failed on {name}{meaning}")
}

fn of_cluster(names: [&str; 2], view: &ClusterView, vms: &[VmStatus], found: &mut Vec<Trouble>) {
    if view.maintenance {
        found.push(
            Trouble::new("maintenance", None, "the cluster is in maintenance mode: nothing is taken over").mend(
                "either node",
                "crm_attribute -n maintenance-mode -D",
                "the cluster acts on what it finds",
            ),
        );
    }
    of_fencing(names, view, found);
    of_resources(view, vms, found);
}

fn of_fencing(names: [&str; 2], view: &ClusterView, found: &mut Vec<Trouble>) {
    if !view.fencing_enabled {
        found.push(
            Trouble::new("fencing-off", None, "fencing is switched off: a VM could run on both nodes at once").mend(
                "either node",
                "crm_attribute -n stonith-enabled -v true",
                "a node that is lost is fenced from now on",
            ),
        );
    }
    let mut targets: Vec<&str> = Vec::new();
    for event in &view.fencings {
        // The latest is first: one that worked since makes an older failure history.
        if targets.contains(&event.target.as_str()) {
            continue;
        }
        targets.push(&event.target);
        if event.status == "failed" {
            let target = &event.target;
            found.push(
                Trouble::new(
                    "fencing-failed",
                    Some(target),
                    format!("fencing of {target} failed ({}, {})", event.action, event.completed),
                )
                .mend("either node", format!("stonith_admin --history {target} --verbose"), LOOKS)
                .mend(
                    member::peer(names, target),
                    format!("stonith_admin --reboot {target}"),
                    "the node is switched off and on, if its BMC answers now",
                )
                .mend(
                    "either node",
                    format!("stonith_admin --cleanup --history {target}"),
                    "none: forgets the failure once its cause is mended",
                ),
            );
        }
    }
}

/// DRBD's own constraint, for a peer whose data are not good, on a pair where they are.
fn of_handler(nodes: &[Result<NodeStatus, Lost>; 2], view: &ClusterView, found: &mut Vec<Trouble>) {
    let good = |node: &Result<NodeStatus, Lost>| {
        let device = node.as_ref().ok().and_then(|node| node.drbd.device.as_ref());
        device.is_some_and(|device| device.connected() && !device.syncing() && device.disk == "UpToDate")
    };
    if !nodes.iter().all(good) {
        return;
    }
    let mut known: Vec<&str> = Vec::new();
    for ban in view.bans.iter().filter(|ban| ban.id.starts_with("drbd-fence-by-handler-")) {
        if known.contains(&ban.id.as_str()) {
            continue;
        }
        known.push(&ban.id);
        let what = format!(
            "{} may not be Primary on {}: DRBD forbade it while that side was behind, and both are UpToDate again ({})",
            ban.resource, ban.node, ban.id
        );
        found.push(Trouble::new("drbd-fence-left", None, what).mend(
            "either node",
            format!("cibadmin -D --xpath \"//rsc_location[@id='{}']\"", ban.id),
            "none as long as both sides are UpToDate and Connected",
        ));
    }
}

fn of_resources(view: &ClusterView, vms: &[VmStatus], found: &mut Vec<Trouble>) {
    for what in view.missing_resources(&[]).into_iter().filter(|_| !view.maintenance) {
        let id = what.split(' ').next().unwrap_or_default().to_owned();
        found.push(
            Trouble::new("resource-down", None, what)
                .mend("either node", format!("crm_resource --why -r {id}"), LOOKS)
                .mend(
                    "either node",
                    format!("crm_resource --cleanup -r {id}"),
                    "none: the cluster tries again what failed before",
                ),
        );
    }
    for failure in &view.failures {
        found.push(Trouble::new("action-failed", Some(&failure.node), failure.words()).mend(
            "either node",
            failure.cleanup(),
            "none: the cluster forgets the failure and looks again",
        ));
    }
    for vm in vms {
        if vm.role == "not in the CIB" {
            found.push(
                Trouble::new("vm-missing", None, format!("{} is in the answers and not in the CIB", vm.name)).mend(
                    "here",
                    "hapair install --answers FILE",
                    "none: it defines what is missing",
                ),
            );
        } else if vm.to_stop {
            found.push(
                Trouble::new("vm-stopped", None, format!("{} is stopped because somebody asked for it", vm.name)).mend(
                    "either node",
                    format!("crm_resource -r {} -m -p target-role -v Started", vm.name),
                    HARMLESS,
                ),
            );
        }
    }
    for ban in view.bans.iter().filter(|ban| ban.id.starts_with("cli-ban-") && ban.weight < 0) {
        found.push(
            Trouble::new(
                "ban-left",
                None,
                format!(
                    "{} may not run on {}: it was moved by hand, and that was never taken back ({})",
                    ban.resource, ban.node, ban.id
                ),
            )
            .mend(
                "either node",
                format!("crm_resource --clear -r {}", ban.resource),
                "none, if the resource prefers no other node",
            ),
        );
    }
}

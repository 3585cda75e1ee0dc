//! What happens when a node is lost right now: who takes over, and what stands in the way.

use serde::Serialize;

use super::node::NodeStatus;
use super::trouble::Trouble;
use super::vm::VmStatus;
use crate::answers::{Answers, FencingMethod, HypervisorKind, Layout};
use crate::cluster::ClusterView;
use crate::node::Lost;

/// What the loss of one node would mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The node that would be lost.
    pub node: String,
    /// VMs that would be started on the other one.
    pub taken_over: Vec<String>,
    /// Why they would not, or not by themselves; empty: nothing stands in the way.
    pub obstacles: Vec<String>,
    /// It is lost already.
    pub lost_already: bool,
}

/// What the loss of node number `lost` would mean.
#[must_use]
pub fn of(
    answers: &Answers,
    nodes: &[Result<NodeStatus, Lost>; 2],
    view: Option<&ClusterView>,
    vms: &[VmStatus],
    lost: usize,
) -> Loss {
    let (gone, left) = (&answers.nodes[lost].name, &answers.nodes[1 - lost].name);
    let here: Vec<&VmStatus> = vms.iter().filter(|vm| vm.node.as_ref() == Some(gone)).collect();
    Loss {
        node: gone.clone(),
        taken_over: here.iter().map(|vm| vm.name.clone()).collect(),
        obstacles: obstacles(answers, &nodes[1 - lost], view, &here, (gone, left)),
        lost_already: nodes[lost].is_err() && view.is_some_and(|view| view.node(gone).is_none_or(|node| !node.online)),
    }
}

fn obstacles(
    answers: &Answers,
    survivor: &Result<NodeStatus, Lost>,
    view: Option<&ClusterView>,
    here: &[&VmStatus],
    (gone, left): (&String, &String),
) -> Vec<String> {
    let Ok(survivor) = survivor else { return vec![format!("{left} can't be asked")] };
    let Some(view) = view else { return vec!["no cluster runs that could take over".to_owned()] };
    let mut found = Vec::new();
    match view.node(left) {
        Some(node) if node.is_ready() && !node.standby && !node.maintenance => {}
        Some(node) => found.push(format!("{left} is {}", node.word())),
        None => found.push(format!("{left} is no member of the cluster")),
    }
    if view.maintenance {
        found.push("the cluster is in maintenance mode".to_owned());
    }
    if !view.fencing_enabled {
        found.push(format!("fencing is off: nobody makes sure that {gone} is really dead"));
    } else if !view.fencing_devices().any(|device| answers.fencing.method.usable(&device.nodes, left)) {
        found.push(format!(
            "no fencing device runs on {left}: nothing is taken over before a person confirms that {gone} is off"
        ));
    } else if matches!(answers.fencing.method, FencingMethod::Ssh) {
        found.push(format!(
            "SSH can switch {gone} off only while it still answers; else a person must: stonith_admin --confirm {gone}"
        ));
    }
    if answers.storage.layout == Layout::Ocfs2 {
        let disk = survivor.drbd.device.as_ref().map_or("not up", |device| device.disk.as_str());
        if disk != "UpToDate" {
            found.push(format!("{left}'s copy of the data is {disk}"));
        }
        if survivor.mount.as_ref().is_none_or(|mount| mount.read_only) {
            found.push(format!("{} can't be written on {left}", answers.storage.mount));
        }
    }
    let needed = needed(here);
    let unknown: Vec<&str> = here.iter().filter(|vm| vm.memory_mib.is_none()).map(|vm| vm.name.as_str()).collect();
    if !unknown.is_empty() {
        found.push(format!(
            "how much memory {} needs is not known, since its configuration is your own: see that {left} has it free",
            unknown.join(", ")
        ));
    }
    match survivor.memory {
        Some(memory) if needed > memory.free_mib => {
            found.push(format!(
                "{left} has {} MiB of memory free, and the VMs of {gone} need {needed} MiB",
                memory.free_mib
            ));
        }
        _ => {}
    }
    found
}

/// Memory in MiB that VMs need, as far as it is known.
fn needed(vms: &[&VmStatus]) -> u64 {
    vms.iter().filter_map(|vm| vm.memory_mib).sum()
}

/// Each node that has not the memory free for the VMs of the other one: these would not all start when that is lost. A
/// rehearsal's stand-ins take none.
pub(super) fn troubles(answers: &Answers, nodes: &[Result<NodeStatus, Lost>; 2], vms: &[VmStatus]) -> Vec<Trouble> {
    if answers.hypervisor.kind == HypervisorKind::StandIn {
        return Vec::new();
    }
    let of = |lost: usize| {
        let (gone, left) = (&answers.nodes[lost].name, &answers.nodes[1 - lost].name);
        let free = nodes[1 - lost].as_ref().ok()?.memory?.free_mib;
        let here: Vec<&VmStatus> = vms.iter().filter(|vm| vm.node.as_ref() == Some(gone)).collect();
        let needed = needed(&here);
        (needed > free).then(|| memory_short((gone, left), (needed, free), &here))
    };
    (0..2).filter_map(of).collect()
}

fn memory_short((gone, left): (&str, &str), (needed, free): (u64, u64), here: &[&VmStatus]) -> Trouble {
    let names: Vec<&str> = here.iter().map(|vm| vm.name.as_str()).collect();
    let what = format!(
        "if {gone} is lost, not all of its VMs ({}) start on {left}: they need {needed} MiB of memory and {free} MiB are free there",
        names.join(", ")
    );
    Trouble::new("memory-short", Some(left), what)
        .mend(left, "xl list; virsh list; free -m", "none: it only looks at what has the memory")
        .mend("either node", "crm_resource -r VM -m -p target-role -v Stopped", "that VM stops, and stays so")
        .mend(
            "here",
            "give VMs less `memory` in the answers, then hapair install --answers FILE",
            "each of them has to be started anew",
        )
}

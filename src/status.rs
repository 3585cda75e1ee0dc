//! How a pair stands right now: what was seen, what is amiss, and what mends it. Nothing here changes anything.

pub mod corosync;
mod left;
pub mod loss;
mod member;
pub mod memory;
mod mirror;
pub mod node;
pub mod proof;
mod sbd;
mod split_brain;
pub mod trouble;
pub mod vm;

use serde::Serialize;

use crate::answers::Answers;
use crate::cluster::{ClusterView, OperationView, ResourceView};
use crate::node::{At, Lost, Pair};

use loss::Loss;
use node::NodeStatus;
use proof::Proved;
use trouble::Trouble;
use vm::VmStatus;

/// The whole picture.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The two nodes: what each says, or why it can't be asked.
    pub nodes: [Result<NodeStatus, Lost>; 2],
    /// The cluster, as the node sees it that has a quorum.
    pub view: Option<ClusterView>,
    /// The VMs of the answers.
    pub vms: Vec<VmStatus>,
    /// What can switch a node off.
    pub fencing: Fencing,
    /// What happens when a node is lost now.
    pub losses: [Loss; 2],
    /// All that is not as it must be.
    pub troubles: Vec<Trouble>,
}

/// What can switch a node off.
#[derive(Debug, Clone, Serialize)]
pub struct Fencing {
    /// Method in the answers.
    pub method: &'static str,
    /// `stonith-enabled`; `None` while no cluster answers.
    pub enabled: Option<bool>,
    /// Devices that run, each with the node it runs on.
    pub devices: Vec<Device>,
    /// The last fencings, the latest first, in words.
    pub history: Vec<String>,
    /// Whether it was proved that each node can be switched off.
    pub proved: Vec<Proved>,
    /// What comes when nothing of the levels has worked, where that is a person.
    pub last_level: Option<String>,
    /// Said for as long as it is so.
    pub warning: Option<String>,
}

/// A fencing device.
#[derive(Debug, Clone, Serialize)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// `stonith:fence_ipmilan`.
    pub agent: String,
    /// Where it runs.
    pub nodes: Vec<String>,
    /// Result of its last monitor, how often that is made, and since when the result is this one, by Pacemaker's clock: it
    /// notes no time of a monitor that gave what the one before gave.
    pub monitor: Option<String>,
}

impl Standing {
    /// Asks both nodes, at once, one round trip each.
    #[must_use]
    pub fn look(answers: &Answers, pair: &Pair) -> Self {
        Self::of(answers, At::both(|at| NodeStatus::look(answers, pair, at)))
    }

    /// From what the nodes said.
    #[must_use]
    pub fn of(answers: &Answers, nodes: [Result<NodeStatus, Lost>; 2]) -> Self {
        let view = best_view(&nodes).cloned();
        let vms = vm::all(answers, view.as_ref());
        let proved = proof::all(answers, &nodes);
        let unproved = proof::troubles(&proved);
        let fencing = fencing(answers, view.as_ref(), proved);
        let losses = [0, 1].map(|lost| loss::of(answers, &nodes, view.as_ref(), &vms, lost));
        let mut troubles = trouble::all(answers, &nodes, view.as_ref(), &vms);
        troubles.extend(loss::troubles(answers, &nodes, &vms));
        troubles.extend(left::troubles(answers, &nodes));
        troubles.extend(sbd::troubles(answers, &nodes));
        troubles.extend(unproved);
        Self { nodes, view, vms, fencing, losses, troubles }
    }

    /// Neither node can be asked.
    #[must_use]
    pub fn unreachable(&self) -> bool {
        self.nodes.iter().all(Result::is_err)
    }
}

/// Two nodes that don't see each other tell different stories: the one that may act tells the one that counts.
fn best_view(nodes: &[Result<NodeStatus, Lost>; 2]) -> Option<&ClusterView> {
    let views = || nodes.iter().filter_map(|node| node.as_ref().ok()?.cluster.as_ref().ok());
    views().find(|view| view.quorum).or_else(|| views().next())
}

/// The last monitor of a device where it runs; the probes of other nodes, which find nothing there, are none.
fn monitor(view: &ClusterView, device: &ResourceView) -> Option<String> {
    let mut all = view.operations.iter().rev();
    let recurring = |operation: &&OperationView| operation.task == "monitor" && operation.interval_ms > 0;
    let here = |operation: &&OperationView| operation.resource == device.id && device.nodes.contains(&operation.node);
    all.find(|operation| recurring(operation) && here(operation)).map(OperationView::words)
}

fn fencing(answers: &Answers, view: Option<&ClusterView>, proved: Vec<Proved>) -> Fencing {
    let method = &answers.fencing.method;
    let devices = view.map(|view| {
        view.fencing_devices().fold(Vec::<Device>::new(), |mut devices, resource| {
            match devices.iter_mut().find(|device| device.id == resource.id) {
                Some(device) => device.nodes.extend(resource.nodes.iter().cloned()),
                None => devices.push(Device {
                    id: resource.id.clone(),
                    agent: resource.agent.clone(),
                    nodes: resource.nodes.clone(),
                    monitor: monitor(view, resource),
                }),
            }
            devices
        })
    });
    let history = view.map(|view| {
        view.fencings
            .iter()
            .take(3)
            .map(|event| {
                format!(
                    "{} of {} by {}: {}, {}",
                    event.action, event.target, event.delegate, event.status, event.completed
                )
            })
            .collect()
    });
    Fencing {
        method: method.name(),
        last_level: method.ends_in_a_person().then(|| {
            "a person: when no device works, nothing of a lost node is taken over before somebody who has SEEN that it is off types on the other one: stonith_admin --confirm NODE (if it still runs, both write to the same disks and the data are destroyed)".to_owned()
        }),
        enabled: view.map(|view| view.fencing_enabled),
        devices: devices.unwrap_or_default(),
        history: history.unwrap_or_default(),
        proved,
        warning: if method.uses_ssh() {
            Some("fencing is by SSH, which can't switch off a node that is dead, hung or unplugged: then nothing is taken over before a person confirms it".to_owned())
        } else if answers.fencing.accept_unsafe_softdog && method.uses_sbd() {
            Some("the watchdog may be softdog, as the answers accept: a node whose kernel hangs does not switch itself off".to_owned())
        } else {
            None
        },
    }
}

#[cfg(test)]
pub(crate) mod tests;

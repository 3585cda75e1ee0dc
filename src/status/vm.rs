//! The VMs of the answers, as the cluster runs them.

use serde::Serialize;

use crate::answers::{Answers, VmSource};
use crate::cluster::ClusterView;

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmStatus {
    /// Its name, which is its resource's id too.
    pub name: String,
    /// `Started`, `Stopped`...; `unknown` while no cluster answers, `not in the CIB`.
    pub role: String,
    /// Where it runs.
    pub node: Option<String>,
    /// Since when it runs there, by Pacemaker's clock.
    pub since: Option<String>,
    /// Memory in MiB that it needs; `None` if its configuration is the user's own.
    pub memory_mib: Option<u64>,
    /// Why it can't move now; `None`: it can.
    pub bound: Option<String>,
    /// Somebody asked that it be stopped.
    pub to_stop: bool,
}

/// All of them.
#[must_use]
pub fn all(answers: &Answers, view: Option<&ClusterView>) -> Vec<VmStatus> {
    answers
        .vms
        .iter()
        .map(|vm| {
            let memory_mib = match &vm.source {
                VmSource::Made { memory_mib, .. } => Some(*memory_mib),
                VmSource::Config { .. } => None,
            };
            let resource = view.and_then(|view| view.resources.iter().find(|resource| resource.id == vm.name));
            let node = resource.and_then(|resource| resource.nodes.first().cloned());
            let since = node.as_ref().and_then(|node| {
                view?
                    .operation(&vm.name, Some(node), &["start", "migrate_from"])
                    .map(|operation| operation.changed.clone())
            });
            let bound = view.zip(node.as_ref()).and_then(|(view, node)| bound(view, &vm.name, node));
            VmStatus {
                name: vm.name.clone(),
                role: match (view, resource) {
                    (None, _) => "unknown".to_owned(),
                    (Some(_), None) => "not in the CIB".to_owned(),
                    (Some(_), Some(resource)) => resource.role.clone(),
                },
                to_stop: resource.is_some_and(crate::cluster::ResourceView::is_to_stop),
                node,
                since,
                memory_mib,
                bound,
            }
        })
        .collect()
}

/// Why a VM can't leave its node.
fn bound(view: &ClusterView, vm: &str, node: &str) -> Option<String> {
    if let Some(resource) = view.resources.iter().find(|resource| resource.id == vm) {
        if !resource.managed {
            return Some("the cluster doesn't manage it".to_owned());
        }
        if resource.failed || resource.blocked {
            return Some("it has failed".to_owned());
        }
    }
    let peer = view.nodes.iter().find(|other| other.name != node)?;
    if !peer.is_ready() || peer.standby || peer.maintenance {
        return Some(format!("{} is {}", peer.name, peer.word()));
    }
    view.bans
        .iter()
        .find(|ban| ban.resource == vm && ban.node == peer.name && ban.weight < 0)
        .map(|ban| format!("the constraint {} keeps it away from {}", ban.id, peer.name))
}

//! The status for programs.

use serde_json::{Value, json};

use super::Shown;
use crate::cluster::ClusterView;
use crate::node::Lost;
use crate::status::node::NodeStatus;

/// One object.
pub(super) fn of(shown: &Shown<'_>) -> Value {
    let standing = &shown.standing;
    let answers = &shown.setup.answers;
    let nodes: Vec<Value> =
        answers.nodes.iter().zip(&standing.nodes).map(|(answer, node)| of_node(&answer.name, node)).collect();
    json!({
        "cluster": answers.cluster,
        "healthy": shown.code() == crate::exit::DONE,
        "nodes": nodes,
        "pacemaker": standing.view.as_ref().map(of_view),
        "vms": standing.vms,
        "fencing": standing.fencing,
        "losses": standing.losses,
        "drift": shown.drift,
        "troubles": standing.troubles,
        "checkpoints": shown.checkpoints,
    })
}

fn of_node(name: &str, node: &Result<NodeStatus, Lost>) -> Value {
    match node {
        Err(why) => json!({"name": name, "reachable": false, "why": why.to_string()}),
        Ok(node) => json!({
            "name": name,
            "reachable": true,
            "hypervisor": node.hypervisor,
            "memory": node.memory,
            "load": node.load,
            "mount": node.mount,
            "links": node.links,
            "cluster": match &node.cluster { Ok(_) => "running", Err(why) => why },
            "drbd": node.drbd.device.as_ref().map(|device| json!({
                "connection": device.connection,
                "role": device.role,
                "peer-role": device.peer_role,
                "disk": device.disk,
                "peer-disk": device.peer_disk,
                "out-of-sync-kib": device.out_of_sync_kib,
                "resync": device.sync.as_ref().map(|sync| json!({
                    "percent": sync.percent,
                    "left-kib": sync.left_kib,
                    "eta-seconds": sync.eta_seconds,
                    "kib-per-second": sync.speed_kib,
                })),
            })),
        }),
    }
}

fn of_view(view: &ClusterView) -> Value {
    json!({
        "dc": view.dc,
        "quorum": view.quorum,
        "maintenance": view.maintenance,
        "nodes": view.nodes.iter().map(|node| json!({"name": node.name, "state": node.word()})).collect::<Vec<_>>(),
        "resources": view.resources.iter().map(|resource| json!({
            "id": resource.id, "role": resource.role, "nodes": resource.nodes,
        })).collect::<Vec<_>>(),
        "bans": view.bans.iter().map(|ban| json!({
            "id": ban.id, "resource": ban.resource, "node": ban.node,
        })).collect::<Vec<_>>(),
    })
}

//! Nodes of the cluster that don't take part as they should, and what mends it.

use super::node::NodeStatus;
use super::trouble::{HARMLESS, LOOKS, Trouble};
use crate::answers::{Answers, FencingMethod, Layout, Start};
use crate::cluster::ClusterView;
use crate::node::Lost;

const SEEN: &str = "only when you have SEEN that it is off (its power, not its network): if it still runs, both nodes write to \
                    the same disks and the data are destroyed";

/// The other one of the two.
pub(super) fn peer<'a>(names: [&'a str; 2], name: &str) -> &'a str {
    if names[0] == name { names[1] } else { names[0] }
}

/// What is amiss with the nodes, as the cluster sees them.
pub(super) fn all(
    answers: &Answers,
    names: [&str; 2],
    nodes: &[Result<NodeStatus, Lost>; 2],
    view: &ClusterView,
    found: &mut Vec<Trouble>,
) {
    for name in names {
        let Some(node) = view.node(name) else {
            found.push(Trouble::new("node-unknown", Some(name), format!("{name} is not known to the cluster")));
            continue;
        };
        if node.unclean {
            found.push(unclean(answers, name, peer(names, name)));
        } else if node.standby {
            found.push(
                Trouble::new("node-standby", Some(name), format!("{name} is in standby: it runs nothing")).mend(
                    "either node",
                    format!("crm_standby -D -N {name}"),
                    HARMLESS,
                ),
            );
        } else if node.maintenance {
            found.push(
                Trouble::new(
                    "node-maintenance",
                    Some(name),
                    format!("{name} is in maintenance: the cluster leaves it alone"),
                )
                .mend(
                    "either node",
                    format!("crm_attribute -N {name} -n maintenance -D"),
                    "the cluster acts on what it finds",
                ),
            );
        } else if !node.online {
            found.push(
                Trouble::new("node-offline", Some(name), format!("{name} is off, or its cluster daemons are")).mend(
                    name,
                    "switch it on; if it is on: systemctl start corosync pacemaker",
                    HARMLESS,
                ),
            );
        }
    }
    if view.dc.is_some() && !view.quorum {
        found.push(no_quorum(names, nodes));
    }
}

fn unclean(answers: &Answers, name: &str, peer: &str) -> Trouble {
    let why = if matches!(answers.fencing.method, FencingMethod::Ssh) {
        " (SSH can't switch off what doesn't answer)"
    } else {
        ""
    };
    let mut what = format!(
        "{name} is UNCLEAN: nobody knows whether it still writes, so nothing of it is taken over before it is fenced{why}"
    );
    // Where DRBD asks the cluster (templates/drbd/fencing.res), and O2CB's heartbeat goes through it (templates/ocfs2/o2cb).
    if answers.storage.layout == Layout::Ocfs2 && answers.storage.start == Start::Cluster {
        let seconds = if answers.hypervisor.emulated() { 300 } else { 150 };
        what.push_str(&format!(
            ". That has an end: if DRBD has lost {name} too it holds all writing on {peer} meanwhile, OCFS2's heartbeat among \
             it, and after about {seconds} s of that O2CB resets {peer}, with all that runs there. Booted anew {peer} waits for \
             {name} and starts nothing before it has seen it (wait_for_all: no-quorum)"
        ));
    }
    Trouble::new("node-unclean", Some(name), what)
        .mend(peer, format!("stonith_admin --reboot {name}"), "the node is switched off and on")
        .mend(peer, format!("stonith_admin --confirm {name}"), SEEN)
}

/// With `two_node` a partition of one has a quorum; only one that has not seen its peer since it started has none.
fn no_quorum(names: [&str; 2], nodes: &[Result<NodeStatus, Lost>; 2]) -> Trouble {
    let runs = |index: usize| nodes[index].as_ref().is_ok_and(|node| node.cluster.is_ok());
    let alone = match (runs(0), runs(1)) {
        (true, false) => Some((names[0], names[1])),
        (false, true) => Some((names[1], names[0])),
        _ => None,
    };
    let Some((left, gone)) = alone else {
        return Trouble::new(
            "no-quorum",
            None,
            "the cluster runs on both nodes, and neither may act: they have not seen each other since they started (wait_for_all)",
        )
        .mend("each node", "corosync-quorumtool -s; corosync-cfgtool -s", LOOKS);
    };
    let what = format!(
        "{left} has no quorum and may not act: it has not seen {gone} since it started and waits for it (wait_for_all), for {gone} may be at work"
    );
    Trouble::new("no-quorum", None, what)
        .mend(left, "corosync-quorumtool -s; corosync-cfgtool -s", LOOKS)
        .mend(gone, "switch it on, or start its cluster: systemctl start corosync pacemaker", HARMLESS)
        .mend(left, "corosync-cmapctl -s quorum.cancel_wait_for_all u8 1", SEEN)
        .mend(left, format!("stonith_admin --confirm {gone}"), SEEN)
}

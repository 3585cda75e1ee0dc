//! Fencing devices and levels in the CIB that the answers have not: those of a method that was changed, or somebody's own.

use super::node::NodeStatus;
use super::trouble::Trouble;
use crate::answers::Answers;
use crate::fencing::object::{beside, ids};
use crate::node::Lost;

const LOOKS: &str = "none: it only looks; those of the answers must be Started before another one goes";
const RISK: &str = "the cluster can't use it any more; what is left has to be proved again (hapair step boot), and that \
                    switches each node off once";

/// Each with the commands that take it out.
pub(super) fn troubles(answers: &Answers, nodes: &[Result<NodeStatus, Lost>; 2]) -> Vec<Trouble> {
    let wanted = ids(&answers.fencing.method, answers.nodes.each_ref().map(|node| node.name.as_str()));
    let known = nodes.iter().filter_map(|node| node.as_ref().ok()).find(|node| !node.fencing_objects.is_empty());
    let Some(known) = known else { return Vec::new() };
    beside(&known.fencing_objects, &wanted)
        .into_iter()
        .map(|object| {
            let what = format!("the CIB holds the {}, which the answers have not: {}", object.words, object.does);
            let looked = Trouble::new("fencing-left", None, what).mend("either node", "crm_mon -1", LOOKS);
            object.removal.iter().fold(looked, |trouble, command| trouble.mend("either node", command, RISK))
        })
        .collect()
}

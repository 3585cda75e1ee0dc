//! Whether it was proved that each node can be switched off by the other one, for the fencing configuration as it is.

use serde::Serialize;

use super::node::NodeStatus;
use super::trouble::Trouble;
use crate::answers::Answers;
use crate::fencing::Proof;
use crate::node::Lost;

/// How far one node's fencing is proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proved {
    /// Who would be switched off.
    pub node: String,
    /// In a word.
    pub state: State,
    /// The last proof, whatever it holds for.
    pub last: Option<Proof>,
    /// When somebody wanted no proof of the configuration as it is.
    pub skipped: Option<String>,
}

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// For the configuration as it is.
    Proved,
    /// For another one.
    Void,
    /// Somebody wanted none.
    Skipped,
    /// Never.
    Never,
}

impl Proved {
    /// For people.
    pub fn words(&self) -> String {
        let node = &self.node;
        match (self.state, &self.last) {
            (State::Proved, Some(proof)) => format!("proved: {}", proof.words()),
            (State::Skipped, _) => format!(
                "NOT PROVED that {node} can be switched off: the proof was left out on request on {}",
                self.skipped.as_deref().unwrap_or("?")
            ),
            (_, Some(proof)) => format!(
                "NOT PROVED that {node} can be switched off: the fencing configuration was changed since the last proof ({})",
                proof.words()
            ),
            (_, None) => format!("NOT PROVED that {node} can be switched off: it was never tried"),
        }
    }
}

/// Of both nodes; empty while the cluster answers on none of them, or is one that has no proofs (Heartbeat).
pub(super) fn all(answers: &Answers, nodes: &[Result<NodeStatus, Lost>; 2]) -> Vec<Proved> {
    let known = || nodes.iter().filter_map(|node| node.as_ref().ok());
    let Some(configuration) = known().find_map(|node| node.fencing_configuration.as_ref()) else { return Vec::new() };
    answers
        .nodes
        .iter()
        .map(|node| {
            let proofs = || known().filter_map(|status| status.fencing.proofs.get(&node.name));
            let skips = known().filter_map(|status| status.fencing.skipped.as_ref());
            let skipped =
                skips.filter(|skipped| skipped.configuration == *configuration).map(|it| it.date.clone()).max();
            let holds = proofs().find(|proof| proof.configuration == *configuration);
            let last = holds.or_else(|| proofs().max_by(|a, b| a.date.cmp(&b.date))).cloned();
            let state = match (holds, &skipped, &last) {
                (Some(_), ..) => State::Proved,
                (None, Some(_), _) => State::Skipped,
                (None, None, Some(_)) => State::Void,
                (None, None, None) => State::Never,
            };
            Proved { node: node.name.clone(), state, last, skipped }
        })
        .collect()
}

/// What is not proved, with what proves it.
pub(super) fn troubles(proved: &[Proved]) -> Vec<Trouble> {
    const RISK: &str =
        "each node is switched off once without a warning; VMs have to be moved away first, and it says so";
    let open: Vec<&Proved> = proved.iter().filter(|one| one.state != State::Proved).collect();
    open.iter()
        .map(|one| {
            let mut trouble = Trouble::new("fencing-not-proved", Some(&one.node), one.words());
            if one.state == State::Skipped {
                trouble = trouble.mend(
                    "both nodes",
                    "rm /var/lib/hapair/fencing.skipped",
                    "none: the next command then proves it",
                );
            }
            trouble.mend("here", "hapair step boot --answers FILE", RISK)
        })
        .collect()
}

//! Whether it was proved that each node can be switched off by the other one, for the fencing configuration as it is.

use serde::Serialize;

use super::node::NodeStatus;
use super::trouble::{LOOKS, Trouble};
use crate::answers::Answers;
use crate::fencing::{Configuration, Proof};
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
    /// Why the last proof is void, or why that can't be told.
    pub why: Option<String>,
}

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// For the configuration as it is.
    Proved,
    /// For another one.
    Void,
    /// It can't be told whether it is for the configuration as it is.
    Untold,
    /// Somebody wanted none.
    Skipped,
    /// Never.
    Never,
}

impl Proved {
    /// For people.
    pub fn words(&self) -> String {
        let node = &self.node;
        let why = self.why.as_deref().unwrap_or("?");
        match (self.state, &self.last) {
            (State::Proved, Some(proof)) => format!("proved: {}", proof.words()),
            (State::Skipped, _) => format!(
                "NOT PROVED that {node} can be switched off: the proof was left out on request on {}",
                self.skipped.as_deref().unwrap_or("?")
            ),
            (State::Untold, Some(proof)) => {
                format!("whether the last proof still holds ({}) can't be told: {why}", proof.words())
            }
            (State::Untold, None) => {
                format!("NOT PROVED that {node} can be switched off; whether that was wanted can't be told: {why}")
            }
            (_, Some(proof)) => {
                format!("NOT PROVED that {node} can be switched off: {why} ({})", proof.words())
            }
            (_, None) => format!("NOT PROVED that {node} can be switched off: it was never tried"),
        }
    }
}

/// Of both nodes; empty while the cluster answers on none of them, or is one that has no proofs (Heartbeat).
pub(super) fn all(answers: &Answers, nodes: &[Result<NodeStatus, Lost>; 2]) -> Vec<Proved> {
    let known = || nodes.iter().filter_map(|node| node.as_ref().ok());
    let Some((of, cib)) = known().find_map(|node| Some((node, node.fencing_configuration.as_ref()?))) else {
        return Vec::new();
    };
    let names = answers.nodes.each_ref().map(|node| node.name.as_str());
    let sbd = of.fencing_by_sbd.then(|| {
        nodes.each_ref().map(|node| match node {
            Ok(node) => node.sbd.as_ref().map_err(Clone::clone),
            Err(_) => Err("it can't be asked".to_owned()),
        })
    });
    let now = Configuration::new(cib.clone(), &of.fencing.install, names, sbd);
    answers
        .nodes
        .iter()
        .map(|node| {
            let proofs = || known().filter_map(|status| status.fencing.proofs.get(&node.name));
            let skips = || known().filter_map(|status| status.fencing.skipped.as_ref());
            let skipped =
                skips().filter(|skipped| now.is(&skipped.configuration) == Some(true)).map(|it| it.date.clone()).max();
            let is = |wanted: Option<bool>| proofs().find(|proof| now.is(&proof.configuration) == wanted);
            let (holds, untold) = (is(Some(true)), is(None));
            let untold_skip = skips().any(|skipped| now.is(&skipped.configuration).is_none());
            let last = holds.or(untold).or_else(|| proofs().max_by(|a, b| a.date.cmp(&b.date))).cloned();
            let (state, why) = match (holds, &skipped, &last) {
                (Some(_), ..) => (State::Proved, None),
                (None, Some(_), _) => (State::Skipped, None),
                _ if untold.is_some() || untold_skip => (State::Untold, Some(now.untold())),
                (None, None, Some(last)) => (State::Void, Some(now.difference(&last.configuration).to_owned())),
                (None, None, None) => (State::Never, None),
            };
            Proved { node: node.name.clone(), state, last, skipped, why }
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
            if one.state == State::Untold {
                let look = "(. /etc/default/sbd && IFS=';' && for disk in $SBD_DEVICE; do sbd -d \"$disk\" dump; done)";
                return Trouble::new("fencing-untold", Some(&one.node), one.words()).mend(
                    "the node that is named",
                    look,
                    LOOKS,
                );
            }
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

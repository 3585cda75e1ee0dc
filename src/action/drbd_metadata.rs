//! DRBD's metadata on the backing devices: made once, and only where nothing is lost without consent.

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::action::{Act, Change, Order, Refusal, RefusalKind, Risk, Scope, Seen, State};
use crate::device::{self, Device, Evidence, Holds, Target};
use crate::node::{At, Cmd};

/// Metadata of a resource on both nodes' devices. Sees both: what one node has lost its record of, the other knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrbdMetadata {
    /// Names of the nodes, in order.
    pub nodes: Vec<String>,
    /// Backing device of each.
    pub devices: Vec<String>,
    /// Consent of each: serial or by-id name, or empty.
    #[serde(default)]
    pub erase: Vec<String>,
    /// Name of the cluster: its own file system is never erased.
    pub cluster: String,
    /// DRBD resource, as in its configuration.
    pub resource: String,
    /// Its minor.
    pub minor: String,
    /// `8.0`, `8.4` or `9`.
    pub dialect: String,
}

/// `probe`'s arguments, and the dialect as `$5`.
const MAKE: &str = include_str!("drbd_metadata/make.sh");
const CREATE: &str = r#"
note making "$(printf '%s\n' "$now" | sed -n 's/^identity=//p')" || exit 1
adm create-md "$resource" || exit $?
sync
record
"#;

const RECORD: &str = r#"
# hapair was stopped right after create-md: such metadata says that no data was ever written (identifier 4).
if ! adm dump-md "$resource" | grep -qi '0x0000000000000004;'; then
	echo "the metadata on $device was made by an interrupted run of hapair but has been used since; look at it with: drbdadm dump-md $resource" >&2
	exit 1
fi
record
"#;

/// What is to be done on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Todo {
    Nothing,
    /// It is ours, and only the record is lost; who knows it.
    Record(String),
    Finish {
        complete: bool,
    },
    Make,
    /// What is lost.
    Erase(String),
}

impl DrbdMetadata {
    fn target(&self, at: At) -> Target<'_> {
        let device = self.devices.get(at.index()).map_or("", String::as_str);
        Target { device, resource: &self.resource, minor: &self.minor }
    }

    fn node(&self, at: At) -> &str {
        self.nodes.get(at.index()).map_or("", String::as_str)
    }

    fn erase(&self, at: At) -> &str {
        self.erase.get(at.index()).map_or("", String::as_str).trim()
    }

    fn judge_one(&self, at: At, seen: &Seen<'_>) -> Result<(Device, Todo), State> {
        let devices = At::BOTH.map(|at| device::parse(&seen.get(at, 0).text()));
        let name = self.node(at);
        let own = &devices[at.index()];
        if let Some((what, next)) = own.unusable() {
            return Err(Refusal::state(RefusalKind::Preflight, format!("{name}: {what}"), next));
        }
        if !own.block {
            return Err(State::Unknown(format!("{name}: {} is not there yet", own.path)));
        }
        let evidence = evidence(&self.cluster, at, &devices, seen);
        let todo = match own.holds(self.erase(at), &evidence) {
            Holds::Ours => Todo::Nothing,
            Holds::Known(who) => Todo::Record(who),
            Holds::HalfMade { complete } => Todo::Finish { complete },
            Holds::Nothing => Todo::Make,
            Holds::Erasable(what) => Todo::Erase(what),
            Holds::Foreign { what, next } => {
                return Err(Refusal::state(RefusalKind::Consent, format!("{name}: {what}"), next));
            }
        };
        Ok((devices[at.index()].clone(), todo))
    }

    fn change(&self, at: At, device: &Device, todo: &Todo) -> Option<Change> {
        let (node, name, size) = (self.node(at), device.name(), device::bytes(device.size));
        Some(match todo {
            Todo::Nothing => return None,
            Todo::Record(who) => Change::new(format!(
                "note on {node} once more that the DRBD metadata on {name} is ours (the record there was lost; known to {who})"
            )),
            Todo::Finish { .. } => Change::new(format!("finish the DRBD metadata on {name} of {node}, {size}")),
            Todo::Make => Change::new(format!("make DRBD metadata on {name} of {node}, {size}")),
            Todo::Erase(what) => Change::new(format!(
                "ERASE {what} on {node} (named by `erase: {}`), then make DRBD metadata there",
                self.erase(at)
            ))
            .risk(Risk::DestroysData),
        })
    }
}

/// What the peer, the state folder and the cluster's name tell of a node's device.
pub(super) fn evidence(cluster: &str, at: At, devices: &[Device; 2], seen: &Seen<'_>) -> Evidence {
    let peer = &devices[at.peer().index()];
    let mut uuids: Vec<String> = peer.peer.iter().cloned().collect();
    uuids.extend(seen.memory.drbd[at.index()].iter().cloned());
    Evidence { uuids, cluster: cluster.to_owned(), peer: peer.generation }
}

/// Both nodes' refusals as one, or the worse of two states.
pub(super) fn worse(nodes: &[String], first: State, second: State) -> State {
    match (first, second) {
        (State::Refused(a), State::Refused(b)) => {
            let kind = if a.kind == b.kind { a.kind } else { RefusalKind::Preflight };
            let name = |index: usize| nodes.get(index).map_or("", String::as_str);
            let next =
                if a.next == b.next { a.next } else { format!("{}: {}\n{}: {}", name(0), a.next, name(1), b.next) };
            Refusal::state(kind, format!("{}\n{}", a.what, b.what), next)
        }
        (refused @ State::Refused(_), _) | (_, refused @ State::Refused(_)) => refused,
        (unknown, _) => unknown,
    }
}

impl Act for DrbdMetadata {
    fn title(&self) -> String {
        let mut names = self.devices.clone();
        names.dedup();
        format!("DRBD metadata of {} on {}", self.resource, names.join(" and "))
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, at: At) -> Vec<Cmd> {
        vec![device::probe(&self.target(at))]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let changes = match At::BOTH.map(|at| self.judge_one(at, seen).map(|(d, todo)| self.change(at, &d, &todo))) {
            [Err(a), Err(b)] => return worse(&self.nodes, a, b),
            [Err(state), _] | [_, Err(state)] => return state,
            [Ok(a), Ok(b)] => [a, b],
        };
        let changes: Vec<Change> = changes.into_iter().flatten().collect();
        let Some(risk) = changes.iter().map(|c| c.risk).max() else { return State::Satisfied };
        let summaries: Vec<&str> = changes.iter().map(|c| c.summary.as_str()).collect();
        State::Drift(Change::new(summaries.join("; ")).risk(risk))
    }

    fn left(&self) -> Option<String> {
        Some(format!(
            "DRBD's metadata and everything written since stay on {}: an install with the same answers finds them again. `drbdadm wipe-md` or `wipefs` on each node would end that.",
            self.devices.join(" and ")
        ))
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let mut orders = Vec::new();
        for at in At::BOTH {
            let (device, todo) = self.judge_one(at, seen).map_err(|state| anyhow!("not to be done: {state:?}"))?;
            let script = match todo {
                Todo::Nothing => continue,
                Todo::Record(_) => format!("{MAKE}record\n"),
                Todo::Make | Todo::Finish { complete: false } => format!("{MAKE}{CREATE}"),
                Todo::Finish { complete: true } => format!("{MAKE}{RECORD}"),
                Todo::Erase(_) => format!("{MAKE}{}{CREATE}", device::ERASE),
            };
            let more = [self.dialect.as_str(), self.erase(at)];
            orders.push(Order::new(at, device::guarded(&self.target(at), &device.raw, &script, &more)));
        }
        Ok(orders)
    }
}

#[cfg(test)]
#[path = "drbd_metadata/tests.rs"]
mod tests;

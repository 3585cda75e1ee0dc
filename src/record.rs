//! The record on a node (docs/node-record.md): which pair it belongs to, what was made there, who is at work on it.
//!
//! Read with the survey, before anything is changed; claimed before the first change of a run that changes anything.

mod claim;
mod earlier;
mod install;

use crate::answers::Answers;
use crate::event::Failure;
use crate::exit;
use crate::node::{At, Cmd, Output};
use crate::setup::refused;

pub use claim::Claim;
pub use earlier::over;
pub use install::Install;

/// Format of `record`.
pub const FORMAT: u32 = 1;

/// After so many seconds without a renewal a lock's owner counts as dead.
pub const DEAD_AFTER: u64 = 180;

const READ: &str = include_str!("record/read.sh");

/// `record`: which pair a node belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belongs {
    /// Name of the cluster.
    pub cluster: String,
    /// Id of the install; the same on both nodes.
    pub install: String,
    /// The node's own name.
    pub node: String,
    /// When it was written.
    pub since: String,
}

/// `lock`: who is at work on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Names the state folder that the run works from.
    pub owner: String,
    /// Process, host, since when.
    pub who: String,
    /// Seconds since its last renewal, by the node's own uptime.
    pub age: u64,
}

/// All that a node's record says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeRecord {
    /// Which pair it belongs to; `None`: no hapair has been here.
    pub belongs: Option<Belongs>,
    /// Its format, if it is newer than ours.
    pub newer: Option<u32>,
    /// Who is at work there.
    pub held: Option<Held>,
    /// Device UUID of the DRBD metadata that was made here.
    pub drbd: Option<String>,
    /// The same of its peer.
    pub peer: Option<String>,
    /// UUID of the file system.
    pub ocfs2: Option<String>,
    /// How many processes of orders are at work there. With no run at work they are those of one that was ended.
    pub orders: usize,
}

/// The read of one node's record; `resource` is DRBD's.
pub fn read(resource: &str) -> Cmd {
    Cmd::read_sh(READ, [resource])
}

/// Reads what [`read`] gave.
pub fn parse(output: &Output) -> NodeRecord {
    let text = output.text();
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .map(|value| value.trim().to_owned())
            .filter(|v| !v.is_empty())
    };
    let format: Option<u32> = value("record hapair-record=").and_then(|format| format.parse().ok());
    let of = |key: &str| value(&format!("record {key}=")).unwrap_or_default();
    let number = |key: &str| value(key).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    let uptime = number("uptime ");
    // Rebooted since: its owner would have come back by now.
    let age =
        if value("lock boot=") == value("boot ") { uptime.saturating_sub(number("lock uptime=")) } else { uptime };
    NodeRecord {
        newer: format.filter(|format| *format > FORMAT),
        belongs: format.filter(|format| *format <= FORMAT).map(|_| Belongs {
            cluster: of("cluster"),
            install: of("install"),
            node: of("node"),
            since: of("since"),
        }),
        held: value("lock owner=").map(|owner| Held { owner, who: value("lock who=").unwrap_or_default(), age }),
        drbd: value("drbd.made "),
        peer: value("drbd.peer "),
        ocfs2: value("ocfs2.made "),
        orders: text.lines().filter(|line| line.starts_with("order ")).count(),
    }
}

/// What the records of both nodes mean for a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The install of the nodes that this state folder is to take over.
    pub adopt: Option<String>,
    /// Sentences worth saying.
    pub notes: Vec<String>,
}

/// Judges the records of both nodes; `own` is the state folder's install, if it has one, `owner` names the folder.
///
/// # Errors
/// A [`Failure`]: a node of another pair (4), or one on which another run is at work (7).
pub fn judge(answers: &Answers, records: &[NodeRecord; 2], own: Option<&str>, owner: &str) -> Result<Verdict, Failure> {
    let names = answers.nodes.each_ref().map(|node| node.name.as_str());
    for (name, record) in names.iter().zip(records) {
        if let Some(format) = record.newer {
            let what = format!(
                "its record /var/lib/hapair/record is of format {format}, written by a newer hapair; this one reads up to {FORMAT}"
            );
            return Err(refused(Some(name), what, "use the newer hapair"));
        }
        let Some(belongs) = &record.belongs else { continue };
        if belongs.cluster != answers.cluster {
            let what = format!(
                "it belongs to the cluster {} since {}, not to {}",
                belongs.cluster, belongs.since, answers.cluster
            );
            return Err(refused(
                Some(name),
                what,
                "name the right machine in the answers; if it has left that cluster for good, `hapair undo` there with the old answers",
            ));
        }
        if belongs.node != *name {
            let what =
                format!("this machine is {} of {}, and the answers take it for {name}", belongs.node, belongs.cluster);
            return Err(refused(Some(name), what, "correct `ssh` of the two nodes in the answers"));
        }
    }
    let installs = records.each_ref().map(|record| record.belongs.as_ref().map(|belongs| belongs.install.as_str()));
    if let [Some(first), Some(second)] = installs {
        if first != second {
            let what = format!(
                "{} and {} are not of one pair: both belong to a cluster named {}, but they were installed apart ({} and {})",
                names[0],
                names[1],
                answers.cluster,
                short(first),
                short(second)
            );
            return Err(refused(None, what, "name the right machines in the answers"));
        }
    }
    let theirs = installs[0].or(installs[1]);
    let mut verdict = Verdict::default();
    match (theirs, own) {
        (Some(theirs), Some(own)) if theirs != own => {
            let what = format!(
                "the nodes belong to another install of {} ({}) than this state folder ({})",
                answers.cluster,
                short(theirs),
                short(own)
            );
            let next =
                "if they were installed anew from elsewhere, take them over with an empty state folder: --state-dir";
            return Err(refused(None, what, next));
        }
        (Some(theirs), None) => {
            verdict.adopt = Some(theirs.to_owned());
            verdict.notes.push(format!(
                "{} was installed from another state folder: its id and its keys are taken over from the nodes",
                answers.cluster
            ));
        }
        _ => {}
    }
    for at in At::BOTH {
        let (record, peer) = (&records[at.index()], &records[at.peer().index()]);
        if record.belongs.is_none() && peer.belongs.is_some() && peer.peer.is_some() {
            verdict.notes.push(format!(
                "{} has no record of this install, but {} has: it was installed anew, or its /var/lib/hapair was lost. It gets what it lacks again, and DRBD copies from {} to it, never the other way",
                names[at.index()], names[at.peer().index()], names[at.peer().index()]
            ));
        }
    }
    for (name, record) in names.iter().zip(records) {
        if let Some(held) = record.held.as_ref().filter(|held| held.owner != owner && held.age < DEAD_AFTER) {
            return Err(locked(name, &held.who, held.age));
        }
    }
    Ok(verdict)
}

/// Another run is at work on a node.
fn locked(node: &str, who: &str, age: u64) -> Failure {
    let what = format!("another run is at work there: {who}; its last sign of life is {age} s old");
    let next =
        format!("wait for it, or end it; a run that has died is taken over {DEAD_AFTER} s after its last sign of life");
    Failure { exit: exit::LOCKED, next, ..refused(Some(node), what, "") }
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;

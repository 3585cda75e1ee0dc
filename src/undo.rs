//! What takes an install back: a plan of its own, made from the plan of the install, in reverse order.
//!
//! It consists of `command` actions: each looks whether there is something to take back, takes it back, and looks again.
//! So the same engine runs it, with the same journal, and a killed `undo` goes on like a killed install.

use std::collections::BTreeSet;

use crate::action::command::{Command, Where};
use crate::action::kind::Action;
use crate::event::Event;
use crate::journal::Line;
use crate::node::At;
use crate::plan::{Plan, PlannedAction, PlannedStep};
use crate::step::{Step, Target};

/// What an action may need to know to take itself back.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Root's public key on each node, where it has one.
    pub public_keys: [Option<String>; 2],
    /// The cluster runs on the second node and not on the first: what is in its CIB is taken out of it there.
    pub cluster_on_second: bool,
    /// Step, title and node of each action that a run of this state folder began.
    begun: BTreeSet<(String, String, Option<String>)>,
}

impl Known {
    /// From the public keys, from where the cluster runs, and from what the journal holds.
    pub fn new(public_keys: [Option<String>; 2], running: [bool; 2], lines: &[Line]) -> Self {
        let begun = lines.iter().filter_map(|line| match &line.event {
            Event::ActionStarting { step, title, node, .. } => Some((step.clone(), title.clone(), node.clone())),
            _ => None,
        });
        Self { public_keys, cluster_on_second: running == [false, true], begun: begun.collect() }
    }
}

/// A plan that takes back, and what it leaves.
#[derive(Debug, Clone)]
pub struct Undo {
    /// In the order in which it is done.
    pub plan: Plan,
    /// What stays, one sentence each.
    pub left: Vec<String>,
}

/// Takes back the steps from the last one to `until` (which is taken back too), or all.
pub fn of(plan: &Plan, until: Option<&str>, names: &[String; 2], known: &Known) -> Undo {
    let first = until.and_then(|id| plan.steps.iter().position(|step| step.step.id == id)).unwrap_or(0);
    let stays = |step: &PlannedStep| step.actions.iter().any(|action| matches!(action.any(), Some(Action::Ring(_))));
    let cluster_stays = plan.steps[..first].iter().any(stays);
    let mut steps = Vec::new();
    let mut left: Vec<String> = Vec::new();
    // What several steps see to (a connected DRBD) belongs to the first of them.
    let mut seen: Vec<[Option<Command>; 2]> = Vec::new();
    for step in &plan.steps[first..] {
        let mut back: Vec<(bool, Vec<[Option<Command>; 2]>)> = Vec::new();
        for action in &step.actions {
            let mut own = Vec::new();
            for commands in commands(step, action, names, known, cluster_stays) {
                if !seen.contains(&commands) {
                    seen.push(commands.clone());
                    own.push(commands);
                }
            }
            back.push((action.any().is_some_and(|action| action.undo_last()), own));
            if let Some(sentence) = action.any().and_then(|action| action.left()) {
                if !left.contains(&sentence) {
                    left.push(sentence);
                }
            }
        }
        back.reverse();
        // Stable: what comes last comes behind the others of its step.
        back.sort_by_key(|(last, _)| *last);
        let actions: Vec<PlannedAction> = back
            .into_iter()
            .flat_map(|(_, commands)| commands)
            .enumerate()
            .map(|(index, commands)| PlannedAction {
                id: format!("{}-undo", index + 1),
                instances: commands.map(|command| command.map(Action::Command)),
            })
            .collect();
        if !actions.is_empty() {
            steps.push(PlannedStep { step: named(&step.step), skipped: None, actions });
        }
    }
    steps.reverse();
    // The very last: until then the nodes are this pair's, and no other's.
    if let (None, Some(last)) = (until, steps.last_mut()) {
        last.actions.push(PlannedAction {
            id: format!("{}-undo", last.actions.len() + 1),
            instances: At::BOTH.map(|_| Some(Action::Command(leave()))),
        });
    }
    Undo { plan: Plan { steps, hash: plan.hash.clone() }, left }
}

/// The step under its own id, as something that is taken back.
fn named(step: &Step) -> Step {
    Step {
        title: format!("Take back: {}", begun_small(&step.title)),
        warnings: Vec::new(),
        needs: Vec::new(),
        on: Target::Both,
        takes: None,
        actions: Vec::new(),
        ..step.clone()
    }
}

/// Within a sentence.
fn begun_small(title: &str) -> String {
    let mut rest = title.chars();
    rest.next().map(|first| first.to_lowercase().chain(rest).collect()).unwrap_or_default()
}

/// What takes an action back: for each command its instance on each node; only one for what is about both, where the cluster runs.
fn commands(
    step: &PlannedStep,
    action: &PlannedAction,
    names: &[String; 2],
    known: &Known,
    cluster_stays: bool,
) -> Vec<[Option<Command>; 2]> {
    let [first, second] = At::BOTH.map(|at| {
        let Some(instance) = action.of(at) else { return Vec::new() };
        let node = (!action.is_pair()).then(|| names[at.index()].clone());
        let begun = known.begun.contains(&(step.step.id.clone(), instance.title(), node));
        instance.undo(at, &Undoing { begun, cluster_stays, known })
    });
    first
        .into_iter()
        .zip(second)
        .map(|(first, second)| match first.scope {
            Where::Node => [Some(first), Some(second)],
            Where::Pair if known.cluster_on_second => {
                let second = Command { scope: Where::Node, ..second };
                [Some(script(second.title.clone(), ":", ":", &[])), Some(second)]
            }
            Where::Pair => [Some(first), None],
        })
        .collect()
}

/// What one action on one node gets to know.
#[derive(Debug, Clone, Copy)]
pub struct Undoing<'a> {
    /// A run of this state folder began it: what it brings about was not so before.
    pub begun: bool,
    /// The cluster itself is not taken back: what was made in it has to be taken out of it.
    pub cluster_stays: bool,
    /// The rest.
    pub known: &'a Known,
}

/// A command that takes something back unless `nothing` succeeds. Scripts, with values only as their arguments.
pub fn script(title: impl Into<String>, run: &str, nothing: &str, args: &[&str]) -> Command {
    let words =
        |script: &str| ["sh", "-c", script, "sh"].into_iter().chain(args.iter().copied()).map(str::to_owned).collect();
    Command { title: title.into(), timeout: "900".to_owned(), ..Command::new(words(run), words(nothing)) }
}

/// Lets a node belong to no pair. What it says of its DRBD metadata and file system stays with them.
fn leave() -> Command {
    script("let the node belong to no pair", LEAVE, "[ ! -e /var/lib/hapair/record ]", &[])
}

/// Takes the node's `record` away.
const LEAVE: &str = "rm -f /var/lib/hapair/record && sync /var/lib/hapair";

/// Puts back what stood at a path, or removes what was made there.
pub fn file(path: &str) -> Command {
    let key = crate::action::file::backup_name(path);
    script(
        format!("put back what stood at {path} before, or remove it"),
        include_str!("undo/file.sh"),
        include_str!("undo/file-look.sh"),
        &[path, &key],
    )
}

/// Puts back what stood at a path on the mount `guard`. What hapair alone made there stays, with the VMs' disks. On both nodes:
/// the one that wrote it has the copy, and the other has nothing to do.
pub fn shared_file(path: &str, guard: &str) -> Command {
    let key = crate::action::file::backup_name(path);
    script(
        format!("put back what stood at {path} before"),
        include_str!("undo/file.sh"),
        include_str!("undo/file-look.sh"),
        &[path, &key, guard],
    )
}

/// Exit code of [`changed_since`]: the mount is not there, so what stood at the path can't be put back.
pub const NOT_MOUNTED: i32 = 3;

/// A read that tells (with exit code 0) that hapair wrote this path and somebody changed it since. `guard` is the mount point
/// of the shared file system that it lies on, or empty.
pub fn changed_since(path: &str, guard: &str) -> crate::node::Cmd {
    const CHANGED: &str = r#"kept=/var/lib/hapair
[ -e "$kept/backup/$2" ] || [ -L "$kept/backup/$2" ] || [ -e "$kept/absent/$2" ] || exit 1
[ -z "$3" ] || grep -qF " $3 ocfs2 " /proc/mounts || exit 3
"#;
    let key = crate::action::file::backup_name(path);
    crate::node::Cmd::read_sh(&format!("{CHANGED}{}", include_str!("undo/file-look.sh")), [path, &key, guard])
}

//! How VMs got from one node to the other, as the cluster remembers it.

use super::super::watch::Now;
use crate::answers::Answers;
use crate::node::At;

/// A VM that runs on the other node now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Move {
    vm: String,
    nodes: [String; 2],
    /// What brought it up there: `migrate_from` or `start`; `None` when the cluster does not remember.
    task: Option<String>,
}

/// Of each of these VMs how it got to the node with which it is named.
pub(super) fn of(answers: &Answers, now: &Now, vms: &[(&str, At)]) -> Vec<Move> {
    let view = now.standing.as_ref().and_then(|standing| standing.view.as_ref());
    let name = |at: At| answers.nodes[at.index()].name.clone();
    let of = |(vm, to): &(&str, At)| {
        let nodes = [name(to.peer()), name(*to)];
        // A live move leaves no start where it ends; one that failed and was mended by a start has that behind it.
        let task = view.and_then(|view| view.operation(vm, Some(&nodes[1]), &["start", "migrate_from"]));
        Move { vm: (*vm).to_owned(), nodes, task: task.map(|operation| operation.task.clone()) }
    };
    vms.iter().map(of).collect()
}

impl Move {
    fn live(&self) -> bool {
        self.task.as_deref() == Some("migrate_from")
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let how = match &self.task {
            Some(_) if self.live() => "live",
            Some(_) => "stopped and started again",
            None => "how is not known",
        };
        let [from, to] = &self.nodes;
        format!("{} from {from} to {to}: {how}", self.vm)
    }

    /// What is wrong with it on a pair whose hypervisor moves VMs while they run.
    pub(super) fn amiss(&self) -> Option<String> {
        if self.live() {
            return None;
        }
        let how = match &self.task {
            Some(_) => "was stopped and started again",
            None => "got there in a way that the cluster does not remember",
        };
        let [from, to] = &self.nodes;
        Some(format!("{} did not move live from {from} to {to}: it {how}", self.vm))
    }
}

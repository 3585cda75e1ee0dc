//! A plan as a manual has it: the plain commands that bring a fresh pair to the end of each step.
//!
//! hapair itself never runs these. Its own orders look again on the node right before they write, and depend on what
//! the nodes say; a manual for somebody who types can't. Both come from the same rendered action, so names, paths, options
//! and contents are the same. `plan --offline --format sh` and docs/tutorial.md are made of this.

mod plain;

use crate::action::kind::Action;
use crate::action::{Order, RenderedFile, Scope};
use crate::node::At;
use crate::plan::{PlannedAction, PlannedStep};
use crate::step::Target;

/// On which nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The same on both.
    Both,
    /// On one.
    One(At),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A command.
    Run(Order),
    /// A whole file.
    Write(RenderedFile),
    /// Waiting, until a line of shell succeeds; for at most so many seconds.
    Wait {
        /// What is waited for, in words.
        what: String,
        /// The line.
        shell: String,
        /// Seconds.
        limit: u64,
    },
}

/// One thing to do, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// On which nodes.
    pub who: Who,
    /// What.
    pub what: What,
}

/// An action of a step: its title and what it takes. Nothing where hapair only looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// One line for people.
    pub title: String,
    /// In order.
    pub items: Vec<Item>,
}

/// What a step takes, in order.
pub fn of(step: &PlannedStep) -> Vec<Part> {
    let parts: Vec<Part> = match step.step.on {
        Target::Both => step.actions.iter().filter_map(part).collect(),
        // One node is through with everything before the other begins.
        Target::InTurn => At::BOTH
            .into_iter()
            .flat_map(|at| step.actions.iter().filter_map(move |action| one_side(action, at)))
            .collect(),
    };
    parts.into_iter().filter(|part| !part.items.is_empty()).collect()
}

fn one_side(action: &PlannedAction, at: At) -> Option<Part> {
    if action.is_pair() {
        return if at == At::Second { part(action) } else { None };
    }
    let instance = action.of(at)?;
    let items = whats(instance, at).into_iter().map(|what| Item { who: Who::One(at), what }).collect();
    let which = if at == At::First { "the first node" } else { "the second node" };
    Some(Part { title: format!("{which}: {}", instance.title()), items })
}

fn part(action: &PlannedAction) -> Option<Part> {
    let first = action.any()?;
    let mut sides: Vec<(At, Vec<What>)> = Vec::new();
    for (at, instance) in action.each() {
        sides.push((at, whats(instance, at)));
    }
    let mut items = Vec::new();
    match sides.as_slice() {
        [(_, one), (_, other)] if same(one, other) => {
            items.extend(one.iter().map(|what| Item { who: Who::Both, what: what.clone() }));
        }
        _ => {
            for (at, whats) in sides {
                items.extend(whats.into_iter().map(|what| {
                    let at = if let What::Run(order) = &what { order.at } else { at };
                    Item { who: Who::One(at), what }
                }));
            }
        }
    }
    Some(Part { title: first.title(), items: joined(items) })
}

/// The same command for one node and then for the other is one for both.
fn joined(items: Vec<Item>) -> Vec<Item> {
    let mut joined: Vec<Item> = Vec::new();
    for item in items {
        if let (Some(Item { who: Who::One(At::First), what }), Who::One(At::Second)) = (joined.last(), item.who) {
            if same(std::slice::from_ref(what), std::slice::from_ref(&item.what)) {
                if let Some(last) = joined.last_mut() {
                    last.who = Who::Both;
                }
                continue;
            }
        }
        joined.push(item);
    }
    joined
}

fn same(one: &[What], other: &[What]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|pair| match pair {
            (What::Run(one), What::Run(other)) => one.cmd == other.cmd,
            (one, other) => one == other,
        })
}

fn whats(action: &Action, at: At) -> Vec<What> {
    let mut whats: Vec<What> = action.files().into_iter().map(What::Write).collect();
    if whats.is_empty() {
        whats.extend(plain::orders(action, at).into_iter().map(What::Run));
    }
    // What a command is over when its line is back needs no waiting.
    let at_once = matches!(
        action,
        Action::Packages(_) | Action::Service(_) | Action::DrbdRole(_) | Action::Mount(_) | Action::CrossRead(_)
    );
    if let (Some(settle), false) = (action.settle(), at_once) {
        // A pair is waited for on the first; what only waits is on each node.
        if action.scope() == Scope::Pair || !whats.is_empty() {
            let shell = match action {
                Action::Command(command) => line(&command.unless).unwrap_or(settle.shell),
                _ => settle.shell,
            };
            whats.push(What::Wait { what: settle.what, shell, limit: settle.limit.as_secs() });
        }
    }
    whats
}

/// The script of `sh -c SCRIPT`, without a shell around it.
fn line(words: &[String]) -> Option<String> {
    match words {
        [shell, option, script] if shell == "sh" && option == "-c" => Some(script.clone()),
        _ => None,
    }
}

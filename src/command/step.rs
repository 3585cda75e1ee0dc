//! `hapair step ID`: one step alone. What it needs is looked for on the nodes, whatever the journal says.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::action::{Memory, State};
use crate::event::Failure;
use crate::exit::WrongUsage;
use crate::node::Pair;
use crate::plan::{Plan, PlannedAction, PlannedStep};
use crate::setup::{refused, unanswered};
use crate::step::{Catalog, Step};

/// The step of this id.
///
/// # Errors
/// When there is none; says the nearest.
pub fn known<'a>(catalog: &'a Catalog, id: &str) -> Result<&'a Step> {
    if let Some(step) = catalog.step(id) {
        return Ok(step);
    }
    let ids: Vec<&str> = catalog.steps.iter().map(|step| step.id.as_str()).collect();
    bail!(WrongUsage(format!("there is no step {id}; the steps are {}", ids.join(", "))))
}

/// A step that is needed and not so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its id.
    pub step: String,
    /// Name of the node where the first thing is missing; `None` when it is about both.
    pub node: Option<String>,
    /// What is missing there.
    pub what: String,
}

/// Which of the steps that `id` needs, and that those need, are not so on the nodes; in the plan's order. `memory`: what the
/// state folder knows of them, should a node have lost its own record.
///
/// # Errors
/// A [`Failure`] with exit code 5 when a node can't be asked.
pub fn missing(pair: &Pair, plan: &Plan, id: &str, memory: &Memory) -> Result<Vec<Missing>, Failure> {
    let needed = needed(plan, id);
    let steps: Vec<&PlannedStep> = plan.steps.iter().filter(|step| needed.contains(step.step.id.as_str())).collect();
    let actions: Vec<&PlannedAction> = steps.iter().flat_map(|step| &step.actions).collect();
    let looked = crate::engine::look(pair, &actions).map_err(unanswered(pair))?;
    let mut missing = Vec::new();
    let mut index = 0;
    for step in steps {
        let mut first = None;
        for action in &step.actions {
            for (at, state) in looked.states(index, action, memory) {
                if let (None, Some(what)) = (&first, words(&state)) {
                    let node = (!action.is_pair()).then(|| pair.at(at).name.clone());
                    first = Some(Missing { step: step.step.id.clone(), node, what });
                }
            }
            index += 1;
        }
        missing.extend(first);
    }
    Ok(missing)
}

/// Ids of all steps that a step needs, directly or not; without itself.
fn needed<'a>(plan: &'a Plan, id: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&PlannedStep> = plan.step(id).into_iter().collect();
    while let Some(step) = open.pop() {
        for need in &step.step.needs {
            if found.insert(need.as_str()) {
                open.extend(plan.step(need));
            }
        }
    }
    found
}

/// Refuses a step whose needs are not so; names the first of them, and the others.
///
/// `command` gives the whole command line of one of hapair's commands.
///
/// # Errors
/// A [`Failure`] with exit code 4.
pub fn refuse(id: &str, missing: &[Missing], command: impl Fn(&str) -> String) -> Result<(), Failure> {
    let Some(first) = missing.first() else { return Ok(()) };
    let mut what = format!("the step {id} needs the step {}, which is not so: {}", first.step, first.what);
    if missing.len() > 1 {
        let others: Vec<&str> = missing[1..].iter().map(|missing| missing.step.as_str()).collect();
        what.push_str(&format!("\n  these are not so either: {}", others.join(", ")));
    }
    let next = format!(
        "run that step first ({}), or let this one run all it needs: --with-needs",
        command(&format!("step {}", first.step))
    );
    Err(refused(first.node.as_deref(), what, &next))
}

/// What is missing, if anything is.
fn words(state: &State) -> Option<String> {
    match state {
        State::Satisfied => None,
        State::Drift(change) => Some(change.summary.clone()),
        State::Unknown(why) => Some(why.clone()),
        State::Refused(refusal) => Some(refusal.what.clone()),
    }
}

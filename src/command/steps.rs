//! `hapair steps`: the steps in order; with answers, how each one stands.

use std::fmt::Write as _;

use anyhow::Result;

use crate::action::{Memory, State};
use crate::engine::look;
use crate::plan::PlannedAction;
use crate::secrets::Secrets;
use crate::setup::Setup;
use crate::step::Catalog;

/// How a step stands on the nodes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StepState {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// `done`, `to do`, `refused`, `left out`.
    pub state: &'static str,
    /// What is missing, the first of it.
    pub missing: Option<String>,
}

/// The list without nodes.
pub fn list(catalog: &Catalog) -> String {
    let mut text = String::new();
    for (index, step) in catalog.steps.iter().enumerate() {
        let _ = writeln!(text, "{:2}  {:14} {}", index + 1, step.id, step.title);
    }
    text
}

/// How each step stands.
///
/// # Errors
/// When a node can't be reached.
pub fn states(setup: &Setup) -> Result<Vec<StepState>> {
    let pair = setup.connect(false)?;
    let survey = setup.survey(&pair)?;
    let secrets = Secrets::existing(&setup.state)?.unwrap_or_else(Secrets::placeholders);
    let plan = setup.plan(&survey.platform, &survey.found, &secrets)?;
    let actions: Vec<&PlannedAction> = plan.steps.iter().flat_map(|step| &step.actions).collect();
    let looked = look(&pair, &actions).map_err(crate::setup::unanswered(&pair))?;
    let mut index = 0;
    let mut found = Vec::new();
    for step in &plan.steps {
        let mut state = if step.skipped.is_some() { "left out" } else { "done" };
        let mut missing = step.skipped.clone();
        for action in &step.actions {
            for (at, seen) in looked.states(index, action, &Memory::default()) {
                let (word, why) = match seen {
                    State::Satisfied => continue,
                    State::Drift(change) => ("to do", change.summary),
                    State::Unknown(why) => ("to do", why),
                    State::Refused(refusal) => ("refused", refusal.what),
                };
                if state != "refused" {
                    state = word;
                }
                let whom = if action.is_pair() { "both" } else { &pair.at(at).name };
                missing.get_or_insert_with(|| format!("{whom}: {why}"));
            }
            index += 1;
        }
        found.push(StepState { id: step.step.id.clone(), title: step.step.title.clone(), state, missing });
    }
    Ok(found)
}

/// The list with how each step stands.
pub fn text(states: &[StepState]) -> String {
    let mut text = String::new();
    for (index, step) in states.iter().enumerate() {
        let _ = write!(text, "{:2}  {:14} {:9} {}", index + 1, step.id, step.state, step.title);
        if let Some(missing) = &step.missing {
            let _ = write!(text, "\n        {missing}");
        }
        text.push('\n');
    }
    text
}

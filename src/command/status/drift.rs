//! What differs from the answers: files, properties, packages... everything that an install would change.

use serde::Serialize;

use crate::action::{Memory, State};
use crate::engine::look;
use crate::node::Pair;
use crate::secrets::Secrets;
use crate::setup::Setup;

/// What differs from the answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// In words, one line each: step, node, what an install would do.
    Found(Vec<String>),
    /// Why that can't be told.
    NotLooked(String),
}

impl Drift {
    /// Looked, and nothing differs; or not looked, which is no finding of its own.
    #[must_use]
    pub fn is_none(&self) -> bool {
        match self {
            Drift::Found(found) => found.is_empty(),
            Drift::NotLooked(_) => true,
        }
    }

    /// Asks both nodes everything that the plan asks.
    pub fn look(setup: &Setup, pair: &Pair) -> Self {
        Self::found(setup, pair).unwrap_or_else(|error| Drift::NotLooked(format!("{error:#}")))
    }

    fn found(setup: &Setup, pair: &Pair) -> anyhow::Result<Self> {
        let survey = setup.survey(pair)?;
        let Some(secrets) = Secrets::existing(&setup.state)? else {
            return Ok(Drift::NotLooked("nothing was installed from here: the secrets aren't known".to_owned()));
        };
        let plan = setup.plan(&survey.platform, &survey.found, &secrets)?;
        let actions: Vec<_> = plan.steps.iter().flat_map(|step| &step.actions).collect();
        let looked = look(pair, &actions).map_err(crate::setup::unanswered(pair))?;
        let mut found = Vec::new();
        let steps = plan.steps.iter().flat_map(|step| step.actions.iter().map(move |action| (&step.step.id, action)));
        for (index, (step, action)) in steps.enumerate() {
            for (at, state) in looked.states(index, action, &Memory::default()) {
                let whom = if action.is_pair() { "both" } else { &pair.at(at).name };
                match state {
                    State::Drift(change) => found.push(format!("{step}, {whom}: {}", change.summary)),
                    State::Refused(refusal) => found.push(format!("{step}, {whom}: {}", refusal.what)),
                    // Depends on what is amiss elsewhere.
                    State::Unknown(_) | State::Satisfied => {}
                }
            }
        }
        Ok(Drift::Found(found))
    }
}

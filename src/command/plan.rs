//! `hapair plan`: what would change. Nothing is changed: the nodes it gets can't be written to.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::json;

use crate::action::{Memory, Risk, State};
use crate::cli::PlanFormat;
use crate::command::{print, script};
use crate::engine::{Looked, look};
use crate::first_copy::FirstCopy;
use crate::node::{At, Pair};
use crate::plan::{Plan, PlannedStep};
use crate::preflight;
use crate::secrets::Secrets;
use crate::setup::Setup;

/// What is shown.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only this step.
    pub step: Option<String>,
    /// Ask no node.
    pub offline: bool,
    /// How it is shown.
    pub format: PlanFormat,
}

/// Last line of a plan for a pair on which nothing differs from the answers.
pub const NOTHING_TO_DO: &str = "Nothing to do: everything is as it must be.";

/// The step that copies a whole device.
const FIRST_COPY: &str = "drbd-sync";

/// Prints the plan.
///
/// # Errors
/// When a node can't be reached, or there is no such step.
pub fn run(setup: &Setup, options: &Options) -> Result<()> {
    print(&text(setup, options)?)
}

/// The plan, as it is printed.
///
/// # Errors
/// When a node can't be reached, or there is no such step.
pub fn text(setup: &Setup, options: &Options) -> Result<String> {
    if let Some(id) = &options.step {
        super::step::known(&setup.catalog, id)?;
    }
    let (plan, shown, asked) = if options.offline {
        let (platform, found) = setup.offline()?;
        let plan = setup.shown_plan(&platform, &found)?;
        (plan.clone(), plan, None)
    } else {
        let pair = setup.connect(false)?;
        let survey = setup.survey(&pair)?;
        let secrets = Secrets::existing(&setup.state)?.unwrap_or_else(Secrets::placeholders);
        // Compared with the real keys and passwords, shown with stand-ins for them.
        let plan = setup.plan(&survey.platform, &survey.found, &secrets)?;
        let shown = setup.shown_plan(&survey.platform, &survey.found)?;
        (plan, shown, Some((pair, survey)))
    };
    let mut view = View::new(setup, &plan, &shown, asked.as_ref().map(|(pair, _)| pair), options.step.as_deref())?;
    if let Some((pair, survey)) = asked.as_ref().filter(|_| view.would_change(FIRST_COPY)) {
        let messaging = &survey.platform.messaging;
        let wire = preflight::measure_now(pair, &setup.answers, messaging, &survey.facts)
            .map_err(crate::setup::unanswered(pair))?;
        view.first_copy = FirstCopy::expected(&setup.answers, &survey.facts, &wire);
    }
    match options.format {
        PlanFormat::Text => Ok(view.text()),
        PlanFormat::Json => Ok(format!("{:#}\n", view.json())),
        PlanFormat::Sh => script::of(setup, &view),
    }
}

/// A plan with what was seen on the nodes.
pub struct View<'a> {
    /// Names of the nodes.
    pub names: [String; 2],
    /// Steps with their places in `looked`: what is compared, and what is shown.
    pub steps: Vec<(&'a PlannedStep, &'a PlannedStep, usize)>,
    /// What was seen; `None` offline.
    pub looked: Option<Looked>,
    /// How long the first copy takes, where one is to be made.
    pub first_copy: Option<FirstCopy>,
}

impl<'a> View<'a> {
    fn new(setup: &Setup, plan: &'a Plan, shown: &'a Plan, pair: Option<&Pair>, only: Option<&str>) -> Result<Self> {
        let mut steps = Vec::new();
        let mut index = 0;
        let mut actions = Vec::new();
        for (step, shown) in plan.steps.iter().zip(&shown.steps) {
            if only.is_none_or(|id| id == step.step.id) {
                steps.push((step, shown, index));
                index += step.actions.len();
                actions.extend(&step.actions);
            }
        }
        let looked = match pair {
            Some(pair) => Some(look(pair, &actions).map_err(crate::setup::unanswered(pair))?),
            None => None,
        };
        if steps.is_empty() {
            bail!("the plan has no step");
        }
        let names = [setup.answers.nodes[0].name.clone(), setup.answers.nodes[1].name.clone()];
        Ok(Self { names, steps, looked, first_copy: None })
    }

    /// Whether a step is shown and has something to do.
    fn would_change(&self, id: &str) -> bool {
        self.steps.iter().filter(|(step, ..)| step.step.id == id).any(|(step, _, first)| {
            (0..step.actions.len())
                .flat_map(|index| self.states(step, *first, index))
                .any(|(_, state)| matches!(state, Some(State::Drift(_) | State::Unknown(_))))
        })
    }

    /// How an action stands; offline nothing is known.
    pub fn states(&self, step: &PlannedStep, first: usize, index: usize) -> Vec<(At, Option<State>)> {
        let action = &step.actions[index];
        match &self.looked {
            Some(looked) => looked
                .states(first + index, action, &Memory::default())
                .into_iter()
                .map(|(at, state)| (at, Some(state)))
                .collect(),
            None => action.each().map(|(at, _)| (at, None)).collect(),
        }
    }

    fn whom(&self, pair: bool, at: At) -> &str {
        if pair { "both" } else { &self.names[at.index()] }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut changes = 0;
        let mut changing_steps = 0;
        for (step, _, first) in &self.steps {
            let mut lines = String::new();
            for (index, action) in step.actions.iter().enumerate() {
                for (at, state) in self.states(step, *first, index) {
                    let title = action.of(at).map(|action| action.title()).unwrap_or_default();
                    let whom = self.whom(action.is_pair(), at);
                    match state {
                        Some(State::Satisfied) => continue,
                        None => {
                            let _ = writeln!(lines, "    {whom}: {title}");
                        }
                        Some(State::Drift(change)) => {
                            let risk = match change.risk {
                                Risk::None => "",
                                Risk::RestartsCluster => " [restarts the cluster's daemons]",
                                Risk::Reboots => " [REBOOTS the node]",
                                Risk::DestroysData => " [DESTROYS what the device holds]",
                            };
                            let _ = writeln!(lines, "    {whom}: {}{risk}", change.summary);
                            for line in change.diff.iter().flat_map(|diff| diff.lines()) {
                                let _ = writeln!(lines, "        {line}");
                            }
                        }
                        Some(State::Unknown(why)) => {
                            let _ = writeln!(lines, "    {whom}: {title} (can't be told yet: {why})");
                        }
                        Some(State::Refused(refusal)) => {
                            let _ = writeln!(lines, "    {whom}: REFUSED: {}", refusal.what);
                            let _ = writeln!(lines, "        next: {}", refusal.next);
                        }
                    }
                    changes += 1;
                }
            }
            let state = match (&step.skipped, lines.is_empty()) {
                (Some(why), _) => format!("left out: {why}"),
                (None, true) => "nothing to do".to_owned(),
                (None, false) => {
                    changing_steps += 1;
                    String::new()
                }
            };
            let dash = if state.is_empty() { "" } else { " - " };
            let _ = writeln!(text, "{}: {}{dash}{state}", step.step.id, step.step.title);
            text.push_str(&lines);
            if let Some(copy) = self.first_copy.filter(|_| step.step.id == FIRST_COPY) {
                let _ = writeln!(text, "    both: {}", copy.words());
            }
        }
        if self.looked.is_none() {
            let _ = writeln!(text, "\nNo node was asked: this is what a fresh pair needs.");
        } else if changes == 0 {
            let _ = writeln!(text, "\n{NOTHING_TO_DO}");
        } else {
            let _ = writeln!(text, "\n{changes} changes in {changing_steps} steps. Nothing was changed.");
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|(step, _, first)| {
                let actions: Vec<_> = step
                    .actions
                    .iter()
                    .enumerate()
                    .flat_map(|(index, action)| {
                        self.states(step, *first, index).into_iter().map(move |(at, state)| {
                            let node = (!action.is_pair()).then(|| self.names[at.index()].clone());
                            let title = action.of(at).map(|action| action.title());
                            let mut value = json!({"action": action.id, "node": node, "title": title});
                            match state {
                                None => {}
                                Some(State::Satisfied) => value["state"] = json!("satisfied"),
                                Some(State::Drift(change)) => {
                                    value["state"] = json!("would-change");
                                    value["change"] = json!(change);
                                }
                                Some(State::Unknown(why)) => {
                                    value["state"] = json!("unknown");
                                    value["why"] = json!(why);
                                }
                                Some(State::Refused(refusal)) => {
                                    value["state"] = json!("refused");
                                    value["refusal"] = json!(refusal);
                                }
                            }
                            value
                        })
                    })
                    .collect();
                let mut value = json!({"step": step.step.id, "title": step.step.title, "skipped": step.skipped, "actions": actions});
                if let Some(copy) = self.first_copy.filter(|_| step.step.id == FIRST_COPY) {
                    value["first_copy"] = json!(copy);
                    value["first_copy"]["seconds"] = json!(copy.seconds());
                }
                value
            })
            .collect();
        json!({"steps": steps})
    }
}

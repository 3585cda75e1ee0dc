//! Steps x answers x facts: rendered, ordered, hashed. No template is left in it.

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::action::kind::{Action, Entry, Loop};
use crate::action::{RenderedFile, Scope};
use crate::answers::Vm;
use crate::node::At;
use crate::step::{Catalog, Step, holds};
use crate::template::Templates;
use crate::variables::Source;

/// What is done, in order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In the order of the tutorial.
    pub steps: Vec<PlannedStep>,
    /// Hash of answers, facts, steps, templates and version.
    pub hash: String,
}

/// A step with its actions, rendered.
#[derive(Debug, Clone)]
pub struct PlannedStep {
    /// The step itself.
    pub step: Step,
    /// Why it is left out, if it is.
    pub skipped: Option<String>,
    /// In order.
    pub actions: Vec<PlannedAction>,
}

/// An action, rendered for each node.
#[derive(Debug, Clone)]
pub struct PlannedAction {
    /// Number and kind within its step: `3-file`.
    pub id: String,
    /// For an action of [`Scope::Node`] one for each node; for one of [`Scope::Pair`] only the first.
    pub instances: [Option<Action>; 2],
}

impl PlannedAction {
    /// Whether it is about both nodes together.
    pub fn is_pair(&self) -> bool {
        self.instances[1].is_none()
    }

    /// The instances with their nodes.
    pub fn each(&self) -> impl Iterator<Item = (At, &Action)> {
        At::BOTH.into_iter().filter_map(|at| self.instances[at.index()].as_ref().map(|action| (at, action)))
    }

    /// The instance that a node takes part in.
    pub fn of(&self, at: At) -> Option<&Action> {
        if self.is_pair() { self.instances[0].as_ref() } else { self.instances[at.index()].as_ref() }
    }

    /// The first instance, for its title and kind.
    pub fn any(&self) -> Option<&Action> {
        self.instances[0].as_ref()
    }
}

impl Plan {
    /// Renders all steps.
    ///
    /// # Errors
    /// When a template or a step names a variable that is not there; says which step and action.
    pub fn build(catalog: &Catalog, templates: &Templates, source: &Source<'_>) -> Result<Self> {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(&source.at(At::First, None)).context("hashing the plan")?);
        for (name, text) in catalog.sources.iter().chain(templates.sources()) {
            hash.update(name);
            hash.update(text);
        }
        let choices = source.choices(None);
        let steps = catalog
            .steps
            .iter()
            .map(|step| {
                let skipped = (!holds(&step.when, &choices)).then(|| reason(step, &choices));
                let actions = if skipped.is_some() {
                    Vec::new()
                } else {
                    actions(step, templates, source).with_context(|| format!("step {}", step.id))?
                };
                Ok(PlannedStep { step: step.clone(), skipped, actions })
            })
            .collect::<Result<Vec<_>>>()?;
        let hash = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { steps, hash })
    }

    /// A step by its id.
    pub fn step(&self, id: &str) -> Option<&PlannedStep> {
        self.steps.iter().find(|step| step.step.id == id)
    }

    /// Names of all packages that it installs, each once; `a|b` where one of several will do.
    pub fn packages(&self) -> Vec<String> {
        let actions = self.steps.iter().flat_map(|step| &step.actions);
        let names: std::collections::BTreeSet<&str> = actions
            .filter_map(|action| match action.any() {
                Some(Action::Packages(packages)) => Some(packages.names.split_whitespace()),
                _ => None,
            })
            .flatten()
            .collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Whole files as they would be written on a node; of several for one path the last.
    pub fn files(&self, at: At) -> Vec<RenderedFile> {
        let mut files: Vec<RenderedFile> = Vec::new();
        for action in self.steps.iter().flat_map(|step| &step.actions).filter_map(|action| action.of(at)) {
            for file in action.files() {
                files.retain(|known| known.path != file.path);
                files.push(file);
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }
}

fn reason(step: &Step, choices: &crate::step::Choices) -> String {
    if choices.get("hypervisor").is_some_and(|kind| kind == "stand-in") && step.when.contains_key("hypervisor") {
        return "not rehearsed by this engine: it has no hypervisor".to_owned();
    }
    let wanted: Vec<String> = step.when.iter().map(|(key, any)| format!("{key}: {}", any.0.join(" or "))).collect();
    format!("only with {}", wanted.join(", "))
}

fn actions(step: &Step, templates: &Templates, source: &Source<'_>) -> Result<Vec<PlannedAction>> {
    let mut planned = Vec::new();
    for entry in &step.actions {
        let vms: Vec<Option<&Vm>> = match entry.each {
            Some(Loop::Vms) => source.answers.vms.iter().map(Some).collect(),
            None => vec![None],
        };
        for vm in vms {
            if !holds(&entry.when, &source.choices(vm)) {
                continue;
            }
            let number = planned.len() + 1;
            planned.push(
                planned_action(entry, number, vm, templates, source).with_context(|| format!("action {number}"))?,
            );
        }
    }
    Ok(planned)
}

fn planned_action(
    entry: &Entry,
    number: usize,
    vm: Option<&Vm>,
    templates: &Templates,
    source: &Source<'_>,
) -> Result<PlannedAction> {
    let action = entry.action()?;
    let rendered = |at: At| render(&action, templates, &source.at(at, vm));
    let first = rendered(At::First)?;
    let second = match first.scope() {
        Scope::Node => Some(rendered(At::Second)?),
        Scope::Pair => None,
    };
    Ok(PlannedAction { id: format!("{number}-{}", action.kind()), instances: [Some(first), second] })
}

/// Renders every string of an action; where it names a template, that becomes its `content`.
fn render(action: &Action, templates: &Templates, variables: &Value) -> Result<Action> {
    let mut value = serde_json::to_value(action).context("an action as JSON")?;
    strings(&mut value, &mut |text| templates.text(text, variables))?;
    if let Some(fields) =
        value.as_object_mut().and_then(|kinds| kinds.values_mut().next()).and_then(Value::as_object_mut)
    {
        if let Some(name) = fields.get("template").and_then(Value::as_str).map(str::to_owned) {
            fields.insert("content".to_owned(), Value::String(templates.render(&name, variables)?));
        }
    }
    serde_json::from_value(value).with_context(|| format!("{} after its variables were put in", action.kind()))
}

fn strings(value: &mut Value, render: &mut dyn FnMut(&str) -> Result<String>) -> Result<()> {
    match value {
        Value::String(text) => *text = render(text)?,
        Value::Array(values) => {
            for value in values {
                strings(value, render)?;
            }
        }
        Value::Object(fields) => {
            for (_, value) in fields.iter_mut() {
                strings(value, render)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

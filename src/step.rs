//! A step: one section of the tutorial, as data. `steps/NN-id.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use crate::action::kind::Entry;

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/steps");

/// On which node, and whether both at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Both nodes at the same time.
    #[default]
    Both,
    /// One node after the other, the peer seen healthy in between.
    InTurn,
}

/// A value or any of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "serde_yaml::Value")]
pub struct AnyOf(pub Vec<String>);

impl From<serde_yaml::Value> for AnyOf {
    fn from(value: serde_yaml::Value) -> Self {
        match value {
            serde_yaml::Value::Sequence(values) => AnyOf(values.iter().map(word).collect()),
            value => AnyOf(vec![word(&value)]),
        }
    }
}

fn word(value: &serde_yaml::Value) -> String {
    match value {
        serde_yaml::Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
    }
}

/// Equality on enumerated answers or on the platform: all must hold.
pub type When = BTreeMap<String, AnyOf>;

/// What `when` may ask for: key and value as they are for these answers.
pub type Choices = BTreeMap<String, String>;

/// Every key that `when` knows, with all the values it can have.
pub const WHEN_KEYS: &[(&str, &[&str])] = &[
    ("platform", &["debian-12", "debian-13", "ubuntu-24.04", "ubuntu-7.10"]),
    ("messaging", &["corosync", "heartbeat"]),
    ("init", &["systemd", "sysv"]),
    ("drbd_module", &["shipped", "built"]),
    ("toolstack", &["xl", "xend"]),
    ("hypervisor", &["xen", "kvm", "stand-in"]),
    ("start", &["cluster", "script"]),
    ("layout", &["ocfs2", "drbd-per-vm"]),
    ("fencing", &["ipmi", "sbd", "agent", "levels", "ssh"]),
    ("initial_sync", &["full", "skip"]),
    ("image", &["demo", "file", "blank", "config"]),
    ("mirror", &["none", "set"]),
];

/// Whether `when` holds.
pub fn holds(when: &When, choices: &Choices) -> bool {
    when.iter().all(|(key, any)| choices.get(key).is_some_and(|value| any.0.contains(value)))
}

/// One section of the tutorial.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Id: a contract.
    pub id: String,
    /// Title: a sentence without its full stop.
    pub title: String,
    /// Section of the tutorial.
    pub section: String,
    /// What it is for, and what goes wrong without it.
    pub why: String,
    /// What the tutorial said, what was wrong with it and what is done here instead.
    #[serde(default)]
    pub tutorial: Option<String>,
    /// Sentences to be shown before the step runs.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What goes wrong, and what to do then; one symptom each.
    #[serde(default)]
    pub trouble: Vec<String>,
    /// How an administrator sees by hand that it worked.
    #[serde(default)]
    pub verify: Option<String>,
    /// Ids of steps that must be so before.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Both at once, or one after the other.
    #[serde(default)]
    pub on: Target,
    /// Roughly how long it takes, for people.
    #[serde(default)]
    pub takes: Option<String>,
    /// When the step is left out.
    #[serde(default)]
    pub when: When,
    /// What is checked and done, in order.
    pub actions: Vec<Entry>,
}

/// All steps, in order.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// In the order of their numbers.
    pub steps: Vec<Step>,
    /// Texts of the platform files: name and YAML.
    pub platforms: Vec<(String, String)>,
    /// File names and texts of the steps, for the plan's hash.
    pub sources: Vec<(String, String)>,
}

impl Catalog {
    /// Those of the binary, with the ones of `dir` in place of or beside them.
    ///
    /// # Errors
    /// When a file is not a step, a `needs` names no earlier step, or a `when` asks for something that doesn't exist.
    pub fn load(dir: Option<&Path>) -> Result<Self> {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for file in EMBEDDED.files().chain(EMBEDDED.dirs().flat_map(Dir::files)) {
            let name = file.path().to_string_lossy().into_owned();
            let text = file.contents_utf8().with_context(|| format!("steps/{name} is not UTF-8"))?;
            texts.insert(name, text.to_owned());
        }
        if let Some(dir) = dir {
            texts.extend(crate::folder::texts(dir, "yaml")?);
        }
        let (platforms, sources): (Vec<_>, Vec<_>) =
            texts.into_iter().partition(|(name, _)| name.starts_with("platform/"));
        let steps = sources
            .iter()
            .map(|(name, text)| {
                let step: Step = serde_yaml::from_str(text).with_context(|| format!("steps/{name}"))?;
                if name.trim_end_matches(".yaml").split_once('-').map(|(_, id)| id) != Some(step.id.as_str()) {
                    bail!("steps/{name}: its id is {}, so the file must be NN-{}.yaml", step.id, step.id);
                }
                Ok(step)
            })
            .collect::<Result<Vec<_>>>()?;
        let catalog = Self { steps, platforms, sources };
        catalog.check()?;
        Ok(catalog)
    }

    /// A step by its id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    fn check(&self) -> Result<()> {
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for step in &self.steps {
            for need in &step.needs {
                if !known.contains(need.as_str()) {
                    bail!("step {}: it needs {need}, which is no earlier step", step.id);
                }
            }
            if !known.insert(&step.id) {
                bail!("step {}: there are two steps of this id", step.id);
            }
            check_when(&step.when).with_context(|| format!("step {}", step.id))?;
            for (index, entry) in step.actions.iter().enumerate() {
                let place = || format!("step {}: actions[{index}]", step.id);
                check_when(&entry.when).with_context(place)?;
                entry.action().with_context(place)?;
            }
        }
        Ok(())
    }
}

fn check_when(when: &When) -> Result<()> {
    for (key, any) in when {
        let Some((_, values)) = WHEN_KEYS.iter().find(|(known, _)| known == key) else {
            let known: Vec<&str> = WHEN_KEYS.iter().map(|(known, _)| *known).collect();
            bail!("when: there is no {key}; known are {}", known.join(", "));
        };
        for value in &any.0 {
            // A platform of one's own is one more file, so its id can't be in the table.
            if key != "platform" && !values.contains(&value.as_str()) {
                bail!("when: {key} is never {value}; it is one of {}", values.join(", "));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_the_contract_is_there_in_order() {
        let catalog = Catalog::load(None).expect("embedded steps parse");
        let ids: Vec<&str> = catalog.steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "hosts",
                "partition",
                "xen",
                "xen-boot",
                "drbd-module",
                "o2cb",
                "drbd-resource",
                "drbd-sync",
                "drbd-promote",
                "mkfs",
                "mount",
                "ssh-keys",
                "messaging",
                "cib-bootstrap",
                "stonith",
                "boot",
                "vms",
                "verify"
            ]
        );
    }

    #[test]
    fn when_asks_for_equality_on_all_keys() {
        let when: When = serde_yaml::from_str("{start: cluster, fencing: [ssh, ipmi]}").expect("parses");
        let choices = |start: &str, fencing: &str| {
            Choices::from([("start".to_owned(), start.to_owned()), ("fencing".to_owned(), fencing.to_owned())])
        };
        assert!(holds(&when, &choices("cluster", "ipmi")));
        assert!(!holds(&when, &choices("script", "ipmi")));
        assert!(!holds(&when, &choices("cluster", "sbd")));
    }
}

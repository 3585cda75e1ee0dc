//! `hapair check`: the preflight alone. Everything that would refuse is said at once; nothing is changed.

use std::fmt::Write as _;

use anyhow::Result;

use crate::action::{Memory, RefusalKind, State};
use crate::command::print;
use crate::engine::look;
use crate::exit;
use crate::facts::Facts;
use crate::node::{At, Pair};
use crate::plan::{Plan, PlannedAction};
use crate::preflight::{self, Finding, wire::Wire};
use crate::secrets::Secrets;
use crate::setup::Setup;

/// Prints what was found; gives the exit code.
///
/// # Errors
/// When a node can't be reached.
pub fn run(setup: &Setup) -> Result<u8> {
    let pair = setup.connect(false)?;
    let checked = on(setup, &pair)?;
    print(&checked.text(setup))?;
    Ok(checked.code())
}

/// What `hapair check` found.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the nodes are.
    pub facts: [Facts; 2],
    /// Findings, errors first.
    pub findings: Vec<Finding>,
    /// Findings that are to be ignored.
    pub ignored: Vec<Finding>,
    /// What passes between the nodes.
    pub wire: Wire,
}

/// Checks a pair; the nodes are only read.
///
/// # Errors
/// When a node can't be reached.
pub fn on(setup: &Setup, pair: &Pair) -> Result<Checked> {
    let lost = crate::setup::unanswered(pair);
    let facts = setup.facts(pair)?;
    let platforms = setup.platforms(&facts);
    let plan = match &platforms {
        [Ok(first), Ok(second)] if first.id == second.id => {
            let secrets = Secrets::existing(&setup.state)?.unwrap_or_else(Secrets::placeholders);
            Some(setup.plan(first, &setup.found(&facts), &secrets)?)
        }
        _ => None,
    };
    let packages = plan.as_ref().map(Plan::packages).unwrap_or_default();
    let evidence =
        preflight::gather(pair, &setup.answers, &facts, &platforms, &packages, setup.rehearsal).map_err(&lost)?;
    let mut findings = preflight::findings(&evidence);
    let wire = evidence.wire.clone();
    if let Some(plan) = &plan {
        steps(pair, plan, &mut findings).map_err(lost)?;
    }
    let ignored = preflight::ignored(&mut findings, &setup.ignore);
    findings.sort_by_key(|finding| !finding.error);
    Ok(Checked { facts, findings, ignored, wire })
}

/// What the steps themselves refuse.
fn steps(pair: &Pair, plan: &Plan, findings: &mut Vec<Finding>) -> Result<(), (At, crate::node::Lost)> {
    let actions: Vec<(&str, &PlannedAction)> =
        plan.steps.iter().flat_map(|step| step.actions.iter().map(|action| (step.step.id.as_str(), action))).collect();
    let looked = look(pair, &actions.iter().map(|(_, action)| *action).collect::<Vec<_>>())?;
    for (index, (step, action)) in actions.into_iter().enumerate() {
        for (at, state) in looked.states(index, action, &Memory::default()) {
            let State::Refused(refusal) = state else { continue };
            let name = match (refusal.kind, step) {
                (RefusalKind::Failed, _) => continue,
                (RefusalKind::Consent, _) => "consent",
                (_, "partition") => "backing-device",
                (_, "messaging") => "clustered",
                (_, "drbd-module") if refusal.what.contains("no module") => "kernel-drbd",
                (_, "xen") if refusal.what.starts_with("Secure Boot") => "secure-boot",
                _ => "step",
            };
            for (node, what, next) in sentences(pair, action, at, &refusal.what, &refusal.next) {
                // One node's disk is in use, and the other's only needs consent: both are told by one refusal.
                let name = if name == "backing-device" && next.contains("`erase: ") { "consent" } else { name };
                add(findings, name, step, node, what, next);
            }
        }
    }
    Ok(())
}

/// What a refusal says of each node: one that is about both may have a line `node1: ...` for each.
fn sentences<'a>(
    pair: &'a Pair,
    action: &PlannedAction,
    at: At,
    what: &'a str,
    next: &'a str,
) -> Vec<(Option<&'a str>, &'a str, &'a str)> {
    if !action.is_pair() {
        return vec![(Some(pair.at(at).name.as_str()), what, next)];
    }
    let of = |line: &'a str| {
        At::BOTH.into_iter().find_map(|at| {
            let name = pair.at(at).name.as_str();
            Some((name, line.strip_prefix(name)?.strip_prefix(": ")?))
        })
    };
    let lines: Option<Vec<_>> = what.lines().map(of).collect();
    match lines {
        Some(lines) if lines.len() == 1 => vec![(Some(lines[0].0), lines[0].1, next)],
        Some(lines) if lines.len() == next.lines().count() => lines
            .into_iter()
            .zip(next.lines())
            .map(|((name, what), next)| (Some(name), what, of(next).map_or(next, |(_, next)| next)))
            .collect(),
        _ => vec![(None, what, next)],
    }
}

/// Adds what a step refuses, unless it is known: the preflight saw some of it in its own words, and several steps look at
/// the same device.
fn add(findings: &mut Vec<Finding>, name: &'static str, step: &str, node: Option<&str>, what: &str, next: &str) {
    let firm = ["clustered", "secure-boot", "kernel-drbd"].contains(&name);
    let known = findings.iter_mut().find(|finding| {
        finding.node.as_deref() == node && ((firm && finding.name == name) || finding.what.ends_with(what))
    });
    match known {
        // It is the consent that is missing, whoever saw it first.
        Some(known) if name == "consent" => {
            *known = Finding::error(name, node, what.to_owned(), next);
        }
        Some(_) => {}
        None => {
            let what = if name == "step" { format!("step {step}: {what}") } else { what.to_owned() };
            findings.push(Finding::error(name, node, what, next));
        }
    }
}

impl Checked {
    /// Exit code: 0, 4, or 6 when only consent is missing.
    pub fn code(&self) -> u8 {
        let mut errors = self.findings.iter().filter(|finding| finding.error).peekable();
        if errors.peek().is_none() {
            exit::DONE
        } else if errors.all(|finding| finding.name == "consent") {
            exit::CONSENT
        } else {
            exit::PREFLIGHT
        }
    }

    /// For people.
    pub fn text(&self, setup: &Setup) -> String {
        let mut text = String::new();
        for (node, facts) in setup.answers.nodes.iter().zip(&self.facts) {
            let _ = writeln!(text, "{}: {}", node.name, facts.summary());
        }
        if let Some(rate) = self.wire.rate() {
            let latency = self.wire.0.iter().filter_map(|talk| talk.latency).min().unwrap_or(0);
            let _ = writeln!(
                text,
                "between them: {} MB/s, a round trip in {}.{:02} ms (measured)",
                rate / 1_000_000,
                latency / 1000,
                latency % 1000 / 10
            );
        }
        for warning in &setup.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        for finding in &self.findings {
            let word = if finding.error { "error" } else { "warning" };
            let _ = writeln!(text, "{word}: {}: {}", finding.name, finding.sentence());
            let _ = writeln!(text, "    why:  {}\n    next: {}", finding.why, finding.next);
        }
        for finding in &self.ignored {
            let _ = writeln!(text, "ignored: {}: {}", finding.name, finding.sentence());
        }
        let errors = self.findings.iter().filter(|finding| finding.error).count();
        let warnings = self.findings.len() - errors;
        let count = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        let end = match (errors, warnings) {
            (0, 0) => "Nothing stands in the way.".to_owned(),
            (0, _) => format!("Nothing stands in the way; {}.", count(warnings, "warning")),
            _ => format!(
                "{}, {}: the install would refuse. Nothing was changed.",
                count(errors, "error"),
                count(warnings, "warning")
            ),
        };
        let _ = writeln!(text, "{end}");
        text
    }
}

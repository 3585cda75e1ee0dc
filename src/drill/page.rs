//! The page that one can hand to an auditor: one file, nothing from the network.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::outcome::{Moment, Outcome, Verdict, precise};
use crate::report::words::duration;
use crate::setup::Setup;

/// Width of the picture, in its own units.
const WIDTH: f64 = 1000.0;

/// What stands at the top of the page.
#[derive(Debug, Clone)]
pub struct Head {
    /// When the drill began.
    pub began: jiff::Timestamp,
    /// What was found on each node: release, kernel, DRBD.
    pub nodes: Vec<String>,
    /// How a node is fenced, in words.
    pub fencing: String,
    /// What the machines are, if they are not the user's own.
    pub ground: Option<String>,
}

/// Writes it, whole or not at all.
///
/// # Errors
/// When it can't be rendered or written.
pub fn write(setup: &Setup, head: &Head, outcomes: &[Outcome], path: &Path) -> Result<()> {
    let text = render(setup, head, outcomes)?;
    let context = || format!("writing the report {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let open = Permissions::from_mode(0o644);
    let file = tempfile::Builder::new().permissions(open).tempfile_in(folder).with_context(context)?;
    std::fs::write(file.path(), text).with_context(context)?;
    file.persist(path).with_context(context)?;
    Ok(())
}

/// The page as text.
///
/// # Errors
/// When the template can't be rendered.
pub fn render(setup: &Setup, head: &Head, outcomes: &[Outcome]) -> Result<String> {
    let answers = &setup.answers;
    let done = outcomes.iter().filter(|outcome| !matches!(outcome.verdict, Verdict::Skipped(_)));
    let variables = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cluster": answers.cluster,
        "began": format!("{:.0}", head.began),
        "nodes": head.nodes,
        "fencing": head.fencing,
        "ground": head.ground.clone().unwrap_or_default(),
        "passed": outcomes.iter().all(Outcome::passed),
        "counts": {
            "passed": outcomes.iter().filter(|outcome| outcome.passed()).count(),
            "of": outcomes.len(),
            "acknowledged": done.clone().map(|outcome| outcome.acknowledged).sum::<u64>(),
            "lost": done.map(|outcome| outcome.lost).sum::<u64>(),
        },
        "parts": outcomes.iter().map(part).collect::<Vec<_>>(),
    });
    setup.templates.render("drill/report.html.tera", &variables)
}

fn part(outcome: &Outcome) -> Value {
    let why = match &outcome.verdict {
        Verdict::Passed => Vec::new(),
        Verdict::Failed(why) => why.clone(),
        Verdict::Skipped(why) => vec![why.clone()],
    };
    json!({
        "id": outcome.part.id(),
        "title": outcome.part.title(),
        "expected": outcome.part.expected(),
        "restored": outcome.part.restored(),
        "verdict": outcome.verdict.word(),
        "why": why,
        "began": format!("{:.0}", outcome.began),
        "commands": outcome.commands,
        "away": precise(outcome.seconds_without_service),
        "pauses": outcome.pauses.iter().map(|pause| json!({
            "from": precise(pause.from), "seconds": precise(pause.seconds()),
        })).collect::<Vec<_>>(),
        "acknowledged": outcome.acknowledged,
        "lost": outcome.lost,
        "torn": outcome.torn,
        "served_by": outcome.served_by,
        "moved": outcome.moved,
        "booted": outcome.booted,
        "fenced": outcome.fenced,
        "after": outcome.drbd.iter().chain(&outcome.ocfs2).collect::<Vec<_>>(),
        "redundant": outcome.redundant_after.map_or_else(|| "not".to_owned(), duration),
        "picture": picture(outcome),
    })
}

/// The lines of the time line: the service first, then what was seen of each thing. All figures are in the picture's units.
fn picture(outcome: &Outcome) -> Value {
    let begin = outcome.story.iter().map(|moment| moment.at).fold(0.0, f64::min).max(-10.0);
    let end = outcome.seconds.max(begin + 1.0);
    let x = |at: f64| ((at.clamp(begin, end) - begin) / (end - begin) * WIDTH * 10.0).round() / 10.0;
    let piece = |from: f64, to: f64, state: &str, good: bool| {
        let width = ((x(to) - x(from)) * 10.0).round() / 10.0;
        // Written where there is room for it; the title says it in any case.
        let fits = u32::try_from(state.chars().count()).is_ok_and(|letters| f64::from(letters) * 6.5 + 8.0 < width);
        json!({
            "x": x(from), "width": width, "state": state, "label": if fits { state } else { "" },
            "class": if good { "good" } else { "bad" },
            "from": precise(from.max(begin)), "to": precise(to.min(end)),
        })
    };
    let mut lanes = Vec::new();
    let mut service = vec![piece(begin, end, "acknowledges writes", true)];
    service.extend(outcome.pauses.iter().map(|pause| piece(pause.from, pause.to, "no answer", false)));
    lanes.push(json!({ "name": "service", "pieces": service }));
    let mut names: Vec<&str> = Vec::new();
    for moment in &outcome.story {
        if !names.contains(&moment.lane.as_str()) {
            names.push(&moment.lane);
        }
    }
    for name in names {
        let moments: Vec<&Moment> = outcome.story.iter().filter(|moment| moment.lane == name).collect();
        let pieces: Vec<Value> = moments
            .iter()
            .enumerate()
            .map(|(index, moment)| {
                let to = moments.get(index + 1).map_or(end, |next| next.at);
                piece(moment.at, to, &moment.state, moment.good)
            })
            .collect();
        lanes.push(json!({ "name": name, "pieces": pieces }));
    }
    let step = [5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0]
        .into_iter()
        .find(|step| (end - begin) / step <= 10.0)
        .unwrap_or(3600.0);
    let mut ticks = Vec::new();
    let mut at = 0.0;
    while at <= end {
        ticks.push(json!({ "x": x(at), "text": if step < 60.0 { format!("{at:.0} s") } else { format!("{:.0} min", at / 60.0) } }));
        at += step;
    }
    let ends: Vec<f64> = outcome.redundant_after.map(x).into_iter().collect();
    json!({ "lanes": lanes, "ticks": ticks, "harm": x(0.0), "redundant": ends })
}

#[cfg(test)]
#[path = "page/tests.rs"]
mod tests;

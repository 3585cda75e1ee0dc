//! `hapair check`: the preflight alone. Everything that would refuse is said at once; nothing is changed.

use std::fmt::Write as _;

use anyhow::Result;

use crate::action::{Memory, RefusalKind, State};
use crate::command::print;
use crate::engine::look;
use crate::exit;
use crate::node::At;
use crate::plan::PlannedAction;
use crate::preflight;
use crate::secrets::Secrets;
use crate::setup::Setup;

/// Prints what was found; gives the exit code.
///
/// # Errors
/// When a node can't be reached or its release is not supported.
pub fn run(setup: &Setup) -> Result<u8> {
    let mut code = exit::DONE;
    let mut text = String::new();
    let pair = setup.connect(false)?;
    let survey = setup.survey(&pair)?;
    for (at, facts) in At::BOTH.into_iter().zip(&survey.facts) {
        let _ = writeln!(text, "{}: {}", pair.at(at).name, facts.summary());
    }
    for warning in &setup.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for why in setup.answers.refusals(setup.rehearsal) {
        code = exit::PREFLIGHT;
        let _ = writeln!(text, "error: {why}\n    next: change `fencing` in the answers file");
    }
    for finding in preflight::findings(&setup.answers, &survey.facts) {
        let node = finding.node.as_deref().unwrap_or("both");
        let word = if finding.error { "error" } else { "warning" };
        let _ = writeln!(text, "{word}: {node}: {}\n    next: {}", finding.what, finding.next);
        if finding.error {
            code = exit::PREFLIGHT;
        }
    }
    let secrets = Secrets::existing(&setup.state)?.unwrap_or_else(Secrets::placeholders);
    let plan = setup.plan(&survey.platform, &survey.found, &secrets)?;
    let actions: Vec<&PlannedAction> = plan.steps.iter().flat_map(|step| &step.actions).collect();
    let looked = look(&pair, &actions).map_err(|(at, lost)| crate::setup::unreachable(&pair.at(at).name, &lost))?;
    for (index, action) in actions.iter().enumerate() {
        for (at, state) in looked.states(index, action, &Memory::default()) {
            let State::Refused(refusal) = state else { continue };
            if refusal.kind == RefusalKind::Failed {
                continue;
            }
            let whom = if action.is_pair() { "both" } else { &pair.at(at).name };
            let _ = writeln!(text, "error: {whom}: {}\n    next: {}", refusal.what, refusal.next);
            if code != exit::PREFLIGHT {
                code = if refusal.kind == RefusalKind::Consent { exit::CONSENT } else { exit::PREFLIGHT };
            }
        }
    }
    text.push_str(if code == exit::DONE {
        "Nothing stands in the way.\n"
    } else {
        "The install would refuse. Nothing was changed.\n"
    });
    print(&text)?;
    Ok(code)
}

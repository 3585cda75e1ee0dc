//! `hapair check` on the rehearsal's machines: nothing stands in the way of a fresh pair, and nothing that hapair made is
//! complained about afterwards.

use anyhow::{Result, bail};

use crate::command::check::{self, Checked};
use crate::command::print;
use crate::exit;
use crate::setup::Setup;

/// Checks the fresh machines, with nodes that can't be written to.
///
/// # Errors
/// When something refuses.
pub fn fresh(setup: &Setup) -> Result<Checked> {
    let checked = check::on(setup, &setup.connect(false)?)?;
    print(&format!("hapair check, on the fresh machines:\n{}", indented(&checked.text(setup))))?;
    if checked.code() != exit::DONE {
        bail!("`hapair check` refuses the fresh machines");
    }
    if checked.wire.rate().is_none() || checked.wire.0.iter().any(|talk| talk.ports.len() < 4) {
        bail!("`hapair check` could not measure what passes between the machines: {:?}", checked.wire);
    }
    Ok(checked)
}

/// Checks the finished pair: what is told of it was told of the fresh machines too.
///
/// # Errors
/// When something is told that is only there because hapair made it.
pub fn finished(setup: &Setup, before: &Checked) -> Result<()> {
    let checked = check::on(setup, &setup.connect(false)?)?;
    let new: Vec<String> = checked
        .findings
        .iter()
        .filter(|finding| !before.findings.iter().any(|known| known.name == finding.name && known.node == finding.node))
        .map(|finding| format!("{}: {}", finding.name, finding.sentence()))
        .collect();
    if !new.is_empty() {
        bail!("`hapair check` complains about what hapair made: {}", new.join("; "));
    }
    print("proof: `hapair check` finds nothing on the finished pair that it did not find before\n")
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

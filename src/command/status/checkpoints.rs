//! The last result of each step that the journal has.

use anyhow::Result;
use serde::Serialize;

use crate::event::Event;
use crate::journal::Journal;
use crate::setup::Setup;

/// A step and how it last ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Its id.
    pub step: String,
    /// In words.
    pub state: String,
    /// It did not come to its end.
    pub open: bool,
}

/// All steps.
pub(super) fn all(setup: &Setup) -> Result<Vec<Checkpoint>> {
    let lines = Journal::read(&setup.state, &setup.answers.cluster)?;
    // What an undo brought to its end is gone.
    let mut undoing = false;
    let undone: Vec<bool> = lines
        .iter()
        .map(|line| {
            if let Event::RunStarted { command, .. } = &line.event {
                undoing = command == "undo";
            }
            undoing
        })
        .collect();
    let checkpoint = |id: &String| {
        lines.iter().zip(&undone).rev().find_map(|(line, undone)| match &line.event {
            Event::StepDone { step, .. } if step == id && *undone => {
                Some((format!("taken back {:.0}", line.time), true))
            }
            Event::StepDone { step, .. } if step == id => Some((format!("done {:.0}", line.time), false)),
            Event::StepSkipped { step, why } if step == id => Some((format!("left out: {why}"), false)),
            Event::Failed(failure) if failure.step.as_ref() == Some(id) => {
                Some((format!("failed {:.0}", line.time), true))
            }
            Event::StepStarted { step, .. } if step == id => Some(("begun, not finished".to_owned(), true)),
            _ => None,
        })
    };
    Ok(setup
        .catalog
        .steps
        .iter()
        .map(|step| {
            let (state, open) = checkpoint(&step.id).unwrap_or_else(|| ("not run from here".to_owned(), true));
            Checkpoint { step: step.id.clone(), state, open }
        })
        .collect())
}

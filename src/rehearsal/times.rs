//! How long the parts of a rehearsal took.

use std::fmt;
use std::time::Instant;

use anyhow::Result;

use crate::event::Event;
use crate::journal::Journal;
use crate::setup::Setup;

/// How long each part took, a line each.
#[derive(Debug, Default)]
pub struct Times(String);

impl Times {
    fn line(&mut self, what: &str, time: &str) {
        self.0.push_str(&format!("  {what:30} {time}\n"));
    }

    /// A part that began then and ended now.
    pub fn add(&mut self, what: &str, began: Instant) {
        self.line(what, &format!("{:7.1} s", began.elapsed().as_secs_f64()));
    }

    /// The steps of the first install, from its journal.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn steps(&mut self, setup: &Setup) -> Result<()> {
        for line in Journal::read(&setup.state, &setup.answers.cluster)? {
            match line.event {
                Event::StepDone { step, seconds, .. } => self.line(&step, &format!("{seconds:7.1} s")),
                Event::StepSkipped { step, why } => self.line(&step, &why),
                Event::RunDone { .. } => break,
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

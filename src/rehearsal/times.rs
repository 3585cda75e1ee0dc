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

    /// The steps of the first install, from its journal: of all its runs until one came to its end, each step with what
    /// those took that ended it. What a killed run spent in the step where it was killed is not among it.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn steps(&mut self, setup: &Setup) -> Result<()> {
        let lines = Journal::read(&setup.state, &setup.answers.cluster)?;
        for (step, time) in of_steps(lines.into_iter().map(|line| line.event)) {
            match time {
                Ok(seconds) => self.line(&step, &format!("{seconds:7.1} s")),
                Err(why) => self.line(&step, &why),
            }
        }
        Ok(())
    }
}

/// Seconds of each step, or why it was skipped, in their order.
fn of_steps(events: impl Iterator<Item = Event>) -> Vec<(String, Result<f64, String>)> {
    let mut steps: Vec<(String, Result<f64, String>)> = Vec::new();
    for event in events {
        let (step, time) = match event {
            Event::StepDone { step, seconds, .. } => (step, Ok(seconds)),
            Event::StepSkipped { step, why } => (step, Err(why)),
            Event::RunDone { .. } => break,
            _ => continue,
        };
        match (steps.iter_mut().find(|(known, _)| *known == step), time) {
            (Some((_, Ok(sum))), Ok(seconds)) => *sum += seconds,
            (Some(_), _) => {}
            (None, time) => steps.push((step, time)),
        }
    }
    steps
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_several_runs_is_one_line() {
        let done = |step: &str, seconds: f64| Event::StepDone { step: step.to_owned(), changed: true, seconds };
        let skipped = || Event::StepSkipped { step: "xen".to_owned(), why: "no hypervisor here".to_owned() };
        let end = Event::RunDone { changed: 1, seconds: 1.0, summary: Vec::new() };
        let events =
            [done("hosts", 2.0), skipped(), done("hosts", 0.5), skipped(), done("vms", 1.0), end, done("vms", 9.0)];
        assert_eq!(
            of_steps(events.into_iter()),
            [
                ("hosts".to_owned(), Ok(2.5)),
                ("xen".to_owned(), Err("no hypervisor here".to_owned())),
                ("vms".to_owned(), Ok(1.0))
            ]
        );
    }
}

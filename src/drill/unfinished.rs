//! What is kept of a drill while it runs, so that the same command goes on where one was ended.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::part::Part;
use crate::state;

const FILE: &str = "drill.json";

/// A drill that has not come to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    /// When it began.
    pub began: jiff::Timestamp,
    /// What was measured already.
    pub outcomes: Vec<Outcome>,
    /// The part that was begun: what it did may still be so.
    pub running: Option<Part>,
}

impl Unfinished {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self { began: jiff::Timestamp::now(), outcomes: Vec::new(), running: None }
    }

    /// One more, in the order of the parts whenever it was measured.
    pub fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
        self.outcomes.sort_by_key(|outcome| outcome.part);
    }

    /// The one that was kept, if there is one.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn of(state: &Path) -> Result<Option<Self>> {
        state::kept(state, FILE, "remove it, and a drill begins anew")
    }

    /// On disk before the next thing is done.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep(&self, state: &Path) -> Result<()> {
        state::keep(state, FILE, self)
    }

    /// The drill has come to its end.
    ///
    /// # Errors
    /// When the file can't be removed.
    pub fn over(state: &Path) -> Result<()> {
        match std::fs::remove_file(state.join(FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", state.join(FILE).display()))
            }
            _ => Ok(()),
        }
    }
}

impl Default for Unfinished {
    fn default() -> Self {
        Self::new()
    }
}

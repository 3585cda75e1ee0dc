//! Who asks: a terminal, or a script in tests.

use anyhow::Result;

use super::question::{Question, Reply, Values};
use crate::report::style::{Style, Tone};

/// Ctrl-C, or a terminal that went away: nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; nothing was changed")
    }
}

impl std::error::Error for Interrupted {}

/// Asks one question at a time, and says things in between.
pub trait Asker {
    /// Asks until there is an answer that `judge` accepts. What `judge` finds wrong is told at once, at the question.
    ///
    /// # Errors
    /// [`Interrupted`].
    fn ask(&mut self, question: &Question, judge: &dyn Fn(&Values) -> Result<(), String>) -> Result<Reply>;

    /// Says something that stays.
    fn say(&mut self, tone: Tone, text: &str);

    /// Shows lines as they are; they stay.
    fn show(&mut self, lines: &[String]);

    /// Runs something that takes a while, with a sign that it does.
    ///
    /// # Errors
    /// Whatever the work gives.
    fn busy(&mut self, what: &str, work: &mut dyn FnMut() -> Result<()>) -> Result<()>;

    /// Columns that a picture may take, and what can be shown.
    fn page(&self) -> (usize, Style);
}

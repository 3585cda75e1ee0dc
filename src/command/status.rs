//! `hapair status`: is the pair all right, and if not, what to do. Works when one node is gone; mends nothing.

mod checkpoints;
mod drift;
mod json;
mod text;

use std::time::Duration;

use anyhow::Result;
use console::Term;

use crate::command::print;
use crate::exit;
use crate::node::Pair;
use crate::setup::Setup;
use crate::status::Standing;

pub use checkpoints::Checkpoint;
pub use drift::Drift;

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// As JSON.
    pub json: bool,
    /// Shown again and again, with this pause.
    pub watch: Option<Duration>,
}

/// All that is shown.
pub struct Shown<'a> {
    /// Answers, steps and templates.
    pub setup: &'a Setup,
    /// How the pair stands.
    pub standing: Standing,
    /// What differs from the answers.
    pub drift: Drift,
    /// The last result of each step.
    pub checkpoints: Vec<Checkpoint>,
}

impl Shown<'_> {
    /// 0 healthy, 1 degraded, 5 no node answers.
    fn code(&self) -> u8 {
        if self.standing.unreachable() {
            exit::UNREACHABLE
        } else if self.standing.troubles.is_empty() && self.drift.is_none() {
            exit::DONE
        } else {
            exit::STEP_FAILED
        }
    }
}

/// Prints how things stand; gives the exit code: 0 healthy, 1 degraded, 5 no node answers.
///
/// # Errors
/// When the journal can't be read.
pub fn run(setup: &Setup, options: Options) -> Result<u8> {
    let Some(pause) = options.watch else {
        let shown = look(setup)?;
        print(&render(&shown, options.json))?;
        return Ok(shown.code());
    };
    let term = Term::stdout();
    loop {
        let shown = look(setup)?;
        if term.is_term() && !options.json {
            term.clear_screen()?;
        }
        print(&render(&shown, options.json))?;
        // Ctrl-C ends it here or anywhere: nothing is being changed.
        std::thread::sleep(pause);
    }
}

fn look(setup: &Setup) -> Result<Shown<'_>> {
    on(setup, &setup.connect_what_answers()?)
}

fn on<'a>(setup: &'a Setup, pair: &Pair) -> Result<Shown<'a>> {
    let standing = Standing::look(&setup.answers, pair);
    // Drift is about both nodes: with one of them gone there is something more urgent.
    let drift = if standing.nodes.iter().all(Result::is_ok) {
        Drift::look(setup, pair)
    } else {
        Drift::NotLooked("a node can't be asked".to_owned())
    };
    Ok(Shown { setup, standing, drift, checkpoints: checkpoints::all(setup)? })
}

fn render(shown: &Shown<'_>, as_json: bool) -> String {
    if as_json { format!("{:#}\n", json::of(shown)) } else { text::of(shown) }
}

#[cfg(test)]
mod tests;

//! Everything that is said to a person, a program or the journal, as one enum.
//!
//! The engine makes events and knows nothing of how they are shown. The journal is the first to get one; only
//! when it is on disk the reporters see it, and only then the change that it announces is made.

use serde::{Deserialize, Serialize};

use crate::action::{Change, Progress};
use crate::drill::Outcome;

/// A step's id and title, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepName {
    /// Id, such as `drbd-sync`.
    pub id: String,
    /// Title, a sentence without its full stop.
    pub title: String,
}

/// Something that happened, or is about to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// hapair's version.
        version: String,
        /// Name of the cluster.
        cluster: String,
        /// `install`, `step drbd-sync`...
        command: String,
        /// Names of the two nodes.
        nodes: [String; 2],
        /// What may run, in order.
        steps: Vec<StepName>,
        /// Hash of the plan: answers, steps, templates and version.
        plan: String,
    },
    /// A node was reached and surveyed.
    NodeReached {
        /// Its name.
        node: String,
        /// One line: release, kernel, hypervisor, memory.
        summary: String,
    },
    /// Something worth a sentence: a warning, a choice that was made.
    Note {
        /// The sentence.
        text: String,
    },
    /// A step begins.
    StepStarted {
        /// Id.
        step: String,
        /// Title.
        title: String,
        /// From 1.
        number: usize,
        /// How many steps there are.
        of: usize,
        /// Roughly how long it takes, for people.
        takes: Option<String>,
    },
    /// A step is not for this platform, these answers or this rehearsal engine.
    StepSkipped {
        /// Id.
        step: String,
        /// Why.
        why: String,
    },
    /// Intent: an action is about to change something. On disk before it does.
    ActionStarting {
        /// Step's id.
        step: String,
        /// Action's number and kind, `3-file`.
        action: String,
        /// Node's name; `None` for an action on both.
        node: Option<String>,
        /// Title of the action.
        title: String,
        /// What it will change.
        change: Change,
    },
    /// A command is about to run; its standard input is not shown.
    Command {
        /// Node's name.
        node: String,
        /// As one would type it.
        command: String,
    },
    /// A node was asked to reboot. On disk before it is asked.
    Rebooting {
        /// Node's name.
        node: String,
        /// Boot id before.
        boot_id: String,
    },
    /// Still waiting. Not kept in the journal.
    Waiting {
        /// Step's id.
        step: String,
        /// Node's name; `None` for an action on both.
        node: Option<String>,
        /// What is waited for.
        what: String,
        /// How far it has come.
        progress: Option<Progress>,
        /// Seconds waited so far.
        seconds: u64,
    },
    /// Result: the action was checked again and is as it must be.
    ActionDone {
        /// Step's id.
        step: String,
        /// Action's number and kind.
        action: String,
        /// Node's name; `None` for an action on both.
        node: Option<String>,
        /// Title of the action.
        title: String,
        /// Seconds it took.
        seconds: f64,
    },
    /// A step's end state is reached.
    StepDone {
        /// Id.
        step: String,
        /// Whether anything was changed.
        changed: bool,
        /// Seconds it took.
        seconds: f64,
    },
    /// The run ends here.
    Failed(Failure),
    /// Ctrl-C: the running action was finished.
    Interrupted {
        /// Step's id.
        step: String,
        /// The command that continues.
        resume: String,
    },
    /// A part of a drill was measured.
    Measured(Box<Outcome>),
    /// A drill has come to its end.
    DrillDone {
        /// Every part that was asked for has passed.
        passed: bool,
        /// Seconds it took.
        seconds: f64,
        /// What each part gave.
        parts: Vec<Outcome>,
        /// Where the page is.
        report: Option<String>,
    },
    /// All that was asked for is done.
    RunDone {
        /// How many actions changed something.
        changed: usize,
        /// Seconds it took.
        seconds: f64,
        /// Lines for people: what was built, what to do next.
        summary: Vec<String>,
    },
}

/// Why a run ended, in all the words a person needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Exit code of hapair.
    pub exit: u8,
    /// Step's id, if it was in one.
    pub step: Option<String>,
    /// Title of the action.
    pub action: Option<String>,
    /// Node's name; `None` when it is about both.
    pub node: Option<String>,
    /// The command as one would type it.
    pub command: Option<String>,
    /// Its exit code.
    pub code: Option<i32>,
    /// Last lines of its standard error.
    pub stderr: Vec<String>,
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub next: String,
    /// The exact command that continues.
    pub resume: Option<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(step) = &self.step {
            write!(f, "step {step}")?;
            if let Some(node) = &self.node {
                write!(f, " on {node}")?;
            }
            write!(f, ": ")?;
        } else if let Some(node) = &self.node {
            write!(f, "{node}: ")?;
        }
        writeln!(f, "{}", self.what)?;
        if let Some(action) = &self.action {
            writeln!(f, "  action:    {action}")?;
        }
        if let Some(command) = &self.command {
            writeln!(f, "  command:   {command}")?;
        }
        if let Some(code) = self.code {
            writeln!(f, "  exit code: {code}")?;
        }
        for (index, line) in self.stderr.iter().enumerate() {
            writeln!(f, "  {} {line}", if index == 0 { "stderr:   " } else { "          " })?;
        }
        if !self.next.is_empty() {
            writeln!(f, "  next:      {}", self.next)?;
        }
        if let Some(resume) = &self.resume {
            writeln!(f, "  continue:  {resume}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Gets every event.
pub trait Sink: Send {
    /// Takes an event; the next thing happens only when this returns.
    ///
    /// # Errors
    /// When it can't be kept. Then nothing more may be changed.
    fn event(&mut self, event: &Event) -> anyhow::Result<()>;
}

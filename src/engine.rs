//! Runs a plan: check, record the intent, apply, check again.
//!
//! It prints nothing and knows neither YAML nor prompts. Every check of a step goes to a node in one round trip;
//! before the first change everything is looked at once, so that a second run of a finished install costs about that,
//! and what must be refused is refused before anything was touched.

mod apply;
mod look;

use std::sync::Mutex;
use std::time::Instant;

use crate::action::{Memory, RefusalKind, State};
use crate::cancel::Cancel;
use crate::event::{Event, Failure, Sink};
use crate::exit;
use crate::node::{At, Cmd, Lost, Pair};
use crate::plan::{Plan, PlannedAction, PlannedStep};
use crate::step::Target;

pub use look::{Looked, look};

/// How a run ended without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All steps are satisfied; so many actions changed something.
    Done {
        /// Actions that changed something.
        changed: usize,
    },
    /// Ctrl-C: the running action was finished.
    Interrupted,
    /// The machine that hapair runs on was told to reboot.
    Rebooting,
}

/// Runs plans on a pair.
pub struct Engine<'a> {
    /// The nodes.
    pub pair: &'a Pair,
    /// Journal first, then reporters.
    pub sink: &'a Mutex<dyn Sink>,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
    /// The command that continues.
    pub resume: String,
    /// Which node comes first where a step takes one after the other: the one hapair runs on comes last.
    pub order: [At; 2],
    /// Done once, before the first change: takes both nodes for this run.
    pub before_change: Option<&'a (dyn Fn() -> Result<(), Failure> + Sync)>,
    /// The node that hapair itself runs on.
    pub local: Option<At>,
    /// The order that lets the run go on by itself after that node's reboot.
    pub continuation: Option<Cmd>,
    memory: Mutex<Memory>,
}

/// Why an action did not come to its end.
#[derive(Debug)]
enum Stop {
    Failed(Box<Failure>),
    Interrupted,
    Rebooting,
}

impl<'a> Engine<'a> {
    /// An engine that has done nothing yet.
    pub fn new(pair: &'a Pair, sink: &'a Mutex<dyn Sink>, cancel: &'a Cancel, resume: String) -> Self {
        Self {
            pair,
            sink,
            cancel,
            resume,
            order: At::BOTH,
            before_change: None,
            local: None,
            continuation: None,
            memory: Mutex::new(Memory::default()),
        }
    }

    /// What earlier runs have learnt, for the actions.
    pub fn remember(&self, memory: Memory) {
        *self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = memory;
    }

    /// Brings about the end state of the steps in `wanted` (all if `None`).
    ///
    /// # Errors
    /// The [`Failure`] that ended it; it was said to the sink already.
    pub fn run(&self, plan: &Plan, wanted: Option<&[&str]>) -> Result<Ended, Box<Failure>> {
        let steps: Vec<&PlannedStep> =
            plan.steps.iter().filter(|step| wanted.is_none_or(|ids| ids.contains(&step.step.id.as_str()))).collect();
        match self.steps(&steps) {
            Ok(changed) => Ok(Ended::Done { changed }),
            Err(Stop::Interrupted) => Ok(Ended::Interrupted),
            Err(Stop::Rebooting) => Ok(Ended::Rebooting),
            Err(Stop::Failed(failure)) => {
                // What went wrong is also the caller's to tell; a full disk must not hide it.
                let _ = self.emit(&Event::Failed((*failure).clone()));
                Err(failure)
            }
        }
    }

    fn steps(&self, steps: &[&PlannedStep]) -> Result<usize, Stop> {
        let all: Vec<&PlannedAction> = steps.iter().flat_map(|step| &step.actions).collect();
        let mut looked = self.look(None, &all)?;
        self.refusals(steps, &looked)?;
        if let Some(before_change) = self.before_change {
            let memory = self.lasting();
            let mut number = 0;
            let all_so =
                steps.iter().filter(|step| step.skipped.is_none()).flat_map(|step| &step.actions).all(|action| {
                    number += 1;
                    looked.satisfied(number - 1, action, &memory)
                });
            if !all_so {
                before_change().map_err(|mut failure| {
                    failure.resume = Some(self.resume.clone());
                    Stop::Failed(Box::new(failure))
                })?;
                // Another run may have done something until now.
                looked = self.look(None, &all)?;
                self.refusals(steps, &looked)?;
            }
        }
        let mut changed = 0;
        let mut first = 0;
        for (index, step) in steps.iter().enumerate() {
            if let Some(why) = &step.skipped {
                self.say(&Event::StepSkipped { step: step.step.id.clone(), why: why.clone() })?;
                continue;
            }
            self.say(&Event::StepStarted {
                step: step.step.id.clone(),
                title: step.step.title.clone(),
                number: index + 1,
                of: steps.len(),
                takes: step.step.takes.clone(),
            })?;
            let began = Instant::now();
            let actions: Vec<&PlannedAction> = step.actions.iter().collect();
            // What was seen at the start holds until something is changed.
            let seen = if changed == 0 { looked.slice(first, actions.len()) } else { self.look(Some(step), &actions)? };
            first += actions.len();
            let count = self.step(step, seen)?;
            changed += count;
            self.say(&Event::StepDone {
                step: step.step.id.clone(),
                changed: count > 0,
                seconds: began.elapsed().as_secs_f64(),
            })?;
            if self.cancel.requested() && index + 1 < steps.len() {
                self.say(&Event::Interrupted { step: steps[index + 1].step.id.clone(), resume: self.resume.clone() })?;
                return Err(Stop::Interrupted);
            }
        }
        Ok(changed)
    }

    /// How many actions of the step changed something.
    fn step(&self, step: &PlannedStep, seen: Looked) -> Result<usize, Stop> {
        let memory = self.lasting();
        if step.actions.iter().enumerate().all(|(index, action)| seen.satisfied(index, action, &memory)) {
            return Ok(0);
        }
        let mut seen = Some(seen);
        let mut changed = 0;
        match step.step.on {
            Target::Both => {
                for (index, action) in step.actions.iter().enumerate() {
                    let one = self.fresh(step, action, index, &mut seen)?;
                    let count = self.on_both(step, action, &one)?;
                    if count > 0 {
                        seen = None;
                    }
                    changed += count;
                }
            }
            Target::InTurn => {
                let mut index = 0;
                while index < step.actions.len() {
                    let run = step.actions[index..].iter().take_while(|action| !action.is_pair()).count();
                    if run == 0 {
                        let one = self.look(Some(step), &[&step.actions[index]])?;
                        changed += self.on_both(step, &step.actions[index], &one)?;
                        index += 1;
                        continue;
                    }
                    for at in self.order {
                        let mut here = 0;
                        for action in &step.actions[index..index + run] {
                            let one = self.look(Some(step), &[action])?;
                            here += self.instance(step, action, at, &one)?;
                        }
                        if here > 0 {
                            self.until_healthy(step, at)?;
                        }
                        changed += here;
                    }
                    index += run;
                }
            }
        }
        Ok(changed)
    }

    /// What is known of one action: from the look at the whole step, or anew once something has changed.
    fn fresh(
        &self,
        step: &PlannedStep,
        action: &PlannedAction,
        index: usize,
        seen: &mut Option<Looked>,
    ) -> Result<Looked, Stop> {
        match seen {
            Some(looked) => Ok(looked.slice(index, 1)),
            None => self.look(Some(step), &[action]),
        }
    }

    fn on_both(&self, step: &PlannedStep, action: &PlannedAction, seen: &Looked) -> Result<usize, Stop> {
        if action.is_pair() {
            return self.instance(step, action, At::First, seen);
        }
        let results: Vec<Result<usize, Stop>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                At::BOTH.into_iter().map(|at| scope.spawn(move || self.instance(step, action, at, seen))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut changed = 0;
        let mut stop = None;
        for result in results {
            match result {
                Ok(count) => changed += count,
                // A failure says more than an interruption.
                Err(failed @ Stop::Failed(_)) => stop = Some(failed),
                Err(other) => stop = stop.or(Some(other)),
            }
        }
        stop.map_or(Ok(changed), Err)
    }

    /// Refuses before the first change what can't be done: everything at once.
    fn refusals(&self, steps: &[&PlannedStep], looked: &Looked) -> Result<(), Stop> {
        let mut index = 0;
        let mut found: Vec<Failure> = Vec::new();
        for step in steps {
            for action in &step.actions {
                for (at, state) in looked.states(index, action, &self.lasting()) {
                    if let State::Refused(refusal) = state {
                        if refusal.kind != RefusalKind::Failed {
                            found.push(self.refused(Some(step), action, at, refusal));
                        }
                    }
                }
                index += 1;
            }
        }
        let Some(mut first) = found.first().cloned() else { return Ok(()) };
        for other in &found[1..] {
            let whom = other.node.as_deref().unwrap_or("both nodes");
            let line = format!("\n  and on {whom}: {} ({})", other.what, other.next);
            if !first.what.contains(&line) {
                first.what.push_str(&line);
            }
        }
        first.what.push_str("\n  nothing was changed");
        Err(Stop::Failed(Box::new(first)))
    }

    /// Memory without what belongs to one action only: a reboot that was asked for.
    fn lasting(&self) -> Memory {
        Memory { boot_before: [None, None], ..self.memory() }
    }

    fn name(&self, action: &PlannedAction, at: At) -> Option<String> {
        (!action.is_pair()).then(|| self.pair.at(at).name.clone())
    }

    fn emit(&self, event: &Event) -> anyhow::Result<()> {
        // A reporter that panicked has shown its panic; the journal's own order is still right.
        self.sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner).event(event)
    }

    fn say(&self, event: &Event) -> Result<(), Stop> {
        self.emit(event).map_err(|error| {
            Stop::Failed(Box::new(Failure {
                exit: exit::STEP_FAILED,
                step: None,
                action: None,
                node: None,
                command: None,
                code: None,
                stderr: Vec::new(),
                what: format!("{error:#}"),
                next: "make room on the disk, or make the state folder writable".to_owned(),
                resume: Some(self.resume.clone()),
            }))
        })
    }

    fn look(&self, step: Option<&PlannedStep>, actions: &[&PlannedAction]) -> Result<Looked, Stop> {
        look(self.pair, actions).map_err(|(at, lost)| Stop::Failed(Box::new(self.lost(step, at, &lost))))
    }

    fn lost(&self, step: Option<&PlannedStep>, at: At, lost: &Lost) -> Failure {
        let node = &self.pair.at(at).name;
        Failure {
            exit: exit::UNREACHABLE,
            step: step.map(|step| step.step.id.clone()),
            action: None,
            node: Some(node.clone()),
            command: None,
            code: None,
            stderr: Vec::new(),
            what: lost.to_string(),
            next: match lost {
                Lost::Unreachable(_) | Lost::Dropped(_) => {
                    format!(
                        "see that {node} is on and its SSH answers; what ran there is checked again on the next run"
                    )
                }
                Lost::HostKey(_) => {
                    "compare the fingerprint with the node's own console before you accept it".to_owned()
                }
                Lost::Auth(_) => format!("let your key in on {node}: ssh-copy-id"),
                Lost::Sudo(_) => format!("let this user use sudo without a password on {node}"),
                Lost::Refused(_) => "this is a defect of hapair: a check must only read".to_owned(),
            },
            resume: Some(self.resume.clone()),
        }
    }
}

//! One action on one node (or one pair): intent, orders, and looking again until it is so.

use std::time::{Duration, Instant};

use super::{Engine, Looked, Stop, look};
use crate::action::{Change, Memory, Order, Refusal, RefusalKind, Settle, State};
use crate::continuation;
use crate::event::{Event, Failure};
use crate::exit;
use crate::health;
use crate::node::{At, Cmd, Lost, Output};
use crate::plan::{PlannedAction, PlannedStep};

/// How many lines of a failed command's stderr a person gets to see.
const TAIL: usize = 12;
/// Pause between two looks at a node that is slow.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

impl Engine<'_> {
    /// Brings one action about; gives 1 if it changed something.
    pub(super) fn instance(
        &self,
        step: &PlannedStep,
        action: &PlannedAction,
        at: At,
        seen: &Looked,
    ) -> Result<usize, Stop> {
        let memory = self.memory();
        let change = match seen.state(0, action, at, &memory) {
            State::Satisfied => return Ok(0),
            // What had failed before may go well now.
            State::Refused(refusal) if refusal.kind == RefusalKind::Failed => Change::new(refusal.what),
            State::Refused(refusal) => return Err(self.stop(self.refused(Some(step), action, at, refusal))),
            State::Unknown(why) => {
                let next = "run the steps before it, or try again if the node was busy: hapair install".to_owned();
                return Err(self.stop(self.failure(step, action, at, format!("can't be told: {why}"), next)));
            }
            State::Drift(change) => change,
        };
        if self.cancel.requested() {
            self.say(&Event::Interrupted { step: step.step.id.clone(), resume: self.resume.clone() })?;
            return Err(Stop::Interrupted);
        }
        let Some(instance) = action.of(at) else { return Ok(0) };
        let began = Instant::now();
        self.say(&Event::ActionStarting {
            step: step.step.id.clone(),
            action: action.id.clone(),
            node: self.name(action, at),
            title: instance.title(),
            change: Change { progress: None, ..change },
        })?;
        let settle = instance.settle();
        let reboots = settle.as_ref().is_some_and(|settle| settle.reboots);
        // Of an action about both it is not always the first that goes down.
        let down = instance.reboots().unwrap_or(at);
        let orders = seen
            .with(0, &memory, |seen| instance.orders(at, seen))
            .map_err(|error| self.stop(self.failure(step, action, at, format!("{error:#}"), String::new())))?;
        // A run that goes on where another was ended may only have to wait.
        if reboots && !orders.is_empty() {
            self.remember_boot(step, down)?;
        }
        if reboots && !orders.is_empty() && self.local == Some(down) {
            return Err(self.reboot_here(step, action, down, &orders));
        }
        let bring_about = || {
            for (number, order) in orders.iter().enumerate() {
                // Only the last one can end its own connection.
                self.order(step, action, order, reboots && number + 1 == orders.len())?;
            }
            self.until_satisfied(step, action, at, settle.as_ref())
        };
        match (self.local, instance.reboots()) {
            (Some(here), Some(peer)) if here != peer && !orders.is_empty() => {
                self.in_case_it_hits(step, action, here, bring_about)?;
            }
            _ => bring_about()?,
        }
        self.say(&Event::ActionDone {
            step: step.step.id.clone(),
            action: action.id.clone(),
            node: self.name(action, at),
            title: instance.title(),
            seconds: began.elapsed().as_secs_f64(),
        })?;
        Ok(1)
    }

    /// The peer is to be switched off, and it may be this machine all the same: behind a cut link the slower one loses, and BMCs
    /// can be mixed up. Then this goes on as behind a reboot of its own. Whatever comes of it, no later boot does.
    fn in_case_it_hits(
        &self,
        step: &PlannedStep,
        action: &PlannedAction,
        here: At,
        bring_about: impl FnOnce() -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let Some(cmd) = &self.continuation else { return bring_about() };
        self.order(step, action, &Order::new(here, cmd.clone()), false)?;
        let ended = bring_about();
        let forgotten = continuation::forget(self.pair.at(here)).map_err(|failure| self.stop(failure));
        ended.and(forgotten.map(drop))
    }

    /// Reboots the machine that this process runs on: says so, and how it goes on.
    fn reboot_here(&self, step: &PlannedStep, action: &PlannedAction, at: At, orders: &[Order]) -> Stop {
        let name = &self.pair.at(at).name;
        let go = || -> Result<(), Stop> {
            if let Some(cmd) = &self.continuation {
                self.order(step, action, &Order::new(at, cmd.clone()), false)?;
            }
            let how =
                if self.continuation.is_some() { "this goes on by itself" } else { "continue with the same command" };
            let text = format!("hapair runs on {name}, which reboots now; after the boot {how}: {}", self.resume);
            self.say(&Event::Note { text })?;
            for order in orders {
                self.order(step, action, order, true)?;
            }
            self.say(&Event::Interrupted { step: step.step.id.clone(), resume: self.resume.clone() })
        };
        match go() {
            Ok(()) => Stop::Rebooting,
            Err(stop) => stop,
        }
    }

    fn order(&self, step: &PlannedStep, action: &PlannedAction, order: &Order, reboots: bool) -> Result<(), Stop> {
        let node = self.pair.at(order.at);
        self.say(&Event::Command { node: node.name.clone(), command: order.cmd.shown() })?;
        let output = match node.exec(&order.cmd) {
            Ok(output) => output,
            // The answer to a reboot may be the end of the connection.
            Err(Lost::Dropped(_)) if reboots => return Ok(()),
            Err(lost) => {
                let mut failure = self.lost(Some(step), order.at, &lost);
                failure.command = Some(order.cmd.shown());
                return Err(self.stop(failure));
            }
        };
        if output.ok() {
            return Ok(());
        }
        let what = match output.code {
            Output::LATE => format!("the command took longer than {} s and was ended", order.cmd.timeout.as_secs()),
            127 => "there is no such command on the node".to_owned(),
            code => format!("the command failed with exit code {code}"),
        };
        // It may repeat what it was given.
        let (stderr, next) = if order.cmd.secret {
            let hidden = "(not shown: the command was given a secret, which its output may repeat)".to_owned();
            let next = "look at the node's own logs, and do by hand there what the action is for: that says more";
            (vec![hidden], next)
        } else {
            (tail(&output), "mend what the command complains of")
        };
        let mut failure = self.failure(step, action, order.at, what, next.to_owned());
        failure.node = Some(node.name.clone());
        failure.command = Some(order.cmd.shown());
        failure.code = Some(output.code);
        failure.stderr = stderr;
        Err(self.stop(failure))
    }

    fn until_satisfied(
        &self,
        step: &PlannedStep,
        action: &PlannedAction,
        at: At,
        settle: Option<&Settle>,
    ) -> Result<(), Stop> {
        let began = Instant::now();
        loop {
            let looking = Instant::now();
            let looked = look(self.pair, &[action]);
            let pause = if looked.is_ok() { (2 * looking.elapsed()).min(LONGEST_PAUSE) } else { Duration::ZERO };
            let state = match looked {
                Ok(looked) => looked.state(0, action, at, &self.memory()),
                Err((lost_at, lost)) => match settle {
                    Some(settle) if settle.reboots && matches!(lost, Lost::Unreachable(_) | Lost::Dropped(_)) => {
                        self.pair.at(lost_at).transport.reset();
                        State::Unknown(format!("{} does not answer", self.pair.at(lost_at).name))
                    }
                    _ => return Err(self.stop(self.lost(Some(step), lost_at, &lost))),
                },
            };
            let (detail, progress) = match state {
                State::Satisfied => return Ok(()),
                State::Refused(refusal) => return Err(self.stop(self.refused(Some(step), action, at, refusal))),
                State::Drift(change) => (change.summary, change.progress),
                State::Unknown(why) => (why, None),
            };
            let Some(settle) = settle else {
                let what = format!("it was done, but it is not so: {detail}");
                let next = "look at the node: something undid it, or does it in another way".to_owned();
                return Err(self.stop(self.failure(step, action, at, what, next)));
            };
            if began.elapsed() >= settle.limit {
                let what = format!("{} did not come about within {} s: {detail}", settle.what, settle.limit.as_secs());
                let next = if settle.reboots {
                    "look at the node's console: is it off, or does it hang in its boot loader?".to_owned()
                } else {
                    "look at what it waits for, then continue".to_owned()
                };
                return Err(self.stop(self.failure(step, action, at, what, next)));
            }
            // What runs on a node goes on by itself: leaving is harmless, except in the middle of a reboot.
            if self.cancel.requested() && !settle.reboots {
                self.say(&Event::Interrupted { step: step.step.id.clone(), resume: self.resume.clone() })?;
                return Err(Stop::Interrupted);
            }
            self.say(&Event::Waiting {
                step: step.step.id.clone(),
                node: self.name(action, at),
                what: settle.what.clone(),
                progress,
                seconds: began.elapsed().as_secs(),
            })?;
            // On a slow node a look is work of its own: most of its time is for what is waited for.
            std::thread::sleep(settle.every.max(pause));
        }
    }

    /// Waits until a node that was just changed carries its part again, before its peer is touched.
    pub(super) fn until_healthy(&self, step: &PlannedStep, at: At) -> Result<(), Stop> {
        const LIMIT: Duration = Duration::from_secs(900);
        const EVERY: Duration = Duration::from_secs(3);
        let node = self.pair.at(at);
        let began = Instant::now();
        loop {
            let missing = match node.read_all(&health::reads()) {
                Ok(outputs) => match health::judge(&outputs) {
                    Ok(()) => return Ok(()),
                    Err(missing) => missing,
                },
                Err(lost) => lost.to_string(),
            };
            if began.elapsed() >= LIMIT {
                return Err(self.stop(Failure {
                    exit: exit::STEP_FAILED,
                    step: Some(step.step.id.clone()),
                    action: None,
                    node: Some(node.name.clone()),
                    command: None,
                    code: None,
                    stderr: Vec::new(),
                    what: format!("not healthy again after {} s: {missing}", LIMIT.as_secs()),
                    next: "mend it before its peer is touched".to_owned(),
                    resume: Some(self.resume.clone()),
                }));
            }
            self.say(&Event::Waiting {
                step: step.step.id.clone(),
                node: Some(node.name.clone()),
                what: format!("healthy again before its peer is touched: {missing}"),
                progress: None,
                seconds: began.elapsed().as_secs(),
            })?;
            std::thread::sleep(EVERY);
        }
    }

    fn remember_boot(&self, step: &PlannedStep, at: At) -> Result<(), Stop> {
        let node = self.pair.at(at);
        let boot_id = node
            .exec(&Cmd::read(["cat", "/proc/sys/kernel/random/boot_id"]))
            .map_err(|lost| self.stop(self.lost(Some(step), at, &lost)))?
            .line();
        self.say(&Event::Rebooting { node: node.name.clone(), boot_id: boot_id.clone() })?;
        self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner).boot_before[at.index()] = Some(boot_id);
        Ok(())
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    #[allow(clippy::unused_self)]
    fn stop(&self, failure: Failure) -> Stop {
        Stop::Failed(Box::new(failure))
    }

    fn failure(&self, step: &PlannedStep, action: &PlannedAction, at: At, what: String, next: String) -> Failure {
        Failure {
            exit: exit::STEP_FAILED,
            step: Some(step.step.id.clone()),
            action: action.of(at).map(|action| action.title()),
            node: self.name(action, at),
            command: None,
            code: None,
            stderr: Vec::new(),
            what,
            next,
            resume: Some(self.resume.clone()),
        }
    }

    pub(super) fn refused(
        &self,
        step: Option<&PlannedStep>,
        action: &PlannedAction,
        at: At,
        refusal: Refusal,
    ) -> Failure {
        Failure {
            exit: match refusal.kind {
                RefusalKind::Consent => exit::CONSENT,
                RefusalKind::Preflight => exit::PREFLIGHT,
                RefusalKind::Failed => exit::STEP_FAILED,
            },
            step: step.map(|step| step.step.id.clone()),
            action: action.of(at).map(|action| action.title()),
            node: self.name(action, at),
            command: None,
            code: None,
            stderr: Vec::new(),
            what: refusal.what,
            next: refusal.next,
            resume: Some(self.resume.clone()),
        }
    }
}

/// The last lines of stderr; of stdout where stderr says nothing.
fn tail(output: &Output) -> Vec<String> {
    let errors = output.errors();
    let text = if errors.trim().is_empty() { output.text() } else { errors };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| (*line).to_owned()).collect()
}

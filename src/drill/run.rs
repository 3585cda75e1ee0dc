//! Does the parts, one after the other: looks that the pair is healthy, does the harm, takes it back, waits until the pair is
//! healthy again, and says what was measured.

mod amiss;
mod lost;
mod mend;
mod moved;
mod pulled;
mod until;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::guest;
use super::hand::Hand;
use super::ledger::OnDisk;
use super::order::{Ground, Order, Until};
use super::outcome::{Done, Outcome};
use super::part::{Means, Part};
use super::unfinished::Unfinished;
use super::watch::{Now, Watch, of_drbd, of_mount};
use crate::action::{Change, Risk};
use crate::cancel::Cancel;
use crate::event::{Event, Failure};
use crate::node::{At, Pair};
use crate::platform::Platform;
use crate::setup::{Setup, failed, unreachable};

/// How long a pair may take to be healthy again, in seconds: a boot, a resynchronisation.
const HEALTHY: f64 = 3600.0;
/// How long the cluster may take to start the counter, in seconds.
const START: f64 = 300.0;
/// How long is looked on before the harm, in seconds.
const NORMAL: f64 = 3.0;
/// Pause between two looks.
const EVERY: Duration = Duration::from_millis(250);
/// How often it is said that something is still waited for.
const SPEAK: Duration = Duration::from_secs(5);

/// Why a drill ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// What can't be restored, or can't be done.
    Failed(Box<Failure>),
    /// An event could not be kept.
    Error(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => Stop::Failed(Box::new(failure)),
            Err(error) => Stop::Error(error),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(Box::new(failure))
    }
}

/// What a drill needs.
pub struct Drill<'a> {
    /// The pair.
    pub setup: &'a Setup,
    /// Its platform.
    pub platform: &'a Platform,
    /// The ways to its nodes.
    pub pair: &'a Pair,
    /// What it has.
    pub means: Means,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
    /// Who sees it.
    pub watch: &'a Watch<'a>,
    /// Who is told.
    pub emit: &'a dyn Fn(&Event) -> anyhow::Result<()>,
    /// Who is at the machines themselves.
    pub hand: &'a RefCell<dyn Hand + 'a>,
}

impl Drill<'_> {
    /// Does all parts that were asked for and not done yet; what was measured is kept after each.
    ///
    /// # Errors
    /// Why it ended before its end. What was measured until then is in `kept`.
    pub fn all(&self, parts: &[Part], kept: &mut Unfinished) -> Result<(), Stop> {
        if parts.iter().any(|part| part.refused(&self.means).is_none()) {
            self.guest()?;
        }
        for (index, part) in parts.iter().copied().enumerate() {
            if kept.outcomes.iter().any(|outcome| outcome.part == part) {
                continue;
            }
            (self.emit)(&Event::StepStarted {
                step: part.id().to_owned(),
                title: part.title().to_owned(),
                number: index + 1,
                of: parts.len(),
                takes: None,
            })?;
            if let Some(why) = part.refused(&self.means) {
                (self.emit)(&Event::StepSkipped { step: part.id().to_owned(), why: why.clone() })?;
                kept.add(Outcome::skipped(part, &why));
                kept.keep(&self.setup.state)?;
                continue;
            }
            kept.running = Some(part);
            kept.keep(&self.setup.state)?;
            let began = Instant::now();
            let outcome = self.part(part)?;
            kept.running = None;
            kept.add(outcome.clone());
            kept.keep(&self.setup.state)?;
            let lost = outcome.lost > 0;
            let seconds = began.elapsed().as_secs_f64();
            (self.emit)(&Event::Measured(Box::new(outcome)))?;
            (self.emit)(&Event::StepDone { step: part.id().to_owned(), changed: true, seconds })?;
            if lost {
                let what = "acknowledged writes were lost: nothing more is harmed".to_owned();
                let next = "find out why before anything else is done with this pair: the disks' caches, DRBD's protocol, \
                            the file system; the numbers are in the report";
                return Err(failed(None, what, next).into());
            }
        }
        Ok(())
    }

    /// Takes back what a drill before this one, or this one when it was interrupted, may have left, and looks again at what
    /// the pair has: what was down meanwhile is no reason to leave a part out.
    ///
    /// # Errors
    /// What could not be taken back, with the commands.
    pub fn restore(&mut self, kept: &mut Unfinished) -> Result<(), Stop> {
        let Some(part) = kept.running else { return Ok(()) };
        self.note(format!("{part} was begun and not finished: what it did is taken back first"))?;
        // The counter may have been killed with it; it is started anew behind this.
        self.mend(part, false)?;
        kept.running = None;
        kept.keep(&self.setup.state)?;
        if let Some(standing) = self.watch.now().standing {
            self.means = Means::of(&self.setup.answers, &standing, self.setup.rehearsal);
        }
        Ok(())
    }

    fn note(&self, text: String) -> anyhow::Result<()> {
        (self.emit)(&Event::Note { text })
    }

    /// Starts the counter; one of a drill that was killed is taken away first.
    fn guest(&self) -> Result<(), Stop> {
        let left = At::both(|at| self.pair.at(at).exec(&guest::there()).is_ok_and(|output| output.ok()));
        if left.contains(&true) {
            self.note("the counter of a drill before is taken away".to_owned())?;
            self.remove_guest()?;
            self.watch.forget_counter();
        }
        for order in guest::start(self.setup, self.platform)? {
            self.run(&order)?;
        }
        let counts = self.wait("start", "the counter to count", START, |now| now.serves().then_some(()))?;
        counts.ok_or_else(|| {
            let what =
                format!("the counter ({}) does not count: {}", guest::ID, self.watch.now().troubles().join("; "));
            failed(None, what, "crm_mon -1 -f says what became of it").into()
        })
    }

    /// Stops the counter and removes all that belongs to it.
    ///
    /// # Errors
    /// What is left, with the commands.
    pub fn remove_guest(&self) -> Result<(), Stop> {
        for order in guest::remove(self.setup, self.platform) {
            self.run(&order)?;
        }
        Ok(())
    }

    fn name(&self, at: At) -> String {
        self.pair.at(at).name.clone()
    }

    fn run(&self, order: &Order) -> Result<(), Stop> {
        let node = self.pair.at(order.at);
        (self.emit)(&Event::Command { node: node.name.clone(), command: order.typed.clone() })?;
        let output = node.exec(&order.cmd).map_err(|lost| unreachable(&node.name, &lost))?;
        for line in output.text().lines().filter(|line| !line.is_empty() && line.ends_with("again")) {
            self.note(line.to_owned())?;
        }
        if output.ok() {
            return Ok(());
        }
        let mut failure = failed(Some(&node.name), "the command failed".to_owned(), "look at what it says");
        failure.command = Some(order.typed.clone());
        failure.code = Some(output.code);
        failure.stderr = output.errors().lines().rev().take(5).map(str::to_owned).collect();
        failure.stderr.reverse();
        Err(failure.into())
    }

    /// Waits until `done` gives something. Ctrl-C ends it.
    fn wait<T>(
        &self,
        step: &str,
        what: &str,
        limit: f64,
        mut done: impl FnMut(&Now) -> Option<T>,
    ) -> Result<Option<T>, Stop> {
        let began = Instant::now();
        let mut spoken = Instant::now();
        loop {
            let now = self.watch.now();
            if let Some(done) = done(&now) {
                return Ok(Some(done));
            }
            if self.cancel.requested() {
                return Err(Stop::Interrupted);
            }
            if began.elapsed().as_secs_f64() > limit {
                return Ok(None);
            }
            self.hand.borrow_mut().meanwhile()?;
            if spoken.elapsed() >= SPEAK {
                spoken = Instant::now();
                let missing = now.troubles();
                let missing = missing.first().map(|first| format!(" ({first})")).unwrap_or_default();
                (self.emit)(&Event::Waiting {
                    step: step.to_owned(),
                    node: None,
                    what: format!("{what}{missing}"),
                    progress: None,
                    seconds: began.elapsed().as_secs(),
                })?;
            }
            std::thread::sleep(EVERY);
        }
    }

    fn part(&self, part: Part) -> Result<Outcome, Stop> {
        let since = self.watch.time();
        self.watch.forget();
        let Some(before) = self.healthy(part, since, true)? else { return Err(self.not_healthy(part).into()) };
        let began = jiff::Timestamp::now();
        let mut seen: Vec<String> = Vec::new();
        let mut commands: Vec<Done> = Vec::new();
        let mut moved: Vec<String> = Vec::new();
        let start = self.watch.time();
        let known = fencings(&before);
        let count = self.stages(part, &before)?.len();
        self.watch.forget();
        let what = "what is normal to be seen";
        self.wait(part.id(), what, 60.0, |now| (now.at - start >= NORMAL && now.serves()).then_some(()))?;
        let harmed = before.acknowledged.map(|(_, at)| at);
        let mut harm: Option<f64> = None;
        for index in 0..count {
            // What has failed is harmed no further; but what was sent away comes back all the same.
            if !seen.is_empty() && part != Part::Migrate {
                break;
            }
            // Each piece begins on a healthy pair, wherever the service runs by then; a move is one piece with its way back.
            let now = if index == 0 || part == Part::Migrate {
                before.clone()
            } else {
                match self.healthy(part, self.watch.time(), true)? {
                    Some(now) => now,
                    None => return Err(self.not_healthy(part).into()),
                }
            };
            let stage = self.stages(part, &now)?.swap_remove(index).with(&*self.hand.borrow());
            let serving = serving(&now)?;
            let typed = stage.orders.iter().map(|order| order.typed.clone());
            let harms: Vec<String> = stage.plugs.iter().map(ToString::to_string).chain(typed).collect();
            (self.emit)(&Event::ActionStarting {
                step: part.id().to_owned(),
                action: format!("{}-harm", index + 1),
                node: Some(self.name(serving)),
                title: part.title().to_owned(),
                change: Change::new(harms.join("; ")).risk(if matches!(stage.until, Until::Booted(_)) {
                    Risk::Reboots
                } else {
                    Risk::None
                }),
            })?;
            if !stage.plugs.is_empty() {
                harm.get_or_insert(self.watch.time());
                self.pull(stage.plugs, &mut commands)?;
            }
            let mut undone = false;
            for order in &stage.orders {
                commands.push(Done { node: self.name(order.at), command: order.typed.clone() });
                harm.get_or_insert(self.watch.time());
                match self.run(order) {
                    Err(Stop::Failed(failure)) if matches!(stage.until, Until::Booted(_)) && failure.code.is_none() => {
                    }
                    Err(Stop::Failed(failure)) => {
                        seen.push(format!("{} could not be done: {}", order.typed, failure.stderr.join(" ")));
                        undone = true;
                        break;
                    }
                    other => other?,
                }
            }
            if undone {
                break;
            }
            moved.extend(self.until(part, stage.until, &now, &mut seen)?);
            (self.emit)(&Event::ActionDone {
                step: part.id().to_owned(),
                action: format!("{}-harm", index + 1),
                node: Some(self.name(serving)),
                title: part.title().to_owned(),
                seconds: self.watch.time() - harm.unwrap_or(start),
            })?;
        }
        let zero = harm.unwrap_or(start);
        let held = self.watch.time();
        let redundant = self.mend(part, true)?;
        let after = self.watch.now();
        self.note(format!("{part}: the pair is healthy again, {:.0} s after the harm", (redundant - zero).max(0.0)))?;
        seen.extend(amiss::unnoticed(part, &self.watch.noticed(), held));
        // In this order: what is acknowledged while the disk is being read is not in what was read, and not lost.
        let ledger = self.watch.ledger();
        let disk = self.on_disk()?;
        let end = after.at;
        let names = |nodes: Vec<At>| nodes.into_iter().map(|at| self.name(at)).collect::<Vec<_>>();
        let pauses = ledger.pauses(zero, end);
        let lost = ledger.lost(&disk);
        let losses = self.losses(part, &ledger, &disk, zero);
        let outcome = Outcome {
            part,
            verdict: super::Verdict::Passed,
            began,
            commands,
            seconds: end - zero,
            // The sum of no numbers is -0.0.
            seconds_without_service: pauses.iter().map(super::ledger::Pause::seconds).fold(0.0, |sum, each| sum + each),
            pauses: pauses
                .into_iter()
                .map(|pause| super::ledger::Pause { from: pause.from - zero, to: pause.to - zero })
                .collect(),
            acknowledged: ledger.count(start, end),
            lost: lost.iter().map(super::ledger::Loss::count).sum(),
            losses,
            torn: disk.torn,
            served_by: names(ledger.nodes(start, end)),
            moved,
            booted: At::BOTH
                .into_iter()
                .filter(|at| before.boot_ids[at.index()] != after.boot_ids[at.index()])
                .map(|at| self.name(at))
                .collect(),
            fenced: fencings(&after).into_iter().filter(|fencing| !known.contains(fencing)).collect(),
            drbd: self.each(&after, |node| of_drbd(node).0, "DRBD"),
            ocfs2: self.each(&after, |node| of_mount(node).0, &self.setup.answers.storage.mount),
            redundant_after: Some((redundant - zero).max(0.0)),
            story: self.watch.story(start, zero),
        };
        let harmed = harmed.map(|at| [self.name(at), self.name(at.peer())]);
        seen.extend(amiss::of(&outcome, harmed.as_ref(), self.means.second_link));
        Ok(outcome.judged(seen))
    }

    fn stages(&self, part: Part, now: &Now) -> Result<Vec<super::order::Stage>, Stop> {
        let serving = serving(now)?;
        let answers = &self.setup.answers;
        let vms: Vec<(String, At)> =
            answers.vms.iter().filter_map(|vm| now.host(answers, &vm.name).map(|at| (vm.name.clone(), at))).collect();
        Ok(Ground { answers, serving, vms: &vms }.stages(part, &self.means.bmcs))
    }

    fn on_disk(&self) -> Result<OnDisk, Stop> {
        let node = self.pair.at(At::First);
        let output = node.exec(&guest::on_disk(self.setup)).map_err(|lost| unreachable(&node.name, &lost))?;
        if !output.ok() {
            let what = format!("the counter can't be read: {}", output.errors().trim());
            return Err(failed(Some(&node.name), what, "look at the mount").into());
        }
        OnDisk::parse(&output.text()).map_err(|why| failed(Some(&node.name), why, "look at the mount").into())
    }

    fn each(&self, now: &Now, say: impl Fn(&crate::status::node::NodeStatus) -> String, what: &str) -> Vec<String> {
        let Some(standing) = &now.standing else { return Vec::new() };
        At::BOTH
            .into_iter()
            .zip(&standing.nodes)
            .map(|(at, node)| {
                let state = node.as_ref().map_or_else(ToString::to_string, &say);
                format!("{what} on {}: {state}", self.name(at))
            })
            .collect()
    }
}

/// The node that runs the counter.
fn serving(now: &Now) -> Result<At, Stop> {
    let told = now.acknowledged.filter(|_| now.serves()).map(|(_, at)| at);
    told.ok_or_else(|| {
        failed(None, "the counter runs nowhere".to_owned(), "look with crm_mon why hapair-drill does not run").into()
    })
}

/// The fencings that the cluster remembers, the oldest first.
fn fencings(now: &Now) -> Vec<String> {
    let view = now.standing.as_ref().and_then(|standing| standing.view.as_ref());
    let events = view.map(|view| view.fencings.iter().rev()).into_iter().flatten();
    events
        .map(|event| {
            format!("{} of {} by {}: {}, {}", event.action, event.target, event.delegate, event.status, event.completed)
        })
        .collect()
}

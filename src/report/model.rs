//! What is known of a run: built from events, without a terminal and without a clock of its own.

use std::time::Duration;

use crate::action::{Progress, Risk};
use crate::drill::Verdict;
use crate::event::{Event, Failure};
use crate::report::style::Tone;
use crate::report::words;

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Waiting,
    Running,
    Done,
    Skipped,
    Failed,
    Interrupted,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) number: usize,
    pub(super) takes: Option<String>,
    pub(super) mark: Mark,
    pub(super) since: Duration,
    pub(super) seconds: f64,
    pub(super) changed: bool,
    /// What was worth a line of its own; shown below the step.
    pub(super) remarks: Vec<(Tone, String)>,
}

/// What a node is doing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Doing {
    Nothing,
    Changing { summary: String, risk: Risk },
    Command(String),
    Rebooting,
    Waiting { what: String, progress: Option<Progress>, heard: Duration },
    Done(String),
}

/// One node, or both together.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) label: String,
    pub(super) doing: Doing,
    pub(super) since: Duration,
    /// Since when it reboots.
    pub(super) reboots: Option<Duration>,
}

impl Lane {
    fn new(label: &str) -> Lane {
        Lane { label: label.to_owned(), doing: Doing::Nothing, since: Duration::ZERO, reboots: None }
    }
}

/// What stays on the screen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// A step that is over, by its index, with its remarks.
    Step(usize),
    /// A sentence, broken between words where it is too long.
    Text(Tone, String),
    /// A field of a failure that is a sentence.
    Field(String),
    /// A line to be copied: never broken.
    Verbatim(Tone, String),
    /// Time per step.
    Times,
    /// An empty line.
    Gap,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    /// Time since the reporter was made.
    pub(super) now: Duration,
    pub(super) begun: Duration,
    /// Between the first and the last event of a run.
    pub(super) active: bool,
    pub(super) steps: Vec<Step>,
    pub(super) running: Option<usize>,
    pub(super) lanes: Vec<Lane>,
    pub(super) both: Lane,
    /// Which node has rebooted in this run, and how long that took: the other one will take about as long.
    pub(super) rebooted: Option<(String, Duration)>,
}

impl Model {
    pub(super) fn new() -> Model {
        Model {
            now: Duration::ZERO,
            begun: Duration::ZERO,
            active: false,
            steps: Vec::new(),
            running: None,
            lanes: Vec::new(),
            both: Lane::new("both"),
            rebooted: None,
        }
    }

    /// The step that runs.
    pub(super) fn step(&self) -> Option<&Step> {
        self.running.and_then(|index| self.steps.get(index))
    }

    /// Steps that have not begun.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.mark == Mark::Waiting)
    }

    /// Takes an event that came at a time; gives what stays on the screen.
    pub(super) fn apply(&mut self, event: &Event, now: Duration) -> Vec<Said> {
        self.now = now;
        match event {
            Event::RunStarted { version, cluster, command, nodes, steps, .. } => {
                *self = Model { now, begun: now, active: true, ..Model::new() };
                self.lanes = nodes.iter().map(|node| Lane::new(node)).collect();
                for name in steps {
                    self.add(&name.id, &name.title);
                }
                let [first, second] = nodes;
                let heading = format!("hapair {version}, {command}: cluster {cluster}, nodes {first} and {second}");
                return vec![Said::Text(Tone::Strong, heading)];
            }
            Event::NodeReached { node, summary } => {
                let pad = self.lanes.iter().map(|lane| lane.label.chars().count()).max().unwrap_or(0);
                return vec![Said::Text(Tone::Plain, format!("{node:pad$}  {summary}"))];
            }
            Event::Note { text } => return self.remark(Tone::Warning, text.clone()),
            Event::StepStarted { step, title, number, takes, .. } => {
                let said = self.leave(Mark::Waiting, None);
                let index = self.find(step, title);
                let entry = &mut self.steps[index];
                entry.title.clone_from(title);
                (entry.number, entry.takes) = (*number, takes.clone());
                (entry.mark, entry.since) = (Mark::Running, now);
                self.running = Some(index);
                return said;
            }
            Event::StepSkipped { step, why } => {
                let index = self.find(step, step);
                self.steps[index].mark = Mark::Skipped;
                self.steps[index].remarks.push((Tone::Faint, format!("skipped: {why}")));
                if self.running == Some(index) {
                    self.running = None;
                    self.rest();
                }
                return vec![Said::Step(index)];
            }
            Event::ActionStarting { node, change, .. } => {
                let summary = change.summary.clone();
                self.set(node.as_deref(), Doing::Changing { summary, risk: change.risk }, now);
                // At once, and not with the step when it is over: it is the last look at what goes.
                let first = self.lanes.first().map_or("the first node", |lane| lane.label.as_str());
                if let Some((sentence, diff)) = words::replaced(node.as_deref().unwrap_or(first), change) {
                    let diff = diff.into_iter().map(|line| Said::Verbatim(Tone::Faint, line));
                    return std::iter::once(Said::Text(Tone::Warning, sentence)).chain(diff).collect();
                }
                if change.risk >= Risk::Reboots {
                    let node = node.as_deref().unwrap_or("both nodes");
                    let text = format!("{node}: {} [{}]", change.summary, words::risk(change.risk));
                    return self.remark(change.risk.into(), text);
                }
            }
            Event::Command { node, command } => self.set(Some(node), Doing::Command(command.clone()), now),
            Event::Rebooting { node, .. } => {
                self.set(Some(node), Doing::Rebooting, now);
                self.lane(node).reboots = Some(now);
            }
            Event::Waiting { node, what, progress, seconds, .. } => {
                let since = now.saturating_sub(Duration::from_secs(*seconds));
                let (what, progress) = (what.clone(), progress.clone());
                self.set(node.as_deref(), Doing::Waiting { what, progress, heard: now }, since);
            }
            Event::ActionDone { node, title, .. } => self.done(node.as_deref(), title),
            Event::StepDone { step, changed, seconds } => {
                let index = self.find(step, step);
                self.running = Some(index);
                self.steps[index].changed = *changed;
                return self.leave(Mark::Done, Some(*seconds));
            }
            Event::Failed(failure) => return self.failed(failure),
            Event::Interrupted { resume, .. } => {
                let mut said = self.leave(Mark::Interrupted, None);
                self.active = false;
                let text = "Interrupted; the running action was finished. This continues:";
                said.extend([
                    Said::Gap,
                    Said::Text(Tone::Warning, text.to_owned()),
                    Said::Verbatim(Tone::Strong, format!("  {resume}")),
                ]);
                return said;
            }
            Event::Measured(outcome) => {
                let tone = match outcome.verdict {
                    Verdict::Passed => Tone::Good,
                    Verdict::Failed(_) => Tone::Bad,
                    Verdict::Skipped(_) => Tone::Faint,
                };
                return outcome.lines().into_iter().flat_map(|line| self.remark(tone, line)).collect();
            }
            Event::DrillDone { passed, seconds, .. } => {
                let mut said = self.leave(Mark::Waiting, None);
                self.active = false;
                let tone = if *passed { Tone::Good } else { Tone::Bad };
                said.push(Said::Gap);
                said.push(Said::Text(tone, format!("Drill over after {}.", words::duration(*seconds))));
                said.extend(words::drilled(event).into_iter().map(|line| Said::Verbatim(Tone::Plain, line)));
                return said;
            }
            Event::RunDone { changed, seconds, summary } => {
                let mut said = self.leave(Mark::Waiting, None);
                self.active = false;
                let done = Said::Text(Tone::Good, words::done(*changed, *seconds));
                said.extend([Said::Gap, done, Said::Times, Said::Gap]);
                let summary = summary.iter().flat_map(|text| text.split('\n'));
                // What is indented is a table or a command.
                said.extend(summary.map(|line| {
                    let indented = line.starts_with([' ', '\t']);
                    if indented {
                        Said::Verbatim(Tone::Plain, line.to_owned())
                    } else {
                        Said::Text(Tone::Plain, line.to_owned())
                    }
                }));
                return said;
            }
        }
        Vec::new()
    }

    fn failed(&mut self, failure: &Failure) -> Vec<Said> {
        let mut said = self.leave(Mark::Failed, None);
        self.active = false;
        let left = self.pending().count();
        if left > 0 {
            said.push(Said::Text(Tone::Faint, format!("       {} not begun", words::count(left, "step"))));
        }
        said.push(Said::Gap);
        let text = failure.to_string();
        said.extend(text.lines().enumerate().map(|(index, line)| match index {
            0 => Said::Text(Tone::Bad, format!("Failed: {line}")),
            _ if line.starts_with("  next:") => Said::Field(line.to_owned()),
            _ => Said::Verbatim(Tone::Plain, line.to_owned()),
        }));
        said
    }

    /// Says something worth a line: below the running step, or at once where none runs.
    fn remark(&mut self, tone: Tone, text: String) -> Vec<Said> {
        match self.running.and_then(|index| self.steps.get_mut(index)) {
            Some(step) => {
                step.remarks.push((tone, text));
                Vec::new()
            }
            None => vec![Said::Text(tone, text)],
        }
    }

    /// Ends the running step, if there is one. `seconds` as the engine measured, or by our own clock.
    fn leave(&mut self, mark: Mark, seconds: Option<f64>) -> Vec<Said> {
        self.rest();
        let Some(index) = self.running.take() else { return Vec::new() };
        let now = self.now;
        let step = &mut self.steps[index];
        step.mark = mark;
        step.seconds = seconds.unwrap_or_else(|| now.saturating_sub(step.since).as_secs_f64());
        // A step that was neither finished nor failed is still to come, and is not shown as over.
        if mark == Mark::Waiting { Vec::new() } else { vec![Said::Step(index)] }
    }

    /// How far a node's reboot has come, measured by the other node's; `None` where nothing is known or it takes longer.
    pub(super) fn reboot(&self, lane: &Lane) -> Option<Progress> {
        let since = self.now.saturating_sub(lane.reboots?);
        let (node, took) = self.rebooted.as_ref().filter(|(node, _)| *node != lane.label)?;
        let left = took.checked_sub(since).filter(|left| !left.is_zero())?;
        Some(Progress {
            percent: Some(since.as_secs_f64() / took.as_secs_f64() * 100.0),
            eta_seconds: Some(left.as_secs()),
            detail: format!("{node} took {}", words::duration(took.as_secs_f64())),
        })
    }

    /// Nobody does anything.
    fn rest(&mut self) {
        for lane in self.lanes.iter_mut().chain([&mut self.both]) {
            (lane.doing, lane.reboots) = (Doing::Nothing, None);
        }
    }

    fn set(&mut self, node: Option<&str>, doing: Doing, since: Duration) {
        let lane = match node {
            // What both do together replaces what each did.
            None => {
                self.rest();
                &mut self.both
            }
            Some(node) => self.lane(node),
        };
        (lane.doing, lane.since) = (doing, since);
    }

    fn done(&mut self, node: Option<&str>, title: &str) {
        let now = self.now;
        let done = Doing::Done(title.to_owned());
        if let Some(name) = node {
            self.set(node, done, now);
            if let Some(since) = self.lane(name).reboots.take() {
                self.rebooted = Some((name.to_owned(), now.saturating_sub(since)));
            }
            return;
        }
        self.both.doing = Doing::Nothing;
        for lane in &mut self.lanes {
            (lane.doing, lane.since) = (done.clone(), now);
        }
    }

    fn lane(&mut self, node: &str) -> &mut Lane {
        let found = self.lanes.iter().position(|lane| lane.label == node);
        let index = found.unwrap_or_else(|| {
            self.lanes.push(Lane::new(node));
            self.lanes.len() - 1
        });
        &mut self.lanes[index]
    }

    /// Index of a step; one that was not announced is added.
    fn find(&mut self, id: &str, title: &str) -> usize {
        let found = self.steps.iter().position(|step| step.id == id);
        found.unwrap_or_else(|| self.add(id, title))
    }

    fn add(&mut self, id: &str, title: &str) -> usize {
        self.steps.push(Step {
            id: id.to_owned(),
            title: title.to_owned(),
            number: self.steps.len() + 1,
            takes: None,
            mark: Mark::Waiting,
            since: self.now,
            seconds: 0.0,
            changed: false,
            remarks: Vec::new(),
        });
        self.steps.len() - 1
    }
}

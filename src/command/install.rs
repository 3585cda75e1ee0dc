//! `hapair install`: brings about everything, or goes on where a run stopped.

use std::sync::Mutex;
use std::time::Instant;

use anyhow::Result;

use crate::action::Memory;
use crate::answers::{Layout, Reach};
use crate::cancel::Cancel;
use crate::command::step;
use crate::continuation;
use crate::engine::{Ended, Engine};
use crate::event::{Event, Failure, Sink, StepName};
use crate::exit;
use crate::journal::{self, Journal};
use crate::lock::{self, Lock};
use crate::node::{At, Pair};
use crate::plan::Plan;
use crate::preflight;
use crate::record::{self, Claim, Install};
use crate::report;
use crate::secrets::Secrets;
use crate::setup::{Setup, Survey};
use crate::state;

/// What is to be run, and how it is shown.
pub struct Run<'a> {
    /// `install`, `step drbd-sync`.
    pub command: String,
    /// Ids of the steps; all if `None`.
    pub steps: Option<Vec<String>>,
    /// Of a single step: run what it needs too, where that is not so.
    pub with_needs: bool,
    /// On one of the nodes itself: go on by itself after its reboot.
    pub continue_after_reboot: bool,
    /// How it is shown.
    pub format: report::Format,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
    /// The command that continues.
    pub resume: String,
}

/// Gives every event to the journal first, and to the reporter only when it is on disk.
pub(crate) struct Sinks {
    pub(crate) journal: Journal,
    pub(crate) reporter: Box<dyn Sink>,
}

impl Sink for Sinks {
    fn event(&mut self, event: &Event) -> Result<()> {
        let kept = self.journal.event(event);
        self.reporter.event(event)?;
        kept
    }
}

/// How a run ended; a failure was shown already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code.
    pub code: u8,
    /// How many actions changed something.
    pub changed: usize,
}

/// Runs it.
///
/// # Errors
/// What ended it before the first event: a held lock (7), a journal that can't be read.
pub fn run(setup: &Setup, run: &Run<'_>) -> Result<Outcome> {
    state::make(&setup.state)?;
    let _lock = Lock::take(&setup.state, &run.command)?;
    let (journal, lines) = Journal::open(&setup.state, &setup.answers.cluster)?;
    let sinks = Mutex::new(Sinks { journal, reporter: report::choose_here(run.format) });
    let emit = |event: &Event| sinks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).event(event);
    match go(setup, run, &sinks, &emit, &lines) {
        Ok(outcome) => Ok(outcome),
        Err(error) => match error.downcast::<Failure>() {
            Ok(mut failure) => {
                // The engine has shown its own failures; what came before it has no step.
                if failure.step.is_none() {
                    failure.resume.get_or_insert_with(|| run.resume.clone());
                    emit(&Event::Failed(failure.clone()))?;
                }
                Ok(Outcome { code: failure.exit, changed: 0 })
            }
            Err(error) => Err(error),
        },
    }
}

fn go(
    setup: &Setup,
    run: &Run<'_>,
    sinks: &Mutex<Sinks>,
    emit: &dyn Fn(&Event) -> Result<()>,
    lines: &[journal::Line],
) -> Result<Outcome> {
    let began = Instant::now();
    // No node is asked for what the answers alone refuse.
    if let Some(why) = setup.answers.refusals(setup.rehearsal).first() {
        return Err(crate::setup::refused(None, why.clone(), "change `fencing` in the answers file").into());
    }
    let pair = setup.connect(true)?;
    let survey = setup.survey(&pair)?;
    let (install, settled) = Install::settle(&setup.state, &setup.answers, &survey.records)?;
    let resource = &setup.answers.storage.resource;
    let tell = |text: String| emit(&Event::Note { text });
    // What the nodes were before it ended is not what they are: nothing else is judged before.
    let survey =
        if record::over(&pair, resource, &survey.records, run.cancel, &tell)? { setup.survey(&pair)? } else { survey };
    let (secrets, taken) = Secrets::of_pair(&setup.state, &pair, &survey.platform)?;
    let plan = setup.plan(&survey.platform, &survey.found, &secrets)?;
    let mut memory = install.memory();
    memory.rebooted = journal::rebooted(lines, &setup.answers.nodes.each_ref().map(|node| node.name.clone()));
    let wanted = steps(setup, run, &pair, &plan, &memory)?;
    emit(&started(setup, run, &plan, wanted.as_deref()))?;
    for (at, facts) in At::BOTH.into_iter().zip(&survey.facts) {
        emit(&Event::NodeReached { node: pair.at(at).name.clone(), summary: facts.summary() })?;
    }
    for text in settled.into_iter().chain(taken).chain(notes(setup, &survey, lines)) {
        emit(&Event::Note { text })?;
    }
    check(setup, run, &pair, &survey, &plan, emit)?;
    let wanted: Option<Vec<&str>> = wanted.as_ref().map(|ids| ids.iter().map(String::as_str).collect());
    let mut engine = Engine::new(&pair, sinks, run.cancel, run.resume.clone());
    engine.local = At::BOTH.into_iter().find(|at| setup.answers.nodes[at.index()].ssh == Reach::Local);
    if let Some(at) = engine.local {
        if continuation::forget(pair.at(at))? {
            tell(format!("{} of an earlier run is taken away: that reboot never came", continuation::UNIT))?;
        }
        engine.order = [at.peer(), at];
        if run.continue_after_reboot {
            if std::env::var_os("SSH_AUTH_SOCK").is_some() {
                tell(format!(
                    "after the reboot there is no SSH agent: the login to {} must work with a key file (--identity)",
                    pair.at(at.peer()).name
                ))?;
            }
            engine.continuation = Some(continuation::order(&continuation::unit()?));
        }
    }
    engine.remember(memory);
    let claim = Claim::new(&pair, &setup.answers, &install, install.owner(&setup.state), &lock::who(&run.command));
    let take = || claim.take();
    engine.before_change = Some(&take);
    let ended = claim.during(run.cancel, || engine.run(&plan, wanted.as_deref()))?;
    if matches!(ended, Ok(Ended::Done { changed }) if changed > 0) {
        learn(setup, &pair, &install)?;
    }
    match ended {
        Ok(Ended::Interrupted | Ended::Rebooting) => Ok(Outcome { code: exit::INTERRUPTED, changed: 0 }),
        Err(failure) => Ok(Outcome { code: failure.exit, changed: 0 }),
        Ok(Ended::Done { changed }) => {
            emit(&Event::RunDone {
                changed,
                seconds: began.elapsed().as_secs_f64(),
                summary: summary(setup, &survey.platform.messaging, changed, run.steps.is_some()),
            })?;
            Ok(Outcome { code: exit::DONE, changed })
        }
    }
}

/// Keeps what the nodes tell after a run: should one lose its record, the state folder still knows.
fn learn(setup: &Setup, pair: &Pair, install: &Install) -> Result<()> {
    let mut install = install.clone();
    let read = record::read(&setup.answers.storage.resource);
    // A node that does not answer just now tells it to the next run.
    install.learn(&At::both(|at| pair.at(at).exec(&read).as_ref().map(record::parse).unwrap_or_default()));
    install.keep(&setup.state)
}

/// The preflight: warnings are told, what is ignored is told and so in the journal, errors refuse.
fn check(
    setup: &Setup,
    run: &Run<'_>,
    pair: &Pair,
    survey: &Survey,
    plan: &Plan,
    emit: &dyn Fn(&Event) -> Result<()>,
) -> Result<()> {
    let (answers, facts) = (&setup.answers, &survey.facts);
    let platforms = setup.platforms(facts);
    // A pair that is there already has nothing to be measured for, and a second install takes no longer than a look.
    let evidence = if run.steps.is_some() || preflight::is_a_pair(answers, facts) {
        preflight::without_asking(answers, facts, &platforms, setup.rehearsal)
    } else {
        emit(&Event::Note {
            text: "preflight: the nodes are compared, and talk to each other for a moment".to_owned(),
        })?;
        preflight::gather(pair, answers, facts, &platforms, &plan.packages(), setup.rehearsal)
            .map_err(crate::setup::unanswered(pair))?
    };
    let mut findings = preflight::findings(&evidence);
    for finding in preflight::ignored(&mut findings, &setup.ignore) {
        emit(&Event::Note { text: format!("ignored by --ignore {}: {}", finding.name, finding.sentence()) })?;
    }
    for finding in findings.iter().filter(|finding| !finding.error) {
        emit(&Event::Note { text: format!("{}: {}; {}", finding.name, finding.sentence(), finding.next) })?;
    }
    Ok(preflight::refuse(&findings)?)
}

fn started(setup: &Setup, run: &Run<'_>, plan: &Plan, steps: Option<&[String]>) -> Event {
    let wanted = |id: &str| steps.is_none_or(|ids| ids.iter().any(|wanted| wanted == id));
    Event::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: setup.answers.cluster.clone(),
        command: run.command.clone(),
        nodes: [setup.answers.nodes[0].name.clone(), setup.answers.nodes[1].name.clone()],
        steps: plan
            .steps
            .iter()
            .filter(|step| wanted(&step.step.id))
            .map(|step| StepName { id: step.step.id.clone(), title: step.step.title.clone() })
            .collect(),
        plan: plan.hash.clone(),
    }
}

fn notes(setup: &Setup, survey: &Survey, lines: &[journal::Line]) -> Vec<String> {
    let mut notes = setup.warnings.clone();
    if let Some(Event::ActionStarting { step, title, node, .. }) = journal::unfinished(lines) {
        let node = node.as_deref().unwrap_or("both nodes");
        notes.push(format!(
            "the run before ended in the step {step} on {node}, at: {title}; everything is checked again"
        ));
    }
    if setup.answers.fencing.skip_proof {
        notes.push(
            "the proof of the fencing is left out as asked for (--skip-fencing-proof): whether a lost node can be switched off \
             is not known, and `hapair status` keeps saying so"
                .to_owned(),
        );
    }
    if setup.answers.fencing.method.uses_ssh() && survey.platform.messaging == "corosync" {
        notes.push(
            "fencing by SSH is proved by order alone, and not with the cluster link cut: SSH goes over that link"
                .to_owned(),
        );
    }
    let cib = &setup.answers.cib;
    if survey.platform.messaging == "corosync" {
        let threshold = crate::variables::migration_threshold(&cib.stickiness, &cib.failure_stickiness);
        notes.push(format!(
            "cib.failure_stickiness {} of Heartbeat 2 becomes migration-threshold {threshold} of Pacemaker",
            cib.failure_stickiness
        ));
    }
    notes
}

/// The steps to run: with a single step's needs in front where they are not so and may be run, or a refusal.
fn steps(setup: &Setup, run: &Run<'_>, pair: &Pair, plan: &Plan, memory: &Memory) -> Result<Option<Vec<String>>> {
    let Some(ids) = &run.steps else { return Ok(None) };
    let mut wanted = ids.clone();
    for id in ids {
        let missing = step::missing(pair, plan, id, memory)?;
        if !run.with_needs {
            step::refuse(id, &missing, |name| setup.command(name))?;
        }
        wanted.extend(missing.into_iter().map(|missing| missing.step));
    }
    Ok(Some(wanted))
}

/// What was built, and what to do next; what it took is told above it. `messaging`: the platform's.
fn summary(setup: &Setup, messaging: &str, changed: usize, single: bool) -> Vec<String> {
    if changed == 0 {
        return vec!["Nothing to do: everything is as it must be.".to_owned()];
    }
    if single {
        return Vec::new();
    }
    let ([first, second], storage) = (&setup.answers.nodes, &setup.answers.storage);
    let vms: Vec<&str> = setup.answers.vms.iter().map(|vm| vm.name.as_str()).collect();
    let shared = match storage.layout {
        Layout::Ocfs2 => format!("{} on both, mirrored by DRBD ({})", storage.mount, storage.resource),
        Layout::DrbdPerVm => "each VM's disk mirrored by DRBD".to_owned(),
    };
    let fencing = match setup.answers.fencing.method.name() {
        "ssh" => "fenced by SSH, which can't stop a machine that hangs".to_owned(),
        method => format!("fenced by {method}"),
    };
    let vms = if vms.is_empty() { "no VM yet".to_owned() } else { format!("with {}", vms.join(", ")) };
    let mut lines = vec![
        format!("{} and {} are a pair: {shared}, {fencing}, {vms}.", first.name, second.name),
        "Look at it, from here or on one of the nodes:".to_owned(),
        format!("  {}", setup.command("status")),
        "  crm_mon -1".to_owned(),
    ];
    // A drill must be watched from outside, and measures on the shared mount.
    let outside = setup.answers.nodes.iter().all(|node| node.ssh != Reach::Local);
    if outside && storage.layout == Layout::Ocfs2 && messaging == "corosync" {
        lines.push("Before you rely on it, see it fail:".to_owned());
        lines.push(format!("  {}", setup.command("drill")));
    }
    if let Some(file) = &setup.file {
        lines.push(format!(
            "The answers are in {}: an install with them goes on where it must, and otherwise changes nothing.",
            file.display()
        ));
    }
    lines.push(format!("State and keys are kept in {}; keep a copy of that folder.", setup.state.display()));
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::setup::Places;

    #[test]
    fn the_end_names_what_was_built_and_what_to_do_next() {
        let places = Places { state_dir: Some("/s".into()), ..Places::default() };
        let load = |name: &str| {
            let file = Path::new("tests/examples").join(name);
            Setup::load(&file, places.clone(), crate::answers::load::Secrets::Leave).expect(name)
        };
        let lines = summary(&load("tutorial.yaml"), "corosync", 3, false);
        assert!(
            lines[0].starts_with("node1 and node2 are a pair: /drbd0 on both, mirrored by DRBD (r0), fenced by "),
            "{lines:#?}"
        );
        assert!(lines[0].ends_with("with vm01."), "{lines:#?}");
        let commands: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("  ")).collect();
        let options = "--answers tests/examples/tutorial.yaml --state-dir /s";
        assert_eq!(commands, [&format!("hapair status {options}"), "crm_mon -1", &format!("hapair drill {options}")]);
        assert!(
            lines.iter().any(|line| line.starts_with("The answers are in tests/examples/tutorial.yaml:")),
            "{lines:#?}"
        );
        // Heartbeat 2 has no drill, a second install nothing to do, a single step no pair to tell of.
        assert!(!summary(&load("ubuntu-7.10.yaml"), "heartbeat", 3, false).iter().any(|line| line.contains("drill")));
        assert_eq!(summary(&load("tutorial.yaml"), "corosync", 0, false).len(), 1);
        assert!(summary(&load("tutorial.yaml"), "corosync", 3, true).is_empty());
    }
}

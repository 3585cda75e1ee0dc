//! `hapair undo`: takes back what can be taken back, in reverse order, and says what can't.

use std::sync::Mutex;
use std::time::Instant;

use anyhow::Result;

use super::install::{Outcome, Sinks};
use super::step::known;
use crate::action::file::RECORDED;
use crate::action::kind::Action;
use crate::action::{Memory, State, ssh_key};
use crate::answers::Reach;
use crate::cancel::Cancel;
use crate::command::consent;
use crate::continuation;
use crate::engine::{Ended, Engine, look};
use crate::event::{Event, Failure, Sink as _, StepName};
use crate::exit;
use crate::journal::{Journal, Line};
use crate::lock::{self, Lock};
use crate::node::{At, Cmd, Pair};
use crate::plan::{Plan, PlannedAction, PlannedStep};
use crate::record::{self, Claim, Install};
use crate::report;
use crate::secrets::Secrets;
use crate::setup::{Setup, refused, unanswered};
use crate::state;
use crate::undo::{self, Known, NOT_MOUNTED, Undo, changed_since};

const AUTHORIZED: &str = "/root/.ssh/authorized_keys";

/// What is to be taken back, and how that is shown.
pub struct Options<'a> {
    /// The last step that is taken back; all if `None`.
    pub until: Option<String>,
    /// The cluster's name, as consent.
    pub confirm: Option<String>,
    /// How it is shown.
    pub format: report::Format,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
    /// The command that continues.
    pub resume: String,
}

/// Runs it.
///
/// # Errors
/// What ended it before the first event: a held lock (7), a journal that can't be read, a step that doesn't exist (2).
pub fn run(setup: &Setup, options: &Options<'_>) -> Result<Outcome> {
    if let Some(id) = &options.until {
        known(&setup.catalog, id)?;
    }
    state::make(&setup.state)?;
    let _lock = Lock::take(&setup.state, "undo")?;
    let (journal, lines) = Journal::open(&setup.state, &setup.answers.cluster)?;
    let pair = setup.connect(true)?;
    let mut survey = setup.survey(&pair)?;
    // The nodes of another pair are refused, and those of this one are taken for this run, as for an install.
    let (install, _) = Install::settle(&setup.state, &setup.answers, &survey.records)?;
    let tell = |text: String| {
        super::say(&text);
        Ok(())
    };
    if record::over(&pair, &setup.answers.storage.resource, &survey.records, options.cancel, &tell)? {
        // What the nodes were before it ended is not what they are.
        survey = setup.survey(&pair)?;
    }
    if let Some(at) = At::BOTH.into_iter().find(|at| setup.answers.nodes[at.index()].ssh == Reach::Local) {
        continuation::forget(pair.at(at))?;
    }
    let secrets = Secrets::existing(&setup.state)?.unwrap_or_else(Secrets::placeholders);
    let plan = setup.plan(&survey.platform, &survey.found, &secrets)?;
    let names = [setup.answers.nodes[0].name.clone(), setup.answers.nodes[1].name.clone()];
    let undo = prepared(&pair, &plan, options.until.as_deref(), &names, &lines)?;
    let todo = todo(&pair, &undo.plan)?;
    super::say(&text(&todo, &undo.left));
    if !todo.is_empty() && !consent(setup, options)? {
        return Ok(Outcome { code: exit::USAGE, changed: 0 });
    }
    let nothing = todo.is_empty();
    let sinks = Mutex::new(Sinks { journal, reporter: report::choose_here(options.format) });
    let emit = |event: &Event| sinks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).event(event);
    emit(&started(setup, &undo.plan))?;
    let began = Instant::now();
    if nothing {
        // Nobody has consented to what may be there a moment later.
        let seconds = began.elapsed().as_secs_f64();
        emit(&Event::RunDone { changed: 0, seconds, summary: vec!["There was nothing to take back.".to_owned()] })?;
        return Ok(Outcome { code: exit::DONE, changed: 0 });
    }
    let claim = Claim::new(&pair, &setup.answers, &install, install.owner(&setup.state), &lock::who("undo"));
    let take = || claim.take();
    let mut engine = Engine::new(&pair, &sinks, options.cancel, options.resume.clone());
    engine.before_change = Some(&take);
    match claim.during(options.cancel, || engine.run(&undo.plan, None))? {
        Ok(Ended::Interrupted | Ended::Rebooting) => Ok(Outcome { code: exit::INTERRUPTED, changed: 0 }),
        Err(failure) => Ok(Outcome { code: failure.exit, changed: 0 }),
        Ok(Ended::Done { changed }) => {
            let mut summary = vec!["Taken back. This stays:".to_owned()];
            summary.extend(undo.left);
            emit(&Event::RunDone { changed, seconds: began.elapsed().as_secs_f64(), summary })?;
            Ok(Outcome { code: exit::DONE, changed })
        }
    }
}

/// The plan that takes back, with what is left because somebody changed it since.
///
/// # Errors
/// A [`Failure`] with exit code 5 when a node can't be asked.
pub fn prepared(
    pair: &Pair,
    plan: &Plan,
    until: Option<&str>,
    names: &[String; 2],
    lines: &[Line],
) -> Result<Undo, Failure> {
    let paths = At::BOTH.map(|at| {
        let mut paths = written(plan, at);
        paths.extend(RECORDED.map(|path| (path.to_owned(), String::new())));
        paths
    });
    let mut public_keys = [None, None];
    let mut authorized = [String::new(), String::new()];
    let mut running = [false; 2];
    let mut changed = Vec::new();
    let kind = plan.steps.iter().flat_map(|step| &step.actions).find_map(|action| match action.any() {
        Some(Action::SshKey(key)) => Some(key.kind.as_str()),
        _ => None,
    });
    let kind = kind.unwrap_or("ed25519");
    let reads = paths.each_ref().map(|paths| {
        let mut reads: Vec<Cmd> = vec![
            ssh_key::public_key_read(kind),
            Cmd::read(["cat", "--", AUTHORIZED]),
            Cmd::read(["cibadmin", "-Q", "-o", "configuration"]),
        ];
        reads.extend(paths.iter().map(|(path, guard)| changed_since(path, guard)));
        reads
    });
    let outputs = pair.read_both([&reads[0], &reads[1]]).map_err(unanswered(pair))?;
    for (at, outputs) in At::BOTH.into_iter().zip(&outputs) {
        let node = pair.at(at);
        public_keys[at.index()] = outputs.first().filter(|output| output.ok()).map(crate::node::Output::line);
        let [_, keys, cib, files @ ..] = outputs.as_slice() else { continue };
        authorized[at.index()] = keys.text();
        running[at.index()] = cib.ok();
        for ((path, guard), output) in paths[at.index()].iter().zip(files) {
            let (name, kept) = (&node.name, crate::device::STATE);
            match output.code {
                0 => changed.push(format!(
                    "{path} on {name} was changed since hapair wrote it: it stays; what stood there before is in {kept}/backup."
                )),
                NOT_MOUNTED => changed.push(format!(
                    "{guard} is not mounted on {name}, so {path} stays; what stood there before is in {kept}/backup on {name}."
                )),
                _ => {}
            }
        }
    }
    let unknown = At::BOTH.map(|at| public_keys[at.index()].is_none());
    let mut undo = undo::of(plan, until, names, &Known::new(public_keys, running, lines));
    let taken_back = |step: &PlannedStep| undo.plan.steps.iter().any(|back| back.step.id == step.step.id);
    let trusts = |step: &PlannedStep| step.actions.iter().any(|a| matches!(a.any(), Some(Action::SshTrust(_))));
    if plan.steps.iter().any(|step| taken_back(step) && trusts(step)) {
        for at in At::BOTH.into_iter().filter(|at| unknown[at.index()]) {
            let (name, peer) = (&pair.at(at).name, &pair.at(at.peer()).name);
            // The comment that hapair gives the keys that it makes.
            let end = format!(" root@{name}");
            if authorized[at.peer().index()].lines().any(|line| line.trim_end().ends_with(&end)) {
                changed.push(format!(
                    "The public key of root of {name} can't be read there, so a line ending in{end} stays in {AUTHORIZED} on {peer}."
                ));
            }
        }
    }
    undo.left.splice(0..0, changed);
    Ok(undo)
}

/// Paths of the whole files that hapair writes on a node, each with the shared mount that it lies on (empty: on none).
fn written(plan: &Plan, at: At) -> Vec<(String, String)> {
    let actions = plan.steps.iter().flat_map(|step| &step.actions).filter_map(|action| action.of(at));
    let mut paths: Vec<(String, String)> = actions
        .flat_map(|action| match action {
            Action::SharedFile(file) => vec![(file.path.clone(), file.guard.clone())],
            Action::VmConfig(config) => vec![(config.path.clone(), config.mount.clone())],
            other => other.files().into_iter().map(|file| (file.path, String::new())).collect(),
        })
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// What would be taken back: step, node and title.
///
/// # Errors
/// A [`Failure`]: a node can't be asked (5), or it can't be seen there whether something is to be taken back (4).
pub fn todo(pair: &Pair, plan: &Plan) -> Result<Vec<(String, String)>, Failure> {
    let actions: Vec<&PlannedAction> = plan.steps.iter().flat_map(|step| &step.actions).collect();
    let looked = look(pair, &actions).map_err(unanswered(pair))?;
    let mut todo: Vec<(String, String)> = Vec::new();
    let mut index = 0;
    for step in &plan.steps {
        for action in &step.actions {
            let states = looked.states(index, action, &Memory::default());
            for (at, state) in &states {
                let why = match state {
                    State::Unknown(why) => why,
                    State::Refused(refusal) => &refusal.what,
                    State::Satisfied | State::Drift(_) => continue,
                };
                let title = action.any().map(|action| action.title()).unwrap_or_default();
                return Err(refused(
                    Some(&pair.at(*at).name),
                    format!("step {}: {title}: {why}; nothing was changed", step.step.id),
                    "mend that (a cluster that is down: systemctl start corosync pacemaker) and run the same command again; \
                     without --until all is taken back, also from a cluster that is down",
                ));
            }
            let nodes: Vec<&str> = states
                .into_iter()
                .filter(|(_, state)| *state != State::Satisfied)
                .map(|(at, _)| pair.at(at).name.as_str())
                .collect();
            if let (false, Some(any)) = (nodes.is_empty(), action.any()) {
                let on = if action.is_pair() { String::new() } else { format!("{}: ", nodes.join(", ")) };
                todo.push((step.step.id.clone(), format!("{on}{}", any.title())));
            }
            index += 1;
        }
    }
    Ok(todo)
}

fn text(todo: &[(String, String)], left: &[String]) -> String {
    let mut text = String::new();
    if todo.is_empty() {
        text.push_str("There is nothing to take back.\n");
    } else {
        text.push_str("This is taken back, in this order:\n");
    }
    let mut last = "";
    for (step, line) in todo {
        if step != last {
            text.push_str(&format!("{step}\n"));
            last = step;
        }
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str("This stays:\n");
    for line in left {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// Whether it may be done: by the cluster's name, given as an option or typed.
fn consent(setup: &Setup, options: &Options<'_>) -> Result<bool> {
    let cluster = &setup.answers.cluster;
    consent::given(&consent::Wish {
        cluster,
        given: options.confirm.as_deref(),
        question: format!("All VMs of {cluster} are stopped. Type the cluster's name to take it back"),
        otherwise: "nothing was changed",
    })
}

fn started(setup: &Setup, plan: &Plan) -> Event {
    Event::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: setup.answers.cluster.clone(),
        command: "undo".to_owned(),
        nodes: [setup.answers.nodes[0].name.clone(), setup.answers.nodes[1].name.clone()],
        steps: plan
            .steps
            .iter()
            .map(|step| StepName { id: step.step.id.clone(), title: step.step.title.clone() })
            .collect(),
        plan: plan.hash.clone(),
    }
}

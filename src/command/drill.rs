//! `hapair drill`: harm on purpose on a running pair, measured. Asks first, and refuses a pair that is not healthy.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;

use super::install::Sinks;
use super::status::Drift;
use crate::answers::{Layout, Reach};
use crate::cancel::Cancel;
use crate::command::consent;
use crate::drill::hand::Hand;
use crate::drill::order::Ground;
use crate::drill::page::{self, Head};
use crate::drill::part::{Means, asked};
use crate::drill::run::{Drill, Stop};
use crate::drill::unfinished::Unfinished;
use crate::drill::watch::Watch;
use crate::drill::{Outcome, Part, Verdict, guest};
use crate::event::{Event, Failure, Sink as _, StepName};
use crate::exit;
use crate::journal::Journal;
use crate::lock::{self, Lock};
use crate::node::{At, Pair};
use crate::record::{Claim, Install};
use crate::report;
use crate::setup::{Setup, Survey, refused, unreachable};
use crate::state;
use crate::status::Standing;

/// What is to be done, and how it is shown.
pub struct Options<'a> {
    /// Only these parts; all if there are none.
    pub only: &'a [Part],
    /// Where the page goes.
    pub report: Option<PathBuf>,
    /// The cluster's name, as consent.
    pub confirm: Option<String>,
    /// How it is shown.
    pub format: report::Format,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
    /// The command that continues.
    pub resume: String,
    /// What the machines are, if they are not the user's own.
    pub ground: Option<String>,
    /// Who is at the machines themselves.
    pub hand: &'a RefCell<dyn Hand + 'a>,
}

/// Runs it; gives the exit code: 0 when every part that was asked for has passed.
///
/// # Errors
/// What ended it before the first event: a held lock (7), a node that can't be reached (5), a pair that is not healthy (4).
pub fn run(setup: &Setup, options: &Options<'_>) -> Result<u8> {
    writable(options.report.as_deref())?;
    observer(setup)?;
    state::make(&setup.state)?;
    let _lock = Lock::take(&setup.state, "drill")?;
    let (journal, _) = Journal::open(&setup.state, &setup.answers.cluster)?;
    let pair = setup.connect(true)?;
    on(setup, &pair, journal, options)
}

/// The same on a pair to whose nodes there is a way.
///
/// # Errors
/// As [`run`].
pub fn on(setup: &Setup, pair: &Pair, journal: Journal, options: &Options<'_>) -> Result<u8> {
    let survey = setup.survey(pair)?;
    if survey.platform.messaging != "corosync" {
        let what =
            format!("a drill needs Corosync and Pacemaker; {} has {}", survey.platform.id, survey.platform.messaging);
        return Err(refused(None, what, "there is no drill for this platform").into());
    }
    let (install, _) = Install::settle(&setup.state, &setup.answers, &survey.records)?;
    let mut kept = Unfinished::of(&setup.state)?.unwrap_or_default();
    let parts = asked(options.only);
    // What could not be done then may be possible now.
    kept.outcomes.retain(|outcome| parts.contains(&outcome.part) && !matches!(outcome.verdict, Verdict::Skipped(_)));
    let standing = Standing::look(&setup.answers, pair);
    // What was begun and not finished is taken back before the pair is judged; until then its answers say what it can do.
    let means = if kept.running.is_none() {
        healthy(setup, pair, &standing)?;
        Means::of(&setup.answers, &standing, setup.rehearsal)
    } else {
        Means::once_mended(&setup.answers, &standing, setup.rehearsal)
    };
    super::say(&announced(setup, &standing, &means, &parts, &kept, &*options.hand.borrow()));
    let harms = kept.running.is_some() || parts.iter().any(|part| part.refused(&means).is_none());
    if harms && !consent(setup, options)? {
        return Ok(exit::USAGE);
    }
    let sinks = Mutex::new(Sinks { journal, reporter: report::choose_here(options.format) });
    let emit = |event: &Event| sinks.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    emit(&started(setup, &parts))?;
    for (at, facts) in At::BOTH.into_iter().zip(&survey.facts) {
        emit(&Event::NodeReached { node: pair.at(at).name.clone(), summary: facts.summary() })?;
    }
    let began = Instant::now();
    let claim = Claim::new(pair, &setup.answers, &install, install.owner(&setup.state), &lock::who("drill"));
    let watch = Watch::new(&setup.answers, pair);
    let mut drill = Drill {
        setup,
        platform: &survey.platform,
        pair,
        means,
        cancel: options.cancel,
        watch: &watch,
        emit: &emit,
        hand: options.hand,
    };
    let ended = claim.during(options.cancel, || {
        claim.take()?;
        watch.during(|| work(&mut drill, &parts, &mut kept, harms))
    })?;
    over(setup, options, &emit, ended, &kept, &Over { survey: &survey, standing: &standing, parts: &parts, began })
}

/// What was left is taken back, then all parts, then the counter is taken away; after Ctrl-C what can be taken back is.
fn work(drill: &mut Drill<'_>, parts: &[Part], kept: &mut Unfinished, harms: bool) -> Result<(), Stop> {
    match restored(drill, kept).and_then(|()| drill.all(parts, kept)) {
        Ok(()) if !harms => Ok(()),
        Ok(()) => drill.remove_guest(),
        Err(stop) => {
            match drill.leave() {
                Ok(()) if matches!(stop, Stop::Interrupted) => {
                    kept.running = None;
                    kept.keep(&drill.setup.state)?;
                }
                Ok(()) => {}
                // Why it ended is the news; what is left is taken back by the next run.
                Err(Stop::Failed(failure)) => (drill.emit)(&Event::Note {
                    text: format!("not everything could be taken back; the same command does it first: {failure}"),
                })?,
                Err(other) => return Err(other),
            }
            Err(stop)
        }
    }
}

/// Takes back what a drill before left. Only behind that can the pair be judged as one on which a drill begins.
fn restored(drill: &mut Drill<'_>, kept: &mut Unfinished) -> Result<(), Stop> {
    if kept.running.is_none() {
        return Ok(());
    }
    drill.restore(kept)?;
    Ok(healthy(drill.setup, drill.pair, &Standing::look(&drill.setup.answers, drill.pair))?)
}

/// What the end needs to know.
struct Over<'a> {
    survey: &'a Survey,
    standing: &'a Standing,
    parts: &'a [Part],
    began: Instant,
}

fn over(
    setup: &Setup,
    options: &Options<'_>,
    emit: &dyn Fn(&Event) -> Result<()>,
    ended: Result<(), Stop>,
    kept: &Unfinished,
    end: &Over<'_>,
) -> Result<u8> {
    let head = Head {
        began: kept.began,
        nodes: setup
            .answers
            .nodes
            .iter()
            .zip(&end.survey.facts)
            .map(|(node, facts)| {
                let drbd = facts.kernel.drbd.as_ref().map(|version| format!(", DRBD {version}")).unwrap_or_default();
                format!("{}: {}{drbd}", node.name, facts.summary())
            })
            .collect(),
        fencing: end.standing.fencing.method.to_owned(),
        ground: options.ground.clone(),
    };
    if let Some(path) = &options.report {
        page::write(setup, &head, &kept.outcomes, path)?;
    }
    let code = match ended {
        Ok(()) => None,
        Err(Stop::Interrupted) => {
            let step = end.parts.iter().find(|part| !kept.outcomes.iter().any(|outcome| outcome.part == **part));
            let step = step.map_or_else(|| "drill".to_owned(), ToString::to_string);
            emit(&Event::Interrupted { step, resume: options.resume.clone() })?;
            Some(exit::INTERRUPTED)
        }
        Err(Stop::Failed(mut failure)) => {
            failure.resume.get_or_insert_with(|| options.resume.clone());
            emit(&Event::Failed((*failure).clone()))?;
            Some(failure.exit)
        }
        Err(Stop::Error(error)) => return Err(error),
    };
    let whole = end.parts.len() == kept.outcomes.len();
    let passed = code.is_none() && whole && kept.outcomes.iter().all(Outcome::passed);
    if code.is_none() {
        Unfinished::over(&setup.state)?;
    }
    emit(&Event::DrillDone {
        passed,
        seconds: end.began.elapsed().as_secs_f64(),
        parts: kept.outcomes.clone(),
        report: options.report.as_ref().map(|path| path.display().to_string()),
    })?;
    Ok(code.unwrap_or(if passed { exit::DONE } else { exit::STEP_FAILED }))
}

/// The page must have a place before anything is harmed for it.
fn writable(report: Option<&Path>) -> Result<()> {
    let Some(path) = report else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() || tempfile::tempfile_in(folder).is_err() {
        let why = format!("--report {}: no file can be written there", path.display());
        return Err(exit::WrongUsage(why).into());
    }
    Ok(())
}

/// Who watches must not be one of those that are switched off, and the service needs its shared mount.
fn observer(setup: &Setup) -> Result<()> {
    if let Some(node) = setup.answers.nodes.iter().find(|node| node.ssh == Reach::Local) {
        let what = "hapair runs on this node itself, which a drill switches off: who watches must stand outside";
        return Err(
            refused(Some(&node.name), what.to_owned(), "run it on a third machine, with ssh: root@ADDRESS").into()
        );
    }
    if setup.answers.storage.layout != Layout::Ocfs2 {
        let what = "a drill measures on the shared mount, which the layout drbd-per-vm does not have".to_owned();
        return Err(refused(None, what, "there is no drill for this layout").into());
    }
    Ok(())
}

/// The same judgement as `hapair status`: on a pair that is not healthy nothing is harmed.
fn healthy(setup: &Setup, pair: &Pair, standing: &Standing) -> Result<(), Failure> {
    for (at, node) in At::BOTH.into_iter().zip(&standing.nodes) {
        if let Err(why) = node {
            return Err(unreachable(&pair.at(at).name, why));
        }
    }
    if !standing.troubles.is_empty() {
        let what: Vec<&str> = standing.troubles.iter().map(|trouble| trouble.what.as_str()).collect();
        let mends: Vec<String> = standing
            .troubles
            .iter()
            .flat_map(|trouble| &trouble.mend)
            .map(|mend| format!("on {}: {}", mend.on, mend.command))
            .collect();
        let what = format!("the pair is not healthy, and a drill would harm it further: {}", what.join("; "));
        return Err(refused(None, what, &format!("hapair status; {}", mends.join("; "))));
    }
    if let Drift::Found(found) = Drift::look(setup, pair)
        && !found.is_empty()
    {
        let what = format!("the pair is not as the answers say: {}", found.join("; "));
        return Err(refused(None, what, "hapair plan shows it, hapair install ends it"));
    }
    Ok(())
}

/// What will be done, before anybody consents.
fn announced(
    setup: &Setup,
    standing: &Standing,
    means: &Means,
    parts: &[Part],
    kept: &Unfinished,
    hand: &dyn Hand,
) -> String {
    let answers = &setup.answers;
    let mut text = format!(
        "Drill on {}: this is done on purpose, on the node that runs the counter then (shown for {}).\n\
         A counter ({}) is started for its time, and taken away at the end; all VMs take part.\n",
        answers.cluster,
        answers.nodes[0].name,
        guest::ID
    );
    if let Some(part) = kept.running {
        text.push_str(&format!(
            "A drill before was ended in {part}: what it did is taken back first. Then it is looked at again what this pair \
             can survive; a part that it can't is skipped.\n"
        ));
    }
    let of = |name: &String| At::BOTH.into_iter().find(|at| answers.nodes[at.index()].name == *name);
    let vms: Vec<(String, At)> =
        standing.vms.iter().filter_map(|vm| Some((vm.name.clone(), of(vm.node.as_ref()?)?))).collect();
    let ground = Ground { answers, serving: At::First, vms: &vms };
    for part in parts {
        text.push_str(&format!("{part}: {}\n", part.title()));
        if kept.outcomes.iter().any(|outcome| outcome.part == *part) {
            text.push_str("  measured already\n");
            continue;
        }
        if let Some(why) = part.refused(means) {
            text.push_str(&format!("  skipped: {why}\n"));
            continue;
        }
        for stage in ground.stages(*part, &means.bmcs).into_iter().map(|stage| stage.with(hand)) {
            for plug in stage.plugs {
                text.push_str(&format!("  {plug}\n"));
            }
            for order in stage.orders {
                text.push_str(&format!("  {}: {}\n", answers.nodes[order.at.index()].name, order.typed));
            }
        }
        text.push_str(&format!("  then: {}\n", part.restored()));
        if *part == Part::Migrate && !means.live {
            text.push_str("  not live: what runs is stopped and started again\n");
        }
    }
    text
}

/// Whether it may be done: by the cluster's name, given as an option or typed.
fn consent(setup: &Setup, options: &Options<'_>) -> Result<bool> {
    let cluster = &setup.answers.cluster;
    consent::given(&consent::Wish {
        cluster,
        given: options.confirm.as_deref(),
        question: format!("The VMs of {cluster} are interrupted again and again. Type the cluster's name to begin"),
        otherwise: "nothing was done",
    })
}

fn started(setup: &Setup, parts: &[Part]) -> Event {
    Event::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: setup.answers.cluster.clone(),
        command: "drill".to_owned(),
        nodes: [setup.answers.nodes[0].name.clone(), setup.answers.nodes[1].name.clone()],
        steps: parts.iter().map(|part| StepName { id: part.id().to_owned(), title: part.title().to_owned() }).collect(),
        plan: String::new(),
    }
}

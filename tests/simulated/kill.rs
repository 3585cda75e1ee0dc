//! The installer killed at every event of a whole install, on simulated nodes: the same command reaches the same end.
//! `hapair undo` likewise.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hapair::cancel::Cancel;
use hapair::engine::{Ended, Engine};
use hapair::event::{Event, Sink};
use hapair::journal::{self, Journal};
use hapair::plan::Plan;

use crate::model::{Model, World};
use crate::{folder, plan};

const RESUME: &str = "hapair install --answers pair.yaml";

/// Where the kill hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// The event is being written (half of its line is on the disk): what it reports has happened, and nobody knows.
    Before,
    /// It is on the disk, and what it announces does not happen.
    After,
}

/// A journal whose process dies at the event number `at`. From then on nothing is written and nothing is begun.
struct Dying {
    journal: Journal,
    path: PathBuf,
    kill: Option<(usize, Hit)>,
    seen: usize,
    dead: bool,
}

impl Sink for Dying {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        anyhow::ensure!(!self.dead, "killed");
        let number = self.seen;
        // What is only waiting is not in the journal.
        if !matches!(event, Event::Waiting { .. }) {
            self.seen += 1;
        }
        let Some((at, hit)) = self.kill.filter(|(at, _)| *at == number) else { return self.journal.event(event) };
        self.dead = at == number;
        match hit {
            Hit::Before => {
                let mut file = std::fs::OpenOptions::new().append(true).open(&self.path)?;
                let line = serde_json::to_vec(event)?;
                file.write_all(&line[..line.len() / 2])?;
            }
            Hit::After => self.journal.event(event)?,
        }
        anyhow::bail!("killed")
    }
}

/// A run of a new process: it has only the state folder and the nodes. Gives how many events it said.
pub fn run(model: &Model, plan: &Plan, state: &Path, kill: Option<(usize, Hit)>) -> (Option<Ended>, usize) {
    let (journal, _) = Journal::open(state, "xencluster").unwrap();
    let sink = Mutex::new(Dying { journal, path: state.join("journal.jsonl"), kill, seen: 0, dead: false });
    let (pair, cancel) = (model.pair(), Cancel::default());
    let ended = Engine::new(&pair, &sink, &cancel, RESUME.to_owned()).run(plan, None);
    let sink = sink.into_inner().unwrap();
    match (ended, kill) {
        (Ok(ended), None) => (Some(ended), sink.seen),
        (Err(failure), None) => panic!("{failure}"),
        (_, Some(_)) => {
            assert!(sink.dead, "the run had fewer events than that");
            (None, sink.seen)
        }
    }
}

/// What must be the same in the end: all but how often a node was rebooted, which a kill may not change either.
fn same(is: &World, wanted: &World, what: &str) {
    for (is, wanted) in is.machines.iter().zip(&wanted.machines) {
        assert_eq!(is.files.keys().collect::<Vec<_>>(), wanted.files.keys().collect::<Vec<_>>(), "{what}");
    }
    assert!(is == wanted, "{what}: another end state");
}

#[test]
fn a_whole_install_on_simulated_nodes() {
    let (model, state) = (Model::new(&plan()), folder());
    let (ended, events) = run(&model, &model.plan, state.path(), None);
    assert!(matches!(ended, Some(Ended::Done { changed }) if changed > 50), "{ended:?}");
    let world = model.world();
    assert_eq!((world.create_md, world.force, world.mkfs, world.reboots), ([1, 1], 1, 1, [1, 1]));
    assert_eq!(world.fenced.values().collect::<Vec<_>>(), [&1, &1]);
    for machine in &world.machines {
        let kept = |name: &str| machine.records.contains_key(name);
        assert!(kept("fencing-node1.proved") && kept("fencing-node2.proved") && !kept("fencing-node1.trying"));
    }
    let before = model.transports.each_ref().map(|transport| transport.trips());
    assert_eq!(run(&model, &model.plan, state.path(), None).0, Some(Ended::Done { changed: 0 }));
    let after = model.transports.each_ref().map(|transport| transport.trips());
    assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 1], "a second run costs one round trip");
    println!("{events} events, all steps: {}", model.plan.steps.len());
}

/// Kills a run of `plan` from `fresh` at every event, resumes it, and compares the end; gives a line for people.
pub fn matrix(fresh: &Model, plan: &Plan) -> String {
    let (wanted, events) = {
        let (model, state) = (fresh.copy(), folder());
        let (_, events) = run(&model, plan, state.path(), None);
        (model.world(), events)
    };
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let kills: Vec<(usize, Hit)> = (0..events).flat_map(|at| [Hit::Before, Hit::After].map(|hit| (at, hit))).collect();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some(kill) = kills.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let (model, state) = (fresh.copy(), folder());
                    run(&model, plan, state.path(), Some(*kill));
                    let (ended, _) = run(&model, plan, state.path(), None);
                    assert!(matches!(ended, Some(Ended::Done { .. })), "{kill:?}");
                    same(&model.world(), &wanted, &format!("killed at {kill:?}"));
                    let lines = Journal::read(state.path(), "xencluster").unwrap();
                    // Of a kill between an action's end and its result nothing is told later, but that it is so.
                    let last = kill.1 == Hit::Before;
                    assert!(last || journal::unfinished(&lines).is_none(), "{kill:?}");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let done = done.into_inner();
    assert_eq!(done, kills.len());
    format!(
        "{events} events x (before, after) = {} kills, {done} resumed to the same end state ({:.1} %)",
        kills.len(),
        100.0 * done as f64 / kills.len() as f64
    )
}

#[test]
fn killed_at_every_event_before_and_after_the_same_command_reaches_the_same_end() {
    let plan = plan();
    let line = matrix(&Model::new(&plan), &plan);
    println!("kill matrix on simulated nodes: {line}; metadata, file system and first primary made once in each");
}

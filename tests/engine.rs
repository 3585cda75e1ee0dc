//! The engine on scripted nodes: order, resume, refusals, and what a second run costs.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hapair::cancel::Cancel;
use hapair::engine::{Ended, Engine};
use hapair::event::{Event, Sink};
use hapair::exit;
use hapair::journal::{self, Journal};
use hapair::node::scripted::{Scripted, fails, says};
use hapair::node::{At, Cmd, Effect, Lost, Node, Output, Pair};
use hapair::plan::{Plan, PlannedAction, PlannedStep};
use hapair::step::Step;

/// A machine that knows files by name only: `test -e X`, `touch X`.
#[derive(Clone, Default)]
struct World {
    files: Arc<Mutex<BTreeSet<String>>>,
    /// The so-manieth write ends the connection: before (even) or after (odd) it took effect.
    cut: Arc<Mutex<Option<usize>>>,
    writes: Arc<Mutex<usize>>,
    /// A path of which the next answers have no time to come, and how many.
    late: Arc<Mutex<Option<(String, usize)>>>,
}

impl World {
    fn answer(&self, cmd: &Cmd) -> Result<Output, Lost> {
        let words: Vec<&str> = cmd.argv.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["test", "-e", path] => {
                if let Some((late, times)) = self.late.lock().unwrap().as_mut()
                    && late == path
                    && *times > 0
                {
                    *times -= 1;
                    return Ok(fails(Output::LATE, ""));
                }
                Ok(if self.files.lock().unwrap().contains(*path) { says("") } else { fails(1, "") })
            }
            ["touch", path] => {
                let mut writes = self.writes.lock().unwrap();
                let number = *writes;
                *writes += 1;
                let cut = *self.cut.lock().unwrap();
                if cut == Some(2 * number) {
                    return Err(Lost::Dropped("cut before".to_owned()));
                }
                self.files.lock().unwrap().insert((*path).to_owned());
                if cut == Some(2 * number + 1) {
                    return Err(Lost::Dropped("cut after".to_owned()));
                }
                Ok(says(""))
            }
            ["false"] => Ok(fails(3, "first line\nno such thing\n")),
            // What the engine asks between two nodes: no cluster runs here.
            ["sh", "-c", script, ..] if script.contains("crm_mon") => Ok(fails(7, "")),
            _ if cmd.effect == Effect::Read => Ok(says("")),
            other => panic!("an order that nobody gave: {other:?}"),
        }
    }

    fn transport(&self) -> Arc<Scripted> {
        let world = self.clone();
        Arc::new(Scripted::new(move |cmd| world.answer(cmd)))
    }
}

fn step(id: &str, on: &str, files: &[&str]) -> PlannedStep {
    let mut yaml = format!("id: {id}\ntitle: Step {id}\nsection: none\nwhy: a test\non: {on}\nactions:\n");
    for file in files {
        yaml.push_str(&format!(
            "  - command: {{ title: make {file}, run: [touch, {file}], unless: [test, -e, {file}] }}\n"
        ));
    }
    planned(&yaml)
}

fn planned(yaml: &str) -> PlannedStep {
    let step: Step = serde_yaml::from_str(yaml).unwrap();
    let actions = step
        .actions
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let action = entry.action().unwrap();
            PlannedAction {
                id: format!("{}-{}", index + 1, action.kind()),
                instances: [Some(action.clone()), Some(action)],
            }
        })
        .collect();
    PlannedStep { step, skipped: None, actions }
}

fn plan() -> Plan {
    Plan {
        steps: vec![
            step("hosts", "both", &["/a", "/b"]),
            step("xen-boot", "in-turn", &["/c", "/d"]),
            step("verify", "both", &["/e"]),
        ],
        hash: "test".to_owned(),
    }
}

struct Rig {
    state: tempfile::TempDir,
    worlds: [World; 2],
    transports: [Arc<Scripted>; 2],
    cancel: Cancel,
}

impl Rig {
    fn new() -> Self {
        let worlds = [World::default(), World::default()];
        let transports = [worlds[0].transport(), worlds[1].transport()];
        Self { state: tempfile::tempdir().unwrap(), worlds, transports, cancel: Cancel::default() }
    }

    fn run(&self, plan: &Plan) -> Result<Ended, Box<hapair::event::Failure>> {
        let pair = Pair(
            [0, 1].map(|index| Node { name: format!("node{}", index + 1), transport: self.transports[index].clone() }),
        );
        let (journal, _) = Journal::open(self.state.path(), "test").unwrap();
        let sink: Mutex<Journal> = Mutex::new(journal);
        Engine::new(&pair, &sink, &self.cancel, "hapair install --answers a.yaml".to_owned()).run(plan, None)
    }

    fn files(&self) -> [Vec<String>; 2] {
        [0, 1].map(|index| self.worlds[index].files.lock().unwrap().iter().cloned().collect())
    }

    fn events(&self) -> Vec<Event> {
        Journal::read(self.state.path(), "test").unwrap().into_iter().map(|line| line.event).collect()
    }
}

const ALL: [&str; 5] = ["/a", "/b", "/c", "/d", "/e"];

#[test]
fn a_fresh_pair_gets_everything_and_a_second_run_costs_one_round_trip_each() {
    let rig = Rig::new();
    assert_eq!(rig.run(&plan()).unwrap(), Ended::Done { changed: 10 });
    assert_eq!(rig.files(), [ALL.map(str::to_owned).to_vec(), ALL.map(str::to_owned).to_vec()]);
    let before = rig.transports.each_ref().map(|transport| transport.trips());
    assert_eq!(rig.run(&plan()).unwrap(), Ended::Done { changed: 0 });
    let after = rig.transports.each_ref().map(|transport| transport.trips());
    assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 1]);
}

#[test]
fn what_had_no_time_to_answer_is_asked_once_more_and_nothing_else_is() {
    let rig = Rig::new();
    rig.run(&plan()).unwrap();
    let before = rig.transports.each_ref().map(|transport| transport.log().len());
    *rig.worlds[1].late.lock().unwrap() = Some(("/b".to_owned(), 1));
    assert_eq!(rig.run(&plan()).unwrap(), Ended::Done { changed: 0 });
    let count = |index: usize, path: &str| {
        let asked = &rig.transports[index].log()[before[index]..];
        asked.iter().filter(|cmd| cmd.argv.iter().any(|word| word == path)).count()
    };
    assert_eq!(count(1, "/b"), count(0, "/b") + 1);
    assert_eq!(count(1, "/a"), count(0, "/a"));
}

#[test]
fn what_never_has_time_to_answer_is_not_taken_for_absent() {
    let rig = Rig::new();
    rig.run(&plan()).unwrap();
    let writes = *rig.worlds[1].writes.lock().unwrap();
    *rig.worlds[1].late.lock().unwrap() = Some(("/b".to_owned(), usize::MAX));
    let failure = rig.run(&plan()).unwrap_err();
    assert_eq!(failure.what, "can't be told: `test -e /b` had no time to answer");
    assert_eq!(*rig.worlds[1].writes.lock().unwrap(), writes);
}

#[test]
fn the_intent_is_on_disk_before_the_change() {
    let rig = Rig::new();
    rig.run(&plan()).unwrap();
    let events = rig.events();
    for (index, event) in events.iter().enumerate() {
        if let Event::Command { node, command } = event {
            let intent = events[..index].iter().rev().find_map(|event| match event {
                Event::ActionStarting { node: Some(at), title, .. } if at == node => Some(title.clone()),
                _ => None,
            });
            let file = command.rsplit(' ').next().unwrap();
            assert!(intent.is_some_and(|title| title.ends_with(file)), "{command} was announced by nothing");
        }
    }
    assert_eq!(journal::unfinished(&Journal::read(rig.state.path(), "test").unwrap()), None);
}

#[test]
fn cut_at_every_write_before_and_after_it_took_effect_a_second_run_reaches_the_same_end() {
    let mut cuts = 0;
    for node in [0, 1] {
        for cut in 0..2 * ALL.len() {
            let rig = Rig::new();
            *rig.worlds[node].cut.lock().unwrap() = Some(cut);
            let failure = rig.run(&plan()).expect_err("the connection was cut");
            assert_eq!(failure.exit, exit::UNREACHABLE);
            assert_eq!(failure.resume.as_deref(), Some("hapair install --answers a.yaml"));
            *rig.worlds[node].cut.lock().unwrap() = None;
            rig.run(&plan()).expect("the second run");
            assert_eq!(rig.files(), [ALL.map(str::to_owned).to_vec(), ALL.map(str::to_owned).to_vec()]);
            // Nothing was done twice but what nobody could know of.
            let writes = *rig.worlds[node].writes.lock().unwrap();
            assert_eq!(writes, if cut % 2 == 0 { ALL.len() + 1 } else { ALL.len() });
            cuts += 1;
        }
    }
    assert_eq!(cuts, 20);
}

#[test]
fn one_after_the_other_means_that_the_second_waits_for_the_first() {
    let rig = Rig::new();
    rig.run(&plan()).unwrap();
    let commands: Vec<(String, String)> = rig
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Command { node, command } => Some((node, command)),
            _ => None,
        })
        .filter(|(_, command)| command.ends_with("/c") || command.ends_with("/d"))
        .collect();
    let expected = [("node1", "/c"), ("node1", "/d"), ("node2", "/c"), ("node2", "/d")];
    assert_eq!(commands.len(), expected.len());
    for ((node, command), (at, file)) in commands.iter().zip(expected) {
        assert_eq!((node.as_str(), command.as_str()), (at, format!("touch {file}").as_str()));
    }
}

#[test]
fn a_command_that_fails_is_told_with_its_exit_code_and_its_last_words() {
    let rig = Rig::new();
    let yaml = "id: o2cb\ntitle: T\nsection: s\nwhy: w\nactions:\n  - command: { title: break it, run: ['false'], unless: [test, -e, /x] }\n";
    let failure = rig.run(&Plan { steps: vec![planned(yaml)], hash: String::new() }).expect_err("fails");
    assert_eq!(failure.exit, exit::STEP_FAILED);
    assert_eq!(failure.step.as_deref(), Some("o2cb"));
    assert!(failure.node.is_some());
    assert_eq!(failure.command.as_deref(), Some("false"));
    assert_eq!(failure.code, Some(3));
    assert_eq!(failure.stderr, ["first line", "no such thing"]);
    let words = failure.to_string();
    for word in ["step o2cb on node", "exit code: 3", "no such thing", "continue:  hapair install"] {
        assert!(words.contains(word), "{word} is missing in:\n{words}");
    }
}

#[test]
fn what_is_done_and_still_not_so_has_failed() {
    let rig = Rig::new();
    let yaml = "id: o2cb\ntitle: T\nsection: s\nwhy: w\nactions:\n  - command: { title: T, run: [touch, /x], unless: [test, -e, /y] }\n";
    let failure = rig.run(&Plan { steps: vec![planned(yaml)], hash: String::new() }).expect_err("fails");
    assert!(failure.what.contains("it was done, but it is not so"), "{}", failure.what);
}

#[test]
fn ctrl_c_stops_before_the_next_change_and_tells_how_to_go_on() {
    let rig = Rig::new();
    rig.cancel.request();
    assert_eq!(rig.run(&plan()).unwrap(), Ended::Interrupted);
    assert_eq!(rig.files(), [Vec::<String>::new(), Vec::new()]);
    assert!(
        rig.events()
            .iter()
            .any(|event| matches!(event, Event::Interrupted { resume, .. } if resume.contains("install")))
    );
}

#[test]
fn a_journal_that_cannot_be_written_stops_everything() {
    struct Full;
    impl Sink for Full {
        fn event(&mut self, _: &Event) -> anyhow::Result<()> {
            anyhow::bail!("no space left on device")
        }
    }
    let rig = Rig::new();
    let pair =
        Pair([0, 1].map(|index| Node { name: format!("node{}", index + 1), transport: rig.transports[index].clone() }));
    let sink = Mutex::new(Full);
    let failure = Engine::new(&pair, &sink, &rig.cancel, String::new()).run(&plan(), None).expect_err("stops");
    assert!(failure.what.contains("no space left"), "{}", failure.what);
    assert_eq!(rig.files(), [Vec::<String>::new(), Vec::new()]);
    assert_eq!(At::First.peer(), At::Second);
}

//! `hapair step ID`: what a step needs is looked for on the nodes, not in the journal.

use hapair::action::Memory;
use hapair::cancel::Cancel;
use hapair::command::step::{missing, refuse};
use hapair::engine::{Ended, Engine};
use hapair::exit;
use hapair::journal::Journal;
use std::sync::Mutex;

use crate::kill::run;
use crate::model::Model;
use crate::{folder, plan};

fn steps(model: &Model, id: &str) -> Vec<String> {
    missing(&model.pair(), &model.plan, id, &Memory::default())
        .unwrap()
        .into_iter()
        .map(|missing| missing.step)
        .collect()
}

#[test]
fn a_missing_step_is_named() {
    let model = Model::new(&plan());
    assert!(steps(&model, "hosts").is_empty());
    let found = missing(&model.pair(), &model.plan, "drbd-resource", &Memory::default()).unwrap();
    let failure = refuse("drbd-resource", &found, |name| format!("hapair {name}")).unwrap_err();
    assert_eq!(failure.exit, exit::PREFLIGHT);
    assert!(failure.what.contains("needs the step hosts, which is not so: rename this node"), "{}", failure.what);
    assert!(failure.what.contains("xen-boot, drbd-module") && failure.next.contains("--with-needs"), "{failure}");
}

#[test]
fn the_nodes_count_and_not_the_journal() {
    let (model, state) = (Model::new(&plan()), folder());
    run(&model, &model.plan, state.path(), None);
    assert!(steps(&model, "verify").is_empty());
    // Something undid a step behind the journal's back.
    model.world.lock().unwrap().machines[1].mounted = false;
    let found = missing(&model.pair(), &model.plan, "vms", &Memory::default()).unwrap();
    assert!(found.iter().all(|missing| missing.step != "hosts"), "{found:?}");
    let needed = steps(&model, "verify");
    assert!(!needed.is_empty() && !needed.contains(&"hosts".to_owned()), "{needed:?}");
}

#[test]
fn with_needs_runs_what_is_missing_and_nothing_else() {
    let (model, state) = (Model::new(&plan()), folder());
    let mut wanted = steps(&model, "drbd-module");
    assert_eq!(wanted, ["hosts", "xen", "xen-boot"]);
    wanted.push("drbd-module".to_owned());
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let (journal, _) = Journal::open(state.path(), "xencluster").unwrap();
    let sink = Mutex::new(journal);
    let (pair, cancel) = (model.pair(), Cancel::default());
    let ended = Engine::new(&pair, &sink, &cancel, String::new()).run(&model.plan, Some(&wanted)).unwrap();
    assert!(matches!(ended, Ended::Done { changed } if changed > 5), "{ended:?}");
    let world = model.world();
    assert!(world.machines.iter().all(|machine| machine.module && machine.xen && !machine.metadata));
}

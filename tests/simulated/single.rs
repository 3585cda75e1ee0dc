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
fn a_fencing_device_of_another_agent_is_replaced_with_the_vms_running() {
    let (model, state) = (Model::new(&plan()), folder());
    run(&model, &model.plan, state.path(), None);
    let whole = model.world().cib;
    let device = |all: &mut std::collections::BTreeMap<String, Vec<String>>| {
        let all = all.get_mut("resources").unwrap();
        let device = all.iter_mut().find(|object| object.contains("id=\"fence-node1\"")).unwrap();
        assert!(device.contains("type=\"external/ipmi\""), "{device}");
        *device = device.replace("external/ipmi", "fence_apc").replacen(
            "<nvpair ",
            "<nvpair id=\"left\" name=\"plug\" value=\"3\"/><nvpair ",
            1,
        );
    };
    device(&mut model.world.lock().unwrap().cib);
    // Alone: what it is proved for comes with the step boot, for which the VMs would have to be moved.
    let (journal, _) = Journal::open(state.path(), "xencluster").unwrap();
    let (pair, cancel, sink) = (model.pair(), Cancel::default(), Mutex::new(journal));
    let ended = Engine::new(&pair, &sink, &cancel, String::new()).run(&model.plan, Some(&["stonith"])).unwrap();
    assert!(matches!(ended, Ended::Done { changed: 1 }), "{ended:?}");
    let text = |all: &std::collections::BTreeMap<String, Vec<String>>| {
        let words = all.values().flatten().flat_map(|object| object.split_whitespace());
        words.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(text(&model.world().cib), text(&whole), "nothing of the other one is left");
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

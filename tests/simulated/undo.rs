//! `hapair undo` on simulated nodes: everything that hapair wrote is gone, the data stay, and an install finds them again.

use hapair::command::undo::{prepared, todo};
use hapair::engine::Ended;
use hapair::exit;
use hapair::journal::Journal;
use hapair::undo::Undo;

use crate::kill::{matrix, run};
use crate::model::{Model, Unit, World};
use crate::{folder, plan};

fn names() -> [String; 2] {
    ["node1", "node2"].map(str::to_owned)
}

/// A pair that is installed, and its state folder.
fn installed() -> (Model, tempfile::TempDir) {
    let (model, state) = (Model::new(&plan()), folder());
    run(&model, &model.plan, state.path(), None);
    (model, state)
}

pub fn undo(model: &Model, state: &tempfile::TempDir, until: Option<&str>) -> Undo {
    let lines = Journal::read(state.path(), "xencluster").unwrap();
    prepared(&model.pair(), &model.plan, until, &names(), &lines).unwrap()
}

/// What may differ from a fresh pair: what is said to stay.
fn without_what_stays(world: &World) -> World {
    let mut world = world.clone();
    for machine in &mut world.machines {
        machine.packages.clear();
        machine.units.retain(|_, unit| *unit != Unit::default() && !unit.masked);
        machine.done.clear();
        (machine.key, machine.metadata, machine.xen, machine.module) = (false, false, false, false);
        machine.boots = 0;
        machine.left = false;
        machine.menu.clear();
        machine.adjusted.clear();
        machine.records.clear();
        machine.before.clear();
        machine.written.clear();
        // Empty, where there was none.
        machine.files.retain(|path, file| !path.starts_with("/root/.ssh/") || !file.bytes.is_empty());
        machine.units.remove("drbd.service");
    }
    World {
        synced: false,
        ocfs2: None,
        shared: std::collections::BTreeMap::default(),
        create_md: [0; 2],
        force: 0,
        mkfs: 0,
        reboots: [0; 2],
        ..world
    }
}

#[test]
fn taken_back_to_what_it_was_but_the_data_and_installed_again() {
    let fresh = Model::new(&plan()).world();
    let (model, state) = installed();
    let built = model.world();
    let undo = undo(&model, &state, None);
    let (ended, _) = run(&model, &undo.plan, state.path(), None);
    assert!(matches!(ended, Some(Ended::Done { changed }) if changed > 30), "{ended:?}");
    let world = model.world();
    for (is, was) in without_what_stays(&world).machines.iter().zip(&without_what_stays(&fresh).machines) {
        assert_eq!(is.files, was.files);
        assert_eq!(is, was);
    }
    assert!(world.cib.is_empty() && !world.machines.iter().any(|machine| machine.up || machine.mounted));
    // The data are where they were.
    assert_eq!((&world.shared, &world.ocfs2, world.synced), (&built.shared, &built.ocfs2, true));
    assert!(world.machines.iter().all(|machine| machine.metadata && machine.left));
    assert!(undo.left.iter().any(|line| line.contains("stay on /dev/sda3")), "{:?}", undo.left);
    // A second one has nothing to do.
    assert_eq!(run(&model, &undo.plan, state.path(), None).0, Some(Ended::Done { changed: 0 }));

    let (ended, _) = run(&model, &model.plan, state.path(), None);
    assert!(matches!(ended, Some(Ended::Done { .. })), "{ended:?}");
    let again = model.world();
    assert_eq!((again.create_md, again.force, again.mkfs), ([1, 1], 1, 1), "nothing was made over");
    assert_eq!((&again.cib, &again.shared), (&built.cib, &built.shared));
    for (is, was) in again.machines.iter().zip(&built.machines) {
        assert_eq!(is.files, was.files);
    }
}

/// A pair, made by an earlier install and taken back, in whose VM's folder somebody has put a configuration of their own.
fn with_theirs() -> (Model, tempfile::TempDir) {
    let (model, state) = installed();
    run(&model, &undo(&model, &state, None).plan, state.path(), None);
    put(&model, "theirs\n");
    (model, state)
}

fn put(model: &Model, text: &str) {
    model.world.lock().unwrap().shared.get_mut(CONFIG).unwrap().bytes = text.into();
}

const CONFIG: &str = "/drbd0/xen/vm01/vm01.cfg";

#[test]
fn what_stood_on_the_shared_mount_is_put_back_before_that_goes_and_what_hapair_made_stays() {
    let (model, state) = with_theirs();
    let theirs = model.world().shared;
    for _ in 0..2 {
        run(&model, &model.plan, state.path(), None);
        assert_ne!(model.world().shared[CONFIG], theirs[CONFIG]);
        let undo = undo(&model, &state, None);
        let todo = todo(&model.pair(), &undo.plan).unwrap();
        let back: Vec<_> = todo.iter().filter(|(_, line)| line.contains("/drbd0/xen/")).collect();
        assert_eq!(back, [&("vms".to_owned(), format!("node1: put back what stood at {CONFIG} before"))]);
        run(&model, &undo.plan, state.path(), None);
        let world = model.world();
        assert_eq!(world.shared, theirs);
        assert!(world.machines.iter().all(|machine| !machine.mounted && !machine.before.contains_key(CONFIG)));
    }
}

#[test]
fn killed_at_every_event_it_puts_back_what_stood_on_the_shared_mount() {
    let (model, state) = with_theirs();
    run(&model, &model.plan, state.path(), None);
    let line = matrix(&model, &undo(&model, &state, Some("vms")).plan);
    println!("kill matrix of undo with a file of somebody's on the shared mount: {line}");
}

#[test]
fn without_the_shared_mount_what_stood_there_is_left_and_told() {
    let (model, state) = with_theirs();
    run(&model, &model.plan, state.path(), None);
    model.world.lock().unwrap().machines[0].mounted = false;
    let left = undo(&model, &state, None).left;
    let told = format!("/drbd0 is not mounted on node1, so {CONFIG} stays; what stood there before is in");
    assert!(left.iter().any(|line| line.starts_with(&told)), "{left:?}");
    model.world.lock().unwrap().machines[0].mounted = true;
    put(&model, "mine now\n");
    let undo = undo(&model, &state, None);
    assert!(
        undo.left.iter().any(|line| line.starts_with(&format!("{CONFIG} on node1 was changed"))),
        "{:?}",
        undo.left
    );
    run(&model, &undo.plan, state.path(), None);
    assert_eq!(model.world().shared[CONFIG].bytes, b"mine now\n");
}

#[test]
fn killed_at_every_event_it_goes_on() {
    let (model, state) = installed();
    let line = matrix(&model, &undo(&model, &state, None).plan);
    println!("kill matrix of undo on simulated nodes: {line}");
}

#[test]
fn until_a_step_leaves_the_earlier_ones() {
    let (model, state) = installed();
    let undo = undo(&model, &state, Some("vms"));
    let steps: Vec<&str> = undo.plan.steps.iter().map(|step| step.step.id.as_str()).collect();
    assert_eq!(steps, ["vms"]);
    assert!(!model.world().machines[0].left);
    run(&model, &undo.plan, state.path(), None);
    let world = model.world();
    assert!(world.machines.iter().all(|machine| machine.mounted && machine.primary));
    assert!(!world.cib["resources"].concat().contains("\"vm01\""));
    assert!(world.cib["resources"].concat().contains("drbd-r0-clone"));
}

#[test]
fn a_cluster_that_is_down_is_not_taken_for_an_empty_one() {
    let (model, state) = installed();
    for machine in &mut model.world.lock().unwrap().machines {
        machine.units.get_mut("pacemaker.service").unwrap().active = false;
    }
    let failure = todo(&model.pair(), &undo(&model, &state, Some("vms")).plan).unwrap_err();
    assert_eq!((failure.exit, failure.node.as_deref()), (exit::PREFLIGHT, Some("node1")));
    assert!(failure.what.contains("the VM vm01") && failure.what.contains("does not run"), "{}", failure.what);
    assert!(failure.next.contains("systemctl start"), "{}", failure.next);
    // Where the cluster goes with all that is in it nobody has to see that.
    let all = undo(&model, &state, None);
    assert!(todo(&model.pair(), &all.plan).unwrap().iter().any(|(step, _)| step == "messaging"));
}

#[test]
fn a_cluster_that_runs_on_the_second_node_alone_is_emptied_there() {
    let (model, state) = installed();
    model.world.lock().unwrap().machines[0].units.get_mut("pacemaker.service").unwrap().active = false;
    let undo = undo(&model, &state, Some("vms"));
    let todo = todo(&model.pair(), &undo.plan).unwrap();
    assert!(todo.iter().any(|(step, line)| step == "vms" && line.starts_with("node2: take")), "{todo:?}");
    let (ended, events) = run(&model, &undo.plan, state.path(), None);
    assert!(matches!(ended, Some(Ended::Done { .. })), "{events:?}");
    let world = model.world();
    assert!(!world.cib["resources"].concat().contains("\"vm01\""));
    assert!(world.cib["resources"].concat().contains("drbd-r0-clone"));
}

#[test]
fn a_key_that_can_not_be_told_is_left_and_told() {
    let (model, state) = installed();
    model.world.lock().unwrap().machines[0].key = false;
    let told = |until| {
        let left = undo(&model, &state, until).left;
        left.iter().any(|line| line.contains("root@node1 stays in /root/.ssh/authorized_keys on node2"))
    };
    assert!(told(None));
    assert!(!told(Some("vms")), "that step is not taken back");
}

#[test]
fn what_somebody_changed_since_is_left_and_told() {
    let (model, state) = installed();
    model.world.lock().unwrap().machines[1].put("/etc/ocfs2/cluster.conf", b"mine now\n");
    model.world.lock().unwrap().machines[0].files.get_mut("/etc/hosts").unwrap().bytes.extend(b"10.0.0.9\tprinter\n");
    let undo = undo(&model, &state, None);
    assert!(
        undo.left.iter().any(|line| line.contains("/etc/ocfs2/cluster.conf on node2 was changed")),
        "{:?}",
        undo.left
    );
    run(&model, &undo.plan, state.path(), None);
    let world = model.world();
    assert_eq!(world.machines[1].text("/etc/ocfs2/cluster.conf"), "mine now\n");
    assert!(!world.machines[0].files.contains_key("/etc/ocfs2/cluster.conf"));
    // Of a file that others write too only hapair's lines go.
    let hosts = world.machines[0].text("/etc/hosts");
    assert!(hosts.contains("printer") && !hosts.contains("10.0.0.2"), "{hosts}");
}

#[test]
fn a_workstation_that_took_over_takes_the_cluster_back_too() {
    let (model, _) = installed();
    let elsewhere = folder();
    let undo = undo(&model, &elsewhere, None);
    let (ended, _) = run(&model, &undo.plan, elsewhere.path(), None);
    assert!(matches!(ended, Some(Ended::Done { changed }) if changed > 30), "{ended:?}");
    let world = model.world();
    assert!(world.cib.is_empty());
    for machine in &world.machines {
        assert!(!machine.active("corosync.service") && !machine.active("pacemaker.service") && !machine.up);
    }
}

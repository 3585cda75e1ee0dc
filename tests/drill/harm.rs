//! Harm on the played pair: a node that ends, a cut of everything, a VM that is killed.

use std::sync::Arc;
use std::time::Duration;

use hapair::drill::hand::Plug;
use hapair::drill::run::Stop;
use hapair::drill::unfinished::Unfinished;
use hapair::drill::{Outcome, Part, Verdict};

use crate::model::Stage;

fn done(stage: &Stage, part: Part) -> Outcome {
    let mut kept = Unfinished::new();
    stage.drill(|drill| drill.all(&[part], &mut kept)).unwrap();
    kept.outcomes.remove(0)
}

#[test]
fn a_power_cut_is_over_when_that_node_has_booted_anew() {
    let outcome = done(&Stage::new(), Part::Power);
    assert_eq!(outcome.verdict, Verdict::Passed, "{outcome:?}");
    assert_eq!(outcome.booted, ["node1"]);
    assert_eq!(outcome.served_by, ["node1", "node2"]);
    assert!(outcome.story.iter().any(|moment| moment.lane == "node1" && moment.state.contains("UNCLEAN")));
}

#[test]
fn a_cut_of_everything_ends_in_fencing_and_a_split_brain_is_never_passed_even_when_it_was_mended_by_then() {
    let cut = |writes_apart: bool, by_hand: bool| {
        let mut stage = Stage::new();
        stage.means.fencing_apart = Ok(());
        stage.model.lock().unwrap().writes_apart = writes_apart;
        stage.pulled = by_hand.then(Arc::default);
        let outcome = done(&stage, Part::BothLinks);
        (outcome, stage)
    };
    // It takes a minute: all at once.
    let [(fenced, _), (split, _), (pulled, stage)] = std::thread::scope(|scope| {
        [(false, false), (true, false), (false, true)]
            .map(|(apart, by_hand)| scope.spawn(move || cut(apart, by_hand)))
            .map(|thread| thread.join().unwrap())
    });
    // A hand at the machines takes the place of the command, and puts in again what it pulled.
    assert_eq!(pulled.verdict, Verdict::Passed, "{pulled:?}");
    assert_eq!(pulled.booted, ["node1"]);
    let typed: Vec<&str> = pulled.commands.iter().map(|done| done.command.as_str()).collect();
    assert_eq!(typed, ["the cables of both links are pulled by hand"]);
    assert!(stage.written().iter().all(|line| !line.ends_with(": cut")), "{:?}", stage.written());
    let hand = [(Plug::Links, false), (Plug::Links, true), (Plug::Bmcs, true)];
    assert_eq!(*stage.pulled.unwrap().lock().unwrap(), hand);
    assert_eq!(fenced.verdict, Verdict::Passed, "{fenced:?}");
    assert_eq!(fenced.booted, ["node1"]);
    let Verdict::Failed(why) = &split.verdict else { panic!("{split:?}") };
    assert_eq!(why, &["split brain: both sides have written apart"]);
    assert_eq!((split.booted, split.lost), (vec!["node1".to_owned()], 0));
}

#[test]
fn a_vm_that_is_killed_has_to_be_started_again_before_anything_else_is() {
    let stage = Stage::new();
    let (cancel, model) = (stage.cancel.clone(), Arc::clone(&stage.model));
    let mut kept = Unfinished::new();
    let (ended, starts) = stage.drill(|drill| {
        std::thread::scope(|scope| {
            let next = scope.spawn(|| {
                loop {
                    let model = model.lock().unwrap();
                    if model.written.iter().any(|line| line.ends_with("kill a daemon")) {
                        cancel.request();
                        return model.vm_starts;
                    }
                    drop(model);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let ended = drill.all(&[Part::Kill], &mut kept);
            (ended, next.join().unwrap())
        })
    });
    assert!(matches!(ended, Err(Stop::Interrupted)), "{ended:?}");
    assert_eq!(starts, 2);
    let killed: Vec<String> = stage.written().into_iter().filter(|line| line.contains(": kill")).collect();
    // The VM where it runs, the rest where the counter does.
    assert_eq!(killed, ["node1: kill the counter", "node2: kill the VM", "node1: kill a daemon"]);
}

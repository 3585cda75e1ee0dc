//! A drill on a pair that is played: what is ordered in which order, what is judged, what is taken back.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod command;
mod harm;
mod model;

use std::sync::Arc;

use hapair::drill::run::Stop;
use hapair::drill::unfinished::Unfinished;
use hapair::drill::{Part, Verdict};
use hapair::event::Event;

use model::Stage;

#[test]
fn a_standby_is_measured_and_taken_back_and_what_can_not_be_done_is_skipped() {
    let stage = Stage::new();
    let mut kept = Unfinished::new();
    let done = stage.drill(|drill| drill.all(&[Part::Standby, Part::BothLinks], &mut kept));
    assert!(done.is_ok(), "{done:?}");
    let standby = &kept.outcomes[0];
    assert_eq!(standby.verdict, Verdict::Passed, "{standby:?}");
    assert_eq!(standby.served_by, ["node1", "node2"]);
    assert_eq!((standby.lost, standby.booted.len()), (0, 0));
    assert!(standby.acknowledged > 20, "{standby:?}");
    assert!(standby.redundant_after.is_some_and(|seconds| seconds < 30.0));
    assert!(standby.story.iter().any(|moment| moment.lane == "node1" && moment.state == "standby"));
    assert_eq!(kept.outcomes[1].verdict, Verdict::Skipped("over the links".to_owned()));
    // The switch of a dead man before the harm, and everything mended behind it.
    let written = stage.written();
    let from = written.iter().position(|line| line == "node1: start the counter").unwrap();
    let back = ["node1: unlink", "node2: unlink", "node1: mend", "node2: mend", "node1: unban"];
    let expected = [["node1: timer", "node1: standby"].as_slice(), &back].concat();
    assert_eq!(written[from + 1..], expected, "{written:?}");
    assert_eq!(Unfinished::of(&stage.setup.state).unwrap().unwrap().running, None);
}

#[test]
fn a_move_goes_there_and_back() {
    let stage = Stage::new();
    let mut kept = Unfinished::new();
    stage.drill(|drill| drill.all(&[Part::Migrate], &mut kept)).unwrap();
    assert_eq!(kept.outcomes[0].verdict, Verdict::Passed, "{:?}", kept.outcomes[0]);
    assert_eq!(kept.outcomes[0].served_by, ["node1", "node2", "node1"]);
    // The VM was on the other node than the counter: it goes the other way, and comes back too.
    let vm = kept.outcomes[0].story.iter().filter(|moment| moment.lane == "vm01");
    assert_eq!(vm.map(|moment| moment.state.as_str()).collect::<Vec<_>>(), ["node2", "node1", "node2"]);
    let how = "stopped and started again";
    let moved = [format!("vm01 from node2 to node1: {how}"), format!("vm01 from node1 to node2: {how}")];
    assert_eq!(kept.outcomes[0].moved, moved);
}

#[test]
fn a_vm_that_could_move_live_and_was_stopped_instead_has_not_passed() {
    let moved = |live: bool| {
        let mut stage = Stage::new();
        stage.means.live = true;
        stage.model.lock().unwrap().live = live;
        let mut kept = Unfinished::new();
        stage.drill(|drill| drill.all(&[Part::Migrate], &mut kept)).unwrap();
        kept.outcomes.remove(0)
    };
    let [live, stopped] = std::thread::scope(|scope| {
        [true, false].map(|live| scope.spawn(move || moved(live))).map(|thread| thread.join().unwrap())
    });
    assert_eq!(live.verdict, Verdict::Passed, "{live:?}");
    assert_eq!(live.moved, ["vm01 from node2 to node1: live", "vm01 from node1 to node2: live"]);
    assert!(live.lines().contains(&"  moved: vm01 from node2 to node1: live".to_owned()));
    let Verdict::Failed(why) = &stopped.verdict else { panic!("{stopped:?}") };
    assert!(why[0].contains("vm01 did not move live from node2 to node1: it was stopped"), "{why:?}");
    // It came back all the same.
    assert!(why.len() == 2 && why[1].contains("from node1 to node2"), "{why:?}");
    assert_eq!(stopped.served_by, ["node1", "node2", "node1"]);
}

#[test]
fn a_write_that_was_acknowledged_and_is_gone_ends_the_drill() {
    let stage = Stage::new();
    stage.model.lock().unwrap().swallowed = vec![7, 8];
    let mut kept = Unfinished::new();
    let ended = stage.drill(|drill| drill.all(&[Part::Standby, Part::DiskError], &mut kept));
    let Err(Stop::Failed(failure)) = ended else { panic!("{ended:?}") };
    assert!(failure.what.contains("lost"), "{failure}");
    assert_eq!(kept.outcomes.len(), 1, "nothing more is harmed");
    assert_eq!(kept.outcomes[0].lost, 2);
    let Verdict::Failed(why) = &kept.outcomes[0].verdict else { panic!("{:?}", kept.outcomes[0]) };
    assert!(why[0].contains("2 writes") && why[1].starts_with("lost: 7 to 8 of node"), "{why:?}");
    assert!(why[2].starts_with("on disk: 0 to 0 of node"), "{why:?}");
    let file = why[3].split(" are kept in ").nth(1).expect("a file");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("== node1 $ cat ") && text.contains("== node2 $ dmesg\n"), "{text}");
}

#[test]
fn what_a_killed_drill_left_is_taken_back_before_anything_else() {
    let stage = Stage::new();
    stage.model.lock().unwrap().standby = Some(1);
    let mut kept = Unfinished { running: Some(Part::Standby), ..Unfinished::new() };
    // The pair has no counter then; it is mended without one.
    let restored = stage.drill(|drill| drill.restore(&mut kept));
    assert!(restored.is_ok(), "{restored:?}");
    assert_eq!(kept.running, None);
    assert_eq!(stage.model.lock().unwrap().standby, None);
    assert_eq!(stage.written(), ["node1: unlink", "node2: unlink", "node1: mend", "node2: mend", "node1: unban"]);
    let events = stage.events.lock().unwrap();
    let said = |what: &str| events.iter().any(|event| matches!(event, Event::Note { text } if text.contains(what)));
    assert!(said("taken back first") && said("out of standby again"), "{events:?}");
}

#[test]
fn what_a_pair_can_do_is_judged_when_a_killed_drill_is_taken_back() {
    let mut stage = Stage::new();
    let down = Err("no fencing device runs on node1".to_owned());
    (stage.means.fencing, stage.means.fencing_apart) = (down.clone(), down);
    stage.model.lock().unwrap().device_down = true;
    let mut kept = Unfinished { running: Some(Part::Panic), ..Unfinished::new() };
    let means = stage.drill(|drill| {
        assert!(Part::Power.refused(&drill.means).is_some());
        drill.restore(&mut kept).unwrap();
        drill.means.clone()
    });
    assert_eq!((means.fencing, means.fencing_apart), (Ok(()), Ok(())));
    assert_eq!(means.bmcs, ["10.9.0.1", "10.9.0.2"]);
}

#[test]
fn what_the_cluster_only_remembers_is_forgotten() {
    let stage = Stage::new();
    {
        let mut model = stage.model.lock().unwrap();
        (model.unfenced, model.forbidden) = (true, true);
    }
    let mut kept = Unfinished { running: Some(Part::FencingDead), ..Unfinished::new() };
    let restored = stage.drill(|drill| drill.restore(&mut kept));
    assert!(restored.is_ok(), "{restored:?}");
    let written = stage.written();
    // The constraint first: while it is there the pair is not well, and nothing is only a memory.
    assert_eq!(written[5..], ["node1: lift", "node1: forget"], "{written:?}");
}

#[test]
fn cut_links_come_back_on_a_node_that_answers_while_the_other_one_does_not() {
    let stage = Stage::new();
    stage.model.lock().unwrap().gone[1] = 6.0;
    let mut kept = Unfinished { running: Some(Part::FencingDead), ..Unfinished::new() };
    let restored = stage.drill(|drill| drill.restore(&mut kept));
    assert!(restored.is_ok(), "{restored:?}");
    let written = stage.written();
    // Once at once, and once more when the other one answers.
    assert_eq!(written[..4], ["node1: unlink", "node1: unlink", "node2: unlink", "node1: mend"], "{written:?}");
}

#[test]
fn ctrl_c_takes_everything_back() {
    let stage = Stage::new();
    let mut kept = Unfinished::new();
    let cancel = stage.cancel.clone();
    let model = Arc::clone(&stage.model);
    let ended = stage.drill(|drill| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while model.lock().unwrap().standby.is_none() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                cancel.request();
            });
            let ended = drill.all(&[Part::Standby], &mut kept);
            drill.leave().unwrap();
            ended
        })
    });
    assert!(matches!(ended, Err(Stop::Interrupted)), "{ended:?}");
    assert_eq!(kept.running, Some(Part::Standby), "until it is known to be taken back");
    let model = stage.model.lock().unwrap();
    assert!(model.standby.is_none() && !model.counter);
    assert!(kept.outcomes.is_empty());
}

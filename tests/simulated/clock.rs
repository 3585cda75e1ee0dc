//! A clock that jumps: by hours, backwards and forwards, between any two events. Nothing is decided by the time of day.

use std::path::Path;

use hapair::engine::Ended;
use hapair::event::Event;
use hapair::journal::{self, Journal};

use crate::kill::{Hit, run};
use crate::model::Model;
use crate::undo::undo;
use crate::{folder, plan};

/// Writes a journal as a workstation would have whose clock jumps by hours from line to line, to and fro and back to 1970.
fn jumping(state: &Path) {
    let lines = Journal::read(state, "xencluster").unwrap();
    // The first format, since it has no checksums; a run that opens it makes the newest of it.
    let mut text = "{\"hapair-journal\":1,\"cluster\":\"xencluster\"}\n".to_owned();
    for (index, mut line) in lines.into_iter().enumerate() {
        let hours = [0, -7, 30, -1, 500_000][index % 5];
        line.time = if hours == 500_000 {
            jiff::Timestamp::UNIX_EPOCH
        } else {
            line.time + jiff::SignedDuration::from_hours(hours)
        };
        text.push_str(&format!("{}\n", serde_json::to_string(&line).unwrap()));
    }
    std::fs::write(state.join("journal.jsonl"), text).unwrap();
}

#[test]
fn an_install_goes_on_and_is_taken_back_whatever_the_journals_times_say() {
    let (wanted, events) = {
        let (model, state) = (Model::new(&plan()), folder());
        let (_, events) = run(&model, &model.plan, state.path(), None);
        (model.world(), events)
    };
    let (model, state) = (Model::new(&plan()), folder());
    for at in [events / 3, events / 4, events / 5] {
        run(&model, &model.plan, state.path(), Some((at, Hit::After)));
        let before = Journal::read(state.path(), "xencluster").unwrap();
        jumping(state.path());
        let after = Journal::read(state.path(), "xencluster").unwrap();
        let told = |lines: &[journal::Line]| lines.iter().map(|line| line.event.clone()).collect::<Vec<Event>>();
        assert_eq!(told(&after), told(&before), "their order is that of the lines");
        assert_eq!(journal::unfinished(&after), journal::unfinished(&before));
    }
    let (ended, _) = run(&model, &model.plan, state.path(), None);
    assert!(matches!(ended, Some(Ended::Done { .. })), "{ended:?}");
    assert!(model.world() == wanted, "another end state");
    // What a run began, and so what `undo` may stop, is in the journal alone.
    let other = model.copy();
    run(&other, &undo(&model, &state, None).plan, folder().path(), None);
    jumping(state.path());
    let (ended, _) = run(&model, &undo(&model, &state, None).plan, state.path(), None);
    assert!(matches!(ended, Some(Ended::Done { changed }) if changed > 30), "{ended:?}");
    assert!(model.world() == other.world(), "something else was taken back");
}

/// On a node what takes time is counted from its boot. The time of day is only told, or held against that of a file.
#[test]
fn no_script_for_a_node_counts_by_the_time_of_day() {
    let mut scripts = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "sh") {
                scripts.push(path);
            }
        }
    }
    assert!(scripts.len() > 15, "{scripts:?}");
    for path in scripts {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| line.contains("date +%s") || line.contains("EPOCHSECONDS")) {
            assert!(line.contains("now - $(date +%s) + ${last:-0}"), "{}: {line}", path.display());
        }
    }
}

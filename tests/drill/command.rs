//! `hapair drill` as a script sees it: what it refuses, its exit codes, its JSON lines. In a process of its own, on a played
//! pair.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stderr)]

use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::time::Duration;

use hapair::answers::FencingMethod;
use hapair::command::drill::{Options, on};
use hapair::drill::hand::Nobody;
use hapair::drill::unfinished::Unfinished;
use hapair::drill::{Outcome, Part};
use hapair::event::Failure;
use hapair::journal::Journal;
use hapair::report::Format;
use hapair::secrets::Secrets;
use serde_json::Value;

use crate::model::Stage;

const SCENE: &str = "HAPAIR_TEST_SCENE";

/// A drill in a process of its own; see below.
#[test]
#[ignore = "only as the child of the other tests here"]
fn child_that_drills() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    // One that should have been refused waits for an hour, and for nobody when the other tests are ended.
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(300));
        std::process::exit(99);
    });
    let resumed = scene == "resumed";
    let stage = Stage::with(|answers| {
        // Fencing by SSH can't answer a cut of both links.
        if !resumed {
            answers.fencing.method = FencingMethod::Ssh;
        }
    });
    let setup = &stage.setup;
    let mut confirm = Some("xencluster".to_owned());
    match scene.as_str() {
        "unhealthy" => stage.model.lock().unwrap().standby = Some(1),
        "drifted" => hapair::state::keep(&setup.state, "secrets.json", &Secrets::placeholders()).unwrap(),
        "nobody consents" => confirm = None,
        "another cluster" => confirm = Some("webcluster".to_owned()),
        "resumed" => {
            stage.model.lock().unwrap().device_down = true;
            let outcomes = vec![Outcome::skipped(Part::Power, "no fencing device runs on node1")];
            let kept = Unfinished { running: Some(Part::Panic), outcomes, ..Unfinished::new() };
            kept.keep(&setup.state).unwrap();
        }
        _ => {}
    }
    let hand = RefCell::new(Nobody);
    let options = Options {
        only: if resumed { &[Part::Power] } else { &[Part::BothLinks, Part::Standby] },
        report: None,
        confirm,
        format: Format::Json,
        cancel: &stage.cancel,
        resume: "hapair drill --answers pair.yaml".to_owned(),
        ground: None,
        hand: &hand,
    };
    let (journal, _) = Journal::open(&setup.state, &setup.answers.cluster).unwrap();
    let code = on(setup, &stage.pair, journal, &options).unwrap_or_else(|error| {
        eprintln!("{error}");
        error.downcast_ref::<Failure>().unwrap().exit
    });
    eprintln!("written: {}", stage.model.lock().unwrap().written.len());
    std::process::exit(i32::from(code));
}

/// Exit code, what was said on stdout and on stderr.
fn drill(scene: &str) -> (i32, String, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "command::child_that_drills"])
        .env(SCENE, scene)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_pair_that_is_not_healthy_or_not_as_the_answers_say_is_refused_untouched() {
    for (scene, words) in [
        ("unhealthy", "the pair is not healthy, and a drill would harm it further: node2 is in standby"),
        ("drifted", "the pair is not as the answers say: "),
    ] {
        let (code, out, err) = drill(scene);
        assert_eq!(code, 4, "{scene}: {err}");
        assert!(err.contains(words) && err.contains("written: 0"), "{scene}: {err}");
        assert!(!out.contains('{'), "{out}");
    }
}

#[test]
fn without_consent_nothing_is_done_and_everything_was_shown() {
    for (scene, words) in
        [("nobody consents", "consent with --confirm xencluster"), ("another cluster", "this cluster is xencluster")]
    {
        let (code, out, err) = drill(scene);
        assert_eq!(code, 2, "{scene}: {err}");
        assert!(err.contains(words) && err.contains("written: 0"), "{scene}: {err}");
        assert!(
            err.contains("crm_standby -v on -N node1 -l reboot") && err.contains("skipped: fencing is by SSH"),
            "{err}"
        );
        assert!(!out.contains('{'), "{out}");
    }
}

/// The last of the JSON lines, and what each part gave.
fn last(out: &str) -> (Value, Vec<(String, String)>) {
    let lines = out.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.iter().filter(|event| event["event"] == "drill-done").count(), 1);
    let last = events.last().unwrap().clone();
    let word = |part: &Value, key: &str| part[key].as_str().unwrap().to_owned();
    let parts = last["parts"].as_array().unwrap().iter();
    let results = parts.map(|part| (word(part, "part"), word(part, "result"))).collect();
    (last, results)
}

#[test]
fn a_drill_that_goes_on_skips_nothing_for_what_was_down_until_it_was_taken_back() {
    let (code, out, err) = drill("resumed");
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("was ended in panic: what it did is taken back first") && !err.contains("skipped:"), "{err}");
    let (last, results) = last(&out);
    assert_eq!((last["event"].as_str(), last["passed"].as_bool()), (Some("drill-done"), Some(true)), "{last}");
    assert_eq!(results, [("power".to_owned(), "passed".to_owned())]);
}

#[test]
fn a_skipped_part_is_exit_1_and_the_last_line_says_what_each_part_gave() {
    let (code, out, err) = drill("consent");
    assert_eq!(code, 1, "{err}");
    let (last, results) = last(&out);
    assert_eq!((last["event"].as_str(), last["passed"].as_bool()), (Some("drill-done"), Some(false)), "{last}");
    let words = |part: &str, result: &str| (part.to_owned(), result.to_owned());
    assert_eq!(results, [words("standby", "passed"), words("both-links", "skipped")]);
}

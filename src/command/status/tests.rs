use std::sync::Arc;

use super::*;
use crate::node::scripted::{Scripted, says};
use crate::node::{Cmd, Lost, Node, ReadOnly};
use crate::setup::Places;
use crate::status::node::NodeStatus;
use crate::status::tests::{CIB, GOOD, MOUNTS, answers, node, proved, view};

fn setup(state: &std::path::Path) -> Setup {
    Setup::of(answers(), Places { state_dir: Some(state.to_owned()), ..Places::default() }).unwrap()
}

fn shown(setup: &Setup, nodes: [Result<NodeStatus, Lost>; 2], drift: Drift) -> Shown<'_> {
    let standing = Standing::of(&setup.answers, nodes);
    Shown { setup, standing, drift, checkpoints: checkpoints::all(setup).unwrap() }
}

fn sound() -> NodeStatus {
    node(GOOD, MOUNTS)
}

/// Exit code, text and JSON.
fn told(shown: &Shown<'_>) -> (u8, String, serde_json::Value) {
    (shown.code(), render(shown, false), serde_json::from_str(&render(shown, true)).unwrap())
}

#[test]
fn a_healthy_pair_is_exit_code_0() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let (code, text, json) = told(&shown(&setup, [Ok(sound()), Ok(sound())], Drift::Found(Vec::new())));
    assert_eq!(code, exit::DONE);
    assert!(text.starts_with(&format!("{}: healthy\n", setup.answers.cluster)), "{text}");
    assert!(text.contains("UpToDate") && !text.contains("Not as it must be"), "{text}");
    assert_eq!((&json["healthy"], json["troubles"].as_array().unwrap().len()), (&true.into(), 0));
    assert_eq!(json["nodes"][1]["drbd"]["disk"], "UpToDate");
    // What could not be looked at is no finding.
    let (code, ..) = told(&shown(&setup, [Ok(sound()), Ok(sound())], Drift::NotLooked("no secrets".into())));
    assert_eq!(code, exit::DONE);
}

#[test]
fn a_trouble_is_exit_code_1_with_its_commands_and_their_risk() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let sick = || {
        let mut node = node(GOOD, MOUNTS);
        let mut view = view();
        view.nodes[1].standby = true;
        node.cluster = Ok(view);
        Ok(node)
    };
    let (code, text, json) = told(&shown(&setup, [sick(), sick()], Drift::Found(Vec::new())));
    assert_eq!(code, exit::STEP_FAILED);
    assert!(text.contains("degraded, 1 thing is not as it must be"), "{text}");
    for part in ["1. node2 is in standby", "[node-standby]", "on either node: crm_standby -D -N node2", "risk: none"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(json["healthy"], false);
    assert_eq!(json["troubles"][0]["name"], "node-standby");
    assert_eq!(json["troubles"][0]["mend"][0]["command"], "crm_standby -D -N node2");
}

#[test]
fn what_differs_from_the_answers_is_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let drift = Drift::Found(vec!["messaging, node1: write /etc/corosync/corosync.conf".to_owned()]);
    let (code, text, json) = told(&shown(&setup, [Ok(sound()), Ok(sound())], drift));
    assert_eq!(code, exit::STEP_FAILED);
    assert!(text.contains("works, but is not as the answers say") && text.contains("corosync.conf"), "{text}");
    assert_eq!(json["healthy"], false);
    assert_eq!(json["drift"]["found"][0], "messaging, node1: write /etc/corosync/corosync.conf");
}

/// A node that is asked over its transport, as the command does it; or one that does not answer.
fn asked(name: &str, answers_: bool) -> Node {
    let scripted = Scripted::new(move |cmd: &Cmd| {
        if !answers_ {
            return Err(Lost::Unreachable("no route to host".to_owned()));
        }
        let line = cmd.argv.join(" ");
        let texts = [
            ("crm_mon", include_str!("../../../tests/crm_mon/running.xml").to_owned()),
            ("cat /proc/mounts", MOUNTS.to_owned()),
            ("cibadmin", CIB.to_owned()),
            ("drbdadm get-gi", GOOD.to_owned()),
            ("fencing", proved(CIB)),
        ];
        Ok(says(texts.into_iter().find(|(marker, _)| line.contains(marker)).map(|(_, text)| text).unwrap_or_default()))
    });
    Node { name: name.to_owned(), transport: Arc::new(ReadOnly(Arc::new(scripted))) }
}

#[test]
fn with_one_node_gone_the_other_is_shown_and_the_exit_code_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    for (gone, left) in [("node1", "node2"), ("node2", "node1")] {
        let pair = Pair([asked("node1", gone != "node1"), asked("node2", gone != "node2")]);
        let shown = on(&setup, &pair).unwrap();
        let (code, text, json) = told(&shown);
        assert_eq!(code, exit::STEP_FAILED);
        assert!(text.contains(&format!("{gone} can't be asked: ")) && text.contains("no route to host"), "{text}");
        assert!(text.contains("[node-unreachable]") && text.contains("Primary, UpToDate"), "{text}");
        let nodes = json["nodes"].as_array().unwrap();
        for node in nodes {
            assert_eq!(node["reachable"], node["name"] == left, "{node}");
        }
        // The cluster is told by the one that is left.
        assert_eq!(json["pacemaker"]["quorum"], true);
        assert_eq!(shown.drift, Drift::NotLooked("a node can't be asked".to_owned()));
    }
}

#[test]
fn with_both_gone_the_exit_code_is_5() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let (code, text, json) = told(&on(&setup, &Pair([asked("node1", false), asked("node2", false)])).unwrap());
    assert_eq!(code, exit::UNREACHABLE);
    assert!(text.contains("neither node can be asked"), "{text}");
    assert_eq!((&json["healthy"], &json["pacemaker"]), (&false.into(), &serde_json::Value::Null));
}

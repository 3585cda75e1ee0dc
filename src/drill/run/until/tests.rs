use super::*;
use crate::answers::load::{Secrets, text};
use crate::cluster::ClusterView;
use crate::node::Output;
use crate::status::Standing;
use crate::status::node::{NodeStatus, reads};

fn answers() -> Answers {
    let file = include_str!("../../../../tests/examples/tutorial.yaml");
    let here = std::path::Path::new("pair.yaml");
    text(file, here, here, &|_| None, Secrets::Leave).unwrap().answers
}

/// A node's view of the cluster: the VM in this role on this node, its peer unclean or not, what brought the VM up and when.
fn view(role: &str, on: Option<&str>, unclean: Option<&str>, history: &[(&str, &str, &str)]) -> ClusterView {
    let node = |name: &str| {
        let lost = unclean == Some(name);
        format!("<node name=\"{name}\" online=\"{}\" unclean=\"{lost}\"/>", !lost)
    };
    let place = on.map(|on| format!("<node name=\"{on}\"/>")).unwrap_or_default();
    let history: String = history
        .iter()
        .map(|(on, task, when)| {
            format!(
                "<node name=\"{on}\"><resource_history id=\"vm01\"><operation_history task=\"{task}\" rc_text=\"ok\" \
                 last-rc-change=\"{when}\"/></resource_history></node>"
            )
        })
        .collect();
    ClusterView::parse(&format!(
        "<pacemaker-result><summary><current_dc present=\"true\" name=\"node1\" with_quorum=\"true\"/>\
         <cluster_options stonith-enabled=\"true\"/></summary><nodes>{}{}</nodes><resources><resource id=\"vm01\" \
         role=\"{role}\" managed=\"true\" failed=\"false\" blocked=\"false\">{place}</resource></resources><node_history>\
         {history}</node_history></pacemaker-result>",
        node("node1"),
        node("node2")
    ))
    .unwrap()
}

/// The pair as each node sees it, 100 s after the beginning, when a write of the counter was acknowledged this long ago.
fn now(views: [ClusterView; 2], silence: f64) -> Now {
    let answers = answers();
    let outputs = vec![Output::default(); reads(&answers).len()];
    let nodes = views.map(|view| {
        let cluster = Ok(view);
        Ok(NodeStatus { cluster, ..NodeStatus::of(&answers, &outputs).unwrap() })
    });
    Now {
        at: 100.0,
        heard: [Some(99.0); 2],
        standing: Some(Standing::of(&answers, nodes)),
        healthy_since: None,
        boot_ids: [Some("a".to_owned()), Some("b".to_owned())],
        acknowledged: Some((100.0 - silence, At::First)),
    }
}

fn seen(role: &str, on: &str, history: &[(&str, &str, &str)]) -> Now {
    now([view(role, Some(on), None, history), view(role, Some(on), None, history)], 0.1)
}

#[test]
fn a_node_has_booted_anew_when_it_says_another_boot_and_not_while_it_says_nothing() {
    let before = seen("Started", "node1", &[]);
    let with = |boot: Option<&str>| Now { boot_ids: [boot.map(str::to_owned), Some("b".to_owned())], ..before.clone() };
    assert!(!booted_anew(&before, &with(Some("a")), At::First));
    assert!(!booted_anew(&before, &with(None), At::First));
    assert!(booted_anew(&before, &with(Some("c")), At::First));
    assert!(!booted_anew(&before, &with(Some("c")), At::Second));
}

#[test]
fn the_service_does_not_go_on_while_a_node_is_to_be_fenced_or_nothing_is_acknowledged() {
    let healthy = || view("Started", Some("node1"), None, &[]);
    assert!(goes_on(&now([healthy(), healthy()], 0.1)));
    assert!(!goes_on(&now([healthy(), healthy()], 2.5)));
    let unclean = view("Started", Some("node1"), Some("node2"), &[]);
    assert!(!goes_on(&now([unclean, healthy()], 0.1)));
}

#[test]
fn a_killed_vm_runs_again_only_when_it_was_started_since() {
    let answers = answers();
    let before = seen("Started", "node2", &[("node2", "start", "Sat 10:00")]);
    let again = |now: &Now| restarted(&answers, &before, now, "vm01");
    assert!(!again(&before), "the cluster has not noticed it");
    assert!(!again(&seen("Stopped", "node2", &[("node2", "start", "Sat 11:00")])));
    assert!(!again(&seen("Started", "node2", &[])), "nobody knows since when");
    assert!(again(&seen("Started", "node2", &[("node2", "start", "Sat 11:00")])));
    assert!(again(&seen("Started", "node1", &[("node1", "start", "Sat 11:00")])), "it may be started on the other one");
}

#[test]
fn a_vm_of_the_cut_node_that_the_other_one_starts_is_taken_over() {
    let answers = answers();
    let before = seen("Started", "node1", &[]);
    let of = |first: ClusterView, second: ClusterView| taken_over(&answers, &before, &now([first, second], 0.1));
    // Both still tell of node1, which runs it.
    let node1 = |unclean| view("Started", Some("node1"), Some(unclean), &[]);
    assert_eq!(of(node1("node2"), node1("node1")), []);
    // What counts is what node2 says of itself: node1 knows nothing of it, and is the one that the pair is told by.
    let taken = of(node1("node2"), view("Started", Some("node2"), Some("node1"), &[]));
    assert_eq!(taken, [("vm01".to_owned(), At::Second)]);
}

#[test]
fn a_move_is_live_when_no_start_is_behind_it() {
    let answers = answers();
    let vms = [("vm01", At::Second)];
    let one = |history: &[(&str, &str, &str)]| moved::of(&answers, &seen("Started", "node2", history), &vms).remove(0);
    let live = one(&[("node1", "stop", "1"), ("node2", "migrate_from", "1")]);
    assert_eq!((live.words().as_str(), live.amiss()), ("vm01 from node1 to node2: live", None));
    // A start of the other node's is none of this move.
    assert_eq!(one(&[("node2", "migrate_from", "2"), ("node1", "start", "1")]).amiss(), None);
    let cold = one(&[("node2", "start", "1")]);
    assert_eq!(cold.words(), "vm01 from node1 to node2: stopped and started again");
    assert!(cold.amiss().is_some_and(|why| why.contains("did not move live")));
    let unknown = one(&[]);
    assert!(unknown.words().contains("not known") && unknown.amiss().is_some());
}

use super::*;
use crate::action::fencing_shot::tests::{Nodes, RUNNING, at_the_order, fenced, proof, shot};

/// A pair without a VM.
fn pair() -> Nodes {
    Nodes { crm_mon: RUNNING.replace("ocf:pacemaker:Dummy", "stonith:null"), ..Nodes::new() }
}

fn cut() -> FencingCut {
    let FencingShot { nodes, victim, method, mount, skip } = shot();
    FencingCut { nodes, victim, links: vec!["10.0.0.2".to_owned(), String::new()], method, mount, skip }
}

fn judged(nodes: &Nodes) -> State {
    nodes.with(|seen| cut().judge(At::First, seen))
}

/// The pair after the order.
fn ordered() -> Nodes {
    let mut nodes = pair();
    let orders = nodes.with(|seen| cut().orders(At::First, seen)).unwrap();
    assert_eq!(orders.iter().map(|order| order.at).collect::<Vec<_>>(), [At::First, At::Second, At::First]);
    let words = &orders[2].cmd.argv[4..];
    assert_eq!((words[0].as_str(), words[1].as_str(), words[5].as_str()), ("node2", "fencing-node2.trying", "node1"));
    assert_eq!(words[6..], ["10.0.0.2", "udp"]);
    assert!(!orders[2].cmd.argv[2].contains("--reboot"), "nobody orders it");
    nodes.keep(&orders);
    at_the_order(&mut nodes);
    nodes
}

#[test]
fn what_the_cluster_did_by_itself_is_proved_without_an_order() {
    let State::Drift(change) = judged(&pair()) else { panic!("{:?}", judged(&pair())) };
    assert_eq!(change.risk, Risk::Reboots);
    let mut nodes = ordered();
    assert!(matches!(judged(&nodes), State::Drift(_)), "nothing happened yet");
    fenced(&mut nodes);
    nodes.mounts[1] = String::new();
    let State::Drift(change) = judged(&nodes) else { panic!("{:?}", judged(&nodes)) };
    assert!(change.summary.starts_with("the cluster switched node2 off; wait"), "{}", change.summary);
    // A run that was killed here has nothing to order: it was done.
    assert_eq!(nodes.with(|seen| cut().orders(At::First, seen)).unwrap().len(), 0);
    nodes.mounts = Nodes::new().mounts;
    assert_eq!((judged(&nodes), nodes.shot()), (State::Satisfied, State::Satisfied));
    nodes.kept[0].push_str("fencing-node2.trying seconds=27\n");
    let State::Drift(change) = nodes.proof() else { panic!("{:?}", nodes.proof()) };
    assert!(change.summary.contains("method ipmi, with the cluster link cut, 27 s"), "{}", change.summary);
    let orders = nodes.with(|seen| proof("").orders(At::First, seen)).unwrap();
    nodes.keep(&orders);
    assert_eq!((judged(&nodes), nodes.shot(), nodes.proof()), (State::Satisfied, State::Satisfied, State::Satisfied));
    // It is void as any proof is.
    nodes.cib = nodes.cib.replace("value=\"node1\"", "value=\"node7\"");
    assert!(matches!(judged(&nodes), State::Drift(_)));
}

#[test]
fn where_the_other_node_was_quicker_it_is_left_to_an_order() {
    let mut nodes = ordered();
    nodes.boots[0] = "a2";
    nodes.mounts[0] = String::new();
    let State::Drift(change) = judged(&nodes) else { panic!("{:?}", judged(&nodes)) };
    assert!(change.summary.contains("switched node1 off"), "{}", change.summary);
    nodes.mounts = Nodes::new().mounts;
    assert_eq!(judged(&nodes), State::Satisfied);
    assert!(matches!(nodes.shot(), State::Drift(_)), "{:?}", nodes.shot());
    assert!(matches!(nodes.proof(), State::Unknown(_)));
    // By order then, as if nothing had been tried; and what was tried so is not cut again.
    let orders = nodes.with(|seen| shot().orders(At::First, seen)).unwrap();
    nodes.keep(&orders);
    assert_eq!(judged(&nodes), State::Satisfied);
    assert!(matches!(nodes.shot(), State::Drift(_)));
}

#[test]
fn two_that_switched_each_other_off_are_told_of() {
    let mut nodes = ordered();
    nodes.boots = ["a2", "b2"];
    for state in [judged(&nodes), nodes.shot()] {
        let State::Refused(refusal) = state else { panic!("{state:?}") };
        assert!(refusal.what.contains("both nodes were switched off"), "{}", refusal.what);
    }
    // Told before the cluster is back.
    (nodes.cib, nodes.crm_mon) = (String::new(), String::new());
    assert!(matches!(judged(&nodes), State::Refused(_)));
}

#[test]
fn it_is_passed_over_where_it_can_not_be_done() {
    let over = |cut: FencingCut, nodes: &Nodes| nodes.with(|seen| cut.judge(At::First, seen)) == State::Satisfied;
    assert!(over(FencingCut { method: "ssh".to_owned(), ..cut() }, &pair()));
    assert!(over(FencingCut { skip: "true".to_owned(), ..cut() }, &pair()));
    // A VM runs on the node that should win: it may lose.
    assert!(over(cut(), &Nodes::new()));
    let mut nodes = ordered();
    nodes.kept[0].push_str("fencing-node2.trying ordered=no\nfencing-node2.trying cut-not=no tc\n");
    assert!(over(cut(), &nodes));
    assert!(matches!(nodes.shot(), State::Drift(_)), "by order then");
    nodes = pair();
    nodes.drbd[0] = nodes.drbd[0].replace("UpToDate/UpToDate", "UpToDate/Inconsistent");
    assert!(matches!(judged(&nodes), State::Unknown(_)));
    assert!(nodes.with(|seen| cut().orders(At::First, seen)).is_err());
}

/// The real script on this machine, with a `stonith_admin` whose history grows or does not.
#[test]
fn the_link_is_whole_again_whatever_came_of_it() {
    use crate::node::{Transport as _, local::Local};
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let (file, whole) = (folder.path().join("fencing-node2.trying"), folder.path().join("whole"));
    let run = |link: &str, seconds: &str| {
        std::fs::write(&file, "way=cut\n").unwrap();
        let _ = std::fs::remove_file(&whole);
        let event = |target: &str, when: &str| {
            format!(
                "<fence_event status=\"success\" action=\"reboot\" target=\"{target}\" completed=\"2026-11-23 {when}\"/>"
            )
        };
        let admin = format!(
            "stonith_admin() {{ echo '{}'; echo '{}'; [ ! -e {here}/cut ] || echo '{}'; }}\nsleep() {{ command sleep 0.05; }}\n",
            event("node2", "00:00:01Z"),
            event("node1", "00:09:00Z"),
            event("node2", "00:02:00Z"),
        );
        let script = admin + &CUT.replace("/var/lib/hapair", here);
        let unlink = format!("rm -f {here}/cut; echo \"$1\" >{here}/whole");
        let words = ["node2", "fencing-node2.trying", seconds, link, &unlink, "node1", "10.0.0.2", "udp"];
        let output = Local::new().exec(&Cmd::write_sh(&script, words)).unwrap();
        (output.code, std::fs::read_to_string(&file).unwrap(), std::fs::read_to_string(&whole).unwrap_or_default())
    };
    let (code, noted, whole) = run(&format!("echo \"$*\" >{here}/asked; touch {here}/cut"), "60");
    assert_eq!((code, whole.as_str()), (0, "node1\n"), "{noted}");
    assert!(noted.starts_with("way=cut\nordered=yes\nseconds="), "{noted}");
    assert_eq!(std::fs::read_to_string(folder.path().join("asked")).unwrap(), "60 10.0.0.2 udp\n");
    // Nothing comes of it.
    let (code, noted, whole) = run("true", "0");
    assert_eq!((code, noted.as_str(), whole.as_str()), (1, "way=cut\nordered=yes\nordered=no\n", "node1\n"));
    // It can't be cut here.
    let (code, noted, _) = run("echo 'no tc' >&2; exit 9", "60");
    assert_eq!((code, noted.as_str()), (0, "way=cut\nordered=yes\nordered=no\ncut-not=no tc\n"));
}

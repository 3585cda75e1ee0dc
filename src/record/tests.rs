use super::*;
use crate::rehearsal::mapping;

fn record(text: &str) -> NodeRecord {
    parse(&Output { stdout: text.into(), ..Output::default() })
}

fn of(install: &str, node: &str, more: &str) -> NodeRecord {
    record(&format!(
        "record hapair-record=1\nrecord cluster=xencluster\nrecord install={install}\nrecord node={node}\nrecord since=2026-03-01T10:00:00Z\n{more}boot b1\nuptime 1000\n"
    ))
}

fn judged(records: &[NodeRecord; 2], own: Option<&str>) -> Result<Verdict, Failure> {
    judge(&mapping::tutorial(), records, own, "me")
}

#[test]
fn a_new_pair_and_one_of_ours() {
    assert_eq!(judged(&[record("boot b1\nuptime 5\n"), record("")], None).unwrap(), Verdict::default());
    assert_eq!(judged(&[of("i1", "node1", ""), of("i1", "node2", "")], Some("i1")).unwrap(), Verdict::default());
}

#[test]
fn a_node_of_another_pair_is_refused() {
    let other = record("record hapair-record=1\nrecord cluster=other\nrecord install=i9\nrecord node=node1\n");
    for (records, own, word) in [
        ([other, record("")], None, "belongs to the cluster other"),
        ([of("i1", "node2", ""), of("i1", "node1", "")], None, "this machine is node2"),
        ([of("i1", "node1", ""), of("i2", "node2", "")], None, "installed apart"),
        ([of("i1", "node1", ""), of("i1", "node2", "")], Some("i2"), "another install"),
        ([record("record hapair-record=9\n"), record("")], None, "newer hapair"),
    ] {
        let failure = judged(&records, own).expect_err(word);
        assert_eq!(failure.exit, exit::PREFLIGHT);
        assert!(failure.what.contains(word), "{}", failure.what);
    }
}

#[test]
fn another_workstation_takes_over() {
    let verdict = judged(&[of("i1", "node1", ""), of("i1", "node2", "")], None).unwrap();
    assert_eq!(verdict.adopt.as_deref(), Some("i1"));
}

#[test]
fn a_node_installed_anew_is_said() {
    let verdict = judged(&[of("i1", "node1", "drbd.made aa\ndrbd.peer bb\n"), record("")], Some("i1")).unwrap();
    assert!(
        verdict.notes[0].contains("node2 has no record") && verdict.notes[0].contains("from node1 to it"),
        "{verdict:?}"
    );
    // Its peer has not even seen it: a run was ended between the two.
    assert_eq!(judged(&[of("i1", "node1", ""), record("")], Some("i1")).unwrap(), Verdict::default());
}

#[test]
fn a_lock_names_its_owner_and_dies_by_the_nodes_own_time() {
    let lock = |owner: &str, boot: &str, uptime: u32| {
        let lock =
            format!("lock owner={owner}\nlock who=process 7 on laptop\nlock boot={boot}\nlock uptime={uptime}\n");
        judged(&[of("i1", "node1", ""), of("i1", "node2", &lock)], Some("i1"))
    };
    let failure = lock("else", "b1", 990).expect_err("held");
    assert_eq!(failure.exit, exit::LOCKED);
    assert!(failure.what.contains("process 7 on laptop") && failure.what.contains("10 s old"), "{}", failure.what);
    assert_eq!(failure.node.as_deref(), Some("node2"));
    assert!(lock("me", "b1", 990).is_ok());
    assert!(lock("else", "b1", 800).is_ok(), "dead");
    assert!(lock("else", "b0", 990).is_ok(), "dead: it did not come back after the node's boot");
}

#[test]
fn the_state_folder_keeps_what_the_nodes_have_lost() {
    let state = tempfile::tempdir().expect("a folder");
    let mut install = Install::new(Some("i1".to_owned())).expect("made");
    install.learn(&[of("i1", "node1", "drbd.made aa\ndrbd.peer bb\nocfs2.made cc\n"), record("")]);
    install.keep(state.path()).expect("kept");
    let mut again = Install::of(state.path()).expect("read").expect("there");
    assert_eq!(again, install);
    again.learn(&[record(""), record("")]);
    assert_eq!(again.memory().drbd, [Some("aa".to_owned()), Some("bb".to_owned())]);
    assert_eq!(again.memory().ocfs2.as_deref(), Some("cc"));
}

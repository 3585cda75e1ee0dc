//! The commands that mend something: in the right order, with names and devices put in.

use super::*;

/// The commands that give up what node1 wrote, with where they are typed.
fn discarding_node1(answers: &Answers) -> Vec<(String, String)> {
    let apart = |gi: &str| {
        let text = format!(
            "version: 8.4.11 (api:1)\n 0: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n=== gi\n{gi}:1:1:0:0:0:0:0\n"
        );
        Ok(node(&text, MOUNTS))
    };
    let history = "0000000000000010:0000000000000000";
    let nodes = [apart(&format!("00000000000000A1:{history}")), apart(&format!("00000000000000B1:{history}"))];
    let standing = Standing::of(answers, nodes);
    let end = " (to give up what node1 wrote)";
    let typed = standing.troubles[0].mend.iter();
    typed.filter_map(|mend| Some((mend.on.strip_suffix(end)?.to_owned(), mend.command.clone()))).collect()
}

#[test]
fn the_way_out_of_a_split_brain_brings_drbd_up_again_that_standby_took_down() {
    let mut answers = answers();
    answers.storage.start = crate::answers::Start::Cluster;
    let typed = discarding_node1(&answers);
    let typed: Vec<(&str, &str)> = typed.iter().map(|(on, command)| (on.as_str(), command.as_str())).collect();
    assert_eq!(
        typed,
        [
            ("node2", "crm_resource -r vm01 -m -p target-role -v Stopped"),
            ("node2", "crm_resource --wait && crm_standby -v on -N node1 && crm_resource --wait"),
            ("node1", "drbdadm up r0 && { drbdadm disconnect r0; drbdadm connect --discard-my-data r0; }"),
            ("node2", "[ \"$(drbdadm cstate r0)\" != StandAlone ] || drbdadm connect r0"),
            ("node2", "crm_standby -D -N node1"),
            ("node2", "crm_resource -r vm01 -m -p target-role -v Started"),
        ]
    );
}

#[test]
fn the_way_out_of_a_split_brain_unmounts_what_a_boot_script_mounted() {
    let mut answers = answers();
    answers.storage.start = crate::answers::Start::Script;
    let typed = discarding_node1(&answers);
    let place =
        |command: &str| typed.iter().position(|(_, typed)| typed == command).unwrap_or_else(|| panic!("{typed:?}"));
    let discard =
        "umount /drbd0 && drbdadm secondary r0 && { drbdadm disconnect r0; drbdadm connect --discard-my-data r0; }";
    assert!(place("crm_resource -r vm01 -m -p target-role -v Stopped") < place(discard));
    assert!(place(discard) < place("systemctl restart mountdrbd"));
    assert!(place("systemctl restart mountdrbd") < place("crm_standby -D -N node1"));
    // The other choice is there too, and stops nothing: the VM runs on node1.
    let standing = typed.iter().filter(|(_, command)| command.contains("umount")).count();
    assert_eq!(standing, 1);
}

#[test]
fn a_node_that_waits_for_its_peer_says_what_to_type_and_when() {
    let view = || ClusterView { quorum: false, ..view() };
    let of = |both: bool| {
        let look = |answers: bool| {
            let mut node = node(GOOD, MOUNTS);
            node.cluster = if answers { Ok(view()) } else { Err("Pacemaker does not run".into()) };
            Ok(node)
        };
        let standing = standing([look(true), look(both)]);
        standing.troubles.into_iter().find(|trouble| trouble.name == "no-quorum").unwrap()
    };
    let alone = of(false);
    let cancel = alone.mend.iter().find(|mend| mend.command.contains("quorum.cancel_wait_for_all u8 1")).unwrap();
    assert!(cancel.on == "node1" && cancel.risk.contains("SEEN"), "{alone:?}");
    // Two that run and don't see each other: both would go on alone.
    assert!(of(true).mend.iter().all(|mend| mend.risk.starts_with("none")), "{:?}", of(true));
}

#[test]
fn a_disk_that_failed_is_asked_by_its_name() {
    let text = "version: 8.4.11 (api:1)\n 0: cs:Connected ro:Primary/Primary ds:Diskless/UpToDate C r-----\n";
    let standing = standing([Ok(node(text, MOUNTS)), Ok(node(GOOD, MOUNTS))]);
    let trouble = standing.troubles.iter().find(|trouble| trouble.name == "diskless").unwrap();
    let device = &answers().nodes[0].device;
    assert!(trouble.mend[0].command.contains(&format!("lsblk -nrso PATH,TYPE {device} ")), "{trouble:?}");
}

#[test]
fn every_remedy_names_nodes_and_devices() {
    let names = ["THAT-NODE", "the disk", "the peer", "the other node"];
    let mut sick = view();
    sick.nodes[1].unclean = true;
    sick.fencings = vec![FencingView { target: "node2".into(), status: "failed".into(), ..FencingView::default() }];
    let mut left =
        node("version: 8.4.11 (api:1)\n 0: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C r-----\n", MOUNTS);
    left.cluster = Ok(sick);
    let standing = standing([Ok(left), Err(Lost::Unreachable("no answer".into()))]);
    assert!(standing.troubles.len() >= 4, "{:?}", self::names(&standing));
    for mend in standing.troubles.iter().flat_map(|trouble| &trouble.mend) {
        assert!(!names.iter().any(|name| mend.on == *name || mend.command.contains(name)), "{mend:?}");
    }
    let unclean = standing.troubles.iter().find(|trouble| trouble.name == "node-unclean").unwrap();
    assert!(unclean.what.contains("about 150 s") && unclean.what.contains("wait_for_all"), "{}", unclean.what);
    assert!(unclean.mend.iter().all(|mend| mend.on == "node1"));
}

#[test]
fn fencing_of_a_method_that_was_changed_is_named_with_what_takes_it_out() {
    const IPMI: &str = r#"<primitive id="fence-node1" class="stonith" type="external/ipmi"/><primitive id="fence-node2" class="stonith" type="external/ipmi"/>"#;
    use crate::fencing::object::tests::{SSH, cib};
    let with = |cib: &str| {
        let look = || {
            let outputs = [GOOD, MOUNTS, "", "", "xen\n", "0 0 0\n", MEMORY, &proved(cib), cib, "", ""].map(output);
            let mut node = NodeStatus::of(&answers(), &outputs).unwrap();
            node.cluster = Ok(view());
            Ok(node)
        };
        standing([look(), look()])
    };
    let counter = r#"<primitive id="hapair-drill" class="ocf" provider="hapair" type="StandIn"/>"#;
    assert_eq!(names(&with(&cib(&format!("{IPMI}{counter}"), "", ""))), [""; 0]);
    let commands = |standing: &Standing| -> Vec<String> {
        standing.troubles.iter().flat_map(|trouble| &trouble.mend).map(|mend| mend.command.clone()).collect()
    };
    let ssh = with(&cib(&format!("{IPMI}{SSH}"), "", ""));
    assert_eq!(names(&ssh), ["fencing-left"]);
    assert!(ssh.troubles[0].what.contains("stonith-ssh (external/ssh)"), "{}", ssh.troubles[0].what);
    assert_eq!(commands(&ssh), ["crm_mon -1", "cibadmin -D --xpath \"//clone[@id='stonithclone']\""]);
    let level = r#"<fencing-level id="level-node1-1" target="node1" index="1" devices="fence-1-node1"/>"#;
    let device = r#"<primitive id="fence-1-node1" class="stonith" type="external/ipmi"/>"#;
    let levels = with(&cib(&format!("{IPMI}{device}"), "", level));
    assert_eq!(names(&levels), ["fencing-left", "fencing-left"]);
    assert!(commands(&levels).contains(&"cibadmin -D --xpath \"//fencing-level[@id='level-node1-1']\"".to_owned()));
}

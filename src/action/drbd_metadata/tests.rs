use super::*;
use crate::action::Memory;
use crate::node::Output;

fn action(erase: &str) -> DrbdMetadata {
    DrbdMetadata {
        nodes: vec!["node1".into(), "node2".into()],
        devices: vec!["/dev/sda3".into(), "/dev/sda3".into()],
        erase: vec![erase.into(), String::new()],
        cluster: "xencluster".into(),
        resource: "r0".into(),
        minor: "0".into(),
        dialect: "8.4".into(),
    }
}

fn probe(more: &str) -> String {
    format!(
        "device=/dev/sda3\n{more}kind=block\nreal=/dev/sda3\nsize=2147483648\nro=0\nidentity=/dev/sda3 2147483648 14338048\npartition=3\ndisk=sda\n"
    )
}

fn with<T>(first: &str, second: &str, memory: &Memory, f: impl FnOnce(&Seen<'_>) -> T) -> T {
    let out = [first, second].map(|text| [Output { stdout: text.into(), ..Output::default() }]);
    f(&Seen { outputs: [&out[0], &out[1]], memory })
}

/// The second node's is made already.
fn judge(action: &DrbdMetadata, text: &str) -> State {
    with(text, &(probe("made=2222222222222222\n") + "attached=r0\n"), &Memory::default(), |seen| {
        action.judge(At::First, seen)
    })
}

fn orders(action: &DrbdMetadata, text: &str) -> Vec<Order> {
    with(text, &(probe("made=2222222222222222\n") + "attached=r0\n"), &Memory::default(), |seen| {
        action.orders(At::First, seen).expect("orders")
    })
}

const EXT4: &str = "sig=0x438,6a1b-77,data,ext4\nhead=data\ntail=zero\nserial=A1\nlink=scsi-0QEMU_A1 ../../sda\nlink=scsi-0QEMU_A1-part3 ../../sda3\nlink=other ../../sdb\n";
const DRBD: &str = "sig=0x7ffff03c,895cb231b972c31a,,drbd\nhead=zero\ntail=data\nserial=\n";

#[test]
fn empty_is_made() {
    let text = probe("") + "head=zero\ntail=zero\n";
    assert!(
        matches!(judge(&action(""), &text), State::Drift(c) if c.risk == Risk::None && c.summary.contains("make DRBD metadata"))
    );
    let order = orders(&action(""), &text).remove(0);
    let script = &order.cmd.argv[2];
    assert!(script.contains("create-md") && !script.contains("wipefs -q -a"));
    assert_eq!(order.cmd.argv[4], text.trim_end());
    assert_eq!(order.cmd.argv[5..], ["/dev/sda3", "/dev/sda", "r0", "0", "8.4", ""]);
}

#[test]
fn ours_is_kept_attached_or_not() {
    assert_eq!(judge(&action("A1"), &(probe("made=895cb231b972c31a\n") + "attached=r0\n")), State::Satisfied);
    assert_eq!(judge(&action("A1"), &(probe("made=895CB231B972C31A\n") + DRBD)), State::Satisfied);
}

#[test]
fn foreign_needs_consent_by_name() {
    let text = probe("") + EXT4;
    let State::Refused(r) = judge(&action(""), &text) else { panic!("not refused") };
    assert_eq!(r.kind, RefusalKind::Consent);
    assert!(r.what.contains("ext4 labelled \"data\"") && r.what.contains("2 GiB"), "{}", r.what);
    assert!(r.next.contains("erase: A1"), "{}", r.next);
    let State::Refused(r) = judge(&action("B7"), &text) else { panic!("not refused") };
    assert!(r.what.contains("B7") && r.what.contains("A1"), "{}", r.what);
    assert!(r.what.ends_with("A1, scsi-0QEMU_A1, scsi-0QEMU_A1-part3"), "{}", r.what);
    for name in ["A1", "scsi-0QEMU_A1", "scsi-0QEMU_A1-part3"] {
        assert!(matches!(judge(&action(name), &text), State::Drift(c) if c.risk == Risk::DestroysData), "{name}");
    }
    let script = orders(&action("A1"), &text).remove(0).cmd.argv[2].clone();
    assert!(script.find("erased-").expect("backup") < script.find("wipefs -q -a").expect("wipe"));
}

#[test]
fn consent_that_names_another_disk_that_is_there_is_none() {
    let text = probe("") + EXT4 + "link=scsi-B7-part3 ../../sdb3\nlink=scsi-A1-part1 ../../sda1\n";
    // Another disk, a partition of it, and another partition of the same disk.
    for other in ["other", "/dev/disk/by-id/other", "scsi-B7-part3", "scsi-A1-part1"] {
        let State::Refused(r) = judge(&action(other), &text) else { panic!("{other}") };
        assert_eq!(r.kind, RefusalKind::Consent);
        assert!(r.what.contains(&format!("`erase: {other}` names another device: this one is A1,")), "{}", r.what);
        assert!(r.next.contains("erase: A1"), "{}", r.next);
    }
    // The peer's disk of the same path: its name is known there and not here.
    let peer = probe("") + "head=zero\ntail=zero\nserial=C9\nlink=scsi-C9 ../../sda\n";
    for other in ["C9", "scsi-C9"] {
        let state = with(&text, &peer, &Memory::default(), |seen| action(other).judge(At::First, seen));
        assert!(matches!(&state, State::Refused(r) if r.kind == RefusalKind::Consent), "{state:?}");
    }
}

#[test]
fn a_made_up_serial_names_nothing() {
    for serial in ["(null)", "0000", "none"] {
        let text = probe("") + &EXT4.replace("serial=A1", &format!("serial={serial}"));
        let State::Refused(r) = judge(&action(serial), &text) else { panic!("{serial}") };
        assert!(!r.next.contains(&format!("erase: {serial}")), "{}", r.next);
    }
}

#[test]
fn metadata_of_another_install_is_foreign() {
    for record in ["", "made=1111111111111111\n", "making=/dev/sdb3 1 1\n"] {
        let State::Refused(r) = judge(&action(""), &(probe(record) + DRBD)) else { panic!("{record}") };
        assert!(r.what.contains("hapair did not make here (device UUID 895cb231b972c31a)"), "{}", r.what);
    }
}

#[test]
fn an_interrupted_creation_goes_on() {
    let making = "making=/dev/sda3 2147483648 14338048\n";
    let complete = probe(making) + DRBD;
    assert!(matches!(judge(&action(""), &complete), State::Drift(_)));
    assert!(orders(&action(""), &complete)[0].cmd.argv[2].contains("dump-md"));
    let half = probe(making) + "head=zero\ntail=data\nserial=\n";
    assert!(orders(&action(""), &half)[0].cmd.argv[2].contains("create-md"));
    // Somebody made a file system meanwhile.
    assert!(matches!(judge(&action(""), &(probe(making) + EXT4)), State::Refused(_)));
}

#[test]
fn in_use_is_refused() {
    let State::Refused(r) =
        judge(&action("A1"), &(probe("") + "use=/dev/sda3 is mounted on /srv\nuse=/dev/sda3 is mounted on /srv\n"))
    else {
        panic!("not refused")
    };
    assert_eq!(r.kind, RefusalKind::Preflight);
    assert_eq!(r.what, "node1: /dev/sda3 (2 GiB) is in use: /dev/sda3 is mounted on /srv");
    assert!(matches!(judge(&action(""), "device=/dev/sda3\nkind=missing\n"), State::Unknown(_)));
}

#[test]
fn a_lost_record_is_made_again_and_nothing_is_erased() {
    let lost = probe("") + DRBD + "serial=A1\n";
    let peers = |more: &str| probe(&format!("made=2222222222222222\n{more}")) + "attached=r0\n";
    let none = Memory::default();
    let knows = Memory { drbd: [Some("895CB231B972C31A".to_owned()), None], ..Memory::default() };
    for (peer, memory) in [(peers("peer=895cb231b972c31a\n"), &none), (peers(""), &knows)] {
        for erase in ["", "A1", "B7"] {
            let state = with(&lost, &peer, memory, |seen| action(erase).judge(At::First, seen));
            assert!(
                matches!(&state, State::Drift(c) if c.risk == Risk::None && c.summary.contains("record there was lost")),
                "{state:?}"
            );
            let orders = with(&lost, &peer, memory, |seen| action(erase).orders(At::First, seen)).expect("orders");
            let script = &orders[0].cmd.argv[2];
            assert!(!script.contains("wipefs -q -a") && !script.ends_with(CREATE), "{script}");
        }
    }
    // Without any of them the consent counts.
    let state = with(&lost, &peers(""), &none, |seen| action("A1").judge(At::First, seen));
    assert!(matches!(&state, State::Drift(c) if c.risk == Risk::DestroysData), "{state:?}");
    // DRBD runs on it.
    let state =
        with(&(probe("") + "attached=r0\n" + DRBD), &peers(""), &none, |seen| action("A1").judge(At::First, seen));
    assert!(matches!(&state, State::Drift(c) if c.risk == Risk::None), "{state:?}");
}

#[test]
fn this_clusters_data_is_never_covered_by_consent() {
    let none = Memory::default();
    let empty = probe("") + "head=zero\ntail=zero\nmiddle=zero\n";
    let label = probe("") + DRBD + "sig=0x2000,d8c8,xencluster,ocfs2\nserial=A1\n";
    let state = with(&label, &empty, &none, |seen| action("A1").judge(At::First, seen));
    assert!(
        matches!(&state, State::Refused(r) if r.kind == RefusalKind::Consent && r.what.contains("does not cover it")),
        "{state:?}"
    );
    let half = |gi: &str| probe("") + DRBD + "serial=A1\n" + gi;
    let gi = "gi=B2F3A4D5E6F70810:0000000000000000:1111111111111110:0000000000000000:1:1:0:0:0:0\n";
    let older = "gi=1111111111111110:0000000000000000:2222222222222220:0000000000000000:1:1:0:0:0:0\n";
    let other = "gi=5555555555555550:0000000000000000:6666666666666660:0000000000000000:1:1:0:0:0:0\n";
    let both = DrbdMetadata { erase: vec!["A1".into(), "A1".into()], ..action("") };
    for (a, b, refused) in [(gi, gi, true), (gi, older, true), (gi, other, false)] {
        let state = with(&half(a), &half(b), &none, |seen| both.judge(At::First, seen));
        assert_eq!(matches!(&state, State::Refused(r) if r.what.contains("mirror")), refused, "{state:?}");
    }
}

#[test]
fn consent_is_used_once() {
    let spent = probe("made=1111111111111111\nspent=A1\nspent=scsi-0QEMU_A1\n") + EXT4;
    for name in ["A1", "scsi-0QEMU_A1"] {
        let State::Refused(r) = judge(&action(name), &spent) else { panic!("{name}") };
        assert!(r.what.contains("used up") && r.next.contains("empty it by hand"), "{r:?}");
    }
    // A new disk has new names.
    let state = judge(&action("C3"), &spent.replace("serial=A1", "serial=C3"));
    assert!(matches!(&state, State::Drift(c) if c.risk == Risk::DestroysData), "{state:?}");
}

#[test]
fn what_lies_between_first_and_last_mib_counts() {
    let text = probe("") + "head=zero\ntail=zero\nmiddle=data\nserial=A1\n";
    let State::Refused(r) = judge(&action(""), &text) else { panic!("not refused") };
    assert!(r.what.contains("between its first and last MiB it is not empty"), "{}", r.what);
    assert!(matches!(judge(&action("A1"), &text), State::Drift(_)));
}

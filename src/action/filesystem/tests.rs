use super::*;
use crate::action::Memory;
use crate::node::Output;

fn action() -> Filesystem {
    Filesystem {
        nodes: vec!["node1".into(), "node2".into()],
        device: "/dev/drbd0".into(),
        backing: vec!["/dev/sda3".into(), "/dev/sda3".into()],
        erase: Vec::new(),
        label: "my-cluster".into(),
        cluster: "mycluster".into(),
        stack: "o2cb".into(),
        slots: "2".into(),
        resource: "r0".into(),
    }
}

const PROBE: &str = "device=/dev/drbd0\nkind=block\nreal=/dev/drbd0\nsize=2147381248\nro=0\nidentity=/dev/drbd0 2147381248 0\ndisk=drbd0\n";
const EMPTY: &str = "head=zero\ntail=zero\n";
const STATS: &str = "\tRevision: 0.90\n\tMax Node Slots: 2\n\tLabel: my-cluster\n\tUUID: D8C87B55258A49E3B6F0CC283B591EE6\n\tCluster stack: o2cb\n\tCluster name: mycluster\n\tCluster flags: 0 \n";
const SIG: &str = "sig=0x2000,d8c87b55-258a-49e3-b6f0-cc283b591ee6,my-cluster,ocfs2\nhead=data\ntail=zero\nserial=\n";

fn with<T>(probe: &str, stats: &str, f: impl FnOnce(&Seen<'_>) -> T) -> T {
    let out = |s: &str| Output { stdout: s.into(), ..Output::default() };
    let a = [out(&format!("{PROBE}{probe}")), out(stats)];
    let b =
        [out("device=/dev/drbd0\nkind=block\nreal=/dev/drbd0\nsize=0\nhead=unreadable\ntail=unreadable\n"), out("")];
    let memory = Memory::default();
    f(&Seen { outputs: [&a, &b], memory: &memory })
}

fn judge(probe: &str, stats: &str) -> State {
    with(probe, stats, |seen| action().judge(At::First, seen))
}

#[test]
fn made_where_nothing_is() {
    assert!(matches!(judge(EMPTY, ""), State::Drift(_)));
    let orders = with(EMPTY, "", |seen| action().orders(At::First, seen)).expect("orders");
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].cmd.argv[9..], ["my-cluster", "mycluster", "o2cb", "2", "", ""]);
}

#[test]
fn ours_is_kept_mounted_or_not() {
    assert_eq!(judge(SIG, STATS), State::Satisfied);
    assert_eq!(judge("use=/dev/drbd0 is mounted on /drbd0\n", STATS), State::Satisfied);
}

#[test]
fn others_are_refused() {
    assert!(
        matches!(judge(SIG, &STATS.replace("Label: my-cluster", "Label: other")), State::Refused(r) if r.kind == RefusalKind::Consent)
    );
    assert!(
        matches!(judge(SIG, &STATS.replace("name: mycluster", "name: old")), State::Refused(r) if r.kind == RefusalKind::Preflight)
    );
    assert!(matches!(judge(SIG, &STATS.replace("Slots: 2", "Slots: 1")), State::Refused(_)));
    assert!(
        matches!(judge("sig=0x438,1-2,home,ext4\nhead=data\ntail=zero\n", ""), State::Refused(r) if r.what.contains("ext4 labelled \"home\""))
    );
    assert!(matches!(judge("head=data\ntail=zero\n", ""), State::Refused(_)));
}

const BACKING: &str = "=== backing\ndevice=/dev/sda3\nreal=/dev/sda3\ndisk=sda\nserial=A1\n";

fn judge_both(erase: [&str; 2], first: &str, second: &str, memory: &Memory) -> State {
    let out = |s: &str| Output { stdout: s.into(), ..Output::default() };
    let a = [out(&format!("{PROBE}sig=0x438,1-2,home,ext4\nhead=data\ntail=zero\nmiddle=data\n")), out(first)];
    let b = [out("device=/dev/drbd0\nkind=block\nreal=/dev/drbd0\nsize=0\nhead=unreadable\n"), out(second)];
    let action = Filesystem { erase: erase.map(str::to_owned).to_vec(), ..action() };
    action.judge(At::First, &Seen { outputs: [&a, &b], memory })
}

#[test]
fn consent_names_both_disks_and_is_used_once() {
    let other = BACKING.replace("A1", "B2");
    let none = Memory::default();
    let yes = judge_both(["A1", "B2"], BACKING, &other, &none);
    assert!(matches!(&yes, State::Drift(c) if c.risk == Risk::DestroysData && c.summary.contains("ext4")), "{yes:?}");
    for erase in [["", ""], ["A1", ""], ["", "B2"], ["A1", "A1"], ["B2", "A1"]] {
        let state = judge_both(erase, BACKING, &other, &none);
        assert!(matches!(&state, State::Refused(r) if r.kind == RefusalKind::Consent), "{erase:?}: {state:?}");
    }
    let used = format!("erased=/var/lib/hapair/erased-r0-1.txt\nused=A1\n{BACKING}");
    let state = judge_both(["A1", "B2"], &used, &other, &none);
    assert!(matches!(&state, State::Refused(r) if r.what.contains("used up")), "{state:?}");
    for (first, memory) in [
        (format!("ocfs2-made=D8C87B55258A49E3B6F0CC283B591EE6\n{BACKING}"), none.clone()),
        (BACKING.to_owned(), Memory { ocfs2: Some("D8".to_owned()), ..Memory::default() }),
    ] {
        let state = judge_both(["A1", "B2"], &first, &other, &memory);
        assert!(matches!(&state, State::Refused(r) if r.what.contains("made a file system here before")), "{state:?}");
    }
}

#[test]
fn what_lies_between_counts_unless_it_was_consented_to() {
    let middle = "head=zero\ntail=zero\nmiddle=data\n";
    assert!(matches!(judge(middle, ""), State::Refused(r) if r.what.contains("between")));
    assert!(matches!(judge(middle, "erased=/var/lib/hapair/erased-r0-1.txt\n"), State::Drift(_)));
    let busy = judge("use=/dev/drbd0 is mounted on /srv\n", "");
    assert!(matches!(&busy, State::Refused(r) if r.kind == RefusalKind::Preflight), "{busy:?}");
}

#[test]
fn an_interrupted_mkfs_is_done_again() {
    let making = "ocfs2-making=D8C87B55258A49E3B6F0CC283B591EE6\n";
    assert!(matches!(judge(SIG, &format!("{making}{STATS}")), State::Drift(c) if c.summary.contains("once more")));
    assert!(matches!(judge("head=data\ntail=zero\n", making), State::Drift(_)));
    let unknown = "ocfs2-making=unknown\n";
    assert!(matches!(judge(SIG, &format!("{unknown}{STATS}")), State::Drift(c) if c.summary.contains("once more")));
    let made = "ocfs2-made=D8C87B55258A49E3B6F0CC283B591EE6\n";
    assert_eq!(judge(SIG, &format!("{unknown}{made}{STATS}")), State::Satisfied);
    // Another one, made by hand after the interruption, is not touched.
    let other = STATS.replace("D8C8", "0000").replace("Label: my-cluster", "Label: other");
    assert!(matches!(judge(SIG, &format!("{making}{other}")), State::Refused(_)));
}

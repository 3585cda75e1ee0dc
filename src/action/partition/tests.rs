use super::*;
use crate::action::Memory;
use crate::node::Output;

fn action(create: &str) -> Partition {
    Partition {
        nodes: vec!["node1".into(), "node2".into()],
        devices: vec!["/dev/sda3".into(), "/dev/sda3".into()],
        erase: vec![String::new(), String::new()],
        cluster: "xencluster".into(),
        create: create.into(),
        resource: "r0".into(),
        minor: "0".into(),
    }
}

fn with<T>(first: &str, second: &str, f: impl FnOnce(&Seen<'_>) -> T) -> T {
    let out = |s: &str| [Output { stdout: s.into(), ..Output::default() }];
    let (a, b) = (out(first), out(second));
    let memory = Memory::default();
    f(&Seen { outputs: [&a, &b], memory: &memory })
}

fn judge(action: &Partition, first: &str, second: &str) -> State {
    with(first, second, |seen| action.judge(At::First, seen))
}

fn there(size: u64) -> String {
    format!(
        "device=/dev/sda3\nkind=block\nreal=/dev/sda3\nsize={size}\nro=0\npartition=3\ndisk=sda\nhead=zero\ntail=zero\n"
    )
}

fn missing(disk: u64, rows: &str) -> String {
    format!(
        "device=/dev/sda3\nkind=missing\ntable-disk=/dev/sda\ntable-size={disk}\nsfdisk=sfdisk from util-linux 2.38.1\ntable=label: dos\ntable=label-id: 0xdeb12ab1\ntable=device: /dev/sda\ntable=unit: sectors\ntable=sector-size: 512\ntable=\n{rows}free=13633536\n"
    )
}

const TWO: &str = "table=/dev/sda1 : start=        2048, size=    12582912, type=83, bootable\ntable=/dev/sda2 : start=    12584960, size=     1048576, type=82\n";

#[test]
fn names_of_partitions() {
    for (device, want) in [
        ("/dev/sda3", Some(("/dev/sda", 3))),
        ("/dev/nvme0n1p3", Some(("/dev/nvme0n1", 3))),
        ("/dev/mmcblk0p12", Some(("/dev/mmcblk0", 12))),
        ("/dev/ubdb1", Some(("/dev/ubdb", 1))),
        ("/dev/disk/by-id/scsi-0QEMU_A1-part3", Some(("/dev/disk/by-id/scsi-0QEMU_A1", 3))),
        ("/dev/disk/by-id/scsi-0QEMU_A1", None),
        ("/dev/mapper/vg-lv1", None),
        ("/dev/md0", None),
        ("/dev/sdb", None),
    ] {
        assert_eq!(device::split(device), want.map(|(d, n)| (d.to_owned(), n)), "{device}");
    }
}

#[test]
fn equal_and_empty_is_satisfied() {
    assert_eq!(judge(&action("no"), &there(2 << 30), &there(2 << 30)), State::Satisfied);
    let State::Refused(r) = judge(&action("no"), &there(2 << 30), &there(3 << 30)) else { panic!("not refused") };
    assert!(r.what.contains("2147483648 bytes (2 GiB)") && r.what.contains("3221225472 bytes (3 GiB)"), "{}", r.what);
    assert!(
        matches!(judge(&action("no"), &there(64 << 20), &there(64 << 20)), State::Refused(r) if r.what.contains("128 MiB"))
    );
}

#[test]
fn made_as_large_as_the_smaller_disk_allows() {
    let (small, large) = (missing(10 << 30, TWO), missing(20 << 30, TWO));
    let a = action("rest");
    assert!(
        matches!(judge(&a, &small, &large), State::Drift(c) if c.summary == "make /dev/sda3 of 3.4 GiB on node1; make /dev/sda3 of 3.4 GiB on node2")
    );
    let orders = with(&small, &large, |seen| a.orders(At::First, seen)).expect("orders");
    assert_eq!(orders.len(), 2);
    // 3583 MiB behind sector 13633536.
    assert_eq!(orders[0].cmd.argv[5..], ["/dev/sda3", "/dev/sda", "r0", "0", "3", "13633536", "7337984", "512", ""]);
    assert_eq!(orders[0].cmd.argv[5..], orders[1].cmd.argv[5..]);
    // One exists: the other becomes as large.
    let orders = with(&there(2 << 30), &large, |seen| a.orders(At::First, seen)).expect("orders");
    assert_eq!((orders.len(), orders[0].at, orders[0].cmd.argv[11].as_str()), (1, At::Second, "4194304"));
    assert!(matches!(judge(&a, &there(9 << 30), &small), State::Refused(_)));
    assert!(
        matches!(judge(&action("1073741824"), &there(2 << 30), &small), State::Refused(r) if r.what.contains("asks for"))
    );
}

#[test]
fn not_made() {
    let m = missing(10 << 30, TWO);
    assert!(matches!(judge(&action("no"), &m, &m), State::Refused(r) if r.next.contains("create: rest")));
    let one = missing(10 << 30, "table=/dev/sda1 : start=        2048, size=    12582912, type=83\n");
    assert!(
        matches!(judge(&action("rest"), &one, &m), State::Refused(r) if r.what.contains("would be number 2, not 3"))
    );
    let full = missing(6 << 30, TWO);
    assert!(
        matches!(judge(&action("rest"), &full, &full), State::Refused(r) if r.what.contains("has only 0 bytes free"))
    );
    let old = missing(10 << 30, TWO).replace("2.38.1", "2.13");
    assert!(matches!(judge(&action("rest"), &old, &old), State::Refused(r) if r.what.contains("can't append")));
    let none = "device=/dev/sda3\nkind=missing\n";
    assert!(matches!(judge(&action("rest"), none, &m), State::Refused(r) if r.what.contains("no disk /dev/sda")));
    let tool = missing(10 << 30, TWO).replace("sfdisk=sfdisk from util-linux 2.38.1\n", "");
    assert!(matches!(judge(&action("rest"), &tool, &tool), State::Unknown(_)));
}

/// A disk without partition table, and what was found on it.
fn bare(found: &str) -> String {
    format!(
        "device=/dev/sda3\nkind=missing\ntable-disk=/dev/sda\ntable-size=10737418240\nsfdisk=sfdisk from util-linux 2.38.1\n{found}disk=sda\nserial=A1\n"
    )
}

#[test]
fn a_whole_disk_that_holds_something_is_refused_by_what_it_holds() {
    for (found, word) in [
        ("sig=0x438,6a1b-77,home,ext4\nbare=yes\nhead=data\ntail=zero\nmiddle=data\n", "ext4 labelled \"home\""),
        ("sig=0x218,Qx1,,LVM2_member\nbare=yes\nhead=data\ntail=zero\n", "an LVM physical volume"),
        ("sig=0x0,7ba5,,crypto_LUKS\nbare=yes\nhead=data\ntail=zero\n", "a LUKS volume"),
        // Its head can't be read; what its signature says is known all the same.
        ("sig=0x0,7ba5,,crypto_LUKS\nbare=yes\nhead=unreadable\n", "a LUKS volume"),
        ("bare=yes\nhead=data\ntail=zero\nmiddle=zero\n", "its first MiB is not empty"),
        ("bare=yes\nhead=zero\ntail=data\nmiddle=zero\n", "its last MiB is not empty"),
        ("bare=yes\nhead=zero\ntail=zero\nmiddle=data\n", "between its first and last MiB it is not empty"),
    ] {
        // No consent can mean it: with a new table the whole disk is lost.
        for erase in ["", "A1"] {
            let mut a = action("rest");
            a.erase[0] = erase.into();
            let State::Refused(r) = judge(&a, &bare(found), &there(2 << 30)) else { panic!("{found}") };
            assert_eq!(r.kind, RefusalKind::Consent, "{}", r.what);
            let begins = "node1: /dev/sda (10 GiB) has no partition table, and as a whole it holds ";
            assert!(r.what.starts_with(begins) && r.what.contains(word), "{}", r.what);
            assert!(!r.next.contains("sfdisk") && r.next.contains("`wipefs -a /dev/sda"), "{}", r.next);
        }
    }
}

#[test]
fn only_a_whole_disk_that_is_empty_may_get_a_new_table() {
    let refused = |found: &str| match judge(&action("rest"), &bare(found), &there(2 << 30)) {
        State::Refused(r) if r.kind == RefusalKind::Preflight => r,
        other => panic!("{found}: {other:?}"),
    };
    let empty = refused("bare=yes\nhead=zero\ntail=zero\nmiddle=zero\n");
    assert!(empty.next.contains("`echo 'label: gpt' | sfdisk /dev/sda`"), "{}", empty.next);
    for (found, word) in [
        ("use=/dev/sda is mounted on /srv\n", "in use as a whole: /dev/sda is mounted on /srv"),
        ("bare=yes\nhead=unreadable\n", "can't be told"),
        ("", "can't be told"),
    ] {
        let r = refused(found);
        assert!(r.what.contains(word) && !r.next.contains("label: gpt"), "{}: {}", r.what, r.next);
    }
}

#[test]
fn old_content_of_the_free_space_needs_consent() {
    let m = missing(10 << 30, TWO) + "free-holds=ext4\ndisk=sda\nserial=A1\n";
    assert!(
        matches!(judge(&action("rest"), &m, &there(2 << 30)), State::Refused(r) if r.kind == RefusalKind::Consent && r.next.contains("erase: A1"))
    );
    let mut a = action("rest");
    a.erase[0] = "A1".into();
    assert!(matches!(judge(&a, &m, &there(2 << 30)), State::Drift(_)));
    // Another disk that is there, too.
    let m = m + "link=scsi-A1 ../../sda\nlink=scsi-B7 ../../sdb\nlink=scsi-B7-part3 ../../sdb3\n";
    for other in ["scsi-B7", "/dev/disk/by-id/scsi-B7", "scsi-B7-part3"] {
        a.erase[0] = other.into();
        let State::Refused(r) = judge(&a, &m, &there(2 << 30)) else { panic!("{other}") };
        assert_eq!(r.kind, RefusalKind::Consent);
        assert!(
            r.what.ends_with(&format!("`erase: {other}` names another device: this one is A1, scsi-A1")),
            "{}",
            r.what
        );
    }
}

#[test]
fn in_the_table_but_not_seen() {
    let m = missing(10 << 30, &format!("{TWO}table=/dev/sda3 : start=    13633536, size=     4194304, type=83\n"));
    let a = action("no");
    assert!(
        matches!(judge(&a, &m, &there(2 << 30)), State::Drift(c) if c.summary == "let the kernel of node1 see /dev/sda3")
    );
    let orders = with(&m, &there(2 << 30), |seen| a.orders(At::First, seen)).expect("orders");
    assert!(orders[0].cmd.argv[2].contains("partx") && !orders[0].cmd.argv[2].contains("--append"));
}

#[test]
fn gpt_keeps_its_last_sectors() {
    let gpt = missing(10 << 30, TWO)
        .replace("label: dos", "label: gpt")
        .replace("table=unit", "table=last-lba: 20971486\ntable=unit");
    let orders = with(&gpt, &gpt, |seen| action("rest").orders(At::First, seen)).expect("orders");
    let (start, size): (u64, u64) = (13_633_536, orders[0].cmd.argv[11].parse().expect("sectors"));
    assert!(start + size <= 20_971_487 && size % 2048 == 0);
}

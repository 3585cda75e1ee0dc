use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::node::{Transport as _, local::Local};

/// What a node says whose SBD is as it must be; `node1` and `node2` have their slots.
pub(crate) const SOUND: &str = "installed\nsetting SBD_DEVICE=/dev/sdz\nsetting SBD_WATCHDOG_DEV=/dev/watchdog\nsetting SBD_STARTMODE=always\nsetting SBD_OPTS=\n\
disk /dev/sdz\nheader ==Dumping header on disk /dev/sdz\nheader Header version     : 2.1\nheader UUID               : 11-22\n\
header Timeout (watchdog) : 5\nheader Timeout (loop)     : 1\nheader Timeout (msgwait)  : 10\nheader ==Header on disk /dev/sdz is dumped\n\
slot 0\tnode1\tclear\t\nslot 1\tnode2\tclear\tnode1\n\
process sbd: inquisitor\nholds /dev/watchdog\nprocess sbd: watcher: /dev/sdz - slot: 0 - uuid: 11-22\nprocess sbd: watcher: Pacemaker\n\
watchdog /dev/watchdog\nend\n";

pub(crate) fn said(text: &str) -> Result<Sbd, String> {
    parse(&Output { stdout: text.into(), ..Output::default() })
}

#[test]
fn what_decides_how_a_node_dies_is_in_the_hash_and_nothing_else() {
    let of = |text: &str| said(text).unwrap().hash("i1");
    let sound = of(SOUND).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(SOUND.contains(from), "{from}");
        of(&SOUND.replace(from, to)).unwrap() != sound
    };
    for (from, to) in [
        ("UUID               : 11-22", "UUID               : 11-23"),
        ("(msgwait)  : 10", "(msgwait)  : 20"),
        ("(watchdog) : 5", "(watchdog) : 15"),
        ("SBD_STARTMODE=always", "SBD_STARTMODE=clean"),
        ("SBD_DEVICE=/dev/sdz", "SBD_DEVICE=/dev/sdy"),
        ("SBD_WATCHDOG_DEV=/dev/watchdog", "SBD_WATCHDOG_DEV=/dev/watchdog1"),
        ("installed\n", ""),
    ] {
        assert!(changed(from, to), "{from}");
    }
    // A node that is off, a message, a setting without a value.
    for (from, to) in [("process sbd: inquisitor\n", ""), ("clear\tnode1", "reset\tnode1"), ("setting SBD_OPTS=\n", "")]
    {
        assert!(!changed(from, to), "{from}");
    }
    let header = &SOUND[SOUND.find("header ==Dumping").unwrap()..SOUND.find("process").unwrap()];
    assert!(changed(header, "gone\n"), "a header that is gone is a change");
    assert!(of(&SOUND.replace(header, "lost\n")).unwrap_err().contains("/dev/sdz can't be read"));
    assert!(of(&SOUND.replace("installed\n", "installed\nunread\n")).unwrap_err().contains("/etc/default/sbd"));
    assert_ne!(said(SOUND).unwrap().hash("i2").unwrap(), sound);
    // A read that was ended in the middle tells nothing.
    assert!(said(SOUND.strip_suffix("end\n").unwrap()).is_err());
    assert!(parse(&Output { code: Output::LATE, stdout: SOUND.into(), ..Output::default() }).is_err());
}

/// `sbd` as version 1.5 speaks, over a file that stands for the disk: `header` and `slots` beside it.
const PROGRAM: &str = "#!/bin/sh
[ \"$1\" = -d ] && cd HERE || exit 1
case $3 in
dump) [ -e header ] || exit 1; echo \"==Dumping header on disk $2\"; cat header; echo \"==Header on disk $2 is dumped\" ;;
list) [ -e slots ] || { echo \"== Slots on disk $2 NOT dumped\" >&2; exit 1; }; cat slots ;;
esac
";

fn program(bin: &Path, name: &str, text: &str, folder: &Path) {
    let path = bin.join(name);
    std::fs::write(&path, text.replace("HERE", &folder.to_string_lossy())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The real script, on a machine whose /etc/default, /proc and /sys are `folder`, and whose programs are in `bin` first.
fn here(folder: &Path, bin: &Path) -> Sbd {
    let root = format!("{}/", folder.display());
    let script = ["/etc/default/", "/proc/", "/sys/class/watchdog/"]
        .iter()
        .fold(look().argv[2].clone(), |script, there| script.replace(there, &root));
    let path = format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
    parse(&Local::new().exec(&Cmd::read(["env", path.as_str(), "/bin/sh", "-c", script.as_str()])).unwrap()).unwrap()
}

#[test]
fn the_script_tells_a_disk_that_fails_from_one_whose_header_is_gone() {
    let (folder, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
    let run = || here(folder.path(), bin.path());
    // Neither SBD nor settings of it: nothing is there, and that is told.
    let none = run();
    assert!(none.settings.as_ref().is_some_and(BTreeMap::is_empty) && none.disks.is_empty() && !none.running);
    program(bin.path(), "sbd", PROGRAM, folder.path());
    program(bin.path(), "dd", "#!/bin/sh\ncat HERE/disk 2>/dev/null\n", folder.path());
    write(
        "sbd",
        "# SBD_OPTS=x\nSBD_DEVICE=\"/dev/old\"\n  SBD_DEVICE=\"/dev/a;/dev/b c\"  \nSBD_WATCHDOG_DEV='/dev/watchdog'\nSBD_STARTMODE=clean",
    );
    write("header", "Header version     : 2.1\nUUID               : 11-22\nTimeout (msgwait)  : 10\n");
    write("slots", "0\tnode1\treset\tnode2\n1\tnode2\tclear\t\n");
    let found = run();
    assert!(found.installed && !found.running && !found.softdog);
    assert_eq!((found.setting("SBD_STARTMODE"), found.setting("SBD_OPTS")), ("clean", ""));
    let paths: Vec<&str> = found.disks.iter().map(|disk| disk.path.as_str()).collect();
    assert_eq!(paths, ["/dev/a", "/dev/b c"]);
    assert_eq!((found.disks[1].field("UUID"), found.disks[1].field("Timeout (msgwait)")), (Some("11-22"), Some("10")));
    let slot = &found.disks[0].slots[0];
    assert!(slot.waits() && !found.disks[0].slots[1].waits());
    assert_eq!((slot.node.as_str(), slot.message.as_str(), slot.from.as_str()), ("node1", "reset", "node2"));
    // Its processes, and what the first of them has open.
    std::fs::create_dir_all(at("77/fd")).unwrap();
    std::fs::create_dir_all(at("78")).unwrap();
    write("77/cmdline", "sbd: inquisitor\0\0");
    write("78/cmdline", "sbd: watcher: /dev/a - slot: 0 - uuid: 11-22\0");
    std::os::unix::fs::symlink("/dev/watchdog1", at("77/fd/3")).unwrap();
    std::os::unix::fs::symlink("/dev/null", at("77/fd/4")).unwrap();
    std::fs::create_dir_all(at("watchdog0")).unwrap();
    write("watchdog0/identity", "Software Watchdog\n");
    let found = run();
    assert!(found.running && found.softdog);
    assert_eq!((found.watched, found.held), (vec!["/dev/a".to_owned()], vec!["/dev/watchdog1".to_owned()]));
    // No slots: the disk fails. No header: what stands there instead tells.
    std::fs::remove_file(at("slots")).unwrap();
    assert_eq!(run().disks[0].header, Header::Lost);
    std::fs::remove_file(at("header")).unwrap();
    assert_eq!(run().disks[0].header, Header::Lost);
    write("disk", "SBD_SBD_ and what this program can't read");
    assert_eq!(run().disks[0].header, Header::Lost);
    std::fs::write(at("disk"), [0; 512]).unwrap();
    assert_eq!(run().disks[0].header, Header::Gone);
}

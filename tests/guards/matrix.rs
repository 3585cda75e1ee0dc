//! The matrix: prints a line for each content, and fails at the first cell that is not as promised.

use hapair::event::Failure;
use hapair::exit;
use hapair::node::At;

use super::content::{CONTENTS, bytes, image};
use super::machine::{Disk, Nodes, read, sh, size};
use super::space;

/// In this order: the right one writes.
pub(crate) const CONSENTS: [&str; 3] = ["none", "wrong", "right"];
pub(crate) const MIB: usize = 1 << 20;

/// The wrong one names another disk that is there: the one of the peer.
pub(crate) fn erase(consent: &str, disk: &Disk, other: &Disk) -> String {
    match consent {
        "none" => String::new(),
        "right" => disk.id.clone(),
        _ => other.id.clone(),
    }
}

/// The consents of both nodes, each about its own disk.
fn erase_both(consent: &str, disks: &[Disk; 2]) -> [String; 2] {
    [erase(consent, &disks[0], &disks[1]), erase(consent, &disks[1], &disks[0])]
}

fn partition(disks: [&Disk; 2], erase: [&str; 2]) -> String {
    partition_of([&disks[0].device, &disks[1].device], erase, "no")
}

pub(crate) fn partition_of(devices: [&str; 2], erase: [&str; 2], create: &str) -> String {
    format!(
        "partition: {{nodes: [node1, node2], devices: [{}, {}], erase: [{:?}, {:?}], cluster: pair, create: '{create}', resource: r0, minor: '0'}}",
        devices[0], devices[1], erase[0], erase[1]
    )
}

fn metadata(disks: [&Disk; 2], erase: [&str; 2], resource: &str) -> String {
    format!(
        "drbd-metadata: {{nodes: [node1, node2], devices: [{}, {}], erase: [{:?}, {:?}], cluster: pair, resource: {resource}, minor: '0', dialect: '8.4'}}",
        disks[0].device, disks[1].device, erase[0], erase[1]
    )
}

fn filesystem(disks: [&Disk; 2], erase: [&str; 2]) -> String {
    format!(
        "filesystem: {{nodes: [node1, node2], device: /dev/drbd0, backing: [{}, {}], erase: [{:?}, {:?}], label: pair, cluster: ocfs2, stack: o2cb, slots: '2', resource: r0}}",
        disks[0].device, disks[1].device, erase[0], erase[1]
    )
}

const RECORD: &str = "node-record: {nodes: [node1, node2], resource: r0, made: drbd}";

fn configure(disks: [&Disk; 2]) {
    let on = |index: usize| {
        format!(
            "on node{} {{ device /dev/drbd0 minor 0; disk {}; address 127.0.0.{}:7788; meta-disk internal; }}\n",
            index + 1,
            disks[index].device,
            index + 1
        )
    };
    sh("mountpoint -q /etc/drbd.d || mount -t tmpfs none /etc/drbd.d", &[]);
    let text = format!("resource r0 {{ net {{ protocol C; }}\n{}{}}}\n", on(0), on(1));
    std::fs::write("/etc/drbd.d/r0.res", text).unwrap();
    std::fs::write("/etc/drbd.d/global_common.conf", "global { usage-count no; }\n").unwrap();
}

pub(crate) fn refused(result: Result<usize, Box<Failure>>, words: &[&str]) -> Failure {
    let failure = *result.expect_err("it was not refused");
    assert_eq!(failure.exit, exit::CONSENT, "{failure}");
    assert!(failure.what.contains("nothing was changed"), "{failure}");
    for word in words {
        assert!(failure.what.contains(word), "{word} is missing in: {failure}");
    }
    failure
}

/// The two files that were kept of what was erased.
fn kept(nodes: &Nodes, name: &str) -> [Vec<u8>; 2] {
    ["head", "tail"].map(|end| std::fs::read(nodes.record(At::First).join(format!("erased-{name}-1.{end}"))).unwrap())
}

pub(crate) fn line(row: &str, action: &str, cells: &[String]) {
    println!("| {row:22} {action:14} {}", cells.join("  "));
}

pub(crate) fn all() {
    let nodes = Nodes::new();
    println!("| {:22} {:14} {:42}  {:42}  {:42}", "content", "action", "no consent", "wrong consent", "right consent");
    // One failure must not hide the others: a run takes minutes.
    let mut failed = 0;
    let mut row = |name: &str, check: &dyn Fn(&Nodes)| {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&nodes)));
        if result.is_err() {
            failed += 1;
            println!("| {name}: FAILED, see above");
            sh("umount /mnt || :; drbdadm down r0 || :; mdadm --stop /dev/md127 || :; dmsetup remove hold || :", &[]);
            sh("losetup -D", &[]);
        }
    };
    row("in use", &in_use);
    row("ours", &ours);
    row("empty, no table", &space::on_empty_disk);
    for (name, script, word) in CONTENTS {
        row(name, &|nodes| space::on_whole_disk(nodes, name, script, word));
        row(name, &|nodes| space::in_free_space(nodes, name, script));
        row(name, &|nodes| on_backing(nodes, name, script, word));
        row(name, &|nodes| on_drbd(nodes, name, script, word));
    }
    assert_eq!(failed, 0, "some cells are not as promised");
    println!("| all cells as promised");
}

/// The partition and the metadata actions: `name` is on node1's backing device.
fn on_backing(nodes: &Nodes, name: &str, script: &str, word: &str) {
    let size = bytes(name);
    let image = image(name, script, size);
    let words = |disk: &Disk| [word.to_owned(), disk.device.clone(), format!("{} MiB", size >> 20), "node1".to_owned()];
    for action in ["partition", "drbd-metadata"] {
        let mut cells = Vec::new();
        nodes.forget();
        let disk = Disk::new("first", size, Some(&image));
        let other = Disk::new("second", size, None);
        configure([&disk, &other]);
        let before = disk.hash();
        let ends = [disk.bytes(0, MIB), disk.bytes(size - MIB as u64, MIB)];
        for consent in CONSENTS {
            let erase = erase(consent, &disk, &other);
            let yaml = if action == "partition" {
                partition([&disk, &other], [&erase, ""])
            } else {
                metadata([&disk, &other], [&erase, ""], "r0")
            };
            let result = nodes.run(&yaml);
            if consent == "right" {
                let changed = result.unwrap_or_else(|failure| panic!("{name}, {action}: {failure}"));
                if action == "partition" {
                    assert_eq!((changed, &disk.hash()), (0, &before), "{name}: the partition is not written to");
                    cells.push("ok: allowed, there is nothing to write".to_owned());
                } else {
                    assert_eq!(changed, 1);
                    assert_eq!(kept(nodes, "r0"), ends, "{name}: what was kept is not what was there");
                    let found = sh("wipefs -n -p \"$1\"", &[&disk.device]);
                    assert!(found.lines().count() == 1 && found.ends_with(",drbd"), "{name}: {found}");
                    cells.push("ok: done, first and last MiB kept".to_owned());
                }
            } else {
                let failure = refused(result, &words(&disk).each_ref().map(String::as_str));
                assert_eq!(failure.what.contains("names another device"), consent == "wrong", "{failure}");
                assert!(failure.next.contains(&disk.id), "{failure}");
                assert_eq!(disk.hash(), before, "{name}, {action}: the device was written to");
                cells.push("ok: refused (6), hash before = after".to_owned());
            }
        }
        line(name, action, &cells.iter().map(|cell| format!("{cell:42}")).collect::<Vec<_>>());
    }
}

/// A Primary DRBD device with `name` on it.
fn drbd(nodes: &Nodes, name: &str, script: &str) -> [Disk; 2] {
    nodes.forget();
    // Metadata of so small a device takes a few dozen KiB.
    let size_of = bytes(name) + (1 << 20);
    let disks = [Disk::new("first", size_of, None), Disk::new("second", size_of, None)];
    configure([&disks[0], &disks[1]]);
    sh("drbdadm create-md --force r0 && drbdadm up r0 && drbdadm primary --force r0", &[]);
    if !script.is_empty() {
        let image = image(name, script, size("/dev/drbd0"));
        sh("dd if=\"$1\" of=/dev/drbd0 bs=64K conv=sparse,notrunc && sync", &[image.to_str().unwrap()]);
    }
    disks
}

fn down() {
    sh("drbdadm down r0", &[]);
}

fn hash_of_drbd() -> String {
    sh("sync; blockdev --flushbufs /dev/drbd0; b2sum </dev/drbd0", &[])
}

/// The file system action: `name` is on the DRBD device.
fn on_drbd(nodes: &Nodes, name: &str, script: &str, word: &str) {
    let mut cells = Vec::new();
    let disks = drbd(nodes, name, script);
    let before = hash_of_drbd();
    let size = size("/dev/drbd0");
    let ends = [read("/dev/drbd0", 0, MIB), read("/dev/drbd0", size / MIB as u64 * MIB as u64 - MIB as u64, MIB)];
    for consent in CONSENTS {
        let erase = erase_both(consent, &disks);
        let result = nodes.run(&filesystem([&disks[0], &disks[1]], [&erase[0], &erase[1]]));
        if consent == "right" {
            assert_eq!(result.unwrap_or_else(|failure| panic!("{name}, filesystem: {failure}")), 1);
            let kept = kept(nodes, "r0-filesystem");
            assert_eq!(kept[0], ends[0], "{name}: what was kept is not what was there");
            assert_eq!(kept[1][..MIB], ends[1][..], "{name}: what was kept is not what was there");
            let found = sh("wipefs -n -p /dev/drbd0", &[]);
            assert!(found.lines().count() == 1 && found.ends_with(",pair,ocfs2"), "{name}: {found}");
            cells.push("ok: done, first and last MiB kept".to_owned());
        } else {
            let failure = refused(result, &[word, "/dev/drbd0", "node1", "MiB"]);
            assert_eq!(failure.what.contains("names another device"), consent == "wrong", "{failure}");
            assert_eq!(hash_of_drbd(), before, "{name}: /dev/drbd0 was written to");
            cells.push("ok: refused (6), hash before = after".to_owned());
        }
    }
    down();
    line(name, "filesystem", &cells.iter().map(|cell| format!("{cell:42}")).collect::<Vec<_>>());
}

/// DRBD metadata of ours: never written to, whatever the answers say, attached or not, with its record or without.
fn ours(nodes: &Nodes) {
    nodes.forget();
    let size = bytes("ours");
    let disks = [Disk::new("first", size, None), Disk::new("second", size, None)];
    let both = [&disks[0], &disks[1]];
    configure(both);
    assert_eq!(nodes.run(&metadata(both, ["", ""], "r0")).unwrap(), 1);
    assert_eq!(nodes.run(RECORD).unwrap(), 1);
    sh("drbdadm up r0 && drbdadm primary --force r0", &[]);
    assert_eq!(nodes.run(&filesystem(both, ["", ""])).unwrap(), 1);
    for action in ["partition", "drbd-metadata", "filesystem"] {
        let mut cells = Vec::new();
        for consent in CONSENTS {
            let before = hash_of_drbd();
            let erase = erase_both(consent, &disks);
            let erase = [erase[0].as_str(), &erase[1]];
            let changed = match action {
                "partition" => nodes.run(&partition(both, erase)),
                "drbd-metadata" => nodes.run(&metadata(both, erase, "r0")),
                _ => nodes.run(&filesystem(both, erase)),
            };
            assert_eq!(changed.unwrap(), 0, "{action}, {consent}");
            assert_eq!(hash_of_drbd(), before);
            cells.push(format!("{:42}", "ok: kept, hash before = after"));
        }
        line("DRBD of ours in use", action, &cells);
    }
    // The answers name another resource: its device is taken.
    let failure = nodes.run(&metadata(both, [&disks[0].id, &disks[1].id], "r1")).expect_err("taken");
    assert_eq!(failure.exit, exit::PREFLIGHT, "{failure}");
    assert!(failure.what.contains("is the disk of DRBD's r0"), "{failure}");
    line("disk of another resource", "drbd-metadata", &["ok: refused (4) with right consent".to_owned()]);
    down();
    lost(nodes, &disks);
}

/// The records are lost, DRBD is down, and the answers still name both disks.
fn lost(nodes: &Nodes, disks: &[Disk; 2]) {
    let both = [&disks[0], &disks[1]];
    let yes = [disks[0].id.as_str(), &disks[1].id];
    let before = disks.each_ref().map(Disk::hash);
    let same = |what: &str| assert_eq!(disks.each_ref().map(Disk::hash), before, "{what}: a device was written to");
    std::fs::remove_dir_all(nodes.record(At::First)).unwrap();
    assert_eq!(nodes.run(&partition(both, yes)).unwrap(), 0);
    assert_eq!(nodes.run(&metadata(both, yes, "r0")).unwrap(), 1, "only the record is made again");
    same("one record lost");
    assert!(nodes.record(At::First).join("drbd-r0.made").exists());
    line("ours, one record lost", "both", &["ok: known by its peer, not erased".to_owned()]);

    nodes.forget();
    for yaml in [partition(both, yes), metadata(both, yes, "r0")] {
        let failure = *nodes.run(&yaml).map(drop).expect_err("it was not refused");
        assert_eq!(failure.exit, exit::CONSENT, "{failure}");
        assert!(failure.what.contains("`erase` does not cover it"), "{failure}");
    }
    same("both records lost");
    line("ours, both records lost", "both", &["ok: refused (6) by the label of its file system".to_owned()]);

    // No file system tells it: but both halves of a mirror carry the same generation.
    let set = "for d in \"$@\"; do dd if=/dev/zero of=$d bs=1M count=16 conv=notrunc 2>/dev/null; drbdmeta --force 0 v08 $d internal set-gi B2F3A4D5E6F70810:0:1111111111111110:0:1:1 </dev/null >/dev/null 2>&1; done; sync";
    sh(set, &[&disks[0].device, &disks[1].device]);
    let before = disks.each_ref().map(Disk::hash);
    for yaml in [partition(both, yes), metadata(both, yes, "r0")] {
        let failure = *nodes.run(&yaml).map(drop).expect_err("it was not refused");
        assert_eq!(failure.exit, exit::CONSENT, "{failure}");
        assert!(failure.what.contains("one half of a mirror"), "{failure}");
    }
    assert_eq!(disks.each_ref().map(Disk::hash), before, "a half of a mirror was written to");
    line("both halves of a mirror", "both", &["ok: refused (6) by their generation".to_owned()]);
}

/// A mounted, held or open device is refused with right consent, too.
fn in_use(nodes: &Nodes) {
    let size = bytes("ext4");
    for (what, begin, end, word) in [
        ("mounted", "mkfs.ext4 -q -F \"$1\" && mount \"$1\" /mnt", "umount /mnt", "is mounted on /mnt"),
        ("swap", "mkswap \"$1\" >/dev/null && swapon \"$1\"", "swapoff \"$1\"", "is swap space"),
        (
            "held by dm",
            "echo \"0 2048 linear $1 0\" | dmsetup create --noudevsync hold",
            "dmsetup remove --noudevsync hold",
            "is held by dm-",
        ),
        (
            "held by mdraid",
            "mdadm --create /dev/md127 --run --level=1 --raid-devices=2 \"$1\" missing 2>/dev/null",
            "mdadm --stop /dev/md127 2>/dev/null",
            "is held by md127",
        ),
        (
            "held by btrfs",
            "truncate -s 136M /tmp/guards/more && l=$(losetup -f --show /tmp/guards/more) && mkfs.btrfs -q -f \"$l\" \"$1\" >/dev/null && mount \"$l\" /mnt",
            "l=$(losetup -n -O NAME -j /tmp/guards/more) && umount /mnt && losetup -d $l && rm /tmp/guards/more",
            "is held by the kernel",
        ),
        (
            "open",
            "sleep 1000 <\"$1\" >/dev/null 2>&1 & echo $! >/tmp/guards/pid",
            "kill $(cat /tmp/guards/pid)",
            "is open in process",
        ),
    ] {
        nodes.forget();
        let disks = [Disk::new("first", size, None), Disk::new("second", size, None)];
        configure([&disks[0], &disks[1]]);
        sh(begin, &[&disks[0].device]);
        for yaml in [
            partition([&disks[0], &disks[1]], [&disks[0].id, ""]),
            metadata([&disks[0], &disks[1]], [&disks[0].id, ""], "r0"),
        ] {
            let failure = *nodes.run(&yaml).map(drop).expect_err("it was not refused");
            assert_eq!(failure.exit, exit::PREFLIGHT, "{what}: {failure}");
            assert!(failure.what.contains("is in use") && failure.what.contains(word), "{what}: {failure}");
        }
        sh(end, &[&disks[0].device]);
        line(what, "both", &["ok: refused (4) with right consent".to_owned()]);
    }
    for (what, begin, end) in [
        ("mounted", "mkfs.ext4 -q -F /dev/drbd0 && mount /dev/drbd0 /mnt", "umount /mnt"),
        (
            "open",
            "sleep 1000 </dev/drbd0 >/dev/null 2>&1 & echo $! >/tmp/guards/pid",
            "kill $(cat /tmp/guards/pid); sleep 0.2",
        ),
    ] {
        let disks = drbd(nodes, "ext4", "");
        sh(begin, &[]);
        let yaml = filesystem([&disks[0], &disks[1]], [&disks[0].id, &disks[1].id]);
        let failure = *nodes.run(&yaml).map(drop).expect_err("it was not refused");
        assert_eq!(failure.exit, exit::PREFLIGHT, "{what}: {failure}");
        sh(end, &[]);
        down();
        line(what, "filesystem", &["ok: refused (4) with right consent".to_owned()]);
    }
}

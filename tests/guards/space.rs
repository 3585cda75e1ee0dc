//! The partition action where it writes: in the free space of a disk that holds something; and on a disk without a table.

use std::fs;

use hapair::exit;
use hapair::node::At;

use super::content::{bytes, image, kind};
use super::machine::{Disk, Nodes, read, sh, size};
use super::matrix::{CONSENTS, MIB, erase, line, partition_of, refused};

/// Where the free space begins: behind a MiB for the table and two partitions of 16 MiB.
const FREE: usize = 33 * MIB;

/// A disk with two partitions and so many bytes of free space. A MiB at its end is for the table's copy.
fn divided(name: &str, space: u64) -> Disk {
    let disk = Disk::with_partitions(name, (FREE + MIB) as u64 + space);
    sh("printf 'label: gpt\\nsize=16MiB\\nsize=16MiB\\n' | sfdisk -q --no-reread \"$1\" 2>/dev/null", &[&disk.device]);
    disk
}

fn table(disk: &Disk) -> String {
    sh("sfdisk -d \"$1\"", &[&disk.device])
}

/// `name` is in the free space of node1's disk, where the partition is to be made.
pub(crate) fn in_free_space(nodes: &Nodes, name: &str, script: &str) {
    let space = bytes(name);
    let image = image(name, script, space);
    nodes.forget();
    let disks = [divided("first", space), divided("second", space)];
    let copy = "dd if=\"$1\" of=\"$2\" bs=1M seek=33 conv=sparse,notrunc 2>/dev/null && sync";
    sh(copy, &[image.to_str().unwrap(), &disks[0].device]);
    let thirds = disks.each_ref().map(|disk| format!("{}p3", disk.device));
    let before = disks.each_ref().map(Disk::hash);
    let tables = disks.each_ref().map(table);
    assert!(thirds.iter().all(|third| !std::path::Path::new(third).exists()), "a disk before left its partition");
    let mut cells = Vec::new();
    for consent in CONSENTS {
        let erase = erase(consent, &disks[0], &disks[1]);
        let result = nodes.run(&partition_of([&thirds[0], &thirds[1]], [&erase, ""], "rest"));
        if consent != "right" {
            // All of the last MiB that the table's copy does not take is free, too.
            let free = format!("{}.9 MiB", space >> 20);
            let failure = refused(result, &[kind(name), &disks[0].device, &thirds[0], &free, "node1"]);
            assert_eq!(failure.what.contains("names another device"), consent == "wrong", "{failure}");
            assert!(failure.next.contains(&disks[0].id), "{failure}");
            assert_eq!(disks.each_ref().map(Disk::hash), before, "{name}, free space: a disk was written to");
            cells.push("ok: refused (6), hash before = after".to_owned());
            continue;
        }
        assert_eq!(result.unwrap_or_else(|failure| panic!("{name}, free space: {failure}")), 1);
        made(nodes, &disks, &tables);
        let kept = |end: &str| fs::read(saved(nodes, At::First, &disks[0], end)).unwrap();
        let ends = [("head", 0), ("tail", space - MIB as u64)];
        for (end, from) in ends {
            assert_eq!(kept(end), read(image.to_str().unwrap(), from, MIB), "{name}: the {end} is not what was there");
        }
        let said = String::from_utf8(kept("txt")).unwrap();
        assert!(said.lines().any(|line| line == format!("consent={}", disks[0].id)), "{said}");
        // Nothing was there on the other one.
        assert!(!saved(nodes, At::Second, &disks[1], "head").exists());
        // Only the table was written: what the partition now holds is for the next action, which asks for consent too.
        let hash = |path: &str| sh("b2sum <\"$1\"", &[path]);
        assert_eq!(size(&thirds[0]), space);
        assert_eq!(hash(&thirds[0]), hash(image.to_str().unwrap()), "{name}: the partition was written to");
        cells.push("ok: made, table, first and last MiB kept".to_owned());
    }
    line(name, "free space", &cells.iter().map(|cell| format!("{cell:42}")).collect::<Vec<_>>());
}

/// Both disks have their third partition, of one size; the other two are as they were, and the tables before were kept.
fn made(nodes: &Nodes, disks: &[Disk; 2], tables: &[String; 2]) {
    for (at, (disk, before)) in At::BOTH.into_iter().zip(disks.iter().zip(tables)) {
        let after = table(disk);
        let added: Vec<&str> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
        assert!(before.lines().all(|line| after.lines().any(|new| new == line)), "{before}\n{after}");
        assert!(added.len() == 1 && added[0].starts_with(&format!("{}p3 ", disk.device)), "{before}\n{after}");
        let kept = fs::read_to_string(saved(nodes, at, disk, "sfdisk")).unwrap();
        assert_eq!(kept.trim(), before, "what was kept is not the table that was there");
    }
    let [first, second] = disks.each_ref().map(|disk| size(&format!("{}p3", disk.device)));
    assert_eq!(first, second);
}

/// What was kept before a disk's table was changed.
fn saved(nodes: &Nodes, at: At, disk: &Disk, end: &str) -> std::path::PathBuf {
    let name = disk.device.trim_start_matches("/dev/");
    nodes.record(at).join(format!("partition-table-{name}-1.{end}"))
}

/// `name` is on node1's whole disk, on which a partition is asked for: no consent covers that, since hapair makes no table.
pub(crate) fn on_whole_disk(nodes: &Nodes, name: &str, script: &str, word: &str) {
    // These are tables.
    if ["MBR", "GPT"].contains(&name) {
        return;
    }
    let size = bytes(name);
    let image = image(name, script, size);
    nodes.forget();
    let disk = Disk::new("first", size, Some(&image));
    let other = Disk::new("second", size, None);
    let before = disk.hash();
    let mut cells = Vec::new();
    for consent in CONSENTS {
        let erase = erase(consent, &disk, &other);
        let yaml = partition_of([&format!("{}p3", disk.device), &other.device], [&erase, ""], "rest");
        let words = ["no partition table", word, &disk.device, &format!("{} MiB", size >> 20), "node1"];
        let failure = refused(nodes.run(&yaml), &words);
        assert!(!failure.next.contains("sfdisk"), "{failure}");
        assert_eq!(disk.hash(), before, "{name}, whole disk: the disk was written to");
        cells.push(format!("{:42}", "ok: refused (6), hash before = after"));
    }
    line(name, "whole disk", &cells);
}

/// Only a disk that is all empty is said to be ready for a table.
pub(crate) fn on_empty_disk(nodes: &Nodes) {
    nodes.forget();
    let size = bytes("empty");
    let disks = [Disk::new("first", size, None), Disk::new("second", size, None)];
    let yaml = partition_of([&format!("{}p3", disks[0].device), &disks[1].device], ["", ""], "rest");
    let failure = *nodes.run(&yaml).map(drop).expect_err("it was not refused");
    assert_eq!(failure.exit, exit::PREFLIGHT, "{failure}");
    assert!(failure.next.contains(&format!("sfdisk {}", disks[0].device)), "{failure}");
    line("empty, no table", "whole disk", &["ok: refused (4), a table is asked for".to_owned()]);
}

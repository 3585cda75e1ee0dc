//! Disks, their partitions and the room between them, volumes, and what each of them holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Output};

const BLOCKS: &str = include_str!("disk.sh");

/// A partition begins at a whole MiB; smaller gaps are the table's own.
const MIB: u64 = 1 << 20;

/// What a device holds, as far as a signature tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// `ext4`, `swap`, `LVM2_member`, `drbd`...; empty when no signature is known. That does not mean that the device is
    /// empty: only the step `partition` looks at its first and last MiB.
    pub kind: String,
    /// Label of the file system; empty if it has none.
    pub label: String,
    /// UUID of the file system; empty if it has none.
    pub uuid: String,
}

impl Content {
    /// `ext4 'data'`, or `nothing known`.
    pub fn words(&self) -> String {
        match (self.kind.as_str(), self.label.as_str()) {
            ("", _) => "nothing known".to_owned(),
            (kind, "") => kind.to_owned(),
            (kind, label) => format!("{kind} '{label}'"),
        }
    }
}

/// A partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Path, `/dev/sda3`.
    pub path: String,
    /// Number.
    pub number: u32,
    /// Where it begins on the disk, in bytes.
    pub start: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// It is the DOS table's box for logical partitions: it holds no data of its own.
    pub extended: bool,
    /// What it holds.
    pub content: Content,
    /// Who uses it: `mounted on /srv`, `swap space`, `held by md0`, `DRBD r0`. Empty when free.
    pub uses: Vec<String>,
    /// Names under /dev/disk/by-id.
    pub by_id: Vec<String>,
}

/// Room on a disk that no partition takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Where it begins, in bytes, at a whole MiB.
    pub start: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// It is the one behind the last partition: the only one in which hapair makes a partition (`storage.create`).
    pub last: bool,
}

/// A whole disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Such as `sda`; the path is `/dev/sda`.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Empty if it tells none.
    pub serial: String,
    /// Vendor and model; empty if it tells none.
    pub model: String,
    /// Names under /dev/disk/by-id, without those of its partitions.
    pub by_id: Vec<String>,
    /// `sata`, `nvme`, `usb`, `iscsi`...; empty if it tells none.
    pub transport: String,
    /// It can be pulled out (a USB stick).
    pub removable: bool,
    /// It is write-protected.
    pub read_only: bool,
    /// It turns; `None` when the kernel does not tell.
    pub rotational: Option<bool>,
    /// Bytes of a sector.
    pub sector: u64,
    /// Kind of its partition table: `gpt`, `dos`; empty when it has none, or none could be read.
    pub table: String,
    /// What the whole disk holds, when it has no partition table.
    pub content: Content,
    /// Who uses the whole disk; as [`Part::uses`].
    pub uses: Vec<String>,
    /// Its partitions, in the order of their places.
    pub parts: Vec<Part>,
    /// Room between and behind them, 1 MiB and more, in the order of their places. Of a disk without table and content: all
    /// of it. Gaps inside an extended partition are not told.
    pub gaps: Vec<Gap>,
}

impl Disk {
    /// `/dev/sda`.
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// Bytes behind the last partition: what `storage.create: rest` would take.
    pub fn room(&self) -> u64 {
        self.gaps.iter().find(|gap| gap.last).map_or(0, |gap| gap.bytes)
    }

    /// Path of a partition by its number: `/dev/sda3`, `/dev/nvme0n1p3`.
    pub fn partition_path(&self, number: u32) -> String {
        let p = if self.name.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        format!("/dev/{}{p}{number}", self.name)
    }

    /// The number that a new partition would get.
    pub fn next_number(&self) -> u32 {
        let numbers = self.parts.iter().map(|part| part.number);
        let first = if self.table == "dos" { numbers.filter(|number| *number < 5).max() } else { numbers.max() };
        first.unwrap_or(0) + 1
    }
}

/// A block device that is neither disk nor partition: a logical volume, a RAID, an encrypted device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Path by which it is known: `/dev/mapper/vg0-data`, `/dev/md0`.
    pub path: String,
    /// Kernel's name, `dm-0`.
    pub name: String,
    /// `lvm`, `crypt`, `mpath`, `raid1`...; empty if unknown.
    pub kind: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What it lies on, kernel's names.
    pub on: Vec<String>,
    /// What it holds.
    pub content: Content,
    /// Who uses it; as [`Part::uses`].
    pub uses: Vec<String>,
}

/// All block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// Whole disks.
    pub disks: Vec<Disk>,
    /// The rest.
    pub volumes: Vec<Volume>,
}

/// Five commands.
pub(super) fn reads() -> Vec<Cmd> {
    vec![
        Cmd::read_sh(BLOCKS, [""; 0]),
        Cmd::read(["lsblk", "-b", "-d", "-n", "-P", "-o", "NAME,SERIAL,MODEL,TRAN"]),
        Cmd::read(["blkid", "-c", "/dev/null"]),
        Cmd::read(["find", "/dev/disk/by-id", "-type", "l", "-printf", "%f %l\\n"]),
        Cmd::read(["head", "-v", "-n", "2000", "/proc/self/mountinfo", "/proc/mounts", "/proc/swaps"]),
    ]
}

/// Keys of a kernel's name.
type Keys<'a> = BTreeMap<&'a str, Vec<&'a str>>;

pub(super) fn parse(outputs: &[Output]) -> Blocks {
    let text = |index: usize| outputs.get(index).map(Output::text).unwrap_or_default();
    let [blocks, lsblk, blkid, by_id, uses] = [0, 1, 2, 3, 4].map(text);
    let mut order: Vec<&str> = Vec::new();
    let mut devices: BTreeMap<&str, Keys<'_>> = BTreeMap::new();
    for line in blocks.lines() {
        let mut words = line.splitn(3, '\t');
        let (Some(name), Some(key), Some(value)) = (words.next(), words.next(), words.next()) else { continue };
        if !devices.contains_key(name) {
            order.push(name);
        }
        devices.entry(name).or_default().entry(key).or_default().push(value);
    }
    let seen = Seen { lsblk: &lsblk, blkid: &blkid, by_id: &by_id, uses: &uses, devices: &devices };
    let mut found = Blocks::default();
    for name in order {
        let keys = &devices[name];
        if !keys.contains_key("block") || number(keys, "size") == 0 {
            continue;
        }
        if name.starts_with("dm-") || name.starts_with("md") {
            found.volumes.push(seen.volume(name, keys));
        } else {
            found.disks.push(seen.disk(name, keys));
        }
    }
    found
}

fn one<'a>(keys: &Keys<'a>, key: &str) -> &'a str {
    keys.get(key).and_then(|values| values.last()).map_or("", |value| value.trim())
}

fn number(keys: &Keys<'_>, key: &str) -> u64 {
    one(keys, key).parse().unwrap_or(0)
}

/// `cciss!c0d0` of sysfs is `/dev/cciss/c0d0`.
fn device(name: &str) -> String {
    name.replace('!', "/")
}

struct Seen<'a> {
    lsblk: &'a str,
    blkid: &'a str,
    by_id: &'a str,
    uses: &'a str,
    devices: &'a BTreeMap<&'a str, Keys<'a>>,
}

impl Seen<'_> {
    fn disk(&self, name: &str, keys: &Keys<'_>) -> Disk {
        let line = self.lsblk.lines().find(|line| value(line, "NAME") == device(name)).unwrap_or_default();
        let told = |key: &str| value(line, key).trim().to_owned();
        let or = |told: String, other: String| if told.is_empty() { other } else { told };
        let sysfs_model = format!("{} {}", one(keys, "vendor"), one(keys, "model"));
        // A bus is a vendor to nobody.
        let sysfs_model = sysfs_model.split_whitespace().filter(|word| *word != "ATA" && *word != "0x1af4");
        let sysfs_model = sysfs_model.collect::<Vec<_>>().join(" ");
        let path = format!("/dev/{}", device(name));
        let table = self.table(&path, keys);
        let bytes = number(keys, "size") * 512;
        let mut parts: Vec<Part> = self
            .devices
            .iter()
            .filter(|(_, part)| one(part, "part") == name)
            .map(|(child, part)| self.part(child, part, keys))
            .collect();
        parts.sort_by_key(|part| (part.start, part.number));
        let content = if table.is_empty() { self.content(&path) } else { Content::default() };
        let gaps = if table.is_empty() && (!content.kind.is_empty() || !parts.is_empty()) {
            Vec::new()
        } else {
            gaps(&parts, bytes, &table)
        };
        Disk {
            bytes,
            serial: or(told("SERIAL"), one(keys, "serial").to_owned()),
            model: or(told("MODEL"), sysfs_model),
            by_id: self.names(&device(name)),
            transport: told("TRAN"),
            removable: one(keys, "removable") == "1",
            read_only: one(keys, "ro") == "1",
            rotational: match one(keys, "rotational") {
                "1" => Some(true),
                "0" => Some(false),
                _ => None,
            },
            sector: Some(number(keys, "sector")).filter(|sector| *sector >= 512).unwrap_or(512),
            table,
            content,
            uses: self.uses(name, keys),
            parts,
            gaps,
            name: device(name),
        }
    }

    /// Kind of the partition table, from sfdisk or from blkid.
    fn table(&self, path: &str, keys: &Keys<'_>) -> String {
        let dump = keys.get("table").map(Vec::as_slice).unwrap_or_default();
        if let Some(label) = dump.iter().find_map(|line| line.strip_prefix("label: ")) {
            return label.trim().to_owned();
        }
        // sfdisk before util-linux 2.26 knows only one kind.
        if dump.iter().any(|line| line.starts_with("# partition table of")) {
            return "dos".to_owned();
        }
        self.signature(path).map(|line| value(line, "PTTYPE")).unwrap_or_default()
    }

    fn part(&self, name: &str, keys: &Keys<'_>, disk: &Keys<'_>) -> Part {
        let path = format!("/dev/{}", device(name));
        let entry = disk
            .get("table")
            .and_then(|dump| dump.iter().find(|line| line.split_whitespace().next() == Some(path.as_str())))
            .copied()
            .unwrap_or_default();
        let sectors = |key: &str| -> Option<u64> {
            let rest = entry.split(key).nth(1)?;
            rest.split(',').next()?.trim().parse().ok()
        };
        let sector = Some(number(disk, "sector")).filter(|sector| *sector >= 512).unwrap_or(512);
        let kind = entry.split("type=").nth(1).or_else(|| entry.split("Id=").nth(1)).unwrap_or_default();
        let kind = kind.split(',').next().unwrap_or_default().trim().to_ascii_lowercase();
        let extended = ["5", "f", "85"].contains(&kind.trim_start_matches('0'));
        let told = number(keys, "size") * 512;
        Part {
            number: one(keys, "number").parse().unwrap_or(0),
            start: number(keys, "start") * 512,
            // The kernel gives the box for logical partitions the size of a boot sector.
            bytes: if extended { sectors("size=").map_or(told, |size| size * sector) } else { told },
            extended,
            content: self.content(&path),
            uses: self.uses(name, keys),
            by_id: self.names(&device(name)),
            path,
        }
    }

    fn volume(&self, name: &str, keys: &Keys<'_>) -> Volume {
        let mapped = one(keys, "dm-name");
        let path = if mapped.is_empty() { format!("/dev/{name}") } else { format!("/dev/mapper/{mapped}") };
        let kind = match one(keys, "dm-uuid").split_once('-') {
            Some((kind, _)) => kind.to_ascii_lowercase(),
            None => one(keys, "raid").to_owned(),
        };
        Volume {
            name: name.to_owned(),
            kind,
            bytes: number(keys, "size") * 512,
            on: keys.get("slave").map(|names| names.iter().map(|name| device(name)).collect()).unwrap_or_default(),
            content: self.content(&path),
            uses: self.uses(name, keys),
            path,
        }
    }

    /// blkid's line.
    fn signature(&self, path: &str) -> Option<&str> {
        self.blkid.lines().find_map(|line| line.strip_prefix(path)?.strip_prefix(':'))
    }

    fn content(&self, path: &str) -> Content {
        let Some(line) = self.signature(path) else { return Content::default() };
        Content { kind: value(line, "TYPE"), label: value(line, "LABEL"), uuid: value(line, "UUID") }
    }

    fn names(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .by_id
            .lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(_, target)| target.trim_start_matches("../") == name)
            .map(|(id, _)| id.to_owned())
            .collect();
        names.sort();
        names
    }

    /// Who uses a device: mounts, swap space, and devices that lie on it.
    fn uses(&self, name: &str, keys: &Keys<'_>) -> Vec<String> {
        let path = format!("/dev/{}", device(name));
        let mapped = format!("/dev/mapper/{}", one(keys, "dm-name"));
        let is_it = |source: &str| source == path || source == mapped;
        let mut uses: Vec<String> = Vec::new();
        let mut add = |text: String| {
            if !uses.contains(&text) {
                uses.push(text);
            }
        };
        let number = one(keys, "dev");
        for line in super::section(self.uses, "/proc/self/mountinfo").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let source = words.iter().skip_while(|word| **word != "-").nth(2).copied().unwrap_or_default();
            if words.len() > 4 && ((!number.is_empty() && words[2] == number) || is_it(source)) {
                add(format!("mounted on {}", plain(words[4])));
            }
        }
        for line in super::section(self.uses, "/proc/mounts").lines() {
            let mut words = line.split_whitespace();
            if let (Some(source), Some(place)) = (words.next(), words.next()) {
                if is_it(source) {
                    add(format!("mounted on {}", plain(place)));
                }
            }
        }
        for line in super::section(self.uses, "/proc/swaps").lines() {
            if line.split_whitespace().next().is_some_and(is_it) {
                add("swap space".to_owned());
            }
        }
        for holder in keys.get("holder").map(Vec::as_slice).unwrap_or_default() {
            let named = self.devices.get(holder).map(|keys| one(keys, "dm-name")).unwrap_or_default();
            add(format!("held by {}", if named.is_empty() { holder } else { named }));
        }
        uses
    }
}

/// Spaces in a mount point are `\040`, proc(5).
fn plain(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

fn gaps(parts: &[Part], bytes: u64, table: &str) -> Vec<Gap> {
    // A GPT keeps a copy of itself in the last 33 sectors.
    let end = if table == "gpt" { bytes.saturating_sub(MIB) } else { bytes };
    let mut gaps = Vec::new();
    let mut at = MIB;
    let mut add = |from: u64, to: u64, last: bool| {
        let from = from.div_ceil(MIB) * MIB;
        let size = to.saturating_sub(from) / MIB * MIB;
        if size >= MIB {
            gaps.push(Gap { start: from, bytes: size, last });
        }
    };
    for part in parts {
        add(at, part.start, false);
        at = at.max(part.start + part.bytes);
    }
    add(at, end, true);
    gaps
}

/// A value of `NAME="sda" SIZE="10737418240"`.
pub(super) fn value(line: &str, key: &str) -> String {
    let begin = format!("{key}=\"");
    let at = if line.starts_with(&begin) { Some(0) } else { line.find(&format!(" {begin}")).map(|at| at + 1) };
    at.and_then(|at| line[at + begin.len()..].split('"').next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;

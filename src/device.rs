//! What a block device holds, and who uses it: the rule that nothing is overwritten without consent lives here.
//!
//! [`probe`] is one shell function. It is a read, and it is also the guard of every order that writes: such an
//! order runs the same function once more on the node and goes on only if it says, word by word, what was judged.

mod holds;

pub use holds::{Consent, Evidence, Holds};

use crate::drbd::Generation;
use crate::node::Cmd;

/// Where records and backups are kept on a node.
pub const STATE: &str = "/var/lib/hapair";

/// DRBD's period minimum: smaller devices make `drbdmeta` 8.0 fail, and leave OCFS2 no room.
pub const SMALLEST: u64 = 128 << 20;

/// The shell function `probe DEVICE DISK RESOURCE MINOR`: a line `key=value` for each fact. Only builtins where
/// possible, since a process can cost 25 ms.
pub const PROBE: &str = include_str!("device.sh");

/// Empties a device, after its first and last MiB and its partition table were saved. For a script behind [`guarded`].
pub const ERASE: &str = include_str!("device/erase.sh");

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Path from the answers.
    pub device: &'a str,
    /// DRBD resource that may run on it.
    pub resource: &'a str,
    /// Its minor.
    pub minor: &'a str,
}

impl Target<'_> {
    /// `$1` to `$4` of the function.
    fn args(&self) -> [String; 4] {
        let disk = split(self.device).map(|(disk, _)| disk).unwrap_or_default();
        [self.device.to_owned(), disk, self.resource.to_owned(), self.minor.to_owned()]
    }
}

/// The read.
pub fn probe(target: &Target<'_>) -> Cmd {
    Cmd::read_sh(&format!("{PROBE}\nprobe \"$@\"\n"), target.args())
}

/// An order that runs `script` only if the device still holds what `seen` (the probe's output) says. In the script
/// `$1` is the device, `$2` its disk, `$3` the resource, `$4` the minor, and `more` follows from `$5` on.
pub fn guarded(target: &Target<'_>, seen: &str, script: &str, more: &[&str]) -> Cmd {
    const GUARD: &str = r#"
seen=$1; shift
now=$(probe "$1" "$2" "$3" "$4")
if [ "$now" != "$seen" ]; then
	printf 'what is on %s has changed since it was looked at; nothing was written.\nseen:\n%s\nnow:\n%s\n' "$1" "$seen" "$now" >&2
	exit 1
fi
"#;
    let mut args = vec![seen.trim_end().to_owned()];
    args.extend(target.args());
    args.extend(more.iter().map(|s| (*s).to_owned()));
    Cmd::write_sh(&format!("{PROBE}{GUARD}{script}"), args)
}

/// Disk and number of a partition, from its name alone: `/dev/sda3`, `/dev/nvme0n1p3`, `/dev/disk/by-id/...-part3`.
pub fn split(device: &str) -> Option<(String, u32)> {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u32 = device[stem.len()..].parse().ok().filter(|n| *n > 0)?;
    if device.starts_with("/dev/disk/") {
        return stem.strip_suffix("-part").map(|disk| (disk.to_owned(), number));
    }
    // A disk whose name ends in a digit has a `p` in between: nvme0n1p3, mmcblk0p3, loop0p3.
    let disk = match stem.strip_suffix('p') {
        Some(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => disk,
        _ => stem,
    };
    let name = disk.strip_prefix("/dev/")?;
    let numbered = ["dm-", "md", "drbd", "loop", "nbd", "zram", "sr"]
        .iter()
        .any(|p| name == p.trim_end_matches('-') || name == *p);
    (!name.is_empty() && !numbered && !name.starts_with("mapper/")).then(|| (disk.to_owned(), number))
}

/// A signature that `wipefs` knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// `ext4`, `LVM2_member`, `drbd`, `gpt`...
    pub kind: String,
    /// Its UUID; for DRBD the device UUID, which stays the same for the life of the metadata.
    pub uuid: String,
    /// Its label.
    pub label: String,
}

/// Answer of [`probe`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Device {
    /// As the probe printed it, for [`guarded`].
    pub raw: String,
    /// Path that was asked for.
    pub path: String,
    /// Where it leads to, `/dev/sda3`.
    pub real: String,
    /// It exists and is a block device.
    pub block: bool,
    /// It exists and is something else.
    pub other: bool,
    /// Size in bytes.
    pub size: u64,
    /// Partition number, if it is a partition.
    pub partition: Option<u32>,
    /// Kernel's name of its disk.
    pub disk: String,
    /// Write-protected.
    pub read_only: bool,
    /// `mounted on /srv`, `used as swap`, `held by dm-0`.
    pub uses: Vec<String>,
    /// Our own DRBD resource runs on it.
    pub attached: bool,
    /// Signatures.
    pub signatures: Vec<Signature>,
    /// The first MiB is not all zero.
    pub head: bool,
    /// The last MiB is not all zero.
    pub tail: bool,
    /// Something between them is not zero.
    pub middle: bool,
    /// It could not be read.
    pub unreadable: bool,
    /// Serials of its disk.
    pub serials: Vec<String>,
    /// Names under /dev/disk of the device and its disk.
    pub names: Vec<String>,
    /// Device UUID of the DRBD metadata that hapair made here.
    pub made: Option<String>,
    /// The same of its peer, as recorded here.
    pub peer: Option<String>,
    /// Names of the disk when metadata was made: consent by one of them is used up.
    pub spent: Vec<String>,
    /// Generation identifiers in DRBD metadata that is not recorded here.
    pub generation: Option<Generation>,
    /// hapair was making DRBD metadata here and did not come to its end.
    pub making: bool,
    /// The missing partition's disk.
    pub table: Table,
}

/// Partition table of the disk on which a partition is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Disk, `/dev/sda`; empty if there is none.
    pub disk: String,
    /// Its size in bytes.
    pub size: u64,
    /// Version of `sfdisk`; empty if it isn't installed.
    pub sfdisk: String,
    /// What `sfdisk -d` printed.
    pub dump: String,
    /// First free sector behind the last partition, aligned to a MiB.
    pub free: u64,
    /// What is in the free space: `ext4`, `data of an unknown kind`; empty if nothing.
    pub holds: Vec<String>,
    /// There is no table, and the disk was looked at as a whole: signatures, first and last MiB are the disk's.
    pub bare: bool,
}

/// Reads the probe's output.
pub fn parse(text: &str) -> Device {
    let mut d = Device { raw: text.trim_end().to_owned(), ..Device::default() };
    let mut making = String::new();
    let mut identity = String::new();
    let mut links: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let number = || value.trim().parse().unwrap_or(0);
        match key {
            "device" => value.clone_into(&mut d.path),
            "real" => value.clone_into(&mut d.real),
            "kind" => (d.block, d.other) = (value == "block", value == "other"),
            "size" => d.size = number(),
            "partition" => d.partition = value.trim().parse().ok(),
            "disk" => value.clone_into(&mut d.disk),
            "ro" => d.read_only = value == "1",
            "use" if !d.uses.iter().any(|u| u == value) => d.uses.push(value.to_owned()),
            "attached" => d.attached = true,
            "sig" => d.signatures.extend(signature(value)),
            "head" => (d.head, d.unreadable) = (value != "zero", d.unreadable || value == "unreadable"),
            "tail" => (d.tail, d.unreadable) = (value != "zero", d.unreadable || value == "unreadable"),
            "middle" => d.middle = value != "zero",
            "serial" if names_one_disk(value.trim()) => d.serials.push(value.trim().to_owned()),
            "link" => links.extend(value.split_once(' ').map(|(n, to)| (n.to_owned(), to.to_owned()))),
            "made" => d.made = Some(value.trim().to_owned()),
            "peer" => d.peer = Some(value.trim().to_owned()),
            "spent" => d.spent.push(value.trim().to_owned()),
            "gi" => d.generation = Generation::parse(value),
            "making" => value.clone_into(&mut making),
            "identity" => value.clone_into(&mut identity),
            "table-disk" => value.clone_into(&mut d.table.disk),
            "table-size" => d.table.size = number(),
            "table" => {
                d.table.dump.push_str(value);
                d.table.dump.push('\n');
            }
            "sfdisk" => value.rsplit(' ').next().unwrap_or_default().clone_into(&mut d.table.sfdisk),
            "free" => d.table.free = number(),
            "bare" => d.table.bare = value == "yes",
            "free-holds" => d.table.holds.push(value.to_owned()),
            _ => {}
        }
    }
    d.making = !making.is_empty() && making == identity;
    d.serials.dedup();
    let real = d.real.trim_start_matches("/dev/").to_owned();
    d.names = links
        .into_iter()
        .filter(|(_, to)| to.rsplit('/').next().is_some_and(|to| to == real || to == d.disk))
        .map(|(name, _)| name)
        .collect();
    d.names.sort();
    d
}

/// Some drivers make a serial up: consent by `(null)` or `0000` would name every disk.
pub(crate) fn names_one_disk(serial: &str) -> bool {
    let word = serial.to_ascii_lowercase();
    serial.starts_with(|c: char| c.is_ascii_alphanumeric())
        && serial.chars().any(|c| c != '0')
        && !["none", "null", "unknown", "n/a", "default", "default string", "not available"].contains(&word.as_str())
}

/// A line of `wipefs --parsable`: `offset,uuid,label,type`; a label may hold commas.
fn signature(line: &str) -> Option<Signature> {
    let mut parts = line.split(',');
    let _offset = parts.next()?;
    let uuid = parts.next()?.to_owned();
    let mut rest: Vec<&str> = parts.collect();
    let kind = rest.pop()?.to_owned();
    Some(Signature { kind, uuid, label: rest.join(",") })
}

/// Bytes for people, with one decimal.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = n;
    let mut rest = 0;
    while whole >= 1024 && unit < 4 {
        rest = whole % 1024;
        whole /= 1024;
        unit += 1;
    }
    let tenth = rest * 10 / 1024;
    if unit == 0 || tenth == 0 {
        format!("{whole} {}", UNITS[unit])
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::node::Transport as _;
    use crate::node::local::Local;

    #[test]
    fn what_a_disk_without_table_holds_is_looked_for_in_all_of_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("disk");
        let path = path.to_str().unwrap();
        let size = 64 << 20;
        let script = format!("{PROBE}\nhapair_bare \"$@\"\n");
        let read = Cmd::read_sh(&script, [path.to_owned(), "0".to_owned(), size.to_string()]);
        let said = || Local::new().exec(&read).unwrap().text();
        for (place, found) in
            [(None, [false; 3]), (Some(700_000), [true, false, false]), (Some(size - 9), [false, false, true])]
        {
            let file = std::fs::File::create(path).unwrap();
            file.set_len(size).unwrap();
            if let Some(place) = place {
                std::os::unix::fs::FileExt::write_all_at(&file, b"something", place).unwrap();
            }
            assert!(said().contains(&format!("use={path} is open in process {}", std::process::id())), "{}", said());
            drop(file);
            let said = said();
            let device = parse(&said);
            assert!(device.table.bare && !device.unreadable, "{said}");
            assert_eq!([device.head, device.middle, device.tail], found, "{said}");
        }
    }
}

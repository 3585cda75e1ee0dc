//! What a block device holds, and who uses it: the rule that nothing is overwritten without consent lives here.
//!
//! [`probe`] is one shell function. It is a read, and it is also the guard of every order that writes: such an
//! order runs the same function once more on the node and goes on only if it says, word by word, what was judged.

use crate::node::Cmd;

/// Where records and backups are kept on a node.
pub const STATE: &str = "/var/lib/hapair";

/// DRBD's period minimum: smaller devices make `drbdmeta` 8.0 fail, and leave OCFS2 no room.
pub const SMALLEST: u64 = 128 << 20;

/// The shell function `probe DEVICE DISK RESOURCE MINOR`: a line `key=value` for each fact. Only builtins where
/// possible, since a process can cost 25 ms.
pub const PROBE: &str = include_str!("device.sh");

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
    /// It could not be read.
    pub unreadable: bool,
    /// Serials of its disk.
    pub serials: Vec<String>,
    /// Names under /dev/disk of the device and its disk.
    pub names: Vec<String>,
    /// Device UUID of the DRBD metadata that hapair made here.
    pub made: Option<String>,
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
    /// What is in the free space: `ext4`, `data`; empty if nothing.
    pub holds: String,
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
            "serial" if names_one_disk(value.trim()) => d.serials.push(value.trim().to_owned()),
            "link" => links.extend(value.split_once(' ').map(|(n, to)| (n.to_owned(), to.to_owned()))),
            "made" => d.made = Some(value.trim().to_owned()),
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
            "free-holds" => value.clone_into(&mut d.table.holds),
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
fn names_one_disk(serial: &str) -> bool {
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

/// What is to be thought of a device that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// Our DRBD runs on it, or it carries the metadata that we made.
    Ours,
    /// We were making metadata when we were stopped; nothing else is on it.
    HalfMade {
        /// The metadata is complete; only the record is missing.
        complete: bool,
    },
    /// Nothing.
    Nothing,
    /// Something, and the answers name the device: what is lost.
    Erasable(String),
    /// Something, and there is no valid consent: what was found, and what to do.
    Foreign {
        /// What was found.
        what: String,
        /// What to do next.
        next: String,
    },
}

impl Device {
    /// How it is called in messages: `/dev/disk/by-id/...-part3 (/dev/sda3)`.
    pub fn name(&self) -> String {
        if self.real.is_empty() || self.real == self.path {
            self.path.clone()
        } else {
            format!("{} ({})", self.path, self.real)
        }
    }

    /// Why it can't be used at all, whatever the answers say.
    pub fn unusable(&self) -> Option<(String, String)> {
        let name = self.name();
        if self.other {
            return Some((
                format!("{name} is no block device"),
                "name a partition or a logical volume as `device`".into(),
            ));
        }
        if !self.block || self.attached {
            return None;
        }
        if !self.uses.is_empty() {
            let next = "free it, or name another `device`; hapair never takes a device that is in use";
            return Some((format!("{name} ({}) is in use: {}", bytes(self.size), self.uses.join(", ")), next.into()));
        }
        if self.read_only {
            return Some((format!("{name} is write-protected"), "take the write protection off".into()));
        }
        if self.unreadable {
            return Some((
                format!("{name} can't be read"),
                format!("look at `dmesg` and `dd if={} of=/dev/null bs=1M count=1`", self.path),
            ));
        }
        if self.size < SMALLEST {
            return Some((
                format!("{name} has only {}; at least {} are needed", bytes(self.size), bytes(SMALLEST)),
                "name a larger `device`".into(),
            ));
        }
        None
    }

    /// What it holds. Call only if it is [`Device::block`] and not [`Device::unusable`].
    pub fn holds(&self, erase: &str) -> Holds {
        if self.attached {
            return Holds::Ours;
        }
        let drbd = self.signatures.iter().find(|s| s.kind == "drbd");
        if let (Some(sig), Some(made)) = (drbd, &self.made) {
            if sig.uuid.eq_ignore_ascii_case(made) {
                return Holds::Ours;
            }
        }
        let others = self.signatures.iter().any(|s| s.kind != "drbd");
        // drbdmeta writes at the end of the device only, so anything at its beginning is not from us.
        if self.making && !others && !self.head {
            return Holds::HalfMade { complete: drbd.is_some() };
        }
        if self.signatures.is_empty() && !self.head && !self.tail {
            return Holds::Nothing;
        }
        let what = self.content();
        let name = self.name();
        let size = bytes(self.size);
        let known = self.identities();
        if known.iter().any(|id| id == erase.trim()) {
            return Holds::Erasable(format!("{what} on {name}, {size}"));
        }
        if !erase.trim().is_empty() {
            return Holds::Foreign {
                what: format!(
                    "{name} ({size}) holds {what}, and `erase: {}` names another device: this one is {}",
                    erase.trim(),
                    list(&known)
                ),
                next: format!(
                    "check which device is meant; if what {name} holds may be lost, write `erase: {}`",
                    best(&known)
                ),
            };
        }
        let next = if known.is_empty() {
            format!(
                "it has neither serial nor by-id name, so no answer can name it: if this may be lost, empty it by hand (`wipefs -a {0}; dd if=/dev/zero of={0} bs=1M count=1`, and its last MiB)",
                self.real
            )
        } else {
            format!(
                "if this may be lost, add `erase: {}` to this node in the answers (known names: {})",
                best(&known),
                list(&known)
            )
        };
        Holds::Foreign { what: format!("{name} ({size}) holds {what}"), next }
    }

    /// Serials and by-id names by which consent can name it.
    pub fn identities(&self) -> Vec<String> {
        let mut all = self.serials.clone();
        all.extend(self.names.iter().cloned());
        all.dedup();
        all
    }

    fn content(&self) -> String {
        let mut found: Vec<String> = Vec::new();
        for sig in &self.signatures {
            let words = match sig.kind.as_str() {
                "drbd" => format!("DRBD metadata that hapair did not make here (device UUID {})", sig.uuid),
                "dos" | "gpt" | "PMBR" => format!("a partition table ({})", sig.kind),
                "LVM2_member" => "an LVM physical volume".to_owned(),
                "linux_raid_member" => "a member of a software RAID".to_owned(),
                "swap" => "swap space".to_owned(),
                kind if sig.label.is_empty() => kind.to_owned(),
                kind => format!("{kind} labelled \"{}\"", sig.label),
            };
            if !found.contains(&words) {
                found.push(words);
            }
        }
        if found.is_empty() {
            let place = match (self.head, self.tail) {
                (true, true) => "its first and last MiB are",
                (true, false) => "its first MiB is",
                _ => "its last MiB is",
            };
            found.push(format!("data of an unknown kind ({place} not empty)"));
        }
        found.join(" and ")
    }
}

fn best(known: &[String]) -> String {
    known.first().cloned().unwrap_or_else(|| "<serial or by-id name>".into())
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "without serial and by-id name".into() } else { known.join(", ") }
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

//! The partition under DRBD: used as it is, or made in the free space behind the last one.

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::action::{Act, Order, Refusal, RefusalKind, Scope, Seen, Settle, State};
use crate::device::{self, Consent, Device, Holds, Target, bytes};
use crate::node::{At, Cmd};

use super::drbd_metadata::{evidence, worse};

/// Sees both nodes, since both sides of DRBD must be of equal size. Never writes into a partition; no existing
/// entry of a partition table changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Names of the nodes, in order.
    pub nodes: Vec<String>,
    /// Device of each node.
    pub devices: Vec<String>,
    /// Consent of each node: serial or by-id name, or empty.
    #[serde(default)]
    pub erase: Vec<String>,
    /// Name of the cluster: its own file system is never erased.
    pub cluster: String,
    /// `no`, `rest` or bytes.
    pub create: String,
    /// DRBD resource that will run on it.
    pub resource: String,
    /// Its minor.
    pub minor: String,
}

/// What is to be done on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Todo {
    Nothing,
    /// The table has it, the kernel doesn't know it yet.
    Announce {
        disk: String,
        number: u32,
    },
    /// It is to be made.
    Make(Space),
}

/// Free space for the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Space {
    disk: String,
    number: u32,
    /// First sector.
    start: u64,
    /// Bytes up to the end of the disk.
    free: u64,
    /// Bytes of a sector.
    sector: u64,
}

const MAKE: &str = r#"
# $5 number, $6 first sector, $7 sectors, $8 bytes of a sector, $9 consent if the space holds something
disk=$(readlink -f "$2")
save() {
	umask 077
	mkdir -p /var/lib/hapair || exit 1
	n=1
	while [ -e "/var/lib/hapair/partition-table-${disk##*/}-$n.sfdisk" ]; do n=$((n + 1)); done
	saved=/var/lib/hapair/partition-table-${disk##*/}-$n.sfdisk
	printf '%s\n' "$1" >"$saved.new" && mv "$saved.new" "$saved" && sync || exit 1
}
before=$(sfdisk -d "$disk") || exit 1
save "$before"
if [ -n "$9" ]; then
	keep=${saved%.sfdisk}
	per=$((1048576 / $8))
	dd if="$disk" of="$keep.head" bs="$8" skip="$6" count=$per 2>/dev/null &&
		dd if="$disk" of="$keep.tail" bs="$8" skip=$(($6 + $7 - per)) count=$per 2>/dev/null &&
		printf '%s\nconsent=%s\ntime=%s\n' "$now" "$9" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$keep.txt" && sync ||
		{ echo "what is in the free space of $disk could not be saved as $keep.*; nothing was written" >&2; exit 1; }
fi
printf 'start=%s, size=%s\n' "$6" "$7" | sfdisk --append --no-reread -q "$disk" || exit 1
after=$(sfdisk -d "$disk") || exit 1
lost=$(printf '%s\n' "$before" | grep -Fxv -e "$after")
added=$(printf '%s\n' "$after" | grep -Fxv -e "$before")
node=${added%% *}
case $lost$added in
*"
"*) added= ;;
esac
if [ -n "$lost" ] || [ -z "$added" ] || [ "${node##*[!0-9]}" != "$5" ]; then
	printf 'the partition table of %s is not what was asked for. It was saved as %s;\nput it back with: sfdisk --no-reread --force %s <%s\nlost:\n%s\nafter:\n%s\n' "$disk" "$saved" "$disk" "$saved" "$lost" "$after" >&2
	exit 1
fi
"#;

const ANNOUNCE: &str = r#"
number=$5 disk=$(readlink -f "$2")
partx -u --nr "$number" "$disk" || partx -a --nr "$number" "$disk" || partprobe "$disk" || exit 1
command -v udevadm >/dev/null 2>&1 && udevadm settle --timeout=30
n=0
until [ -b "$1" ]; do
	n=$((n + 1))
	[ $n -le 100 ] || { echo "$disk has partition $number now, but $1 did not appear" >&2; exit 1; }
	sleep 0.1 2>/dev/null || sleep 1
done
"#;

impl Partition {
    fn target(&self, at: At) -> Target<'_> {
        let device = self.devices.get(at.index()).map_or("", String::as_str);
        Target { device, resource: &self.resource, minor: &self.minor }
    }

    fn node(&self, at: At) -> &str {
        self.nodes.get(at.index()).map_or("", String::as_str)
    }

    fn erase(&self, at: At) -> &str {
        self.erase.get(at.index()).map_or("", String::as_str)
    }

    /// What is to be done on a node, by itself.
    fn judge_one(&self, at: At, devices: &[Device; 2], seen: &Seen<'_>) -> Result<Todo, State> {
        let (name, d) = (self.node(at), &devices[at.index()]);
        let refuse = |kind, what: String, next: String| Refusal::state(kind, format!("{name}: {what}"), next);
        if let Some((what, next)) = d.unusable() {
            return Err(refuse(RefusalKind::Preflight, what, next));
        }
        if d.block {
            return match d.holds(self.erase(at), &evidence(&self.cluster, at, devices, seen)) {
                Holds::Foreign { what, next } => Err(refuse(RefusalKind::Consent, what, next)),
                _ => Ok(Todo::Nothing),
            };
        }
        self.judge_missing(at, d).map_err(|(kind, what, next)| match kind {
            Some(kind) => refuse(kind, what, next),
            None => State::Unknown(format!("{name}: {what}")),
        })
    }

    /// A missing device: what could be made. `None` as kind: can't be told yet.
    fn judge_missing(&self, at: At, d: &Device) -> Result<Todo, (Option<RefusalKind>, String, String)> {
        let preflight = Some(RefusalKind::Preflight);
        let path = &d.path;
        let Some((disk, number)) = device::split(path) else {
            return Err((
                preflight,
                format!("there is no device {path}"),
                "make it, or name one that exists; hapair makes partitions only".into(),
            ));
        };
        let t = &d.table;
        if t.disk.is_empty() {
            return Err((
                preflight,
                format!("there is no disk {disk}, so no {path} either"),
                "look at `lsblk` there and name the right `device`".into(),
            ));
        }
        let disk = t.disk.clone();
        if t.sfdisk.is_empty() {
            return Err((None, "sfdisk is not installed".into(), String::new()));
        }
        let table = Entries::parse(&t.dump);
        let Some(label) = table.label else {
            let (kind, what, next) = d.without_table();
            return Err((Some(kind), what, next));
        };
        if table.numbers.contains(&number) {
            return Ok(Todo::Announce { disk, number });
        }
        if self.create == "no" {
            let next = "make it by hand, or let hapair make it: `create: rest` (or a size) under `storage`";
            return Err((
                preflight,
                format!("there is no {path}; {disk} has {} partitions", table.numbers.len()),
                next.into(),
            ));
        }
        if too_old(&t.sfdisk) {
            let next = format!("make it by hand, for example: `sfdisk -N{number} {disk}`, and reboot");
            return Err((
                preflight,
                format!("there is no {path}, and sfdisk {} can't append a partition", t.sfdisk),
                next,
            ));
        }
        let first = (1..=128).find(|n| !table.numbers.contains(n)).unwrap_or(129);
        if label == Label::Dos && number > 4 {
            let next = "make it by hand, or use a primary partition (1 to 4)";
            return Err((preflight, format!("there is no {path}; hapair makes no logical partitions"), next.into()));
        }
        if first != number {
            let next = format!("name {} as `device`, or make partition {number} by hand", numbered(path, first));
            return Err((
                preflight,
                format!("the next partition of {disk} would be number {first}, not {number}"),
                next,
            ));
        }
        let last = table.last_lba.unwrap_or_else(|| (t.size / table.sector).saturating_sub(1));
        // A DOS entry counts sectors in 32 bits.
        let last = if label == Label::Dos { last.min(u64::from(u32::MAX) - 1) } else { last };
        let free = (last + 1).saturating_sub(t.free) * table.sector;
        let space = Space { disk, number, start: t.free, free, sector: table.sector };
        if space.free < device::SMALLEST {
            let what = format!(
                "there is no {path}, and {} has only {} free behind its last partition",
                space.disk,
                bytes(space.free)
            );
            return Err((preflight, what, "make room, or name another `device`".into()));
        }
        if !t.holds.is_empty() {
            let what = format!(
                "the free space of {} behind its last partition ({}), where {path} would be made, holds {}",
                space.disk,
                bytes(space.free),
                t.holds.join(" and ")
            );
            let next = if d.identities().is_empty() {
                format!("if this may be lost, make {path} by hand and empty it")
            } else {
                d.how_to_consent()
            };
            match d.consented(self.erase(at)) {
                Consent::Given => {}
                Consent::Missing(why) if why.is_empty() => return Err((Some(RefusalKind::Consent), what, next)),
                Consent::Missing(why) | Consent::Spent(why) => {
                    return Err((Some(RefusalKind::Consent), format!("{what}, and {why}"), next));
                }
            }
        }
        Ok(Todo::Make(space))
    }

    /// Size of what is to be made, or why both can't be of equal size.
    fn size(&self, devices: &[Device; 2], todo: &[Todo; 2]) -> Result<u64, (String, String)> {
        let present = |i: usize| matches!(todo[i], Todo::Nothing).then_some(devices[i].size);
        let free = |i: usize| if let Todo::Make(s) = &todo[i] { Some(s.free) } else { None };
        let what = |i: usize| -> String {
            let name = &self.nodes.get(i).map_or("", String::as_str);
            match (present(i), free(i)) {
                (Some(n), _) => format!("{name}: {} has {n} bytes ({})", devices[i].name(), bytes(n)),
                (_, Some(n)) => format!("{name}: {n} bytes ({}) are free for {}", bytes(n), devices[i].path),
                _ => name.to_string(),
            }
        };
        let both = || format!("{}; {}", what(0), what(1));
        if let (Some(a), Some(b)) = (present(0), present(1)) {
            // DRBD works in blocks of 4 KiB.
            return if a / 4096 == b / 4096 {
                Ok(a)
            } else {
                Err((
                    format!("the two devices are not of equal size. {}", both()),
                    "make them equal: DRBD could use only the smaller size, and a later exchange of disks would fail"
                        .into(),
                ))
            };
        }
        let room = (0..2).filter_map(free).min().unwrap_or(0);
        let wish = match self.create.parse::<u64>() {
            Ok(n) => n >> 20 << 20,
            Err(_) => present(0).or(present(1)).unwrap_or(room >> 20 << 20),
        };
        if let Some(there) = present(0).or(present(1)) {
            if there / 4096 != wish / 4096 {
                return Err((
                    format!("`create` asks for {wish} bytes, which the other node's partition is not. {}", both()),
                    "leave `create: rest`: then the new one becomes as large as the one that exists".into(),
                ));
            }
        }
        if wish > room || wish < device::SMALLEST {
            return Err((
                format!("a partition of {} can't be made. {}", bytes(wish), both()),
                "choose another size or another device".into(),
            ));
        }
        Ok(wish)
    }

    fn devices(seen: &Seen<'_>) -> [Device; 2] {
        At::BOTH.map(|at| device::parse(&seen.get(at, 0).text()))
    }

    fn todo(&self, devices: &[Device; 2], seen: &Seen<'_>) -> Result<([Todo; 2], u64), State> {
        let todo = match At::BOTH.map(|at| self.judge_one(at, devices, seen)) {
            [Ok(a), Ok(b)] => [a, b],
            [Err(a), Err(b)] => return Err(worse(&self.nodes, a, b)),
            [Err(state), _] | [_, Err(state)] => return Err(state),
        };
        if todo.iter().any(|t| matches!(t, Todo::Announce { .. })) {
            return Ok((todo, 0));
        }
        let size =
            self.size(devices, &todo).map_err(|(what, next)| Refusal::state(RefusalKind::Preflight, what, next))?;
        Ok((todo, size))
    }
}

impl Act for Partition {
    fn title(&self) -> String {
        let mut names = self.devices.clone();
        names.dedup();
        format!("partition {} of equal size on both nodes", names.join(" and "))
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, at: At) -> Vec<Cmd> {
        vec![device::probe(&self.target(at))]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let devices = Self::devices(seen);
        match self.todo(&devices, seen) {
            Err(state) => state,
            Ok((todo, size)) => {
                let mut summary = String::new();
                for (i, t) in todo.iter().enumerate() {
                    let gap = if summary.is_empty() { "" } else { "; " };
                    let node = self.nodes.get(i).map_or("", String::as_str);
                    let path = &devices[i].path;
                    let _ = match t {
                        Todo::Nothing => Ok(()),
                        Todo::Announce { .. } => write!(summary, "{gap}let the kernel of {node} see {path}"),
                        Todo::Make(_) => write!(summary, "{gap}make {path} of {} on {node}", bytes(size)),
                    };
                }
                if summary.is_empty() { State::Satisfied } else { State::drift(summary) }
            }
        }
    }

    fn left(&self) -> Option<String> {
        Some(format!("The partitions {} stay as they are, with all that is on them.", self.devices.join(" and ")))
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let devices = Self::devices(seen);
        let (todo, size) = self.todo(&devices, seen).map_err(|state| anyhow!("not to be done: {state:?}"))?;
        let mut orders = Vec::new();
        for at in At::BOTH {
            let raw = &devices[at.index()].raw;
            let cmd = match &todo[at.index()] {
                Todo::Nothing => continue,
                Todo::Announce { number, .. } => {
                    device::guarded(&self.target(at), raw, ANNOUNCE, &[&number.to_string()])
                }
                Todo::Make(s) => device::guarded(
                    &self.target(at),
                    raw,
                    &format!("{MAKE}{ANNOUNCE}"),
                    &[
                        &s.number.to_string(),
                        &s.start.to_string(),
                        &(size / s.sector).to_string(),
                        &s.sector.to_string(),
                        if devices[at.index()].table.holds.is_empty() { "" } else { self.erase(at).trim() },
                    ],
                ),
            };
            orders.push(Order::new(at, cmd));
        }
        Ok(orders)
    }

    fn settle(&self) -> Option<Settle> {
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Dos,
    Gpt,
}

/// What matters of `sfdisk -d`.
#[derive(Debug, Default)]
struct Entries {
    label: Option<Label>,
    numbers: Vec<u32>,
    last_lba: Option<u64>,
    sector: u64,
}

impl Entries {
    fn parse(dump: &str) -> Entries {
        let mut e = Entries { sector: 512, ..Entries::default() };
        for line in dump.lines() {
            if let Some((name, _)) = line.split_once(" : ") {
                if !line.contains("size=          0,") {
                    let digits = name.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                    e.numbers.extend(digits.parse::<u32>().ok());
                    // Before util-linux 2.26 the dump had no `label:` line, and GPT was not known.
                    e.label = e.label.or(Some(Label::Dos));
                }
            } else if let Some((key, value)) = line.split_once(':') {
                match (key, value.trim()) {
                    ("label", "dos") => e.label = Some(Label::Dos),
                    ("label", "gpt") => e.label = Some(Label::Gpt),
                    ("last-lba", n) => e.last_lba = n.parse().ok(),
                    ("sector-size", n) => e.sector = n.parse().unwrap_or(512),
                    _ => {}
                }
            }
        }
        e
    }
}

/// `sfdisk --append` came with util-linux 2.26.
fn too_old(version: &str) -> bool {
    let mut parts =
        version.split('.').map(|p| p.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < (2, 26)
}

fn numbered(path: &str, number: u32) -> String {
    format!("{}{number}", path.trim_end_matches(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
#[path = "partition/tests.rs"]
mod tests;

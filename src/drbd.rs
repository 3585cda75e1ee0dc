//! What DRBD says of itself: `/proc/drbd` of 8.0 to 8.4, `drbdsetup status` of 9, generation identifiers.

use crate::action::Progress;
use crate::node::{Cmd, Output};

/// Minor of hapair's resource; there may be others.
pub const MINOR: u32 = 0;

/// Dialect of the configuration file that a module's version wants: `8.0` (up to 8.3), `8.4` or `9`.
pub fn dialect(version: &str) -> &'static str {
    let mut parts = version.trim().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    match (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) {
        (9.., _) => "9",
        (8, 4..) => "8.4",
        _ => "8.0",
    }
}

/// A resynchronisation on its way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sync {
    /// 0 to 100.
    pub percent: f64,
    /// KiB that are still to go, if known.
    pub left_kib: Option<u64>,
    /// Seconds to the end, if known.
    pub eta_seconds: Option<u64>,
    /// KiB per second, if known.
    pub speed_kib: Option<u64>,
    /// It does not move.
    pub stalled: bool,
}

impl Sync {
    /// For people.
    pub fn progress(&self) -> Progress {
        let detail = match (self.stalled, self.speed_kib) {
            (true, _) => "stalled".to_owned(),
            (_, Some(kib)) => format!("{} MB/s", tenths(kib)),
            _ => String::new(),
        };
        Progress { percent: Some(self.percent), eta_seconds: self.eta_seconds, detail }
    }
}

fn tenths(kib: u64) -> String {
    let tenths = kib * 1024 / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A DRBD device, as one node sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Device {
    /// Minor number; `None` if `drbdsetup status` of 9 was read.
    pub minor: Option<u32>,
    /// Connection state; while connected the words of 8.x: `Connected`, `SyncSource`, `WFConnection`...
    pub connection: String,
    /// Own role.
    pub role: String,
    /// The peer's role, `Unknown` while not connected.
    pub peer_role: String,
    /// State of the own disk.
    pub disk: String,
    /// State of the peer's disk, `DUnknown` while not connected.
    pub peer_disk: String,
    /// A resynchronisation on its way.
    pub sync: Option<Sync>,
    /// KiB that differ between the two sides; `None` where the module doesn't tell.
    pub out_of_sync_kib: Option<u64>,
}

impl Device {
    /// The two sides talk to each other.
    pub fn connected(&self) -> bool {
        !matches!(
            self.connection.as_str(),
            "" | "Unconfigured"
                | "StandAlone"
                | "Disconnecting"
                | "Unconnected"
                | "Timeout"
                | "BrokenPipe"
                | "NetworkFailure"
                | "ProtocolError"
                | "WFConnection"
                | "WFReportParams"
                | "TearDown"
                | "Connecting"
        )
    }

    /// Both disks are good and the two sides talk.
    pub fn whole(&self) -> bool {
        self.connected() && self.disk == "UpToDate" && self.peer_disk == "UpToDate"
    }

    /// Data is being copied, or about to be.
    pub fn syncing(&self) -> bool {
        self.sync.is_some()
            || ["Sync", "PausedSync", "StartingSync", "WFBitMap", "WFSyncUUID"]
                .iter()
                .any(|p| self.connection.starts_with(p))
    }
}

/// What `/proc/drbd` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proc {
    /// Version of the loaded module.
    pub version: Option<String>,
    /// Configured devices.
    pub devices: Vec<Device>,
}

impl Proc {
    /// A device by its minor.
    pub fn minor(&self, minor: u32) -> Option<&Device> {
        self.devices.iter().find(|d| d.minor == Some(minor))
    }
}

/// Reads `/proc/drbd`. Formats: drbd_proc.c of 8.0.3, 8.3.16 and 8.4.11; with 9 there are only version lines.
pub fn proc(text: &str) -> Proc {
    let mut found = Proc::default();
    for line in text.lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("version:") {
            found.version = rest.split_whitespace().next().map(str::to_owned);
        } else if let Some((minor, rest)) = line.split_once(": cs:") {
            let Ok(minor) = minor.trim().parse() else { continue };
            let mut device = Device { minor: Some(minor), ..Device::default() };
            for (n, word) in rest.split_whitespace().enumerate() {
                match word.split_once(':') {
                    None if n == 0 => word.clone_into(&mut device.connection),
                    Some(("st" | "ro", roles)) => (device.role, device.peer_role) = halves(roles),
                    Some(("ds", disks)) => (device.disk, device.peer_disk) = halves(disks),
                    _ => {}
                }
            }
            if device.connection != "Unconfigured" {
                found.devices.push(device);
            }
        } else if let Some(device) = found.devices.last_mut() {
            if let Some((_, rest)) = line.split_once("sync'ed:") {
                device.sync = Some(synced(rest));
            } else if let Some(kib) = value(line, "oos") {
                device.out_of_sync_kib = kib.parse().ok();
            } else if let Some(sync) = &mut device.sync {
                finish(line, sync);
            }
        }
    }
    found
}

fn halves(pair: &str) -> (String, String) {
    let (own, peer) = pair.split_once('/').unwrap_or((pair, ""));
    (own.to_owned(), peer.to_owned())
}

/// `  8.7% (10803/11811)M`: percent, what is left, all.
fn synced(rest: &str) -> Sync {
    let mut sync = Sync::default();
    let (percent, rest) = rest.split_once('%').unwrap_or((rest, ""));
    sync.percent = percent.trim().parse().unwrap_or(0.0);
    if let Some((left, unit)) = rest.trim().trim_start_matches('(').split_once(')') {
        let left: Option<u64> = left.split('/').next().and_then(|n| n.parse().ok());
        sync.left_kib = left.map(|n| if unit.starts_with('M') { n * 1024 } else { n });
    }
    sync
}

/// `finish: 0:18:24 speed: 10,024 (9,876) want: 10,240 K/sec`, `stalled`.
fn finish(line: &str, sync: &mut Sync) {
    if line.contains("stalled") {
        sync.stalled = true;
    }
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "finish:" => {
                sync.eta_seconds = words.next().and_then(|time| {
                    time.split(':').try_fold(0_u64, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))
                });
            }
            "speed:" => sync.speed_kib = words.next().and_then(|n| n.replace(',', "").parse().ok()),
            _ => {}
        }
    }
}

/// Reads `drbdsetup status RESOURCE` (9; also what `drbdadm status` prints with 8.4), its first volume and first peer.
pub fn status(text: &str, resource: &str) -> Option<Device> {
    let mut lines =
        text.lines().skip_while(|line| line.split_whitespace().next() != Some(resource) || line.starts_with(' '));
    let mut device = Device { role: value(lines.next()?, "role")?, ..Device::default() };
    let mut connection = None;
    let mut peer = false;
    for line in lines.take_while(|line| line.starts_with(' ')) {
        if line.contains(" role:") || line.contains(" connection:") || line.starts_with("  peer ") {
            peer = true;
            device.peer_role = value(line, "role").unwrap_or_else(|| "Unknown".into());
            connection = value(line, "connection").or(connection);
        }
        if !peer {
            device.disk = value(line, "disk").unwrap_or(device.disk);
        }
        device.peer_disk = value(line, "peer-disk").unwrap_or(device.peer_disk);
        connection = value(line, "replication").filter(|r| r != "Off").or(connection);
        if let Some(done) = value(line, "done").and_then(|n| n.parse().ok()) {
            device.sync = Some(Sync { percent: done, ..Sync::default() });
        }
    }
    device.connection = match connection.as_deref() {
        None | Some("Established") => "Connected".into(),
        Some("Connecting") => "WFConnection".into(),
        Some(other) => other.to_owned(),
    };
    if !peer {
        "StandAlone".clone_into(&mut device.connection);
    }
    if device.peer_disk.is_empty() {
        "DUnknown".clone_into(&mut device.peer_disk);
    }
    if device.peer_role.is_empty() {
        "Unknown".clone_into(&mut device.peer_role);
    }
    Some(device)
}

fn value(line: &str, key: &str) -> Option<String> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix(':')).map(str::to_owned)
}

/// What a node says of one resource; see [`look`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// Version of the loaded module; `None`: it isn't loaded.
    pub version: Option<String>,
    /// The device; `None`: it isn't up.
    pub device: Option<Device>,
    /// Generation identifiers, asked for only while something is amiss.
    pub gi: Option<Generation>,
}

/// A read whose output [`view`] understands; about this resource alone, whatever others there are.
pub fn look(resource: &str, minor: &str) -> Cmd {
    const LOOK: &str = r#"
[ -r /proc/drbd ] || exit 0
state() {
	text= own=
	while IFS= read -r line; do
		text="$text$line
"
		# Other resources are somebody else's.
		case $line in *"$2: cs:"*) [ "${line%%:*}" -eq "$2" ] && own=$line ;; esac
	done </proc/drbd
	case $text in "version: 8"*) ;; *) own=$(drbdsetup status "$1" 2>/dev/null) ;; esac
}
state "$1" "$2"
printf '%s' "$text"
case $text in "version: 8"*) ;; *) printf '=== status\n%s\n' "$own" ;; esac
case $own in
*ds:UpToDate/UpToDate* | *cs:Sync* | *replication:Sync* | *peer-disk:UpToDate*) ;;
*)
	gi=$(drbdadm get-gi "$1" 2>/dev/null </dev/null)
	# While a connection is made they change: beside a state from before that they would tell of a split brain.
	before=$own
	state "$1" "$2"
	[ "${before%% ro:*}" != "${own%% ro:*}" ] || printf '=== gi\n%s\n' "$gi"
	;;
esac
"#;
    Cmd::read_sh(LOOK, [resource, minor])
}

/// Reads the output of [`look`].
pub fn view(output: &Output, resource: &str, minor: u32) -> View {
    let text = output.text();
    let mut parts = text.split("=== ");
    let found = proc(parts.next().unwrap_or_default());
    let mut view = View { device: found.minor(minor).cloned(), version: found.version, ..View::default() };
    for part in parts {
        let (name, body) = part.split_once('\n').unwrap_or((part, ""));
        match name {
            "status" => view.device = status(body, resource),
            "gi" => view.gi = Generation::parse(body),
            _ => {}
        }
    }
    view
}

/// Generation identifiers: current, bitmap, two of the history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generation([u64; 4]);

impl Generation {
    /// `drbdadm get-gi`: `0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:...`.
    pub fn parse(text: &str) -> Option<Generation> {
        let line = text.lines().map(str::trim).find(|line| line.matches(':').count() >= 3)?;
        let mut all = [0; 4];
        let mut parts = line.split(':');
        for slot in &mut all {
            *slot = u64::from_str_radix(parts.next()?, 16).ok()?;
        }
        Some(Generation(all))
    }

    /// Metadata as `create-md` leaves it: no data has ever been written (UUID_JUST_CREATED in drbd.h).
    pub fn fresh(&self) -> bool {
        self.0[0] == 4
    }

    /// Both belong to the same data: one of them is the other, or an ancestor of it.
    pub fn related(&self, peer: &Generation) -> bool {
        let empty = |g: &Generation| g.0[0] & !1 == 0;
        !self.fresh() && !peer.fresh() && !empty(self) && !empty(peer) && !self.split_from(peer)
    }

    /// Both sides have written on their own: none has the other's data among its ancestors. The lowest bit of an
    /// identifier only says whether the node was Primary.
    pub fn split_from(&self, peer: &Generation) -> bool {
        let clean = |g: &Generation| g.0.map(|id| id & !1);
        let (a, b) = (clean(self), clean(peer));
        !self.fresh() && !peer.fresh() && a[0] != b[0] && !a[1..].contains(&b[0]) && !b[1..].contains(&a[0])
    }
}

/// The sides of a DRBD device that do not talk, in words: what it is and how an administrator ends it. Never done
/// by hapair: it costs the data of one side.
pub fn split_brain(resource: &str, nodes: &[String], dialect: &str) -> (String, String) {
    let (first, second) = (nodes.first().map_or("", String::as_str), nodes.get(1).map_or("", String::as_str));
    let discard = if dialect == "8.0" {
        format!("drbdadm -- --discard-my-data connect {resource}")
    } else {
        format!("drbdadm connect --discard-my-data {resource}")
    };
    (
        format!(
            "split brain: {first} and {second} have both written to {resource} while they did not see each other, so their data differ"
        ),
        format!(
            "decide whose data is lost; stop what uses {resource} there, then on that node `drbdadm disconnect {resource}; drbdadm secondary {resource}; {discard}`, and on the other one `drbdadm connect {resource}`"
        ),
    )
}

#[cfg(test)]
#[path = "drbd/tests.rs"]
mod tests;

//! DRBD's metadata on the backing device: made once, and only where nothing is lost without consent.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::action::{Act, Change, Order, Refusal, RefusalKind, Risk, Seen, State};
use crate::device::{self, Device, Holds, Target};
use crate::node::{At, Cmd};

/// Metadata of a resource on one node's device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrbdMetadata {
    /// Backing device.
    pub device: String,
    /// Consent: serial or by-id name, or empty.
    #[serde(default)]
    pub erase: String,
    /// DRBD resource, as in its configuration.
    pub resource: String,
    /// Its minor.
    pub minor: String,
    /// `8.0`, `8.4` or `9`.
    pub dialect: String,
}

// The record `making` is written before drbdmeta writes, and `made` after it: a power cut in between leaves a device
// that is known to hold nothing but our own unfinished metadata, so that the same command may go on. The metadata's
// device UUID stays the same for its whole life, so it tells our metadata from anybody else's, attached or not.
const SHARED: &str = r#"
# $5 dialect
records=/var/lib/hapair
umask 077
mkdir -p $records || exit 1
note() { printf '%s\n' "$2" >"$records/drbd-$1.new" && mv "$records/drbd-$1.new" "$records/drbd-$1" && sync; }
adm() {
	if [ "$dialect" = 8.0 ] && [ "$1" = create-md ]; then drbdadm -- --force create-md "$2"
	elif [ "$1" = create-md ]; then drbdadm create-md --force "$2"
	else drbdadm "$@"; fi </dev/null
}
resource=$3 device=$1 minor=$4 dialect=$5
record() {
	uuid=$(hapair_signatures "$device" "$minor" | sed -n 's/^sig=[^,]*,\([0-9A-Fa-f]*\),.*,drbd$/\1/p' | head -n 1)
	[ -n "$uuid" ] || { echo "no DRBD metadata is seen on $device after drbdadm create-md" >&2; exit 1; }
	note "$resource.made" "$uuid" && rm -f "$records/drbd-$resource.making"
}
"#;

const ERASE: &str = r#"
# What goes is kept: the first and the last MiB, and the list of signatures.
n=1
while [ -e "$records/erased-$resource-$n.txt" ]; do n=$((n + 1)); done
keep=$records/erased-$resource-$n
bytes=$(printf '%s\n' "$now" | sed -n 's/^size=//p')
tail=$((bytes / 1048576 - 1))
dd if="$device" of="$keep.head" bs=1M count=1 2>/dev/null &&
	dd if="$device" of="$keep.tail" bs=1M skip=$tail 2>/dev/null &&
	printf '%s\n' "$now" >"$keep.txt" && sync || { echo "the first and last MiB of $device could not be saved as $keep.*" >&2; exit 1; }
if command -v wipefs >/dev/null 2>&1; then wipefs -q -a "$device" || exit 1; fi
dd if=/dev/zero of="$device" bs=1M count=1 conv=notrunc 2>/dev/null || exit 1
dd if=/dev/zero of="$device" bs=1M seek=$tail count=$((bytes / 1048576 - tail)) conv=notrunc 2>/dev/null || exit 1
rest=$((bytes % 1048576 / 512))
[ $rest -eq 0 ] || dd if=/dev/zero of="$device" bs=512 seek=$((bytes / 512 - rest)) count=$rest conv=notrunc 2>/dev/null || exit 1
sync
"#;

const CREATE: &str = r#"
note "$resource.making" "$(printf '%s\n' "$now" | sed -n 's/^identity=//p')" || exit 1
adm create-md "$resource" || exit $?
sync
record
"#;

const RECORD: &str = r#"
# hapair was stopped right after create-md: such metadata says that no data was ever written (identifier 4).
if ! adm dump-md "$resource" | grep -qi '0x0000000000000004;'; then
	echo "the metadata on $device was made by an interrupted run of hapair but has been used since; look at it with: drbdadm dump-md $resource" >&2
	exit 1
fi
record
"#;

impl DrbdMetadata {
    fn target(&self) -> Target<'_> {
        Target { device: &self.device, resource: &self.resource, minor: &self.minor }
    }

    fn device(at: At, seen: &Seen<'_>) -> Device {
        device::parse(&seen.get(at, 0).text())
    }
}

impl Act for DrbdMetadata {
    fn title(&self) -> String {
        format!("DRBD metadata of {} on {}", self.resource, self.device)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![device::probe(&self.target())]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let d = Self::device(at, seen);
        if let Some((what, next)) = d.unusable() {
            return Refusal::state(RefusalKind::Preflight, what, next);
        }
        if !d.block {
            return State::Unknown(format!("{} is not there yet", self.device));
        }
        let (name, size) = (d.name(), device::bytes(d.size));
        match d.holds(&self.erase) {
            Holds::Ours => State::Satisfied,
            Holds::HalfMade { .. } => State::drift(format!("finish the DRBD metadata on {name}, {size}")),
            Holds::Nothing => State::drift(format!("make DRBD metadata on {name}, {size}")),
            Holds::Erasable(what) => State::Drift(
                Change::new(format!(
                    "ERASE {what} (named by `erase: {}`), then make DRBD metadata there",
                    self.erase.trim()
                ))
                .risk(Risk::DestroysData),
            ),
            Holds::Foreign { what, next } => Refusal::state(RefusalKind::Consent, what, next),
        }
    }

    fn orders(&self, at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let d = Self::device(at, seen);
        if d.unusable().is_some() || !d.block {
            bail!("{} can't be used", self.device);
        }
        let script = match d.holds(&self.erase) {
            Holds::Nothing | Holds::HalfMade { complete: false } => format!("{SHARED}{CREATE}"),
            Holds::HalfMade { complete: true } => format!("{SHARED}{RECORD}"),
            Holds::Erasable(_) => format!("{SHARED}{ERASE}{CREATE}"),
            Holds::Ours => return Ok(Vec::new()),
            Holds::Foreign { what, .. } => bail!("{what}"),
        };
        Ok(vec![Order::new(at, device::guarded(&self.target(), &d.raw, &script, &[&self.dialect]))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn action(erase: &str) -> DrbdMetadata {
        DrbdMetadata {
            device: "/dev/sda3".into(),
            erase: erase.into(),
            resource: "r0".into(),
            minor: "0".into(),
            dialect: "8.4".into(),
        }
    }

    fn probe(more: &str) -> String {
        format!(
            "device=/dev/sda3\n{more}kind=block\nreal=/dev/sda3\nsize=2147483648\nro=0\nidentity=/dev/sda3 2147483648 14338048\npartition=3\ndisk=sda\n"
        )
    }

    fn judge(action: &DrbdMetadata, text: &str) -> State {
        let memory = Memory::default();
        let out = [Output { stdout: text.into(), ..Output::default() }];
        action.judge(At::First, &Seen { outputs: [&out, &[]], memory: &memory })
    }

    fn orders(action: &DrbdMetadata, text: &str) -> Vec<Order> {
        let memory = Memory::default();
        let out = [Output { stdout: text.into(), ..Output::default() }];
        action.orders(At::First, &Seen { outputs: [&out, &[]], memory: &memory }).expect("orders")
    }

    const EXT4: &str = "sig=0x438,6a1b-77,data,ext4\nhead=data\ntail=zero\nserial=A1\nlink=scsi-0QEMU_A1 ../../sda\nlink=scsi-0QEMU_A1-part3 ../../sda3\nlink=other ../../sdb\n";
    const DRBD: &str = "sig=0x7ffff03c,895cb231b972c31a,,drbd\nhead=zero\ntail=data\nserial=\n";

    #[test]
    fn empty_is_made() {
        let text = probe("") + "head=zero\ntail=zero\n";
        assert!(
            matches!(judge(&action(""), &text), State::Drift(c) if c.risk == Risk::None && c.summary.contains("make DRBD metadata"))
        );
        let order = orders(&action(""), &text).remove(0);
        let script = &order.cmd.argv[2];
        assert!(script.contains("create-md") && !script.contains("wipefs -q -a"));
        assert_eq!(order.cmd.argv[4], text.trim_end());
        assert_eq!(order.cmd.argv[5..], ["/dev/sda3", "/dev/sda", "r0", "0", "8.4"]);
    }

    #[test]
    fn ours_is_kept_attached_or_not() {
        assert_eq!(judge(&action("A1"), &(probe("") + "attached=r0\n")), State::Satisfied);
        assert_eq!(judge(&action("A1"), &(probe("made=895CB231B972C31A\n") + DRBD)), State::Satisfied);
    }

    #[test]
    fn foreign_needs_consent_by_name() {
        let text = probe("") + EXT4;
        let State::Refused(r) = judge(&action(""), &text) else { panic!("not refused") };
        assert_eq!(r.kind, RefusalKind::Consent);
        assert!(r.what.contains("ext4 labelled \"data\"") && r.what.contains("2 GiB"), "{}", r.what);
        assert!(r.next.contains("erase: A1"), "{}", r.next);
        let State::Refused(r) = judge(&action("B7"), &text) else { panic!("not refused") };
        assert!(r.what.contains("B7") && r.what.contains("A1"), "{}", r.what);
        assert!(r.what.ends_with("A1, scsi-0QEMU_A1, scsi-0QEMU_A1-part3"), "{}", r.what);
        for name in ["A1", "scsi-0QEMU_A1", "scsi-0QEMU_A1-part3"] {
            assert!(matches!(judge(&action(name), &text), State::Drift(c) if c.risk == Risk::DestroysData), "{name}");
        }
        let script = orders(&action("A1"), &text).remove(0).cmd.argv[2].clone();
        assert!(script.find("erased-").expect("backup") < script.find("wipefs -q -a").expect("wipe"));
    }

    #[test]
    fn a_made_up_serial_names_nothing() {
        for serial in ["(null)", "0000", "none"] {
            let text = probe("") + &EXT4.replace("serial=A1", &format!("serial={serial}"));
            let State::Refused(r) = judge(&action(serial), &text) else { panic!("{serial}") };
            assert!(!r.next.contains(&format!("erase: {serial}")), "{}", r.next);
        }
    }

    #[test]
    fn metadata_of_another_install_is_foreign() {
        for record in ["", "made=1111111111111111\n", "making=/dev/sdb3 1 1\n"] {
            let State::Refused(r) = judge(&action(""), &(probe(record) + DRBD)) else { panic!("{record}") };
            assert!(r.what.contains("hapair did not make here (device UUID 895cb231b972c31a)"), "{}", r.what);
        }
    }

    #[test]
    fn an_interrupted_creation_goes_on() {
        let making = "making=/dev/sda3 2147483648 14338048\n";
        let complete = probe(making) + DRBD;
        assert!(matches!(judge(&action(""), &complete), State::Drift(_)));
        assert!(orders(&action(""), &complete)[0].cmd.argv[2].contains("dump-md"));
        let half = probe(making) + "head=zero\ntail=data\nserial=\n";
        assert!(orders(&action(""), &half)[0].cmd.argv[2].contains("create-md"));
        // Somebody made a file system meanwhile.
        assert!(matches!(judge(&action(""), &(probe(making) + EXT4)), State::Refused(_)));
    }

    #[test]
    fn in_use_is_refused() {
        let State::Refused(r) =
            judge(&action("A1"), &(probe("") + "use=/dev/sda3 is mounted on /srv\nuse=/dev/sda3 is mounted on /srv\n"))
        else {
            panic!("not refused")
        };
        assert_eq!(r.kind, RefusalKind::Preflight);
        assert_eq!(r.what, "/dev/sda3 (2 GiB) is in use: /dev/sda3 is mounted on /srv");
        assert!(matches!(judge(&action(""), "device=/dev/sda3\nkind=missing\n"), State::Unknown(_)));
    }
}

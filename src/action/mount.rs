//! A mounted file system.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::command::Command;
use crate::action::{Act, Order, Refusal, RefusalKind, Seen, Settle, State};
use crate::cluster::MANAGED;
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// Mounted now, from the right device; whether by hapair, the cluster or a boot script does not matter. Nothing is
/// written to /etc/fstab: the cluster or the boot script mounts it at boot, after DRBD is Primary.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Device.
    pub device: String,
    /// Mount point.
    pub path: String,
    /// Type.
    pub fstype: String,
    /// Options, separated by commas.
    #[serde(default)]
    pub options: String,
    /// Id of the resource by which Pacemaker mounts it, once it is in the CIB.
    #[serde(default)]
    pub managed: String,
}

const READ: &str = r#"
while read -r what where type options _; do
	[ "$where" = "$2" ] && printf 'mounted=%s %s %s %s\n' "$what" "$(readlink -f "$what")" "$type" "$options"
done </proc/mounts
printf 'device=%s\n' "$(readlink -f "$1")"
[ -b "$1" ] && echo block=yes
[ -d "$2" ] && for entry in "$2"/* "$2"/.[!.]*; do
	[ -e "$entry" ] && { printf 'entry=%s\n' "$entry"; break; }
done
[ -e "$2" ] && [ ! -d "$2" ] && echo path=other
exit 0
"#;

const MOUNT: &str = r#"
# $1 device, $2 path, $3 type, $4 options, $5 id of Pacemaker's resource
[ -n "$5" ] && managed "$5" && exit 0
mkdir -p "$2" || exit 1
while read -r what where _; do
	[ "$where" = "$2" ] && { echo "$what was mounted on $2 meanwhile" >&2; exit 1; }
done </proc/mounts
# Two Primaries that don't see each other would write different things into one file system.
case $1 in
/dev/drbd[0-9]*)
	while read -r minor cs _ ds _; do
		[ "$minor" = "${1#/dev/drbd}:" ] || continue
		case $cs/$ds in
		cs:Connected/ds:UpToDate/UpToDate) ;;
		*) echo "DRBD is $cs $ds: it must be connected and UpToDate on both sides before $1 is mounted" >&2; exit 1 ;;
		esac
	done </proc/drbd
	;;
esac
# The peer may have written the file system through DRBD while something here (udev) held the device open: what was
# read then is still in this node's cache, and mount would find no superblock.
blockdev --flushbufs "$1"
exec mount -t "$3" ${4:+-o "$4"} "$1" "$2"
"#;

impl Mount {
    /// Options that the kernel shows too: those with `_` and `defaults` are for user space.
    fn missing(&self, shown: &str) -> Vec<&str> {
        let shown: Vec<&str> = shown.split(',').collect();
        self.options
            .split(',')
            .map(str::trim)
            .filter(|o| !o.is_empty() && !o.starts_with('_') && *o != "defaults" && !shown.contains(o))
            .collect()
    }

    fn mounts(text: &str) -> Vec<Vec<String>> {
        let line = |l: &str| l.strip_prefix("mounted=").map(|m| m.split(' ').map(str::to_owned).collect());
        text.lines().filter_map(line).collect()
    }
}

impl Act for Mount {
    fn title(&self) -> String {
        format!("{} mounted on {}", self.device, self.path)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read_sh(READ, [self.device.clone(), self.path.clone()])]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let text = seen.get(at, 0).text();
        let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key));
        let real = value("device=").unwrap_or_default();
        // The last one covers those before it.
        if let Some(mounted) = Self::mounts(&text).last() {
            let [what, leads, fstype, options] = mounted.as_slice() else {
                return State::Unknown(format!("{} can't be told", self.path));
            };
            if (*what != self.device && leads != real) || *fstype != self.fstype {
                return Refusal::state(
                    RefusalKind::Preflight,
                    format!("{what} ({fstype}) is mounted on {}, not {} ({})", self.path, self.device, self.fstype),
                    "unmount it, or choose another `mount` under `storage`",
                );
            }
            let missing = self.missing(options);
            return if missing.is_empty() {
                State::Satisfied
            } else {
                State::drift(format!("mount {} again with {}", self.path, missing.join(",")))
            };
        }
        if value("path=").is_some() {
            return Refusal::state(
                RefusalKind::Preflight,
                format!("{} is no directory", self.path),
                "move it away, or choose another `mount` under `storage`",
            );
        }
        if let Some(entry) = value("entry=") {
            return Refusal::state(
                RefusalKind::Preflight,
                format!("{} is not empty ({entry} is there): the mount would hide what it holds", self.path),
                "move that away, or choose another `mount` under `storage`",
            );
        }
        if value("block=").is_none() {
            return State::Unknown(format!("{} is not there yet", self.device));
        }
        State::drift(format!("mount {} on {}", self.device, self.path))
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        const NONE: &str = r#"! grep -qF " $1 $2 " /proc/mounts"#;
        vec![undo::script(format!("unmount {}", self.path), r#"umount "$1""#, NONE, &[&self.path, &self.fstype])]
    }

    fn orders(&self, at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let text = seen.get(at, 0).text();
        if let Some(options) = Self::mounts(&text).last().and_then(|m| m.get(3)) {
            let options = format!("remount,{}", self.missing(options).join(","));
            return Ok(vec![Order::new(at, Cmd::write(["mount", "-o", &options, &self.path]))]);
        }
        let args = [&self.device, &self.path, &self.fstype, &self.options, &self.managed].map(Clone::clone);
        Ok(vec![Order::new(at, Cmd::write_sh(&format!("{MANAGED}{MOUNT}"), args).timeout(Duration::from_secs(300)))])
    }

    /// Our own mount is there at once; Pacemaker's comes when the pair has come up.
    fn settle(&self) -> Option<Settle> {
        (!self.managed.is_empty()).then(|| Settle {
            what: format!("{} mounted on {}", self.device, self.path),
            limit: Duration::from_secs(600),
            every: Duration::from_secs(2),
            reboots: false,
            shell: format!("grep -q ' {} ' /proc/mounts", self.path),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(text: &str) -> State {
        let mount = Mount {
            device: "/dev/drbd0".into(),
            path: "/drbd0".into(),
            fstype: "ocfs2".into(),
            options: "noatime,_netdev".into(),
            managed: String::new(),
        };
        let out = [Output { stdout: text.into(), ..Output::default() }];
        let memory = Memory::default();
        mount.judge(At::First, &Seen { outputs: [&out, &[]], memory: &memory })
    }

    #[test]
    fn mounted_by_whomever() {
        let options = "rw,noatime,_netdev,heartbeat=local,nointr,data=ordered,errors=remount-ro,atime_quantum=60,cluster_stack=o2cb,coherency=full,user_xattr,acl";
        assert_eq!(
            judge(&format!("mounted=/dev/drbd0 /dev/drbd0 ocfs2 {options}\ndevice=/dev/drbd0\nblock=yes\n")),
            State::Satisfied
        );
        assert_eq!(
            judge(&format!("mounted=/dev/drbd/by-res/r0/0 /dev/drbd0 ocfs2 {options}\ndevice=/dev/drbd0\n")),
            State::Satisfied
        );
        assert!(
            matches!(judge("mounted=/dev/drbd0 /dev/drbd0 ocfs2 rw,relatime\ndevice=/dev/drbd0\n"), State::Drift(c) if c.summary.contains("again with noatime"))
        );
        assert!(matches!(judge("mounted=/dev/sdb1 /dev/sdb1 ext4 rw\ndevice=/dev/drbd0\n"), State::Refused(_)));
    }

    #[test]
    fn not_mounted() {
        assert!(matches!(judge("device=/dev/drbd0\nblock=yes\n"), State::Drift(_)));
        assert!(matches!(judge("device=/dev/drbd0\n"), State::Unknown(_)));
        assert!(matches!(judge("device=/dev/drbd0\nblock=yes\nentry=/drbd0/file\n"), State::Refused(_)));
    }
}

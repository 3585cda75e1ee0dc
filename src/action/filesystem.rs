//! The cluster file system on the DRBD device: made once, on the first node, never over data.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::action::{Act, Order, Refusal, RefusalKind, Scope, Seen, State};
use crate::device::{self, Device, Target, bytes};
use crate::node::{At, Cmd};

/// OCFS2, with room for so many nodes.
///
/// The consent of the answers (`erase`) does not reach here: it was about what the backing device held before DRBD
/// came. Whatever the DRBD device holds now was written through DRBD, so only a person can say that it may go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Names of the nodes, in order.
    pub nodes: Vec<String>,
    /// DRBD device.
    pub device: String,
    /// Label: the cluster's name.
    pub label: String,
    /// o2cb's name of the cluster: letters and digits only.
    pub cluster: String,
    /// `o2cb`, or empty where the tools are too old to note it (before 1.6).
    #[serde(default)]
    pub stack: String,
    /// How many nodes may mount it.
    pub slots: String,
    /// DRBD resource, for the record of what was made.
    pub resource: String,
}

/// `mkfs.ocfs2 -T vmstore` wants at least this much.
const VMSTORE: u64 = 2 << 30;

// The superblock alone: debugfs.ocfs2 reads it on a mounted device too, and in all versions.
const SUPER: &str = r#"
[ -b "$1" ] || exit 0
hapair_attr "/var/lib/hapair/ocfs2-$2.making" && hapair_line ocfs2-making "$hapair_value"
hapair_attr "/var/lib/hapair/ocfs2-$2.made" && hapair_line ocfs2-made "$hapair_value"
command -v debugfs.ocfs2 >/dev/null 2>&1 || { hapair_line tools missing; exit 0; }
debugfs.ocfs2 -n -R "stats -h" "$1" 2>/dev/null
"#;

// The UUID is chosen and noted before mkfs writes: a superblock that carries it and was never noted as made is the
// rest of an interrupted mkfs, on which nothing can have been stored.
const MAKE: &str = r#"
# $5 label, $6 cluster, $7 stack, $8 slots, $9 usage, or nothing
device=$1 resource=$3 label=$5 cluster=$6 stack=$7 slots=$8 usage=$9
records=/var/lib/hapair
umask 077
mkdir -p $records || exit 1
note() { printf '%s\n' "$2" >"$records/ocfs2-$resource.new" && mv "$records/ocfs2-$resource.new" "$records/ocfs2-$resource.$1" && sync; }
if hapair_attr "$records/ocfs2-$resource.making"; then
	old=$hapair_value
	if command -v wipefs >/dev/null 2>&1; then wipefs -q -a -t ocfs2 "$device" || exit 1; fi
fi
IFS= read -r uuid </proc/sys/kernel/random/uuid
uuid=$(printf '%s' "$uuid" | tr -d - | tr a-f A-F)
note making "$uuid" || exit 1
set -- -b 4K -N "$slots" -L "$label" -U "$uuid"
if [ -n "$usage" ]; then set -- "$@" -T "$usage"; else set -- "$@" -C 4K; fi
[ -n "$stack" ] && set -- "$@" --cluster-stack="$stack" --cluster-name="$cluster"
mkfs.ocfs2 "$@" "$device" </dev/null || exit $?
sync
note made "$uuid" && rm -f "$records/ocfs2-$resource.making"
"#;

/// What `debugfs.ocfs2 -R "stats -h"` says.
#[derive(Debug, Default)]
struct Super {
    label: String,
    uuid: String,
    stack: String,
    cluster: String,
    slots: u32,
    making: Option<String>,
    made: Option<String>,
    tools: bool,
}

impl Super {
    fn parse(text: &str) -> Super {
        let mut s = Super { tools: true, ..Super::default() };
        for line in text.lines() {
            if let Some((key, value)) = line.split_once('=') {
                match key {
                    "ocfs2-making" => s.making = Some(value.trim().to_owned()),
                    "ocfs2-made" => s.made = Some(value.trim().to_owned()),
                    "tools" => s.tools = false,
                    _ => {}
                }
            }
            if let Some((key, value)) = line.trim().split_once(": ") {
                let value = value.trim();
                match key {
                    "Label" => value.clone_into(&mut s.label),
                    "UUID" => s.uuid = plain(value),
                    "Cluster stack" => value.clone_into(&mut s.stack),
                    "Cluster name" => value.clone_into(&mut s.cluster),
                    "Max Node Slots" => s.slots = value.parse().unwrap_or(0),
                    _ => {}
                }
            }
        }
        s
    }
}

fn plain(uuid: &str) -> String {
    uuid.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_uppercase()
}

impl Filesystem {
    fn target(&self) -> Target<'_> {
        Target { device: &self.device, resource: &self.resource, minor: "" }
    }

    fn node(&self, at: At) -> &str {
        self.nodes.get(at.index()).map_or("", String::as_str)
    }

    fn seen(at: At, seen: &Seen<'_>) -> (Device, Super) {
        (device::parse(&seen.get(at, 0).text()), Super::parse(&seen.get(at, 1).text()))
    }

    /// An OCFS2 that is whole: ours, or what is wrong with it.
    fn judge_ocfs2(&self, node: &str, s: &Super) -> State {
        let found = format!("{} on {node} holds OCFS2 labelled \"{}\" (UUID {})", self.device, s.label, s.uuid);
        let by_hand =
            format!("look at what it holds; if it may be lost: `wipefs -a {}` on {node}, then continue", self.device);
        if s.label != self.label {
            return Refusal::state(RefusalKind::Consent, format!("{found}, not \"{}\"", self.label), by_hand);
        }
        // "classic o2cb" carries no name; it belongs to whatever cluster runs.
        let named = !self.stack.is_empty() && !s.stack.is_empty() && !s.stack.starts_with("classic");
        if named && (s.stack != self.stack || s.cluster != self.cluster) {
            return Refusal::state(
                RefusalKind::Preflight,
                format!(
                    "{found} for the cluster \"{}\" with the stack {}, not \"{}\" with {}",
                    s.cluster, s.stack, self.cluster, self.stack
                ),
                format!(
                    "`tunefs.ocfs2 --update-cluster-stack {}` on {node} while it is mounted nowhere, then continue",
                    self.device
                ),
            );
        }
        if s.slots < self.slots.parse().unwrap_or(2) {
            return Refusal::state(
                RefusalKind::Preflight,
                format!("{found} with room for {} node(s) only", s.slots),
                format!(
                    "`tunefs.ocfs2 -N {} {}` on {node} while it is mounted nowhere, then continue",
                    self.slots, self.device
                ),
            );
        }
        State::Satisfied
    }
}

impl Act for Filesystem {
    fn title(&self) -> String {
        format!("OCFS2 on {}", self.device)
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![
            device::probe(&self.target()),
            Cmd::read_sh(&format!("{}{SUPER}", device::PROBE), [self.device.clone(), self.resource.clone()]),
        ]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        // The first node makes it; should only the second be Primary just now, an existing one is seen there.
        let usable = |at: &At| {
            let (d, s) = Self::seen(*at, seen);
            d.block && !d.unreadable && (s.slots > 0 || d.uses.is_empty())
        };
        let Some(at) = At::BOTH.into_iter().find(usable) else {
            return State::Unknown(format!("{} can't be read yet: it is not Primary", self.device));
        };
        let (d, s) = Self::seen(at, seen);
        let node = self.node(at);
        let ocfs2 = d.signatures.iter().any(|sig| sig.kind == "ocfs2") || s.slots > 0;
        let interrupted = s.making.as_ref().is_some_and(|uuid| s.made.as_ref() != Some(uuid));
        if ocfs2 && !s.tools {
            return State::Unknown("ocfs2-tools is not installed yet".into());
        }
        if ocfs2 && !(interrupted && s.making.as_deref() == Some(s.uuid.as_str())) {
            return self.judge_ocfs2(node, &s);
        }
        let other = d.signatures.iter().find(|sig| sig.kind != "ocfs2");
        if other.is_some() || (d.head && !interrupted) {
            let what =
                other.map_or_else(|| "data of an unknown kind".to_owned(), |sig| format!("{} {}", sig.kind, sig.label));
            return Refusal::state(
                RefusalKind::Consent,
                format!("{} on {node} ({}) holds {}", self.device, bytes(d.size), what.trim_end()),
                format!(
                    "it was written through DRBD, so `erase` in the answers does not cover it: look at it; if it may be lost, `wipefs -a {0}; dd if=/dev/zero of={0} bs=1M count=1` on {node}, then continue",
                    self.device
                ),
            );
        }
        if at == At::Second {
            return State::Unknown(format!(
                "{} can't be read on {} yet: it is not Primary",
                self.device,
                self.node(At::First)
            ));
        }
        if interrupted {
            return State::drift(format!("make OCFS2 on {} once more, since mkfs was interrupted", self.device));
        }
        State::drift(format!(
            "make OCFS2 \"{}\" on {} ({}, {} slots)",
            self.label,
            self.device,
            bytes(d.size),
            self.slots
        ))
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let (d, _) = Self::seen(At::First, seen);
        if !d.block || !d.uses.is_empty() {
            bail!("{} can't be formatted on {}", self.device, self.node(At::First));
        }
        // vmstore belongs to the tools that know cluster stacks; 1.3 and 1.4 have only mail and datafiles.
        let usage = if d.size >= VMSTORE && !self.stack.is_empty() { "vmstore" } else { "" };
        let more = [self.label.as_str(), &self.cluster, &self.stack, &self.slots, usage];
        let cmd = device::guarded(&self.target(), &d.raw, MAKE, &more).timeout(Duration::from_secs(3600));
        Ok(vec![Order::new(At::First, cmd)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn action() -> Filesystem {
        Filesystem {
            nodes: vec!["node1".into(), "node2".into()],
            device: "/dev/drbd0".into(),
            label: "my-cluster".into(),
            cluster: "mycluster".into(),
            stack: "o2cb".into(),
            slots: "2".into(),
            resource: "r0".into(),
        }
    }

    const PROBE: &str = "device=/dev/drbd0\nkind=block\nreal=/dev/drbd0\nsize=2147381248\nro=0\nidentity=/dev/drbd0 2147381248 0\ndisk=drbd0\n";
    const EMPTY: &str = "head=zero\ntail=zero\n";
    const STATS: &str = "\tRevision: 0.90\n\tMax Node Slots: 2\n\tLabel: my-cluster\n\tUUID: D8C87B55258A49E3B6F0CC283B591EE6\n\tCluster stack: o2cb\n\tCluster name: mycluster\n\tCluster flags: 0 \n";
    const SIG: &str =
        "sig=0x2000,d8c87b55-258a-49e3-b6f0-cc283b591ee6,my-cluster,ocfs2\nhead=data\ntail=zero\nserial=\n";

    fn with<T>(probe: &str, stats: &str, f: impl FnOnce(&Seen<'_>) -> T) -> T {
        let out = |s: &str| Output { stdout: s.into(), ..Output::default() };
        let a = [out(&format!("{PROBE}{probe}")), out(stats)];
        let b = [
            out("device=/dev/drbd0\nkind=block\nreal=/dev/drbd0\nsize=0\nhead=unreadable\ntail=unreadable\n"),
            out(""),
        ];
        let memory = Memory::default();
        f(&Seen { outputs: [&a, &b], memory: &memory })
    }

    fn judge(probe: &str, stats: &str) -> State {
        with(probe, stats, |seen| action().judge(At::First, seen))
    }

    #[test]
    fn made_where_nothing_is() {
        assert!(matches!(judge(EMPTY, ""), State::Drift(_)));
        let orders = with(EMPTY, "", |seen| action().orders(At::First, seen)).expect("orders");
        assert_eq!(orders.len(), 1);
        assert_eq!(orders[0].cmd.argv[9..], ["my-cluster", "mycluster", "o2cb", "2", ""]);
    }

    #[test]
    fn ours_is_kept_mounted_or_not() {
        assert_eq!(judge(SIG, STATS), State::Satisfied);
        assert_eq!(judge("use=/dev/drbd0 is mounted on /drbd0\n", STATS), State::Satisfied);
    }

    #[test]
    fn others_are_refused() {
        assert!(
            matches!(judge(SIG, &STATS.replace("Label: my-cluster", "Label: other")), State::Refused(r) if r.kind == RefusalKind::Consent)
        );
        assert!(
            matches!(judge(SIG, &STATS.replace("name: mycluster", "name: old")), State::Refused(r) if r.kind == RefusalKind::Preflight)
        );
        assert!(matches!(judge(SIG, &STATS.replace("Slots: 2", "Slots: 1")), State::Refused(_)));
        assert!(
            matches!(judge("sig=0x438,1-2,home,ext4\nhead=data\ntail=zero\n", ""), State::Refused(r) if r.what.contains("ext4 home"))
        );
        assert!(matches!(judge("head=data\ntail=zero\n", ""), State::Refused(_)));
    }

    #[test]
    fn an_interrupted_mkfs_is_done_again() {
        let making = "ocfs2-making=D8C87B55258A49E3B6F0CC283B591EE6\n";
        assert!(matches!(judge(SIG, &format!("{making}{STATS}")), State::Drift(c) if c.summary.contains("once more")));
        assert!(matches!(judge("head=data\ntail=zero\n", making), State::Drift(_)));
        // Another one, made by hand after the interruption, is not touched.
        let other = STATS.replace("D8C8", "0000").replace("Label: my-cluster", "Label: other");
        assert!(matches!(judge(SIG, &format!("{making}{other}")), State::Refused(_)));
    }
}

//! The cluster file system on the DRBD device: made once, on the first node, never over data.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::action::{Act, Change, Order, Refusal, RefusalKind, Risk, Scope, Seen, State};
use crate::device::{self, Consent, Device, Target, bytes};
use crate::node::{At, Cmd};

/// OCFS2, with room for so many nodes.
///
/// The consent of the answers (`erase`) covers what the DRBD device holds only as long as it is still about it: both nodes
/// are named (the data is on both), hapair has not used it already to empty what the devices held before DRBD came,
/// and has never made a file system here. After that only a person can say that it may go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Names of the nodes, in order.
    pub nodes: Vec<String>,
    /// DRBD device.
    pub device: String,
    /// Backing device of each node.
    pub backing: Vec<String>,
    /// Consent of each node: serial or by-id name, or empty.
    #[serde(default)]
    pub erase: Vec<String>,
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

/// What is known of the file system, and which names the backing device has.
const SUPER: &str = include_str!("filesystem/look.sh");
/// Its arguments are told at its top.
const MAKE: &str = include_str!("filesystem/make.sh");

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
    /// Consents that hapair has used here.
    used: Vec<String>,
    /// What the backing devices held has been erased: then what is between their ends is old, too.
    erased: bool,
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
                    "used" => s.used.push(value.trim().to_owned()),
                    "erased" => s.erased = true,
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

impl Super {
    /// The rest of an mkfs that was interrupted. Where the tools take no UUID it is the label that tells: nothing is
    /// mounted before it is noted as made.
    fn half_made(&self, label: &str) -> bool {
        match self.making.as_deref() {
            Some("unknown") => self.made.as_ref() != Some(&self.uuid) && self.label == label,
            making => making == Some(self.uuid.as_str()),
        }
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

    fn erase(&self, at: At) -> &str {
        self.erase.get(at.index()).map_or("", String::as_str).trim()
    }

    fn seen(at: At, seen: &Seen<'_>) -> (Device, Super) {
        (device::parse(&seen.get(at, 0).text()), Super::parse(&seen.get(at, 1).text()))
    }

    /// Why the answers' consent does not cover what the DRBD device holds; `None`: it does.
    fn not_covered(&self, seen: &Seen<'_>) -> Option<(String, String)> {
        let by_hand = format!(
            "look at it; if it may be lost: `wipefs -a {0} && dd if=/dev/zero of={0} bs=1M` on {1}, then continue",
            self.device,
            self.node(At::First)
        );
        if At::BOTH.into_iter().any(|at| Self::seen(at, seen).1.made.is_some()) || seen.memory.ocfs2.is_some() {
            let why = "hapair has made a file system here before, so `erase` does not cover what came later";
            return Some((why.to_owned(), by_hand));
        }
        let mut missing = Vec::new();
        for at in At::BOTH {
            let text = seen.get(at, 1).text();
            // The identities of the backing device alone: what it holds is DRBD's.
            let disk = device::parse(text.split_once("=== backing\n").map_or("", |(_, part)| part));
            let (node, erase) = (self.node(at), self.erase(at));
            match disk.consented(erase) {
                Consent::Given if Self::seen(at, seen).1.used.iter().any(|used| used == erase) => {
                    let why = format!(
                        "the consent `erase: {erase}` of {node} is used up: it was about what {} held before DRBD came",
                        self.backing.get(at.index()).map_or("", String::as_str)
                    );
                    return Some((why, by_hand));
                }
                Consent::Given => {}
                Consent::Missing(why) | Consent::Spent(why) if !why.is_empty() => {
                    return Some((format!("{node}: {why}"), format!("{node}: {}", disk.how_to_consent())));
                }
                Consent::Missing(_) | Consent::Spent(_) => missing.push(format!("{node}: {}", disk.how_to_consent())),
            }
        }
        (!missing.is_empty()).then(|| (String::new(), missing.join("\n")))
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

    fn reads(&self, at: At) -> Vec<Cmd> {
        vec![
            device::probe(&self.target()),
            Cmd::read_sh(
                &format!("{}{SUPER}", device::PROBE),
                [self.device.clone(), self.resource.clone(), self.backing.get(at.index()).cloned().unwrap_or_default()],
            ),
        ]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        // The first node makes it; should only the second be Primary just now, an existing one is seen there.
        let usable = |at: &At| {
            let (d, _) = Self::seen(*at, seen);
            d.block && !d.unreadable
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
        let own = ocfs2 && (s.label == self.label || s.made.as_deref().is_some_and(|made| made == s.uuid));
        let half = s.half_made(&self.label);
        if own && !(interrupted && half) {
            return self.judge_ocfs2(node, &s);
        }
        if !d.uses.is_empty() {
            return Refusal::state(
                RefusalKind::Preflight,
                format!("{} on {node} ({}) is in use: {}", self.device, bytes(d.size), d.uses.join(", ")),
                "free it, then continue; hapair never takes a device that is in use",
            );
        }
        let other = d.signatures.iter().any(|sig| sig.kind != "ocfs2") || (ocfs2 && !half);
        let rest = d.head || (!s.erased && (d.middle || d.tail));
        if other || (rest && !interrupted) {
            let what = format!("{} on {node} ({}) holds {}", self.device, bytes(d.size), d.content());
            return match self.not_covered(seen) {
                None => State::Drift(
                    Change::new(format!(
                        "ERASE {} on {} ({}, both nodes name their disks), then make OCFS2 there",
                        d.content(),
                        self.device,
                        bytes(d.size)
                    ))
                    .risk(Risk::DestroysData),
                ),
                Some((why, next)) => {
                    let gap = if why.is_empty() { "" } else { "; " };
                    Refusal::state(RefusalKind::Consent, format!("{what}{gap}{why}"), next)
                }
            };
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

    fn left(&self) -> Option<String> {
        Some("The cluster file system stays with the VMs' disks and configurations.".to_owned())
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let (d, _) = Self::seen(At::First, seen);
        if !d.block || !d.uses.is_empty() {
            bail!("{} can't be formatted on {}", self.device, self.node(At::First));
        }
        // vmstore belongs to the tools that know cluster stacks; 1.3 and 1.4 have only mail and datafiles.
        let usage = if d.size >= VMSTORE && !self.stack.is_empty() { "vmstore" } else { "" };
        let consent = match self.judge(At::First, seen) {
            State::Drift(change) if change.risk == Risk::DestroysData => self.erase(At::First),
            State::Drift(_) => "",
            other => bail!("not to be done: {other:?}"),
        };
        let more = [self.label.as_str(), &self.cluster, &self.stack, &self.slots, usage, consent];
        let script = MAKE.replace("#ERASE#", device::ERASE);
        let cmd = device::guarded(&self.target(), &d.raw, &script, &more).timeout(Duration::from_secs(3600));
        Ok(vec![Order::new(At::First, cmd)])
    }
}

#[cfg(test)]
#[path = "filesystem/tests.rs"]
mod tests;

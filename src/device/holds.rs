//! What is to be thought of a device that exists: nothing on it, ours, or somebody's.

use super::{Device, SMALLEST, Signature, bytes};
use crate::action::RefusalKind;
use crate::drbd::Generation;

/// What else is known than the device itself says: by it data of this cluster is told from anybody else's, even where
/// the node's own record was lost. Consent never covers it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Device UUIDs that the peer or the state folder have recorded for this node.
    pub uuids: Vec<String>,
    /// Name of the cluster: the label of its file system.
    pub cluster: String,
    /// Generation identifiers of the peer's metadata.
    pub peer: Option<Generation>,
}

/// What is to be thought of a device that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// Our DRBD runs on it, or it carries the metadata that we made.
    Ours,
    /// It carries the metadata that we made, but the node's record of it is lost: who knows it.
    Known(String),
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

    /// DRBD's metadata on it.
    pub fn drbd(&self) -> Option<&Signature> {
        self.signatures.iter().find(|s| s.kind == "drbd")
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
    pub fn holds(&self, erase: &str, evidence: &Evidence) -> Holds {
        let is = |uuid: &str, sig: &Signature| !uuid.is_empty() && sig.uuid.eq_ignore_ascii_case(uuid);
        if self.attached {
            // The signature is read only where there is no record.
            return match (&self.made, self.drbd()) {
                (None, Some(_)) => Holds::Known("the kernel, whose DRBD runs on it".to_owned()),
                _ => Holds::Ours,
            };
        }
        let drbd = self.drbd();
        if let Some(sig) = drbd {
            if self.made.as_ref().is_some_and(|made| is(made, sig)) {
                return Holds::Ours;
            }
            if evidence.uuids.iter().any(|uuid| is(uuid, sig)) {
                return Holds::Known("its peer, or the state folder".to_owned());
            }
        }
        let others = self.signatures.iter().any(|s| s.kind != "drbd");
        // drbdmeta writes at the end of the device only, so anything at its beginning is not from us.
        if self.making && !others && !self.head {
            return Holds::HalfMade { complete: drbd.is_some() };
        }
        if self.signatures.is_empty() && !self.head && !self.middle && !self.tail {
            return Holds::Nothing;
        }
        if let Some((what, next)) = self.protected(evidence) {
            return Holds::Foreign { what, next };
        }
        self.consent(erase)
    }

    /// Data that may well be this cluster's own, although no record says so: what it is, and what to do.
    fn protected(&self, evidence: &Evidence) -> Option<(String, String)> {
        let name = self.name();
        let by_hand = format!("if it may be lost all the same, empty it by hand: `wipefs -a {}`", self.real);
        let ours = |s: &&Signature| s.kind == "ocfs2" && !s.label.is_empty() && s.label == evidence.cluster;
        if let Some(sig) = self.signatures.iter().find(ours) {
            return Some((
                format!(
                    "{name} ({}) holds the file system of a cluster of this name (OCFS2 \"{}\", UUID {}), of which no record is left; `erase` does not cover it",
                    bytes(self.size),
                    sig.label,
                    sig.uuid
                ),
                format!(
                    "if it is this cluster's: bring its DRBD resource up by hand (`drbdadm up`), then continue; {by_hand}"
                ),
            ));
        }
        let (own, peer) = (self.generation?, evidence.peer?);
        own.related(&peer).then(|| {
            (
                format!(
                    "{name} ({}) is one half of a mirror: its DRBD metadata belongs to the same data as its peer's; `erase` does not cover a whole mirror",
                    bytes(self.size)
                ),
                format!("if it is this cluster's: bring the DRBD resource up by hand on both nodes (`drbdadm up`), then continue; {by_hand}"),
            )
        })
    }

    /// Why no partition can be made on its disk, which has no partition table: what was found there, and what to do. What
    /// the disk holds as a whole is lost with a new table, which is nothing that `erase` can mean: hapair makes none.
    pub fn without_table(&self) -> (RefusalKind, String, String) {
        let disk = &self.table.disk;
        let name = format!("{disk} ({})", bytes(self.table.size));
        if !self.uses.is_empty() {
            return (
                RefusalKind::Preflight,
                format!("{name} has no partition table and is in use as a whole: {}", self.uses.join(", ")),
                "free it, or name another `device`; hapair never takes a device that is in use".to_owned(),
            );
        }
        if !self.signatures.is_empty()
            || (self.table.bare && !self.unreadable && (self.head || self.middle || self.tail))
        {
            return (
                RefusalKind::Consent,
                format!("{name} has no partition table, and as a whole it holds {}", self.content()),
                format!(
                    "name another `device`; hapair makes no partition table, so `erase` does not cover this. If what it holds may be lost, empty it by hand: {}",
                    emptied(disk)
                ),
            );
        }
        if !self.table.bare || self.unreadable {
            return (
                RefusalKind::Preflight,
                format!("{name} has no partition table that sfdisk can read, and what else it holds can't be told"),
                format!("look at `dmesg` and `wipefs {disk}` there, or name another `device`"),
            );
        }
        (
            RefusalKind::Preflight,
            format!("{name} has no partition table; nothing else was found on it"),
            format!("if the disk is really empty: `echo 'label: gpt' | sfdisk {disk}` there"),
        )
    }

    /// Something is on it that is nobody's we know: whether the answers name it.
    fn consent(&self, erase: &str) -> Holds {
        let what = self.content();
        let (name, size) = (self.name(), bytes(self.size));
        match self.consented(erase) {
            Consent::Given => Holds::Erasable(format!("{what} on {name}, {size}")),
            Consent::Missing(why) => Holds::Foreign {
                what: format!(
                    "{name} ({size}) holds {what}{}",
                    if why.is_empty() { String::new() } else { format!(", and {why}") }
                ),
                next: self.how_to_consent(),
            },
            Consent::Spent(why) => Holds::Foreign {
                what: format!("{name} ({size}) holds {what}, and {why}"),
                next: format!("look at what it holds; if that may be lost, empty it by hand: {}", emptied(&self.real)),
            },
        }
    }

    /// Whether a consent names this device.
    pub fn consented(&self, erase: &str) -> Consent {
        let known = self.identities();
        // The whole path of a link names the same as the link.
        let erase = erase.trim();
        let named =
            erase.strip_prefix("/dev/disk/by-id/").or(erase.strip_prefix("/dev/disk/by-partuuid/")).unwrap_or(erase);
        if named.is_empty() {
            return Consent::Missing(String::new());
        }
        if !known.iter().any(|id| id == named) {
            return Consent::Missing(format!("`erase: {erase}` names another device: this one is {}", list(&known)));
        }
        if self.spent.iter().any(|id| id == named) {
            return Consent::Spent(format!(
                "the consent `erase: {erase}` is used up: hapair has made DRBD metadata on this disk since, so this came later"
            ));
        }
        Consent::Given
    }

    /// What to write into the answers if what is on it may be lost.
    pub fn how_to_consent(&self) -> String {
        let known = self.identities();
        match known.first() {
            Some(first) => format!(
                "if this may be lost, write `erase: {first}` for this node in the answers (known names: {})",
                list(&known)
            ),
            None => format!(
                "it has neither serial nor by-id name, so no answer can name it: if this may be lost, empty it by hand: {}",
                emptied(&self.real)
            ),
        }
    }

    /// Serials and by-id names by which consent can name it.
    pub fn identities(&self) -> Vec<String> {
        let mut all = self.serials.clone();
        all.extend(self.names.iter().cloned());
        all.dedup();
        all
    }

    /// What was found on it, in words.
    pub fn content(&self) -> String {
        let mut found: Vec<String> = Vec::new();
        for sig in &self.signatures {
            let words = match sig.kind.as_str() {
                "drbd" => format!("DRBD metadata that hapair did not make here (device UUID {})", sig.uuid),
                "dos" | "gpt" | "PMBR" => format!("a partition table ({})", sig.kind),
                "LVM2_member" => "an LVM physical volume".to_owned(),
                "linux_raid_member" => "a member of a software RAID".to_owned(),
                "crypto_LUKS" => "a LUKS volume".to_owned(),
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
                (true, true) => "its first and last MiB are not empty",
                (true, false) => "its first MiB is not empty",
                (false, true) => "its last MiB is not empty",
                (false, false) => "between its first and last MiB it is not empty",
            };
            found.push(format!("data of an unknown kind ({place})"));
        }
        found.join(" and ")
    }
}

/// Whether the answers name a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// They do.
    Given,
    /// They don't; why not, or nothing when they name none.
    Missing(String),
    /// They did, and it was used; in words.
    Spent(String),
}

/// How a device is emptied by hand.
fn emptied(device: &str) -> String {
    format!("`wipefs -a {device} && dd if=/dev/zero of={device} bs=1M` (or `blkdiscard -z {device}`)")
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "without serial and by-id name".into() } else { known.join(", ") }
}

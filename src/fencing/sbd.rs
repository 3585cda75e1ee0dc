//! What a node's SBD is set to, what its disks say, and what of it runs (sbd(8)).
//!
//! None of it is in the CIB, and all of it decides whether a node that is to be switched off goes down in time: the times in
//! the header of the shared disk, the watchdog, the disks themselves.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::node::{Cmd, Output};

/// A piece of script, with the function `softdog`.
pub const SOFTDOG: &str = include_str!("softdog.sh");
const LOOK: &str = include_str!("sbd.sh");

/// SBD on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sbd {
    /// The program is there.
    pub installed: bool,
    /// /etc/default/sbd, by name, without what is empty; `None` when it is there and can't be read.
    pub settings: Option<BTreeMap<String, String>>,
    /// The disks of its settings.
    pub disks: Vec<Disk>,
    /// The daemon runs.
    pub running: bool,
    /// Disks whose slot it reads.
    pub watched: Vec<String>,
    /// Watchdogs that the daemon has open.
    pub held: Vec<String>,
    /// The watchdog of its settings, without links.
    pub watchdog: String,
    /// That one is the kernel's own timer.
    pub softdog: bool,
}

/// A shared disk, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its name in the settings.
    pub path: String,
    /// What stands at its beginning.
    pub header: Header,
    /// Who has a slot on it.
    pub slots: Vec<Slot>,
}

/// What stands at the beginning of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// SBD's header, by the names that `sbd dump` gives.
    Read(BTreeMap<String, String>),
    /// Something else, or nothing: the disk can be read.
    Gone,
    /// The disk can't be read.
    Lost,
}

/// A node's letter box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Whose.
    pub node: String,
    /// `clear`, or what waits there to be read: `reset`, `off`, `exit`...
    pub message: String,
    /// Who left it.
    pub from: String,
}

impl Slot {
    /// What waits there keeps SBD from starting where it is set to start only behind a clean stop (`-S 1` of sbd(8)).
    pub fn waits(&self) -> bool {
        !["clear", "exit"].contains(&self.message.as_str())
    }
}

impl Disk {
    /// A field of the header, such as `Timeout (msgwait)`.
    pub fn field(&self, name: &str) -> Option<&str> {
        match &self.header {
            Header::Read(fields) => fields.get(name).map(String::as_str),
            Header::Gone | Header::Lost => None,
        }
    }
}

impl Sbd {
    /// A setting; empty when it is not set.
    pub fn setting(&self, name: &str) -> &str {
        self.settings.as_ref().and_then(|settings| settings.get(name)).map_or("", String::as_str)
    }

    /// Hash of all that decides how this node dies by SBD. `salt` as in [`super::hash`].
    ///
    /// # Errors
    /// What could not be read, for people: what is not seen is neither changed nor as before.
    pub fn hash(&self, salt: &str) -> Result<String, String> {
        let settings = self.settings.as_ref().ok_or("/etc/default/sbd can't be read")?;
        let mut facts = vec![format!("installed {}", self.installed)];
        facts.extend(settings.iter().map(|(name, value)| format!("setting {name}={value}")));
        for disk in &self.disks {
            match &disk.header {
                Header::Read(fields) => {
                    facts.extend(fields.iter().map(|(name, value)| format!("disk {} {name}={value}", disk.path)));
                }
                Header::Gone => facts.push(format!("disk {} has no header", disk.path)),
                Header::Lost => return Err(format!("{} can't be read", disk.path)),
            }
        }
        Ok(short(&format!("{salt}\n{}", facts.join("\n"))))
    }
}

/// Eight bytes of a text's hash.
pub(super) fn short(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The read of it.
pub fn look() -> Cmd {
    Cmd::read_sh(&format!("{SOFTDOG}{LOOK}"), [] as [&str; 0])
}

/// Reads what [`look`] gave.
///
/// # Errors
/// When it did not come to its end; the text is for people.
pub fn parse(output: &Output) -> Result<Sbd, String> {
    let text = output.text();
    if !output.ok() || text.lines().next_back() != Some("end") {
        return Err("it does not say how its SBD is set".to_owned());
    }
    let mut sbd = Sbd { settings: Some(BTreeMap::new()), ..Sbd::default() };
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "installed" => sbd.installed = true,
            "unread" => sbd.settings = None,
            "setting" => {
                let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                if let Some(settings) = &mut sbd.settings {
                    settings.insert(name.to_owned(), value.to_owned());
                }
            }
            "disk" => {
                let header = Header::Read(BTreeMap::new());
                sbd.disks.push(Disk { path: rest.to_owned(), header, slots: Vec::new() });
            }
            "process" if rest.starts_with("sbd: inquisitor") => sbd.running = true,
            "process" => {
                let watched = rest.strip_prefix("sbd: watcher: ").and_then(|rest| rest.split_once(" - slot"));
                sbd.watched.extend(watched.map(|(disk, _)| disk.to_owned()));
            }
            "holds" => sbd.held.push(rest.to_owned()),
            "watchdog" => rest.clone_into(&mut sbd.watchdog),
            "softdog" => sbd.softdog = true,
            _ => {
                if let Some(disk) = sbd.disks.last_mut() {
                    of_disk(disk, word, rest);
                }
            }
        }
    }
    if let Some(settings) = &mut sbd.settings {
        settings.retain(|_, value| !value.is_empty());
    }
    Ok(sbd)
}

fn of_disk(disk: &mut Disk, word: &str, rest: &str) {
    match (word, &mut disk.header) {
        ("header", Header::Read(fields)) => {
            if let Some((name, value)) = rest.split_once(':').filter(|_| !rest.starts_with('=')) {
                fields.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        ("slot", _) => {
            let mut words = rest.split('\t').skip(1).map(str::to_owned);
            if let (Some(node), Some(message)) = (words.next(), words.next()) {
                disk.slots.push(Slot { node, message, from: words.next().unwrap_or_default() });
            }
        }
        ("gone", header) => *header = Header::Gone,
        ("lost", header) => *header = Header::Lost,
        _ => {}
    }
}

#[cfg(test)]
pub(crate) mod tests;

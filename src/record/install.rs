//! The state folder's own part of the record: which install it made or took over, and what the nodes have told of it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::NodeRecord;
use crate::action::Memory;
use crate::answers::Answers;
use crate::node::At;
use crate::{random, state};

const FILE: &str = "install.json";

/// Which install, from which state folder, and what was made: what a node has lost is still known here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// Id of the install: the same in both nodes' records.
    pub id: String,
    /// Id of the state folder.
    pub seat: String,
    /// Device UUID of each node's DRBD metadata.
    #[serde(default)]
    pub drbd: [Option<String>; 2],
    /// UUID of the file system.
    #[serde(default)]
    pub ocfs2: Option<String>,
}

impl Install {
    /// That of a state folder.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn of(state: &Path) -> Result<Option<Self>> {
        state::kept(
            state,
            FILE,
            "name an empty state folder with --state-dir, and it is made again from what the nodes have recorded",
        )
    }

    /// That of a state folder, or a new one for it, with what the nodes have recorded; kept there.
    /// The second value is what there is to say about it.
    ///
    /// # Errors
    /// A [`Failure`](crate::event::Failure) when these are not the nodes of this pair; see [`super::judge`].
    pub fn settle(state: &Path, answers: &Answers, records: &[NodeRecord; 2]) -> Result<(Self, Vec<String>)> {
        let own = Self::of(state)?;
        let id = own.as_ref().map(|own| own.id.as_str());
        let owner = own.as_ref().map(|own| own.owner(state)).unwrap_or_default();
        let verdict = super::judge(answers, records, id, &owner)?;
        let mut install = match own {
            Some(own) => own,
            None => Self::new(verdict.adopt)?,
        };
        install.learn(records);
        install.keep(state)?;
        Ok((install, verdict.notes))
    }

    /// A new one; `id` is that of the nodes if they have one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(id: Option<String>) -> Result<Self> {
        let id = match id {
            Some(id) => id,
            None => random::hex::<16>()?,
        };
        Ok(Self { id, seat: random::hex::<16>()?, ..Self::default() })
    }

    /// Who holds the nodes' locks while a run works from this state folder. Its own lock tells whether another run is at work
    /// from the very same folder; so a copy of it, on another machine or beside it, is another owner.
    pub fn owner(&self, state: &Path) -> String {
        // Not the host name: the step `hosts` may change it.
        let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let path = state.canonicalize().unwrap_or_else(|_| state.to_owned());
        let mut sum = Sha256::new();
        for part in [self.seat.as_bytes(), machine.trim().as_bytes(), path.as_os_str().as_bytes()] {
            sum.update(part);
            sum.update([0]);
        }
        format!("{:x}", sum.finalize())[..32].to_owned()
    }

    /// Takes over what the nodes tell; what they have lost stays.
    pub fn learn(&mut self, records: &[NodeRecord; 2]) {
        for at in At::BOTH {
            let (own, peer) = (&records[at.index()], &records[at.peer().index()]);
            if let Some(uuid) = own.drbd.as_ref().or(peer.peer.as_ref()) {
                self.drbd[at.index()] = Some(uuid.clone());
            }
        }
        if let Some(uuid) = records[0].ocfs2.as_ref().or(records[1].ocfs2.as_ref()) {
            self.ocfs2 = Some(uuid.clone());
        }
    }

    /// What actions may know of it.
    pub fn memory(&self) -> Memory {
        Memory { drbd: self.drbd.clone(), ocfs2: self.ocfs2.clone(), ..Memory::default() }
    }

    /// Keeps it in a state folder, atomically.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep(&self, state: &Path) -> Result<()> {
        state::keep(state, FILE, self)
    }
}

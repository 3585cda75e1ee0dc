//! The state folder's own part of the record: which install it made or took over, and what the nodes have told of it.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::NodeRecord;
use crate::action::Memory;
use crate::node::At;

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
        let path = state.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .with_context(|| format!("{} is damaged; name an empty state folder with --state-dir, and it is made again from what the nodes have recorded", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// A new one; `id` is that of the nodes if they have one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(id: Option<String>) -> Result<Self> {
        let id = match id {
            Some(id) => id,
            None => random()?,
        };
        Ok(Self { id, seat: random()?, ..Self::default() })
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
        let path = state.join(FILE);
        let context = || format!("writing {}", path.display());
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .tempfile_in(state)
            .with_context(context)?;
        let text = serde_json::to_vec_pretty(self).context("an install as JSON")?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).with_context(context)?;
        file.persist(&path).with_context(context)?;
        fs::File::open(state).and_then(|folder| folder.sync_all()).with_context(context)
    }
}

fn random() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no random bytes: {error}"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

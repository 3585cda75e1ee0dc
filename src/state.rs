//! The state folder: `$XDG_STATE_HOME/hapair/<cluster>/`. Journal, secrets, lock and known host keys live there.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where a cluster's state lives; the folder is not made.
///
/// # Errors
/// When neither `--state-dir`, `XDG_STATE_HOME` nor `HOME` names a place.
pub fn folder(state_dir: Option<&Path>, cluster: &str) -> Result<PathBuf> {
    let base = match state_dir {
        Some(dir) => dir.to_owned(),
        None => match std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
            Some(dir) => dir.join("hapair"),
            None => match std::env::var_os("HOME") {
                Some(home) => PathBuf::from(home).join(".local/state/hapair"),
                None => bail!("no place for the state: HOME is not set; name a folder with --state-dir"),
            },
        },
    };
    Ok(base.join(cluster))
}

/// Makes the folder, for its owner only.
///
/// # Errors
/// When it can't be made.
pub fn make(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making the state folder {}; name another with --state-dir", folder.display()))
}

/// What a file of the folder holds, if it is there; `damaged` says what to do when it can't be understood.
///
/// # Errors
/// When it is there and can't be read or understood.
pub fn kept<T: DeserializeOwned>(folder: &Path, name: &str, damaged: &str) -> Result<Option<T>> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged; {damaged}", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes a file of the folder, for its owner only: whole and on disk, or not at all.
///
/// # Errors
/// When it can't be written.
pub fn keep(folder: &Path, name: &str, content: &impl Serialize) -> Result<()> {
    let path = folder.join(name);
    let context = || format!("writing {}", path.display());
    let text = serde_json::to_vec_pretty(content).with_context(context)?;
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .with_context(context)?;
    file.write_all(&text).and_then(|()| file.as_file().sync_all()).with_context(context)?;
    file.persist(&path).with_context(context)?;
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(context)
}

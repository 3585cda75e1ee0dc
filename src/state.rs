//! The state folder: `$XDG_STATE_HOME/hapair/<cluster>/`. Journal, secrets, lock and known host keys live there.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

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

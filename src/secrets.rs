//! Secrets that hapair makes: once for each install, kept in the state folder with mode 0600.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// DRBD's shared secret, Corosync's and Heartbeat's keys. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// 40 hexadecimal digits: DRBD takes up to 63 characters (drbd.conf(5), `shared-secret`).
    pub drbd_shared_secret: String,
    /// 256 random bytes in base64: the size that corosync-keygen(8) makes.
    pub corosync_authkey_base64: String,
    /// 40 hexadecimal digits for `sha1` of Heartbeat's authkeys.
    pub heartbeat_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(********)")
    }
}

const FILE: &str = "secrets.json";

impl Secrets {
    /// Those of the state folder; made and kept there at the first call.
    ///
    /// # Errors
    /// When the file can't be read or written, or the system gives no random bytes.
    pub fn of_install(state: &Path) -> Result<Self> {
        match Self::existing(state)? {
            Some(secrets) => Ok(secrets),
            None => Self::make(state),
        }
    }

    /// Those of the state folder, if they were made.
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub fn existing(state: &Path) -> Result<Option<Self>> {
        let path = state.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).with_context(|| {
                format!("{} is damaged; it holds the keys of the cluster: put it back from a copy, or take the keys from a node", path.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Stand-ins for a plan or files that are only shown.
    pub fn placeholders() -> Self {
        Self {
            drbd_shared_secret: "made-by-hapair-at-install".to_owned(),
            // As long as a real one: Corosync refuses keys of less than 128 bytes.
            corosync_authkey_base64: STANDARD.encode("made by hapair at install, ".repeat(10)),
            heartbeat_key: "made-by-hapair-at-install".to_owned(),
        }
    }

    fn make(state: &Path) -> Result<Self> {
        let secrets = Self {
            drbd_shared_secret: hex(&random::<20>()?),
            corosync_authkey_base64: STANDARD.encode(random::<256>()?),
            heartbeat_key: hex(&random::<20>()?),
        };
        let path = state.join(FILE);
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .tempfile_in(state)
            .with_context(|| format!("writing into {}", state.display()))?;
        let text = serde_json::to_vec_pretty(&secrets).context("secrets as JSON")?;
        file.write_all(&text)
            .and_then(|()| file.as_file().sync_all())
            .with_context(|| format!("writing {}", path.display()))?;
        file.persist(&path).with_context(|| format!("writing {}", path.display()))?;
        fs::File::open(state)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(secrets)
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no random bytes: {error}"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn secrets_are_made_once_and_only_root_reads_them() {
        let state = tempfile::tempdir().expect("a folder");
        let first = Secrets::of_install(state.path()).expect("made");
        assert_eq!(Secrets::of_install(state.path()).expect("read"), first);
        assert_eq!(first.drbd_shared_secret.len(), 40);
        let mode = fs::metadata(state.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(&first.drbd_shared_secret));
    }
}

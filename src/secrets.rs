//! Secrets that hapair makes: once for each install, kept in the state folder with mode 0600.

use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Pair};
use crate::platform::Platform;
use crate::setup::unanswered;
use crate::{random, state};

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
        state::kept(
            state,
            FILE,
            "it holds the keys of the cluster: put it back from a copy, or take the keys from a node",
        )
    }

    /// Those of the state folder; where it has none, those that the nodes use, and new ones for what no node has.
    /// The second value says what was taken over, from where.
    ///
    /// # Errors
    /// When the file can't be read or written, or a node can't be asked.
    pub fn of_pair(state: &Path, pair: &Pair, platform: &Platform) -> Result<(Self, Vec<String>)> {
        if let Some(secrets) = Self::existing(state)? {
            return Ok((secrets, Vec::new()));
        }
        let path = |key: &str| -> String {
            platform.groups.get("paths").and_then(|paths| paths.get(key)).cloned().unwrap_or_default()
        };
        let (drbd, key) = (path("drbd_resource"), path("corosync_authkey"));
        let mut secrets = Self::random()?;
        let mut taken = Vec::new();
        let (mut drbd_from, mut key_from) = (None, None);
        let reads = [Cmd::read(["cat", "--", &drbd]), Cmd::read(["cat", "--", &key])];
        for (node, outputs) in pair.0.iter().zip(pair.read_both([&reads, &reads]).map_err(unanswered(pair))?) {
            let name = &node.name;
            let shared = outputs.first().filter(|out| out.ok()).and_then(|out| shared_secret(&out.text()));
            if let (None, Some(shared)) = (&drbd_from, shared) {
                secrets.drbd_shared_secret = shared;
                drbd_from = Some(());
                taken.push(format!("DRBD's shared secret was taken over from {drbd} of {name}"));
            }
            let found = outputs.get(1).filter(|out| out.ok() && key_from.is_none());
            let took = match found {
                // corosync(8) takes keys of 128 bytes and more.
                Some(out) if platform.messaging == "corosync" && out.stdout.len() >= 128 => {
                    secrets.corosync_authkey_base64 = STANDARD.encode(&out.stdout);
                    true
                }
                Some(out) if platform.messaging == "heartbeat" => match heartbeat_key(&out.text()) {
                    Some(key) => {
                        secrets.heartbeat_key = key;
                        true
                    }
                    None => false,
                },
                _ => false,
            };
            if took {
                key_from = Some(());
                taken.push(format!("the cluster's key was taken over from {key} of {name}"));
            }
        }
        secrets.keep(state)?;
        Ok((secrets, taken))
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
        let secrets = Self::random()?;
        secrets.keep(state)?;
        Ok(secrets)
    }

    fn random() -> Result<Self> {
        Ok(Self {
            drbd_shared_secret: random::hex::<20>()?,
            corosync_authkey_base64: STANDARD.encode(random::bytes::<256>()?),
            heartbeat_key: random::hex::<20>()?,
        })
    }

    fn keep(&self, state: &Path) -> Result<()> {
        state::keep(state, FILE, self)
    }
}

/// `shared-secret "..."` of a resource that hapair wrote.
fn shared_secret(text: &str) -> Option<String> {
    let rest = text.lines().find_map(|line| line.trim().strip_prefix("shared-secret"))?;
    let secret = rest.trim().trim_end_matches(';').trim().trim_matches('"');
    let plain = (1..=63).contains(&secret.len()) && secret.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| secret.to_owned())
}

/// The key of `1 sha1 KEY` in authkeys.
fn heartbeat_key(text: &str) -> Option<String> {
    let key = text.lines().find_map(|line| line.trim().strip_prefix("1 sha1 "))?.trim();
    (!key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric())).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_of_the_nodes_are_taken_over_where_the_state_folder_has_none() {
        use crate::node::scripted::{Scripted, fails, says};
        use crate::node::{Node, Output};
        let key: Vec<u8> = (0..=255).collect();
        let served = key.clone();
        // The first node was installed anew; the second has all.
        let second = move |cmd: &Cmd| {
            Ok(match cmd.argv[2].as_str() {
                "/etc/drbd.d/hapair.res" => says("resource r0 {\n    net {\n        shared-secret \"0a1b\";\n"),
                "/etc/corosync/authkey" => Output { stdout: served.clone(), ..Output::default() },
                other => panic!("{other}"),
            })
        };
        let first = Scripted::new(|_: &Cmd| Ok(fails(1, "No such file")));
        let node =
            |name: &str, scripted: Scripted| Node { name: name.into(), transport: std::sync::Arc::new(scripted) };
        let pair = Pair([node("node1", first), node("node2", Scripted::new(second))]);
        let platforms = Platform::load(&crate::step::Catalog::load(None).expect("steps").platforms).expect("platforms");
        let platform = Platform::named("debian-12", &platforms).expect("debian-12");
        let state = tempfile::tempdir().expect("a folder");
        let (secrets, taken) = Secrets::of_pair(state.path(), &pair, platform).expect("taken over");
        assert_eq!(secrets.drbd_shared_secret, "0a1b");
        assert_eq!(STANDARD.decode(&secrets.corosync_authkey_base64).expect("base64"), key);
        assert_eq!(taken.len(), 2);
        assert!(taken.iter().all(|line| line.ends_with("of node2") && !line.contains("0a1b")));
        assert_eq!(Secrets::existing(state.path()).expect("kept"), Some(secrets.clone()));
        // Kept ones are not asked for again.
        assert_eq!(Secrets::of_pair(state.path(), &pair, platform).expect("kept"), (secrets, Vec::new()));
        assert_eq!(heartbeat_key("auth 1\n1 sha1 abc123\n").as_deref(), Some("abc123"));
    }

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

//! A first login: key and password are between the user and ssh, on the real terminal.

// Here a process is started that is no command on a node: ssh-copy-id asks the user for the password, and not us.
#![allow(clippy::disallowed_methods)]

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::ssh::Target;

/// The user's own public keys, where ssh-copy-id looks for them.
fn public_keys() -> Vec<PathBuf> {
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else { return Vec::new() };
    ["ed25519", "ecdsa", "rsa"]
        .iter()
        .map(|kind| home.join(format!(".ssh/id_{kind}.pub")))
        .filter(|path| path.is_file())
        .collect()
}

/// Whether there is a key that could be copied: one that was named, one in the usual place, or one in an agent.
pub fn has_key(target: &Target) -> bool {
    let in_agent = || Command::new("ssh-add").arg("-L").output().is_ok_and(|output| output.status.success());
    target.key.is_some() || !public_keys().is_empty() || in_agent()
}

/// Makes a key without a passphrase in the usual place: nobody could type one during an install.
///
/// # Errors
/// When ssh-keygen fails.
pub fn make_key() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).context("no place for a key: HOME is not set")?;
    let path = home.join(".ssh/id_ed25519");
    std::fs::create_dir_all(home.join(".ssh")).context("making ~/.ssh")?;
    let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
    if !status.context("running ssh-keygen")?.success() {
        bail!("ssh-keygen made no key");
    }
    Ok(path)
}

/// Copies the user's key with ssh-copy-id, which talks to the user by itself. The host key must be known already.
///
/// # Errors
/// When ssh-copy-id can't be run or fails; it has said why.
pub fn copy_key(target: &Target) -> Result<()> {
    let mut command = Command::new("ssh-copy-id");
    if let Some(key) = target.key.clone().or_else(|| public_keys().into_iter().next()) {
        command.arg("-i").arg(key);
    }
    if let Some(file) = &target.config_file {
        command.arg("-F").arg(file);
    }
    let known = format!("UserKnownHostsFile={}", super::ssh::option_path(&target.known_hosts));
    command.args(["-o", &known, "-o", "StrictHostKeyChecking=yes", "-p", &target.port.to_string()]);
    let status = command.arg(format!("{}@{}", target.user, target.host)).status();
    if !status.context("running ssh-copy-id (package openssh-client)")?.success() {
        bail!("ssh-copy-id did not copy the key");
    }
    Ok(())
}

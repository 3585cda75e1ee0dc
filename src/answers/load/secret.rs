//! Secrets that are given by reference: `env:NAME` and `file:PATH`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::value::quote;
use super::{Secrets, others_can_read};
use crate::answers::Secret;

/// No password is longer; a wrong path may well lead to a disk image.
const LIMIT: u64 = 64 * 1024;

/// What a secret from the environment begins with.
pub(super) const ENV: &str = "env:";

/// Whether a text names a place instead of being the secret.
pub(super) fn is_reference(text: &str) -> bool {
    text.starts_with(ENV) || text.starts_with("file:")
}

/// The secret that `text` is or names, and a warning.
///
/// `kept` are files that are not written yet, by PATH. No message quotes `text` unless it is a reference.
pub(super) fn resolve(
    text: &str,
    secrets: Secrets,
    env: &dyn Fn(&str) -> Option<String>,
    base: &Path,
    kept: &BTreeMap<String, Secret>,
) -> Result<(Secret, Option<String>), String> {
    let mut warning = None;
    let secret = if let Some(name) = text.strip_prefix(ENV) {
        let word = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !word {
            return Err(format!("{} names no environment variable; write env:NAME", quote(text)));
        }
        if secrets == Secrets::Leave {
            return Ok((Secret::new(text), None));
        }
        Zeroizing::new(env(name).ok_or_else(|| {
            format!(
                "the environment variable {name} is not set; `export {name}=...` before hapair, or \
                 name a file with file:PATH"
            )
        })?)
    } else if let Some(path) = text.strip_prefix("file:") {
        if path.is_empty() {
            return Err("names no file; write file:PATH".to_owned());
        }
        if secrets == Secrets::Leave {
            return Ok((Secret::new(text), None));
        }
        let (secret, open) = match kept.get(path) {
            Some(secret) => (Zeroizing::new(secret.reveal().to_owned()), false),
            None => {
                read(&base.join(path)).map_err(|error| format!("the file {} cannot be read: {error}", quote(path)))?
            }
        };
        if open {
            warning = Some(format!("other users can read the file {}; `chmod 600` it", quote(path)));
        }
        secret
    } else {
        Zeroizing::new(text.to_owned())
    };
    if secret.is_empty() {
        return Err("the secret is empty; give it, or env:NAME, or file:PATH".to_owned());
    }
    if secret.chars().any(char::is_control) {
        return Err("the secret has a line break or a control character; it must be a single line".to_owned());
    }
    Ok((Secret::new(secret.as_str()), warning))
}

/// The file's text without its last line break, and whether others can read it.
fn read(path: &Path) -> std::io::Result<(Zeroizing<String>, bool)> {
    let file = File::open(path)?;
    let open = others_can_read(&file.metadata()?);
    let mut text = Zeroizing::new(String::new());
    file.take(LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(std::io::Error::other("it is larger than 64 KiB, which no secret is"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok((Zeroizing::new(line.to_owned()), open))
}

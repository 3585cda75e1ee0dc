//! A whole file as it must be on a node, its own or on the shared mount: how it is looked at, judged and written.

use anyhow::{Context, Result};

use super::{with_diff, write};
use crate::action::{Change, Refusal, RefusalKind, State};
use crate::node::{Cmd, Output};

/// What a file must be.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// Absolute path on the node.
    pub path: &'a str,
    /// Content.
    pub bytes: &'a [u8],
    /// Mode, such as 0o644; `None`: mode and owner stay as they are (0644 and root where nothing is yet).
    pub mode: Option<u32>,
    /// `user:group`.
    pub owner: &'a str,
    /// Holds a secret: never shown.
    pub secret: bool,
    /// Mount point of the file system that both nodes share, if the file lies there; else empty. Without that mount nothing
    /// is written: the folder is the node's own then.
    pub guard: &'a str,
}

/// A mode that was given as text.
///
/// # Errors
/// When it is no octal number of four digits; names the file.
pub fn octal(path: &str, mode: &str) -> Result<u32> {
    u32::from_str_radix(mode, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .with_context(|| format!("{path}: the mode {mode:?} is not an octal number such as \"0644\""))
}

/// The reads whose outputs [`Whole::judge`] takes.
pub fn reads(path: &str) -> [Cmd; 2] {
    [Cmd::read(["stat", "-c", "%a %U:%G %F", "--", path]), Cmd::read(["cat", "--", path])]
}

impl Whole<'_> {
    /// How the file stands; with the diff, unless it is secret.
    pub fn judge(&self, stat: &Output, content: &Output) -> State {
        let path = self.path;
        if !stat.ok() {
            let change = Change::new(format!("write {path}"));
            return State::Drift(if self.secret { change } else { with_diff(change, path, None, self.bytes) });
        }
        let line = stat.line();
        let mut words = line.splitn(3, ' ');
        let (is_mode, is_owner, kind) =
            (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if kind == "directory" {
            return Refusal::state(
                RefusalKind::Preflight,
                format!("{path} is a folder, and a file belongs there"),
                format!("move the folder {path} away"),
            );
        }
        if !kind.starts_with("regular") {
            return State::drift(format!("put a file in the place of the {kind} {path}"));
        }
        if !content.ok() || content.stdout != self.bytes {
            let summary = format!("change {path}");
            if self.secret {
                return State::drift(format!("{summary} (content differs; it is secret, so it is not shown)"));
            }
            return State::Drift(with_diff(Change::new(summary), path, Some(&content.stdout), self.bytes));
        }
        let Some(mode) = self.mode else { return State::Satisfied };
        if u32::from_str_radix(is_mode, 8) != Ok(mode) {
            return State::drift(format!("set the mode of {path} to {mode:04o} (it is {is_mode:0>4})"));
        }
        if is_owner != self.owner {
            return State::drift(format!("give {path} to {} (it belongs to {is_owner})", self.owner));
        }
        State::Satisfied
    }

    /// The order that writes it, atomically and with a copy of what hapair did not write.
    pub fn write(&self) -> Cmd {
        let mode = self.mode.map_or_else(|| "keep".to_owned(), |mode| format!("{mode:04o}"));
        write(self.path, &mode, self.owner, "", self.guard, self.bytes.to_vec()).secret(self.secret)
    }
}

//! A file on the shared mount: written once for both nodes, by the first.
//!
//! The `file` action would write it from both sides at once. And without its mount the folder is the node's own disk:
//! the guard is looked at again right before the write. What hapair did not write is kept as `file` keeps it, in the record of
//! the first node, and is put back before the mount goes. What hapair alone made stays on the mount.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::file::whole::{self, Whole};
use super::{Act, Order, Refusal, RefusalKind, RenderedFile, Scope, Seen, State};
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// What stays on the mount behind an undo, whoever made it.
pub(super) const STAYS: &str = "The cluster file system stays with the VMs' disks and configurations.";

/// `$1` guard. Exit code 0 when it is mounted (or there is none).
const MOUNTED: &str = r#"[ -z "$1" ] || grep -qF " $1 ocfs2 " /proc/mounts"#;

/// A file that both nodes see.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedFile {
    /// Absolute path.
    pub path: String,
    /// Template that the content comes from.
    #[serde(default)]
    pub template: Option<String>,
    /// Content.
    #[serde(default)]
    pub content: Option<String>,
    /// Octal.
    #[serde(default = "mode")]
    pub mode: String,
    /// Mount point that must be mounted.
    pub guard: String,
}

fn mode() -> String {
    "0644".to_owned()
}

/// Whether the shared mount is there on both nodes.
pub(super) fn mounted(guard: &str) -> Cmd {
    Cmd::read_sh(MOUNTED, [guard])
}

/// The nodes' word for a mount that is missing, if it is.
pub(super) fn not_mounted(seen: &Seen<'_>, guard: &str) -> Option<State> {
    let missing: Vec<&str> = At::BOTH
        .into_iter()
        .filter(|at| !seen.get(*at, 0).ok())
        .map(|at| if at == At::First { "the first node" } else { "the second node" })
        .collect();
    (!missing.is_empty()).then(|| State::Unknown(format!("{guard} is not mounted on {} yet", missing.join(" and "))))
}

/// How a file on the shared mount stands, of which both nodes must say the same: outputs 1 and 2 are those of
/// [`whole::reads`], behind [`mounted`].
pub(super) fn judge(seen: &Seen<'_>, whole: &Whole<'_>) -> State {
    let states = At::BOTH.map(|at| whole.judge(seen.get(at, 1), seen.get(at, 2)));
    states.into_iter().find(|state| *state != State::Satisfied).unwrap_or(State::Satisfied)
}

/// The order that writes it: on the first node, whose record then holds the copy of what stood there.
pub(super) fn write(whole: &Whole<'_>) -> Order {
    Order::new(At::First, whole.write())
}

impl SharedFile {
    fn whole(&self) -> Result<Whole<'_>> {
        let content = self.content.as_deref().with_context(|| format!("{}: the step names no template", self.path))?;
        let (bytes, mode) = (content.as_bytes(), Some(whole::octal(&self.path, &self.mode)?));
        Ok(Whole { path: &self.path, bytes, mode, owner: "root:root", secret: false, guard: &self.guard })
    }
}

impl Act for SharedFile {
    fn title(&self) -> String {
        format!("write {} for both", self.path)
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        [mounted(&self.guard)].into_iter().chain(whole::reads(&self.path)).collect()
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        match self.whole() {
            Ok(whole) => not_mounted(seen, &self.guard).unwrap_or_else(|| judge(seen, &whole)),
            Err(error) => Refusal::state(RefusalKind::Preflight, format!("{error:#}"), "mend the step"),
        }
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        vec![undo::shared_file(&self.path, &self.guard)]
    }

    fn left(&self) -> Option<String> {
        Some(STAYS.to_owned())
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(vec![write(&self.whole()?)])
    }

    fn files(&self) -> Vec<RenderedFile> {
        let whole = self.whole().ok();
        let file = whole.and_then(|whole| Some((whole.bytes.to_vec(), whole.mode?)));
        file.map(|(content, mode)| RenderedFile { path: self.path.clone(), mode, content, secret: false })
            .into_iter()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn out(code: i32, text: &str) -> Output {
        Output { code, stdout: text.into(), stderr: Vec::new() }
    }

    fn judge(first: &[Output], second: &[Output]) -> State {
        let file = SharedFile {
            path: "/drbd0/xen/vm01/vm01.cfg".to_owned(),
            template: None,
            content: Some("name = \"vm01\"\n".to_owned()),
            mode: mode(),
            guard: "/drbd0".to_owned(),
        };
        let memory = Memory::default();
        file.judge(At::First, &Seen { outputs: [first, second], memory: &memory })
    }

    #[test]
    fn not_without_the_mount() {
        let off = [out(1, ""), out(1, ""), out(1, "")];
        let on = [out(0, ""), out(1, ""), out(1, "")];
        assert_eq!(judge(&on, &off), State::Unknown("/drbd0 is not mounted on the second node yet".to_owned()));
        assert!(matches!(judge(&on, &on), State::Drift(_)));
    }

    #[test]
    fn both_see_the_same() {
        let good = [out(0, ""), out(0, "644 root:root regular file\n"), out(0, "name = \"vm01\"\n")];
        assert_eq!(judge(&good, &good), State::Satisfied);
        let old = [out(0, ""), out(0, "644 root:root regular file\n"), out(0, "name = \"x\"\n")];
        let State::Drift(change) = judge(&good, &old) else { panic!("not drift") };
        let diff = change.diff.unwrap_or_default();
        assert!(
            diff.starts_with("--- /drbd0/xen/vm01/vm01.cfg\n") && diff.ends_with("-name = \"x\"\n+name = \"vm01\"\n")
        );
        for stat in ["600 root:root regular file", "644 root:adm regular file", "777 root:root symbolic link"] {
            let other = [out(0, ""), out(0, stat), good[2].clone()];
            assert!(matches!(judge(&other, &other), State::Drift(_)), "{stat}");
        }
        let folder = [out(0, ""), out(0, "755 root:root directory"), out(1, "")];
        assert!(matches!(judge(&folder, &folder), State::Refused(_)));
    }
}

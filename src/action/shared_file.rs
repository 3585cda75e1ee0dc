//! A file on the shared mount: written once for both nodes, by the first.
//!
//! The `file` action would write it from both sides at once. And without its mount the folder is the node's own disk:
//! the guard is looked at again right before the write.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::file::with_diff;
use super::{Act, Change, Order, Refusal, RefusalKind, RenderedFile, Scope, Seen, State};
use crate::node::{At, Cmd};

/// `$1` path, `$2` mode, `$3` guard (or empty); content on stdin.
const WRITE: &str = r#"
set -eu
if [ -n "$3" ] && ! grep -qF " $3 ocfs2 " /proc/mounts; then
    echo "$3 is not mounted: $1 was not written" >&2
    exit 1
fi
mkdir -p "$(dirname "$1")"
trap 'rm -f "$1.hapair-new"' EXIT
cat > "$1.hapair-new"
chmod "$2" "$1.hapair-new"
sync "$1.hapair-new"
mv -f "$1.hapair-new" "$1"
sync "$(dirname "$1")"
"#;

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

/// The order that writes a whole file on the shared mount.
pub(super) fn write(path: &str, mode: &str, guard: &str, content: &[u8]) -> Cmd {
    Cmd::write_sh(WRITE, [path, mode, guard]).stdin(content)
}

impl SharedFile {
    fn bytes(&self) -> Result<&[u8]> {
        self.content.as_deref().map(str::as_bytes).with_context(|| format!("{}: the step names no template", self.path))
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
        vec![
            mounted(&self.guard),
            Cmd::read(["stat", "-c", "%a %F", "--", &self.path]),
            Cmd::read(["cat", "--", &self.path]),
        ]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let bytes = match self.bytes() {
            Ok(bytes) => bytes,
            Err(error) => return Refusal::state(RefusalKind::Preflight, format!("{error:#}"), "mend the step"),
        };
        if let Some(state) = not_mounted(seen, &self.guard) {
            return state;
        }
        for at in At::BOTH {
            let (stat, content) = (seen.get(at, 1), seen.get(at, 2));
            if !stat.ok() {
                return State::Drift(with_diff(Change::new(self.title()), &self.path, None, bytes));
            }
            if content.stdout != bytes {
                let change = Change::new(format!("change {} for both", self.path));
                return State::Drift(with_diff(change, &self.path, Some(&content.stdout), bytes));
            }
            let line = stat.line();
            let mode = line.split(' ').next().unwrap_or_default();
            if u32::from_str_radix(mode, 8) != u32::from_str_radix(&self.mode, 8) {
                return State::drift(format!("set the mode of {} to {} (it is {mode:0>4})", self.path, self.mode));
            }
        }
        State::Satisfied
    }

    fn left(&self) -> Option<String> {
        Some("The cluster file system stays with the VMs' disks and configurations.".to_owned())
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(vec![Order::new(At::First, write(&self.path, &self.mode, &self.guard, self.bytes()?))])
    }

    fn files(&self) -> Vec<RenderedFile> {
        match (self.bytes(), u32::from_str_radix(&self.mode, 8)) {
            (Ok(content), Ok(mode)) => {
                vec![RenderedFile { path: self.path.clone(), mode, content: content.to_vec(), secret: false }]
            }
            _ => Vec::new(),
        }
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
        let good = [out(0, ""), out(0, "644 regular file\n"), out(0, "name = \"vm01\"\n")];
        assert_eq!(judge(&good, &good), State::Satisfied);
        let old = [out(0, ""), out(0, "644 regular file\n"), out(0, "name = \"x\"\n")];
        assert!(matches!(judge(&good, &old), State::Drift(_)));
    }
}

//! A VM's disk image on the shared mount: made once, by the first node, and never overwritten.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::shared_file::{mounted, not_mounted};
use super::{Act, Order, Refusal, RefusalKind, Scope, Seen, State};
use crate::node::{At, Cmd};

/// `$1` path, `$2` size in MiB, `$3` guard, `$4` source (or empty).
const MAKE: &str = r#"
set -eu
path=$1 mib=$2 guard=$3 source=$4
# truncate came with coreutils 7.0.
grow() { truncate -s "${mib}M" "$new" 2>/dev/null || dd if=/dev/null of="$new" bs=1M seek="$mib" count=0 2>/dev/null; }
grep -qF " $guard ocfs2 " /proc/mounts || { echo "$guard is not mounted: $path was not made" >&2; exit 1; }
# The guest's data, from here on: whatever lies there is left alone.
[ ! -e "$path" ] || exit 0
mkdir -p "$(dirname "$path")"
new=$path.hapair-new
trap 'rm -f "$new"' EXIT
rm -f "$new"
if [ -n "$source" ]; then
    cp --sparse=always -- "$source" "$new"
    # Grown to the size that was asked for, never cut.
    [ "$(stat -c %s "$new")" -ge $((mib * 1048576)) ] || grow
else
    grow
fi
chmod 600 "$new"
sync "$new"
# A link fails where something lies, a rename would not.
ln "$new" "$path" 2>/dev/null || [ -e "$path" ] || mv -n "$new" "$path"
sync "$(dirname "$path")"
"#;

/// `$1` path, `$2` source (or empty). Lines `image KIND BYTES` and `source MAGIC BYTES`; of a source that is not there
/// nothing.
const LOOK: &str = r#"
stat -c 'image %F|%s' -- "$1" 2>/dev/null
[ -n "$2" ] && [ -f "$2" ] && echo "source $(head -c 3 -- "$2" | od -An -tx1 | tr -d ' \n')|$(stat -c %s -- "$2")"
exit 0
"#;

/// A disk image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskImage {
    /// Where it lies.
    pub path: String,
    /// Size in MiB. An image that is copied is grown to it, and never cut.
    pub mib: String,
    /// An image on the first node that it starts as; empty for a blank disk.
    #[serde(default)]
    pub source: String,
    /// Mount point that must be mounted.
    pub guard: String,
}

impl Act for DiskImage {
    fn title(&self) -> String {
        if self.source.is_empty() {
            format!("make the disk image {}", self.path)
        } else {
            format!("copy {} to {}", self.source, self.path)
        }
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, at: At) -> Vec<Cmd> {
        let source = if at == At::First { self.source.as_str() } else { "" };
        vec![mounted(&self.guard), Cmd::read_sh(LOOK, [self.path.as_str(), source])]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let first = seen.get(At::First, 1).text();
        let field = |text: &str, name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| {
                rest.trim().split_once('|').map(|(kind, bytes)| (kind.to_owned(), bytes.parse::<u64>().unwrap_or(0)))
            })
        };
        let mounted = not_mounted(seen, &self.guard);
        if mounted.is_none() {
            let second = seen.get(At::Second, 1).text();
            match (field(&first, "image "), field(&second, "image ")) {
                (Some((kind, _)), Some(_)) if kind.starts_with("regular") => return State::Satisfied,
                (Some((kind, _)), _) if !kind.starts_with("regular") => {
                    return Refusal::state(
                        RefusalKind::Preflight,
                        format!("{} is a {kind}, and a disk image belongs there", self.path),
                        "move it away",
                    );
                }
                (None, None) => {}
                (one, _) => {
                    let (there, missing) = if one.is_some() { ("first", "second") } else { ("second", "first") };
                    return Refusal::state(
                        RefusalKind::Failed,
                        format!("{} is on the {there} node and not on the {missing}: they do not share it", self.path),
                        format!("see with `mounted.ocfs2 -f` what is mounted at {} on each", self.guard),
                    );
                }
            }
        }
        // A source that is missing is told before anything is changed, whatever is mounted by then.
        if !self.source.is_empty() {
            match field(&first, "source ") {
                None => {
                    return Refusal::state(
                        RefusalKind::Preflight,
                        format!("there is no disk image {} on the first node", self.source),
                        "put it there, or name another one in the answers",
                    );
                }
                // "QFI", qcow2: a guest would find no partition table in it.
                Some((magic, bytes)) if magic == "514649" => {
                    return Refusal::state(
                        RefusalKind::Preflight,
                        format!("{} ({} MiB) is a qcow2 image; a raw one is needed", self.source, bytes >> 20),
                        format!("qemu-img convert -O raw {0} {0}.raw", self.source),
                    );
                }
                Some(_) => {}
            }
        }
        if let Some(state) = mounted {
            return state;
        }
        State::drift(if self.source.is_empty() {
            format!("make the disk image {} ({} MiB, sparse)", self.path, self.mib)
        } else {
            format!("copy {} to {} (sparse, at least {} MiB)", self.source, self.path, self.mib)
        })
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        let mib: u64 = self.mib.parse().with_context(|| format!("{}: {:?} is no size in MiB", self.path, self.mib))?;
        let args = [self.path.clone(), mib.to_string(), self.guard.clone(), self.source.clone()];
        // Through DRBD a large image takes its time.
        Ok(vec![Order::new(At::First, Cmd::write_sh(MAKE, args).timeout(Duration::from_secs(6 * 3600)))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(source: &str, first: (i32, &str), second: (i32, &str)) -> State {
        let image = DiskImage {
            path: "/drbd0/xen/vm01/vm01-disk0.img".to_owned(),
            mib: "1024".to_owned(),
            source: source.to_owned(),
            guard: "/drbd0".to_owned(),
        };
        let out = |(mounted, text): (i32, &str)| {
            [Output { code: mounted, ..Output::default() }, Output { code: 0, stdout: text.into(), stderr: Vec::new() }]
        };
        let (first, second) = (out(first), out(second));
        let memory = Memory::default();
        image.judge(At::First, &Seen { outputs: [&first, &second], memory: &memory })
    }

    #[test]
    fn made_once() {
        assert!(matches!(judge("", (0, ""), (0, "")), State::Drift(_)));
        let there = (0, "image regular file|1073741824\n");
        assert_eq!(judge("", there, there), State::Satisfied);
        // An image that was copied stays, though its source is gone by now.
        assert_eq!(judge("/srv/gone.img", there, there), State::Satisfied);
        assert!(matches!(judge("", there, (0, "")), State::Refused(_)));
    }

    #[test]
    fn not_on_the_nodes_own_disk() {
        assert!(matches!(judge("", (1, ""), (0, "")), State::Unknown(_)));
        assert!(matches!(judge("", (1, "image regular file|5\n"), (1, "")), State::Unknown(_)));
    }

    #[test]
    fn a_source_must_be_a_raw_image() {
        assert!(matches!(judge("/srv/a.img", (1, ""), (1, "")), State::Refused(_)));
        let State::Refused(refusal) = judge("/srv/a.img", (0, "source 514649|1048576\n"), (0, "")) else {
            panic!("not refused")
        };
        assert!(refusal.next.starts_with("qemu-img convert"));
        assert!(matches!(judge("/srv/a.img", (0, "source eb6390|1048576\n"), (0, "")), State::Drift(_)));
    }
}

//! The proof of a shared file system: what one node writes the other reads.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::action::{Act, Order, Scope, Seen, Settle, State};
use crate::node::{At, Cmd};

/// Each node has a small file of its own under the mount point, and both nodes read both files alike.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossRead {
    /// Names of the nodes, in order.
    pub nodes: Vec<String>,
    /// Mount point.
    pub path: String,
}

const READ: &str = r#"
# $1 mount point, $2 and $3 names
mounted=
while read -r _ where type _; do
	[ "$where" = "$1" ] && mounted=$type
done </proc/mounts
[ -n "$mounted" ] || exit 7
for node in "$2" "$3"; do
	said=
	[ -r "$1/.hapair-$node" ] && read -r said <"$1/.hapair-$node"
	printf '%s\n' "$said"
done
"#;

const WRITE: &str = r#"
# $1 mount point, $2 own name
mounted=
while read -r _ where _; do
	[ "$where" = "$1" ] && mounted=yes
done </proc/mounts
[ -n "$mounted" ] || { echo "nothing is mounted on $1" >&2; exit 1; }
read -r word </proc/sys/kernel/random/uuid
printf '%s %s\n' "$2" "$word" >"$1/.hapair-$2.new" && mv "$1/.hapair-$2.new" "$1/.hapair-$2" && sync
"#;

impl CrossRead {
    fn node(&self, at: At) -> &str {
        self.nodes.get(at.index()).map_or("", String::as_str)
    }

    /// What each of the two files says, as this node reads them.
    fn said(at: At, seen: &Seen<'_>) -> [String; 2] {
        let text = seen.get(at, 0).text();
        let mut lines = text.lines().map(str::to_owned);
        [lines.next().unwrap_or_default(), lines.next().unwrap_or_default()]
    }

    fn own(&self, writer: At, said: &[String; 2]) -> bool {
        said[writer.index()].split(' ').next().is_some_and(|name| !name.is_empty() && name == self.node(writer))
    }
}

impl Act for CrossRead {
    fn title(&self) -> String {
        format!("what one node writes under {} the other reads", self.path)
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read_sh(READ, [self.path.as_str(), self.node(At::First), self.node(At::Second)])]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        for at in At::BOTH {
            if seen.get(at, 0).code == 7 {
                return State::Unknown(format!("nothing is mounted on {} of {} yet", self.path, self.node(at)));
            }
        }
        let said = At::BOTH.map(|at| Self::said(at, seen));
        for writer in At::BOTH {
            if !self.own(writer, &said[writer.index()]) {
                return State::drift(format!(
                    "write a small file on each node under {} and read it on the other",
                    self.path
                ));
            }
        }
        for writer in At::BOTH {
            let reader = writer.peer();
            if said[reader.index()][writer.index()] != said[writer.index()][writer.index()] {
                return State::drift(format!(
                    "{} does not read what {} wrote under {}",
                    self.node(reader),
                    self.node(writer),
                    self.path
                ));
            }
        }
        State::Satisfied
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(At::BOTH.map(|at| Order::new(at, Cmd::write_sh(WRITE, [self.path.as_str(), self.node(at)]))).to_vec())
    }

    fn settle(&self) -> Option<Settle> {
        let files: Vec<String> = self.nodes.iter().map(|n| format!("[ -s {}/.hapair-{n} ]", self.path)).collect();
        Some(Settle {
            what: "each node to read what the other wrote".to_owned(),
            limit: Duration::from_secs(60),
            every: Duration::from_secs(1),
            reboots: false,
            shell: files.join(" && "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(first: (&str, i32), second: (&str, i32)) -> State {
        let action = CrossRead { nodes: vec!["node1".into(), "node2".into()], path: "/drbd0".into() };
        let out = |(s, code): (&str, i32)| [Output { stdout: s.into(), code, ..Output::default() }];
        let (a, b) = (out(first), out(second));
        let memory = Memory::default();
        action.judge(At::First, &Seen { outputs: [&a, &b], memory: &memory })
    }

    #[test]
    fn both_read_both_alike() {
        assert_eq!(judge(("node1 a\nnode2 b\n", 0), ("node1 a\nnode2 b\n", 0)), State::Satisfied);
        assert!(matches!(judge(("\n\n", 0), ("\n\n", 0)), State::Drift(_)));
        // Two file systems of their own.
        assert!(
            matches!(judge(("node1 a\nnode2 old\n", 0), ("node1 a\nnode2 b\n", 0)), State::Drift(c) if c.summary.starts_with("node1 does not read"))
        );
        assert!(matches!(judge(("", 7), ("\n\n", 0)), State::Unknown(_)));
    }
}

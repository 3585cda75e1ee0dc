//! What was made on one node, noted on the other too: a node whose own record is lost is known by its peer's.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::action::{Act, Order, Scope, Seen, State};
use crate::node::{At, Cmd};

/// The UUID of what was made, in both nodes' records.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    /// Names of the nodes, in order.
    pub nodes: Vec<String>,
    /// DRBD resource.
    pub resource: String,
    /// What was made.
    pub made: Made,
    /// Device that carries it; for the file system, whose UUID is read there when no record is left.
    #[serde(default)]
    pub device: String,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// DRBD's metadata: each node's own, and the peer's.
    Drbd,
    /// The file system: the same on both.
    Ocfs2,
}

const READ: &str = r#"
# $1 drbd|ocfs2, $2 resource, $3 device
for name in made peer; do
	value=
	[ -r "/var/lib/hapair/$1-$2.$name" ] && IFS= read -r value <"/var/lib/hapair/$1-$2.$name"
	[ -n "$value" ] && printf '%s=%s\n' $name "$value"
	[ $name$value = made ] && [ "$1" = ocfs2 ] && [ -b "$3" ] && debugfs.ocfs2 -n -R "stats -h" "$3" 2>/dev/null
done
exit 0
"#;

const NOTE: &str = r#"
# $1 file, $2 line
umask 077
mkdir -p /var/lib/hapair || exit 1
printf '%s\n' "$2" >"/var/lib/hapair/$1.new" && sync "/var/lib/hapair/$1.new" &&
	mv "/var/lib/hapair/$1.new" "/var/lib/hapair/$1" && sync /var/lib/hapair
"#;

impl NodeRecord {
    fn kind(&self) -> &'static str {
        match self.made {
            Made::Drbd => "drbd",
            Made::Ocfs2 => "ocfs2",
        }
    }

    /// What is missing: on which node, in which file, what.
    fn missing(&self, seen: &Seen<'_>) -> Result<Vec<(At, String, String)>, String> {
        let texts = At::BOTH.map(|at| seen.get(at, 0).text());
        let value = |at: At, key: &str| texts[at.index()].lines().find_map(|line| line.strip_prefix(key)).map(plain);
        let file = |name: &str| format!("{}-{}.{name}", self.kind(), self.resource);
        let mut missing = Vec::new();
        match self.made {
            Made::Drbd => {
                for at in At::BOTH {
                    let Some(made) = value(at, "made=") else {
                        return Err(format!(
                            "the DRBD metadata of {} is not made yet",
                            self.nodes.get(at.index()).map_or("", String::as_str)
                        ));
                    };
                    if value(at.peer(), "peer=").as_ref() != Some(&made) {
                        missing.push((at.peer(), file("peer"), made));
                    }
                }
            }
            Made::Ocfs2 => {
                let on_disk = texts
                    .iter()
                    .find_map(|text| text.lines().find_map(|line| line.trim().strip_prefix("UUID: ")).map(plain));
                let recorded = At::BOTH.map(|at| value(at, "made="));
                let Some(uuid) = recorded.iter().flatten().next().cloned().or(on_disk) else {
                    return Err("the file system is not made yet".to_owned());
                };
                for at in At::BOTH {
                    if recorded[at.index()].as_ref() != Some(&uuid) {
                        missing.push((at, file("made"), uuid.clone()));
                    }
                }
            }
        }
        Ok(missing)
    }
}

/// Records hold UUIDs only; anything else in them is none of ours.
fn plain(value: &str) -> String {
    value.chars().filter(char::is_ascii_hexdigit).collect()
}

impl Act for NodeRecord {
    fn title(&self) -> String {
        match self.made {
            Made::Drbd => format!("note on each node which DRBD metadata of {} its peer has", self.resource),
            Made::Ocfs2 => format!("note on both nodes which file system {} carries", self.resource),
        }
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read_sh(READ, [self.kind(), &self.resource, &self.device])]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        match self.missing(seen) {
            Err(why) => State::Unknown(why),
            Ok(missing) if missing.is_empty() => State::Satisfied,
            Ok(_) => State::drift(self.title()),
        }
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let missing = self.missing(seen).map_err(anyhow::Error::msg)?;
        Ok(missing.into_iter().map(|(at, file, uuid)| Order::new(at, Cmd::write_sh(NOTE, [file, uuid]))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn with<T>(made: Made, texts: [&str; 2], f: impl FnOnce(&NodeRecord, &Seen<'_>) -> T) -> T {
        let record = NodeRecord {
            nodes: vec!["node1".into(), "node2".into()],
            resource: "r0".into(),
            made,
            device: "/dev/drbd0".into(),
        };
        let out = texts.map(|text| [Output { stdout: text.into(), ..Output::default() }]);
        f(&record, &Seen { outputs: [&out[0], &out[1]], memory: &Memory::default() })
    }

    fn orders(made: Made, texts: [&str; 2]) -> Vec<(At, Vec<String>)> {
        with(made, texts, |record, seen| {
            let orders = record.orders(At::First, seen).expect("orders");
            orders.into_iter().map(|order| (order.at, order.cmd.argv[4..].to_vec())).collect()
        })
    }

    fn judge(made: Made, texts: [&str; 2]) -> State {
        with(made, texts, |record, seen| record.judge(At::First, seen))
    }

    #[test]
    fn each_node_knows_the_others_metadata() {
        assert!(matches!(judge(Made::Drbd, ["made=aa\n", ""]), State::Unknown(why) if why.contains("node2")));
        assert_eq!(judge(Made::Drbd, ["made=aa\npeer=bb\n", "made=bb\npeer=aa\n"]), State::Satisfied);
        let note = |file: &str, uuid: &str| vec![file.to_owned(), uuid.to_owned()];
        assert_eq!(
            orders(Made::Drbd, ["made=aa\npeer=cc\n", "made=bb\n"]),
            [(At::Second, note("drbd-r0.peer", "aa")), (At::First, note("drbd-r0.peer", "bb"))]
        );
    }

    #[test]
    fn both_know_the_file_system_even_if_only_it_is_left() {
        let stats = "\tLabel: my-cluster\n\tUUID: D8C87B55258A49E3B6F0CC283B591EE6\n";
        assert!(matches!(judge(Made::Ocfs2, ["", ""]), State::Unknown(_)));
        assert_eq!(judge(Made::Ocfs2, ["made=D8\n", "made=D8\n"]), State::Satisfied);
        assert_eq!(orders(Made::Ocfs2, ["", "made=D8\n"])[0].1, ["ocfs2-r0.made", "D8"]);
        let both = orders(Made::Ocfs2, [stats, stats]);
        assert_eq!(both.iter().map(|(at, _)| *at).collect::<Vec<_>>(), At::BOTH);
        assert_eq!(both[0].1[1], "D8C87B55258A49E3B6F0CC283B591EE6");
    }
}

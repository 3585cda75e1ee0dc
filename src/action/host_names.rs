//! A node's own name, and the names of both nodes in /etc/hosts.
//!
//! DRBD, OCFS2, Heartbeat and Pacemaker all go by `uname -n`. Debian's installer puts the own name on 127.0.1.1, where
//! the peer can't reach it: such an entry makes OCFS2 and the cluster talk to themselves.

use std::net::IpAddr;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::file::{change_whole, with_diff, write_whole};
use super::{Act, Change, Order, Refusal, RefusalKind, Seen, State};
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// `$1` own name, `$2` the peer's. What runs under another name is only looked for when the name differs: programs
/// whose process names are read without starting a process for each.
const LOOK: &str = r#"own=$(uname -n)
echo "uname=$own"
if [ "$own" != "$1" ]; then
    for file in /proc/[0-9]*/comm; do
        { read -r name <"$file"; } 2>/dev/null || continue
        case $name in corosync | heartbeat | pacemakerd) echo "runs=$name" ;; esac
    done
    [ ! -r /proc/drbd ] || sed -n 's/^ *\([0-9]*\): cs:.*/runs=DRBD (minor \1)/p' /proc/drbd
fi
echo "getent=$(getent hosts "$1")"
echo "getent=$(getent hosts "$2")"
cat /etc/hostname 2>/dev/null"#;

/// Names of both nodes, on one of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostNames {
    /// What `uname -n` must say.
    #[serde(default = "name")]
    pub name: String,
    /// Address of the cluster link.
    #[serde(default = "address")]
    pub address: String,
    /// The peer's name.
    #[serde(default = "peer")]
    pub peer: String,
    /// The peer's address.
    #[serde(default = "peer_address")]
    pub peer_address: String,
}

fn name() -> String {
    "{{ node.name }}".to_owned()
}

fn address() -> String {
    "{{ node.address }}".to_owned()
}

fn peer() -> String {
    "{{ peer.name }}".to_owned()
}

fn peer_address() -> String {
    "{{ peer.address }}".to_owned()
}

/// What the reads gave.
struct Found {
    uname: String,
    hostname: String,
    runs: Vec<String>,
    /// First word of getent's answer for the own and the peer's name.
    addresses: Vec<String>,
    hosts: String,
}

impl Found {
    fn of(at: At, seen: &Seen<'_>) -> Self {
        let text = seen.get(at, 0).text();
        let all =
            |key: &str| text.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect::<Vec<_>>();
        Self {
            uname: all("uname=").concat(),
            hostname: text.lines().filter(|line| !line.contains('=') && !line.trim().is_empty()).collect(),
            runs: all("runs="),
            addresses: all("getent=")
                .iter()
                .map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
                .collect(),
            hosts: seen.get(at, 1).text(),
        }
    }
}

impl HostNames {
    fn wanted(&self) -> [(&str, &str); 2] {
        [(&self.name, &self.address), (&self.peer, &self.peer_address)]
    }

    /// /etc/hosts as it must be: the two names at their addresses and nowhere else; all else as it was.
    fn hosts(&self, old: &str) -> String {
        let mut new = String::new();
        let mut there = [false, false];
        for line in old.split_inclusive('\n') {
            let (entry, comment) = line.split_at(line.find('#').unwrap_or(line.trim_end_matches('\n').len()));
            let mut words = entry.split_whitespace();
            let address = words.next().unwrap_or_default();
            let names: Vec<&str> = words.collect();
            let mut kept = names.clone();
            for (index, (name, right)) in self.wanted().into_iter().enumerate() {
                if same(address, right) {
                    there[index] |= names.iter().any(|other| other.eq_ignore_ascii_case(name));
                } else {
                    kept.retain(|other| !other.eq_ignore_ascii_case(name));
                }
            }
            if kept.len() == names.len() {
                new.push_str(line);
            } else if !kept.is_empty() {
                new.push_str(&format!("{address}\t{}", kept.join(" ")));
                if comment.starts_with('#') {
                    new.push_str("  ");
                }
                new.push_str(if comment.is_empty() { "\n" } else { comment });
            }
        }
        for (index, (name, address)) in self.wanted().into_iter().enumerate() {
            if !there[index] {
                if !new.is_empty() && !new.ends_with('\n') {
                    new.push('\n');
                }
                new.push_str(&format!("{address}\t{name}\n"));
            }
        }
        new
    }
}

/// Two spellings of one address.
fn same(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

impl Act for HostNames {
    fn title(&self) -> String {
        format!("call this node {}, and have both names in /etc/hosts", self.name)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read_sh(LOOK, [&self.name, &self.peer]), Cmd::read(["cat", "/etc/hosts"])]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        if seen.get(at, 0).code < 0 {
            return State::Unknown("the node was not asked".to_owned());
        }
        let found = Found::of(at, seen);
        if found.uname != self.name && !found.runs.is_empty() {
            let mut runs = found.runs.clone();
            runs.sort();
            runs.dedup();
            return Refusal::state(
                RefusalKind::Preflight,
                format!(
                    "this node is called {} and already runs {} under that name; it must not become {}",
                    found.uname,
                    runs.join(", "),
                    self.name
                ),
                format!(
                    "write its own name ({}) in the answers, or stop what runs there and remove its configuration",
                    found.uname
                ),
            );
        }
        let mut wrong: Vec<String> = Vec::new();
        if found.uname != self.name {
            wrong.push(format!("rename this node from {} to {}", found.uname, self.name));
        } else if found.hostname != self.name {
            wrong.push(format!("write {} into /etc/hostname", self.name));
        }
        let hosts = self.hosts(&found.hosts);
        if hosts != found.hosts {
            wrong.push("change /etc/hosts".to_owned());
            return State::Drift(with_diff(
                Change::new(wrong.join(", ")),
                "/etc/hosts",
                Some(found.hosts.as_bytes()),
                hosts.as_bytes(),
            ));
        }
        if !wrong.is_empty() {
            return State::drift(wrong.join(", "));
        }
        for ((name, address), is) in self.wanted().into_iter().zip(&found.addresses) {
            if !same(is, address) {
                let is = if is.is_empty() { "nothing" } else { is };
                return Refusal::state(
                    RefusalKind::Preflight,
                    format!("{name} resolves to {is} on this node, although /etc/hosts says {address}"),
                    "see that the line `hosts:` in /etc/nsswitch.conf begins with `files`, and that no daemon caches old names",
                );
            }
        }
        State::Satisfied
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        // What others wrote into /etc/hosts since stays.
        const LINES: &str = r#"set -eu
grep -vxF -e "$1" -e "$2" /etc/hosts >/etc/.hosts.hapair-new || [ "$?" = 1 ]
chmod 0644 /etc/.hosts.hapair-new
sync /etc/.hosts.hapair-new
mv -f -T /etc/.hosts.hapair-new /etc/hosts
rm -f /var/lib/hapair/backup/%2Fetc%2Fhosts /var/lib/hapair/absent/%2Fetc%2Fhosts
rm -f /var/lib/hapair/written/%2Fetc%2Fhosts"#;
        const NO_LINES: &str = r#"[ -e /var/lib/hapair/backup/%2Fetc%2Fhosts ] || exit 0
! grep -qxF -e "$1" -e "$2" /etc/hosts"#;
        let lines = [format!("{}\t{}", self.address, self.name), format!("{}\t{}", self.peer_address, self.peer)];
        vec![
            undo::file("/etc/hostname"),
            undo::script(
                "call this node as /etc/hostname says",
                "hostname \"$(cat /etc/hostname)\"",
                "[ ! -s /etc/hostname ] || [ \"$(uname -n)\" = \"$(cat /etc/hostname)\" ]",
                &[],
            ),
            undo::file("/etc/hosts"),
            undo::script("take both names out of /etc/hosts", LINES, NO_LINES, &[&lines[0], &lines[1]]),
        ]
    }

    fn orders(&self, at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let found = Found::of(at, seen);
        let mut orders = Vec::new();
        let hosts = self.hosts(&found.hosts);
        // The name must resolve at every moment, so /etc/hosts comes first.
        if hosts != found.hosts {
            orders.push(change_whole("/etc/hosts", found.hosts.as_bytes(), hosts.as_bytes()));
        }
        if found.hostname != self.name {
            orders.push(write_whole("/etc/hostname", "0644", "root:root", format!("{}\n", self.name).into_bytes()));
        }
        if found.uname != self.name {
            orders.push(Cmd::write(["hostname", &self.name]));
        }
        Ok(orders.into_iter().map(|cmd| Order::new(at, cmd)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    const DEBIAN: &str = "127.0.0.1\tlocalhost\n127.0.1.1\tnode1.example.org\tnode1\n\n# The following lines are desirable for IPv6 capable hosts\n::1     localhost ip6-localhost ip6-loopback\n";
    const DONE: &str = "127.0.0.1\tlocalhost\n10.0.0.1\tnode1\n10.0.0.2\tnode2\n";

    fn names() -> HostNames {
        serde_yaml::from_str("{name: node1, address: 10.0.0.1, peer: node2, peer_address: 10.0.0.2}").expect("parses")
    }

    fn judge(look: &str, hosts: &str) -> (State, Vec<String>) {
        let outputs = [look, hosts].map(|text| Output { stdout: text.as_bytes().to_vec(), ..Output::default() });
        let seen = Seen { outputs: [&outputs, &[]], memory: &Memory::default() };
        let orders = names().orders(At::First, &seen).expect("orders");
        (
            names().judge(At::First, &seen),
            orders.iter().map(|order| order.cmd.argv.get(4).unwrap_or(&order.cmd.argv[0]).clone()).collect(),
        )
    }

    #[test]
    fn debians_own_entry_goes_and_other_names_stay() {
        assert_eq!(
            names().hosts(DEBIAN),
            "127.0.0.1\tlocalhost\n127.0.1.1\tnode1.example.org\n\n# The following lines are desirable for IPv6 capable hosts\n::1     localhost ip6-localhost ip6-loopback\n10.0.0.1\tnode1\n10.0.0.2\tnode2\n"
        );
        assert_eq!(names().hosts(&names().hosts(DEBIAN)), names().hosts(DEBIAN));
        assert_eq!(names().hosts("127.0.1.1 node1\n"), "10.0.0.1\tnode1\n10.0.0.2\tnode2\n");
    }

    #[test]
    fn old_addresses_of_the_two_names_go() {
        let old = "192.0.2.7 node2 backup # old\n10.0.0.1 NODE1 storage1\nfe80::1 node2\n10.0.0.3 node20";
        assert_eq!(
            names().hosts(old),
            "192.0.2.7\tbackup  # old\n10.0.0.1 NODE1 storage1\n10.0.0.3 node20\n10.0.0.2\tnode2\n"
        );
        assert_eq!(names().hosts(""), "10.0.0.1\tnode1\n10.0.0.2\tnode2\n");
        assert_eq!(names().hosts(DONE), DONE);
    }

    #[test]
    fn name_file_and_both_addresses_must_all_be_so() {
        let look = "uname=node1\ngetent=10.0.0.1        node1\ngetent=10.0.0.2        node2\nnode1\n";
        assert_eq!(judge(look, DONE).0, State::Satisfied);
        let (state, orders) = judge("uname=debian\ngetent=\ngetent=\ndebian\n", DEBIAN);
        let State::Drift(change) = state else { panic!("{state:?}") };
        assert_eq!(change.summary, "rename this node from debian to node1, change /etc/hosts");
        assert!(
            change
                .diff
                .expect("diff")
                .contains("-127.0.1.1\tnode1.example.org\tnode1\n+127.0.1.1\tnode1.example.org\n")
        );
        assert_eq!(orders, ["/etc/hosts", "/etc/hostname", "hostname"]);
        let (state, orders) = judge(&look.replace("\nnode1\n", "\nold\n"), DONE);
        assert_eq!(state, State::drift("write node1 into /etc/hostname"));
        assert_eq!(orders, ["/etc/hostname"]);
    }

    #[test]
    fn a_name_that_resolves_elsewhere_is_refused() {
        let look = "uname=node1\ngetent=10.0.0.1 node1\ngetent=203.0.113.9 node2\nnode1\n";
        let (State::Refused(refusal), _) = judge(look, DONE) else { panic!("not refused") };
        assert!(refusal.what.contains("node2 resolves to 203.0.113.9"));
    }

    #[test]
    fn a_node_in_a_cluster_keeps_its_name() {
        let look = "uname=alpha\nruns=corosync\nruns=corosync\nruns=DRBD (minor 0)\ngetent=\ngetent=\nalpha\n";
        let (State::Refused(refusal), _) = judge(look, DONE) else { panic!("not refused") };
        assert_eq!(refusal.kind, RefusalKind::Preflight);
        assert!(refusal.what.contains("runs DRBD (minor 0), corosync under that name"), "{}", refusal.what);
    }
}

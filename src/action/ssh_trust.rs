//! Root of each node may log in at the other, and knows the other's host keys.
//!
//! Keys are appended; no other line of these files changes. The host keys are those that each node holds itself, read
//! over the connection that is trusted already, so that nobody in between can put in his own.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::file::{backup_name, change_whole};
use super::ssh_key::{SSH, kind, public_key_read};
use super::{Act, Order, Scope, Seen, State};
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

/// Modes, then the file. `$1` folder.
const AUTHORIZED: &str = r#"cd "$1" 2>/dev/null || exit 3
stat -c '%n %a' . authorized_keys 2>/dev/null
echo
[ ! -e authorized_keys ] || cat authorized_keys"#;

/// Which lines are for these names (they may be hashed), then the file. `$1` folder, the rest: names.
const KNOWN: &str = r#"file=$1/known_hosts
shift
if [ -s "$file" ]; then
    for name in "$@"; do
        ssh-keygen -F "$name" -f "$file" | sed -n 's/^# Host .* found: line \([0-9]*\).*/\1/p'
    done
    echo
    cat "$file"
fi"#;

/// The node's own host keys.
const HOST_KEYS: &str = "cat /etc/ssh/ssh_host_*_key.pub";

/// Keys exchanged both ways.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshTrust {
    /// Names of both nodes.
    pub nodes: Vec<String>,
    /// Their addresses.
    pub addresses: Vec<String>,
    /// Kind of root's key.
    #[serde(default = "kind")]
    pub kind: String,
}

/// What one node has.
struct Has {
    key: Option<String>,
    folder_mode: Option<String>,
    file_mode: Option<String>,
    authorized: String,
    known: String,
    /// Numbers of the lines that are for the peer, counted from 1.
    for_peer: BTreeSet<usize>,
    host_keys: Vec<(String, String)>,
}

impl SshTrust {
    fn peer_names(&self, at: At) -> Vec<&str> {
        let index = at.peer().index();
        [self.nodes.get(index), self.addresses.get(index)].into_iter().flatten().map(String::as_str).collect()
    }

    fn has(at: At, seen: &Seen<'_>) -> Has {
        let key = seen.get(at, 0);
        let text = seen.get(at, 1).text();
        let (modes, authorized) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mode =
            |name: &str| modes.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
        let text = seen.get(at, 2).text();
        // Without any line for the peer, the empty line comes first.
        let (found, known) = match text.strip_prefix('\n') {
            Some(known) => ("", known),
            None => text.split_once("\n\n").unwrap_or(("", "")),
        };
        Has {
            key: key.ok().then(|| key.line()),
            folder_mode: mode("."),
            file_mode: mode("authorized_keys"),
            authorized: authorized.to_owned(),
            known: known.to_owned(),
            for_peer: found.lines().filter_map(|line| line.parse().ok()).collect(),
            host_keys: seen.get(at, 3).text().lines().filter_map(key_of).collect(),
        }
    }

    /// What is still missing on a node, as orders with their reason.
    fn missing(&self, at: At, own: &Has, peer: &Has) -> Result<Vec<(String, Cmd)>> {
        let (name, peer_name) = (&self.nodes[at.index()], &self.nodes[at.peer().index()]);
        let mut missing = Vec::new();
        if own.folder_mode.as_deref() != Some("700") {
            let make = Cmd::write(["install", "-d", "-m", "0700", "-o", "root", "-g", "root", SSH]);
            missing.push((format!("{name}: make {SSH} private"), make));
        }
        let key = peer.key.as_deref().with_context(|| format!("root of {peer_name} has no key yet"))?;
        let path = format!("{SSH}/authorized_keys");
        let authorized = with_key(&own.authorized, key);
        if authorized != own.authorized {
            let cmd = change_whole(&path, own.authorized.as_bytes(), authorized.as_bytes());
            missing.push((format!("{name}: let root of {peer_name} in"), cmd));
        }
        if own.file_mode.as_deref() != Some("600") {
            missing.push((format!("{name}: make {path} private"), Cmd::write(["chmod", "0600", &path])));
        }
        let known = with_hosts(&own.known, &self.peer_names(at), &own.for_peer, &peer.host_keys);
        if known != own.known {
            let cmd = change_whole(&format!("{SSH}/known_hosts"), own.known.as_bytes(), known.as_bytes());
            missing.push((format!("{name}: know the host keys of {peer_name}"), cmd));
        }
        Ok(missing)
    }

    fn all(&self, seen: &Seen<'_>) -> Result<Vec<(At, String, Cmd)>> {
        let has = At::BOTH.map(|at| Self::has(at, seen));
        let mut all = Vec::new();
        for at in At::BOTH {
            let missing = self.missing(at, &has[at.index()], &has[at.peer().index()])?;
            all.extend(missing.into_iter().map(|(why, cmd)| (at, why, cmd)));
        }
        Ok(all)
    }
}

/// Kind and body of a key.
fn key_of(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// authorized_keys with this key, unless it is there, with options or without.
fn with_key(old: &str, key: &str) -> String {
    let Some((_, body)) = key_of(key) else { return old.to_owned() };
    let there = old
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .any(|line| line.split_whitespace().any(|word| word == body));
    if there { old.to_owned() } else { format!("{}{key}\n", ended(old)) }
}

fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// known_hosts with these keys for these names. Other keys for these names are stale and go; lines for other hosts, and
/// marked ones, stay. `for_names`: numbers of the lines that ssh-keygen found for them.
fn with_hosts(old: &str, names: &[&str], for_names: &BTreeSet<usize>, keys: &[(String, String)]) -> String {
    let mut new = String::new();
    let mut there: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut hashed: Vec<&str> = Vec::new();
    for (index, line) in old.split_inclusive('\n').enumerate() {
        let mut words = line.split_whitespace();
        let hosts = words.next().unwrap_or_default();
        let body = words.nth(1).unwrap_or_default();
        if !for_names.contains(&(index + 1)) || hosts.starts_with(['#', '@']) {
            new.push_str(line);
            continue;
        }
        let good = keys.iter().any(|(_, key)| key == body);
        if hosts.starts_with('|') {
            // For which of the names it is can't be seen; a good one stays.
            if good {
                new.push_str(line);
                hashed.push(body);
            }
            continue;
        }
        let (ours, others): (Vec<&str>, Vec<&str>) = hosts.split(',').partition(|host| names.contains(host));
        if good || ours.is_empty() {
            there.extend(ours.into_iter().filter_map(|host| Some((*names.iter().find(|name| **name == host)?, body))));
            new.push_str(line);
        } else if !others.is_empty() {
            new.push_str(&line.replacen(hosts, &others.join(","), 1));
        }
    }
    for (kind, key) in keys {
        // Two hashed lines of one key are one for each name.
        if hashed.iter().filter(|body| *body == key).count() >= names.len() {
            continue;
        }
        let missing: Vec<&str> = names.iter().copied().filter(|name| !there.contains(&(*name, key.as_str()))).collect();
        if !missing.is_empty() {
            new = format!("{}{} {kind} {key}\n", ended(&new), missing.join(","));
        }
    }
    new
}

impl Act for SshTrust {
    fn title(&self) -> String {
        format!("root of {} may log in at the other, without a question", self.nodes.join(" and "))
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, at: At) -> Vec<Cmd> {
        vec![
            public_key_read(&self.kind),
            Cmd::read_sh(AUTHORIZED, [SSH]),
            Cmd::read_sh(KNOWN, std::iter::once(SSH).chain(self.peer_names(at))),
            Cmd::read_sh(HOST_KEYS, [""; 0]),
        ]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        for at in At::BOTH {
            let has = Self::has(at, seen);
            let Some(name) = self.nodes.get(at.index()) else {
                return State::Unknown("the step does not name both nodes".to_owned());
            };
            if has.key.is_none() {
                return State::Unknown(format!("root of {name} has no key yet"));
            }
            if has.host_keys.is_empty() {
                return State::Unknown(format!("{name} has no host keys in /etc/ssh"));
            }
        }
        match self.all(seen) {
            Ok(missing) if missing.is_empty() => State::Satisfied,
            Ok(missing) => {
                let why: Vec<String> = missing.into_iter().map(|(_, why, _)| why).collect();
                State::drift(why.join("; "))
            }
            Err(error) => State::Unknown(format!("{error:#}")),
        }
    }

    fn undo(&self, at: At, undoing: &Undoing<'_>) -> Vec<Command> {
        // What was there before hapair wrote to the file (`backup`) is not hapair's to take away.
        const KEY: &str = r#"set -eu
# Every line holds nothing.
[ -n "$2" ] || exit 1
file=$1/authorized_keys
cp -p "$file" "$file.hapair-new"
grep -vF -e "$2" "$file" >"$file.hapair-new" || [ "$?" = 1 ]
sync "$file.hapair-new"
mv -f -T "$file.hapair-new" "$file"
# What stands there now is what an install after this one finds.
rm -f "/var/lib/hapair/backup/$3" "/var/lib/hapair/absent/$3" "/var/lib/hapair/written/$3""#;
        const NO_KEY: &str = r#"[ -n "$2" ] && grep -qF -e "$2" "$1/authorized_keys" 2>/dev/null || exit 0
kept=/var/lib/hapair
[ ! -e "$kept/absent/$3" ] || exit 1
[ -e "$kept/backup/$3" ] || exit 0
grep -v '^[[:space:]]*#' "$kept/backup/$3" | grep -qF -e "$2""#;
        const LINES: &str = r#"file=$1/known_hosts before=/var/lib/hapair/backup/$2 absent=/var/lib/hapair/absent/$2 written=/var/lib/hapair/written/$2
shift 2
# $1 file; the lines for all names.
lines() {
    for name in $names; do ssh-keygen -F "$name" -f "$1" 2>/dev/null; done | grep -v '^#' | sort -u
}
names=$*
"#;
        const HOSTS: &str = r#"for name; do
    ssh-keygen -q -R "$name" -f "$file" >/dev/null || exit 1
done
[ ! -s "$before" ] || lines "$before" >>"$file" || exit 1
sync "$file"
rm -f "$before" "$absent" "$written""#;
        const NO_HOSTS: &str = r#"[ -e "$before" ] || [ -e "$absent" ] || exit 0
[ -s "$file" ] || exit 0
was=
[ ! -s "$before" ] || was=$(lines "$before")
[ "$(lines "$file")" = "$was" ]"#;
        let peer = self.nodes.get(at.peer().index()).map_or("", String::as_str);
        let key = undoing.known.public_keys[at.peer().index()].as_deref().and_then(key_of);
        let body = key.map(|(_, body)| body).unwrap_or_default();
        let kept = ["authorized_keys", "known_hosts"].map(|name| backup_name(&format!("{SSH}/{name}")));
        let mut hosts = vec![SSH, &kept[1]];
        hosts.extend(self.peer_names(at));
        let [forget, forgotten] = [HOSTS, NO_HOSTS].map(|script| format!("{LINES}{script}"));
        vec![
            undo::script(format!("let root of {peer} in no more"), KEY, NO_KEY, &[SSH, &body, &kept[0]]),
            undo::script(format!("forget the host keys of {peer}"), &forget, &forgotten, &hosts),
        ]
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(self.all(seen)?.into_iter().map(|(at, _, cmd)| Order::new(at, cmd)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn keys() -> Vec<(String, String)> {
        vec![("ssh-ed25519".to_owned(), "AAAAnew".to_owned()), ("ssh-rsa".to_owned(), "AAAArsa".to_owned())]
    }

    fn hosts(old: &str, for_names: &[usize]) -> String {
        with_hosts(old, &["node2", "10.0.0.2"], &for_names.iter().copied().collect(), &keys())
    }

    #[test]
    fn keys_are_appended_once() {
        let key = "ssh-ed25519 AAAAkey root@node2";
        assert_eq!(with_key("", key), format!("{key}\n"));
        assert_eq!(with_key("ssh-rsa AAAAold me", key), format!("ssh-rsa AAAAold me\n{key}\n"));
        for old in ["ssh-ed25519 AAAAkey other comment\n", "from=\"10.0.0.2\" ssh-ed25519 AAAAkey x\n"] {
            assert_eq!(with_key(old, key), old);
        }
        assert_ne!(with_key("#ssh-ed25519 AAAAkey\n", key), "#ssh-ed25519 AAAAkey\n");
    }

    #[test]
    fn host_keys_are_known_by_name_and_address() {
        let done = "node2,10.0.0.2 ssh-ed25519 AAAAnew\nnode2,10.0.0.2 ssh-rsa AAAArsa\n";
        assert_eq!(hosts("", &[]), done);
        assert_eq!(hosts(done, &[1, 2]), done);
        assert_eq!(
            hosts("node2 ssh-ed25519 AAAAnew", &[1]),
            "node2 ssh-ed25519 AAAAnew\n10.0.0.2 ssh-ed25519 AAAAnew\nnode2,10.0.0.2 ssh-rsa AAAArsa\n"
        );
    }

    #[test]
    fn only_stale_keys_of_these_names_go() {
        let old = "github.com ssh-ed25519 AAAAgh\nnode2,backup ssh-ed25519 AAAAold\n10.0.0.2 ssh-rsa AAAAold\n|1|salt=|hash= ssh-rsa AAAAold\n|1|salt=|other= ssh-rsa AAAAx\n";
        assert_eq!(
            hosts(old, &[2, 3, 4]),
            "github.com ssh-ed25519 AAAAgh\nbackup ssh-ed25519 AAAAold\n|1|salt=|other= ssh-rsa AAAAx\nnode2,10.0.0.2 ssh-ed25519 AAAAnew\nnode2,10.0.0.2 ssh-rsa AAAArsa\n"
        );
        let hashed = "|1|a=|a= ssh-ed25519 AAAAnew\n|1|b=|b= ssh-ed25519 AAAAnew\nnode2,10.0.0.2 ssh-rsa AAAArsa\n";
        assert_eq!(hosts(hashed, &[1, 2, 3]), hashed);
    }

    fn outputs(name: &str, peer: &str, done: bool) -> Vec<Output> {
        let out = |code, text: String| Output { code, stdout: text.into_bytes(), stderr: Vec::new() };
        let authorized = if done {
            format!(". 700\nauthorized_keys 600\n\nssh-ed25519 AAAA{peer} root@{peer}\n")
        } else {
            ". 700\nauthorized_keys 644\n\nssh-rsa AAAAadmin admin\n".to_owned()
        };
        let address = if peer == "node1" { "10.0.0.1" } else { "10.0.0.2" };
        let known = if done { format!("1\n1\n\n{peer},{address} ssh-ed25519 AAAAhost{peer}\n") } else { String::new() };
        vec![
            out(0, format!("ssh-ed25519 AAAA{name} root@{name}\n")),
            out(0, authorized),
            out(0, known),
            out(0, format!("ssh-ed25519 AAAAhost{name} root@{name}\n")),
        ]
    }

    fn trust() -> SshTrust {
        serde_yaml::from_str("{nodes: [node1, node2], addresses: [10.0.0.1, 10.0.0.2]}").expect("parses")
    }

    #[test]
    fn both_ways() {
        let pair = [outputs("node1", "node2", true), outputs("node2", "node1", true)];
        let memory = Memory::default();
        let seen = Seen { outputs: [&pair[0], &pair[1]], memory: &memory };
        assert_eq!(trust().judge(At::First, &seen), State::Satisfied);
        let pair = [outputs("node1", "node2", false), outputs("node2", "node1", true)];
        let seen = Seen { outputs: [&pair[0], &pair[1]], memory: &memory };
        let orders = trust().orders(At::First, &seen).expect("orders");
        assert_eq!(orders.len(), 3);
        assert!(orders.iter().all(|order| order.at == At::First));
        assert!(
            String::from_utf8_lossy(&orders[0].cmd.stdin)
                .ends_with("ssh-rsa AAAAadmin admin\nssh-ed25519 AAAAnode2 root@node2\n")
        );
        assert_eq!(orders[2].cmd.stdin, b"node2,10.0.0.2 ssh-ed25519 AAAAhostnode2\n");
        let mut pair = pair;
        pair[1][0] = Output { code: 3, ..Output::default() };
        let seen = Seen { outputs: [&pair[0], &pair[1]], memory: &memory };
        assert_eq!(trust().judge(At::First, &seen), State::Unknown("root of node2 has no key yet".to_owned()));
    }
}

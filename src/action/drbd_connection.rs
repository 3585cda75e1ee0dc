//! A DRBD resource that is up on both nodes, configured alike, and connected.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::command::Command;
use crate::action::{Act, Order, Refusal, RefusalKind, Scope, Seen, Settle, State};
use crate::cluster::MANAGED;
use crate::drbd::{self, View};
use crate::node::{At, Cmd, Output};
use crate::undo::{self, Undoing};

/// Sees both nodes: their files must be identical, and a split brain shows only in both.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrbdConnection {
    /// Names of the nodes, in order.
    pub nodes: Vec<String>,
    /// DRBD resource.
    pub resource: String,
    /// Its minor.
    pub minor: String,
    /// `8.0`, `8.4` or `9`.
    pub dialect: String,
    /// DRBD's TCP port, for the message when the peer can't be reached.
    pub port: String,
    /// Configuration files that must be identical on both nodes.
    pub files: Vec<String>,
}

/// One of the resource's options, the shared secret, must not be seen: neither in what would run nor in complaints.
const ADJUST: &str = r#"
# $1 resource, $2 minor
up=
while IFS= read -r line; do
	case $line in *"$2: cs:Unconfigured"*) ;; *"$2: cs:"*) [ "${line%%:*}" -eq "$2" ] && up=yes ;; esac
done </proc/drbd 2>/dev/null
[ -n "$up" ] || ! managed "drbd-$1-clone" || exit 0
out=$(drbdadm adjust "$1" 2>&1 </dev/null)
code=$?
[ -z "$out" ] || printf '%s\n' "$out" | sed 's/--shared-secret=[^ ]*/--shared-secret=********/g' >&2
exit $code
"#;

// `drbdadm -d adjust` prints what `drbdadm adjust` would run: nothing, when the kernel has all that the files say.
const READ: &str = r#"
# sha256sum came with coreutils 6.0.
sum=sha256sum
command -v sha256sum >/dev/null || sum=sha1sum
"$sum" "$@" 2>/dev/null
"#;
const PENDING: &str = r#"
[ -r /proc/drbd ] && command -v drbdadm >/dev/null 2>&1 || exit 0
drbdadm -d adjust "$1" 2>/dev/null </dev/null | while read -r word _; do
	case $word in drbd*) printf '%s\n' "$word" ;; esac
done
"#;

impl DrbdConnection {
    fn node(&self, at: At) -> &str {
        self.nodes.get(at.index()).map_or("", String::as_str)
    }

    fn view(&self, at: At, seen: &Seen<'_>) -> View {
        drbd::view(seen.get(at, 0), &self.resource, self.minor.parse().unwrap_or(0))
    }

    /// Checksum of each file on a node, in order.
    fn sums(&self, output: &Output) -> Vec<Option<String>> {
        let text = output.text();
        let find = |file: &String| {
            text.lines()
                .find_map(|line| line.split_once("  ").filter(|(_, f)| f == file).map(|(sum, _)| sum.to_owned()))
        };
        self.files.iter().map(find).collect()
    }

    fn unlike(&self, seen: &Seen<'_>) -> Option<String> {
        let sums = At::BOTH.map(|at| self.sums(seen.get(at, 1)));
        for (i, file) in self.files.iter().enumerate() {
            match (&sums[0][i], &sums[1][i]) {
                (Some(a), Some(b)) if a == b => {}
                (Some(a), Some(b)) => {
                    let short = |s: &str| s.get(..12).unwrap_or(s).to_owned();
                    return Some(format!(
                        "{file} is not the same on {} (checksum {}...) and {} ({}...)",
                        self.node(At::First),
                        short(a),
                        self.node(At::Second),
                        short(b)
                    ));
                }
                (a, _) => {
                    let at = if a.is_none() { At::First } else { At::Second };
                    return Some(format!("{file} is not written yet on {}", self.node(at)));
                }
            }
        }
        None
    }

    fn pending(at: At, seen: &Seen<'_>) -> bool {
        seen.get(at, 2).text().lines().any(|line| line.trim_start().starts_with("drbd"))
    }
}

impl Act for DrbdConnection {
    fn title(&self) -> String {
        format!("DRBD resource {} up and connected", self.resource)
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![
            drbd::look(&self.resource, &self.minor),
            Cmd::read_sh(READ, self.files.clone()),
            Cmd::read_sh(PENDING, [self.resource.clone()]),
        ]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let views = At::BOTH.map(|at| self.view(at, seen));
        if let Some(state) = trouble(&views, &self.resource, &self.nodes, &self.dialect) {
            return state;
        }
        if let Some(why) = self.unlike(seen) {
            return State::Unknown(why);
        }
        if At::BOTH.iter().all(|at| seen.get(*at, 0).ok() && views[at.index()].version.is_none()) {
            return State::drift(format!("bring up {} on both nodes", self.resource));
        }
        for at in At::BOTH {
            let name = self.node(at);
            match &views[at.index()].device {
                None => return State::drift(format!("bring up {} on {name}", self.resource)),
                Some(d) if !d.connected() => {
                    return State::drift(format!("connect {} on {name} (it is {} now)", self.resource, d.connection));
                }
                Some(_) => {}
            }
        }
        let changed: Vec<&str> =
            At::BOTH.into_iter().filter(|at| Self::pending(*at, seen)).map(|at| self.node(at)).collect();
        if !changed.is_empty() {
            let what = format!("let {} on {} take over what its files say", self.resource, changed.join(" and "));
            return State::drift(what);
        }
        State::Satisfied
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        const NONE: &str =
            r#"! grep -q "^ *$2: cs:" /proc/drbd 2>/dev/null || grep -q "^ *$2: cs:Unconfigured" /proc/drbd"#;
        let title = format!("take the DRBD resource {} down; its data stay", self.resource);
        vec![undo::script(title, r#"drbdadm down "$1""#, NONE, &[&self.resource, &self.minor])]
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        let adjust = |at| Order::new(at, Cmd::write_sh(&format!("{MANAGED}{ADJUST}"), [&self.resource, &self.minor]));
        Ok(At::BOTH.map(adjust).to_vec())
    }

    fn settle(&self) -> Option<Settle> {
        Some(Settle {
            what: format!(
                "DRBD connected between {} (TCP port {} must be open both ways)",
                self.nodes.join(" and "),
                self.port
            ),
            // A cluster that just boots takes its time before it brings DRBD up.
            limit: Duration::from_secs(300),
            every: Duration::from_secs(1),
            reboots: false,
            shell: format!("drbdadm cstate {} | grep -q -e Connected -e Sync", self.resource),
        })
    }
}

/// What time and `drbdadm adjust` don't mend: a split brain, a failed disk.
pub(super) fn trouble(views: &[View; 2], resource: &str, nodes: &[String], dialect: &str) -> Option<State> {
    if let (Some(a), Some(b)) = (&views[0].gi, &views[1].gi) {
        let apart = views.iter().all(|v| v.device.as_ref().is_none_or(|d| !d.connected()));
        if apart && a.split_from(b) {
            let (what, next) = drbd::split_brain(resource, nodes, dialect);
            return Some(Refusal::state(RefusalKind::Preflight, what, next));
        }
    }
    for (view, node) in views.iter().zip(nodes) {
        if view.device.as_ref().is_some_and(|d| d.disk == "Failed") {
            return Some(Refusal::state(
                RefusalKind::Failed,
                format!("{node}: the disk under {resource} gave an error and was detached"),
                "look at `dmesg` there; exchange the disk, make its partition again, then continue",
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;

    fn action() -> DrbdConnection {
        DrbdConnection {
            nodes: vec!["node1".into(), "node2".into()],
            resource: "r0".into(),
            minor: "0".into(),
            dialect: "8.4".into(),
            port: "7788".into(),
            files: vec!["/etc/drbd.d/r0.res".into()],
        }
    }

    const HEAD: &str = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n";

    fn judge(status: [&str; 2], sums: [&str; 2], pending: [&str; 2]) -> State {
        let out = |s: &str| Output { stdout: s.into(), ..Output::default() };
        let node = |i: usize| {
            let proc = if status[i].is_empty() { String::new() } else { format!("{HEAD}{}", status[i]) };
            vec![out(&proc), out(&format!("{}  /etc/drbd.d/r0.res\n", sums[i])), out(pending[i])]
        };
        let (a, b) = (node(0), node(1));
        let memory = Memory::default();
        action().judge(At::First, &Seen { outputs: [&a, &b], memory: &memory })
    }

    const UP: &str = " 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n";
    const SAME: [&str; 2] = ["aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa"];

    #[test]
    fn connected_alike_and_adjusted() {
        assert_eq!(judge([UP, UP], SAME, ["", ""]), State::Satisfied);
        assert!(
            matches!(judge([UP, UP], ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"], ["", ""]), State::Unknown(w) if w.contains("not the same"))
        );
        assert!(
            matches!(judge([UP, UP], SAME, ["", "drbdsetup-84 disk-options 0 --set-defaults\n"]), State::Drift(c) if c.summary.contains("node2"))
        );
        assert!(matches!(judge([UP, ""], SAME, ["", ""]), State::Drift(c) if c.summary == "bring up r0 on node2"));
    }

    #[test]
    fn an_interrupted_up_goes_on_but_a_split_brain_does_not() {
        let alone =
            |gi: &str| format!(" 0: cs:StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown   r-----\n=== gi\n{gi}\n");
        let fresh = "0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:0:0:0:0:0";
        let (a, b) = (alone(fresh), alone(fresh));
        assert!(matches!(judge([&a, &b], SAME, ["", ""]), State::Drift(_)));
        let a = alone("B2F3A4D5E6F70811:1111111111111110:2222222222222222:0000000000000000:1:1:1:0:0:0:0");
        let b = alone("C2F3A4D5E6F70813:1111111111111110:2222222222222222:0000000000000000:1:1:1:0:0:0:0");
        let State::Refused(r) = judge([&a, &b], SAME, ["", ""]) else { panic!("not refused") };
        assert!(r.what.contains("split brain") && r.next.contains("--discard-my-data r0"));
        // One side is simply older.
        let b = alone("1111111111111110:0000000000000000:2222222222222222:0000000000000000:1:1:0:0:0:0:0");
        assert!(matches!(judge([&a, &b], SAME, ["", ""]), State::Drift(_)));
    }
}

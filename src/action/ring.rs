//! The messaging that is already there: none, the package's own ring of one, ours, or somebody else's cluster.
//!
//! Debian's package comes with a ring of one node on 127.0.0.1 called `debian`, and starts it. Its state would go into
//! ours: it is removed, but only where no resource was ever defined in it. Any other cluster is refused.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::{Act, Change, Order, Refusal, RefusalKind, Risk, Seen, State};
use crate::node::{At, Cmd};
use crate::undo::{self, Undoing};

const LOOK: &str = include_str!("ring/look.sh");
const RESET: &str = include_str!("ring/reset.sh");

/// No messaging on this node but that of this cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    /// Name of the cluster.
    pub cluster: String,
    /// Names of its nodes.
    pub nodes: Vec<String>,
}

#[derive(Debug, Default)]
struct Found {
    running: bool,
    cluster: String,
    names: Vec<String>,
    addresses: Vec<String>,
    cib: String,
}

impl Found {
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            match line.trim_end().split_once(' ') {
                Some(("ring", state)) => found.running = state == "running",
                Some(("cluster", name)) => name.clone_into(&mut found.cluster),
                Some(("name", name)) => found.names.push(name.to_owned()),
                Some(("address", address)) => found.addresses.push(address.to_owned()),
                Some(("cib", cib)) => cib.clone_into(&mut found.cib),
                _ => {}
            }
        }
        found
    }

    /// The package's own: nothing that goes beyond this machine.
    fn is_default(&self) -> bool {
        self.addresses.iter().all(|address| address.starts_with("127."))
    }
}

impl Ring {
    fn is_ours(&self, found: &Found) -> bool {
        let mut theirs = found.names.clone();
        let mut ours = self.nodes.clone();
        theirs.sort();
        ours.sort();
        found.cluster == self.cluster && theirs == ours
    }
}

impl Act for Ring {
    fn title(&self) -> String {
        "keep the packages from forming a cluster of one".to_owned()
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read_sh(LOOK, [] as [&str; 0])]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let found = Found::parse(&seen.get(at, 0).text());
        if !found.is_default() {
            if self.is_ours(&found) {
                return State::Satisfied;
            }
            return Refusal::state(
                RefusalKind::Preflight,
                format!(
                    "already clustered: it {} the cluster {} of {} ({})",
                    if found.running { "runs in" } else { "is configured for" },
                    found.cluster,
                    found.names.join(" and "),
                    found.addresses.join(", "),
                ),
                "use other machines; or, if that cluster is given up, stop pacemaker and corosync on it and remove \
                 /etc/corosync/corosync.conf and /var/lib/pacemaker/cib",
            );
        }
        if found.cib == "resources" {
            return Refusal::state(
                RefusalKind::Preflight,
                "already clustered: /var/lib/pacemaker/cib/cib.xml holds resources",
                "if that cluster is given up, stop pacemaker and move /var/lib/pacemaker/cib away",
            );
        }
        if found.running {
            return State::Drift(
                Change::new("stop the cluster of one that the package started, and remove its state")
                    .risk(Risk::RestartsCluster),
            );
        }
        if found.cib == "empty" {
            return State::drift("remove the state of the cluster of one that the package started");
        }
        State::Satisfied
    }

    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<Command> {
        const NONE: &str = "[ ! -e /var/lib/pacemaker/cib/cib.xml ]";
        const REMOVE: &str = r"! pidof corosync pacemakerd >/dev/null || { echo 'the cluster still runs: its state was left' >&2; exit 1; }
rm -rf /var/lib/corosync/* /var/lib/pacemaker/pengine/* /var/lib/pacemaker/cib/*";
        vec![undo::script("remove the cluster's own state (the CIB)", REMOVE, NONE, &[])]
    }

    fn orders(&self, at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(vec![Order::new(at, Cmd::write_sh(RESET, [] as [&str; 0]))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(text: &str) -> State {
        let ring = Ring { cluster: "xencluster".to_owned(), nodes: vec!["node1".to_owned(), "node2".to_owned()] };
        let out = [Output { code: 0, stdout: text.into(), stderr: Vec::new() }];
        let memory = Memory::default();
        ring.judge(At::First, &Seen { outputs: [&out, &[]], memory: &memory })
    }

    #[test]
    fn a_fresh_machine_has_none() {
        assert_eq!(judge("ring stopped\ncib absent\n"), State::Satisfied);
        // Installed, and kept from starting.
        assert_eq!(
            judge("ring stopped\ncluster debian\nname node1\naddress 127.0.0.1\ncib absent\n"),
            State::Satisfied
        );
    }

    #[test]
    fn the_packages_own_ring_goes() {
        let text = "ring running\ncluster debian\nname node1\naddress 127.0.0.1\ncib empty\n";
        let State::Drift(change) = judge(text) else { panic!("not drift") };
        assert_eq!(change.risk, Risk::RestartsCluster);
        assert!(matches!(judge("ring stopped\ncib empty\n"), State::Drift(_)));
        // Somebody has begun to use it.
        assert!(matches!(judge(&text.replace("cib empty", "cib resources")), State::Refused(_)));
    }

    #[test]
    fn ours_stays_and_a_foreign_one_is_refused() {
        let ours = "ring running\ncluster xencluster\nname node2\naddress 10.0.0.2\nname node1\naddress 10.0.0.1\ncib resources\n";
        assert_eq!(judge(ours), State::Satisfied);
        let State::Refused(refusal) = judge(&ours.replace("node1", "other")) else { panic!("not refused") };
        assert_eq!(refusal.kind, RefusalKind::Preflight);
        assert!(refusal.what.contains("runs in the cluster xencluster of node2 and other"), "{}", refusal.what);
        assert!(matches!(judge(&ours.replace("xencluster", "prod")), State::Refused(_)));
    }
}

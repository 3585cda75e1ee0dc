//! Fencing devices that run, and of which the cluster knows that they can shoot each node.
//!
//! This reads; it shoots nobody. A device that answers its monitor may still switch off the wrong machine: only a real
//! fencing proves that.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::wait::{views, waiting};
use super::{Act, Order, Refusal, RefusalKind, Scope, Seen, Settle, State};
use crate::cluster::{CRM_MON, ClusterView};
use crate::node::{At, Cmd};

/// For each `$1`...: a line `can NODE` if this node knows a device for it.
const TARGETS: &str = r#"for node; do stonith_admin --list "$node" 2>/dev/null | grep -q '^[1-9][0-9]* fence device' && echo "can $node"; done; exit 0"#;

/// Fencing that is enabled, with devices that run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FencingDevice {
    /// Names of the nodes: each needs a device that can shoot it.
    pub nodes: Vec<String>,
    /// Seconds.
    #[serde(default = "limit")]
    pub limit: String,
}

fn limit() -> String {
    "300".to_owned()
}

/// What keeps the pair from fencing, as one view has it.
pub(super) fn missing(view: &ClusterView) -> Vec<String> {
    let mut missing = Vec::new();
    if !view.fencing_enabled {
        missing.push("stonith-enabled is false".to_owned());
    }
    let tops: Vec<String> = view.fencing_devices().map(|device| device.top().to_owned()).collect();
    if tops.is_empty() {
        missing.push("the CIB has no fencing device".to_owned());
    } else {
        // A run that was killed while the cluster took over what ran (step boot) leaves it in maintenance mode: the
        // devices run in it all the same, and that step, which comes later, ends it.
        let mut view = view.clone();
        if view.maintenance {
            view.maintenance = false;
            view.resources.iter_mut().for_each(|resource| resource.managed = true);
        }
        missing.extend(view.missing_resources(&tops));
    }
    missing
}

impl FencingDevice {
    fn missing(&self, view: &ClusterView, seen: &Seen<'_>) -> Vec<String> {
        let mut missing = missing(view);
        for (index, name) in self.nodes.iter().enumerate() {
            // The peer shoots: what a node can do to itself does not count.
            let shooter = if index == 0 { At::Second } else { At::First };
            let text = seen.get(shooter, 1).text();
            if !text.lines().any(|line| line == format!("can {name}")) {
                let shooter = self.nodes.get(1 - index.min(1)).map_or("its peer", String::as_str);
                missing.push(format!("{shooter} knows no device that can shoot {name}"));
            }
        }
        missing
    }
}

impl Act for FencingDevice {
    fn title(&self) -> String {
        "see that fencing is enabled and its devices run".to_owned()
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read(CRM_MON), Cmd::read_sh(TARGETS, self.nodes.clone())]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let [view, _] = match views(seen, 0) {
            Ok(views) => views,
            Err(state) => return state,
        };
        let missing = self.missing(&view, seen);
        if missing.is_empty() {
            return State::Satisfied;
        }
        let tops: Vec<String> = view.fencing_devices().map(|device| device.top().to_owned()).collect();
        let hopeless = if tops.is_empty() { Vec::new() } else { view.hopeless(&tops, &[]) };
        if !hopeless.is_empty() {
            return Refusal::state(
                RefusalKind::Failed,
                hopeless.join("; "),
                "see that the device's address, user and password are right and its network is up",
            );
        }
        waiting(format!("wait for fencing: {}", missing.join("; ")), &missing)
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(Vec::new())
    }

    fn settle(&self) -> Option<Settle> {
        let words: Vec<String> = self.nodes.iter().map(|node| crate::node::quote::word(node)).collect();
        Some(Settle {
            what: "fencing devices to run".to_owned(),
            limit: Duration::from_secs(self.limit.trim().parse().unwrap_or(300)),
            every: Duration::from_secs(3),
            reboots: false,
            shell: words
                .iter()
                .map(|word| format!("stonith_admin --list {word} | grep -q '^[1-9]'"))
                .collect::<Vec<_>>()
                .join(" && "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    const RUNNING: &str = include_str!("../../tests/crm_mon/running.xml");

    fn judge(xml: &str, can: &str) -> State {
        let device = FencingDevice { nodes: vec!["node1".to_owned(), "node2".to_owned()], limit: limit() };
        let out = |text: &str| Output { code: 0, stdout: text.into(), stderr: Vec::new() };
        let outputs = [out(xml), out(can)];
        let memory = Memory::default();
        device.judge(At::First, &Seen { outputs: [&outputs, &outputs], memory: &memory })
    }

    #[test]
    fn enabled_running_and_able() {
        assert_eq!(judge(RUNNING, "can node1\ncan node2\n"), State::Satisfied);
        let State::Drift(change) = judge(RUNNING, "can node1\n") else { panic!("not drift") };
        assert!(change.summary.ends_with("node1 knows no device that can shoot node2"), "{}", change.summary);
        let off = RUNNING.replace("stonith-enabled=\"true\"", "stonith-enabled=\"false\"");
        assert!(matches!(judge(&off, "can node1\ncan node2\n"), State::Drift(_)));
    }
}

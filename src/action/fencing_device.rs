//! Fencing devices that run, and of which the cluster knows that they can shoot each node.
//!
//! This reads; it shoots nobody. A device that answers its monitor may still switch off the wrong machine: only a real
//! fencing proves that.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::wait::{views, waiting, words};
use super::{Act, Order, Refusal, RefusalKind, Scope, Seen, Settle, State};
use crate::cluster::{CRM_MON, ClusterView};
use crate::fencing::object::{Object, beside, objects};
use crate::node::{At, Cmd};

/// For each `$1`...: a line `can NODE` if this node knows a device for it.
const TARGETS: &str = r#"for node; do stonith_admin --list "$node" 2>/dev/null | grep -q '^[1-9][0-9]* fence device' && echo "can $node"; done; exit 0"#;

/// Fencing that is enabled, with devices that run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FencingDevice {
    /// Names of the nodes: each needs a device that can shoot it.
    pub nodes: Vec<String>,
    /// Ids of the devices and levels that the method has, separated by white space.
    pub objects: String,
    /// Seconds.
    #[serde(default = "limit")]
    pub limit: String,
}

fn limit() -> String {
    "300".to_owned()
}

/// What keeps the pair from fencing, as one view has it. Of devices that are to be taken out nothing is asked: `left`.
pub(super) fn missing(view: &ClusterView, left: &[&Object]) -> Vec<String> {
    let mut missing = Vec::new();
    if !view.fencing_enabled {
        missing.push("stonith-enabled is false".to_owned());
    }
    let tops = tops(view, left);
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

fn tops(view: &ClusterView, left: &[&Object]) -> Vec<String> {
    let stays = |id: &str| left.iter().all(|object| object.id != id);
    view.fencing_devices().filter(|device| stays(&device.id)).map(|device| device.top().to_owned()).collect()
}

impl FencingDevice {
    /// What the CIB holds: of the first node that tells.
    fn objects(seen: &Seen<'_>) -> Result<Vec<Object>, State> {
        let cib = At::BOTH.into_iter().map(|at| seen.get(at, 2)).find(|cib| cib.ok());
        let cib = cib.ok_or_else(|| State::Unknown("the CIB can't be read".to_owned()))?;
        objects(&cib.text()).map_err(State::Unknown)
    }

    /// Fencing that the answers have not, and that the cluster would go on using.
    fn refused(left: &[&Object]) -> State {
        let what: Vec<String> = left.iter().map(|object| format!("{}: {}", object.words, object.does)).collect();
        let commands: Vec<&str> = left.iter().flat_map(|object| &object.removal).map(String::as_str).collect();
        Refusal::state(
            RefusalKind::Failed,
            format!(
                "the CIB holds fencing that the answers have not, of another method or of your own. {}",
                what.join("; ")
            ),
            format!(
                "take it out, on one node, in this order, and run this again (the devices of the answers run already): {}. Or \
                 describe it in `fencing` of the answers",
                commands.join("; ")
            ),
        )
    }

    fn missing(&self, view: &ClusterView, objects: &[Object], left: &[&Object], seen: &Seen<'_>) -> Vec<String> {
        let mut missing = missing(view, left);
        let absent = words(&self.objects).into_iter().filter(|id| objects.iter().all(|object| object.id != *id));
        missing.extend(absent.map(|id| format!("{id} is not in the CIB")));
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
        vec![
            Cmd::read(CRM_MON),
            Cmd::read_sh(TARGETS, self.nodes.clone()),
            Cmd::read(["cibadmin", "-Q", "-o", "configuration"]),
        ]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let [view, _] = match views(seen, 0) {
            Ok(views) => views,
            Err(state) => return state,
        };
        let objects = match Self::objects(seen) {
            Ok(objects) => objects,
            Err(state) => return state,
        };
        let left = beside(&objects, &words(&self.objects));
        let missing = self.missing(&view, &objects, &left, seen);
        if missing.is_empty() {
            return if left.is_empty() { State::Satisfied } else { Self::refused(&left) };
        }
        let tops = tops(&view, &left);
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

    use crate::fencing::object::tests::{SSH, cib};

    const RUNNING: &str = include_str!("../../tests/crm_mon/running.xml");
    const NULL: &str = r#"<primitive id="fence-null" class="stonith" type="null"/>"#;
    const CAN: &str = "can node1\ncan node2\n";

    fn judge_with(xml: &str, can: &str, cib: &str, objects: &str) -> State {
        let nodes = vec!["node1".to_owned(), "node2".to_owned()];
        let device = FencingDevice { nodes, objects: objects.to_owned(), limit: limit() };
        let out = |text: &str| Output { code: 0, stdout: text.into(), stderr: Vec::new() };
        let outputs = [out(xml), out(can), out(cib)];
        let memory = Memory::default();
        device.judge(At::First, &Seen { outputs: [&outputs, &outputs], memory: &memory })
    }

    fn judge(xml: &str, can: &str) -> State {
        judge_with(xml, can, &cib(NULL, "", ""), "fence-null")
    }

    #[test]
    fn enabled_running_and_able() {
        assert_eq!(judge(RUNNING, CAN), State::Satisfied);
        let State::Drift(change) = judge(RUNNING, "can node1\n") else { panic!("not drift") };
        assert!(change.summary.ends_with("node1 knows no device that can shoot node2"), "{}", change.summary);
        let off = RUNNING.replace("stonith-enabled=\"true\"", "stonith-enabled=\"false\"");
        assert!(matches!(judge(&off, CAN), State::Drift(_)));
    }

    /// The sample's device as the first of the two that a method with a BMC each has.
    fn ipmi(cib: &str) -> State {
        let device = |id: &str| RUNNING_DEVICE.replace("fence-null", id);
        let both = [device("fence-node1"), device("fence-node2")].concat();
        judge_with(&RUNNING.replace(RUNNING_DEVICE, &both), CAN, cib, "fence-node1 fence-node2")
    }

    const RUNNING_DEVICE: &str = r#"<resource id="fence-null" resource_agent="stonith:null" role="Started" active="true" orphaned="false" blocked="false" managed="true" failed="false" failure_ignored="false" nodes_running_on="1">
      <node name="node2" id="2" cached="true"/>
    </resource>"#;
    const BMCS: &str = r#"<primitive id="fence-node1" class="stonith" type="external/ipmi"/><primitive id="fence-node2" class="stonith" type="external/ipmi"/>"#;

    #[test]
    fn devices_of_ssh_that_a_change_to_ipmi_left_are_refused_with_the_command() {
        assert_eq!(ipmi(&cib(BMCS, "", "")), State::Satisfied);
        let State::Refused(refusal) = ipmi(&cib(&(BMCS.to_owned() + SSH), "", "")) else { panic!("not refused") };
        // At the start of a run it is no reason to refuse all: the new devices have to be loaded first.
        assert_eq!(refusal.kind, RefusalKind::Failed);
        assert!(refusal.what.contains("fencing device stonith-ssh (external/ssh): it reports success"), "{refusal:?}");
        assert!(refusal.next.contains("cibadmin -D --xpath \"//clone[@id='stonithclone']\""), "{refusal:?}");
        // As long as the new ones are not there the old ones stay.
        let State::Drift(change) = ipmi(&cib(SSH, "", "")) else { panic!("not drift") };
        assert!(change.summary.contains("fence-node1 is not in the CIB"), "{}", change.summary);
    }

    #[test]
    fn levels_that_a_change_to_ipmi_left_are_refused_with_the_commands() {
        let old = r#"<primitive id="fence-1-node1" class="stonith" type="external/ipmi"/>"#;
        let level = r#"<fencing-level id="level-node1-1" target="node1" index="1" devices="fence-1-node1"/>"#;
        let State::Refused(refusal) = ipmi(&cib(&(BMCS.to_owned() + old), "", level)) else { panic!("not refused") };
        assert!(refusal.what.contains("fencing level level-node1-1 (node1: fence-1-node1)"), "{refusal:?}");
        let place = |text: &str| refusal.next.find(text).unwrap_or_else(|| panic!("{text}: {refusal:?}"));
        assert!(place("//fencing-level[@id='level-node1-1']") < place("//primitive[@id='fence-1-node1']"));
    }
}

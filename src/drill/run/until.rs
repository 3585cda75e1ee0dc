//! What is waited for behind the harm, and what must not be seen meanwhile.

use super::super::guest;
use super::super::order::Until;
use super::super::part::Part;
use super::super::watch::Now;
use super::{Drill, HEALTHY, Stop, serving};
use crate::node::At;

/// How long something may take to leave a node, in seconds.
const LEAVE: f64 = 900.0;

impl Drill<'_> {
    pub(super) fn until(&self, part: Part, until: Until, before: &Now, seen: &mut Vec<String>) -> Result<(), Stop> {
        let began = self.watch.time();
        match until {
            Until::Left(from) => {
                let what = format!("everything to leave {}", self.name(from));
                self.gone_to(part, &what, |_| from.peer(), before, seen)?;
            }
            Until::Swapped => self.gone_to(part, "everything to be on the other node", At::peer, before, seen)?,
            Until::Back => self.gone_to(part, "everything to be back where it was", |was| was, before, seen)?,
            Until::Booted(at) => {
                let what = format!("{} to boot anew", self.name(at));
                let old = &before.boot_ids[at.index()];
                let booted = self.wait(part.id(), &what, HEALTHY, |now| {
                    let new = &now.boot_ids[at.index()];
                    (new.is_some() && new != old).then_some(())
                })?;
                if booted.is_none() {
                    return Err(self.not_healthy(part).into());
                }
            }
            Until::Answered { least, most } => {
                #[allow(clippy::cast_precision_loss)]
                let (least, most) = (least as f64, most as f64);
                self.wait(part.id(), "the service to go on", most, |now| {
                    // Not while one is still to be fenced: what was cut would come back in the middle of it, and the service
                    // may go on there until then.
                    (now.at - began >= least && now.serves() && !now.has("node-unclean")).then_some(())
                })?;
            }
            Until::Watched(seconds) => {
                #[allow(clippy::cast_precision_loss)]
                let seconds = seconds as f64;
                self.wait(part.id(), "nothing to happen", seconds + 1.0, |now| {
                    (now.at - began >= seconds).then_some(())
                })?;
                // An unclean node is told together with `stonith_admin --confirm` (`status::trouble`).
                if !self.watch.noticed().contains("node-unclean") {
                    seen.push("status did not say that a person has to confirm".to_owned());
                }
                let nodes = self.watch.ledger().nodes(began, self.watch.time());
                if let Some((_, serving)) = before.acknowledged
                    && nodes.contains(&serving.peer())
                {
                    seen.push(format!("{} took over although nobody had confirmed", self.name(serving.peer())));
                }
            }
        }
        Ok(())
    }

    /// Waits until the counter serves on, and each VM runs on, the node that `goal` gives for the one where it was `before`.
    fn gone_to(
        &self,
        part: Part,
        what: &str,
        goal: impl Fn(At) -> At,
        before: &Now,
        seen: &mut Vec<String>,
    ) -> Result<(), Stop> {
        let answers = &self.setup.answers;
        let counter = goal(serving(before)?);
        let vms: Vec<(&str, At)> = answers
            .vms
            .iter()
            .filter_map(|vm| Some((vm.name.as_str(), goal(before.host(answers, &vm.name)?))))
            .collect();
        let gone = self.wait(part.id(), what, LEAVE, |now| {
            let serves = now.acknowledged.is_some_and(|(_, at)| at == counter) && now.serves();
            let there = |id: &str, at: At| now.host(answers, id) == Some(at);
            let all = there(guest::ID, counter) && vms.iter().all(|(vm, at)| there(vm, *at));
            (serves && all).then_some(())
        })?;
        if gone.is_none() {
            seen.push(format!("waited {LEAVE:.0} s in vain for {what}"));
        }
        Ok(())
    }

    /// What must not be, and what must have been seen for the harm to be one.
    pub(super) fn judge(&self, part: Part, held: f64, seen: &mut Vec<String>) {
        let noticed = self.watch.noticed();
        if noticed.contains("split-brain") {
            seen.push("split brain: both sides have written apart".to_owned());
        }
        let wanted: &[&str] = match part {
            Part::Standby => &["node-standby"],
            Part::DiskError => &["diskless"],
            // Of the counter at least the cluster remembers that it ended.
            Part::Kill => &["action-failed"],
            Part::ClusterLink => &["link-down", "node-unclean", "node-offline"],
            Part::ReplicationLink => {
                &["disconnected", "standalone", "node-unclean", "node-offline", "node-unreachable"]
            }
            Part::BothLinks | Part::FencingDead => &["node-unclean", "node-offline", "node-unreachable"],
            _ => &[],
        };
        if !wanted.is_empty() && !wanted.iter().any(|name| noticed.contains(name)) {
            let what = "the pair noticed nothing of it, so nothing was proved";
            seen.push(format!("{what} (looked for {} in {held:.0} s)", wanted.join(", ")));
        }
    }
}

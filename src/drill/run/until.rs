//! What is waited for behind the harm, and what must not be seen meanwhile.

use std::collections::BTreeSet;

use super::super::guest;
use super::super::order::Until;
use super::super::part::Part;
use super::super::watch::Now;
use super::moved::{self, Move};
use super::{Drill, HEALTHY, Stop, serving};
use crate::answers::Answers;
use crate::node::At;

/// How long something may take to leave a node, in seconds.
const LEAVE: f64 = 900.0;

/// How much longer than asked for the pair is left as it is for a look that is under way, in seconds.
const LATE_LOOK: f64 = 20.0;

impl Drill<'_> {
    /// Waits for it; gives how each VM has moved, in words, where that was asked for.
    pub(super) fn until(
        &self,
        part: Part,
        until: Until,
        before: &Now,
        seen: &mut Vec<String>,
    ) -> Result<Vec<String>, Stop> {
        let began = self.watch.time();
        let answers = &self.setup.answers;
        match until {
            Until::Left(from) => {
                let what = format!("everything to leave {}", self.name(from));
                self.gone_to(part, &what, |_| from.peer(), before, seen)?;
            }
            Until::Swapped => {
                let moves = self.gone_to(part, "everything to be on the other node", At::peer, before, seen)?;
                return Ok(self.moved(&moves, seen));
            }
            Until::Back => {
                let moves = self.gone_to(part, "everything to be back where it was", |was| was, before, seen)?;
                return Ok(self.moved(&moves, seen));
            }
            Until::Booted(at) => {
                let what = format!("{} to boot anew", self.name(at));
                let booted = self.wait(part.id(), &what, HEALTHY, |now| booted_anew(before, now, at).then_some(()))?;
                if booted.is_none() {
                    return Err(self.not_healthy(part).into());
                }
            }
            Until::Answered { least, most } => {
                #[allow(clippy::cast_precision_loss)]
                let (least, most) = (least as f64, most as f64);
                self.wait(part.id(), "the service to go on", most, |now| {
                    (now.at - began >= least && goes_on(now)).then_some(())
                })?;
            }
            Until::Restarted { least, most } => {
                #[allow(clippy::cast_precision_loss)]
                let (least, most) = (least as f64, most as f64);
                let missing = |now: &Now| -> Vec<String> {
                    let vms = answers.vms.iter().map(|vm| vm.name.as_str());
                    vms.filter(|vm| before.host(answers, vm).is_some() && !restarted(answers, before, now, vm))
                        .map(str::to_owned)
                        .collect()
                };
                let all = self.wait(part.id(), "the service and the VMs to run again", most, |now| {
                    (now.at - began >= least && goes_on(now) && missing(now).is_empty()).then_some(())
                })?;
                if all.is_none() {
                    let vms = missing(&self.watch.now());
                    seen.extend(vms.iter().map(|vm| {
                        format!("{vm} was killed, and the cluster did not start it again within {most:.0} s")
                    }));
                }
            }
            Until::Watched(seconds) => {
                #[allow(clippy::cast_precision_loss)]
                let seconds = seconds as f64;
                let mut taken: BTreeSet<(String, At)> = BTreeSet::new();
                // A look at nodes that don't hear each other can take long; a little longer than asked for is no harm.
                self.wait(part.id(), "nothing to happen", seconds + LATE_LOOK, |now| {
                    taken.extend(taken_over(answers, before, now));
                    (now.at - began >= seconds && self.watch.noticed().contains("node-unclean")).then_some(())
                })?;
                let nodes = self.watch.ledger().nodes(began, self.watch.time());
                if let Some((_, serving)) = before.acknowledged
                    && nodes.contains(&serving.peer())
                {
                    taken.insert(("the service".to_owned(), serving.peer()));
                }
                // An unclean node is told together with `stonith_admin --confirm` (`status::trouble`).
                if !self.watch.noticed().contains("node-unclean") {
                    seen.push("status did not say that a person has to confirm".to_owned());
                }
                seen.extend(
                    taken
                        .iter()
                        .map(|(what, at)| format!("{} took {what} over although nobody had confirmed", self.name(*at))),
                );
            }
        }
        Ok(Vec::new())
    }

    /// Waits until the counter serves on, and each VM runs on, the node that `goal` gives for the one where it was `before`;
    /// gives how the VMs got there.
    fn gone_to(
        &self,
        part: Part,
        what: &str,
        goal: impl Fn(At) -> At,
        before: &Now,
        seen: &mut Vec<String>,
    ) -> Result<Vec<Move>, Stop> {
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
            (serves && all).then(|| moved::of(answers, now, &vms))
        })?;
        if gone.is_none() {
            seen.push(format!("waited {LEAVE:.0} s in vain for {what}"));
        }
        Ok(gone.unwrap_or_default())
    }

    /// How VMs have moved, in words; where they can move while they run, anything else is told as amiss.
    fn moved(&self, moves: &[Move], seen: &mut Vec<String>) -> Vec<String> {
        if self.means.live {
            seen.extend(moves.iter().filter_map(Move::amiss));
        }
        moves.iter().map(Move::words).collect()
    }
}

fn booted_anew(before: &Now, now: &Now, at: At) -> bool {
    let new = &now.boot_ids[at.index()];
    new.is_some() && *new != before.boot_ids[at.index()]
}

/// The service goes on, and not while a node is still to be fenced: what was cut would come back in the middle of it, and the
/// service may go on there until then.
fn goes_on(now: &Now) -> bool {
    now.serves() && !now.has("node-unclean")
}

/// A VM that was killed runs, and not since the time that was known before.
fn restarted(answers: &Answers, before: &Now, now: &Now, vm: &str) -> bool {
    let since = |now: &Now| {
        let vms = now.standing.iter().flat_map(|standing| &standing.vms);
        vms.filter(|seen| seen.name == vm).find_map(|seen| seen.since.clone())
    };
    let view = now.standing.as_ref().and_then(|standing| standing.view.as_ref());
    let resource = view.and_then(|view| view.resources.iter().find(|resource| resource.id == vm));
    let runs = resource.is_some_and(|resource| resource.role == "Started" && !resource.failed);
    runs && now.host(answers, vm).is_some() && since(now).is_some() && since(now) != since(before)
}

/// VMs that a node itself says that it runs, and that ran on the other one before. Two nodes that don't see each other tell
/// different stories; of what it started itself each one knows.
fn taken_over(answers: &Answers, before: &Now, now: &Now) -> Vec<(String, At)> {
    let vms = answers.vms.iter().filter_map(|vm| Some((vm.name.clone(), before.host(answers, &vm.name)?.peer())));
    vms.filter(|(vm, at)| now.says_to_run(*at, answers, vm)).collect()
}

#[cfg(test)]
mod tests;

//! Back to a healthy pair: what a part did is taken back, and waited for.

use super::super::order::{Ground, Order};
use super::super::part::Part;
use super::super::watch::Now;
use super::{Drill, HEALTHY, Stop};
use crate::event::Failure;
use crate::node::{At, Cmd};
use crate::setup::failed;
use crate::status::trouble::Trouble;

/// For how long a pair has to be healthy before it counts, in seconds.
const STEADY: f64 = 4.0;
/// Seconds for which a node that has answered is taken for one that answers.
const FRESH: f64 = 20.0;
/// For how long it is tried again to take something back, in seconds.
const AGAIN: f64 = 900.0;
/// Troubles that are only the memory of something that is over.
const MEMORIES: [&str; 3] = ["action-failed", "ban-left", "fencing-failed"];
/// Seconds for which DRBD's own constraint may still be there when both sides are good again: a handler takes it away.
const HANDLER: f64 = 30.0;

impl Drill<'_> {
    /// Waits until the pair is healthy, and serves if that is asked for, both seen after `since`; what is only the memory of a
    /// failure is cleaned.
    pub(super) fn healthy(&self, part: Part, since: f64, serving: bool) -> Result<Option<Now>, Stop> {
        let mut cleaned = f64::NEG_INFINITY;
        let mut left: Option<f64> = None;
        self.wait(part.id(), "the pair to be healthy", HEALTHY, |now| {
            let fresh = now.heard.iter().all(|heard| heard.is_some_and(|at| at > since));
            let steady = now.healthy_since.is_some_and(|at| now.at - at.max(since) >= STEADY);
            if fresh && steady && (now.serves() || !serving) {
                return Some(now.clone());
            }
            let troubles: &[Trouble] = now.standing.as_ref().map_or(&[], |standing| &standing.troubles);
            // With the failure the cluster also forgets why it starts something (a fencing device) no more.
            let past = |name| MEMORIES.contains(&name) || name == "resource-down";
            let memories = troubles.iter().any(|trouble| MEMORIES.contains(&trouble.name))
                && troubles.iter().all(|trouble| past(trouble.name));
            if fresh && memories && now.at - cleaned > 20.0 {
                cleaned = now.at;
                self.forget(troubles);
            }
            if !now.has("drbd-fence-left") {
                left = None;
            } else if fresh && now.at - *left.get_or_insert(now.at) > HANDLER {
                left = None;
                self.lift(troubles);
            }
            None
        })
    }

    /// The cluster forgets failures that are over. Whether it worked is looked at again in any case.
    fn forget(&self, troubles: &[Trouble]) {
        let mut orders = vec![vec!["crm_resource", "--cleanup"]];
        for trouble in troubles.iter().filter(|trouble| trouble.name == "fencing-failed") {
            orders.extend(trouble.node.as_deref().map(|node| vec!["stonith_admin", "--cleanup", "--history", node]));
        }
        for words in orders {
            let _ = self.run(&Order::new(At::First, words.join(" "), Cmd::write(words)));
        }
    }

    /// Takes away a constraint of DRBD's handler that outlived its reason: a link that came back before anything was written
    /// needs no synchronisation, and only behind one DRBD would take it away itself.
    fn lift(&self, troubles: &[Trouble]) {
        let left = troubles.iter().filter(|trouble| trouble.name == "drbd-fence-left");
        for mend in left.flat_map(|trouble| &trouble.mend) {
            let order = Order::new(At::First, mend.command.clone(), Cmd::write_sh(&mend.command, [] as [&str; 0]));
            let _ = self.run(&order);
        }
    }

    /// Takes back whatever the part did, and waits until the pair is healthy again; gives since when it is.
    pub(super) fn mend(&self, part: Part, serving: bool) -> Result<f64, Stop> {
        let began = self.watch.time();
        let mut linked = part.cuts_links() && self.links_back().is_ok();
        // A node that is booting can't be asked yet; nor can it hold anything but what the cluster remembers.
        let both = |now: &Now| now.heard.iter().all(|heard| heard.is_some_and(|at| now.at - at < FRESH)).then_some(());
        loop {
            if self.wait(part.id(), "both nodes to answer", HEALTHY, both)?.is_none() {
                return Err(self.not_healthy(part).into());
            }
            let links = if linked { Ok(()) } else { self.links_back() };
            linked = links.is_ok();
            match self.rest_back(links) {
                // One that had just booted may be fenced only now: it is asked again.
                Err(Stop::Failed(failure)) if self.watch.time() - began < AGAIN => {
                    self.note(format!("not yet: {}", failure.to_string().lines().next().unwrap_or_default()))?;
                    let now = self.watch.time();
                    self.wait(part.id(), "it to be asked again", 60.0, |seen| (seen.at - now > 5.0).then_some(()))?;
                }
                other => {
                    other?;
                    break;
                }
            }
        }
        // What was seen before is the memory of what was taken back.
        let since = self.watch.time();
        match self.healthy(part, since, serving)? {
            Some(now) => Ok(now.healthy_since.unwrap_or(now.at)),
            None => Err(self.not_healthy(part).into()),
        }
    }

    /// Puts the links and the BMCs back, whoever answers or not: the nodes' own limits run.
    fn links_back(&self) -> Result<(), Stop> {
        let ground = Ground { answers: &self.setup.answers, serving: At::First, vms: &[] };
        self.all_of(self.plug_in(), &ground.links())
    }

    /// What else a part may have left.
    fn rest_back(&self, links: Result<(), Stop>) -> Result<(), Stop> {
        let ground = Ground { answers: &self.setup.answers, serving: At::First, vms: &[] };
        self.all_of(links, &ground.mend())
    }

    /// Runs these on the nodes that answer, whatever came `first`: one that fails is no reason to leave the others. Gives
    /// the first that failed.
    fn all_of(&self, mut first: Result<(), Stop>, orders: &[Order]) -> Result<(), Stop> {
        for order in orders {
            let done = self.run(order);
            if first.is_ok() {
                first = done;
            }
        }
        first
    }

    /// After Ctrl-C, before the process ends: what can be taken back is, and the rest is said.
    ///
    /// # Errors
    /// What is left.
    pub fn leave(&self) -> Result<(), Stop> {
        let taken = self.rest_back(self.links_back());
        let removed = self.remove_guest();
        taken.and(removed)
    }

    pub(super) fn not_healthy(&self, part: Part) -> Failure {
        let now = self.watch.now();
        let what = format!("the pair is not healthy again: {}", now.troubles().join("; "));
        let mends: Vec<String> = now
            .standing
            .iter()
            .flat_map(|standing| &standing.troubles)
            .flat_map(|trouble| &trouble.mend)
            .map(|mend| format!("on {}: {}", mend.on, mend.command))
            .collect();
        let next = format!("hapair status says what mends it: {}", mends.join("; "));
        Failure { step: Some(part.id().to_owned()), ..failed(None, what, &next) }
    }
}

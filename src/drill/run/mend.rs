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
const MEMORIES: [&str; 2] = ["action-failed", "ban-left"];

impl Drill<'_> {
    /// Waits until the pair is healthy, and serves if that is asked for, both seen after `since`; what is only the memory of a
    /// failure is cleaned.
    pub(super) fn healthy(&self, part: Part, since: f64, serving: bool) -> Result<Option<Now>, Stop> {
        let mut cleaned = f64::NEG_INFINITY;
        self.wait(part.id(), "the pair to be healthy", HEALTHY, |now| {
            let fresh = now.heard.iter().all(|heard| heard.is_some_and(|at| at > since));
            let steady = now.healthy_since.is_some_and(|at| now.at - at.max(since) >= STEADY);
            if fresh && steady && (now.serves() || !serving) {
                return Some(now.clone());
            }
            let troubles: &[Trouble] = now.standing.as_ref().map_or(&[], |standing| &standing.troubles);
            let memories = !troubles.is_empty() && troubles.iter().all(|trouble| MEMORIES.contains(&trouble.name));
            if fresh && memories && now.at - cleaned > 20.0 {
                cleaned = now.at;
                let cleanup = Cmd::write(["crm_resource", "--cleanup"]);
                // Looked at again in any case.
                let _ = self.run(&Order::new(At::First, "crm_resource --cleanup", cleanup));
            }
            None
        })
    }

    /// Takes back whatever the part did, and waits until the pair is healthy again; gives since when it is.
    pub(super) fn mend(&self, part: Part, serving: bool) -> Result<f64, Stop> {
        let began = self.watch.time();
        // A node that is booting can't be asked yet; nor can it hold anything but what the cluster remembers.
        let both = |now: &Now| now.heard.iter().all(|heard| heard.is_some_and(|at| now.at - at < FRESH)).then_some(());
        loop {
            if self.wait(part.id(), "both nodes to answer", HEALTHY, both)?.is_none() {
                return Err(self.not_healthy(part).into());
            }
            match self.take_back() {
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

    /// The commands that take back what a part may have left, on the nodes that answer; gives what could not be.
    fn take_back(&self) -> Result<(), Stop> {
        let ground = Ground { answers: &self.setup.answers, serving: At::First, vms: &[] };
        let mut first = Ok(());
        for order in ground.mend() {
            // One that fails is no reason to leave the others.
            let done = self.run(&order);
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
        let taken = self.take_back();
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

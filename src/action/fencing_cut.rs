//! The cluster link is cut and nobody orders anything: the cluster itself switches one of the two nodes off.
//!
//! An order proves the device; this proves that the cluster uses it, and that the two don't switch each other off. Only the
//! UDP of Corosync is cut, and only for a while, by a rule that takes itself away. It comes behind a proof by order of the
//! other direction, and takes the place of the order for the node that is switched off in such a case: that one whose device
//! has no delay. Where that can't be told from what happened, `fencing-shot`, which comes next, orders it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::fencing_shot::{FencingShot, refused};
use super::wait::waiting;
use super::{Act, Change, Order, Risk, Scope, Seen, Settle, State};
use crate::fencing::{Case, Cut, keep};
use crate::node::{At, Cmd};

const CUT: &str = include_str!("../fencing/cut.sh");
/// The same that a drill cuts links with.
const LINK: &str = include_str!("../drill/link.sh");
const UNLINK: &str = include_str!("../drill/unlink.sh");

/// Seconds after which the link is whole again whoever is dead by then. The peer is given up after 22 s
/// (`templates/corosync/`); levels may try several devices, each for two minutes.
const SECONDS: u64 = 300;

/// A node that was switched off by the cluster behind a cut link.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FencingCut {
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Which of them is switched off when both try.
    pub victim: String,
    /// Its addresses on the cluster's links; an empty one is none.
    pub links: Vec<String>,
    /// Method of the answers; with `ssh` the link is not cut, since it goes over that.
    pub method: String,
    /// Where the shared file system is mounted.
    #[serde(default)]
    pub mount: String,
    /// `true`: no proof is wanted.
    #[serde(default)]
    pub skip: String,
}

impl FencingCut {
    fn case(&self) -> Option<Case> {
        Case::of(&self.nodes, &self.victim, &self.method, &self.mount)
    }

    fn shot(&self) -> FencingShot {
        FencingShot {
            nodes: self.nodes.clone(),
            victim: self.victim.clone(),
            method: self.method.clone(),
            mount: self.mount.clone(),
            skip: self.skip.clone(),
        }
    }
}

impl Act for FencingCut {
    fn title(&self) -> String {
        format!("prove the fencing with the cluster link cut: the cluster switches {} off by itself", self.victim)
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reboots(&self) -> Option<At> {
        self.case().map(|case| case.victim)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        self.case().map(|case| case.reads()).unwrap_or_default()
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        if self.skip == "true" || self.method == "ssh" {
            return State::Satisfied;
        }
        let Some(case) = self.case() else {
            return State::Unknown(format!("{} is none of the two nodes", self.victim));
        };
        let look = match case.look(seen) {
            Ok(look) => look,
            Err(state) => return case.wrong(seen).map_or(state, refused),
        };
        match look.cut() {
            Cut::Over => State::Satisfied,
            Cut::Wrong(wrong) => refused(wrong),
            Cut::Returning(who, missing) => waiting(
                format!("the cluster switched {who} off; wait until all is as before: {}", missing.join("; ")),
                &missing,
            ),
            // Either node may lose, and nobody's VM is killed for a proof: it is left to an order, for which they are moved.
            Cut::Open if look.runs_vms() => State::Satisfied,
            Cut::Open => {
                let obstacles = look.obstacles();
                if !obstacles.is_empty() {
                    return State::Unknown(format!(
                        "the cluster link is not cut for a proof while the pair is not whole: {}",
                        obstacles.join("; ")
                    ));
                }
                let summary = format!(
                    "cut the cluster link for {SECONDS} s at most; the cluster then switches {} off, without a warning to it",
                    self.victim
                );
                State::Drift(Change::new(summary).risk(Risk::Reboots))
            }
        }
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let case = self.case().context("the step names a node that is none of the two")?;
        let look = match case.look(seen) {
            Ok(look) => look,
            Err(State::Unknown(why)) => bail!(why),
            Err(_) => bail!("the cluster does not answer yet"),
        };
        // It was done, and only time is missing.
        if matches!(look.cut(), Cut::Returning(..)) {
            return Ok(Vec::new());
        }
        let obstacles = look.obstacles();
        if !obstacles.is_empty() {
            bail!("the pair is not whole: {}", obstacles.join("; "));
        }
        let (file, note) = (format!("fencing-{}.trying", self.victim), format!("{}way=cut\n", look.note()));
        let mut orders = At::BOTH.map(|at| Order::new(at, keep(&file, &note, ""))).to_vec();
        let words = [&self.victim, &file, &SECONDS.to_string(), LINK, UNLINK, case.by()].map(str::to_owned);
        let links = self.links.iter().filter(|address| !address.is_empty());
        let cuts = links.flat_map(|address| [address.clone(), "udp".to_owned()]);
        let cut = Cmd::write_sh(CUT, words.into_iter().chain(cuts)).timeout(Duration::from_secs(SECONDS + 120));
        orders.push(Order::new(case.victim.peer(), cut));
        Ok(orders)
    }

    fn settle(&self) -> Option<Settle> {
        let what = format!("{} to come back after the cluster switched it off, and all as it was", self.victim);
        self.shot().settle().map(|settle| Settle { what, ..settle })
    }
}

#[cfg(test)]
mod tests;

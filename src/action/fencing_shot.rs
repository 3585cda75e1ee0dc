//! One node really switches the other one off, through the cluster and its fencing device, and all comes back as it was; for
//! one of them the cluster may have done so by itself before (`fencing-cut`).
//!
//! What it was before is noted on both nodes first, so that a run that is killed in the middle goes on: what was switched
//! off once is not switched off again. What came of it is noted by `fencing-proof`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::wait::waiting;
use super::{Act, Change, Order, Refusal, RefusalKind, Risk, Scope, Seen, Settle, State};
use crate::fencing::{Case, Look, Stage, Wrong, keep};
use crate::node::{At, Cmd, quote};

const SHOOT: &str = include_str!("../fencing/shoot.sh");

/// Levels may try several devices, each for four minutes (`shoot.sh`) and a fifth of that.
const LONGEST: Duration = Duration::from_secs(900);

/// How long the node may take to come back with all it carried. Servers take minutes to start; emulated ones, more.
const LIMIT: Duration = Duration::from_secs(2700);

/// A node that was switched off by the other one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FencingShot {
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Which of them is switched off.
    pub victim: String,
    /// Method of the answers.
    pub method: String,
    /// Where the shared file system is mounted.
    #[serde(default)]
    pub mount: String,
    /// `true`: no proof is wanted.
    #[serde(default)]
    pub skip: String,
}

impl FencingShot {
    fn case(&self) -> Result<Case, State> {
        Case::of(&self.nodes, &self.victim, &self.method, &self.mount)
            .ok_or_else(|| State::Unknown(format!("{} is none of the two nodes", self.victim)))
    }

    fn looked(&self, seen: &Seen<'_>) -> Result<Look, State> {
        self.case()?.look(seen)
    }

    fn by(&self) -> &str {
        self.nodes.iter().find(|name| **name != self.victim).map_or("its peer", String::as_str)
    }
}

impl Act for FencingShot {
    fn title(&self) -> String {
        format!("prove the fencing: {} switches {} off", self.by(), self.victim)
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reboots(&self) -> Option<At> {
        self.case().ok().map(|case| case.victim)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        self.case().map(|case| case.reads()).unwrap_or_default()
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let look = match self.looked(seen) {
            Ok(look) => look,
            Err(state) => {
                return match self.case().ok().and_then(|case| case.wrong(seen)) {
                    Some(wrong) => refused(wrong),
                    None => state,
                };
            }
        };
        match look.stage() {
            Stage::Proved | Stage::Skipped | Stage::Back => State::Satisfied,
            // Who wants no proof does not want what was disproved either.
            Stage::Wrong(wrong) => refused(wrong),
            _ if self.skip == "true" => State::Satisfied,
            Stage::Returning(missing) => waiting(
                format!("{} was switched off; wait until all is as before: {}", self.victim, missing.join("; ")),
                &missing,
            ),
            Stage::Open => {
                let vms = look.vms_on_victim();
                // Refused now it would keep the first one's proof from being made, for which the VMs had to come here.
                if !vms.is_empty() && look.waits_for_other() {
                    return State::Unknown(format!(
                        "{} is switched off behind the proof of {}, once nothing runs on it that would be killed ({})",
                        self.victim,
                        self.by(),
                        vms.join(", ")
                    ));
                }
                if !vms.is_empty() {
                    return running(&self.victim, self.by(), &vms);
                }
                let obstacles = look.obstacles();
                if !obstacles.is_empty() {
                    return State::Unknown(format!(
                        "{} is not switched off for a proof while the pair is not whole: {}",
                        self.victim,
                        obstacles.join("; ")
                    ));
                }
                let summary = format!(
                    "{} switches {} off by its fencing device, without a warning to it",
                    self.by(),
                    self.victim
                );
                State::Drift(Change::new(summary).risk(Risk::Reboots))
            }
        }
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let case = self.case().ok().context("the step names a node that is none of the two")?;
        let look = match (case.look(seen), case.wrong(seen)) {
            (Ok(look), _) => look,
            (Err(_), Some(wrong)) => bail!("{}; {}", wrong.what, wrong.next),
            (Err(State::Unknown(why)), _) => bail!(why),
            (Err(_), _) => bail!("the cluster does not answer yet"),
        };
        // It was done, and only time is missing.
        if matches!(look.stage(), Stage::Returning(_)) {
            return Ok(Vec::new());
        }
        let obstacles = look.obstacles();
        if !obstacles.is_empty() {
            bail!("the pair is not whole: {}", obstacles.join("; "));
        }
        let (file, note) = (format!("fencing-{}.trying", self.victim), look.note());
        let mut orders = At::BOTH.map(|at| Order::new(at, keep(&file, &note, ""))).to_vec();
        let shoot = Cmd::write_sh(SHOOT, [self.victim.clone(), file]).timeout(LONGEST);
        orders.push(Order::new(case.victim.peer(), shoot));
        Ok(orders)
    }

    fn settle(&self) -> Option<Settle> {
        Some(Settle {
            what: format!("{} to come back after it was switched off, and all as it was", self.victim),
            limit: LIMIT,
            every: Duration::from_secs(3),
            reboots: true,
            shell: format!(
                "stonith_admin --history {} | grep -q 'reboot' && crm_resource --wait --timeout=600s",
                quote::word(&self.victim)
            ),
        })
    }
}

/// What was disproved is not tried again before somebody has looked.
pub(super) fn refused(wrong: Wrong) -> State {
    Refusal::state(RefusalKind::Failed, wrong.what, wrong.next)
}

/// Nobody's VM is killed for a proof.
fn running(victim: &str, by: &str, vms: &[String]) -> State {
    // Cleared before: what was sent here for the other one's proof may run nowhere else, and would stop.
    let send = |vm: &String| {
        format!("crm_resource --clear --resource {vm}; crm_resource --ban --resource {vm} --node {victim}")
    };
    let moves: Vec<String> = vms.iter().map(send).collect();
    Refusal::state(
        RefusalKind::Preflight,
        format!(
            "the fencing configuration is not proved as it is now, and {} on {victim}: it would be killed by the proof",
            if let [one] = vms { format!("{one} runs") } else { format!("{} run", vms.join(", ")) }
        ),
        format!(
            "move it to {by} first ({}), run this again, and then `crm_resource --clear --resource ...`; or go without a proof: \
             --skip-fencing-proof CLUSTER",
            moves.join("; ")
        ),
    )
}

#[cfg(test)]
pub(super) mod tests;

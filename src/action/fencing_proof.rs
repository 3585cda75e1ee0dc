//! The record of a fencing that was proved, on both nodes: who was switched off, when, by which configuration.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Act, Order, Scope, Seen, State};
use crate::fencing::{Case, Look, Stage, keep};
use crate::node::{At, Cmd};

/// A proof that both nodes have noted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FencingProof {
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Which of them was switched off.
    pub victim: String,
    /// Method of the answers.
    pub method: String,
    /// Where the shared file system is mounted.
    #[serde(default)]
    pub mount: String,
    /// `true`: no proof is wanted, and that is noted.
    #[serde(default)]
    pub skip: String,
}

impl FencingProof {
    fn case(&self) -> Option<Case> {
        Case::of(&self.nodes, &self.victim, &self.method, &self.mount)
    }

    fn looked(&self, seen: &Seen<'_>) -> Result<Look, State> {
        self.case()
            .ok_or_else(|| State::Unknown(format!("{} is none of the two nodes", self.victim)))
            .and_then(|case| case.look(seen))
    }

    fn file(&self, end: &str) -> String {
        format!("fencing-{}.{end}", self.victim)
    }
}

impl Act for FencingProof {
    fn title(&self) -> String {
        if self.skip == "true" {
            format!("note that no proof is wanted that {} can be switched off", self.victim)
        } else {
            format!("note on both nodes that {} was switched off", self.victim)
        }
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        self.case().map(|case| case.reads()).unwrap_or_default()
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let look = match self.looked(seen) {
            Ok(look) => look,
            Err(state) => return state,
        };
        match look.stage() {
            Stage::Proved => match look.proof() {
                Some(proof) if At::BOTH.into_iter().all(|at| look.has(at, proof)) => State::Satisfied,
                _ => State::drift(self.title()),
            },
            Stage::Back => match look.proves() {
                Some(proof) => State::drift(format!(
                    "note: {}; boot id {} became {}",
                    proof.words(),
                    proof.old_boot,
                    proof.new_boot
                )),
                None => State::Unknown("the attempt left no note".to_owned()),
            },
            Stage::Skipped if At::BOTH.into_iter().all(|at| look.skipped(at)) => State::Satisfied,
            Stage::Skipped => State::drift(self.title()),
            Stage::Wrong(wrong) => State::Unknown(wrong.what),
            _ if self.skip == "true" => State::drift(self.title()),
            _ => State::Unknown(format!("{} was not switched off for a proof yet", self.victim)),
        }
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let look = self.looked(seen).ok().context("the nodes don't say how far the proof has come")?;
        let stage = look.stage();
        let proof = look.proof().cloned().or_else(|| (stage == Stage::Back).then(|| look.proves()).flatten());
        let mut orders = Vec::new();
        for at in At::BOTH {
            match &proof {
                Some(proof) if look.has(at, proof) => {}
                Some(proof) => {
                    let (proved, trying) = (self.file("proved"), self.file("trying"));
                    orders.push(Order::new(at, keep(&proved, &proof.text(), &trying)));
                }
                None if look.skipped(at) => {}
                None => orders.push(Order::new(at, keep("fencing.skipped", &look.skip(), ""))),
            }
        }
        Ok(orders)
    }
}

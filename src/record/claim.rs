//! One run at a time on each node: a lock that is renewed while the run lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::{DEAD_AFTER, FORMAT, Install, locked};
use crate::answers::Answers;
use crate::cancel::Cancel;
use crate::event::Failure;
use crate::exit;
use crate::node::{At, Cmd, Output, Pair};
use crate::setup::{failed, unreachable};

const CLAIM: &str = include_str!("claim.sh");

/// How often a lock is renewed.
const EVERY: Duration = Duration::from_secs(30);

/// What a run needs to claim both nodes.
pub struct Claim<'a> {
    /// The nodes.
    pub pair: &'a Pair,
    /// Names and the cluster.
    pub answers: &'a Answers,
    /// Which install.
    pub install: &'a Install,
    /// Which state folder, on which machine: see [`Install::owner`].
    pub owner: String,
    /// Process, host, since when, which command.
    pub who: String,
    taken: AtomicBool,
    lost: AtomicBool,
}

impl<'a> Claim<'a> {
    /// Nothing is claimed yet.
    pub fn new(pair: &'a Pair, answers: &'a Answers, install: &'a Install, owner: String, who: &str) -> Self {
        let who = who.replace('\n', " ").trim().to_owned();
        Self { pair, answers, install, owner, who, taken: AtomicBool::new(false), lost: AtomicBool::new(false) }
    }

    /// The order that does it on one node; `what`: `claim`, `renew` or `release`. Exit code 7: another run holds it.
    pub fn order(&self, what: &str, at: At) -> Cmd {
        let node = |at: At| self.answers.nodes[at.index()].name.as_str();
        let record = format!(
            "hapair-record={FORMAT}\ncluster={}\ninstall={}\nnode={}\npeer={}\nsince={}\nversion={}\n",
            self.answers.cluster,
            self.install.id,
            node(at),
            node(at.peer()),
            jiff::Timestamp::now(),
            env!("CARGO_PKG_VERSION")
        );
        let dead = DEAD_AFTER.to_string();
        Cmd::write_sh(CLAIM, [what, &self.owner, &self.who, &dead, &record]).timeout(Duration::from_secs(60))
    }

    fn on_both(&self, what: &str) -> [Result<Output, crate::node::Lost>; 2] {
        At::both(|at| self.pair.at(at).exec(&self.order(what, at)))
    }

    /// Takes both nodes, and writes their record where there is none.
    ///
    /// # Errors
    /// A [`Failure`] with exit code 7 when another run is at work there, 5 when a node can't be reached.
    pub fn take(&self) -> Result<(), Failure> {
        let results = self.on_both("claim");
        self.taken.store(true, Ordering::SeqCst);
        for (at, result) in At::BOTH.into_iter().zip(results) {
            let name = &self.pair.at(at).name;
            let output = result.map_err(|lost| unreachable(name, &lost))?;
            match output.code {
                0 => {}
                7 => {
                    self.release();
                    let line = output.line();
                    let (age, who) = line.split_once(' ').unwrap_or(("0", &line));
                    return Err(locked(name, who, age.parse().unwrap_or(0)));
                }
                code => {
                    self.release();
                    let what = format!(
                        "its record in /var/lib/hapair can't be written (exit code {code}): {}",
                        output.errors().trim()
                    );
                    return Err(failed(Some(name), what, "make room there, or make it writable"));
                }
            }
        }
        Ok(())
    }

    /// Does some work, keeps what it takes renewed meanwhile, and lets go of it behind.
    ///
    /// # Errors
    /// A [`Failure`] with exit code 7 when another run has taken a node meanwhile, because this one gave no sign of life.
    pub fn during<T>(&self, cancel: &Cancel, work: impl FnOnce() -> T) -> Result<T, Failure> {
        let done = std::thread::scope(|scope| {
            let (end, ended) = std::sync::mpsc::channel();
            scope.spawn(move || self.keep(&ended, cancel));
            let done = work();
            drop(end);
            done
        });
        self.release();
        if self.lost.load(Ordering::SeqCst) {
            let what = "another run has taken the nodes while this one gave no sign of life".to_owned();
            return Err(Failure { exit: exit::LOCKED, ..failed(None, what, "wait for it, then continue") });
        }
        Ok(done)
    }

    /// Renews the locks until `end` is dropped; what was lost to another run interrupts this one.
    fn keep(&self, end: &Receiver<()>, cancel: &Cancel) {
        while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            if self.taken.load(Ordering::SeqCst) {
                // A node that does not answer just now (a reboot) is no loss.
                if self.on_both("renew").iter().any(|result| result.as_ref().is_ok_and(|output| output.code == 7)) {
                    self.lost.store(true, Ordering::SeqCst);
                    cancel.request();
                }
            }
        }
    }

    /// Lets go of what was taken; a node that can't be reached is left to its time.
    pub fn release(&self) {
        if self.taken.swap(false, Ordering::SeqCst) {
            let _ = self.on_both("release");
        }
    }
}

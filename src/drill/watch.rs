//! What is seen of the pair while it is harmed: each node is asked again and again, by threads of its own, so that one that
//! does not answer keeps nobody waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::guest;
use super::ledger::Ledger;
use super::outcome::Moment;
use crate::answers::{Answers, Layout};
use crate::node::{At, Cmd, Lost, Pair};
use crate::status::Standing;
use crate::status::node::{self, NodeStatus};

/// Seconds between two looks at a node, at the least; a look that takes its time is followed by a pause that is twice as long, so
/// that what looks is not what keeps the node busy.
const EVERY: f64 = 2.0;
/// Silence after which a node's voice is given up; it speaks each second.
const SILENCE: Duration = Duration::from_secs(12);
/// Seconds after which what a node said is no longer taken for what it is, at the least.
const STALE: f64 = 25.0;
/// How long one read of a look may take. No look is worth waiting a minute for; an emulated machine is slow, not silent.
const READ: Duration = Duration::from_secs(3);
const READ_EMULATED: Duration = Duration::from_secs(10);

/// Watches until it is told to stop.
pub struct Watch<'a> {
    answers: &'a Answers,
    pair: &'a Pair,
    began: Instant,
    stop: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    ledger: Ledger,
    nodes: [Option<Sample>; 2],
    standing: Option<Standing>,
    healthy_since: Option<f64>,
    noticed: BTreeSet<&'static str>,
    lanes: BTreeMap<String, (String, bool)>,
    story: Vec<Moment>,
}

#[derive(Clone)]
struct Sample {
    at: f64,
    took: f64,
    looked: Result<NodeStatus, Lost>,
    boot_id: Option<String>,
}

impl Sample {
    /// How long it is since it was asked for, if that is too long: the next one is due three times its own length behind it.
    fn stale(&self, now: f64) -> Option<f64> {
        let age = now - self.at;
        (age > STALE.max(6.0 * self.took)).then_some(age)
    }
}

/// The pair as it is now.
#[derive(Debug, Clone)]
pub struct Now {
    /// Seconds since the drill began.
    pub at: f64,
    /// When each node last answered.
    pub heard: [Option<f64>; 2],
    /// How the pair stands; `None` before both were asked.
    pub standing: Option<Standing>,
    /// Since when it is without a trouble, seen on both nodes.
    pub healthy_since: Option<f64>,
    /// Each node's boot, where known.
    pub boot_ids: [Option<String>; 2],
    /// When the last write was acknowledged, and where.
    pub acknowledged: Option<(f64, At)>,
}

impl Now {
    /// Writes are acknowledged just now.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.acknowledged.is_some_and(|(at, _)| self.at - at < 2.0)
    }

    /// What is amiss, a line each.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        match &self.standing {
            None => vec!["not every node has answered yet".to_owned()],
            Some(standing) => standing.troubles.iter().map(|trouble| trouble.what.clone()).collect(),
        }
    }

    /// Whether a trouble of this name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.standing.iter().flat_map(|standing| &standing.troubles).any(|trouble| trouble.name == name)
    }

    /// The node that runs a resource, and no other.
    #[must_use]
    pub fn host(&self, answers: &Answers, id: &str) -> Option<At> {
        let view = self.standing.as_ref()?.view.as_ref()?;
        let resource = view.resources.iter().find(|resource| resource.id == id)?;
        let [name] = resource.nodes.as_slice() else { return None };
        At::BOTH.into_iter().find(|at| answers.nodes[at.index()].name == *name)
    }

    /// Whether a node itself says that it runs a resource, whatever the other one says.
    #[must_use]
    pub fn says_to_run(&self, at: At, answers: &Answers, id: &str) -> bool {
        let node = self.standing.as_ref().and_then(|standing| standing.nodes[at.index()].as_ref().ok());
        let view = node.and_then(|node| node.cluster.as_ref().ok());
        let name = &answers.nodes[at.index()].name;
        view.is_some_and(|view| view.resources.iter().any(|one| one.id == id && one.nodes.contains(name)))
    }
}

impl<'a> Watch<'a> {
    /// Nothing is seen yet.
    #[must_use]
    pub fn new(answers: &'a Answers, pair: &'a Pair) -> Self {
        Self { answers, pair, began: Instant::now(), stop: AtomicBool::new(false), seen: Mutex::default() }
    }

    /// Watches while something is done.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            for at in At::BOTH {
                scope.spawn(move || self.listen(at));
                scope.spawn(move || self.look(at));
            }
            // Also when the work panics: the threads would keep the process.
            let _end = End(&self.stop);
            work()
        })
    }

    /// Seconds since it was made.
    #[must_use]
    pub fn time(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The pair as it is now.
    #[must_use]
    pub fn now(&self) -> Now {
        let at = self.time();
        let seen = self.seen();
        let fresh = seen.nodes.iter().all(|node| node.as_ref().is_some_and(|node| node.stale(at).is_none()));
        Now {
            at,
            heard: seen
                .nodes
                .each_ref()
                .map(|node| node.as_ref().filter(|node| node.looked.is_ok()).map(|node| node.at)),
            standing: seen.standing.clone(),
            healthy_since: seen.healthy_since.filter(|_| fresh),
            boot_ids: seen.nodes.each_ref().map(|node| node.as_ref().and_then(|node| node.boot_id.clone())),
            acknowledged: seen.ledger.last(),
        }
    }

    /// What was acknowledged so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.seen().ledger.clone()
    }

    /// Forgets a counter that was taken away.
    pub fn forget_counter(&self) {
        self.seen().ledger.forget();
    }

    /// Forgets what was noticed: a part begins.
    pub fn forget(&self) {
        let mut seen = self.seen();
        seen.noticed.clear();
        seen.healthy_since = None;
    }

    /// Names of the troubles that were seen since.
    #[must_use]
    pub fn noticed(&self) -> BTreeSet<&'static str> {
        self.seen().noticed.clone()
    }

    /// What changed since a time, and what everything was then; in seconds since `zero`.
    #[must_use]
    pub fn story(&self, from: f64, zero: f64) -> Vec<Moment> {
        let seen = self.seen();
        let mut first: BTreeMap<&str, &Moment> = BTreeMap::new();
        for moment in seen.story.iter().filter(|moment| moment.at <= from) {
            first.insert(&moment.lane, moment);
        }
        let begin = first.into_values().map(|moment| Moment { at: from - zero, ..moment.clone() });
        let rest = seen.story.iter().filter(|moment| moment.at > from);
        begin.chain(rest.map(|moment| Moment { at: moment.at - zero, ..moment.clone() })).collect()
    }

    fn listen(&self, at: At) {
        let follow = guest::follow();
        while !self.stopped() {
            let _ = self.pair.at(at).transport.follow(&follow, SILENCE, &mut |line| {
                let now = self.time();
                self.seen().ledger.hear(at, line, now);
                !self.stopped()
            });
            self.pause(0.5);
        }
    }

    fn look(&self, at: At) {
        let mut reads = node::reads(self.answers);
        reads.push(Cmd::read(["cat", "/proc/sys/kernel/random/boot_id"]));
        let limit = if self.answers.hypervisor.emulated() { READ_EMULATED } else { READ };
        let reads: Vec<Cmd> = reads.into_iter().map(|read| read.timeout(limit)).collect();
        while !self.stopped() {
            let time = self.time();
            let (looked, boot_id) = match self.pair.at(at).read_all(&reads) {
                Ok(mut outputs) => {
                    let boot_id = outputs.pop().filter(crate::node::Output::ok).map(|output| output.line());
                    (NodeStatus::of(self.answers, &outputs), boot_id)
                }
                Err(lost) => (Err(lost), None),
            };
            let took = self.time() - time;
            // A node that is gone answers late or never; its return is not to be seen late for that.
            let pause = if looked.is_ok() { EVERY.max(2.0 * took) } else { EVERY };
            self.record(at, Sample { at: time, took, looked, boot_id });
            self.pause(pause);
        }
    }

    fn pause(&self, seconds: f64) {
        let until = self.time() + seconds;
        while !self.stopped() && self.time() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn record(&self, at: At, sample: Sample) {
        let mut seen = self.seen();
        let time = self.time();
        seen.nodes[at.index()] = Some(sample);
        let [Some(first), Some(second)] = &seen.nodes else { return };
        let of = |sample: &Sample| match (&sample.looked, sample.stale(time)) {
            (Ok(_), Some(age)) => Err(Lost::Unreachable(format!("no answer for {age:.0} s"))),
            (looked, _) => looked.clone(),
        };
        let standing = Standing::of(self.answers, [of(first), of(second)]);
        // Both have answered since it was last amiss.
        let oldest = first.at.min(second.at);
        if standing.troubles.is_empty() {
            seen.healthy_since.get_or_insert(oldest.max(0.0));
        } else {
            seen.healthy_since = None;
        }
        seen.noticed.extend(standing.troubles.iter().map(|trouble| trouble.name));
        for (lane, state, good) in lanes(self.answers, &standing) {
            let value = (state, good);
            if seen.lanes.get(&lane) != Some(&value) {
                let (state, good) = value.clone();
                seen.story.push(Moment { at: time, lane: lane.clone(), state, good });
                seen.lanes.insert(lane, value);
            }
        }
        seen.standing = Some(standing);
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What there is to tell of a pair at a moment: the lines of the picture.
fn lanes(answers: &Answers, standing: &Standing) -> Vec<(String, String, bool)> {
    let mut lanes = Vec::new();
    for (answer, node) in answers.nodes.iter().zip(&standing.nodes) {
        let name = &answer.name;
        let word = standing.view.as_ref().and_then(|view| view.node(name)).map_or("unknown", |node| node.word());
        let state = if node.is_ok() { word.to_owned() } else { format!("{word}, does not answer") };
        lanes.push((name.clone(), state, word == "online" && node.is_ok()));
        if answers.storage.layout != Layout::Ocfs2 {
            continue;
        }
        let (drbd, ocfs2) = match node {
            Err(_) => (("?".to_owned(), false), ("?".to_owned(), false)),
            Ok(node) => (of_drbd(node), of_mount(node)),
        };
        lanes.push((format!("DRBD on {name}"), drbd.0, drbd.1));
        lanes.push((format!("{} on {name}", answers.storage.mount), ocfs2.0, ocfs2.1));
    }
    for vm in &standing.vms {
        let state = vm.node.clone().unwrap_or_else(|| vm.role.to_lowercase());
        lanes.push((vm.name.clone(), state, vm.node.is_some()));
    }
    lanes
}

/// DRBD on a node, in words, and whether that is as it should be.
#[must_use]
pub fn of_drbd(node: &NodeStatus) -> (String, bool) {
    node.drbd.device.as_ref().map_or_else(
        || ("not up".to_owned(), false),
        |device| {
            let good = device.role == "Primary" && device.disk == "UpToDate" && device.connection == "Connected";
            (format!("{}, {}, {}", device.role, device.disk, device.connection), good)
        },
    )
}

/// The mount on a node, in words, and whether that is as it should be.
#[must_use]
pub fn of_mount(node: &NodeStatus) -> (String, bool) {
    match &node.mount {
        None => ("not mounted".to_owned(), false),
        Some(mount) if mount.read_only => ("read-only".to_owned(), false),
        Some(mount) => (format!("{}, mounted", mount.kind), true),
    }
}

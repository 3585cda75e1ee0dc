//! What was acknowledged, what is on disk, and how long nothing was acknowledged: the figures of a drill.
//!
//! A write is acknowledged when fsync() has returned in the counter and the word of it has left the node: hapair has it. A
//! write is lost when it was acknowledged and is not on disk afterwards.

use serde::{Deserialize, Serialize};

use crate::node::At;

/// Seconds without an acknowledgement from which on the service counts as away. The counter writes ten times a second.
pub const AWAY: f64 = 1.0;

/// A write that was acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Ack {
    /// Its number.
    pub number: u64,
    /// Which start of the counter wrote it.
    run: usize,
    /// When, in seconds since the boot of its node.
    uptime: f64,
}

/// A start of the counter.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    id: String,
    node: At,
    /// Our clock minus the node's, as good as it is known: the fastest message tells.
    offset: f64,
}

/// All that was acknowledged, in the order in which it was heard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    acks: Vec<Ack>,
    /// Runs of a counter that was taken away.
    gone: Vec<String>,
    runs: Vec<Run>,
}

impl Ledger {
    /// A counter before this one is gone, and its file with it: the watcher heard what it had acknowledged, none of which can be
    /// on disk any more. It is no matter, and neither is what is heard of it late.
    pub fn forget(&mut self) {
        self.gone.extend(self.runs.drain(..).map(|run| run.id));
        self.acks.clear();
    }

    /// Takes a line of the node's that says what is on disk; `now` is when it was heard, in seconds since the drill began.
    /// Another line is no matter. A line that was heard already counts once.
    pub fn hear(&mut self, node: At, line: &str, now: f64) {
        let words: Vec<&str> = line.split(' ').collect();
        let ["ack", number, "boot_id", id, "at", uptime] = words.as_slice() else { return };
        let (Ok(number), Ok(uptime)) = (number.parse::<u64>(), uptime.parse::<f64>()) else { return };
        if self.gone.iter().any(|gone| gone == id) {
            return;
        }
        let run = self.runs.iter().position(|run| run.id == *id).unwrap_or_else(|| {
            self.runs.push(Run { id: (*id).to_owned(), node, offset: f64::INFINITY });
            self.runs.len() - 1
        });
        self.runs[run].offset = self.runs[run].offset.min(now - uptime);
        let known = self.acks.iter().rev().find(|ack| ack.run == run).is_some_and(|last| last.number >= number);
        if !known {
            self.acks.push(Ack { number, run, uptime });
        }
    }

    fn at(&self, ack: &Ack) -> f64 {
        self.runs[ack.run].offset + ack.uptime
    }

    /// When the last write was acknowledged, and where.
    #[must_use]
    pub fn last(&self) -> Option<(f64, At)> {
        let last = self.acks.last()?;
        Some((self.at(last), self.runs[last.run].node))
    }

    /// How many were acknowledged between two times.
    #[must_use]
    pub fn count(&self, from: f64, to: f64) -> u64 {
        self.acks.iter().filter(|ack| (from..to).contains(&self.at(ack))).count() as u64
    }

    /// On which nodes writes were acknowledged between two times, one after the other.
    #[must_use]
    pub fn nodes(&self, from: f64, to: f64) -> Vec<At> {
        let mut acks: Vec<(f64, At)> = self.acks.iter().map(|ack| (self.at(ack), self.runs[ack.run].node)).collect();
        acks.retain(|(at, _)| (from..to).contains(at));
        // What one node says may be heard later than what the other says.
        acks.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut nodes: Vec<At> = acks.into_iter().map(|(_, node)| node).collect();
        nodes.dedup();
        nodes
    }

    /// Pauses of at least [`AWAY`] between two times, each from its last acknowledgement before to its first after.
    #[must_use]
    pub fn pauses(&self, from: f64, to: f64) -> Vec<Pause> {
        let mut times: Vec<f64> = self.acks.iter().map(|ack| self.at(ack)).collect();
        times.sort_by(f64::total_cmp);
        let before = times.iter().rev().copied().find(|at| *at < from).unwrap_or(from);
        let inside = times.into_iter().filter(|at| (from..to).contains(at));
        let mut pauses = Vec::new();
        let mut last = before;
        for at in inside.chain([to]) {
            if at - last >= AWAY {
                pauses.push(Pause { from: last.max(from), to: at });
            }
            last = at;
        }
        pauses
    }

    /// Acknowledged writes that are not on disk: those that follow each other as one.
    #[must_use]
    pub fn lost(&self, disk: &OnDisk) -> Vec<Loss> {
        let mut losses: Vec<(usize, Loss)> = Vec::new();
        for ack in self.acks.iter().filter(|ack| !disk.holds(&self.runs[ack.run].id, ack.number)) {
            let at = self.at(ack);
            match losses.last_mut() {
                Some((run, loss)) if *run == ack.run && loss.last + 1 == ack.number => {
                    (loss.last, loss.to) = (ack.number, at);
                }
                _ => {
                    let node = self.runs[ack.run].node;
                    losses.push((ack.run, Loss { first: ack.number, last: ack.number, node, from: at, to: at }));
                }
            }
        }
        losses.into_iter().map(|(_, loss)| loss).collect()
    }

    /// What is on disk, in the order of the file, in words; `name` names the nodes.
    #[must_use]
    pub fn told(&self, disk: &OnDisk, name: impl Fn(At) -> String) -> String {
        let whose = |id: &str| {
            self.runs
                .iter()
                .find(|run| run.id == id)
                .map_or_else(|| "a start that nobody heard".to_owned(), |run| name(run.node))
        };
        let ranges: Vec<String> =
            disk.ranges.iter().map(|(first, last, id)| format!("{first} to {last} of {}", whose(id))).collect();
        ranges.join(", ")
    }
}

/// Writes that follow each other, of one start of the counter, that were acknowledged and are not on disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Number of the first.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
    /// Who wrote them.
    pub node: At,
    /// When the first was acknowledged, in seconds since the drill began.
    pub from: f64,
    /// When the last was.
    pub to: f64,
}

impl Loss {
    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// A time without an acknowledgement, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// The last one before it.
    pub from: f64,
    /// The first one after it.
    pub to: f64,
}

impl Pause {
    /// Its length.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.to - self.from
    }
}

/// What of the counter is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnDisk {
    /// First and last number, and the start of the counter that wrote them.
    ranges: Vec<(u64, u64, String)>,
    /// Lines that are none of the counter's: torn by a cut, or foreign. Never an acknowledged one, or it is lost.
    pub torn: u64,
}

impl OnDisk {
    /// Reads what [`super::guest::on_disk`] prints.
    ///
    /// # Errors
    /// When it is not that, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut disk = Self::default();
        let mut whole = false;
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["torn", lines] => {
                    disk.torn = lines.parse().map_err(|_| format!("the counter can't be read: {line}"))?;
                    whole = true;
                }
                [first, last, run] => match (first.parse(), last.parse()) {
                    (Ok(first), Ok(last)) => disk.ranges.push((first, last, (*run).to_owned())),
                    _ => return Err(format!("the counter can't be read: {line}")),
                },
                _ => return Err(format!("the counter can't be read: {line}")),
            }
        }
        if whole { Ok(disk) } else { Err("the counter could not be read to its end".to_owned()) }
    }

    fn holds(&self, run: &str, number: u64) -> bool {
        self.ranges.iter().any(|(first, last, id)| id == run && (*first..=*last).contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaa-0000-0000-0000-000000000000";
    const B: &str = "bbbbbbbb-0000-0000-0000-000000000000";

    fn heard() -> Ledger {
        let mut ledger = Ledger::default();
        // The first node writes from 100.0 s after its boot on, heard 0.02 s later; one message is late.
        for tick in 0..20u32 {
            let late = if tick == 5 { 0.4 } else { 0.02 };
            let uptime = 100.0 + f64::from(tick) / 10.0;
            ledger.hear(At::First, &format!("ack {tick} boot_id {A} at {uptime:.2}"), uptime - 90.0 + late);
        }
        // Taken over after 12 s by the second, which has booted at another time.
        for tick in 20..40u32 {
            let uptime = 5.0 + f64::from(tick - 20) / 10.0;
            ledger.hear(At::Second, &format!("ack {tick} boot_id {B} at {uptime:.2}"), uptime + 18.92);
        }
        ledger
    }

    #[test]
    fn the_pause_is_from_the_last_before_to_the_first_after_whatever_the_nodes_clocks_say() {
        let ledger = heard();
        let pauses = ledger.pauses(0.0, 25.9);
        assert_eq!(pauses.len(), 2, "{pauses:?}");
        // Nothing was heard before the counter began.
        assert!((pauses[0].to - 10.02).abs() < 0.01, "{pauses:?}");
        assert!((pauses[1].seconds() - 12.0).abs() < 0.05, "{pauses:?}");
        assert_eq!(ledger.nodes(0.0, 100.0), [At::First, At::Second]);
        assert_eq!(ledger.count(0.0, 100.0), 40);
        assert_eq!(ledger.count(11.0, 100.0), 30);
        assert_eq!(ledger.last().map(|(_, node)| node), Some(At::Second));
    }

    #[test]
    fn a_service_that_does_not_come_back_is_away_to_the_end() {
        let pauses = heard().pauses(20.0, 60.0);
        let last = pauses.last().expect("a pause");
        assert!((last.to - 60.0).abs() < f64::EPSILON && last.seconds() > 30.0, "{pauses:?}");
    }

    #[test]
    fn acknowledged_and_not_on_disk_is_lost() {
        let ledger = heard();
        let all = OnDisk::parse(&format!("0 19 {A}\n20 39 {B}\ntorn 0\n")).unwrap();
        assert_eq!(ledger.lost(&all), []);
        let numbers = |disk: &OnDisk| -> Vec<(u64, u64, At)> {
            ledger.lost(disk).iter().map(|loss| (loss.first, loss.last, loss.node)).collect()
        };
        let torn = OnDisk::parse(&format!("0 17 {A}\n18 39 {B}\ntorn 1\n")).unwrap();
        // 18 and 19 are there, but written by another: the first's were lost, and the numbers were used again.
        assert_eq!(numbers(&torn), [(18, 19, At::First)]);
        let told = ledger.told(&torn, |at| format!("{at:?}"));
        assert_eq!(told, "0 to 17 of First, 18 to 39 of Second");
        let hole = OnDisk::parse(&format!("0 3 {A}\n5 19 {A}\n20 39 {B}\ntorn 0\n")).unwrap();
        assert_eq!(numbers(&hole), [(4, 4, At::First)]);
        assert!((ledger.lost(&hole)[0].from - 10.42).abs() < 0.01);
    }

    #[test]
    fn a_counter_that_was_taken_away_is_no_matter_any_more() {
        let mut ledger = heard();
        ledger.forget();
        ledger.hear(At::First, &format!("ack 20 boot_id {A} at 102.00"), 12.0);
        assert_eq!(ledger.last(), None);
        ledger.hear(At::First, "ack 1 boot_id cccccccc-0000-0000-0000-000000000000 at 110.00", 20.0);
        let lost = ledger.lost(&OnDisk::default());
        assert_eq!((ledger.count(0.0, 100.0), lost.len(), lost[0].first, lost[0].count()), (1, 1, 1, 1));
    }

    #[test]
    fn what_was_heard_twice_counts_once() {
        let mut ledger = heard();
        let before = ledger.clone();
        ledger.hear(At::Second, &format!("ack 25 boot_id {B} at 5.50"), 70.0);
        ledger.hear(At::Second, "alive", 71.0);
        ledger.hear(At::Second, "ack x boot_id y at z", 71.0);
        assert_eq!(ledger, before);
    }

    #[test]
    fn a_counter_that_was_not_read_to_its_end_says_nothing() {
        assert!(OnDisk::parse("0 19 x\n").is_err());
        assert!(OnDisk::parse("awk: cannot open\n").is_err());
    }
}

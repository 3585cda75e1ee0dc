//! How long the first synchronisation takes: the size of the device at the speed of the link.

use crate::answers::{Answers, Create, InitialSync};
use crate::device;
use crate::facts::Facts;
use crate::node::At;
use crate::preflight::wire::Wire;

/// Where neither a measurement nor a driver tells: a gigabit link, roughly.
const GIGABIT: u64 = 110_000_000;

/// The first copy, before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FirstCopy {
    /// What is copied.
    pub bytes: u64,
    /// At what speed.
    pub bytes_per_second: u64,
    /// The speed was measured; else it is what the interfaces say, or a guess.
    pub measured: bool,
}

impl FirstCopy {
    /// What is expected of two nodes; `None` when nothing is copied, or the devices can't be seen.
    pub fn expected(answers: &Answers, facts: &[Facts; 2], wire: &Wire) -> Option<Self> {
        if answers.storage.initial_sync == InitialSync::Skip {
            return None;
        }
        // DRBD takes the smaller one.
        let sizes = At::BOTH.map(|at| size(answers, &facts[at.index()], &answers.nodes[at.index()].device));
        let bytes = sizes[0]?.min(sizes[1]?);
        let told = At::BOTH.map(|at| facts[at.index()].link_bytes_per_second(answers.nodes[at.index()].address));
        let bytes_per_second = match (wire.rate(), told) {
            (Some(rate), _) => rate,
            (None, [Some(first), Some(second)]) => first.min(second),
            _ => GIGABIT,
        };
        Some(Self { bytes, bytes_per_second: bytes_per_second.max(1), measured: wire.rate().is_some() })
    }

    /// How long it takes if the disks keep up.
    pub fn seconds(&self) -> u64 {
        self.bytes / self.bytes_per_second
    }

    /// `about 2 h 29 min: 1 TiB at 117 MB/s (measured)`.
    pub fn words(&self) -> String {
        let rate = self.bytes_per_second;
        let how = if self.measured { "measured" } else { "not measured" };
        format!(
            "about {}: {} at {}.{} MB/s ({how}); slower if the disks are",
            duration(self.seconds()),
            device::bytes(self.bytes),
            rate / 1_000_000,
            rate % 1_000_000 / 100_000
        )
    }
}

/// Size of a backing device: as it is, or as it will be made.
fn size(answers: &Answers, facts: &Facts, path: &str) -> Option<u64> {
    if let Some((_, part)) = facts.partition(path) {
        return Some(part.bytes);
    }
    if let Some(volume) = facts.volumes.iter().find(|volume| volume.path == path) {
        return Some(volume.bytes);
    }
    if let Some(disk) = facts.disks.iter().find(|disk| disk.path() == path) {
        return Some(disk.bytes);
    }
    let (disk, _) = device::split(path)?;
    let id = disk.strip_prefix("/dev/disk/by-id/");
    let disk = facts
        .disks
        .iter()
        .find(|found| found.path() == disk || id.is_some_and(|id| found.by_id.iter().any(|name| name == id)))?;
    match answers.storage.create {
        Create::No => None,
        Create::Rest => Some(disk.room()).filter(|room| *room > 0),
        Create::Bytes(bytes) => Some(bytes),
    }
}

fn duration(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{} s", seconds.max(1)),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::samples;
    use crate::preflight::wire::Talk;

    #[test]
    fn the_measured_link_counts_most() {
        let (mut answers, mut facts) = (samples::answers(), samples::facts());
        let told = FirstCopy::expected(&answers, &facts, &Wire::default()).expect("an estimate");
        assert_eq!((told.bytes, told.bytes_per_second, told.measured), (2 << 30, 125_000_000, false));
        assert_eq!(told.words(), "about 17 s: 2 GiB at 125.0 MB/s (not measured); slower if the disks are");
        let wire = Wire([100_000_000, 11_500_000].map(|rate| Talk { rate: Some(rate), ..Talk::default() }));
        facts[0].disks[0].parts[0].bytes = 1 << 40;
        facts[1].disks[0].parts[0].bytes = 1 << 40;
        let told = FirstCopy::expected(&answers, &facts, &wire).expect("an estimate");
        assert_eq!(told.words(), "about 26 h 33 min: 1 TiB at 11.5 MB/s (measured); slower if the disks are");
        facts[1].links.clear();
        let told = FirstCopy::expected(&answers, &facts, &Wire::default()).expect("an estimate");
        assert_eq!(told.bytes_per_second, GIGABIT);
        answers.storage.initial_sync = InitialSync::Skip;
        assert_eq!(FirstCopy::expected(&answers, &facts, &wire), None);
    }

    #[test]
    fn a_partition_that_is_to_be_made_has_a_size_too() {
        let (mut answers, mut facts) = (samples::answers(), samples::facts());
        for facts in &mut facts {
            facts.disks[0].parts.clear();
            facts.disks[0].gaps = vec![crate::facts::disk::Gap { start: 0, bytes: 5 << 30, last: true }];
        }
        let bytes = |answers: &Answers| FirstCopy::expected(answers, &facts, &Wire::default()).map(|copy| copy.bytes);
        assert_eq!(bytes(&answers), None);
        answers.storage.create = Create::Rest;
        assert_eq!(bytes(&answers), Some(5 << 30));
        answers.storage.create = Create::Bytes(1 << 30);
        assert_eq!(bytes(&answers), Some(1 << 30));
        assert_eq!(
            (duration(0), duration(90), duration(7300)),
            ("1 s".to_owned(), "1 min".to_owned(), "2 h 1 min".to_owned())
        );
    }
}

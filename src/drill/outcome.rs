//! What a part of a drill gave.

use serde::{Deserialize, Serialize};

use super::ledger::Pause;
use super::part::Part;
use crate::report::words::duration;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", content = "why", rename_all = "kebab-case")]
pub enum Verdict {
    /// No write lost, redundant again, and as expected.
    Passed,
    /// Why not, each as a sentence.
    Failed(Vec<String>),
    /// Not done, and why.
    Skipped(String),
}

impl Verdict {
    /// One word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "failed",
            Verdict::Skipped(_) => "skipped",
        }
    }
}

/// Something that changed on one of the lines of the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds since the harm; before it, below zero.
    pub at: f64,
    /// `node1`, `DRBD on node1`, `/drbd0 on node1`, `vm01`.
    pub lane: String,
    /// What it is from then on.
    pub state: String,
    /// That is as it should be.
    pub good: bool,
}

/// A command that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Node.
    pub node: String,
    /// As one would type it.
    pub command: String,
}

/// What a part gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which part.
    pub part: Part,
    /// Passed, failed, skipped.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// When it began.
    pub began: jiff::Timestamp,
    /// What was done.
    pub commands: Vec<Done>,
    /// Seconds from the harm to the end of the measurement.
    pub seconds: f64,
    /// Seconds in which the service acknowledged nothing: all pauses of a second and more.
    pub seconds_without_service: f64,
    /// These pauses, in seconds since the harm.
    pub pauses: Vec<Pause>,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Writes acknowledged and not on disk.
    pub lost: u64,
    /// Which these are, when they were acknowledged, and what is on disk in their place, in words.
    pub losses: Vec<String>,
    /// Lines of the counter that a cut has torn; none of them was acknowledged.
    pub torn: u64,
    /// Where the service ran, one after the other.
    pub served_by: Vec<String>,
    /// How each VM moved, in words, where the part is a move.
    #[serde(default)]
    pub moved: Vec<String>,
    /// Nodes that booted anew.
    pub booted: Vec<String>,
    /// Fencings, in words.
    pub fenced: Vec<String>,
    /// DRBD at the end, a line for each node.
    pub drbd: Vec<String>,
    /// OCFS2 at the end, a line for each node.
    pub ocfs2: Vec<String>,
    /// Seconds from the harm until the pair was fully redundant again.
    pub redundant_after: Option<f64>,
    /// What changed when.
    pub story: Vec<Moment>,
}

impl Outcome {
    /// A part that was not done.
    #[must_use]
    pub fn skipped(part: Part, why: &str) -> Self {
        Self {
            part,
            verdict: Verdict::Skipped(why.to_owned()),
            began: jiff::Timestamp::now(),
            commands: Vec::new(),
            seconds: 0.0,
            seconds_without_service: 0.0,
            pauses: Vec::new(),
            acknowledged: 0,
            lost: 0,
            losses: Vec::new(),
            torn: 0,
            served_by: Vec::new(),
            moved: Vec::new(),
            booted: Vec::new(),
            fenced: Vec::new(),
            drbd: Vec::new(),
            ocfs2: Vec::new(),
            redundant_after: None,
            story: Vec::new(),
        }
    }

    /// Judges what was measured. `seen` holds what else was seen that must not be.
    #[must_use]
    pub fn judged(mut self, mut seen: Vec<String>) -> Self {
        if self.lost > 0 {
            let what = format!("{} writes were acknowledged and are not on disk", self.lost);
            seen.splice(0..0, std::iter::once(what).chain(self.losses.iter().cloned()));
        }
        if self.acknowledged == 0 {
            seen.push("nothing was acknowledged, so nothing was measured".to_owned());
        }
        if self.redundant_after.is_none() {
            seen.push("the pair was not fully redundant again".to_owned());
        }
        self.verdict = if seen.is_empty() { Verdict::Passed } else { Verdict::Failed(seen) };
        self
    }

    /// Whether it was done and all is well.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// Lines for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match &self.verdict {
            Verdict::Skipped(why) => vec![format!("{}: skipped: {why}", self.part)],
            verdict => {
                let mut lines = vec![
                    format!(
                        "{}: {}: {} without service, {} writes acknowledged, {} lost",
                        self.part,
                        verdict.word(),
                        precise(self.seconds_without_service),
                        self.acknowledged,
                        self.lost
                    ),
                    format!("  service: {}", self.served_by.join(", then ")),
                ];
                if let Verdict::Failed(why) = verdict {
                    lines.extend(why.iter().map(|why| format!("  failed: {why}")));
                }
                lines.extend(self.moved.iter().map(|moved| format!("  moved: {moved}")));
                if !self.booted.is_empty() {
                    lines.push(format!("  booted anew: {}", self.booted.join(", ")));
                }
                lines.extend(self.fenced.iter().map(|fenced| format!("  fenced: {fenced}")));
                lines.extend(self.drbd.iter().chain(&self.ocfs2).map(|line| format!("  {line}")));
                if let Some(seconds) = self.redundant_after {
                    lines.push(format!("  fully redundant again after {}", duration(seconds)));
                }
                lines
            }
        }
    }
}

/// Seconds with a tenth up to a minute, then as [`duration`].
#[must_use]
pub fn precise(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.1} s") } else { duration(seconds) }
}

/// A table, a line each: what is left of a drill when it is over.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:17} {:8} {:>16} {:>13} {:>5} {:>15}",
        "part", "", "without service", "acknowledged", "lost", "redundant after"
    )];
    lines.extend(outcomes.iter().map(|outcome| {
        if let Verdict::Skipped(why) = &outcome.verdict {
            return format!("{:17} skipped  {why}", outcome.part.id());
        }
        let redundant = outcome.redundant_after.map_or_else(|| "not".to_owned(), duration);
        format!(
            "{:17} {:8} {:>16} {:>13} {:>5} {redundant:>15}",
            outcome.part.id(),
            outcome.verdict.word(),
            precise(outcome.seconds_without_service),
            outcome.acknowledged,
            outcome.lost
        )
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Outcome {
        Outcome { acknowledged: 100, redundant_after: Some(70.0), ..Outcome::skipped(Part::Power, "") }
    }

    #[test]
    fn a_lost_write_fails_it_whatever_else_is_well() {
        assert_eq!(measured().judged(Vec::new()).verdict, Verdict::Passed);
        let lost = Outcome { lost: 1, ..measured() }.judged(Vec::new());
        assert!(matches!(&lost.verdict, Verdict::Failed(why) if why[0].contains("1 writes")), "{:?}", lost.verdict);
    }

    #[test]
    fn what_was_not_measured_or_did_not_come_back_has_not_passed() {
        assert!(!Outcome { acknowledged: 0, ..measured() }.judged(Vec::new()).passed());
        assert!(!Outcome { redundant_after: None, ..measured() }.judged(Vec::new()).passed());
        assert!(!measured().judged(vec!["split brain".to_owned()]).passed());
        assert!(!Outcome::skipped(Part::Power, "no fencing").passed());
    }

    #[test]
    fn it_survives_the_journal() {
        for outcome in
            [measured().judged(Vec::new()), measured().judged(vec!["x".into()]), Outcome::skipped(Part::Kill, "y")]
        {
            let text = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
        }
    }
}

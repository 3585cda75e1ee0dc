//! What a part must not have done to the nodes: who may boot anew, who has to take over; and what must have been noticed of it.

use std::collections::BTreeSet;

use super::super::outcome::Outcome;
use super::super::part::Part;

/// What is not as it must be, a sentence each. `nodes` are the one that was harmed and the other.
pub(super) fn of(outcome: &Outcome, nodes: Option<&[String; 2]>, second_link: bool) -> Vec<String> {
    let mut seen = Vec::new();
    let booted = &outcome.booted;
    if booted.len() > 1 {
        seen.push(format!("{} booted anew, both of them: nobody was left to take over", booted.join(" and ")));
    }
    let Some([harmed, other]) = nodes else { return seen };
    let ends = matches!(outcome.part, Part::Halt | Part::Power | Part::Panic);
    if (ends || outcome.part == Part::Standby) && !outcome.served_by.contains(other) {
        seen.push(format!("{other} did not take over"));
    }
    if ends && booted.contains(other) && booted.len() == 1 {
        seen.push(format!("{other} booted anew, and not {harmed}"));
    }
    let quiet = match outcome.part {
        Part::Migrate | Part::Standby | Part::DiskError => true,
        Part::ClusterLink => second_link,
        _ => false,
    };
    if quiet {
        seen.extend(booted.iter().map(|node| format!("{node} booted anew, for which there was no reason")));
    }
    let apart = outcome.part == Part::BothLinks || (outcome.part == Part::ClusterLink && !second_link);
    if apart && booted.is_empty() {
        seen.push("no node was fenced although the two could not see each other".to_owned());
    }
    seen
}

/// What must not have been noticed, and what must have been for the harm to be one, a sentence each; `held` is for how many
/// seconds it was looked for.
pub(super) fn unnoticed(part: Part, noticed: &BTreeSet<&'static str>, held: f64) -> Vec<String> {
    let mut seen = Vec::new();
    if noticed.contains("split-brain") {
        seen.push("split brain: both sides have written apart".to_owned());
    }
    let wanted: &[&str] = match part {
        Part::Standby => &["node-standby"],
        Part::DiskError => &["diskless"],
        // Of the counter at least the cluster remembers that it ended.
        Part::Kill => &["action-failed"],
        Part::ClusterLink => &["link-down", "node-unclean", "node-offline"],
        Part::ReplicationLink => &["disconnected", "standalone", "node-unclean", "node-offline", "node-unreachable"],
        Part::BothLinks | Part::FencingDead => &["node-unclean", "node-offline", "node-unreachable"],
        Part::Migrate | Part::Halt | Part::Power | Part::Panic => &[],
    };
    if !wanted.is_empty() && !wanted.iter().any(|name| noticed.contains(name)) {
        let what = "the pair noticed nothing of it, so nothing was proved";
        seen.push(format!("{what} (looked for {} in {held:.0} s)", wanted.join(", ")));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(part: Part, booted: &[&str], served_by: &[&str]) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let outcome = Outcome { booted: words(booted), served_by: words(served_by), ..Outcome::skipped(part, "") };
        of(&outcome, Some(&["node1".to_owned(), "node2".to_owned()]), true)
    }

    #[test]
    fn a_power_cut_that_takes_both_nodes_has_not_passed() {
        assert_eq!(after(Part::Power, &["node1", "node2"], &["node1"]).len(), 2);
        assert_eq!(after(Part::Power, &["node1"], &["node1", "node2"]), [""; 0]);
        assert!(after(Part::Panic, &["node2"], &["node1", "node2"])[0].contains("not node1"));
    }

    #[test]
    fn what_needs_no_boot_fails_with_one() {
        for part in [Part::Migrate, Part::Standby, Part::DiskError, Part::ClusterLink] {
            assert_eq!(after(part, &[], &["node1", "node2"]), [""; 0], "{part}");
            assert!(after(part, &["node2"], &["node1", "node2"])[0].contains("no reason"), "{part}");
        }
        // Which side of a cut goes on is the cluster's choice; of a node that is dead it is not.
        assert_eq!(after(Part::BothLinks, &["node2"], &["node1"]), [""; 0]);
        assert_eq!(after(Part::ReplicationLink, &["node2"], &["node1"]), [""; 0]);
    }

    fn judged(part: Part, names: &[&'static str]) -> Vec<String> {
        unnoticed(part, &names.iter().copied().collect(), 60.0)
    }

    #[test]
    fn harm_that_nobody_noticed_proves_nothing() {
        for (part, word) in [
            (Part::Standby, "node-standby"),
            (Part::DiskError, "diskless"),
            (Part::Kill, "action-failed"),
            (Part::ClusterLink, "link-down"),
            (Part::ClusterLink, "node-unclean"),
            (Part::ReplicationLink, "disconnected"),
            (Part::ReplicationLink, "standalone"),
            (Part::BothLinks, "node-unreachable"),
            (Part::FencingDead, "node-unclean"),
        ] {
            assert!(judged(part, &[])[0].contains("nothing was proved"), "{part}");
            assert!(judged(part, &["ban-left", "resync"])[0].contains(word), "{part}");
            assert_eq!(judged(part, &[word, "resync"]), [""; 0], "{part}");
        }
        // A node that boots is seen by its boot id.
        for part in [Part::Migrate, Part::Halt, Part::Power, Part::Panic] {
            assert_eq!(judged(part, &[]), [""; 0], "{part}");
        }
    }

    #[test]
    fn a_split_brain_fails_every_part() {
        for part in Part::ALL {
            let noticed = [
                "split-brain",
                "node-standby",
                "diskless",
                "action-failed",
                "link-down",
                "disconnected",
                "node-unclean",
            ];
            assert_eq!(judged(part, &noticed), ["split brain: both sides have written apart"], "{part}");
        }
        // Two sides that only don't talk are none.
        assert_eq!(judged(Part::ReplicationLink, &["standalone", "disconnected"]), [""; 0]);
    }

    #[test]
    fn a_cut_of_everything_has_to_end_in_fencing() {
        assert!(after(Part::BothLinks, &[], &["node1"])[0].contains("no node was fenced"));
        assert_eq!(after(Part::FencingDead, &[], &["node1"]), [""; 0]);
    }
}

//! What a part must not have done to the nodes: who may boot anew, who has to take over.

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

    #[test]
    fn a_cut_of_everything_has_to_end_in_fencing() {
        assert!(after(Part::BothLinks, &[], &["node1"])[0].contains("no node was fenced"));
        assert_eq!(after(Part::FencingDead, &[], &["node1"]), [""; 0]);
    }
}

//! What must be so before anything is changed: the nodes compared with each other and with the answers.
//!
//! [`gather`] asks the nodes for what the survey does not tell (names, ports, packages, clocks) and lets them talk to each
//! other; [`findings`] judges all of it at once and is pure. Every finding has the name of a check in [`checks::CHECKS`], by
//! which `--ignore` drops it. Whoever asks a person (the wizard) calls [`gather`] and [`findings`] as `hapair check` does.

pub mod asked;
mod belongings;
mod capacity;
pub mod checks;
mod machine;
mod network;
#[cfg(test)]
pub(crate) mod samples;
mod software;
pub mod wire;

use crate::answers::{Answers, HypervisorKind, Layout};
use crate::event::Failure;
use crate::facts::Facts;
use crate::node::{At, Lost, Pair};
use crate::platform::Platform;
use crate::setup::refused;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Name of the check.
    pub name: &'static str,
    /// Node; `None` when it is about both.
    pub node: Option<String>,
    /// Refuses the install.
    pub error: bool,
    /// What was seen.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub next: String,
}

impl Finding {
    /// One that refuses.
    pub fn error(name: &'static str, node: Option<&str>, what: String, next: &str) -> Self {
        let check = checks::find(name);
        debug_assert!(check.is_some(), "{name} is not in the table");
        let why = check.map_or("", |check| check.why);
        Self { name, node: node.map(str::to_owned), error: true, what, why, next: next.to_owned() }
    }

    /// One that only warns.
    pub fn warning(name: &'static str, node: Option<&str>, what: String, next: &str) -> Self {
        Self { error: false, ..Self::error(name, node, what, next) }
    }

    /// `node1: what was seen`.
    pub fn sentence(&self) -> String {
        match &self.node {
            Some(node) => format!("{node}: {}", self.what),
            None => self.what.clone(),
        }
    }
}

/// All that is known of the pair.
pub struct Evidence<'a> {
    /// What the user decided.
    pub answers: &'a Answers,
    /// What the nodes are.
    pub facts: &'a [Facts; 2],
    /// Their platforms, or why there is none.
    pub platforms: &'a [Result<Platform, String>; 2],
    /// What they were asked.
    pub asked: [asked::Asked; 2],
    /// What passes between them.
    pub wire: wire::Wire,
    /// They are throw-away machines.
    pub rehearsal: bool,
}

impl Evidence<'_> {
    fn name(&self, at: At) -> &str {
        &self.answers.nodes[at.index()].name
    }

    fn fact(&self, at: At) -> &Facts {
        &self.facts[at.index()]
    }

    fn platform(&self) -> Option<&Platform> {
        self.platforms[0].as_ref().ok()
    }

    fn uses_xen(&self) -> bool {
        self.answers.hypervisor.kind == HypervisorKind::Xen
    }

    fn uses_ocfs2(&self) -> bool {
        self.answers.storage.layout == Layout::Ocfs2
    }

    /// Our resource runs there.
    fn has_resource(&self, at: At) -> bool {
        has_resource(self.answers, self.fact(at))
    }

    /// It is a node of this cluster.
    fn is_ours(&self, at: At) -> bool {
        is_ours(self.answers, self.fact(at))
    }
}

fn has_resource(answers: &Answers, facts: &Facts) -> bool {
    let resource = &answers.storage.resource;
    facts.presence.drbd_disks.iter().any(|drbd| drbd.resource == *resource || drbd.resource.is_empty())
}

fn is_ours(answers: &Answers, facts: &Facts) -> bool {
    let presence = &facts.presence;
    let same = |theirs: &[String]| {
        let mut theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
        let mut ours = answers.nodes.each_ref().map(|node| node.name.as_str());
        theirs.sort_unstable();
        ours.sort_unstable();
        theirs == ours
    };
    (presence.corosync_cluster == answers.cluster && same(&presence.corosync_nodes)) || same(&presence.heartbeat_nodes)
}

/// Whether both nodes are members of the pair already, with the mirror running: then there is nothing to be installed, and
/// nothing to be measured before.
pub fn is_a_pair(answers: &Answers, facts: &[Facts; 2]) -> bool {
    facts.iter().all(|facts| is_ours(answers, facts) && has_resource(answers, facts))
}

/// Asks both nodes at once for what depends on the answers, then lets them talk to each other. `packages` are the names that
/// the install wants.
///
/// # Errors
/// The node that could not be asked.
pub fn gather<'a>(
    pair: &Pair,
    answers: &'a Answers,
    facts: &'a [Facts; 2],
    platforms: &'a [Result<Platform, String>; 2],
    packages: &[String],
    rehearsal: bool,
) -> Result<Evidence<'a>, (At, Lost)> {
    let [first, second] = At::both(|at| asked::ask(pair.at(at), answers, packages, at));
    let asked = [first.map_err(|lost| (At::First, lost))?, second.map_err(|lost| (At::Second, lost))?];
    let mut evidence = Evidence { answers, facts, platforms, asked, wire: wire::Wire::default(), rehearsal };
    if let Some(platform) = evidence.platform() {
        let used = evidence.asked.each_ref().map(|asked| asked.used.clone());
        evidence.wire = measure(pair, answers, &platform.messaging, facts, &used)?;
    }
    Ok(evidence)
}

/// Lets the nodes talk, where there is a way that they could.
///
/// # Errors
/// The node that could not be asked.
pub fn measure(
    pair: &Pair,
    answers: &Answers,
    messaging: &str,
    facts: &[Facts; 2],
    used: &[wire::Used; 2],
) -> Result<wire::Wire, (At, Lost)> {
    let there = facts.iter().zip(&answers.nodes).all(|(facts, node)| facts.link(node.address).is_some());
    let two = facts[0].identity.boot_id != facts[1].identity.boot_id;
    if there && two { wire::measure(pair, answers, messaging, facts, used) } else { Ok(wire::Wire::default()) }
}

/// The same, where nothing else was asked yet; one round trip more.
///
/// # Errors
/// The node that could not be asked.
pub fn measure_now(
    pair: &Pair,
    answers: &Answers,
    messaging: &str,
    facts: &[Facts; 2],
) -> Result<wire::Wire, (At, Lost)> {
    let reads = [wire::Used::read()];
    let used = pair.read_both([&reads, &reads])?.map(|outputs| wire::Used::parse(&outputs[0].text()));
    measure(pair, answers, messaging, facts, &used)
}

/// What is known without asking more than the survey did.
pub fn without_asking<'a>(
    answers: &'a Answers,
    facts: &'a [Facts; 2],
    platforms: &'a [Result<Platform, String>; 2],
    rehearsal: bool,
) -> Evidence<'a> {
    Evidence { answers, facts, platforms, asked: Default::default(), wire: wire::Wire::default(), rehearsal }
}

/// Everything that was found, in the order of the checks' groups.
pub fn findings(evidence: &Evidence<'_>) -> Vec<Finding> {
    const GROUPS: [fn(&Evidence<'_>, &mut Vec<Finding>); 16] = [
        machine::identity,
        machine::release,
        machine::names,
        machine::kernel,
        capacity::processors,
        capacity::memory,
        machine::clock,
        network::links,
        network::ports,
        network::quality,
        network::surroundings,
        software::packages,
        belongings::clustered,
        belongings::drbd,
        belongings::devices,
        belongings::fencing,
    ];
    let mut found = Vec::new();
    for group in GROUPS {
        group(evidence, &mut found);
    }
    found
}

/// Takes those out that are to be ignored; gives them.
pub fn ignored(findings: &mut Vec<Finding>, names: &[String]) -> Vec<Finding> {
    let (out, left) = findings.drain(..).partition(|finding| names.iter().any(|name| name == finding.name));
    *findings = left;
    out
}

/// Refuses when any finding is an error.
///
/// # Errors
/// A [`Failure`] with exit code 4 that says all of them.
pub fn refuse(findings: &[Finding]) -> Result<(), Failure> {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.error).collect();
    match errors[..] {
        [] => Ok(()),
        [one] => Err(refused(one.node.as_deref(), format!("{} ({})", one.what, one.name), &one.next)),
        _ => {
            let all: Vec<String> =
                errors.iter().map(|finding| format!("{} ({})", finding.sentence(), finding.name)).collect();
            let what = format!("{} things stand in the way: {}", errors.len(), all.join("; "));
            Err(refused(None, what, "`hapair check` with the same answers says what to do about each"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::Sample;
    use super::*;

    #[test]
    fn a_sound_pair_has_no_findings() {
        let sample = Sample::default();
        assert!(sample.find().is_empty(), "{:?}", sample.find());
        assert!(!is_a_pair(&sample.answers, &sample.facts));
    }

    #[test]
    fn what_is_ignored_is_gone_and_told() {
        let mut sample = Sample::default();
        sample.facts[0].cpu.vendor = "GenuineIntel".to_owned();
        sample.facts[0].machine_memory_mib = 100;
        let mut findings = sample.find();
        let failure = refuse(&findings).expect_err("refused");
        assert_eq!(failure.exit, crate::exit::PREFLIGHT);
        assert!(
            failure.what.starts_with("2 things stand in the way: ")
                && failure.what.contains("(cpu-vendor); node1: it has 100 MiB"),
            "{}",
            failure.what
        );
        let gone = ignored(&mut findings, &["cpu-vendor".to_owned()]);
        assert_eq!((gone.len(), findings.len(), findings[0].name), (1, 1, "memory"));
        let failure = refuse(&findings).expect_err("refused");
        assert_eq!(failure.node.as_deref(), Some("node1"));
        ignored(&mut findings, &["memory".to_owned()]);
        assert!(refuse(&findings).is_ok());
    }

    #[test]
    fn a_finished_pair_is_known_by_its_cluster_and_its_mirror() {
        let mut sample = Sample::default();
        for facts in &mut sample.facts {
            facts.presence.corosync_cluster = "pair".to_owned();
            facts.presence.corosync_nodes = vec!["node2".to_owned(), "node1".to_owned()];
            facts.presence.drbd_disks =
                vec![crate::facts::presence::DrbdDisk { resource: "r0".to_owned(), disk: "/dev/sda3".to_owned() }];
        }
        assert!(is_a_pair(&sample.answers, &sample.facts) && sample.find().is_empty());
        sample.facts[1].presence.drbd_disks.clear();
        assert!(!is_a_pair(&sample.answers, &sample.facts));
    }
}

//! The eleven parts of a drill, as data: what is done, what comes back by itself, what the pair must have.

use serde::{Deserialize, Serialize};

use crate::answers::{Answers, FencingMethod, Layout};
use crate::status::{Device, Standing};
use crate::variables::live;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// There and back
    Migrate,
    /// A node in standby, and back
    Standby,
    /// An orderly shutdown of a node
    Halt,
    /// Loss of a node's power
    Power,
    /// A kernel panic
    Panic,
    /// Corosync's first link cut
    ClusterLink,
    /// DRBD's and O2CB's link cut
    ReplicationLink,
    /// Everything between the nodes cut
    BothLinks,
    /// The same, and what fences is dead too
    FencingDead,
    /// The service, the VMs, pacemakerd and corosync killed
    Kill,
    /// The disk under DRBD gone
    DiskError,
}

/// What a pair has, as far as parts depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Means {
    /// Nothing more to be said when a node that is dead can be fenced; else why not.
    pub fencing: Result<(), String>,
    /// Whether fencing goes other ways than the links between the nodes; else why not.
    pub fencing_apart: Result<(), String>,
    /// Addresses of the BMCs, where it is BMCs that fence.
    pub bmcs: Vec<String>,
    /// There is a second link for Corosync.
    pub second_link: bool,
    /// VMs move while they run.
    pub live: bool,
    /// The tutorial's layout, which is what the drill knows to measure.
    pub shared_mount: bool,
}

impl Means {
    /// Of a pair as it stands. A rehearsal's machines are reached by SSH as long as they live, and hold nothing.
    #[must_use]
    pub fn of(answers: &Answers, standing: &Standing, rehearsal: bool) -> Self {
        let method = &answers.fencing.method;
        let served = |node: &str| standing.fencing.devices.iter().any(|device| method.usable(&device.nodes, node));
        let fencing = if standing.fencing.enabled != Some(true) {
            Err("fencing is off".to_owned())
        } else if let Some(node) = answers.nodes.iter().find(|node| !served(&node.name)) {
            Err(format!("no fencing device runs on {}", node.name))
        } else if method.uses_ssh() && !rehearsal {
            Err("fencing is by SSH, which can't switch off a node that is dead".to_owned())
        } else {
            Ok(())
        };
        let fencing_apart = match (&fencing, method) {
            (Err(why), _) => Err(why.clone()),
            (Ok(()), FencingMethod::Ssh) => Err("fencing by SSH goes over the very links that are cut".to_owned()),
            (Ok(()), _) => Ok(()),
        };
        Self {
            fencing,
            fencing_apart,
            bmcs: bmcs(method),
            second_link: answers.nodes.iter().all(|node| node.second_address.is_some()),
            live: live(answers),
            shared_mount: answers.storage.layout == Layout::Ocfs2,
        }
    }

    /// Of a pair that was harmed and is mended before anything else: the most that it can do then. What of its fencing is
    /// down now says nothing.
    #[must_use]
    pub fn once_mended(answers: &Answers, standing: &Standing, rehearsal: bool) -> Self {
        let mut standing = standing.clone();
        standing.fencing.enabled = Some(true);
        let nodes = answers.nodes.iter().map(|node| node.name.clone()).collect();
        standing.fencing.devices = vec![Device { id: String::new(), agent: String::new(), nodes, monitor: None }];
        Self::of(answers, &standing, rehearsal)
    }
}

/// Addresses of the BMCs where nothing else fences; with another device, which can't be cut off from here, none.
fn bmcs(method: &FencingMethod) -> Vec<String> {
    match method {
        FencingMethod::Ipmi { nodes } => nodes.iter().map(|bmc| bmc.address.clone()).collect(),
        FencingMethod::Levels { methods } => {
            let only = |method: &FencingMethod| matches!(method, FencingMethod::Ipmi { .. } | FencingMethod::Manual);
            if methods.iter().all(only) { methods.iter().flat_map(bmcs).collect() } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

impl Part {
    /// All, in order: from what is asked for every week to what nobody wants to see.
    pub const ALL: [Part; 11] = [
        Part::Migrate,
        Part::Standby,
        Part::Halt,
        Part::Power,
        Part::Panic,
        Part::ClusterLink,
        Part::ReplicationLink,
        Part::BothLinks,
        Part::FencingDead,
        Part::Kill,
        Part::DiskError,
    ];

    /// Its name: `cluster-link`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Part::Migrate => "migrate",
            Part::Standby => "standby",
            Part::Halt => "halt",
            Part::Power => "power",
            Part::Panic => "panic",
            Part::ClusterLink => "cluster-link",
            Part::ReplicationLink => "replication-link",
            Part::BothLinks => "both-links",
            Part::FencingDead => "fencing-dead",
            Part::Kill => "kill",
            Part::DiskError => "disk-error",
        }
    }

    /// For a list.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Part::Migrate => "Move everything to the other node and back",
            Part::Standby => "Put a node in standby and take it back",
            Part::Halt => "Shut a node down in order, and let it return",
            Part::Power => "Cut off a node's power",
            Part::Panic => "Let a node's kernel panic",
            Part::ClusterLink => "Cut Corosync's first link",
            Part::ReplicationLink => "Cut the link of DRBD and O2CB",
            Part::BothLinks => "Cut everything between the nodes",
            Part::FencingDead => "Cut everything between the nodes, and what fences",
            Part::Kill => "Kill the service, the VMs, pacemakerd and corosync",
            Part::DiskError => "Take the disk away under DRBD",
        }
    }

    /// Whether it cuts links between the nodes: as long as those are cut, no waiting for a node's answer may hold up anything.
    #[must_use]
    pub fn cuts_links(self) -> bool {
        matches!(self, Part::ClusterLink | Part::ReplicationLink | Part::BothLinks | Part::FencingDead)
    }

    /// What ends it, in words.
    #[must_use]
    pub fn restored(self) -> &'static str {
        match self {
            Part::Migrate => "the constraints are taken back; by themselves they end after 30 minutes",
            Part::Standby => {
                "the node is taken out of standby; a timer on it does so after 15 minutes, whatever happens here"
            }
            Part::Halt => "the node boots, joins the cluster and DRBD copies what it missed",
            Part::Power => {
                "the node boots by itself or is switched on by fencing. A reset by the kernel without a word to the disks is \
                 as near to a power cut as software gets: what is in a disk's own cache is not lost by it"
            }
            Part::Panic => "fencing switches the node off and on; a kernel with `panic=SECONDS` boots by itself",
            Part::FencingDead => {
                "the filters are taken away; timers on the nodes do so after 2 minutes between the nodes and after 10 to what \
                 fences, whatever happens here"
            }
            Part::ClusterLink | Part::ReplicationLink | Part::BothLinks => {
                "the filter is taken away; a timer on the node does so after 10 minutes, whatever happens here"
            }
            Part::Kill => {
                "the cluster starts again what was killed, or fences the node; failures are forgotten at the end"
            }
            Part::DiskError => {
                "the disk is attached and DRBD copies what it missed; a timer on the node does so after 10 minutes, \
                 whatever happens here"
            }
        }
    }

    /// What must be so for it to have passed, beside no write lost and the pair redundant again.
    #[must_use]
    pub fn expected(self) -> &'static str {
        match self {
            Part::Migrate => {
                "the service runs on the other node, then on the first one again; VMs move live where the hypervisor can"
            }
            Part::Standby | Part::Halt => "what runs leaves first; the service goes on on the other node",
            Part::Power | Part::Panic => "the other node takes over once the lost one is fenced",
            Part::ClusterLink => "with a second link nothing happens; without one, one node fences the other",
            Part::ReplicationLink => "one side stops writing before the two differ: no split brain",
            Part::BothLinks => "one node fences the other and takes over: no split brain",
            Part::FencingDead => "nothing is taken over before a person confirms: no split brain",
            Part::Kill => "the cluster starts what was killed again, or fences its node",
            Part::DiskError => "the service goes on with the peer's disk",
        }
    }

    /// Why this pair can't do it; `None`: it can.
    #[must_use]
    pub fn refused(self, means: &Means) -> Option<String> {
        match self {
            Part::Migrate | Part::Standby | Part::Halt | Part::DiskError => None,
            Part::ClusterLink if means.second_link => None,
            Part::Power | Part::Panic | Part::ClusterLink | Part::ReplicationLink | Part::Kill => {
                means.fencing.clone().err()
            }
            Part::BothLinks => means.fencing_apart.clone().err(),
            Part::FencingDead => means.fencing_apart.clone().err().or_else(|| {
                means.bmcs.is_empty().then(|| {
                    "only BMCs (fencing.method ipmi, or levels of it and manual) can be cut off from here; what fences \
                     this pair can't"
                        .to_owned()
                })
            }),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}

/// The parts asked for, in their order, each once; all if none is named.
#[must_use]
pub fn asked(only: &[Part]) -> Vec<Part> {
    Part::ALL.into_iter().filter(|part| only.is_empty() || only.contains(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means() -> Means {
        Means {
            fencing: Ok(()),
            fencing_apart: Ok(()),
            bmcs: vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()],
            second_link: true,
            live: true,
            shared_mount: true,
        }
    }

    #[test]
    fn a_pair_with_bmcs_and_two_links_does_all_of_them() {
        assert!(Part::ALL.iter().all(|part| part.refused(&means()).is_none()));
    }

    #[test]
    fn without_fencing_only_what_needs_none_is_done() {
        let dead = Means { fencing: Err("no".into()), fencing_apart: Err("no".into()), second_link: false, ..means() };
        let done: Vec<&str> =
            Part::ALL.into_iter().filter(|part| part.refused(&dead).is_none()).map(Part::id).collect();
        assert_eq!(done, ["migrate", "standby", "halt", "disk-error"]);
    }

    #[test]
    fn ssh_can_not_fence_over_a_link_that_is_cut() {
        let ssh = Means { fencing_apart: Err("over the links".into()), bmcs: Vec::new(), ..means() };
        assert_eq!(Part::Power.refused(&ssh), None);
        assert_eq!(Part::BothLinks.refused(&ssh).as_deref(), Some("over the links"));
        let agent = Means { bmcs: Vec::new(), ..means() };
        assert!(Part::FencingDead.refused(&agent).is_some_and(|why| why.contains("BMCs")));
    }

    #[test]
    fn one_device_of_sbd_serves_both_nodes_and_one_of_a_bmc_does_not() {
        let sbd = FencingMethod::Sbd { devices: vec!["/dev/sdz".to_owned()], watchdog: "/dev/watchdog".to_owned() };
        let running = ["node1".to_owned()];
        assert!(sbd.usable(&running, "node1") && sbd.usable(&running, "node2") && !sbd.usable(&[], "node1"));
        assert!(ipmi("192.0.2.1").usable(&running, "node1") && !ipmi("192.0.2.1").usable(&running, "node2"));
    }

    fn ipmi(first: &str) -> FencingMethod {
        let bmc = |address: &str| crate::answers::Bmc {
            address: address.to_owned(),
            user: "u".to_owned(),
            password: crate::answers::Secret::new("p"),
        };
        FencingMethod::Ipmi { nodes: Box::new([bmc(first), bmc("bmc2.example")]) }
    }

    #[test]
    fn bmcs_are_those_of_every_level_unless_something_else_fences_too() {
        assert_eq!(bmcs(&ipmi("bmc1.example")), ["bmc1.example", "bmc2.example"]);
        let levels = |methods| bmcs(&FencingMethod::Levels { methods });
        assert_eq!(levels(vec![ipmi("192.0.2.1"), FencingMethod::Manual]), ["192.0.2.1", "bmc2.example"]);
        // A PDU behind them would fence after all, and can't be cut off.
        let pdu = FencingMethod::Agent { name: "fence_apc_snmp".to_owned(), nodes: Box::default() };
        assert_eq!(levels(vec![ipmi("192.0.2.1"), pdu, FencingMethod::Manual]), [""; 0]);
        assert_eq!(bmcs(&FencingMethod::Ssh), [""; 0]);
    }

    #[test]
    fn a_pair_that_is_mended_first_is_not_judged_by_what_is_down_now() {
        let file = include_str!("../../tests/examples/tutorial.yaml");
        let here = std::path::Path::new("pair.yaml");
        let load = crate::answers::load::text(file, here, here, &|_| None, crate::answers::load::Secrets::Leave);
        let mut answers = load.unwrap().answers;
        let gone = || Err(crate::node::Lost::Unreachable("off".to_owned()));
        let standing = Standing::of(&answers, [gone(), gone()]);
        assert!(Part::Power.refused(&Means::of(&answers, &standing, false)).is_some());
        assert_eq!(Part::FencingDead.refused(&Means::once_mended(&answers, &standing, false)), None);
        // What the answers themselves rule out stays ruled out.
        answers.fencing.method = FencingMethod::Ssh;
        assert!(Part::Power.refused(&Means::once_mended(&answers, &standing, false)).is_some());
    }

    #[test]
    fn parts_are_done_in_their_order_and_once() {
        assert_eq!(asked(&[Part::Kill, Part::Migrate, Part::Kill]), [Part::Migrate, Part::Kill]);
        assert_eq!(asked(&[]).len(), 11);
        let names: Vec<String> = Part::ALL.iter().map(|part| serde_json::to_string(part).unwrap()).collect();
        assert_eq!(names, Part::ALL.map(|part| format!("\"{}\"", part.id())));
    }
}

//! A pair on which nothing is to be found, for the tests of the checks: each breaks one thing.

use std::net::Ipv4Addr;
use std::path::Path;

use super::asked::{Asked, Offset, Sources};
use super::wire::Wire;
use super::{Evidence, Finding, findings};
use crate::answers::{Answers, Secrets, load};
use crate::facts::disk::{Disk, Part};
use crate::facts::link::{Address, Link};
use crate::facts::{Facts, cpu, identity, kernel};
use crate::platform::Platform;
use crate::step::Catalog;

const ANSWERS: &str = "\
cluster: pair
nodes:
  - { name: node1, ssh: root@192.0.2.1, address: 10.77.0.1, second_address: 10.78.0.1 }
  - { name: node2, ssh: root@192.0.2.2, address: 10.77.0.2, second_address: 10.78.0.2 }
storage: { device: /dev/sda3 }
FENCING
vms: [{ name: vm01, bridge: br0 }, { name: vm02 }]
";

const BMCS: &str = "fencing:
  method: ipmi
  node1: { address: 192.0.2.11, user: u, password: p }
  node2: { address: 192.0.2.12, user: u, password: p }
";

/// With another `fencing:`.
pub(crate) fn answers_with(fencing: &str) -> Answers {
    let text = ANSWERS.replace("FENCING", fencing);
    load::text(&text, Path::new("answers.yaml"), Path::new("/nonexistent"), &|_| None, Secrets::Leave)
        .expect("sound answers")
        .answers
}

pub(crate) fn answers() -> Answers {
    answers_with(BMCS)
}

pub(crate) fn platform(id: &str) -> Platform {
    let platforms = Platform::load(&Catalog::load(None).expect("steps").platforms).expect("platforms");
    Platform::named(id, &platforms).expect("a platform").clone()
}

fn link(name: &str, mac: &str, address: [u8; 4], mtu: u32, kind: &str) -> Link {
    Link {
        name: name.to_owned(),
        mac: mac.to_owned(),
        state: "up".to_owned(),
        carrier: Some(true),
        megabits: Some(1000),
        mtu,
        kind: kind.to_owned(),
        addresses: vec![Address { address: Ipv4Addr::from(address), prefix: 24 }],
        ..Link::default()
    }
}

fn node(number: u8) -> Facts {
    Facts {
        hostname: format!("node{number}"),
        kernel: kernel::Kernel {
            release: "6.1.0-56-amd64".to_owned(),
            machine: "x86_64".to_owned(),
            drbd: Some("8.4.11".to_owned()),
            drbd_loaded: false,
            ocfs2: Some(true),
            dom0: Some(true),
            secure_boot: false,
        },
        identity: identity::Identity {
            boot_id: format!("boot-{number}"),
            machine_id: format!("machine-{number}"),
            dmi_uuid: format!("4c4c4544-0051-3510-8050-b9c04f4a4e3{number}"),
            product: "Dell R650".to_owned(),
            host_keys: vec![format!("SHA256:{number}")],
        },
        cpu: cpu::Cpu {
            vendor: "AuthenticAMD".to_owned(),
            model: "AMD EPYC 7763".to_owned(),
            count: 8,
            flags: ["fpu", "svm", "sse4a"].map(str::to_owned).into(),
        },
        memory_mib: 4096,
        machine_memory_mib: 4096,
        links: vec![
            link("eth1", &format!("52:54:00:00:01:0{number}"), [10, 77, 0, number], 9000, "ethernet"),
            link("eth2", &format!("52:54:00:00:02:0{number}"), [10, 78, 0, number], 1500, "ethernet"),
            link("br0", &format!("52:54:00:00:00:0{number}"), [192, 0, 2, number], 1500, "bridge"),
        ],
        disks: vec![Disk {
            name: "sda".to_owned(),
            bytes: 10 << 30,
            transport: "sata".to_owned(),
            parts: vec![Part { path: "/dev/sda3".to_owned(), number: 3, bytes: 2 << 30, ..Part::default() }],
            ..Disk::default()
        }],
        ..Facts::default()
    }
}

pub(crate) fn facts() -> [Facts; 2] {
    [node(1), node(2)]
}

/// Evidence that one can change.
pub(crate) struct Sample {
    pub(crate) answers: Answers,
    pub(crate) facts: [Facts; 2],
    pub(crate) platforms: [Result<Platform, String>; 2],
    pub(crate) asked: [Asked; 2],
    pub(crate) wire: Wire,
    pub(crate) rehearsal: bool,
}

impl Default for Sample {
    fn default() -> Self {
        let asked = |own: u8, peer: u8| Asked {
            own: vec![Ipv4Addr::new(10, 77, 0, own)],
            peer: vec![Ipv4Addr::new(10, 77, 0, peer)],
            sources: Sources { asked: true, ..Sources::default() },
            clock: Some(Offset { millis: 0, unsure: 1 }),
            ..Asked::default()
        };
        Self {
            answers: answers(),
            facts: facts(),
            platforms: [(); 2].map(|()| Ok(platform("debian-12"))),
            asked: [asked(1, 2), asked(2, 1)],
            wire: Wire::default(),
            rehearsal: false,
        }
    }
}

impl Sample {
    pub(crate) fn find(&self) -> Vec<Finding> {
        findings(&Evidence {
            answers: &self.answers,
            facts: &self.facts,
            platforms: &self.platforms,
            asked: self.asked.clone(),
            wire: self.wire.clone(),
            rehearsal: self.rehearsal,
        })
    }

    /// Names of all that is found, in order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.find().into_iter().map(|finding| finding.name).collect()
    }
}

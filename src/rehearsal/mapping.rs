//! The user's answers on the lab's machines: names, layout and VMs stay, addresses and sizes become the lab's.

use std::net::Ipv4Addr;

use super::lab::Sbd;
use crate::answers::{
    Answers, Bmc, Cib, Create, Fencing, FencingMethod, Hypervisor, HypervisorKind, Image, InitialSync, LabHypervisor,
    Layout, NodeAnswers, Packages, Reach, Secret, Start, Storage, SyncRate, Vm, VmSource,
};

/// Cluster addresses of the machines.
pub const CLUSTER: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];
/// Addresses of the second link.
pub const SECOND: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 78, 0, 1), Ipv4Addr::new(10, 78, 0, 2)];
/// Size of the DRBD partition.
pub const DATA_MIB: u64 = 512;
/// Size of a VM's disk.
const DISK_BYTES: u64 = 32 << 20;
/// Memory of a VM.
const MEMORY_MIB: u64 = 128;

/// What the machines are, as far as the answers have to know.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Path of the backing device.
    pub device: String,
    /// What runs the VMs on them.
    pub hypervisor: LabHypervisor,
    /// Their BMCs.
    pub bmcs: [Bmc; 2],
    /// Their shared disk and watchdogs.
    pub sbd: Option<Sbd>,
}

/// What is rehearsed when the user has no answers yet: the tutorial's pair with two VMs.
pub fn tutorial() -> Answers {
    let node = |name: &str, address| NodeAnswers {
        name: name.to_owned(),
        ssh: Reach::Ssh { user: "root".to_owned(), host: name.to_owned(), port: 22 },
        host_key: None,
        address,
        second_address: None,
        device: "/dev/sda3".to_owned(),
        erase: None,
    };
    let vm = |name: &str, prefer: &str| Vm {
        name: name.to_owned(),
        source: VmSource::Made {
            memory_mib: MEMORY_MIB,
            vcpus: 1,
            disk_bytes: DISK_BYTES,
            image: Image::Demo,
            bridge: None,
        },
        prefer: Some(prefer.to_owned()),
    };
    Answers {
        cluster: "xencluster".to_owned(),
        platform: "auto".to_owned(),
        nodes: [node("node1", CLUSTER[0]), node("node2", CLUSTER[1])],
        storage: Storage {
            create: Create::Rest,
            layout: Layout::Ocfs2,
            resource: "r0".to_owned(),
            port: 7788,
            mount: "/drbd0".to_owned(),
            initial_sync: InitialSync::Full,
            sync_rate: SyncRate::Auto,
            start: Start::Cluster,
        },
        hypervisor: Hypervisor { kind: HypervisorKind::Xen, dom0_memory_mib: 1024, lab: None },
        packages: Packages { mirror: None },
        fencing: Fencing {
            method: FencingMethod::Ipmi { nodes: Box::new(placeholders()) },
            accept_unsafe_ssh: false,
            accept_unsafe_softdog: false,
            skip_proof: false,
        },
        cib: Cib { stickiness: "INFINITY".to_owned(), failure_stickiness: "-500".to_owned() },
        vms: vec![vm("vm01", "node1")],
    }
}

/// Puts the answers on the lab's ground; gives what was put in place of what, a line each.
pub fn onto(mut answers: Answers, ground: &Ground) -> (Answers, Vec<String>) {
    let mut lines = Vec::new();
    let mut change = |what: String, from: String, to: &str| {
        if from != to {
            lines.push(format!("{what}: {from} becomes {to}"));
        }
    };
    for (index, node) in answers.nodes.iter_mut().enumerate() {
        let place = |key: &str| format!("nodes[{index}].{key}");
        change(place("address"), node.address.to_string(), &CLUSTER[index].to_string());
        node.address = CLUSTER[index];
        let second = node.second_address.map_or_else(|| "none".to_owned(), |address| address.to_string());
        change(place("second_address"), second, &SECOND[index].to_string());
        node.second_address = Some(SECOND[index]);
        change(place("device"), node.device.clone(), &ground.device);
        node.device.clone_from(&ground.device);
        node.erase = None;
        node.host_key = None;
    }
    change("packages.mirror".to_owned(), answers.packages.mirror.clone().unwrap_or_else(|| "none".to_owned()), "none");
    answers.packages.mirror = None;
    if let Create::Bytes(bytes) = answers.storage.create {
        change("storage.create".to_owned(), format!("{} MiB", bytes >> 20), "rest");
        answers.storage.create = Create::Rest;
    }
    if ground.hypervisor == LabHypervisor::StandIn {
        change(
            "hypervisor".to_owned(),
            "xen or kvm".to_owned(),
            "none: a small service on the shared mount stands in for each VM",
        );
    }
    answers.hypervisor.rehearse_on(ground.hypervisor);
    answers.hypervisor.dom0_memory_mib = 1024;
    fencing(&mut answers.fencing, ground, &mut change);
    for vm in &mut answers.vms {
        smaller(vm, &mut change);
    }
    (answers, lines)
}

/// BMCs that are not there yet: their addresses are known once the machines are made.
pub fn placeholders() -> [Bmc; 2] {
    let bmc = |address: &str| Bmc { address: address.to_owned(), user: "hapair".to_owned(), password: Secret::new("") };
    [bmc("the machine's BMC"), bmc("the machine's BMC")]
}

/// `ssh` stays what it is, and so does `sbd` where the machines have what it needs. All else uses the machines' own BMCs: `ipmi`
/// as it is, an agent as fence_ipmilan, levels with each of theirs so, since the machines have no power strip.
fn fencing(fencing: &mut Fencing, ground: &Ground, change: &mut dyn FnMut(String, String, &str)) {
    let from = fencing.method.name().to_owned();
    match (&mut fencing.method, &ground.sbd) {
        (FencingMethod::Sbd { devices, watchdog }, Some(own)) => {
            change("fencing.devices".to_owned(), devices.join(", "), &own.disk);
            change("fencing.watchdog".to_owned(), watchdog.clone(), &own.watchdog);
            *devices = vec![own.disk.clone()];
            watchdog.clone_from(&own.watchdog);
        }
        (method @ FencingMethod::Sbd { .. }, None) => {
            *method = FencingMethod::Ipmi { nodes: Box::new(ground.bmcs.clone()) }
        }
        (FencingMethod::Levels { methods }, _) => {
            for (index, method) in methods.iter_mut().enumerate() {
                by_bmc(method, &format!("fencing.levels[{index}]"), &ground.bmcs, change);
            }
        }
        (method, _) => by_bmc(method, "fencing", &ground.bmcs, change),
    }
    fencing.accept_unsafe_ssh = fencing.method.uses_ssh();
    // A QEMU machine has a watchdog of its own.
    fencing.accept_unsafe_softdog = fencing.method.uses_sbd() && ground.hypervisor == LabHypervisor::StandIn;
    change("fencing.method".to_owned(), from, fencing.method.name());
}

/// One method, with the machines' BMCs.
fn by_bmc(method: &mut FencingMethod, place: &str, bmcs: &[Bmc; 2], change: &mut dyn FnMut(String, String, &str)) {
    match method {
        FencingMethod::Ipmi { nodes } => {
            for (index, (asked, own)) in nodes.iter().zip(bmcs).enumerate() {
                change(format!("{place}, BMC of nodes[{index}]"), asked.address.clone(), &own.address);
            }
            **nodes = bmcs.clone();
        }
        FencingMethod::Agent { name, nodes } => {
            let agent = "fence_ipmilan";
            change(format!("{place}.agent"), name.clone(), &format!("{agent}, with the machines' BMCs"));
            agent.clone_into(name);
            **nodes = bmcs.each_ref().map(|bmc| {
                // With a cipher suite of its own it does not ask the BMC for them, which this one does not tell.
                [("ip", bmc.address.as_str()), ("username", &bmc.user), ("lanplus", "1"), ("cipher", "3")]
                    .map(|(name, value)| (name.to_owned(), Secret::new(value)))
                    .into_iter()
                    .chain([("password".to_owned(), bmc.password.clone())])
                    .collect()
            });
        }
        _ => {}
    }
}

fn smaller(vm: &mut Vm, change: &mut dyn FnMut(String, String, &str)) {
    let place = |key: &str| format!("vms.{}.{key}", vm.name);
    match &mut vm.source {
        VmSource::Config { path } => {
            change(place("config"), path.clone(), "a demo guest");
            vm.source = VmSource::Made {
                memory_mib: MEMORY_MIB,
                vcpus: 1,
                disk_bytes: DISK_BYTES,
                image: Image::Demo,
                bridge: None,
            };
        }
        VmSource::Made { memory_mib, vcpus, disk_bytes, image, bridge } => {
            if *memory_mib > MEMORY_MIB {
                change(place("memory"), format!("{memory_mib} MiB"), &format!("{MEMORY_MIB} MiB"));
                *memory_mib = MEMORY_MIB;
            }
            *vcpus = 1;
            if *disk_bytes > DISK_BYTES {
                change(place("disk"), format!("{} MiB", *disk_bytes >> 20), &format!("{} MiB", DISK_BYTES >> 20));
                *disk_bytes = DISK_BYTES;
            }
            if let Image::File { path } = image {
                change(place("image"), path.clone(), "demo");
                *image = Image::Demo;
            }
            if let Some(name) = bridge.take() {
                change(place("bridge"), name, "none");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(bmcs: [Bmc; 2]) -> Ground {
        Ground { device: "/dev/ubdb3".to_owned(), hypervisor: LabHypervisor::StandIn, bmcs, sbd: None }
    }

    #[test]
    fn ipmi_stays_ipmi_and_ssh_stays_ssh() {
        let bmcs = ["198.18.77.101", "198.18.77.102"].map(|address| Bmc {
            address: address.to_owned(),
            user: "hapair".to_owned(),
            password: Secret::new("0123456789abcdef"),
        });
        let ground = ground(bmcs);
        let method = |asked: FencingMethod| {
            let fencing =
                Fencing { method: asked, accept_unsafe_ssh: false, accept_unsafe_softdog: false, skip_proof: false };
            let (mapped, lines) = onto(Answers { fencing, ..tutorial() }, &ground);
            assert!(mapped.refusals(true).is_empty());
            (mapped.fencing.method, lines.join("\n"))
        };
        let FencingMethod::Ipmi { nodes } = method(tutorial().fencing.method).0 else { panic!("not ipmi") };
        assert_eq!((nodes[1].address.as_str(), nodes[1].password.reveal()), ("198.18.77.102", "0123456789abcdef"));
        let sbd = FencingMethod::Sbd { devices: vec!["/dev/sdz".to_owned()], watchdog: "/dev/watchdog".to_owned() };
        let (mapped, lines) = method(sbd);
        assert_eq!(mapped.name(), "ipmi");
        assert!(lines.contains("fencing.method: sbd becomes ipmi"), "{lines}");
        assert_eq!(method(FencingMethod::Ssh).0.name(), "ssh");
        let pdu =
            || FencingMethod::Agent { name: "fence_apc_snmp".to_owned(), nodes: Box::new([Vec::new(), Vec::new()]) };
        let by_agent = |method: &FencingMethod| {
            let FencingMethod::Agent { name, nodes } = method else { panic!("no agent") };
            let of =
                |key: &str| nodes[1].iter().find(|(name, _)| name == key).map(|(_, value)| value.reveal().to_owned());
            assert_eq!(name, "fence_ipmilan");
            assert_eq!(
                (of("ip").as_deref(), of("password").as_deref()),
                (Some("198.18.77.102"), Some("0123456789abcdef"))
            );
        };
        by_agent(&method(pdu()).0);
        let levels = vec![tutorial().fencing.method, pdu(), FencingMethod::Manual];
        let FencingMethod::Levels { methods } = method(FencingMethod::Levels { methods: levels }).0 else {
            panic!("no levels")
        };
        assert_eq!(methods.iter().map(FencingMethod::name).collect::<Vec<_>>(), ["ipmi", "agent", "manual"]);
        by_agent(&methods[1]);
    }

    #[test]
    fn sbd_stays_sbd_where_the_machines_have_what_it_needs() {
        let own = Sbd { disk: "/dev/ubdc".to_owned(), watchdog: "/dev/watchdog0".to_owned() };
        let ground = Ground { sbd: Some(own), ..ground(placeholders()) };
        let mut answers = tutorial();
        answers.fencing.method = FencingMethod::Sbd {
            devices: vec!["/dev/sdy".to_owned(), "/dev/sdz".to_owned()],
            watchdog: "/dev/watchdog".to_owned(),
        };
        let (mapped, lines) = onto(answers, &ground);
        let FencingMethod::Sbd { devices, watchdog } = mapped.fencing.method else { panic!("not sbd") };
        assert_eq!((devices, watchdog.as_str()), (vec!["/dev/ubdc".to_owned()], "/dev/watchdog0"));
        assert!(lines.contains(&"fencing.devices: /dev/sdy, /dev/sdz becomes /dev/ubdc".to_owned()), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("fencing.method")), "{lines:?}");
    }

    #[test]
    fn names_and_vms_stay_and_every_change_is_told() {
        let mut answers = tutorial();
        answers.nodes[0].name = "alpha".to_owned();
        answers.nodes[0].address = Ipv4Addr::new(192, 0, 2, 1);
        let ground = ground(placeholders());
        let (mapped, lines) = onto(answers, &ground);
        assert_eq!(mapped.nodes[0].name, "alpha");
        assert_eq!(mapped.nodes[0].address, CLUSTER[0]);
        assert_eq!(mapped.vms[0].name, "vm01");
        assert!(lines.contains(&"nodes[0].address: 192.0.2.1 becomes 10.77.0.1".to_owned()), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("stands in")), "{lines:?}");
    }
}

//! What steps and templates may name: answers, platform, and the facts that can't change during a run.
//!
//! A plan that was rendered before a reboot is still right after it, since nothing here depends on what runs.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answers::{
    Answers, Create, Fencing, FencingMethod, HypervisorKind, Image, InitialSync, Layout, NodeAnswers,
};
use crate::answers::{Start, SyncRate, Vm, VmSource};
use crate::node::At;
use crate::platform::Platform;
use crate::secrets::Secrets;
use crate::step::Choices;

/// What was found on the nodes and is fixed for a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Version of the DRBD module, loaded or to be loaded; `None` when no node was asked.
    pub drbd_version: Option<String>,
    /// Slower of the two nodes' links that carry `address`, in bytes per second; 0 when unknown.
    pub link_bytes_per_second: u64,
}

/// Everything that variables are made of.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The user's decisions.
    pub answers: &'a Answers,
    /// The platform of both nodes.
    pub platform: &'a Platform,
    /// Keys made by hapair.
    pub secrets: &'a Secrets,
    /// What was found.
    pub found: &'a Found,
}

impl Source<'_> {
    /// Variables as seen from one node, for one VM if an action is repeated.
    pub fn at(&self, at: At, vm: Option<&Vm>) -> Value {
        let answers = self.answers;
        let nodes: Vec<Value> =
            answers.nodes.iter().enumerate().map(|(number, node)| node_variables(number, node)).collect();
        let vms: Vec<Value> = answers.vms.iter().map(|vm| vm_variables(answers, vm)).collect();
        let mut variables = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "cluster": answers.cluster,
            "node": nodes[at.index()],
            "peer": nodes[at.peer().index()],
            "nodes": nodes,
            "storage": self.storage(),
            "drbd": {
                "device": format!("/dev/drbd{}", crate::drbd::MINOR),
                "minor": crate::drbd::MINOR,
                "dialect": self.dialect(),
                "link_bytes_per_second": self.found.link_bytes_per_second,
            },
            "hypervisor": {
                "kind": hypervisor(answers.hypervisor.kind),
                "dom0_memory_mib": answers.hypervisor.dom0_memory_mib,
                "guest": if answers.hypervisor.pv_guests() { "pv" } else { "pvh" },
                "native_tsc": answers.hypervisor.emulated(),
                "live": live(answers),
            },
            "packages": { "mirror": answers.packages.mirror.clone().unwrap_or_default() },
            "fencing": fencing_variables(&answers.fencing, answers.nodes.each_ref().map(|node| node.name.as_str())),
            // What the time limits and intervals of the cluster and of O2CB are multiplied with.
            "pace": if answers.hypervisor.emulated() { 2 } else { 1 },
            "cib": {
                "stickiness": answers.cib.stickiness,
                "failure_stickiness": answers.cib.failure_stickiness,
                "migration_threshold": migration_threshold(&answers.cib.stickiness, &answers.cib.failure_stickiness),
            },
            "vms": vms,
            "platform": self.platform,
            "secrets": self.secrets,
        });
        if let Some(vm) = vm {
            variables["vm"] = vm_variables(answers, vm);
        }
        variables
    }

    /// What `when` of a step may ask for.
    pub fn choices(&self, vm: Option<&Vm>) -> Choices {
        let answers = self.answers;
        let mut choices = Choices::from(
            [
                ("platform", self.platform.id.as_str()),
                ("messaging", &self.platform.messaging),
                ("init", &self.platform.init),
                ("hypervisor", hypervisor(answers.hypervisor.kind)),
                ("start", start(answers.storage.start)),
                ("layout", layout(answers.storage.layout)),
                ("fencing", answers.fencing.method.name()),
                ("initial_sync", initial_sync(answers.storage.initial_sync)),
                ("mirror", if answers.packages.mirror.is_some() { "set" } else { "none" }),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        choices.extend(self.platform.choices().map(|(key, value)| (key.to_owned(), value.to_owned())));
        if let Some(vm) = vm {
            choices.insert("image".to_owned(), image(vm).to_owned());
        }
        choices
    }

    /// Dialect of DRBD's configuration: that of the module, since drbdadm hands old modules to old parsers.
    fn dialect(&self) -> String {
        match &self.found.drbd_version {
            Some(version) => crate::drbd::dialect(version).to_owned(),
            None => self.platform.drbd_dialect.clone(),
        }
    }

    fn storage(&self) -> Value {
        let storage = &self.answers.storage;
        json!({
            "resource": storage.resource,
            "port": storage.port,
            "mount": storage.mount,
            "layout": layout(storage.layout),
            "start": start(storage.start),
            "initial_sync": initial_sync(storage.initial_sync),
            "sync_rate": match storage.sync_rate {
                SyncRate::Auto => 0,
                SyncRate::BytesPerSecond(rate) => rate,
            },
            "create": match storage.create {
                Create::No => "no".to_owned(),
                Create::Rest => "rest".to_owned(),
                Create::Bytes(bytes) => bytes.to_string(),
            },
        })
    }
}

fn node_variables(number: usize, node: &NodeAnswers) -> Value {
    json!({
        "name": node.name,
        "address": node.address.to_string(),
        "second_address": node.second_address.map(|address| address.to_string()).unwrap_or_default(),
        "device": node.device,
        "erase": node.erase.clone().unwrap_or_default(),
        "number": number,
        "id": number + 1,
    })
}

fn vm_variables(answers: &Answers, vm: &Vm) -> Value {
    let dir = format!("{}/xen/{}", answers.storage.mount, vm.name);
    let (memory_mib, vcpus, disk_mib, source, bridge) = match &vm.source {
        VmSource::Config { path } => (0, 0, 0, path.clone(), String::new()),
        VmSource::Made { memory_mib, vcpus, disk_bytes, image, bridge } => (
            *memory_mib,
            *vcpus,
            disk_bytes.div_ceil(1 << 20),
            if let Image::File { path } = image { path.clone() } else { String::new() },
            bridge.clone().unwrap_or_default(),
        ),
    };
    let other =
        vm.prefer.as_ref().and_then(|name| answers.nodes.iter().map(|node| &node.name).find(|node| *node != name));
    json!({
        "name": vm.name,
        "memory_mib": memory_mib,
        "vcpus": vcpus,
        "disk_mib": disk_mib,
        "image": image(vm),
        "source": source,
        "bridge": bridge,
        "prefer": vm.prefer.clone().unwrap_or_default(),
        "other": other.cloned().unwrap_or_default(),
        "dir": dir,
        "config": format!("{dir}/{}.cfg", vm.name),
        "disk": format!("{dir}/{}-disk0.img", vm.name),
        "mac": mac(&answers.cluster, &vm.name),
    })
}

fn fencing_variables(fencing: &Fencing, nodes: [&str; 2]) -> Value {
    let mut variables = method_variables(&fencing.method);
    variables["accept_unsafe"] = json!(fencing.accept_unsafe_ssh);
    // A piece of script for the step stonith; the preflight and the status have the same.
    variables["softdog"] = json!(crate::fencing::sbd::SOFTDOG);
    variables["accept_softdog"] = json!(fencing.accept_unsafe_softdog);
    variables["skip_proof"] = json!(fencing.skip_proof);
    variables["objects"] = json!(crate::fencing::object::ids(&fencing.method, nodes).join(" "));
    // As text: what templates render of a list is no JSON.
    variables["bmcs"] = At::BOTH.iter().map(|at| bmcs(&fencing.method, *at).to_string()).collect();
    variables
}

/// BMCs that switch a node, each with what follows `fence-` in the id of its device (`templates/cib/fencing-*`).
fn bmcs(method: &FencingMethod, at: At) -> Value {
    let of = |method: &FencingMethod, device: &str| match method {
        FencingMethod::Ipmi { nodes } => {
            let bmc = &nodes[at.index()];
            Some(json!({"device": device, "address": bmc.address, "user": bmc.user, "password": bmc.password.reveal()}))
        }
        _ => None,
    };
    match method {
        FencingMethod::Levels { methods } => {
            methods.iter().enumerate().filter_map(|(n, method)| of(method, &format!("{}-", n + 1))).collect()
        }
        method => of(method, "").into_iter().collect(),
    }
}

fn method_variables(method: &FencingMethod) -> Value {
    let mut variables = json!({ "method": method.name() });
    match method {
        FencingMethod::Ipmi { nodes } => {
            variables["nodes"] = nodes
                .iter()
                .map(|bmc| json!({"address": bmc.address, "user": bmc.user, "password": bmc.password.reveal()}))
                .collect();
        }
        FencingMethod::Sbd { devices, watchdog } => {
            variables["devices"] = json!(devices);
            variables["watchdog"] = json!(watchdog);
        }
        FencingMethod::Agent { name, nodes } => {
            variables["agent"] = json!(name);
            variables["nodes"] = nodes
                .iter()
                .map(|parameters| {
                    json!({"parameters": parameters.iter().map(|(key, value)| json!({"name": key, "value": value.reveal()})).collect::<Vec<_>>()})
                })
                .collect();
        }
        FencingMethod::Levels { methods } => {
            variables["methods"] = methods.iter().map(method_variables).collect();
        }
        FencingMethod::Ssh | FencingMethod::Manual => {}
    }
    variables
}

fn image(vm: &Vm) -> &'static str {
    match &vm.source {
        VmSource::Config { .. } => "config",
        VmSource::Made { image: Image::Demo, .. } => "demo",
        VmSource::Made { image: Image::File { .. }, .. } => "file",
        VmSource::Made { image: Image::Blank, .. } => "blank",
    }
}

/// Whether guests can be moved while they run: Debian's Xen can't do that with PV guests, since it is built
/// without shadow paging, and a stand-in is no guest.
pub(crate) fn live(answers: &Answers) -> bool {
    answers.hypervisor.kind != HypervisorKind::StandIn && !answers.hypervisor.pv_guests()
}

fn hypervisor(kind: HypervisorKind) -> &'static str {
    match kind {
        HypervisorKind::Xen => "xen",
        HypervisorKind::Kvm => "kvm",
        HypervisorKind::StandIn => "stand-in",
    }
}

fn start(start: Start) -> &'static str {
    match start {
        Start::Cluster => "cluster",
        Start::Script => "script",
    }
}

fn layout(layout: Layout) -> &'static str {
    match layout {
        Layout::Ocfs2 => "ocfs2",
        Layout::DrbdPerVm => "drbd-per-vm",
    }
}

fn initial_sync(sync: InitialSync) -> &'static str {
    match sync {
        InitialSync::Full => "full",
        InitialSync::Skip => "skip",
    }
}

/// How many failures of a resource move it, from Heartbeat 2's two scores: there a resource left its node when
/// `stickiness + failures * failure_stickiness` fell below zero. INFINITY never fell (the tutorial's own pair of
/// values could not work); then three failures are enough, so that a VM that can't live on a node leaves it.
pub fn migration_threshold(stickiness: &str, failure_stickiness: &str) -> u64 {
    const WHEN_INFINITE: u64 = 3;
    if failure_stickiness == "-INFINITY" {
        return 1;
    }
    match (stickiness.parse::<u64>(), failure_stickiness.parse::<i64>()) {
        (Ok(stickiness), Ok(failure)) if failure < 0 => stickiness.div_ceil(failure.unsigned_abs()).max(1),
        _ => WHEN_INFINITE,
    }
}

/// A MAC address in Xen's own range (00:16:3e), the same at each run and different for each VM.
fn mac(cluster: &str, vm: &str) -> String {
    let hash = Sha256::digest(format!("{cluster}/{vm}"));
    // The top bit of the fourth byte is 0 in addresses that Xen's tools make themselves.
    format!("00:16:3e:{:02x}:{:02x}:{:02x}", hash[0] & 0x7f, hash[1], hash[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_move_a_resource() {
        assert_eq!(migration_threshold("INFINITY", "-500"), 3);
        assert_eq!(migration_threshold("1000", "-500"), 2);
        assert_eq!(migration_threshold("50", "-500"), 1);
        assert_eq!(migration_threshold("0", "-INFINITY"), 1);
    }

    #[test]
    fn a_mac_is_xens_and_stable() {
        assert_eq!(mac("xencluster", "vm01"), mac("xencluster", "vm01"));
        assert_ne!(mac("xencluster", "vm01"), mac("xencluster", "vm02"));
        assert!(mac("a", "b").starts_with("00:16:3e:"));
    }
}

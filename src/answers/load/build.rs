//! From the tree to [`Answers`].

use std::collections::HashMap;

use super::form::{KINDS, LAYOUTS, STARTS, SYNCS};
use super::read::{Got, Reader, Section};
use super::{net, value};
use crate::answers::tree::Node;
use crate::answers::{
    Answers, Cib, Fencing, FencingMethod, Hypervisor, HypervisorKind, InitialSync, Layout, NodeAnswers, Packages,
    Reach, Start, Storage, Vm, VmSource,
};

/// A node as far as it could be read.
#[derive(Default)]
struct Draft {
    name: Option<Got<String>>,
    ssh: Option<Got<Reach>>,
    host_key: Option<String>,
    address: Option<Got<std::net::Ipv4Addr>>,
    second: Option<Got<std::net::Ipv4Addr>>,
    device: Option<String>,
    erase: Option<String>,
}

impl Draft {
    fn finish(self) -> Option<NodeAnswers> {
        Some(NodeAnswers {
            name: self.name?.value,
            ssh: self.ssh?.value,
            host_key: self.host_key,
            address: self.address?.value,
            second_address: self.second.map(|got| got.value),
            device: self.device?,
            erase: self.erase,
        })
    }
}

/// What a platform can't do: section, key and sentence.
pub(crate) fn unsupported(
    platform: &str,
    kind: HypervisorKind,
    method: &FencingMethod,
) -> Vec<(&'static str, &'static str, String)> {
    let mut found = Vec::new();
    if platform == "ubuntu-7.10" {
        if kind == HypervisorKind::Kvm {
            found.push(("hypervisor", "kind", "ubuntu-7.10 has no KVM that this could use; take xen".to_owned()));
        }
        if !matches!(method, FencingMethod::Ipmi { .. } | FencingMethod::Ssh) {
            let message = format!("{} is not for Heartbeat 2 of ubuntu-7.10; take ipmi or ssh", method.name());
            found.push(("fencing", "method", message));
        }
    }
    found
}

impl Reader<'_> {
    /// The whole file. `None` only together with a problem.
    pub(super) fn answers(&mut self, root: &Node) -> Option<Answers> {
        let file = self.mapping(root, root.at, String::new(), "");
        self.known_only(&file);
        let cluster = self.take(&file, "cluster", value::cluster);
        let platform = self.take(&file, "platform", value::platform);

        let storage = self.section(&file, "storage", "storage");
        let device = self.read(&storage, "device", value::device);
        let drafts = self.nodes(&file, storage.broken || storage.has("device"), device.as_ref());
        let names = [0, 1].map(|n| drafts[n].name.as_ref().map(|got| got.value.clone()));
        let storage = self.storage(&storage);

        let hypervisor = self.hypervisor(&file);
        let packages = self.section(&file, "packages", "packages");
        self.known_only(&packages);
        let mirror = self.take(&packages, "mirror", value::mirror);

        let addresses: Vec<String> = drafts
            .iter()
            .flat_map(|draft| [&draft.address, &draft.second])
            .filter_map(|got| got.as_ref().map(|got| got.value.to_string()))
            .collect();
        let fencing = self.fencing(&file, &names, &addresses);

        let cib = self.section(&file, "cib", "cib");
        self.known_only(&cib);
        let stickiness = self.take(&cib, "stickiness", value::stickiness);
        let failure_stickiness = self.take(&cib, "failure_stickiness", value::failure_stickiness);

        let vms = self.vms(&file, &names);
        let [first, second] = drafts.map(Draft::finish);
        self.together(
            &file,
            platform.as_deref(),
            hypervisor.as_ref().map(|hypervisor| hypervisor.kind),
            fencing.as_ref(),
        );
        Some(Answers {
            cluster: cluster?,
            platform: platform?,
            nodes: [first?, second?],
            storage: storage?,
            hypervisor: hypervisor?,
            packages: Packages { mirror: mirror? },
            fencing: fencing?,
            cib: Cib { stickiness: stickiness?, failure_stickiness: failure_stickiness? },
            vms: vms?,
        })
    }

    /// What two sections may not say together.
    fn together(
        &mut self,
        file: &Section<'_>,
        platform: Option<&str>,
        kind: Option<HypervisorKind>,
        fencing: Option<&Fencing>,
    ) {
        let unsupported = match (platform, kind, fencing) {
            (Some(platform), Some(kind), Some(fencing)) => unsupported(platform, kind, &fencing.method),
            _ => Vec::new(),
        };
        for (section, key, message) in unsupported {
            let at = file.entry(section).map_or(file.at, |entry| entry.at);
            self.problem(at, format!("{section}.{key}"), message);
        }
        let Some(vms) = file.entry("vms").filter(|_| kind == Some(HypervisorKind::Kvm)) else { return };
        for (n, item) in self.list(file, "vms").unwrap_or(&[]).iter().enumerate() {
            let vm = self.mapping(item, item.at, format!("vms[{n}]"), "vms[]");
            if vm.has("config") {
                let at = vm.entry("config").map_or(vms.at, |entry| entry.at);
                let message = "is an xl configuration, and `hypervisor.kind: kvm` has no use for it; describe the VM with memory, vcpus, disk and image";
                self.problem(at, vm.path_of("config"), message);
            }
        }
    }

    fn nodes(&mut self, file: &Section<'_>, shared: bool, device: Option<&Got<String>>) -> [Draft; 2] {
        let mut drafts = Vec::new();
        if !file.has("nodes") {
            let why = "the two machines, each with name, ssh and address";
            self.missing(file, "nodes", why);
        } else if let Some(items) = self.list(file, "nodes") {
            if items.len() != 2 {
                let at = file.entry("nodes").map_or(file.at, |entry| entry.at);
                let message = format!("lists {}; a pair is exactly two nodes", items.len());
                self.problem(at, "nodes", message);
                // The second can be asked for.
                if let (0 | 1, Some(problem)) = (items.len(), self.problems.last_mut()) {
                    problem.missing = true;
                }
            }
            for (n, item) in items.iter().enumerate() {
                let node = self.mapping(item, item.at, format!("nodes[{n}]"), "nodes[]");
                drafts.push(self.node(&node, shared, device));
            }
        }
        if let (Some(got), true) = (device, drafts.len() == 2) {
            let path = "storage.device";
            if drafts.iter().all(|draft| draft.device.as_ref().is_some_and(|d| *d != got.value)) {
                self.warn(got.at, path, "is not used: both nodes have a device of their own");
            }
        }
        let mut drafts = drafts.into_iter();
        let pair = [drafts.next().unwrap_or_default(), drafts.next().unwrap_or_default()];
        self.compare(&pair);
        pair
    }

    fn node(&mut self, node: &Section<'_>, shared: bool, device: Option<&Got<String>>) -> Draft {
        self.known_only(node);
        let own = self.take(node, "device", value::device);
        if !shared && !node.has("device") {
            let why = "give `storage.device` for both nodes, or each node its own `device`";
            self.missing(node, "device", why);
        }
        Draft {
            name: self.read(node, "name", net::host_label),
            ssh: self.read(node, "ssh", net::reach),
            host_key: self.take(node, "host_key", net::host_key),
            address: self.read(node, "address", net::address),
            second: self.read(node, "second_address", net::address),
            device: own.or_else(|| device.map(|got| got.value.clone())),
            erase: self.take(node, "erase", value::erase),
        }
    }

    /// What must differ between the two nodes.
    fn compare(&mut self, [one, two]: &[Draft; 2]) {
        if let (Some(a), Some(b)) = (&one.name, &two.name) {
            if a.value == b.value {
                self.problem(b.at, b.path.as_str(), "is the name of the first node too; give the second its own");
            }
        }
        if let (Some(a), Some(b)) = (&one.ssh, &two.ssh) {
            let message = match (&a.value, &b.value) {
                (Reach::Local, Reach::Local) => {
                    Some("only one node can be the machine that hapair runs on; write user@host")
                }
                (Reach::Ssh { host: a, port: x, .. }, Reach::Ssh { host: b, port: y, .. })
                    if a.eq_ignore_ascii_case(b) && x == y =>
                {
                    Some("is the same machine as the first node; give the second node's")
                }
                _ => None,
            };
            if let Some(message) = message {
                self.problem(b.at, b.path.as_str(), message);
            }
        }
        let given: Vec<_> = [&one.address, &one.second, &two.address, &two.second].into_iter().flatten().collect();
        for (n, got) in given.iter().enumerate() {
            if let Some(same) = given[..n].iter().find(|other| other.value == got.value) {
                let message = format!("{} is {} already; every address is used once", got.value, same.path);
                self.problem(got.at, got.path.as_str(), message);
            }
        }
        if let (Some(alone), None) | (None, Some(alone)) = (&one.second, &two.second) {
            let other = if one.second.is_some() { "second" } else { "first" };
            let message = format!("a second link needs both ends; give the {other} node one too, or none");
            self.problem(alone.at, alone.path.as_str(), message);
        }
        for (a, b) in [(&one.address, &two.address), (&one.second, &two.second)] {
            if let (Some(a), Some(b)) = (a, b) {
                // No private network is larger than 10.0.0.0/8.
                if a.value.octets()[0] != b.value.octets()[0] {
                    let message = format!(
                        "{} is in another network than {} ({}): one cluster link is one network",
                        b.value, a.value, a.path
                    );
                    self.problem(b.at, b.path.as_str(), message);
                } else if a.value.octets()[1] != b.value.octets()[1] {
                    let message = format!(
                        "{} and {} ({}) look like two networks; one cluster link is one network",
                        b.value, a.value, a.path
                    );
                    self.warn(b.at, &b.path, &message);
                }
            }
        }
    }

    fn storage(&mut self, storage: &Section<'_>) -> Option<Storage> {
        self.known_only(storage);
        let create = self.take(storage, "create", value::create);
        let layout = self.one_of(storage, "layout", LAYOUTS, &[Layout::Ocfs2, Layout::DrbdPerVm]);
        let resource = self.take(storage, "resource", value::resource);
        let port = self.take(storage, "port", net::port);
        let mount = self.take(storage, "mount", value::mount);
        let initial_sync = self.one_of(storage, "initial_sync", SYNCS, &[InitialSync::Full, InitialSync::Skip]);
        let sync_rate = self.take(storage, "sync_rate", value::rate);
        let start = self.one_of(storage, "start", STARTS, &[Start::Cluster, Start::Script]);
        Some(Storage {
            create: create?,
            layout: layout?,
            resource: resource?,
            port: port?,
            mount: mount?,
            initial_sync: initial_sync?,
            sync_rate: sync_rate?,
            start: start?,
        })
    }

    fn hypervisor(&mut self, file: &Section<'_>) -> Option<Hypervisor> {
        let section = self.section(file, "hypervisor", "hypervisor");
        self.known_only(&section);
        let kind = self.one_of(&section, "kind", KINDS, &[HypervisorKind::Xen, HypervisorKind::Kvm]);
        let dom0_memory_mib = self.take(&section, "dom0_memory", value::dom0_memory);
        Some(Hypervisor { kind: kind?, dom0_memory_mib: dom0_memory_mib?, lab: None })
    }

    fn vms(&mut self, file: &Section<'_>, names: &[Option<String>; 2]) -> Option<Vec<Vm>> {
        let items = if file.has("vms") { self.list(file, "vms")? } else { &[] };
        if items.is_empty() {
            let at = file.entry("vms").map_or(file.at, |entry| entry.at);
            self.warn(at, "vms", "there are no VMs; the pair is made without any");
        }
        let mut vms = Vec::new();
        let mut seen: HashMap<String, String> = HashMap::new();
        for (n, item) in items.iter().enumerate() {
            let section = self.mapping(item, item.at, format!("vms[{n}]"), "vms[]");
            let name = self.read(&section, "name", value::vm_name);
            vms.push(self.vm(&section, name.as_ref().map(|got| got.value.clone()), names));
            let Some(name) = name else { continue };
            if let Some(first) = seen.get(&name.value) {
                let message = format!("is {first} already; give each VM a name of its own");
                self.problem(name.at, name.path.as_str(), message);
            }
            if names.iter().flatten().any(|node| *node == name.value) {
                let message = "is the name of a node too; give the VM another";
                self.problem(name.at, name.path.as_str(), message);
            }
            seen.entry(name.value).or_insert(name.path);
        }
        vms.into_iter().collect()
    }

    fn vm(&mut self, section: &Section<'_>, name: Option<String>, nodes: &[Option<String>; 2]) -> Option<Vm> {
        self.known_only(section);
        let prefer = self.read(section, "prefer", net::host_label);
        if let (Some(got), [Some(a), Some(b)]) = (&prefer, nodes) {
            if got.value != *a && got.value != *b {
                let message = format!("{} is no node; take {a} or {b}", value::quote(&got.value));
                self.problem(got.at, got.path.as_str(), message);
            }
        }
        let prefer = prefer.map(|got| got.value);
        if section.has("config") {
            for key in ["memory", "vcpus", "disk", "image", "bridge"] {
                if let Some(entry) = section.entry(key) {
                    let message = "stands in the VM's own `config`; delete one of the two";
                    self.problem(entry.at, section.path_of(key), message);
                }
            }
            let path = self.take(section, "config", value::config);
            return Some(Vm { name: name?, source: VmSource::Config { path: path? }, prefer });
        }
        let memory_mib = self.take(section, "memory", value::vm_memory);
        let vcpus = self.take(section, "vcpus", value::vcpus);
        let disk_bytes = self.take(section, "disk", value::disk);
        let image = self.take(section, "image", value::image);
        let bridge = self.take(section, "bridge", value::bridge);
        Some(Vm {
            name: name?,
            source: VmSource::Made {
                memory_mib: memory_mib?,
                vcpus: vcpus?,
                disk_bytes: disk_bytes?,
                image: image?,
                bridge: bridge?,
            },
            prefer,
        })
    }
}

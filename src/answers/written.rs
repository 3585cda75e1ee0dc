//! The text of an answers file for answers that came from no file, such as those of a rehearsal's machines.

use anyhow::{Context, Result};
use serde_yaml::{Mapping, Value};

use super::{
    Answers, Bmc, Create, FencingMethod, HypervisorKind, Image, InitialSync, Layout, NodeAnswers, Reach, Start,
    SyncRate, Vm, VmSource,
};

/// An answers file that says what `answers` say. Its secrets are in clear: the file has to be its owner's alone.
///
/// Of a hypervisor that no answers file can ask for it says nothing.
///
/// # Errors
/// When it can't be put into words, which no answers are known to cause.
pub fn text(answers: &Answers) -> Result<String> {
    let Answers { cluster, platform, nodes, storage, hypervisor, packages, fencing, cib, vms } = answers;
    let names = nodes.each_ref().map(|node| node.name.as_str());
    let mut file = Block::default();
    file.text("cluster", cluster);
    file.text("platform", platform);
    file.list("nodes", nodes.iter().map(node));

    let mut block = Block::default();
    block.text(
        "create",
        &match storage.create {
            Create::No => "no".to_owned(),
            Create::Rest => "rest".to_owned(),
            Create::Bytes(bytes) => size(bytes),
        },
    );
    block.text(
        "layout",
        match storage.layout {
            Layout::Ocfs2 => "ocfs2",
            Layout::DrbdPerVm => "drbd-per-vm",
        },
    );
    block.text("resource", &storage.resource);
    block.text("port", &storage.port.to_string());
    block.text("mount", &storage.mount);
    block.text(
        "initial_sync",
        match storage.initial_sync {
            InitialSync::Full => "full",
            InitialSync::Skip => "skip",
        },
    );
    block.text(
        "sync_rate",
        &match storage.sync_rate {
            SyncRate::Auto => "auto".to_owned(),
            SyncRate::BytesPerSecond(bytes) => size(bytes),
        },
    );
    block.text(
        "start",
        match storage.start {
            Start::Cluster => "cluster",
            Start::Script => "script",
        },
    );
    file.block("storage", block);

    let mut block = Block::default();
    match hypervisor.kind {
        HypervisorKind::Xen => block.text("kind", "xen"),
        HypervisorKind::Kvm => block.text("kind", "kvm"),
        HypervisorKind::StandIn => {}
    }
    block.text("dom0_memory", &size(hypervisor.dom0_memory_mib << 20));
    file.block("hypervisor", block);

    let mut block = Block::default();
    block.text("mirror", packages.mirror.as_deref().unwrap_or("none"));
    file.block("packages", block);

    let mut block = method(&fencing.method, names);
    if fencing.accept_unsafe_ssh {
        block.text("accept_unsafe", "ssh");
    } else if fencing.accept_unsafe_softdog {
        block.text("accept_unsafe", "softdog");
    }
    file.block("fencing", block);

    let mut block = Block::default();
    block.text("stickiness", &cib.stickiness);
    block.text("failure_stickiness", &cib.failure_stickiness);
    file.block("cib", block);

    file.list("vms", vms.iter().map(vm));
    serde_yaml::to_string(&file.0).context("writing the answers as YAML")
}

/// Keys and values in the order in which they were put in. All single values are texts: the loader takes them as typed.
#[derive(Default)]
struct Block(Mapping);

impl Block {
    fn text(&mut self, key: &str, value: &str) {
        self.0.insert(key.into(), value.into());
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn block(&mut self, key: &str, block: Block) {
        self.0.insert(key.into(), Value::Mapping(block.0));
    }

    fn list(&mut self, key: &str, items: impl Iterator<Item = Block>) {
        self.0.insert(key.into(), Value::Sequence(items.map(|block| Value::Mapping(block.0)).collect()));
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [(u32, char); 4] = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    let whole = UNITS.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

fn node(node: &NodeAnswers) -> Block {
    let mut block = Block::default();
    block.text("name", &node.name);
    block.text(
        "ssh",
        &match &node.ssh {
            Reach::Local => "local".to_owned(),
            Reach::Ssh { user, host, port } => format!("{user}@{host}:{port}"),
        },
    );
    block.optional("host_key", node.host_key.as_deref());
    block.text("address", &node.address.to_string());
    block.optional("second_address", node.second_address.map(|address| address.to_string()).as_deref());
    block.text("device", &node.device);
    block.optional("erase", node.erase.as_deref());
    block
}

fn method(method: &FencingMethod, names: [&str; 2]) -> Block {
    let mut block = Block::default();
    block.text("method", method.name());
    match method {
        FencingMethod::Ipmi { nodes } => {
            for (name, Bmc { address, user, password }) in names.into_iter().zip(nodes.iter()) {
                let mut bmc = Block::default();
                bmc.text("address", address);
                bmc.text("user", user);
                bmc.text("password", password.reveal());
                block.block(name, bmc);
            }
        }
        FencingMethod::Sbd { devices, watchdog } => {
            block
                .0
                .insert("devices".into(), Value::Sequence(devices.iter().map(|path| path.as_str().into()).collect()));
            block.text("watchdog", watchdog);
        }
        FencingMethod::Agent { name, nodes } => {
            block.text("agent", name);
            for (node, parameters) in names.into_iter().zip(nodes.iter()) {
                let mut given = Block::default();
                for (key, value) in parameters {
                    given.text(key, value.reveal());
                }
                block.block(node, given);
            }
        }
        FencingMethod::Levels { methods } => {
            block.list("levels", methods.iter().map(|level| self::method(level, names)));
        }
        FencingMethod::Ssh | FencingMethod::Manual => {}
    }
    block
}

fn vm(vm: &Vm) -> Block {
    let mut block = Block::default();
    block.text("name", &vm.name);
    match &vm.source {
        VmSource::Config { path } => block.text("config", &format!("file:{path}")),
        VmSource::Made { memory_mib, vcpus, disk_bytes, image, bridge } => {
            block.text("memory", &size(memory_mib << 20));
            block.text("vcpus", &vcpus.to_string());
            block.text("disk", &size(*disk_bytes));
            block.text(
                "image",
                &match image {
                    Image::Demo => "demo".to_owned(),
                    Image::Blank => "blank".to_owned(),
                    Image::File { path } => format!("file:{path}"),
                },
            );
            block.optional("bridge", bridge.as_deref());
        }
    }
    block.optional("prefer", vm.prefer.as_deref());
    block
}

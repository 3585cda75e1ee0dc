//! The text of an answers file for answers that came from no file, such as those of a rehearsal's machines.

use anyhow::{Context, Result};
use serde::Serialize;

use super::edit;
use super::{Answers, Create, FencingMethod, HypervisorKind, Image, NodeAnswers, Reach, SyncRate, Vm, VmSource};

/// An answers file that says what `answers` say. Its secrets are in clear: the file has to be its owner's alone.
///
/// Of a hypervisor that no answers file can ask for it says nothing.
///
/// # Errors
/// When a value can't be put into words, which no answers are known to cause.
pub fn text(answers: &Answers) -> Result<String> {
    let Answers { cluster, platform, nodes, storage, hypervisor, packages, fencing, cib, vms } = answers;
    let mut file = File::default();
    file.set("cluster", cluster)?;
    file.set("platform", platform)?;
    for (index, node) in nodes.iter().enumerate() {
        file.node(&format!("nodes[{index}]"), node)?;
    }
    match storage.create {
        Create::Bytes(bytes) => file.set("storage.create", &size(bytes))?,
        create => file.keyword("storage.create", create)?,
    }
    file.keyword("storage.layout", storage.layout)?;
    file.set("storage.resource", &storage.resource)?;
    file.set("storage.port", &storage.port.to_string())?;
    file.set("storage.mount", &storage.mount)?;
    file.keyword("storage.initial_sync", storage.initial_sync)?;
    match storage.sync_rate {
        SyncRate::BytesPerSecond(bytes) => file.set("storage.sync_rate", &size(bytes))?,
        rate @ SyncRate::Auto => file.keyword("storage.sync_rate", rate)?,
    }
    file.keyword("storage.start", storage.start)?;
    if hypervisor.kind != HypervisorKind::StandIn {
        file.keyword("hypervisor.kind", hypervisor.kind)?;
    }
    file.set("hypervisor.dom0_memory", &size(hypervisor.dom0_memory_mib << 20))?;
    file.set("packages.mirror", packages.mirror.as_deref().unwrap_or("none"))?;
    file.method("fencing", &fencing.method, nodes)?;
    if fencing.accept_unsafe_ssh {
        file.set("fencing.accept_unsafe", "ssh")?;
    } else if fencing.accept_unsafe_softdog {
        file.set("fencing.accept_unsafe", "softdog")?;
    }
    file.set("cib.stickiness", &cib.stickiness)?;
    file.set("cib.failure_stickiness", &cib.failure_stickiness)?;
    for (index, vm) in vms.iter().enumerate() {
        file.vm(&format!("vms[{index}]"), vm)?;
    }
    Ok(file.0)
}

/// The text so far.
#[derive(Default)]
struct File(String);

impl File {
    fn set(&mut self, path: &str, value: &str) -> Result<()> {
        self.0 = edit::set(&self.0, path, value)?;
        Ok(())
    }

    fn optional(&mut self, path: &str, value: Option<&str>) -> Result<()> {
        value.map_or(Ok(()), |value| self.set(path, value))
    }

    /// One of several values, by the name that it has in JSON too.
    fn keyword(&mut self, path: &str, value: impl Serialize) -> Result<()> {
        let name = serde_json::to_value(value)?;
        self.set(path, name.as_str().with_context(|| format!("`{path}` is {name}, no single word"))?)
    }

    fn node(&mut self, path: &str, node: &NodeAnswers) -> Result<()> {
        let at = |key: &str| format!("{path}.{key}");
        self.set(&at("name"), &node.name)?;
        match &node.ssh {
            Reach::Local => self.set(&at("ssh"), "local")?,
            Reach::Ssh { user, host, port } => self.set(&at("ssh"), &format!("{user}@{host}:{port}"))?,
        }
        self.optional(&at("host_key"), node.host_key.as_deref())?;
        self.set(&at("address"), &node.address.to_string())?;
        self.optional(&at("second_address"), node.second_address.map(|address| address.to_string()).as_deref())?;
        self.set(&at("device"), &node.device)?;
        self.optional(&at("erase"), node.erase.as_deref())
    }

    fn method(&mut self, path: &str, method: &FencingMethod, nodes: &[NodeAnswers; 2]) -> Result<()> {
        self.set(&format!("{path}.method"), method.name())?;
        match method {
            FencingMethod::Ipmi { nodes: bmcs } => {
                for (node, bmc) in nodes.iter().zip(bmcs.iter()) {
                    let at = |key: &str| format!("{path}.{}.{key}", node.name);
                    self.set(&at("address"), &bmc.address)?;
                    self.set(&at("user"), &bmc.user)?;
                    self.set(&at("password"), bmc.password.reveal())?;
                }
            }
            FencingMethod::Sbd { devices, watchdog } => {
                for (index, device) in devices.iter().enumerate() {
                    self.set(&format!("{path}.devices[{index}]"), device)?;
                }
                self.set(&format!("{path}.watchdog"), watchdog)?;
            }
            FencingMethod::Agent { name, nodes: parameters } => {
                self.set(&format!("{path}.agent"), name)?;
                for (node, parameters) in nodes.iter().zip(parameters.iter()) {
                    for (key, value) in parameters {
                        self.set(&format!("{path}.{}.{key}", node.name), value.reveal())?;
                    }
                }
            }
            FencingMethod::Levels { methods } => {
                for (index, level) in methods.iter().enumerate() {
                    self.method(&format!("{path}.levels[{index}]"), level, nodes)?;
                }
            }
            FencingMethod::Ssh | FencingMethod::Manual => {}
        }
        Ok(())
    }

    fn vm(&mut self, path: &str, vm: &Vm) -> Result<()> {
        let at = |key: &str| format!("{path}.{key}");
        self.set(&at("name"), &vm.name)?;
        match &vm.source {
            VmSource::Config { path } => self.set(&at("config"), &format!("file:{path}"))?,
            VmSource::Made { memory_mib, vcpus, disk_bytes, image, bridge } => {
                self.set(&at("memory"), &size(memory_mib << 20))?;
                self.set(&at("vcpus"), &vcpus.to_string())?;
                self.set(&at("disk"), &size(*disk_bytes))?;
                match image {
                    Image::File { path } => self.set(&at("image"), &format!("file:{path}"))?,
                    image => self.keyword(&at("image"), image)?,
                }
                self.optional(&at("bridge"), bridge.as_deref())?;
            }
        }
        self.optional(&at("prefer"), vm.prefer.as_deref())
    }
}

/// As the loader takes it: the largest unit of which it is a whole number.
fn size(bytes: u64) -> String {
    const UNITS: [(u32, char); 4] = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    let whole = UNITS.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::answers::load::{Secrets, text as load};

    #[test]
    fn what_is_written_says_the_same() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers/good");
        let mut count = 0;
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            count += 1;
            let read = |source: &str| load(source, &path, &folder, &|_| None, Secrets::Leave).unwrap().answers;
            let answers = read(&std::fs::read_to_string(&path).unwrap());
            let written = text(&answers).unwrap();
            let again = read(&written);
            let said = |answers: &Answers| serde_json::to_string_pretty(answers).unwrap();
            assert_eq!(said(&again), said(&answers), "{}\n{written}", path.display());
            // Secrets are in the text alone.
            assert_eq!(text(&again).unwrap(), written, "{}", path.display());
        }
        assert!(count >= 15, "{count} files");
    }
}

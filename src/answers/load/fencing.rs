//! The `fencing` section: which keys it has depends on the method.

use super::form::{METHODS, UNSAFE};
use super::read::{Got, Reader, Section};
use super::value::{self, quote};
use crate::answers::fields;
use crate::answers::tree::Entry;
use crate::answers::{Bmc, Fencing, FencingMethod, Secret};

/// Which method each key belongs to; a node's block belongs to `ipmi` and `agent`.
const BELONGS: &[(&str, &str)] = &[("devices", "sbd"), ("watchdog", "sbd"), ("agent", "agent"), ("levels", "levels")];

/// Parameters of a fencing device that hapair sets: each device shoots one node, and one of them waits.
const OURS: [&str; 2] = ["pcmk_host_list", "pcmk_delay_base"];

/// The nodes' names, as far as they are known.
type Names = [Option<String>; 2];

/// Where a method stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is `fencing` itself.
    Top,
    /// One of the levels.
    Level,
    /// The last of several levels.
    Last,
}

/// Why a method can't stand where it does.
fn misplaced(method: &str, place: Place) -> Option<&'static str> {
    match (method, place) {
        ("levels", Place::Level | Place::Last) => Some("levels do not nest; list all the methods in one"),
        ("ssh", Place::Level | Place::Last) => Some(
            "can't be one of several levels: it reports success for a machine that it could not reach, and nothing makes \
             sure then that this one is off; take ssh alone (in a rehearsal), or leave it out",
        ),
        ("sbd", Place::Level | Place::Last) => Some(
            "can't be one of several levels: it needs its disks and its watchdog from the start of the cluster on, \
             whatever the other levels do; take sbd alone, or leave it out",
        ),
        ("manual", Place::Top) => Some(
            "is no method by itself: nothing would ever be taken over before somebody comes; take another one, or make \
             manual the last of several `levels`",
        ),
        ("manual", Place::Level) => Some(
            "can only be the last of several levels: a person is asked when nothing that can switch a machine off has worked",
        ),
        _ => None,
    }
}

impl Reader<'_> {
    pub(super) fn fencing(&mut self, file: &Section<'_>, names: &Names, addresses: &[String]) -> Option<Fencing> {
        let section = self.section(file, "fencing", "fencing");
        let accepted =
            self.read(&section, "accept_unsafe", |text| value::choice(text, UNSAFE).map(|()| text.to_owned()));
        let method = self.method(&section, names, addresses, Place::Top)?;
        let word = accepted.as_ref().map_or("", |got| got.value.as_str());
        match &accepted {
            Some(got) if word == "ssh" && !method.uses_ssh() => {
                self.warn(got.at, &got.path, "has no effect: no fencing method here is ssh");
            }
            Some(got) if word == "softdog" && !method.uses_sbd() => {
                self.warn(got.at, &got.path, "has no effect: no fencing method here is sbd");
            }
            _ => {}
        }
        Some(Fencing {
            method,
            accept_unsafe_ssh: word == "ssh",
            accept_unsafe_softdog: word == "softdog",
            skip_proof: false,
        })
    }

    fn method(
        &mut self,
        section: &Section<'_>,
        names: &Names,
        addresses: &[String],
        place: Place,
    ) -> Option<FencingMethod> {
        let method = self.read(section, "method", |text| {
            value::choice(text, METHODS)?;
            misplaced(text, place).map_or_else(|| Ok(text.to_owned()), |why| Err(why.to_owned()))
        });
        let method = method.as_ref().map(|got| got.value.as_str());
        self.keys(section, names, method, place == Place::Top);
        match method? {
            "ipmi" => {
                let mut others = Vec::new();
                let [a, b] =
                    self.blocks(section, names).map(|node| node.map(|node| self.bmc(&node, &mut others, addresses)));
                Some(FencingMethod::Ipmi { nodes: Box::new([a??, b??]) })
            }
            "sbd" => {
                let devices = self.sbd_devices(section);
                let watchdog = self.take(section, "watchdog", value::device);
                Some(FencingMethod::Sbd { devices: devices?, watchdog: watchdog? })
            }
            "agent" => {
                let name = self.needed(section, "agent", value::agent).map(|got| got.value);
                let [a, b] = self.blocks(section, names).map(|node| node.map(|node| self.parameters(&node)));
                let nodes = Box::new([a??, b??]);
                if same_plug(&nodes) {
                    let at = section.entry("agent").map_or(section.at, |entry| entry.at);
                    let message =
                        "would switch off the same plug for both nodes; each node has a plug (or port) of its own";
                    self.problem(at, section.path.as_str(), message);
                }
                Some(FencingMethod::Agent { name: name?, nodes })
            }
            "levels" => self.levels(section, names, addresses),
            "manual" => Some(FencingMethod::Manual),
            _ => Some(FencingMethod::Ssh),
        }
    }

    /// Unknown keys, and keys of another method.
    fn keys(&mut self, section: &Section<'_>, names: &Names, method: Option<&str>, top: bool) {
        let fixed = fields::children("fencing").map(|(key, _)| key).filter(|key| *key != "<node>");
        let mut known: Vec<&str> = fixed.filter(|key| top || *key != "accept_unsafe").collect();
        for entry in section.entries {
            let owner = BELONGS.iter().find(|(key, _)| *key == entry.key).map(|(_, owner)| *owner);
            let message = match (owner, method) {
                (Some(owner), Some(method)) if owner != method => {
                    format!("belongs to `method: {owner}`, and the method is {method}; delete one")
                }
                (None, Some(method @ ("sbd" | "levels" | "ssh" | "manual"))) if is_block(&entry.key, names) => {
                    format!("a node's block belongs to ipmi or agent, not to `method: {method}`; delete it")
                }
                _ => continue,
            };
            self.problem(entry.at, section.path_of(&entry.key), message);
        }
        let blocks: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        let all = known.len();
        known.extend(&blocks);
        for entry in section.entries {
            let fixed = known[..all].contains(&entry.key.as_str());
            // With a name unknown, any key may be that node's block.
            if !fixed && blocks.len() == 2 && !is_block(&entry.key, names) {
                self.unknown(section, entry, &known);
            }
        }
    }

    /// The block of each node, by its name or as `node1` and `node2`.
    fn blocks<'t>(&mut self, section: &Section<'t>, names: &Names) -> [Option<Section<'t>>; 2] {
        [0, 1].map(|n| {
            let found: Vec<&'t Entry> = section
                .entries
                .iter()
                .filter(|entry| !entry.duplicate && block_of(&entry.key, names) == Some(n))
                .collect();
            let key = names[n].clone().unwrap_or_else(|| format!("node{}", n + 1));
            let Some(first) = found.first() else {
                // A block under the right name can't be told from others when the name is wrong.
                if names[n].is_some() {
                    let why = "what switches this node off, under the node's name";
                    self.missing(section, &key, why);
                }
                return None;
            };
            if let Some(second) = found.get(1) {
                let message = format!("is the same node as {}; keep one block", quote(&first.key));
                self.problem(second.at, section.path_of(&second.key), message);
            }
            let path = section.path_of(&first.key);
            Some(self.mapping(&first.value, first.at, path, "fencing.<node>"))
        })
    }

    fn bmc(&mut self, node: &Section<'_>, others: &mut Vec<String>, addresses: &[String]) -> Option<Bmc> {
        let known = ["address", "user", "password"];
        for entry in node.entries {
            if !known.contains(&entry.key.as_str()) {
                self.unknown(node, entry, &known);
            }
        }
        let address = self.needed(node, "address", super::net::host);
        // Also where the rest is still missing: a wizard tells it at once.
        if let Some(address) = &address {
            self.bmc_address(address, others, addresses);
            others.push(address.value.clone());
        }
        let user = self.needed(node, "user", value::bmc_user);
        let field = fields::find("fencing.<node>.password")?;
        let password = if let Some(entry) = node.entry("password") {
            self.secret(entry, &node.path_of("password"), &field.kind)
        } else {
            self.missing(node, "password", field.doc);
            None
        };
        Some(Bmc { address: address?.value, user: user?.value, password: password? })
    }

    /// A BMC has an address of its own: with the node's it would be asked to switch itself off.
    fn bmc_address(&mut self, got: &Got<String>, others: &[String], addresses: &[String]) {
        if others.iter().any(|other| other.eq_ignore_ascii_case(&got.value)) {
            let message = "is the other node's BMC too; each node has its own";
            self.problem(got.at, got.path.as_str(), message);
        }
        if addresses.contains(&got.value) {
            let message = "is a node's own address; give that of its BMC, which answers when the \
                           node does not";
            self.problem(got.at, got.path.as_str(), message);
        }
    }

    fn sbd_devices(&mut self, section: &Section<'_>) -> Option<Vec<String>> {
        let field = fields::find("fencing.devices")?;
        if !section.has("devices") {
            self.missing(section, "devices", field.doc);
            return None;
        }
        let items = self.list(section, "devices")?;
        let path = section.path_of("devices");
        let at = section.entry("devices").map_or(section.at, |entry| entry.at);
        if !(1..=3).contains(&items.len()) {
            self.problem(at, path.as_str(), "sbd takes one, two or three disks; list them");
            return None;
        }
        let mut devices: Vec<Option<String>> = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let path = format!("{path}[{n}]");
            let Some((text, at)) = self.scalar(item, item.at, &path, &field.kind) else {
                devices.push(None);
                continue;
            };
            let device = value::device(text);
            match &device {
                Err(message) => self.problem(at, path, message.as_str()),
                Ok(device) if devices.contains(&Some(device.clone())) => {
                    self.problem(at, path, "is listed twice; sbd's disks must be different ones");
                }
                Ok(_) => {}
            }
            devices.push(device.ok());
        }
        devices.into_iter().collect()
    }

    fn parameters(&mut self, node: &Section<'_>) -> Option<Vec<(String, Secret)>> {
        let field = fields::find("fencing.<node>.<parameter>")?;
        if node.entries.is_empty() && !node.broken {
            let message = "has no parameters; give what the agent needs, such as `ip` and `plug`";
            self.problem(node.at, node.path.as_str(), message);
        }
        let mut parameters = Vec::new();
        for entry in node.entries.iter().filter(|entry| !entry.duplicate) {
            let path = node.path_of(&entry.key);
            let word =
                !entry.key.is_empty() && entry.key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
            if !word && !entry.key.is_empty() {
                let message = format!("{} is no parameter name", quote(&entry.key));
                self.problem(entry.at, node.path.as_str(), message);
            }
            if OURS.contains(&entry.key.as_str()) {
                self.problem(entry.at, path.as_str(), "is set by hapair itself for each device; delete it");
            }
            parameters.push(self.secret(entry, &path, &field.kind).map(|v| (entry.key.clone(), v)));
        }
        parameters.into_iter().collect()
    }

    fn levels(&mut self, section: &Section<'_>, names: &Names, addresses: &[String]) -> Option<FencingMethod> {
        let field = fields::find("fencing.levels")?;
        if !section.has("levels") {
            self.missing(section, "levels", field.doc);
            return None;
        }
        let items = self.list(section, "levels")?;
        if items.is_empty() {
            let at = section.entry("levels").map_or(section.at, |entry| entry.at);
            self.problem(at, section.path_of("levels"), "has no method; list at least one");
        }
        let mut methods = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let path = format!("{}[{n}]", section.path_of("levels"));
            let level = self.mapping(item, item.at, path, "fencing");
            let last = n > 0 && n + 1 == items.len();
            methods.push(self.method(&level, names, addresses, if last { Place::Last } else { Place::Level }));
        }
        let methods: Option<Vec<_>> = methods.into_iter().collect();
        Some(FencingMethod::Levels { methods: methods? })
    }
}

/// Both nodes hang on one plug of one device. Without a plug many agents take the node's name: that differs.
fn same_plug([first, second]: &[Vec<(String, Secret)>; 2]) -> bool {
    first.iter().any(|(key, _)| key == "plug" || key == "port")
        && first.len() == second.len()
        && first
            .iter()
            .all(|(key, value)| second.iter().any(|(other, same)| key == other && value.reveal() == same.reveal()))
}

/// Which node a key of `fencing` means.
fn block_of(key: &str, names: &Names) -> Option<usize> {
    let fixed = fields::children("fencing").any(|(fixed, _)| fixed == key);
    if fixed {
        return None;
    }
    let own = names.iter().position(|name| name.as_deref() == Some(key));
    own.or_else(|| ["node1", "node2"].iter().position(|name| *name == key))
}

fn is_block(key: &str, names: &Names) -> bool {
    block_of(key, names).is_some()
}

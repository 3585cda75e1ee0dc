//! What a simulated node answers when it is looked at.

use std::fmt::Write as _;

use hapair::action::fencing_cut::FencingCut;
use hapair::action::fencing_shot::FencingShot;
use hapair::action::kind::Action;
use hapair::node::scripted::{fails, says};
use hapair::node::{At, Cmd, Output};

use super::{Entry, World, back, cluster};

const DEVICE: &str = "device=/dev/sda3\n";
const FACTS: &str = "kind=block\nreal=/dev/sda3\nsize=2147483648\nro=0\nidentity=/dev/sda3 2147483648 14338048\npartition=3\ndisk=sda\n";
pub const MADE: [&str; 2] = ["895CB231B972C31A", "995CB231B972C31B"];

/// The answer to read number `index` of an action.
pub fn of(world: &World, at: At, action: &Action, index: usize, cmd: &Cmd) -> Output {
    let machine = &world.machines[at.index()];
    match (action, index) {
        (Action::HostNames(names), 0) => {
            let hosts = machine.text("/etc/hosts");
            let resolve = |name: &str| {
                hosts
                    .lines()
                    .find(|line| line.split_whitespace().skip(1).any(|word| word == name))
                    .unwrap_or_default()
                    .to_owned()
            };
            says(format!(
                "uname={}\ngetent={}\ngetent={}\n{}",
                machine.name,
                resolve(&names.name),
                resolve(&names.peer),
                machine.text("/etc/hostname")
            ))
        }
        (Action::Packages(_), _) => {
            let mut text = String::new();
            for name in &cmd.argv[4..] {
                if machine.has(name) {
                    let _ = writeln!(text, "{name} install ok installed");
                }
            }
            says(format!("{text}\n"))
        }
        (Action::Partition(_) | Action::DrbdMetadata(_), _) => says(probe(world, at)),
        (Action::Filesystem(_), 0) => says(probe_drbd(world, at)),
        (Action::NodeRecord(_), _) => {
            let mut text = String::new();
            for name in ["made", "peer"] {
                if let Some(uuid) = machine.records.get(&format!("{}-{}.{name}", cmd.argv[4], cmd.argv[5])) {
                    let _ = writeln!(text, "{name}={uuid}");
                }
            }
            if cmd.argv[4] == "ocfs2" && world.ocfs2.is_some() && machine.primary {
                text.push_str("UUID: AA\n");
            }
            says(text)
        }
        (Action::Filesystem(_), _) => match &world.ocfs2 {
            Some(label) if machine.primary => says(format!(
                "\tLabel: {label}\n\tUUID: AA\n\tCluster stack: o2cb\n\tCluster name: ocfs2\n\tMax Node Slots: 2\n"
            )),
            _ => says(""),
        },
        (Action::BootEntry(_), 0) | (Action::Reboot(_), 2) => says(machine.menu.clone()),
        (Action::BootEntry(_), _) => fails(1, ""),
        (Action::Reboot(_), 0) => says(if machine.xen { "xen\ncontrol_d\n" } else { "" }),
        (Action::Reboot(_), _) => says(boot_id(world, at)),
        (Action::KernelModule(_), _) => {
            let mut text = "release=6.1.0-56-amd64\nversion=8.4.11\n".to_owned();
            text.push_str(if machine.module { "loaded=yes\n" } else { "there=yes\n" });
            if machine.files.contains_key("/etc/modules-load.d/drbd.conf") {
                text.push_str("boot=yes\n");
            }
            says(text)
        }
        (Action::Command(command), _) => {
            let what = command.run.join(" ");
            // Asks a daemon that may not run yet: then there is nothing to be done.
            if what.starts_with("corosync-cfgtool") || machine.done.contains(&what) {
                return says("");
            }
            if command.unless[0] == "o2cb" && !machine.has("ocfs2-tools") {
                return fails(127, "");
            }
            fails(1, "")
        }
        (Action::DrbdConnection(_), 0) | (Action::DrbdSync(_) | Action::DrbdRole(_), _) => says(drbd(world, at)),
        (Action::DrbdConnection(connection), 1) => {
            let mut text = String::new();
            for path in &connection.files {
                if let Some(file) = machine.files.get(path) {
                    let sum = file
                        .bytes
                        .iter()
                        .fold(7_u64, |sum, byte| sum.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(*byte)));
                    let _ = writeln!(text, "{sum:064x}  {path}");
                }
            }
            says(text)
        }
        (Action::DrbdConnection(_), _) => {
            says(if machine.up && machine.adjusted != machine.drbd_files() { "drbdsetup\n" } else { "" })
        }
        (Action::Mount(mount), _) => {
            let mut text = String::new();
            if machine.mounted {
                let _ = writeln!(text, "mounted={0} {0} ocfs2 rw,noatime,heartbeat=local", mount.device);
            }
            let _ = writeln!(text, "device={}", mount.device);
            if machine.up {
                text.push_str("block=yes\n");
            }
            says(text)
        }
        (Action::CrossRead(cross), _) => {
            if !machine.mounted {
                return fails(7, "");
            }
            let said = |name: &String| shared(world, at, &format!("{}/.hapair-{name}", cross.path));
            let lines: Vec<String> = cross
                .nodes
                .iter()
                .map(|name| {
                    said(name).map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).unwrap_or_default()
                })
                .collect();
            says(format!("{}\n", lines.join("\n")))
        }
        (Action::SshKey(_), _) | (Action::SshTrust(_), 0) => {
            if machine.key {
                says(format!("{}\n", public(at)))
            } else {
                fails(3, "")
            }
        }
        (Action::SshTrust(_), 1) => match machine.files.get("/root/.ssh/authorized_keys") {
            Some(file) => {
                let mode = file.mode.trim_start_matches('0');
                let folder = if machine.done.contains("ssh folder") { 700 } else { 755 };
                says([format!(". {folder}\nauthorized_keys {mode}\n\n").as_bytes(), &file.bytes].concat())
            }
            None if machine.done.contains("ssh folder") => says(". 700\n\n"),
            None => fails(3, ""),
        },
        (Action::SshTrust(_), 2) => {
            let text = machine.text("/root/.ssh/known_hosts");
            if text.is_empty() {
                return says("");
            }
            let mut out = String::new();
            for name in &cmd.argv[5..] {
                for (number, line) in text.lines().enumerate() {
                    let hosts = line.split_whitespace().next().unwrap_or_default();
                    if hosts.split(',').any(|host| host == name) {
                        let _ = writeln!(out, "{}", number + 1);
                    }
                }
            }
            says(format!("{out}\n{text}"))
        }
        (Action::SshTrust(_), _) => says(format!("ssh-ed25519 HOSTKEY{} root@host\n", at.index())),
        (Action::SshLogin(_), _) => {
            let there = world.machines[at.peer().index()].text("/root/.ssh/authorized_keys");
            if there.contains(&public(at)) { says("") } else { fails(255, "Permission denied (publickey).") }
        }
        (Action::Ring(_), _) => {
            let mut text =
                if machine.active("corosync.service") { "ring running\n" } else { "ring stopped\n" }.to_owned();
            for line in machine.text("/etc/corosync/corosync.conf").lines().map(str::trim) {
                for (key, word) in [("cluster_name:", "cluster"), ("name:", "name"), ("ring0_addr:", "address")] {
                    if let Some(value) = line.strip_prefix(key) {
                        let _ = writeln!(text, "{word} {}", value.trim());
                    }
                }
            }
            says(text + if world.cib.contains_key("resources") { "cib resources\n" } else { "cib absent\n" })
        }
        (Action::Service(service), _) => {
            let name =
                if service.name.contains('.') { service.name.clone() } else { format!("{}.service", service.name) };
            if machine.packages.len() < 4 {
                return says("LoadState=not-found\nActiveState=inactive\nUnitFileState=\n");
            }
            let unit = machine.units.get(&name).cloned().unwrap_or_default();
            says(format!(
                "LoadState={}\nActiveState={}\nUnitFileState={}\nWantedBy=\nRequiredBy=\n",
                if unit.masked { "masked" } else { "loaded" },
                if unit.active { "active" } else { "inactive" },
                if unit.masked {
                    "masked"
                } else if unit.enabled {
                    "enabled"
                } else {
                    "disabled"
                },
            ))
        }
        (Action::FencingDevice(device), 1) => {
            let there = world.cib.get("resources").is_some_and(|all| all.concat().contains("class=\"stonith\""));
            let lines: Vec<String> = device.nodes.iter().map(|name| format!("can {name}\n")).collect();
            says(if there { lines.concat() } else { String::new() })
        }
        (Action::FencingLogin(_), _) => says(if machine.has("ipmitool") { "ok\n" } else { "missing\n" }),
        (Action::FencingCut(_) | Action::FencingShot(_) | Action::FencingProof(_), 0) => {
            let mut text = format!("boot {}uptime 1000\nnow 2026-11-23T00:00:00Z\n", boot_id(world, at));
            for (name, kept) in &machine.records {
                if name.starts_with("fencing") {
                    kept.lines().for_each(|line| _ = writeln!(text, "{name} {line}"));
                }
            }
            says(text)
        }
        (Action::FencingCut(_) | Action::FencingShot(_) | Action::FencingProof(_), 3) => {
            says(if machine.mounted { "/dev/drbd0 /drbd0 ocfs2 rw 0 0\n" } else { "" })
        }
        (Action::FencingCut(FencingCut { victim, .. }) | Action::FencingShot(FencingShot { victim, .. }), 5) => {
            match world.fenced.get(victim) {
                Some(when) => says(format!(
                    "<r><fence_event status=\"success\" target=\"{victim}\" completed=\"2026-11-23 00:00:{when:02}Z\"/></r>"
                )),
                None => says("<r/>"),
            }
        }
        // No SBD: the methods of these answers have none.
        (Action::FencingCut(_) | Action::FencingShot(_) | Action::FencingProof(_), 6) => says("end\n"),
        (Action::SharedFile(_) | Action::VmConfig(_) | Action::DiskImage(_), 0) => {
            if machine.mounted {
                says("")
            } else {
                fails(1, "")
            }
        }
        (Action::Verify(_), 2) => says(if machine.mounted { "/dev/drbd0 /drbd0 ocfs2 rw,noatime 0 0\n" } else { "" }),
        (Action::Verify(verify), 3) => {
            let here = at == At::First;
            let names: Vec<&str> =
                verify.vms.split_whitespace().filter(|vm| here && cluster::holds(world, vm)).collect();
            says(format!("Name ID Mem VCPUs State Time(s)\nDomain-0 0 1024 1 r 1\n{}\n", names.join(" 1 2 3\n")))
        }
        _ => other(world, at, cmd),
    }
}

/// What is read in the same way for whatever it is.
pub fn other(world: &World, at: At, cmd: &Cmd) -> Output {
    let machine = &world.machines[at.index()];
    let words: Vec<&str> = cmd.argv.iter().map(String::as_str).collect();
    let found = |path: &str| machine.files.get(path).or_else(|| shared(world, at, path));
    if words.get(2).is_some_and(|script| script.contains("exit 112")) && !world.running(at) && !world.cib.is_empty() {
        return fails(112, "the cluster does not run on this node");
    }
    if back::unmounted(machine, &words) {
        return fails(hapair::undo::NOT_MOUNTED, "");
    }
    if let Some(nothing) = back::nothing(world, at, &words) {
        return if nothing { says("") } else { fails(1, "") };
    }
    match words.as_slice() {
        ["cat", "/proc/drbd"] => says(world.proc_drbd(at)),
        ["cat", "/proc/sys/kernel/random/boot_id"] => says(boot_id(world, at)),
        ["cat", "--", path] | ["cat", path] => {
            found(path).map_or_else(|| fails(1, ""), |file| says(file.bytes.clone()))
        }
        ["stat", "-c", "%a %U:%G %F", "--", path] => match found(path) {
            Some(file) => says(format!("{} {} regular file\n", file.mode.trim_start_matches('0'), file.owner)),
            None => fails(1, ""),
        },
        ["cibadmin", "-Q", "-o", "configuration"] => cluster::query(world, at),
        ["crm_mon", ..] => cluster::crm_mon(world, at),
        ["sh", "-c", script, ..] if script.contains("pidof corosync pacemakerd") => {
            if world.running(at) {
                cluster::crm_mon(world, at)
            } else {
                fails(7, "")
            }
        }
        [.., "hapair-continue.service"] if machine.continues => says(""),
        [.., "hapair-continue.service"] => fails(1, ""),
        ["sh", "-c", script, ..] if script.contains("cat /proc/drbd") => says(world.proc_drbd(at)),
        _ => panic!("a read that this model does not know: {}", cmd.argv.join(" ")),
    }
}

fn boot_id(world: &World, at: At) -> String {
    format!("boot-{}-{}\n", at.index(), world.machines[at.index()].boots)
}

pub fn public(at: At) -> String {
    format!("ssh-ed25519 KEY{} root@node{}", at.index(), at.index() + 1)
}

/// A file on the shared mount, if it is mounted here.
fn shared<'a>(world: &'a World, at: At, path: &str) -> Option<&'a Entry> {
    world.machines[at.index()].mounted.then(|| world.shared.get(path)).flatten()
}

/// The backing device.
pub fn probe(world: &World, at: At) -> String {
    let machine = &world.machines[at.index()];
    let mut text = DEVICE.to_owned();
    for name in ["made", "peer"] {
        if let Some(uuid) = machine.records.get(&format!("drbd-r0.{name}")) {
            let _ = writeln!(text, "{name}={uuid}");
        }
    }
    text.push_str(FACTS);
    if !machine.metadata {
        return text + "head=zero\ntail=zero\n";
    }
    if machine.up {
        text.push_str("attached=r0\n");
    }
    let uuid = MADE[at.index()].to_lowercase();
    let _ = writeln!(text, "sig=0x7ffff03c,{uuid},,drbd\nhead=zero\ntail=data");
    text
}

/// The DRBD device.
pub fn probe_drbd(world: &World, at: At) -> String {
    let machine = &world.machines[at.index()];
    if !machine.up {
        return "device=/dev/drbd0\n".to_owned();
    }
    let mut text = "device=/dev/drbd0\nkind=block\nreal=/dev/drbd0\nsize=2147414016\nro=0\n".to_owned();
    if machine.mounted {
        text.push_str("use=mounted on /drbd0\n");
    }
    match (&world.ocfs2, machine.primary) {
        (_, false) => text.push_str("head=unreadable\ntail=unreadable\n"),
        (None, true) => text.push_str("head=zero\ntail=zero\n"),
        (Some(label), true) => {
            let _ = writeln!(text, "sig=0x2000,AA,{label},ocfs2\nhead=data\ntail=zero");
        }
    }
    text
}

/// As `drbd::look` gives it.
fn drbd(world: &World, at: At) -> String {
    let mut text = world.proc_drbd(at);
    if !text.is_empty() && !text.contains("ds:UpToDate/UpToDate") {
        let gi = if world.machines[at.index()].up { "0000000000000004:0:0:0:0:0" } else { "" };
        let _ = write!(text, "=== gi\n{gi}\n");
    }
    text
}

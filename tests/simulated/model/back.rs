//! What takes things back, on a simulated node.

use std::collections::BTreeMap;

use hapair::node::At;
use hapair::node::Output;
use hapair::node::scripted::{fails, says};

use super::{Entry, Machine, World, cluster};

/// Whether it is the read that tells whether a path was changed, of one that lies on a shared mount that is not there.
pub fn unmounted(machine: &Machine, words: &[&str]) -> bool {
    let ["sh", "-c", script, "sh", path, _, guard] = words else { return false };
    script.starts_with("kept=") && !guard.is_empty() && !machine.mounted && machine.before.contains_key(*path)
}

/// Whether there is nothing to take back; `None` for another kind of read.
pub fn nothing(world: &World, at: At, words: &[&str]) -> Option<bool> {
    let ["sh", "-c", script, "sh", args @ ..] = words else { return None };
    let machine = &world.machines[at.index()];
    if script.contains("# Succeeds when there is nothing to take back at a path") {
        let path = args[0];
        let Some(before) = machine.before.get(path) else { return Some(!script.starts_with("kept=")) };
        let shared = args.get(2).is_some_and(|guard| !guard.is_empty());
        if shared && !machine.mounted {
            return Some(true);
        }
        let is = if shared { &world.shared } else { &machine.files }.get(path);
        let back = is.is_none() || (before.is_some() && is == before.as_ref());
        let ours = is.is_some_and(|is| machine.written.get(path) == Some(&is.bytes));
        return Some(!back && !ours);
    }
    Some(match *script {
        ":" => true,
        "[ ! -e /var/lib/hapair/record ]" => machine.left,
        script if script.contains("uname -n") => machine.name == machine.text("/etc/hostname").trim(),
        script if script.contains("grep -qxF -e \"$1\" -e \"$2\" /etc/hosts") => {
            !machine.before.contains_key("/etc/hosts")
                || !machine.text("/etc/hosts").lines().any(|line| args.contains(&line))
        }
        script if script.contains("is-active") => {
            machine.units.get(args[0]).is_none_or(|unit| !unit.active && !unit.enabled)
        }
        script if script.contains("/boot/grub/grub.cfg") => !machine.menu.contains(args[0]),
        script if script.contains("/etc/modules-load.d") => {
            !machine.files.contains_key("/etc/modules-load.d/drbd.conf")
        }
        script if script.contains("! grep -qF \" $1 $2 \" /proc/mounts") => !machine.mounted,
        script if script.contains("cs:Unconfigured") => !machine.up,
        script if script.contains("cib.xml ]") && script.len() < 60 => world.cib.is_empty(),
        script if script.contains("$1/authorized_keys") && script.starts_with("[ -n") => {
            args[1].is_empty() || !machine.text("/root/.ssh/authorized_keys").contains(args[1])
        }
        script if script.contains("[ \"$(lines \"$file\")\" = \"$was\" ]") => {
            let text = machine.text("/root/.ssh/known_hosts");
            !args[2..].iter().any(|name| text.contains(name))
        }
        script if script.contains("live=$(cibadmin -Q -o configuration 2>/dev/null)") => {
            !world.running(at) || !args[1..].chunks(2).any(|object| cluster::has(world, object[1]))
        }
        // The `unless` of a step's command, turned round.
        "! \"$@\" >/dev/null 2>&1" => !machine.done.contains("systemctl restart o2cb"),
        _ => return None,
    })
}

/// Takes something back; `None` for another kind of order.
pub fn apply(world: &mut World, at: At, words: &[&str]) -> Option<Output> {
    let machine = &mut world.machines[at.index()];
    if words == ["systemctl", "stop", "o2cb"] {
        machine.done.remove("systemctl restart o2cb");
        return Some(if machine.mounted { fails(1, "in use") } else { says("") });
    }
    let ["sh", "-c", script, "sh", args @ ..] = words else { return None };
    match *script {
        script if script.starts_with("rm -f /var/lib/hapair/record") => machine.left = true,
        script if script.starts_with("# Puts back what stood at a path") => {
            let shared = args.get(2).is_some_and(|guard| !guard.is_empty());
            if shared && !machine.mounted {
                return Some(fails(1, "is not mounted"));
            }
            let files = if shared { Some(&mut world.shared) } else { None };
            return Some(file(machine, files, args[0]));
        }
        script if script.starts_with("hostname \"$(cat") => {
            machine.name = machine.text("/etc/hostname").trim().to_owned();
        }
        script if script.contains("grep -vxF -e \"$1\" -e \"$2\" /etc/hosts") => {
            let text = machine.text("/etc/hosts");
            let kept: String =
                text.split_inclusive('\n').filter(|line| !args.contains(&line.trim_end_matches('\n'))).collect();
            machine.put("/etc/hosts", kept.as_bytes());
            machine.before.remove("/etc/hosts");
            machine.written.remove("/etc/hosts");
        }
        script if script.starts_with("systemctl disable --now") => {
            let unit = machine.units.entry(args[0].to_owned()).or_default();
            (unit.enabled, unit.active) = (false, false);
        }
        "update-grub" => machine.menu = super::MENU.to_owned(),
        script if script.starts_with("rm -f \"/etc/modules-load.d") => {
            machine.files.remove("/etc/modules-load.d/drbd.conf");
        }
        "umount \"$1\"" => machine.mounted = false,
        "drbdadm down \"$1\"" => {
            if machine.mounted {
                return Some(fails(11, "Device is held open by someone"));
            }
            (machine.up, machine.primary) = (false, false);
        }
        script if script.contains("rm -rf /var/lib/corosync") => {
            if world.running(at) {
                return Some(fails(1, "the cluster still runs"));
            }
            world.cib.clear();
        }
        script if script.contains("grep -vF -e \"$2\"") => without(machine, "/root/.ssh/authorized_keys", &args[1..2]),
        script if script.contains("ssh-keygen -q -R") => without(machine, "/root/.ssh/known_hosts", &args[2..]),
        script if script.starts_with("# Takes objects out of the CIB") => {
            if !world.running(at) {
                return Some(fails(102, "not connected"));
            }
            for object in args[1..].chunks(2) {
                for section in world.cib.values_mut() {
                    section.retain(|text| cluster::object_id(text) != object[1]);
                }
                for machine in &mut world.machines {
                    match object[1] {
                        "fs-r0-clone" => machine.mounted = false,
                        "drbd-r0-clone" => (machine.up, machine.primary) = (false, false),
                        _ => {}
                    }
                }
            }
        }
        _ => return None,
    }
    Some(says(""))
}

/// `shared`: the files of the shared mount, where the path is one of them.
fn file(machine: &mut Machine, shared: Option<&mut BTreeMap<String, Entry>>, path: &str) -> Output {
    let Some(before) = machine.before.get(path).cloned() else { return says("") };
    let files = shared.unwrap_or(&mut machine.files);
    let is = files.get(path);
    if is != before.as_ref() && is.is_some_and(|is| machine.written.get(path) != Some(&is.bytes)) {
        return fails(1, "was changed meanwhile: it was left alone");
    }
    match before {
        Some(entry) => files.insert(path.to_owned(), entry),
        None => files.remove(path),
    };
    machine.before.remove(path);
    machine.written.remove(path);
    says("")
}

/// A file without the lines that hold one of these words.
fn without(machine: &mut Machine, path: &str, words: &[&str]) {
    if let Some(file) = machine.files.get_mut(path) {
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        let kept = text.split_inclusive('\n').filter(|line| !words.iter().any(|word| line.contains(word)));
        file.bytes = kept.collect::<String>().into_bytes();
    }
}

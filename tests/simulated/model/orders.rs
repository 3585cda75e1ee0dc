//! What an order leaves behind on a simulated node.

use hapair::node::scripted::{fails, says};
use hapair::node::{At, Cmd, Output};

use super::{Entry, World, back, cluster, reads};

pub fn apply(world: &mut World, at: At, cmd: &Cmd) -> Output {
    let words: Vec<&str> = cmd.argv.iter().map(String::as_str).collect();
    if let Some(output) = back::apply(world, at, &words) {
        return output;
    }
    match words.as_slice() {
        ["sh", "-c", script, "sh", args @ ..] => script_of(world, at, cmd, script, args),
        ["hostname", name] => {
            world.machines[at.index()].name = (*name).to_owned();
            says("")
        }
        ["modprobe", "drbd"] => {
            world.machines[at.index()].module = true;
            says("")
        }
        ["update-grub"] => {
            let machine = &mut world.machines[at.index()];
            let text = machine.text("/etc/default/grub.d/zz-hapair-xen.cfg");
            let memory = text.split('"').find(|part| part.contains("dom0_mem=")).unwrap_or_default();
            machine.menu = format!(
                "set default=\"Debian GNU/Linux, with Xen hypervisor\"\nmenuentry 'Debian GNU/Linux' --class os $menuentry_id_option 'simple' {{\n\tlinux /boot/vmlinuz\n}}\nmenuentry 'Debian GNU/Linux, with Xen hypervisor' --class xen $menuentry_id_option 'xen' {{\n\tmultiboot2 /boot/xen-4.17-amd64.gz placeholder {memory}\n}}\n"
            );
            says("")
        }
        ["systemctl", verb @ ("enable" | "disable" | "mask" | "unmask"), "--", unit] => {
            unit_verb(world, at, verb, unit)
        }
        ["install", "-d", "-m", "0700", ..] => {
            world.machines[at.index()].done.insert("ssh folder".to_owned());
            says("")
        }
        ["chmod", mode, path] => match world.machines[at.index()].files.get_mut(*path) {
            Some(file) => {
                file.mode = (*mode).to_owned();
                says("")
            }
            None => fails(1, "no such file"),
        },
        ["cibadmin", ..] => cluster::change(world, at, cmd),
        // The commands of steps.
        _ => {
            world.machines[at.index()].done.insert(words.join(" "));
            says("")
        }
    }
}

fn unit_verb(world: &mut World, at: At, verb: &str, unit: &str) -> Output {
    let unit = world.machines[at.index()].units.entry(unit.to_owned()).or_default();
    match verb {
        "enable" => unit.enabled = true,
        "disable" => unit.enabled = false,
        "mask" => unit.masked = true,
        "unmask" => unit.masked = false,
        "start" if unit.masked => return fails(1, "is masked"),
        "start" => unit.active = true,
        _ => unit.active = false,
    }
    says("")
}

fn script_of(world: &mut World, at: At, cmd: &Cmd, script: &str, args: &[&str]) -> Output {
    let me = at.index();
    if script.starts_with("# Writes a whole file") {
        return write(world, at, cmd, args);
    }
    if args.first() == Some(&"hapair-continue.service") {
        world.machines[me].continues = script.contains("systemctl enable");
        return says("");
    }
    if script.contains("# $1 name, $2 text, $3 name of what it takes the place of") {
        let machine = &mut world.machines[me];
        machine.records.insert(args[0].to_owned(), args[1].to_owned());
        machine.records.remove(args[2]);
        return says("");
    }
    if script.contains("the cluster link was cut for") {
        assert_eq!(args[6..], ["10.0.0.2", "udp"], "the peer's address on the one link there is");
        return shoot(world, at, &args[..2]);
    }
    if script.contains("stonith_admin --reboot") {
        return shoot(world, at, args);
    }
    if script.contains("\"/var/lib/hapair/$1.new\"") {
        world.machines[me].records.insert(args[0].to_owned(), args[1].to_owned());
        return says("");
    }
    if script.contains("the package install did not start") {
        for name in &args[2..] {
            world.machines[me].packages.insert((*name).to_owned());
        }
        for held in args[1].split_whitespace() {
            let unit = world.machines[me].units.entry(format!("{held}.service")).or_default();
            if !unit.enabled {
                unit.masked = true;
            }
        }
        return says("");
    }
    if script.starts_with("systemctl ") {
        return unit_verb(world, at, args[0], args[1]);
    }
    if script.contains("setsid sh -c 'sleep 1") {
        world.reboots[me] += 1;
        world.machines[me].reboot();
        return says("");
    }
    if script.contains("/etc/modules-load.d") {
        world.machines[me].put("/etc/modules-load.d/drbd.conf", b"drbd\n");
        return says("");
    }
    // The guard of the destructive ones: what was judged must still be so.
    if script.contains("create-md") {
        if args[0] != reads::probe(world, at).trim_end() {
            return fails(1, "what is on the device has changed since it was looked at; nothing was written.");
        }
        world.create_md[me] += 1;
        world.machines[me].records.insert("drbd-r0.made".to_owned(), reads::MADE[me].to_owned());
        world.machines[me].metadata = true;
        return says("");
    }
    if script.contains("mkfs.ocfs2") {
        if args[0] != reads::probe_drbd(world, at).trim_end() {
            return fails(1, "what is on the device has changed since it was looked at; nothing was written.");
        }
        world.mkfs += 1;
        world.machines[me].records.insert("ocfs2-r0.made".to_owned(), "AA".to_owned());
        world.ocfs2 = Some(args[5].to_owned());
        return says("");
    }
    if script.contains("drbdadm adjust") {
        let machine = &mut world.machines[me];
        if !machine.metadata || !machine.module {
            return fails(20, "no metadata");
        }
        machine.up = true;
        machine.adjusted = machine.drbd_files();
        return says("");
    }
    if script.contains("c-plan-ahead") {
        return says("");
    }
    if script.contains("not Inconsistent/Inconsistent") {
        if world.synced {
            return fails(1, "is UpToDate/UpToDate now: nothing was done");
        }
        if script.contains("primary --force") || script.contains("new-current-uuid") {
            world.force += 1;
            world.synced = true;
            world.machines[me].primary = script.contains("primary --force");
        }
        return says("");
    }
    if script.contains("exec drbdadm primary") {
        if !world.synced {
            return fails(1, "not UpToDate");
        }
        world.machines[me].primary = true;
        return says("");
    }
    if script.contains("exec mount -t") {
        let machine = &mut world.machines[me];
        if machine.mounted || !machine.primary || world.ocfs2.is_none() {
            return fails(32, "wrong fs type, or mounted already");
        }
        machine.mounted = true;
        return says("");
    }
    if script.contains(".hapair-$2.new") {
        let bytes = format!("{} word", args[1]).into_bytes();
        return share(world, at, &format!("{}/.hapair-{}", args[0], args[1]), bytes);
    }
    if script.contains("ssh-keygen -q -t ") {
        world.machines[me].key = true;
        world.machines[me].done.insert("ssh folder".to_owned());
        return says("");
    }
    if script.contains("crm_simulate") {
        return says("");
    }
    world.machines[me].done.insert(cmd.argv.join(" "));
    // A command for both is done once, and both see what it did.
    world.machines[at.peer().index()].done.insert(cmd.argv.join(" "));
    says("")
}

fn share(world: &mut World, at: At, path: &str, bytes: Vec<u8>) -> Output {
    if !world.machines[at.index()].mounted {
        return fails(1, "not mounted");
    }
    let entry = Entry { bytes, mode: "0644".to_owned(), owner: "root:root".to_owned() };
    world.shared.insert(path.to_owned(), entry);
    says("")
}

/// `$1` path `$2` mode or keep `$3` owner `$4` size `$5` backup's name `$6` size of the old content `$7` shared mount.
fn write(world: &mut World, at: At, cmd: &Cmd, args: &[&str]) -> Output {
    let machine = &mut world.machines[at.index()];
    let [path, mode, owner, size, _, old, guard] = args else { return fails(2, "usage") };
    if !guard.is_empty() && !machine.mounted {
        return fails(1, "not mounted");
    }
    let files = if guard.is_empty() { &mut machine.files } else { &mut world.shared };
    if cmd.stdin.len().to_string() != *size {
        return fails(74, "did not arrive whole");
    }
    let before = files.get(*path).cloned();
    let mut bytes = cmd.stdin.clone();
    if let Ok(old) = old.parse::<usize>() {
        let there = before.as_ref().map(|file| file.bytes.clone()).unwrap_or_default();
        if bytes[..old] != there {
            return fails(75, "was changed meanwhile by something else");
        }
        bytes.drain(..old);
    }
    let (mode, owner) = match (&before, *mode) {
        (Some(file), "keep") => (file.mode.clone(), file.owner.clone()),
        (None, "keep") => ("0644".to_owned(), "root:root".to_owned()),
        (_, mode) => (mode.to_owned(), (*owner).to_owned()),
    };
    // What hapair made on the shared mount stays there behind an undo, and is known by what was written.
    let theirs = before.as_ref().is_some_and(|file| machine.written.get(*path) != Some(&file.bytes));
    if guard.is_empty() || theirs {
        machine.before.entry((*path).to_owned()).or_insert(before);
    }
    machine.written.insert((*path).to_owned(), bytes.clone());
    files.insert((*path).to_owned(), Entry { bytes, mode, owner });
    says("")
}

/// The peer goes down, and the cluster brings it back as it was.
fn shoot(world: &mut World, at: At, args: &[&str]) -> Output {
    let [victim, file] = args else { return fails(2, "usage") };
    let peer = &mut world.machines[at.peer().index()];
    assert_eq!(peer.name, *victim, "who shoots itself");
    // Alone, or the first of several levels.
    let devices = [format!("fence-{victim}"), format!("fence-1-{victim}")];
    assert!(devices.iter().any(|device| cluster::holds(world, device)), "no device for {victim}");
    assert!(world.cib["resources"].iter().any(|object| object.contains("drbd-r0-clone")), "nothing brings it back");
    let peer = &mut world.machines[at.peer().index()];
    peer.boots += 1;
    peer.continues = false;
    *world.fenced.entry((*victim).to_owned()).or_default() += 1;
    if let Some(note) = world.machines[at.index()].records.get_mut(*file) {
        note.push_str("ordered=yes\nseconds=24\n");
    }
    says("")
}

//! The status for people: one screen.

use std::fmt::Write as _;

use super::{Drift, Shown};
use crate::answers::Layout;
use crate::drbd::Sync;
use crate::status::loss::Loss;
use crate::status::node::NodeStatus;
use crate::status::trouble::Trouble;
use crate::status::vm::VmStatus;

/// Differences shown at most; `hapair plan` shows all.
const DIFFERENCES: usize = 6;

/// The whole screen.
pub(super) fn of(shown: &Shown<'_>) -> String {
    let standing = &shown.standing;
    let mut text = format!("{}\n\n", headline(shown));
    text.push_str(&table(shown));
    if !standing.vms.is_empty() {
        text.push_str("\nVMs\n");
        for vm in &standing.vms {
            let _ = writeln!(text, "  {:14} {}", vm.name, of_vm(vm));
        }
    }
    text.push_str(&fencing(shown));
    text.push('\n');
    for loss in &standing.losses {
        let _ = writeln!(text, "{}", of_loss(loss));
    }
    text.push_str(&drift(&shown.drift));
    text.push_str(&checkpoints(shown));
    if !standing.troubles.is_empty() {
        text.push_str("\nNot as it must be:\n");
        for (number, trouble) in standing.troubles.iter().enumerate() {
            text.push_str(&of_trouble(number + 1, trouble));
        }
    }
    text
}

fn headline(shown: &Shown<'_>) -> String {
    let cluster = &shown.setup.answers.cluster;
    let standing = &shown.standing;
    match standing.troubles.len() {
        _ if standing.unreachable() => format!("{cluster}: neither node can be asked"),
        0 if shown.drift.is_none() => format!("{cluster}: healthy"),
        0 => format!("{cluster}: works, but is not as the answers say"),
        1 => format!("{cluster}: degraded, 1 thing is not as it must be"),
        many => format!("{cluster}: degraded, {many} things are not as they must be"),
    }
}

/// Both nodes side by side.
fn table(shown: &Shown<'_>) -> String {
    let answers = &shown.setup.answers;
    let mut text = String::new();
    let mut row = |title: &str, cells: [String; 2]| {
        let [first, second] = cells;
        let line = format!("{title:12} {first:32} {second}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    row("", [0, 1].map(|index| answers.nodes[index].name.clone()));
    let nodes = &shown.standing.nodes;
    let each = |say: &dyn Fn(&NodeStatus) -> String| {
        [0, 1].map(|index| nodes[index].as_ref().map_or_else(|_| "?".to_owned(), say))
    };
    row(
        "cluster",
        [0, 1].map(|index| {
            let name = &answers.nodes[index].name;
            let Some(view) = &shown.standing.view else {
                return match &nodes[index] {
                    Ok(node) => node.cluster.as_ref().err().cloned().unwrap_or_default(),
                    Err(_) => "can't be asked".to_owned(),
                };
            };
            let dc = if view.dc.as_ref() == Some(name) { ", DC" } else { "" };
            format!("{}{dc}", view.node(name).map_or("unknown", |node| node.word()))
        }),
    );
    row(
        "links",
        each(&|node| match node.links.as_slice() {
            [] => "none".to_owned(),
            links => links.iter().map(|link| format!("{} {}", link.number, link.state)).collect::<Vec<_>>().join(", "),
        }),
    );
    if answers.storage.layout == Layout::Ocfs2 {
        row(
            &format!("DRBD {}", answers.storage.resource),
            each(&|node| match &node.drbd.device {
                None => "not up".to_owned(),
                Some(device) => format!("{}, {}", device.role, device.disk),
            }),
        );
        row(
            "",
            each(&|node| match &node.drbd.device {
                None => String::new(),
                Some(device) => match &device.sync {
                    Some(sync) => format!("{} {}", device.connection, of_sync(sync)),
                    None => match device.out_of_sync_kib {
                        Some(kib) if kib > 0 => {
                            format!("{}, {} MiB out of sync", device.connection, kib.div_ceil(1024))
                        }
                        _ => device.connection.clone(),
                    },
                },
            }),
        );
        row(
            &answers.storage.mount,
            each(&|node| match &node.mount {
                None => "not mounted".to_owned(),
                Some(mount) if mount.read_only => format!("{}, READ-ONLY", mount.kind),
                Some(mount) => format!("{}, mounted", mount.kind),
            }),
        );
    }
    row("hypervisor", each(&|node| node.hypervisor.clone()));
    row(
        "memory",
        each(&|node| {
            node.memory.map_or_else(
                || "?".to_owned(),
                |memory| format!("{} of {} MiB free", memory.free_mib, memory.total_mib),
            )
        }),
    );
    row("load", each(&|node| node.load.clone()));
    text
}

/// `SyncSource 48 %, 0:07 left, 36 MiB/s`
fn of_sync(sync: &Sync) -> String {
    let mut text = format!("{:.0} %", sync.percent);
    if let Some(seconds) = sync.eta_seconds {
        let _ = write!(text, ", {}:{:02}:{:02} left", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    if sync.stalled {
        text.push_str(", stalled");
    }
    text
}

fn of_vm(vm: &VmStatus) -> String {
    let Some(node) = &vm.node else { return vm.role.to_lowercase() };
    let since = vm.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
    let moves = match &vm.bound {
        None => "can move".to_owned(),
        Some(why) => format!("can't move: {why}"),
    };
    format!("{} on {node}{since}; {moves}", vm.role.to_lowercase())
}

fn fencing(shown: &Shown<'_>) -> String {
    let fencing = &shown.standing.fencing;
    let state = match fencing.enabled {
        Some(true) => "on",
        Some(false) => "OFF",
        None => "not known",
    };
    let mut text = format!("\nfencing: {state}, method {}\n", fencing.method);
    for device in &fencing.devices {
        let place =
            if device.nodes.is_empty() { "runs nowhere".to_owned() } else { format!("on {}", device.nodes.join(", ")) };
        let monitor = device.monitor.as_ref().map(|monitor| format!("; monitor {monitor}")).unwrap_or_default();
        let _ = writeln!(text, "  {} ({}) {place}{monitor}", device.id, device.agent);
    }
    for proved in &fencing.proved {
        let _ = writeln!(text, "  {}", proved.words());
    }
    for event in &fencing.history {
        let _ = writeln!(text, "  {event}");
    }
    if let Some(last) = &fencing.last_level {
        let _ = writeln!(text, "  last level: {last}");
    }
    if let Some(warning) = &fencing.warning {
        let _ = writeln!(text, "  careful: {warning}");
    }
    text
}

fn of_loss(loss: &Loss) -> String {
    let taken = match loss.taken_over.as_slice() {
        [] => "no VM is touched".to_owned(),
        vms => format!("{} would start on the other node", vms.join(", ")),
    };
    if loss.lost_already {
        return format!("{} is lost", loss.node);
    }
    match loss.obstacles.as_slice() {
        [] => format!("if {} is lost: {taken}", loss.node),
        obstacles => format!("if {} is lost: {taken}, but\n    {}", loss.node, obstacles.join("\n    ")),
    }
}

fn drift(drift: &Drift) -> String {
    match drift {
        Drift::NotLooked(why) => format!("differences from the answers: not looked for ({why})\n"),
        Drift::Found(found) if found.is_empty() => "differences from the answers: none\n".to_owned(),
        Drift::Found(found) => {
            let mut text = format!(
                "differences from the answers: {} (hapair plan shows them, hapair install ends them)\n",
                found.len()
            );
            for line in found.iter().take(DIFFERENCES) {
                let _ = writeln!(text, "    {line}");
            }
            if found.len() > DIFFERENCES {
                let _ = writeln!(text, "    and {} more", found.len() - DIFFERENCES);
            }
            text
        }
    }
}

/// The steps that did not come to their end, or that all did.
fn checkpoints(shown: &Shown<'_>) -> String {
    let open: Vec<_> = shown.checkpoints.iter().filter(|checkpoint| checkpoint.open).collect();
    if open.len() == shown.checkpoints.len() {
        return "checkpoints: no step was run from here\n".to_owned();
    }
    if open.is_empty() {
        let last = shown.checkpoints.last().map(|checkpoint| checkpoint.state.clone()).unwrap_or_default();
        return format!("checkpoints: every step has come to its end ({last})\n");
    }
    let list: Vec<String> = open.iter().map(|checkpoint| format!("{} {}", checkpoint.step, checkpoint.state)).collect();
    format!("checkpoints: {}\n", list.join("; "))
}

fn of_trouble(number: usize, trouble: &Trouble) -> String {
    let mut text = format!("{number}. {} [{}]\n", trouble.what, trouble.name);
    for mend in &trouble.mend {
        let _ = writeln!(text, "     on {}: {}", mend.on, mend.command);
        let _ = writeln!(text, "         risk: {}", mend.risk);
    }
    text
}

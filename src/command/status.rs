//! `hapair status`: checkpoints and live health. Works when one node is gone.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cluster::{CRM_MON, ClusterView};
use crate::command::print;
use crate::drbd;
use crate::event::Event;
use crate::exit;
use crate::journal::Journal;
use crate::node::{At, Cmd, Output, Pair};
use crate::setup::Setup;

/// Prints how things stand; gives the exit code: 0 healthy, 1 degraded, 5 no node answers.
///
/// # Errors
/// When the journal can't be read.
pub fn run(setup: &Setup, as_json: bool) -> Result<u8> {
    let pair = setup.connect(false)?;
    let checkpoints = checkpoints(setup)?;
    let nodes = At::BOTH.map(|at| look(setup, &pair, at));
    let view = nodes.iter().find_map(|node| node.as_ref().ok().and_then(|node| node.cluster.clone().ok()));
    let troubles = troubles(setup, &nodes, view.as_ref());
    let code = match (nodes.iter().all(Result::is_err), troubles.is_empty()) {
        (true, _) => exit::UNREACHABLE,
        (false, true) => exit::DONE,
        (false, false) => exit::STEP_FAILED,
    };
    if as_json {
        print(&format!("{:#}\n", json(setup, &checkpoints, &nodes, view.as_ref(), &troubles)))?;
    } else {
        print(&text(setup, &checkpoints, &nodes, view.as_ref(), &troubles))?;
    }
    Ok(code)
}

/// What one node says of itself.
struct NodeStatus {
    drbd: String,
    devices: Vec<drbd::Device>,
    mounted: bool,
    cluster: Result<ClusterView, String>,
    hypervisor: String,
    load: String,
}

fn look(setup: &Setup, pair: &Pair, at: At) -> Result<NodeStatus, String> {
    let outputs = pair.at(at).read_all(&reads(setup)).map_err(|lost| lost.to_string())?;
    let [drbd, mounts, cluster, hypervisor, load] = outputs.as_slice() else {
        return Err("it answered something else than was asked".to_owned());
    };
    Ok(NodeStatus {
        drbd: drbd.line(),
        devices: drbd::proc(&drbd.text()).devices,
        mounted: mounts.ok(),
        cluster: cluster_view(cluster),
        hypervisor: hypervisor.line(),
        load: load.line(),
    })
}

fn reads(setup: &Setup) -> Vec<Cmd> {
    vec![
        Cmd::read_sh("cat /proc/drbd 2>/dev/null || :", [] as [&str; 0]),
        Cmd::read(["grep", "-q", &format!(" {} ocfs2 ", setup.answers.storage.mount), "/proc/mounts"]),
        Cmd::read(CRM_MON),
        Cmd::read_sh("cat /sys/hypervisor/type 2>/dev/null || echo none", [] as [&str; 0]),
        Cmd::read(["cat", "/proc/loadavg"]),
    ]
}

fn cluster_view(output: &Output) -> Result<ClusterView, String> {
    if output.ok() {
        ClusterView::parse(&output.text())
    } else if output.code == 127 {
        Err("Pacemaker is not installed".to_owned())
    } else {
        Err(output.errors().lines().last().unwrap_or("crm_mon says nothing").trim().to_owned())
    }
}

/// The last result of each step that the journal has.
fn checkpoints(setup: &Setup) -> Result<Vec<(String, String)>> {
    let lines = Journal::read(&setup.state, &setup.answers.cluster)?;
    let mut found = Vec::new();
    for step in &setup.catalog.steps {
        let last = lines.iter().rev().find_map(|line| match &line.event {
            Event::StepDone { step: id, .. } if *id == step.id => Some(format!("done {:.0}", line.time)),
            Event::StepSkipped { step: id, why } if *id == step.id => Some(format!("left out: {why}")),
            Event::Failed(failure) if failure.step.as_ref() == Some(&step.id) => {
                Some(format!("failed {:.0}", line.time))
            }
            Event::StepStarted { step: id, .. } if *id == step.id => Some("begun, not finished".to_owned()),
            _ => None,
        });
        found.push((step.id.clone(), last.unwrap_or_else(|| "not run from here".to_owned())));
    }
    Ok(found)
}

fn troubles(setup: &Setup, nodes: &[Result<NodeStatus, String>; 2], view: Option<&ClusterView>) -> Vec<String> {
    let names: Vec<String> = setup.answers.nodes.iter().map(|node| node.name.clone()).collect();
    let mut found = Vec::new();
    for (name, node) in names.iter().zip(nodes) {
        let node = match node {
            Err(why) => {
                found.push(format!("{name} can't be asked: {why}"));
                continue;
            }
            Ok(node) => node,
        };
        if node.devices.is_empty() {
            found.push(format!("{name}: DRBD is not up"));
        }
        for device in &node.devices {
            if device.connection != "Connected" || device.disk != "UpToDate" || device.peer_disk != "UpToDate" {
                found.push(format!("{name}: DRBD is {}, {}/{}", device.connection, device.disk, device.peer_disk));
            }
        }
        if !node.mounted {
            found.push(format!("{name}: {} is not mounted", setup.answers.storage.mount));
        }
        if let Err(why) = &node.cluster {
            found.push(format!("{name}: the cluster does not answer: {why}"));
        }
    }
    if let Some(view) = view {
        found.extend(view.missing_membership(&names));
        found.extend(view.missing_resources(&[]));
        if !view.fencing_enabled {
            found.push("fencing is switched off: a VM could run on both nodes at once".to_owned());
        }
        found.extend(
            view.failures.iter().map(|failure| format!("{}; forget it: {}", failure.words(), failure.cleanup())),
        );
    }
    found.dedup();
    found
}

fn text(
    setup: &Setup,
    checkpoints: &[(String, String)],
    nodes: &[Result<NodeStatus, String>; 2],
    view: Option<&ClusterView>,
    troubles: &[String],
) -> String {
    let mut text = format!("cluster {}\n", setup.answers.cluster);
    for (name, node) in setup.answers.nodes.iter().map(|node| &node.name).zip(nodes) {
        match node {
            Err(why) => {
                let _ = writeln!(text, "\n{name}: can't be asked: {why}");
            }
            Ok(node) => {
                let mounted = if node.mounted { "mounted" } else { "not mounted" };
                let _ = writeln!(text, "\n{name}: hypervisor {}, load {}", node.hypervisor, node.load);
                let _ = writeln!(text, "  {} {mounted}", setup.answers.storage.mount);
                for line in node
                    .drbd
                    .lines()
                    .filter(|line| line.contains("cs:") || line.contains("sync'ed") || line.contains("finish"))
                {
                    let _ = writeln!(text, "  drbd {}", line.trim());
                }
            }
        }
    }
    if let Some(view) = view {
        let quorum = if view.quorum { "with quorum" } else { "WITHOUT quorum" };
        let _ = writeln!(text, "\ncluster: DC {}, {quorum}", view.dc.as_deref().unwrap_or("none"));
        for node in &view.nodes {
            let _ = writeln!(text, "  {:12} {}", node.name, node.word());
        }
        for resource in &view.resources {
            let on =
                if resource.nodes.is_empty() { String::new() } else { format!(" on {}", resource.nodes.join(", ")) };
            let _ = writeln!(text, "  {:20} {}{on}", resource.id, resource.role);
        }
    }
    text.push_str("\ncheckpoints\n");
    for (id, state) in checkpoints {
        let _ = writeln!(text, "  {id:14} {state}");
    }
    if troubles.is_empty() {
        text.push_str("\nEverything is as it must be.\n");
    } else {
        text.push_str("\nNot as it must be:\n");
        for trouble in troubles {
            let _ = writeln!(text, "  - {trouble}");
        }
    }
    text
}

fn json(
    setup: &Setup,
    checkpoints: &[(String, String)],
    nodes: &[Result<NodeStatus, String>; 2],
    view: Option<&ClusterView>,
    troubles: &[String],
) -> Value {
    let nodes: Vec<Value> = setup
        .answers
        .nodes
        .iter()
        .zip(nodes)
        .map(|(answer, node)| match node {
            Err(why) => json!({"name": answer.name, "reachable": false, "why": why}),
            Ok(node) => json!({
                "name": answer.name,
                "reachable": true,
                "hypervisor": node.hypervisor,
                "mounted": node.mounted,
                "drbd": node.devices.iter().map(|device| json!({
                    "connection": device.connection,
                    "role": device.role,
                    "peer-role": device.peer_role,
                    "disk": device.disk,
                    "peer-disk": device.peer_disk,
                })).collect::<Vec<_>>(),
            }),
        })
        .collect();
    let cluster = view.map(|view| {
        json!({
            "dc": view.dc,
            "quorum": view.quorum,
            "fencing-enabled": view.fencing_enabled,
            "nodes": view.nodes.iter().map(|node| json!({"name": node.name, "state": node.word()})).collect::<Vec<_>>(),
            "resources": view.resources.iter().map(|resource| json!({
                "id": resource.id, "role": resource.role, "nodes": resource.nodes,
            })).collect::<Vec<_>>(),
        })
    });
    json!({
        "cluster": setup.answers.cluster,
        "healthy": troubles.is_empty(),
        "troubles": troubles,
        "nodes": nodes,
        "pacemaker": cluster,
        "checkpoints": checkpoints.iter().map(|(id, state)| json!({"step": id, "state": state})).collect::<Vec<_>>(),
    })
}

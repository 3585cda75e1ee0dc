//! What a rehearsal has to show on its machines after the install. Each proof prints what it saw.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::lab::{Lab, Machine};
use super::wait::{Interrupted, Wait};
use super::{Times, until_up};
use crate::answers::HypervisorKind;
use crate::cancel::Cancel;
use crate::cluster::{CRM_MON, ClusterView};
use crate::command::{print, say};
use crate::drbd;
use crate::fencing;
use crate::node::{At, Cmd, Pair};
use crate::setup::Setup;
use crate::status::Standing;

/// How long a pair may take to come back by itself: DRBD, two mounts and a VM, on emulated machines.
const RETURN: Duration = Duration::from_secs(2700);
/// How long a VM may take to move.
const MOVE: Duration = Duration::from_secs(1500);
/// How long a guest may be silent.
const SILENCE: Duration = Duration::from_secs(180);

/// Where the proofs are shown.
pub struct Stage<'a> {
    /// The machines.
    pub lab: &'a mut dyn Lab,
    /// What was installed on them.
    pub setup: &'a Setup,
    /// The ways to them.
    pub pair: &'a Pair,
    /// Ctrl-C.
    pub cancel: &'a Cancel,
}

/// All of them, in order.
///
/// # Errors
/// The first that fails, with what was seen instead.
pub fn all(stage: &mut Stage<'_>, times: &mut Times) -> Result<()> {
    let began = Instant::now();
    mirrored(stage.pair)?;
    shared(stage.setup, stage.pair)?;
    clustered(stage.setup, stage.pair)?;
    fenced(stage)?;
    times.add("proof: mirror, mount, cluster", began);
    if let Some(vm) = stage.setup.answers.vms.first() {
        let began = Instant::now();
        moved(stage, &vm.name)?;
        times.add("proof: move, there and back", began);
    }
    let began = Instant::now();
    power_cut(stage)?;
    times.add("proof: power cut of both", began);
    Ok(())
}

/// The pair as it stands, without harm.
///
/// # Errors
/// The first proof that fails.
pub fn state(stage: &Stage<'_>) -> Result<()> {
    mirrored(stage.pair)?;
    shared(stage.setup, stage.pair)?;
    clustered(stage.setup, stage.pair)
}

fn proven(what: &str, seen: &[String]) -> Result<()> {
    let mut text = format!("proof: {what}\n");
    for line in seen {
        text.push_str(&format!("  {line}\n"));
    }
    print(&text)
}

/// Both nodes Primary and UpToDate.
fn mirrored(pair: &Pair) -> Result<()> {
    let mut seen = Vec::new();
    for at in At::BOTH {
        let node = pair.at(at);
        let text = ask(pair, at, &Cmd::read(["cat", "/proc/drbd"]))?;
        let proc = drbd::proc(&text);
        let Some(device) = proc.minor(drbd::MINOR) else { bail!("{}: DRBD's resource is not up: {text}", node.name) };
        let state = [&device.connection, &device.role, &device.peer_role, &device.disk, &device.peer_disk];
        if state.map(String::as_str) != ["Connected", "Primary", "Primary", "UpToDate", "UpToDate"] {
            bail!("{}: DRBD is not Primary and UpToDate on both sides: {text}", node.name);
        }
        let line = text
            .lines()
            .find(|line| line.trim().starts_with(&format!("{}: cs:", drbd::MINOR)))
            .unwrap_or_default()
            .trim();
        seen.push(format!("{}: {line}", node.name));
    }
    proven("both nodes are Primary and UpToDate", &seen)
}

/// Mounted on both; what one writes the other reads.
fn shared(setup: &Setup, pair: &Pair) -> Result<()> {
    let mount = &setup.answers.storage.mount;
    let mut seen = Vec::new();
    for at in At::BOTH {
        let line = ask(pair, at, &Cmd::read(["grep", &format!(" {mount} ocfs2 "), "/proc/mounts"]))?;
        seen.push(format!("{}: {}", pair.at(at).name, line.trim()));
    }
    for at in At::BOTH {
        let file = format!("{mount}/.rehearsal-{}", at.index() + 1);
        let word = format!("written on {} at {}", pair.at(at).name, jiff::Timestamp::now());
        ask(pair, at, &Cmd::write_sh("cat > \"$1\" && sync \"$1\"", [file.clone()]).stdin(word.clone()))?;
        let read = ask(pair, at.peer(), &Cmd::read(["cat", &file]))?;
        ask(pair, at, &Cmd::write(["rm", &file]))?;
        if read != word {
            bail!("{} reads {read:?} where {} wrote {word:?}", pair.at(at.peer()).name, pair.at(at).name);
        }
        seen.push(format!("{} reads: {read}", pair.at(at.peer()).name));
    }
    proven(&format!("{mount} is mounted on both, and what one writes the other reads"), &seen)
}

/// The cluster is online with quorum.
fn clustered(setup: &Setup, pair: &Pair) -> Result<()> {
    let view = view(pair, At::First)?;
    let missing = missing(setup, &view);
    if !missing.is_empty() {
        bail!("the cluster is not as it must be: {}", missing.join("; "));
    }
    let text = ask(pair, At::First, &Cmd::read(["crm_mon", "-1", "-n"]))?;
    let seen: Vec<String> = text.lines().filter(|line| line.contains('*')).map(|line| line.trim().to_owned()).collect();
    proven("the cluster is online, with quorum and with fencing", &seen)
}

/// Both nodes have noted that each was switched off by the other; its BMC, if it has one, says so too.
fn fenced(stage: &Stage<'_>) -> Result<()> {
    let kept = At::BOTH.map(|at| {
        let node = stage.pair.at(at);
        node.exec(&fencing::look()).map(|output| fencing::parse(&output)).with_context(|| node.name.clone())
    });
    let [first, second] = kept;
    let (first, second) = (first?, second?);
    // `hapair status` holds them against the fencing configuration as it is.
    let standing = Standing::look(&stage.setup.answers, stage.pair);
    if let Some(trouble) =
        standing.troubles.iter().find(|trouble| ["fencing-not-proved", "fencing-untold"].contains(&trouble.name))
    {
        bail!("`hapair status` says: {}", trouble.what);
    }
    let mut seen = Vec::new();
    for machine in Machine::BOTH {
        let name = &stage.setup.answers.nodes[machine.index()].name;
        let Some(proof) = first.proofs.get(name).filter(|proof| second.proofs.get(name) == Some(proof)) else {
            bail!("the nodes have not noted that {name} was switched off: {:?}, {:?}", first.proofs, second.proofs);
        };
        seen.push(proof.words());
        let switched = stage.lab.switched(machine);
        if proof.method == "ipmi" {
            if !switched.iter().any(|what| what == "set reset 1" || what == "set power 0") {
                bail!("the BMC of {name} was not told to switch it off: {switched:?}");
            }
            seen.push(format!("the BMC of {name} was told: {}", switched.join(", ")));
        }
    }
    proven("each node was really switched off by the other one, and came back as it was", &seen)
}

fn missing(setup: &Setup, view: &ClusterView) -> Vec<String> {
    let names: Vec<String> = setup.answers.nodes.iter().map(|node| node.name.clone()).collect();
    let mut missing = view.missing_membership(&names);
    missing.extend(view.missing_resources(&[]));
    if !view.fencing_enabled {
        missing.push("fencing is off".to_owned());
    }
    for vm in &setup.answers.vms {
        // On two nodes at once is a move in progress, or worse; the view has said so already.
        if !view.resources.iter().any(|resource| resource.id == vm.name && !resource.nodes.is_empty()) {
            missing.push(format!("{} does not run", vm.name));
        }
    }
    missing
}

fn host_of(view: &ClusterView, vm: &str) -> Option<String> {
    let resource = view.resources.iter().find(|resource| resource.id == vm)?;
    match resource.nodes.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// The VM goes to the other node and comes back.
fn moved(stage: &Stage<'_>, vm: &str) -> Result<()> {
    let (setup, pair) = (stage.setup, stage.pair);
    let home = host_of(&view(pair, At::First)?, vm).with_context(|| format!("{vm} runs nowhere"))?;
    let at = if home == pair.at(At::First).name { At::First } else { At::Second };
    let live = setup.answers.hypervisor.kind == HypervisorKind::Xen && !setup.answers.hypervisor.pv_guests();
    let mut seen = Vec::new();
    for target in [at.peer(), at] {
        let name = pair.at(target).name.clone();
        let before = ticks(setup, pair, vm)?;
        let began = Instant::now();
        // Sent away, not called: with a stickiness of INFINITY (the tutorial's) a VM stays where it is when another node
        // asks for it with INFINITY too (`--move --node`).
        let from = pair.at(target.peer()).name.clone();
        ask(pair, target, &Cmd::write(["crm_resource", "--ban", "--resource", vm, "--node", &from]))?;
        until(stage, MOVE, &format!("{vm} on {name}"), |view| {
            let mut missing = missing(setup, view);
            match host_of(view, vm) {
                Some(host) if host == name => {}
                Some(host) => missing.push(format!("{vm} is still on {host}")),
                None => {}
            }
            missing
        })?;
        ask(pair, target, &Cmd::write(["crm_resource", "--clear", "--resource", vm]))?;
        let after = goes_on(stage, vm, &before)?;
        if live && before.boot_id != after.boot_id {
            bail!("{vm} was booted anew on {name}: it was not moved live ({before:?}, {after:?})");
        }
        seen.push(format!(
            "{vm} on {name} after {:.0} s: tick {} then {}, uptime {} s then {} s, boot id {}",
            began.elapsed().as_secs_f64(),
            before.count,
            after.count,
            before.uptime,
            after.uptime,
            if before.boot_id == after.boot_id { "kept" } else { "new" }
        ));
    }
    let how = if live {
        "moved to the other node and back while it ran"
    } else if setup.answers.hypervisor.kind == HypervisorKind::Xen {
        "moved to the other node and back by stop and start (this emulator can't move guests live)"
    } else {
        "'s stand-in moved to the other node and back by stop and start (no hypervisor here)"
    };
    proven(&format!("{vm} {how}").replace(" 's", "'s"), &seen)
}

/// Both power cords pulled, both machines started again: the pair with its VM comes back by itself.
fn power_cut(stage: &mut Stage<'_>) -> Result<()> {
    let (setup, pair) = (stage.setup, stage.pair);
    let boot_ids = boot_ids(pair)?;
    say("cutting the power of both machines");
    for machine in Machine::BOTH {
        stage.lab.power_off(machine)?;
    }
    for at in At::BOTH {
        pair.at(at).transport.reset();
    }
    std::thread::sleep(Duration::from_secs(1));
    for machine in Machine::BOTH {
        stage.lab.power_on(machine)?;
    }
    let began = Instant::now();
    until_up(stage.lab, pair, stage.cancel)?;
    let up = began.elapsed();
    say(&format!("both machines answer again after {:.0} s; nothing is done to them now", up.as_secs_f64()));
    if self::boot_ids(pair)?.iter().zip(&boot_ids).any(|(after, before)| after == before) {
        bail!("a machine did not boot anew: its power was not cut");
    }
    until(stage, RETURN, "the pair to come back by itself", |view| missing(setup, view))?;
    let back = began.elapsed();
    mirrored(pair)?;
    shared(setup, pair)?;
    if let Some(vm) = setup.answers.vms.first() {
        let before = ticks(setup, pair, &vm.name)?;
        goes_on(stage, &vm.name, &before)?;
    }
    proven(
        "after the power of both was cut, the pair and its VMs came back by themselves",
        &[format!("SSH after {:.0} s, everything after {:.0} s", up.as_secs_f64(), back.as_secs_f64())],
    )
}

fn boot_ids(pair: &Pair) -> Result<Vec<String>> {
    At::BOTH.into_iter().map(|at| ask(pair, at, &Cmd::read(["cat", "/proc/sys/kernel/random/boot_id"]))).collect()
}

/// What the guest writes every two seconds, its stand-in each second.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tick {
    count: u64,
    /// Seconds since the guest's own boot.
    uptime: String,
    boot_id: String,
}

fn ticks(setup: &Setup, pair: &Pair, vm: &str) -> Result<Tick> {
    let dir = format!("{}/xen/{vm}", setup.answers.storage.mount);
    // The guest writes to its disk, past the page cache of the node; the stand-in to a file.
    let script = "if [ -e \"$1/ticks\" ]; then tail -n 1 \"$1/ticks\"; else \
                  dd if=\"$1/$2-disk0.img\" bs=4096 count=1 iflag=direct 2>/dev/null | tr -d '\\0' | head -n 1; fi";
    let text = ask(pair, At::First, &Cmd::read_sh(script, [dir, vm.to_owned()]))?;
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["tick", count, "uptime", uptime, "boot_id", boot_id] => Ok(Tick {
            count: count.parse().with_context(|| text.clone())?,
            uptime: (*uptime).to_owned(),
            boot_id: (*boot_id).to_owned(),
        }),
        _ => bail!("{vm} writes no ticks: {text:?}"),
    }
}

/// Waits until the guest has written a later tick.
fn goes_on(stage: &Stage<'_>, vm: &str, before: &Tick) -> Result<Tick> {
    let mut wait = Wait::new(stage.cancel, format!("a tick of {vm}"), SILENCE, Duration::from_secs(1));
    loop {
        match ticks(stage.setup, stage.pair, vm) {
            Ok(now) if now != *before => return Ok(now),
            _ => wait.again(&format!("the last was {before:?}"))?,
        }
    }
}

fn view(pair: &Pair, at: At) -> Result<ClusterView> {
    ClusterView::parse(&ask(pair, at, &Cmd::read(CRM_MON))?).map_err(anyhow::Error::msg)
}

/// Waits until nothing is missing.
fn until(stage: &Stage<'_>, limit: Duration, what: &str, missing: impl Fn(&ClusterView) -> Vec<String>) -> Result<()> {
    let mut wait = Wait::new(stage.cancel, what, limit, Duration::from_secs(3));
    loop {
        let missing = match view(stage.pair, At::First) {
            Ok(view) => missing(&view),
            Err(error) => vec![format!("{error:#}")],
        };
        if missing.is_empty() {
            return Ok(());
        }
        if let Err(error) = wait.again(&missing.join("; ")) {
            if error.is::<Interrupted>() {
                return Err(error);
            }
            let table = ask(stage.pair, At::First, &Cmd::read(["crm_mon", "-1", "-r"]));
            bail!("{error}\n{}", table.unwrap_or_else(|error| format!("{error:#}")));
        }
    }
}

/// What a command prints on a node; anything but exit code 0 is an error.
pub(super) fn ask(pair: &Pair, at: At, cmd: &Cmd) -> Result<String> {
    let node = pair.at(at);
    let output = node.exec(cmd).with_context(|| node.name.clone())?;
    if !output.ok() {
        bail!("{}: {} gives {}: {}", node.name, cmd.shown(), output.code, output.errors().trim());
    }
    Ok(output.text())
}

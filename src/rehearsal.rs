//! `hapair rehearse`: the very same install, for real, on two throw-away machines, and the proof of its result.

pub mod bmc;
pub mod cache;
pub mod checked;
pub mod command;
pub mod drilled;
pub mod lab;
pub mod mapping;
pub mod matrix;
pub mod mixed_up;
pub mod on_node;
pub mod process_lists;
pub mod proof;
pub mod qemu;
pub mod repository;
pub mod rootfs;
pub mod shared_disk;
pub mod times;
pub mod uml;
pub mod undone;
pub mod wait;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::action::kind::Action;
use crate::answers::load::Secrets;
use crate::answers::{Answers, Create, FencingMethod, LabHypervisor, Reach, load, written};
use crate::cancel::Cancel;
use crate::cli::{Engine, PlanFormat, RehearseArgs};
use crate::command::{install, plan, print, say, step, undo};
use crate::exit;
use crate::node::{At, Cmd, Pair};
use crate::plan::Plan;
use crate::setup::{Places, Setup};
use crate::state;
use crate::step::Catalog;
use lab::{Lab, Machine, Sbd, Wish};
use mapping::Ground;
use process_lists::ProcessLists;
use times::Times;
use wait::{Interrupted, Wait};

/// How long a machine that is to come up may be off meanwhile.
const OFF_AT_MOST: Duration = Duration::from_secs(120);
/// Where the run's own files are; the outer process makes the folder, the inner one uses it.
const SCRATCH: &str = "HAPAIR_SCRATCH";

/// Runs the rehearsal; gives the exit code.
///
/// # Errors
/// When the machines can't be had, or a proof fails.
pub fn run(args: &RehearseArgs, places: Places) -> Result<u8> {
    if !args.harm_in.is_empty() {
        let catalog = Catalog::load(places.steps_dir.as_deref())?;
        for id in &args.harm_in {
            step::known(&catalog, id)?;
        }
    }
    let answers = match &args.answers {
        Some(path) => load::file(path, Secrets::Leave)?.answers,
        None => mapping::tutorial(),
    };
    if let Some(ground) = std::env::var_os(matrix::CHILD) {
        return alone(args, answers, places, Path::new(&ground));
    }
    let engine = engine(args);
    if engine == Engine::Uml && !uml::inside() {
        return outside(args, &answers, &places);
    }
    let (scratch, _lock) = match std::env::var_os(SCRATCH) {
        // The outer process holds the lock.
        Some(path) if uml::inside() => (PathBuf::from(path), None),
        _ => cache::run_folder(&cache_folder()?).map(|(path, lock)| (path, Some(lock)))?,
    };
    let result = rehearse(args, engine, answers, places, &scratch);
    if !args.keep {
        let _ = cache::remove(&scratch);
    }
    result
}

/// The install or the undo on machines that run already, as a process that may be killed; see [`matrix`].
fn alone(args: &RehearseArgs, answers: Answers, places: Places, ground: &Path) -> Result<u8> {
    let found = matrix::Ground::read(ground)?;
    let work = found.work;
    let ground =
        Ground { device: found.device, hypervisor: found.hypervisor, bmcs: found.bmcs.map(Into::into), sbd: found.sbd };
    let (mut answers, _) = mapping::onto(answers, &ground);
    for (node, (host, port)) in answers.nodes.iter_mut().zip(found.logins) {
        node.ssh = Reach::Ssh { user: "root".to_owned(), host, port };
    }
    let places = Places { state_dir: Some(found.state_dir), identity: Some(found.key), ssh_config: None, ..places };
    let mut setup = Setup::of(answers, places)?;
    setup.rehearsal = true;
    let cancel = Cancel::listen()?;
    if work == matrix::Work::Undo {
        return undo::run(&setup, &undone::options(args, &setup, &cancel)).map(|outcome| outcome.code);
    }
    let run = install::Run {
        command: "install".to_owned(),
        steps: None,
        with_needs: false,
        continue_after_reboot: false,
        format: args.format,
        cancel: &cancel,
        resume: "hapair rehearse".to_owned(),
    };
    install::run(&setup, &run).map(|outcome| outcome.code)
}

fn engine(args: &RehearseArgs) -> Engine {
    match args.engine {
        Engine::Auto => {
            let program = args.qemu.clone().unwrap_or_else(|| PathBuf::from("/usr/bin/qemu-system-x86_64"));
            if program.exists() && qemu::kvm_works(&program) { Engine::Qemu } else { Engine::Uml }
        }
        engine => engine,
    }
}

/// Gets what needs the network, then runs this program once more in a namespace of its own.
fn outside(args: &RehearseArgs, answers: &Answers, places: &Places) -> Result<u8> {
    let (scratch, _lock) = cache::run_folder(&cache_folder()?)?;
    let wish = wish(args, Engine::Uml, answers, places, &scratch)?;
    uml::prepare(&wish, &|text| say(text))?;
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = uml::enter_namespace(&words, &[(SCRATCH, scratch.as_os_str())])?;
    if !args.keep {
        cache::remove(&scratch)?;
    }
    u8::try_from(code).context("the exit code of the rehearsal")
}

fn cache_folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        Some(dir) => dir,
        None => PathBuf::from(std::env::var_os("HOME").context("no place for images: HOME is not set")?).join(".cache"),
    };
    let folder = base.join("hapair");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

fn wish(args: &RehearseArgs, engine: Engine, answers: &Answers, places: &Places, scratch: &Path) -> Result<Wish> {
    let sbd = answers.fencing.method.uses_sbd();
    // What the machines must be able to install is what the plan installs: nothing is listed twice.
    let ground = Ground {
        device: "/dev/sda3".to_owned(),
        hypervisor: if engine == Engine::Qemu { LabHypervisor::Xen } else { LabHypervisor::StandIn },
        bmcs: mapping::placeholders(),
        // Of which names they are makes no difference to what is installed.
        sbd: sbd.then(|| Sbd { disk: String::new(), watchdog: String::new() }),
    };
    let (mapped, _) = mapping::onto(answers.clone(), &ground);
    let setup = Setup::of(mapped, places.clone())?;
    let (platform, found) = setup.offline()?;
    let offered = packages(&setup.plan(&platform, &found, &crate::secrets::Secrets::placeholders())?);
    Ok(Wish {
        names: [answers.nodes[0].name.clone(), answers.nodes[1].name.clone()],
        release: release(answers)?.to_owned(),
        cluster: mapping::CLUSTER.map(|address| address.to_string()),
        second: mapping::SECOND.map(|address| address.to_string()),
        data_mib: mapping::DATA_MIB,
        leave_free: answers.storage.create != Create::No,
        sbd,
        preinstalled: if args.preinstalled { offered.clone() } else { Vec::new() },
        offered,
        cache: cache_folder()?,
        scratch: scratch.to_owned(),
    })
}

/// Debian release of the machines.
fn release(answers: &Answers) -> Result<&'static str> {
    match answers.platform.as_str() {
        "auto" | "debian-12" => Ok("bookworm"),
        "debian-13" => Ok("trixie"),
        other => bail!("{other} can't be rehearsed: the machines are Debian 12 or 13; set `platform: auto`"),
    }
}

/// All packages that a plan installs.
fn packages(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .flat_map(|step| &step.actions)
        .filter_map(|action| match action.any() {
            Some(Action::Packages(packages)) => {
                // Of alternatives (`a|b`) the first is what is installed where none is there.
                Some(packages.names.split_whitespace().filter_map(|name| name.split('|').next()).map(str::to_owned))
            }
            _ => None,
        })
        .flatten()
        .collect::<BTreeSet<String>>()
        .into_iter()
        .collect()
}

fn rehearse(args: &RehearseArgs, engine: Engine, answers: Answers, places: Places, scratch: &Path) -> Result<u8> {
    let began = Instant::now();
    let rest = scratch.to_owned();
    // The machines end with this process, whatever happens; their disks are files.
    let cancel = Cancel::listen_and(move || drop(cache::remove(&rest)))?;
    let wish = wish(args, engine, &answers, &places, scratch)?;
    let tell = |text: &str| say(text);
    let mut lab: Box<dyn Lab> = if engine == Engine::Qemu {
        Box::new(qemu::new(&wish, &qemu::Options { qemu: args.qemu.clone() }, &tell)?)
    } else {
        Box::new(uml::new(&wish, &tell)?)
    };
    let ground = Ground { device: lab.data_device(), hypervisor: lab.hypervisor(), bmcs: lab.bmcs(), sbd: lab.sbd() };
    let (mut answers, lines) = mapping::onto(answers, &ground);
    let mut out = format!("Rehearsal on two throw-away machines ({})\n", lab.engine());
    for line in lines {
        out.push_str(&format!("  {line}\n"));
    }
    for limit in lab.limits() {
        out.push_str(&format!("  not as on metal: {limit}\n"));
    }
    print(&out)?;
    for machine in Machine::BOTH {
        let login = lab.login(machine);
        answers.nodes[machine.index()].ssh = Reach::Ssh { user: "root".to_owned(), host: login.host, port: login.port };
    }
    let login = lab.login(Machine::First);
    let places = Places {
        state_dir: Some(scratch.join("state")),
        identity: Some(login.key.clone()),
        ssh_config: None,
        ..places
    };
    let mut setup = Setup::of(answers, places)?;
    setup.rehearsal = true;
    state::make(&setup.state)?;
    std::fs::copy(&login.known_hosts, setup.state.join("known_hosts"))
        .context("taking over the machines' host keys")?;

    let result = on_machines(args, lab.as_mut(), &setup, &cancel, began);
    if cancel.requested() {
        say("interrupted; the machines are ended");
        lab.gone()?;
        return Ok(exit::INTERRUPTED);
    }
    if let Err(error) = &result {
        for machine in Machine::BOTH {
            let text = std::fs::read(lab.console(machine)).unwrap_or_default();
            let console = command::last_lines(&String::from_utf8_lossy(&text), 15);
            say(&format!("last lines of {}'s console:\n{console}", setup.answers.nodes[machine.index()].name));
        }
        say(&format!("hapair: {error:#}"));
    }
    if args.keep || args.machines {
        keep(lab.as_mut(), &setup, &cancel)?;
    }
    lab.gone()?;
    match result {
        Ok(code) => Ok(code),
        Err(_) => Ok(exit::STEP_FAILED),
    }
}

fn on_machines(args: &RehearseArgs, lab: &mut dyn Lab, setup: &Setup, cancel: &Cancel, began: Instant) -> Result<u8> {
    if cancel.requested() {
        bail!(Interrupted);
    }
    for machine in Machine::BOTH {
        lab.power_on(machine)?;
    }
    let pair = setup.connect(true)?;
    let mut times = Times::default();
    let started = Instant::now();
    until_up(lab, &pair, cancel)?;
    say(&format!("both machines answer after {:.0} s", started.elapsed().as_secs_f64()));
    times.add("start of the machines", started);

    if args.machines {
        return Ok(exit::DONE);
    }

    let looked = Instant::now();
    let before = checked::fresh(setup)?;
    times.add("check of the fresh machines", looked);

    let run = |command: &str| install::Run {
        command: command.to_owned(),
        steps: None,
        with_needs: false,
        continue_after_reboot: false,
        format: args.format,
        cancel,
        resume: "hapair rehearse (a rehearsal always begins anew)".to_owned(),
    };
    if args.swap_bmcs {
        mixed_up::found(setup, &run("install (with the BMCs mixed up)"))?;
        for at in At::BOTH {
            pair.at(at).transport.reset();
        }
        until_up(lab, &pair, cancel)?;
    }
    // On emulated machines looks take the time that the cluster's own watches need.
    let lists = if lab.engine() == "uml" { Some(ProcessLists::watch(setup, &lab.bmcs())?) } else { None };
    if let FencingMethod::Sbd { devices, .. } = &setup.answers.fencing.method {
        shared_disk::prepared(setup, &pair, &run("install (with a shared disk that is not prepared)"), devices)?;
    }
    let installing = Instant::now();
    if args.on_node {
        on_node::install(&proof::Stage { lab: &mut *lab, setup, pair: &pair, cancel })?;
        times.add("install, on the machine itself", installing);
    } else if let Some(harm) = args.harm {
        let stage = &mut proof::Stage { lab: &mut *lab, setup, pair: &pair, cancel };
        matrix::run(stage, harm, &args.harm_in, matrix::Work::Install)?;
        for at in At::BOTH {
            pair.at(at).transport.reset();
        }
    } else {
        let first = install::run(setup, &run("install"))?;
        if first.code != exit::DONE {
            return Ok(first.code);
        }
    }
    lists.map_or(Ok(()), ProcessLists::proved)?;
    times.steps(setup)?;
    if let Some(only) = &args.drill {
        let began = Instant::now();
        let code = drilled::run(args, only, lab, setup, cancel)?;
        if code != exit::DONE {
            return Ok(code);
        }
        times.add("drill", began);
        // The proofs are seen on the pair that it has left.
        for at in At::BOTH {
            pair.at(at).transport.reset();
        }
    }
    proof::all(&mut proof::Stage { lab: &mut *lab, setup, pair: &pair, cancel }, &mut times)?;
    if args.undo {
        let code = undone::proved(args, lab, setup, &pair, cancel)?;
        if code != exit::DONE {
            return Ok(code);
        }
    }
    let again = Instant::now();
    let second = install::run(setup, &run("install (again)"))?;
    if second.code != exit::DONE {
        return Ok(second.code);
    }
    if second.changed > 0 {
        bail!("a second install changed {} things: it must change nothing", second.changed);
    }
    print(&format!("proof: a second install changes nothing ({:.1} s)\n", again.elapsed().as_secs_f64()))?;
    times.add("proof: second install", again);
    checked::finished(setup, &before)?;
    let options = plan::Options { step: None, offline: false, format: PlanFormat::Text };
    let planned = plan::text(setup, &options)?;
    if !planned.ends_with(&format!("{}\n", plan::NOTHING_TO_DO)) {
        bail!("the plan of a finished pair must have nothing to do, and says:\n{planned}");
    }
    print(&format!(
        "proof: the plan of a finished pair\n  {}\n\ntime per step\n{}\n{}all proofs seen; {:.0} s from start to end\n",
        plan::NOTHING_TO_DO,
        times,
        if setup.answers.hypervisor.pv_guests() {
            "not rehearsed: moving a VM while it runs, which this emulator can't (see the top of this output)\n"
        } else {
            ""
        },
        began.elapsed().as_secs_f64()
    ))?;
    Ok(exit::DONE)
}

/// Waits for SSH on both.
///
/// # Errors
/// When a machine does not answer in the engine's patience.
pub fn until_up(lab: &mut dyn Lab, pair: &Pair, cancel: &Cancel) -> Result<()> {
    for (machine, at) in Machine::BOTH.into_iter().zip(At::BOTH) {
        let node = pair.at(at);
        let mut wait = Wait::new(cancel, &node.name, lab.patience(), Duration::from_millis(500));
        let mut seen_on = Instant::now();
        loop {
            let answer = node.exec(&Cmd::read(["true"]));
            // Asked afterwards: a try may take longer than a machine may be off.
            if lab.is_on(machine) {
                seen_on = Instant::now();
            }
            match answer {
                Ok(output) if output.ok() => break,
                Ok(output) => bail!("{}: `true` gives {}", node.name, output.code),
                // A reset by its BMC leaves it off for a moment.
                Err(_) if seen_on.elapsed() > OFF_AT_MOST => bail!("{} has ended", node.name),
                Err(lost) => {
                    node.transport.reset();
                    wait.again(&format!("{lost}; its console: {}", console_line(lab.console(machine))))?;
                }
            }
        }
    }
    Ok(())
}

/// What a machine printed last, without colours.
fn console_line(console: &Path) -> String {
    let text = std::fs::read(console).unwrap_or_default();
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    let plain = console::strip_ansi_codes(&tail).replace(|sign: char| sign.is_control() && sign != '\n', "");
    plain.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("nothing yet").to_owned()
}

/// Writes a file of the run, which nobody else may read.
fn for_its_owner(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("writing {}", path.display()))
}

fn keep(lab: &mut dyn Lab, setup: &Setup, cancel: &Cancel) -> Result<()> {
    let mut text = String::from("\nThe machines are left running; Ctrl-C ends them.\n");
    let enter = uml::entrance().map(|enter| format!("{enter} ")).unwrap_or_default();
    for machine in Machine::BOTH {
        let login = lab.login(machine);
        text.push_str(&format!(
            "  {}: {enter}ssh -p {} -i {} -o UserKnownHostsFile={} root@{}\n",
            setup.answers.nodes[machine.index()].name,
            login.port,
            login.key.display(),
            login.known_hosts.display(),
            login.host
        ));
    }
    if !enter.is_empty() {
        let key = lab.login(Machine::First).key;
        text.push_str(&format!("  the wizard: {enter}env HAPAIR_LAB=stand-in hapair --identity {}\n", key.display()));
    }
    let path = setup.state.join("answers.yaml");
    for_its_owner(&path, &written::text(&setup.answers)?)?;
    let places = Places { lab: Some(lab.hypervisor()), ..setup.places.clone() };
    text.push_str(&format!("  the pair: {enter}{}\n", places.command("status", &path)));
    for (bmc, node) in lab.bmcs().iter().zip(&setup.answers.nodes) {
        let path = setup.state.join(format!("bmc-of-{}", node.name));
        for_its_owner(&path, bmc.password.reveal())?;
        text.push_str(&format!(
            "  the BMC of {}: {}, user {}, password in {}\n",
            node.name,
            bmc.address,
            bmc.user,
            path.display()
        ));
    }
    print(&text)?;
    while !cancel.requested() {
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

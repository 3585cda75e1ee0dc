//! What goes wrong on purpose in a rehearsal: the installer killed in every step or action, each machine's power cut in
//! every step; the same command is run again until the pair is whole. For `make matrix`; see CONTRIBUTING.md.
//!
//! The installer is a process of its own here: only a real SIGKILL leaves nothing behind but the state folder and the nodes.

// The lab's own programs run on this host and never on a node, so there is no transport for them to go through.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::lab::{Lab, Machine, Sbd};
use super::proof::Stage;
use super::until_up;
use super::wait::{Interrupted, Wait};
use crate::answers::{Bmc, Reach, Secret};
use crate::cli::Harm;
use crate::command::{print, say};
use crate::exit;
use crate::node::At;
use crate::setup::Setup;

/// Names the file that tells an installer's own process which machines it works on.
pub const CHILD: &str = "HAPAIR_REHEARSAL_INSTALL";

/// How long one run of the installer may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// How long a machine stays without power at most. An installer that hears nothing from it has ended by then; one that
/// waits for it to come back (from a proof of the fencing) gets it back.
const DARK: Duration = Duration::from_secs(180);

/// How often in a row a machine may be away when a run begins: the harm before, or the fencing, has it boot again.
const AWAY: usize = 3;

/// What the installer's own process has to know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ground {
    /// Host and port of each machine's SSH.
    pub logins: [(String, u16); 2],
    /// Private key.
    pub key: PathBuf,
    /// State of all clusters.
    pub state_dir: PathBuf,
    /// Path of the backing device.
    pub device: String,
    /// The machines' BMCs.
    pub bmcs: [Access; 2],
    /// Their shared disk and watchdogs.
    pub sbd: Option<Sbd>,
}

/// A BMC with its password as it is: this file lives as long as the rehearsal, among its other secrets.
#[derive(Debug, Serialize, Deserialize)]
pub struct Access {
    address: String,
    user: String,
    password: String,
}

impl From<Bmc> for Access {
    fn from(bmc: Bmc) -> Self {
        Self { address: bmc.address, user: bmc.user, password: bmc.password.reveal().to_owned() }
    }
}

impl From<Access> for Bmc {
    fn from(access: Access) -> Self {
        Self { address: access.address, user: access.user, password: Secret::new(access.password) }
    }
}

impl Ground {
    /// Those of a rehearsal, written beside its state.
    fn write(setup: &Setup, lab: &dyn Lab) -> Result<PathBuf> {
        let [first, second] = &setup.answers.nodes;
        let login = |reach: &Reach| match reach {
            Reach::Ssh { host, port, .. } => Ok((host.clone(), *port)),
            Reach::Local => bail!("a rehearsal's machines are reached by SSH"),
        };
        let ground = Self {
            logins: [login(&first.ssh)?, login(&second.ssh)?],
            key: setup.places.identity.clone().context("the machines' key")?,
            state_dir: setup.places.state_dir.clone().context("the rehearsal's state folder")?,
            device: lab.data_device(),
            bmcs: lab.bmcs().map(Into::into),
            sbd: lab.sbd(),
        };
        let path = ground.state_dir.join("ground.json");
        std::fs::write(&path, serde_json::to_vec(&ground)?).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// As it was written.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }
}

/// An action that was announced.
#[derive(Debug, Clone)]
struct Announced {
    step: String,
    action: String,
    node: Option<String>,
}

/// Reads what is new in a journal.
struct Watch {
    path: PathBuf,
    offset: u64,
}

impl Watch {
    fn announced(&mut self) -> Result<Vec<Announced>> {
        let mut text = Vec::new();
        match std::fs::File::open(&self.path) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.offset))?;
                file.read_to_end(&mut text)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("watching the journal"),
        }
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.offset += whole as u64;
        let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let word = |value: &serde_json::Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
        Ok(lines
            .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
            .filter(|value| word(value, "event").as_deref() == Some("action-starting"))
            .filter_map(|value| {
                let (step, action) = (word(&value, "step")?, word(&value, "action")?);
                Some(Announced { step, action, node: word(&value, "node") })
            })
            .collect())
    }
}

/// Installs with harm done on the way, until a run comes to its end; prints the table.
///
/// # Errors
/// When a run ends in another way than by the harm that was done to it.
pub fn install(stage: &mut Stage<'_>, harm: Harm) -> Result<()> {
    let ground = Ground::write(stage.setup, stage.lab)?;
    let mut watch = Watch { path: stage.setup.state.join("journal.jsonl"), offset: 0 };
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut table = String::new();
    let mut count = 0;
    let mut away = 0;
    loop {
        let began = Instant::now();
        let child = child(&ground)?;
        let mut hit = None;
        let ended = loop {
            if let Some(output) = child.try_wait().context("the installer's process")? {
                break Some(output.status.code().unwrap_or(-1));
            }
            if stage.cancel.requested() || began.elapsed() > LIMIT {
                child.kill().context("ending the installer")?;
                bail!(Interrupted);
            }
            let fresh = watch.announced()?;
            if let Some((announced, what)) = fresh.into_iter().find_map(|announced| {
                let what = target(harm, &announced, stage.setup, &done)?;
                Some((announced, what))
            }) {
                hit = Some((announced, what));
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let Some((announced, (key, machine))) = hit else {
            match ended {
                Some(0) => break,
                Some(code) if code == i32::from(exit::UNREACHABLE) && count > 0 && away < AWAY => {
                    away += 1;
                    again(stage)?;
                    let line = format!("a machine was booting: exit {code}");
                    say(&format!("{line}; once more"));
                    table.push_str(&format!("  {line}, run again\n"));
                    continue;
                }
                code => bail!("the installer ended with {code:?} although no harm was done to this run"),
            }
        };
        // At once, and later: before, within and behind what the action does.
        let delay = [0, 40, 150, 600][count % 4];
        std::thread::sleep(Duration::from_millis(delay));
        count += 1;
        away = 0;
        done.insert(key);
        let on = announced.node.clone().unwrap_or_else(|| "both".to_owned());
        let at = format!("{:14} {:22} {on:8} +{delay:3} ms", announced.step, announced.action);
        let line = match machine {
            None => {
                child.kill().context("killing the installer")?;
                format!("{at}  installer killed")
            }
            Some(machine) => {
                let name = stage.setup.answers.nodes[machine.index()].name.clone();
                stage.lab.power_off(machine)?;
                let code = match wait(&child, stage, DARK)? {
                    Some(code) => code,
                    None => {
                        stage.lab.power_on(machine)?;
                        match wait(&child, stage, LIMIT)? {
                            Some(code) => code,
                            None => {
                                child.kill().context("ending the installer")?;
                                bail!("the installer still runs {} s after a power cut", LIMIT.as_secs());
                            }
                        }
                    }
                };
                stage.lab.power_on(machine)?;
                again(stage)?;
                format!("{at}  power of {name} cut, exit {code}")
            }
        };
        say(&format!("{line}; once more"));
        table.push_str(&format!("  {line}, resumed\n"));
    }
    let what = match harm {
        Harm::KillSteps => "the installer killed in each step, between intent and result",
        Harm::KillActions => "the installer killed in each action, between intent and result",
        Harm::Power => "each machine's power cut in each step",
    };
    print(&format!("proof: {what}: {count} times, each resumed by the same command to the same end\n{table}"))
}

/// Whether this is a moment for harm: under which name, and to which machine (none: the installer itself).
fn target(
    harm: Harm,
    announced: &Announced,
    setup: &Setup,
    done: &BTreeSet<String>,
) -> Option<(String, Option<Machine>)> {
    let node = announced.node.as_deref().unwrap_or_default();
    let fresh = |key: String, machine| (!done.contains(&key)).then_some((key, machine));
    match harm {
        Harm::KillSteps => fresh(announced.step.clone(), None),
        Harm::KillActions => fresh(format!("{} {} {node}", announced.step, announced.action), None),
        Harm::Power => Machine::BOTH.into_iter().find_map(|machine| {
            let name = &setup.answers.nodes[machine.index()].name;
            if !node.is_empty() && node != name {
                return None;
            }
            fresh(format!("{} {name}", announced.step), Some(machine))
        }),
    }
}

/// Waits until both machines answer again.
fn again(stage: &mut Stage<'_>) -> Result<()> {
    for at in At::BOTH {
        stage.pair.at(at).transport.reset();
    }
    until_up(stage.lab, stage.pair, stage.cancel)
}

/// Waits until the installer has seen that a machine is gone, and ended; its exit code, `None` when it still runs.
fn wait(child: &duct::Handle, stage: &Stage<'_>, limit: Duration) -> Result<Option<i32>> {
    let mut wait = Wait::new(stage.cancel, "the installer to end", LIMIT, Duration::from_millis(200));
    let began = Instant::now();
    loop {
        if let Some(output) = child.try_wait().context("the installer's process")? {
            return Ok(Some(output.status.code().unwrap_or(-1)));
        }
        if began.elapsed() > limit {
            return Ok(None);
        }
        if let Err(error) = wait.again("it still runs") {
            child.kill().context("ending the installer")?;
            return Err(error);
        }
    }
}

/// This very program, with the words it was started with, as the installer alone.
fn child(ground: &Path) -> Result<duct::Handle> {
    let program = std::env::current_exe().context("the path of this program")?;
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    duct::cmd(program, words)
        .env(CHILD, ground)
        .stdin_null()
        .stdout_null()
        .unchecked()
        .start()
        .context("starting the installer")
}

//! A machine with its power and its cables: switched by the lab and by the machine's own BMC alike.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::bmc;
use super::super::command::last_lines;
use super::super::lab::Link;
use super::hardware::{Hardware, card};
use super::monitor::Monitor;
use super::process::Process;

/// What starts a machine, its process while it has power, and which of its cables are plugged in.
#[derive(Debug)]
pub(super) struct Chassis {
    /// The emulator.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    pub(super) hardware: Hardware,
    /// What the emulator itself says.
    pub(super) log: PathBuf,
    state: Mutex<State>,
}

/// Under one lock: whoever gives power sets the links as they are, and nobody changes them meanwhile.
#[derive(Debug)]
struct State {
    process: Option<Process>,
    /// Whether [`Link::Cluster`] and [`Link::Second`] are whole.
    links: [bool; 2],
}

impl State {
    fn running(&self) -> Option<&Process> {
        self.process.as_ref().filter(|process| process.is_running())
    }
}

impl Chassis {
    /// A machine without power.
    pub(super) fn new(program: PathBuf, arguments: Vec<String>, hardware: Hardware, log: PathBuf) -> Self {
        Self { program, arguments, hardware, log, state: Mutex::new(State { process: None, links: [true, true] }) }
    }

    /// Plugs a cable in or pulls it out; a machine without power finds it so at its next start.
    ///
    /// # Errors
    /// When the machine has power and QEMU refuses.
    pub(super) fn set_link(&self, link: Link, up: bool) -> Result<()> {
        let mut state = self.state();
        state.links[position(link)] = up;
        let Some(process) = state.running() else { return Ok(()) };
        self.monitor(process).and_then(|mut monitor| monitor.set_link(card(link), up)).with_context(|| {
            let doing = if up { "plug a cable into" } else { "pull the cable out of" };
            format!("{doing} {}'s network card", self.hardware.name)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until QEMU takes orders, or has ended.
    fn monitor(&self, process: &Process) -> Result<Monitor> {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            match Monitor::connect(&self.hardware.monitor()) {
                Ok(monitor) => return Ok(monitor),
                Err(_) if !process.is_running() => return Err(Process::complaint(&self.log)),
                Err(error) if Instant::now() > limit => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn start(&self, links: [bool; 2]) -> Result<Process> {
        let process = Process::start(&self.program, &self.arguments, &self.log)?;
        let mut monitor = self.monitor(&process)?;
        for link in [Link::Cluster, Link::Second] {
            monitor.set_link(card(link), links[position(link)])?;
        }
        Ok(process)
    }
}

impl bmc::Chassis for Chassis {
    fn is_on(&self) -> bool {
        self.state().running().is_some()
    }

    fn power_on(&self) -> Result<()> {
        let mut state = self.state();
        if state.running().is_none() {
            let process = self.start(state.links).with_context(|| {
                let console = fs::read(&self.hardware.console).unwrap_or_default();
                let said = last_lines(&String::from_utf8_lossy(&console), 5);
                format!("switch {} on; its console's last lines:\n{said}", self.hardware.name)
            })?;
            state.process = Some(process);
        }
        Ok(())
    }

    fn power_off(&self) -> Result<()> {
        match self.state().process.take() {
            Some(process) => process.end().with_context(|| format!("cut {}'s power", self.hardware.name)),
            None => Ok(()),
        }
    }
}

fn position(link: Link) -> usize {
    match link {
        Link::Cluster => 0,
        Link::Second => 1,
    }
}

#[cfg(test)]
mod tests;

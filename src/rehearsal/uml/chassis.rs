//! A machine with its power: switched by the lab and by the machine's own BMC alike.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::process::Process;
use crate::rehearsal::bmc;

/// What starts a machine, and its process while it has power.
#[derive(Debug)]
pub(super) struct Chassis {
    /// Of its kernel.
    pub(super) arguments: Vec<String>,
    /// Where it keeps files; in memory.
    pub(super) folder: PathBuf,
    /// What it prints.
    pub(super) console: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Chassis {
    /// A machine without power.
    pub(super) fn new(arguments: Vec<String>, folder: PathBuf, console: PathBuf) -> Self {
        Self { arguments, folder, console, process: Mutex::new(None) }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl bmc::Chassis for Chassis {
    fn is_on(&self) -> bool {
        self.process().as_mut().is_some_and(Process::is_running)
    }

    fn power_on(&self) -> Result<()> {
        let mut process = self.process();
        if !process.as_mut().is_some_and(Process::is_running) {
            *process = Some(Process::start(&self.arguments, &self.folder, &self.console)?);
        }
        Ok(())
    }

    fn power_off(&self) -> Result<()> {
        match self.process().take() {
            Some(mut process) => process.end(),
            None => Ok(()),
        }
    }
}

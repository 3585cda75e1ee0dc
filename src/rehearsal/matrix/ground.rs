//! What the installer's own process has to know of a rehearsal's machines: a file, since the process may be killed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::answers::{Bmc, LabHypervisor, Reach, Secret};
use crate::rehearsal::lab::{Lab, Sbd};
use crate::setup::Setup;

/// What that process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// `hapair install`
    Install,
    /// `hapair undo`
    Undo,
}

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
    /// What runs the VMs on them.
    pub hypervisor: LabHypervisor,
    /// The machines' BMCs.
    pub bmcs: [Access; 2],
    /// Their shared disk and watchdogs.
    pub sbd: Option<Sbd>,
    /// What is done with them.
    pub work: Work,
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
    pub(super) fn write(setup: &Setup, lab: &dyn Lab, work: Work) -> Result<PathBuf> {
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
            hypervisor: lab.hypervisor(),
            bmcs: lab.bmcs().map(Into::into),
            sbd: lab.sbd(),
            work,
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

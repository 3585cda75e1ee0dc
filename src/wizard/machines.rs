//! The machines as the wizard meets them: before there is a plan, and before they have names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::review::Review;
use super::terminal;
use crate::answers::Reach;
use crate::facts::{self, Facts};
use crate::node::host_key::{self, HostKey, Meeting};
use crate::node::local::Local;
use crate::node::ssh::{self, Ssh, Target};
use crate::node::{At, Cmd, Lost, Output, ReadOnly, Transport, login};
use crate::setup::{Places, Setup};

/// What the wizard asks of the machines. Nothing here changes them, but [`Machines::copy_key`], which the user agrees to.
pub trait Machines {
    /// Whether a machine's host key is known.
    ///
    /// # Errors
    /// When nobody answers there.
    fn meet(&mut self, reach: &Reach) -> Result<Meeting, Lost>;

    /// Keeps keys that the user has compared.
    ///
    /// # Errors
    /// When they can't be kept.
    fn accept(&mut self, reach: &Reach, keys: &[HostKey]) -> Result<(), Lost>;

    /// Logs in and runs `true` as root.
    ///
    /// # Errors
    /// When that is not possible.
    fn enter(&mut self, reach: &Reach) -> Result<Output, Lost>;

    /// Whether there is no key yet that could be copied, so that one has to be made.
    fn lacks_key(&self, reach: &Reach) -> bool;

    /// Copies a key, and makes one before if there is none.
    ///
    /// # Errors
    /// When that fails.
    fn copy_key(&mut self, reach: &Reach) -> Result<()>;

    /// Surveys both at once, one round trip each.
    ///
    /// # Errors
    /// The first that can't be surveyed, with its place.
    fn survey(&mut self, reaches: [&Reach; 2]) -> Result<[Facts; 2], (usize, String)>;

    /// Looks at both with the whole plan. `facts`: what the survey found.
    ///
    /// # Errors
    /// As [`Review::of`].
    fn review(&mut self, setup: &Setup, facts: [Facts; 2]) -> Result<Review>;
}

/// Machines over SSH, and this one.
pub struct Real {
    places: Places,
    /// Host keys that were accepted, until the pair has a name and a place for them.
    folder: tempfile::TempDir,
    open: BTreeMap<String, Arc<dyn Transport>>,
}

impl Real {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When there is no place for a list of host keys.
    pub fn new(places: Places) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hapair-").tempdir().context("a folder for host keys")?;
        Ok(Self { places, folder, open: BTreeMap::new() })
    }

    fn target(&self, reach: &Reach) -> Option<Target> {
        let Reach::Ssh { user, host, port } = reach else { return None };
        Some(Target {
            user: user.clone(),
            host: host.clone(),
            port: *port,
            key: self.places.identity.clone(),
            known_hosts: self.folder.path().join("known_hosts"),
            config_file: self.places.ssh_config.clone(),
            control_dir: ssh::control_dir(),
            connect_timeout: Duration::from_secs(15),
            sudo: user != "root",
        })
    }

    fn transport(&mut self, reach: &Reach) -> Arc<dyn Transport> {
        let name = format!("{reach:?}");
        if let Some(open) = self.open.get(&name) {
            return Arc::clone(open);
        }
        let made: Arc<dyn Transport> = match self.target(reach) {
            None => Arc::new(ReadOnly(Local::new().sudo(!rustix::process::geteuid().is_root()))),
            Some(target) => Arc::new(ReadOnly(Ssh::new(target))),
        };
        self.open.insert(name, Arc::clone(&made));
        made
    }
}

impl Machines for Real {
    fn meet(&mut self, reach: &Reach) -> Result<Meeting, Lost> {
        self.target(reach).map_or(Ok(Meeting::Known), |target| host_key::meet(&target))
    }

    fn accept(&mut self, reach: &Reach, keys: &[HostKey]) -> Result<(), Lost> {
        let Some(target) = self.target(reach) else { return Ok(()) };
        keys.iter().try_for_each(|key| host_key::accept(&target.known_hosts, key))
    }

    fn enter(&mut self, reach: &Reach) -> Result<Output, Lost> {
        self.transport(reach).exec(&Cmd::read(["true"]))
    }

    fn lacks_key(&self, reach: &Reach) -> bool {
        self.target(reach).is_some_and(|target| !login::has_key(&target))
    }

    fn copy_key(&mut self, reach: &Reach) -> Result<()> {
        let Some(mut target) = self.target(reach) else { return Ok(()) };
        // ssh asks for the password itself.
        terminal::restore();
        if !login::has_key(&target) {
            target.key = Some(login::make_key()?);
        }
        login::copy_key(&target)
    }

    fn survey(&mut self, reaches: [&Reach; 2]) -> Result<[Facts; 2], (usize, String)> {
        let transports = reaches.map(|reach| self.transport(reach));
        let reads = facts::reads();
        let [left, right] = At::both(|at| transports[at.index()].exec_all(&reads));
        let of = |n: usize, outputs: Result<Vec<Output>, Lost>| {
            let outputs = outputs.map_err(|lost| (n, lost.to_string()))?;
            facts::judge(&outputs).map_err(|error| (n, format!("{error:#}")))
        };
        Ok([of(0, left)?, of(1, right)?])
    }

    fn review(&mut self, setup: &Setup, facts: [Facts; 2]) -> Result<Review> {
        Review::of(setup, &setup.connect(false)?, facts)
    }
}

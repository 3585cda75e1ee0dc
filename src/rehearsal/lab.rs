//! Two throw-away machines: what an engine (`uml`, `qemu`) must be able to do with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::answers::{Bmc, LabHypervisor};

/// Which of the two machines: `First` is node1, `Second` is node2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// The first machine.
    First,
    /// The second machine.
    Second,
}

impl Machine {
    /// Both, in order.
    pub const BOTH: [Machine; 2] = [Machine::First, Machine::Second];

    /// 0 or 1.
    pub fn index(self) -> usize {
        match self {
            Machine::First => 0,
            Machine::Second => 1,
        }
    }
}

/// A network between the two machines. Every engine has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// DRBD, OCFS2 and the first cluster link.
    Cluster,
    /// The second cluster link.
    Second,
}

/// How to log in to a machine, as root and with a key that the lab made.
#[derive(Debug, Clone)]
pub struct Login {
    /// Address that answers where hapair itself runs (inside the lab's network namespace, if it has one).
    pub host: String,
    /// TCP port of its SSH server.
    pub port: u16,
    /// Private key, mode 0600.
    pub key: PathBuf,
    /// known_hosts file that holds both machines' host keys.
    pub known_hosts: PathBuf,
}

/// What the machines are to be like.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Host names, as `uname -n` will say.
    pub names: [String; 2],
    /// Debian release: `bookworm` or `trixie`.
    pub release: String,
    /// Addresses on [`Link::Cluster`] (IPv4, /24).
    pub cluster: [String; 2],
    /// Addresses on [`Link::Second`] (IPv4, /24).
    pub second: [String; 2],
    /// Size of the partition for DRBD, in MiB.
    pub data_mib: u64,
    /// Leave the room for the DRBD partition free instead of making it.
    pub leave_free: bool,
    /// Give the machines what SBD needs.
    pub sbd: bool,
    /// Packages that are in the image already (`--preinstalled`); empty for a fresh machine.
    pub preinstalled: Vec<String>,
    /// Packages that the machines must be able to install from their package source, with all they depend on.
    pub offered: Vec<String>,
    /// Where images and packages are kept between runs.
    pub cache: PathBuf,
    /// Where this run's disks, logs and sockets live; removed by [`Lab::gone`].
    pub scratch: PathBuf,
}

/// What SBD needs, as the machines name it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sbd {
    /// A small disk that both machines share; nothing is on it.
    pub disk: String,
    /// A watchdog in each machine.
    pub watchdog: String,
}

/// Two running machines.
pub trait Lab: Send {
    /// `uml` or `qemu`.
    fn engine(&self) -> &'static str;

    /// What runs the VMs on these machines.
    fn hypervisor(&self) -> LabHypervisor;

    /// What this engine can't do, one sentence each, for the reader of the rehearsal's output.
    fn limits(&self) -> Vec<String>;

    /// Path of the block device the DRBD partition is on, as the machine names it: `/dev/sda3`, `/dev/ubdb1`.
    fn data_device(&self) -> String;

    /// Switches a machine on. Returns at once; the caller waits for SSH.
    ///
    /// # Errors
    /// When the machine can't be started, with its console's last lines.
    fn power_on(&mut self, machine: Machine) -> Result<()>;

    /// Cuts the power: the machine is gone without a chance to write anything more.
    ///
    /// # Errors
    /// When its process can't be ended.
    fn power_off(&mut self, machine: Machine) -> Result<()>;

    /// Whether the machine's process runs.
    fn is_on(&mut self, machine: Machine) -> bool;

    /// File that receives what the machine prints on its console.
    fn console(&self, machine: Machine) -> &Path;

    /// Cuts a link between the machines, or mends it.
    ///
    /// # Errors
    /// When the network can't be changed.
    fn set_link(&mut self, link: Link, up: bool) -> Result<()>;

    /// Cuts the way by which hapair logs in to a machine, without a word to either end, or mends it. The pair's links stay.
    ///
    /// # Errors
    /// When the network can't be changed, or this engine has no such way of its own.
    fn set_login(&mut self, _machine: Machine, _up: bool) -> Result<()> {
        anyhow::bail!("{} has no way to cut the logins alone: use --engine uml", self.engine())
    }

    /// Where the machines' BMCs answer the machines, and to whom.
    fn bmcs(&self) -> [Bmc; 2];

    /// The shared disk and the watchdogs; none where they were not wished.
    fn sbd(&self) -> Option<Sbd>;

    /// Pulls the plug of a machine's BMC, so that it answers nobody, or puts it in again. The machine itself goes on.
    ///
    /// # Errors
    /// When its process can't be started or ended.
    fn set_bmc(&mut self, machine: Machine, up: bool) -> Result<()>;

    /// What a machine's BMC was told to switch since its start, in order, as ipmi_sim has it: `set power 0`, `set reset 1`.
    fn switched(&self, machine: Machine) -> Vec<String>;

    /// How to log in.
    fn login(&self, machine: Machine) -> Login;

    /// How long a machine may take from power-on or reboot to SSH here: a limit, not an estimate.
    fn patience(&self) -> Duration;

    /// Switches both off and removes all that this run made, but not the cache.
    ///
    /// # Errors
    /// When something is left behind; says what.
    fn gone(&mut self) -> Result<()>;
}

//! What one node says of itself.

use serde::Serialize;

use super::corosync::{self, Link};
use super::memory::{self, Memory};
use crate::answers::{Answers, Layout};
use crate::cluster::{ClusterView, NOT_CONNECTED};
use crate::drbd;
use crate::fencing;
use crate::node::{At, Cmd, Lost, Output, Pair};

/// crm_mon with what each action did last, which [`crate::cluster::CRM_MON`] leaves out.
const CRM_MON: [&str; 5] = ["crm_mon", "-1", "--inactive", "--timing-details", "--output-as=xml"];

/// The units that a pair lives by, whatever is chosen: those that it hasn't got don't fail. Not `drbd.service`, which hapair
/// switches off.
const UNITS: [&str; 7] = [
    "corosync.service",
    "pacemaker.service",
    "sbd.service",
    "o2cb.service",
    "hapair-o2net.service",
    "mountdrbd.service",
    "xen.service",
];

/// What one node says of itself.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// DRBD, as this node sees it.
    pub drbd: drbd::View,
    /// Devices beside that of the answers, in the layout that has one for each VM, by the name that `drbdadm` takes.
    pub vm_devices: Vec<(String, drbd::Device)>,
    /// How the file system is mounted here, if it is.
    pub mount: Option<Mount>,
    /// The cluster, as this node sees it; else why not.
    pub cluster: Result<ClusterView, String>,
    /// The cluster's links from here.
    pub links: Vec<Link>,
    /// `xen`, `kvm` or `none`.
    pub hypervisor: String,
    /// Load averages.
    pub load: String,
    /// Memory for VMs.
    pub memory: Option<Memory>,
    /// What it has recorded of fencing.
    pub fencing: fencing::Kept,
    /// Hash of the fencing configuration in its CIB, if the cluster runs.
    pub fencing_configuration: Option<String>,
    /// SBD takes part in that.
    pub fencing_by_sbd: bool,
    /// SBD here, or why nothing can be said of it.
    pub sbd: Result<fencing::sbd::Sbd, String>,
    /// Fencing devices and levels in its CIB; none while the cluster does not run.
    pub fencing_objects: Vec<fencing::object::Object>,
    /// Those of [`UNITS`] that systemd calls failed.
    pub failed_units: Vec<String>,
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// What is mounted.
    pub device: String,
    /// `ocfs2`.
    pub kind: String,
    /// Nothing can be written: OCFS2 does so to itself after an error.
    pub read_only: bool,
}

impl NodeStatus {
    /// Asks a node.
    ///
    /// # Errors
    /// Why it can't be asked, in words.
    pub fn look(answers: &Answers, pair: &Pair, at: At) -> Result<Self, Lost> {
        let outputs = pair.at(at).read_all(&reads(answers))?;
        Self::of(answers, &outputs)
    }

    /// Reads the outputs of [`reads`].
    ///
    /// # Errors
    /// When these are not as many as were asked for.
    pub fn of(answers: &Answers, outputs: &[Output]) -> Result<Self, Lost> {
        let [drbd, mounts, cluster, links, hypervisor, load, memory, kept, cib, failed, sbd] = outputs else {
            return Err(Lost::Dropped("it answered something else than was asked".to_owned()));
        };
        let kept = fencing::parse(kept);
        Ok(Self {
            fencing_configuration: Some(cib)
                .filter(|cib| cib.ok())
                .and_then(|cib| fencing::hash(&cib.text(), &kept.install).ok()),
            fencing_by_sbd: fencing::by_sbd(&cib.text()),
            sbd: fencing::sbd::parse(sbd),
            fencing_objects: fencing::object::objects(&cib.text()).unwrap_or_default(),
            fencing: kept,
            vm_devices: if answers.storage.layout == Layout::DrbdPerVm { vm_devices(&drbd.text()) } else { Vec::new() },
            drbd: drbd::view(drbd, &answers.storage.resource, 0),
            mount: mount(&mounts.text(), &answers.storage.mount),
            cluster: cluster_view(cluster),
            links: corosync::links(&links.text()),
            hypervisor: hypervisor.line(),
            load: load.line().split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            memory: memory::parse(&memory.text()),
            failed_units: failed_units(&failed.text()),
        })
    }
}

/// What a node is asked, in one round trip.
#[must_use]
pub fn reads(answers: &Answers) -> Vec<Cmd> {
    vec![
        drbd::look(&answers.storage.resource, &drbd::MINOR.to_string()),
        Cmd::read(["cat", "/proc/mounts"]),
        Cmd::read(CRM_MON),
        corosync::read(),
        Cmd::read_sh("cat /sys/hypervisor/type 2>/dev/null || echo none", [] as [&str; 0]),
        Cmd::read(["cat", "/proc/loadavg"]),
        memory::read(),
        fencing::look(),
        Cmd::read(["cibadmin", "-Q", "-o", "configuration"]),
        Cmd::read(
            ["systemctl", "list-units", "--all", "--state=failed", "--plain", "--no-legend", "--"]
                .into_iter()
                .chain(UNITS),
        ),
        fencing::sbd::look(),
    ]
}

/// Names from `systemctl list-units --plain --no-legend` (systemctl(1)): the first word of each line. Without systemd: none.
fn failed_units(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// What `/proc/drbd` of 8.4 tells of the other devices; `drbdadm` takes `minor-1` for the resource of minor number 1.
fn vm_devices(proc: &str) -> Vec<(String, drbd::Device)> {
    let others = drbd::proc(proc).devices.into_iter();
    others
        .filter_map(|device| Some((format!("minor-{}", device.minor.filter(|minor| *minor != drbd::MINOR)?), device)))
        .collect()
}

/// The last mount on a folder, from `/proc/mounts` (fstab(5): blanks in names are `\040`).
fn mount(mounts: &str, folder: &str) -> Option<Mount> {
    mounts.lines().rev().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [device, place, kind, options, ..] = words.as_slice() else { return None };
        (place.replace("\\040", " ") == folder).then(|| Mount {
            device: (*device).to_owned(),
            kind: (*kind).to_owned(),
            read_only: options.split(',').any(|option| option == "ro"),
        })
    })
}

fn cluster_view(output: &Output) -> Result<ClusterView, String> {
    match output.code {
        0 => ClusterView::parse(&output.text()),
        127 => Err("Pacemaker is not installed".to_owned()),
        NOT_CONNECTED => Err("Pacemaker does not run".to_owned()),
        _ => Err(output.errors().lines().last().unwrap_or("crm_mon says nothing").trim().to_owned()),
    }
}

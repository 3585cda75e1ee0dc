//! What runs the virtual machines, and what does so in a rehearsal.

use serde::{Deserialize, Serialize};

/// Kind of hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HypervisorKind {
    /// Xen.
    Xen,
    /// KVM.
    Kvm,
    /// Only in a rehearsal whose machines can't run a hypervisor; no answers file can ask for it.
    StandIn,
}

/// What runs the virtual machines.
#[derive(Debug, Clone, Serialize)]
pub struct Hypervisor {
    /// Xen or KVM.
    pub kind: HypervisorKind,
    /// Memory of dom0, in MiB.
    pub dom0_memory_mib: u64,
    /// What only a rehearsal's machines ask for; no answers file can set it.
    #[serde(skip)]
    pub lab: Option<LabHypervisor>,
}

impl Hypervisor {
    /// The nodes are these machines of a rehearsal.
    pub fn rehearse_on(&mut self, machines: LabHypervisor) {
        self.lab = Some(machines);
        if machines == LabHypervisor::StandIn {
            self.kind = HypervisorKind::StandIn;
        }
    }

    /// The emulator can't run PVH guests: they are made as PV guests, which can't be moved while they run.
    pub fn pv_guests(&self) -> bool {
        self.lab == Some(LabHypervisor::XenEmulatedPv)
    }

    /// The machines are emulated: guests read the processor's own time stamp counter (`tsc_mode`, xl.cfg(5)), since Xen
    /// can't emulate the instruction that the emulator reports to it; and the cluster looks at its resources more rarely,
    /// with more patience, since starting the agents' processes would take all the processor's time.
    pub fn emulated(&self) -> bool {
        matches!(self.lab, Some(LabHypervisor::XenEmulated | LabHypervisor::XenEmulatedPv))
    }
}

/// What runs the VMs on a rehearsal's machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LabHypervisor {
    /// Nothing: a small service stands in for each VM.
    StandIn,
    /// Xen, as on metal.
    Xen,
    /// Xen, all of it emulated; see [`Hypervisor::emulated`].
    XenEmulated,
    /// The same, where the emulator can't run PVH guests; see [`Hypervisor::pv_guests`].
    XenEmulatedPv,
}

//! What the user decided: validated, complete, typed. Knows nothing of nodes.
//!
//! An answers file becomes [`Answers`] in [`load`], which reports every problem of the file at once,
//! each with its line and column. [`fields`] is the one table of keys: defaults, the JSON Schema
//! and the reference page come from it.

pub mod edit;
pub mod fields;
mod hypervisor;
pub mod load;
pub mod schema;
pub mod tree;
pub mod written;

use std::net::Ipv4Addr;

use serde::Serialize;

pub use hypervisor::{Hypervisor, HypervisorKind, LabHypervisor};
pub use load::{LoadError, Loaded, Problem, Problems, Secrets, file, text};

/// A text that must not be shown: `Debug` and `Serialize` give `********`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(zeroize::Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("********")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("********")
    }
}

/// Everything that the user decided.
#[derive(Debug, Clone, Serialize)]
pub struct Answers {
    /// Name of the cluster: 1 to 15 characters of `a-z0-9-`.
    pub cluster: String,
    /// `auto`, or a platform's id such as `debian-12`.
    pub platform: String,
    /// The two nodes, in the order of the file: the first is node number 0 of OCFS2 and number 1 of Corosync.
    pub nodes: [NodeAnswers; 2],
    /// DRBD and the file system.
    pub storage: Storage,
    /// What runs the virtual machines.
    pub hypervisor: Hypervisor,
    /// Where packages come from.
    pub packages: Packages,
    /// How a node is switched off by its peer.
    pub fencing: Fencing,
    /// Cluster properties that are a matter of taste.
    pub cib: Cib,
    /// The virtual machines.
    pub vms: Vec<Vm>,
}

impl Answers {
    /// Why the answers are valid but not to be carried out, each as a sentence for people.
    ///
    /// A rehearsal may use fencing by ssh: its machines hold nothing.
    pub fn refusals(&self, rehearsal: bool) -> Vec<String> {
        let mut refusals = Vec::new();
        if self.fencing.method.uses_ssh() && !self.fencing.accept_unsafe_ssh && !rehearsal {
            refusals.push(
                "Fencing by ssh is refused: it cannot switch off a node that hangs or has lost its \
                 network, and then both nodes write to the same data. Take ipmi, sbd or an agent as \
                 fencing.method, or accept the danger with `accept_unsafe: ssh` under `fencing`."
                    .to_owned(),
            );
        }
        refusals
    }

    /// What a platform can't do of them, each as a sentence. The loader says the same when the file names the platform.
    pub fn unsupported(&self, platform: &str) -> Vec<String> {
        load::unsupported(platform, self.hypervisor.kind, &self.fencing.method)
            .into_iter()
            .map(|(section, key, message)| format!("{section}.{key}: {message}"))
            .collect()
    }
}

/// One node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeAnswers {
    /// What `uname -n` will say: lower case, no dot, no underscore.
    pub name: String,
    /// How to reach it.
    pub ssh: Reach,
    /// `SHA256:...` of its SSH host key, if given: then an unknown key with this fingerprint is accepted.
    pub host_key: Option<String>,
    /// DRBD, OCFS2 and the first cluster link.
    pub address: Ipv4Addr,
    /// The second cluster link.
    pub second_address: Option<Ipv4Addr>,
    /// This node's backing device, `storage.device` unless the node has its own.
    pub device: String,
    /// Serial or by-id name: consent to destroy what the device holds.
    pub erase: Option<String>,
}

/// How a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// hapair runs on this node.
    Local,
    /// `user@host[:port]`.
    Ssh {
        /// Login name; other than `root`, `sudo -n` is used.
        user: String,
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// Size of a partition that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Create {
    /// Never make it: it must be there.
    No,
    /// All of the free space behind the last partition.
    Rest,
    /// So many bytes.
    Bytes(u64),
}

/// One DRBD device with OCFS2 on it, or one DRBD device for each VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// The tutorial's: one dual-primary device, OCFS2 on it.
    Ocfs2,
    /// The readers' (comments 4 and 8): a device for each VM, no cluster file system.
    DrbdPerVm,
}

/// How the first synchronisation is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InitialSync {
    /// Copy the whole device once.
    Full,
    /// Declare both sides equal; only where both devices are freshly made.
    Skip,
}

/// Resynchronisation rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncRate {
    /// From the link's speed.
    Auto,
    /// Bytes per second.
    BytesPerSecond(u64),
}

/// Who promotes and mounts after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Clones in the CIB.
    Cluster,
    /// The tutorial's boot script.
    Script,
}

/// DRBD and the file system.
#[derive(Debug, Clone, Serialize)]
pub struct Storage {
    /// When and how large the partition is made where it is missing.
    pub create: Create,
    /// One device with OCFS2, or a device for each VM.
    pub layout: Layout,
    /// Name of the DRBD resource.
    pub resource: String,
    /// DRBD's TCP port.
    pub port: u16,
    /// Mount point.
    pub mount: String,
    /// Full copy or skip.
    pub initial_sync: InitialSync,
    /// Rate of the resynchronisation.
    pub sync_rate: SyncRate,
    /// Who promotes and mounts after a reboot.
    pub start: Start,
}

/// Where packages come from.
#[derive(Debug, Clone, Serialize)]
pub struct Packages {
    /// A URL that replaces the nodes' package sources during the install.
    pub mirror: Option<String>,
}

/// A BMC's address and credentials.
#[derive(Debug, Clone, Serialize)]
pub struct Bmc {
    /// Address or host name of the BMC.
    pub address: String,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// How a node is switched off by its peer.
#[derive(Debug, Clone, Serialize)]
pub struct Fencing {
    /// The method with all that it needs.
    pub method: FencingMethod,
    /// The user accepts `ssh` outside a rehearsal.
    pub accept_unsafe_ssh: bool,
    /// The user accepts a watchdog that the kernel itself makes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accept_unsafe_softdog: bool,
    /// No proof is wanted; from the command line, no answers file can set it.
    #[serde(skip)]
    pub skip_proof: bool,
}

/// A fencing method.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FencingMethod {
    /// A BMC for each node.
    Ipmi {
        /// In the order of the nodes.
        nodes: Box<[Bmc; 2]>,
    },
    /// Watchdog and a small shared disk.
    Sbd {
        /// The shared disks, by-id.
        devices: Vec<String>,
        /// The watchdog device.
        watchdog: String,
    },
    /// Any installed fence agent.
    Agent {
        /// Its name, such as `fence_apc_snmp`.
        name: String,
        /// Parameters for each node; values may be secret.
        nodes: Box<[Vec<(String, Secret)>; 2]>,
    },
    /// Several methods in order.
    Levels {
        /// First to be tried first.
        methods: Vec<FencingMethod>,
    },
    /// The tutorial's `external/ssh`.
    Ssh,
    /// A person, as the last of several levels: no device; they confirm that a node is off.
    Manual,
}

/// Whether a fence agent's parameter is certainly no secret: what is not named here may be one. The names are those of
/// the options that fence agents share (`fencing.py` of the package fence-agents).
pub(crate) fn no_secret(parameter: &str) -> bool {
    const NAMES: [&str; 32] = [
        "auth",
        "cipher",
        "delay",
        "identity_file",
        "inet4_only",
        "inet6_only",
        "ip",
        "ipaddr",
        "ipport",
        "lanplus",
        "login",
        "login_timeout",
        "method",
        "plug",
        "port",
        "power_timeout",
        "power_wait",
        "privlvl",
        "retry_on",
        "secure",
        "shell_timeout",
        "snmp_auth_prot",
        "snmp_priv_prot",
        "snmp_sec_level",
        "snmp_version",
        "ssh",
        "ssl",
        "ssl_insecure",
        "ssl_secure",
        "switch",
        "telnet_over_ssh",
        "username",
    ];
    NAMES.contains(&parameter) || parameter.starts_with("pcmk_")
}

impl FencingMethod {
    /// The same with stand-ins for its secrets, for what is shown. `env:NAME` and `file:PATH` stay: they are none.
    #[must_use]
    pub fn masked(mut self) -> Self {
        const STAND_IN: &str = "********";
        let mask = |secret: &mut Secret| {
            if !["env:", "file:"].iter().any(|kind| secret.reveal().starts_with(kind)) {
                *secret = Secret::new(STAND_IN);
            }
        };
        match &mut self {
            FencingMethod::Ipmi { nodes } => nodes.iter_mut().for_each(|bmc| mask(&mut bmc.password)),
            FencingMethod::Agent { nodes, .. } => {
                nodes.iter_mut().flatten().filter(|(name, _)| !no_secret(name)).for_each(|(_, value)| mask(value));
            }
            FencingMethod::Levels { methods } => {
                *methods = std::mem::take(methods).into_iter().map(FencingMethod::masked).collect();
            }
            FencingMethod::Sbd { .. } | FencingMethod::Ssh | FencingMethod::Manual => {}
        }
        self
    }

    /// Name as in the answers file.
    pub fn name(&self) -> &'static str {
        match self {
            FencingMethod::Ipmi { .. } => "ipmi",
            FencingMethod::Sbd { .. } => "sbd",
            FencingMethod::Agent { .. } => "agent",
            FencingMethod::Levels { .. } => "levels",
            FencingMethod::Ssh => "ssh",
            FencingMethod::Manual => "manual",
        }
    }

    /// The fence agent among these that gives its password to `ipmitool` as an argument, where every user of the node can read
    /// it while it runs (fence_ipmilan of fence-agents, `create_command`; the others are names of the same program).
    pub fn agent_that_shows_its_password(&self) -> Option<&str> {
        const AGENTS: [&str; 7] = [
            "fence_ipmilan",
            "fence_ipmilanplus",
            "fence_idrac",
            "fence_ilo3",
            "fence_ilo4",
            "fence_ilo5",
            "fence_imm",
        ];
        match self {
            FencingMethod::Agent { name, .. } => AGENTS.contains(&name.as_str()).then_some(name),
            FencingMethod::Levels { methods } => methods.iter().find_map(FencingMethod::agent_that_shows_its_password),
            _ => None,
        }
    }

    /// Whether a watchdog and a shared disk take part; never in levels.
    pub fn uses_sbd(&self) -> bool {
        matches!(self, FencingMethod::Sbd { .. })
    }

    /// Whether `node` can fence with a device that runs on the nodes `running`: with its own, and with SBD with that of either node,
    /// since each writes to the shared disk itself (sbd(8)).
    pub fn usable(&self, running: &[String], node: &str) -> bool {
        running.iter().any(|at| at == node || self.uses_sbd())
    }

    /// Whether it is the tutorial's `external/ssh`; never in levels.
    pub fn uses_ssh(&self) -> bool {
        matches!(self, FencingMethod::Ssh)
    }

    /// Whether a person is the last of several levels.
    pub fn ends_in_a_person(&self) -> bool {
        matches!(self, FencingMethod::Levels { methods } if matches!(methods.last(), Some(FencingMethod::Manual)))
    }
}

/// A score of Pacemaker: a number or INFINITY, kept as it is written in the CIB.
pub type Score = String;

/// Cluster properties that are a matter of taste.
#[derive(Debug, Clone, Serialize)]
pub struct Cib {
    /// `resource-stickiness`.
    pub stickiness: Score,
    /// `default-resource-failure-stickiness` of Heartbeat 2; elsewhere `migration-threshold`.
    pub failure_stickiness: Score,
}

/// What a VM's disk starts as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Image {
    /// A tiny guest made from the node's own kernel.
    Demo,
    /// A disk image that is copied.
    File {
        /// Path on the first node.
        path: String,
    },
    /// An empty disk.
    Blank,
}

/// A virtual machine.
#[derive(Debug, Clone, Serialize)]
pub struct Vm {
    /// Name: also the id of its resource in the CIB.
    pub name: String,
    /// Made by hapair, or a configuration of one's own.
    pub source: VmSource,
    /// Node that it prefers.
    pub prefer: Option<String>,
}

/// Where a VM's configuration comes from.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VmSource {
    /// An `xl` configuration of one's own.
    Config {
        /// Path on the first node.
        path: String,
    },
    /// Made from these.
    Made {
        /// Memory in MiB.
        memory_mib: u64,
        /// Virtual CPUs.
        vcpus: u32,
        /// Size of the disk in bytes.
        disk_bytes: u64,
        /// What the disk starts as.
        image: Image,
        /// A bridge that exists on both nodes.
        bridge: Option<String>,
    },
}

//! The smallest thing that is checked, applied and checked again.
//!
//! An action does nothing by itself. It names the reads that it needs ([`Act::reads`]), judges what they
//! gave ([`Act::judge`]) and names the commands that bring about what is missing ([`Act::orders`]). The engine
//! runs them: all reads of a step go to a node in one round trip, and after the orders the action is judged again,
//! as often as [`Act::settle`] allows. What is not [`State::Satisfied`] then has failed, whatever the commands returned.
//!
//! A judgement covers *all* that the orders set: otherwise a half-done action would count as done.

pub mod boot_entry;
pub mod cib;
pub mod command;
pub mod cross_read;
pub mod disk_image;
pub mod drbd_connection;
pub mod drbd_metadata;
pub mod drbd_role;
pub mod drbd_sync;
pub mod fencing_cut;
pub mod fencing_device;
pub mod fencing_login;
pub mod fencing_proof;
pub mod fencing_shot;
pub mod file;
pub mod filesystem;
pub mod host_names;
pub mod kernel_module;
pub mod kind;
pub mod mount;
pub mod node_record;
pub mod packages;
pub mod partition;
pub mod reboot;
pub mod ring;
pub mod service;
pub mod shared_file;
pub mod ssh_key;
pub mod ssh_login;
pub mod ssh_trust;
pub mod verify;
pub mod vm_config;
pub mod wait;

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::node::{At, Cmd, Output};
use crate::undo::Undoing;

/// Whether an action is about one node or about both together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Done on each node by itself; rendered once for each.
    Node,
    /// Sees both nodes; done once. Rendered with `node` as the first.
    Pair,
}

/// What the reads of an action gave, for each node in the order of [`Act::reads`].
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Outputs of the first and of the second node; empty for a node that was not asked.
    pub outputs: [&'a [Output]; 2],
    /// What only the journal knows.
    pub memory: &'a Memory,
}

impl<'a> Seen<'a> {
    /// Outputs of one node. An action of [`Scope::Node`] finds only its own here.
    pub fn at(&self, at: At) -> &'a [Output] {
        self.outputs[at.index()]
    }

    /// Output number `index` of a node; an empty one with exit code -1 if it was not asked.
    pub fn get(&self, at: At, index: usize) -> &'a Output {
        const NOT_ASKED: &Output = &Output { code: -1, stdout: Vec::new(), stderr: Vec::new() };
        self.at(at).get(index).unwrap_or(NOT_ASKED)
    }
}

/// What the system can't tell by itself: kept by the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Boot id that a node had when this run asked it to reboot.
    pub boot_before: [Option<String>; 2],
    /// The same of an earlier run whose end the journal doesn't tell.
    pub rebooted: [Option<String>; 2],
    /// Device UUID of the DRBD metadata that the nodes have told us of, in this run or an earlier one.
    pub drbd: [Option<String>; 2],
    /// UUID of the file system that was made, as the nodes have told us.
    pub ocfs2: Option<String>,
}

/// How an action stands.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// All that it sets is set.
    Satisfied,
    /// Something is missing: this would change.
    Drift(Change),
    /// Can't be told before an earlier step has run; says what is missing (`drbdadm is not installed`).
    Unknown(String),
    /// Must not be done.
    Refused(Refusal),
}

impl State {
    /// [`State::Drift`] with a summary, no diff and no risk.
    pub fn drift(summary: impl Into<String>) -> State {
        State::Drift(Change::new(summary))
    }
}

/// What an action would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// One line, without the node's name: `write /etc/hosts`.
    pub summary: String,
    /// Unified diff of a file; never of one that holds a secret.
    pub diff: Option<String>,
    /// What may be lost.
    pub risk: Risk,
    /// How far it has come, while waiting.
    pub progress: Option<Progress>,
}

impl Change {
    /// A change without diff, risk and progress.
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), diff: None, risk: Risk::None, progress: None }
    }

    /// With a diff.
    #[must_use]
    pub fn diff(mut self, diff: impl Into<String>) -> Self {
        self.diff = Some(diff.into());
        self
    }

    /// With a risk.
    #[must_use]
    pub fn risk(mut self, risk: Risk) -> Self {
        self.risk = risk;
        self
    }

    /// With how far it has come.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// What a change may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Nothing.
    None,
    /// The cluster's daemons stop for a moment.
    RestartsCluster,
    /// The node reboots.
    Reboots,
    /// What is on a device is lost; consent was given by name.
    DestroysData,
}

/// How far something has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100, if it can be told.
    pub percent: Option<f64>,
    /// Seconds to the end, if it can be told.
    pub eta_seconds: Option<u64>,
    /// Rate or stage, for people: `27,400 K/sec`, `unpacking pacemaker`.
    pub detail: String,
}

/// Why an action must not be done, or can't succeed any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Decides the exit code.
    pub kind: RefusalKind,
    /// What was found, where, how large.
    pub what: String,
    /// What to do next.
    pub next: String,
}

impl Refusal {
    /// As a state.
    pub fn state(kind: RefusalKind, what: impl Into<String>, next: impl Into<String>) -> State {
        State::Refused(Refusal { kind, what: what.into(), next: next.into() })
    }
}

/// Kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// A device holds something and the answers don't name it (exit code 6).
    Consent,
    /// A node is not what it must be (exit code 4).
    Preflight,
    /// While waiting it became clear that it won't come (exit code 1).
    Failed,
}

/// A command and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which node.
    pub at: At,
    /// What runs there; its exit code must be 0.
    pub cmd: Cmd,
}

impl Order {
    /// An order.
    pub fn new(at: At, cmd: Cmd) -> Self {
        Self { at, cmd }
    }
}

/// How long the end state may take after the orders, and how it is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// What is waited for: `both nodes online and a DC elected`.
    pub what: String,
    /// Limit.
    pub limit: Duration,
    /// Time between two looks.
    pub every: Duration,
    /// The connection may be lost meanwhile, since the node reboots.
    pub reboots: bool,
    /// The same condition for a shell, used in `plan --format sh`: a command that succeeds once it is so.
    pub shell: String,
}

/// What every kind of action does.
pub trait Act {
    /// One line for people, without the node's name.
    fn title(&self) -> String;

    /// About one node or about both.
    fn scope(&self) -> Scope {
        Scope::Node
    }

    /// Commands (all of them [`crate::node::Effect::Read`]) whose outputs [`Act::judge`] needs from this node.
    /// They must be harmless on any machine, whatever is installed there.
    fn reads(&self, at: At) -> Vec<Cmd>;

    /// Its reads try whether something else answers (a BMC, the peer's sshd): that they had no time ([`crate::node::Output::LATE`]) is
    /// for [`Act::judge`] to tell. Of all others nothing can be told then, and they are not judged.
    fn judges_silence(&self) -> bool {
        false
    }

    /// How things stand. Pure: the same outputs give the same state. `at` is the node of an action of
    /// [`Scope::Node`]; for [`Scope::Pair`] it is the first.
    fn judge(&self, at: At, seen: &Seen<'_>) -> State;

    /// What brings about what is missing, in order; called only after [`State::Drift`]. May be empty where only
    /// time is missing.
    ///
    /// # Errors
    /// When the orders can't be told from what was seen.
    fn orders(&self, at: At, seen: &Seen<'_>) -> Result<Vec<Order>>;

    /// How long the end state may take to come about after the orders; `None`: at once.
    fn settle(&self) -> Option<Settle> {
        None
    }

    /// Which node the orders of an action about both reboot, if its [`Settle`] says that they reboot one.
    fn reboots(&self) -> Option<At> {
        None
    }

    /// What takes it back on a node, in order; nothing where that is impossible, needless or left to another action. The
    /// lists of both nodes are of one length. Each command looks first whether there is anything to take back.
    fn undo(&self, _at: At, _undoing: &Undoing<'_>) -> Vec<command::Command> {
        Vec::new()
    }

    /// It is taken back behind the others of its step: it reads what they leave.
    fn undo_last(&self) -> bool {
        false
    }

    /// What stays when everything is taken back, as a sentence.
    fn left(&self) -> Option<String> {
        None
    }

    /// Files as they would be written, for `render`: path, mode (octal) and content. Only for actions that write
    /// whole files.
    fn files(&self) -> Vec<RenderedFile> {
        Vec::new()
    }
}

/// A file as it would be written on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// Absolute path on the node.
    pub path: String,
    /// Mode, such as 0o644.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
    /// Holds a secret.
    pub secret: bool,
}

//! The one table of the keys of an answers file.
//!
//! Unknown-key errors, defaults, the JSON Schema, the reference page and the questions of the wizard
//! all come from [`FIELDS`]. A path has `[]` for the items of a list, `<node>` for a key that is a
//! node's name and `<parameter>` for a key that is the user's own.

use super::load::form;
pub use super::load::form::{Form, Shape};

/// One key.
#[derive(Debug)]
pub struct Field {
    /// Where it stands, such as `nodes[].ssh`.
    pub path: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// Whether it must be given.
    pub need: Need,
    /// The value must not be shown.
    pub secret: bool,
    /// One sentence: what it is for.
    pub doc: &'static str,
}

/// Whether a key must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Always.
    Required,
    /// Under a condition, which is named.
    When(&'static str),
    /// Left out, it is this.
    Default(&'static str),
    /// It may be left out.
    Optional,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A mapping.
    Section,
    /// A list of mappings.
    Sections,
    /// A single value.
    Text(&'static Form),
    /// A list of single values.
    Texts(&'static Form),
}

impl Kind {
    /// In words, for "expected ..., found a list".
    pub fn expects(&self) -> String {
        match self {
            Kind::Section => "a mapping (keys with values)".to_owned(),
            Kind::Sections => "a list of mappings, each beginning with `- `".to_owned(),
            Kind::Text(form) => form.expects.to_owned(),
            Kind::Texts(form) => format!("a list, each {}", form.expects),
        }
    }
}

use Need::{Default, Optional, Required, When};

const fn field(path: &'static str, kind: Kind, need: Need, doc: &'static str) -> Field {
    Field { path, kind, need, secret: false, doc }
}

const fn text(path: &'static str, form: &'static Form, need: Need, doc: &'static str) -> Field {
    field(path, Kind::Text(form), need, doc)
}

const fn secret(path: &'static str, need: Need, doc: &'static str) -> Field {
    Field { path, kind: Kind::Text(&form::SECRET), need, secret: true, doc }
}

const BY_METHOD: Need = When("`method: ipmi` or `method: agent`");
const IPMI: Need = When("`method: ipmi`");

/// Every key, in the order in which the wizard asks and the reference page tells.
pub static FIELDS: &[Field] = &[
    text(
        "cluster",
        &form::CLUSTER,
        Required,
        "Name of the cluster, in Corosync's, OCFS2's and hapair's own files: 1 to 15 characters of a-z, 0-9 and `-`.",
    ),
    text("platform", &form::PLATFORM, Default("auto"), "What the nodes run; `auto` reads it from them."),
    field(
        "nodes",
        Kind::Sections,
        Required,
        "The two machines, exactly two; the first is where single actions such as mkfs run.",
    ),
    text(
        "nodes[].name",
        &form::HOST_LABEL,
        Required,
        "What `uname -n` says, or will say once hapair has set it: lower case, no dot, no underscore.",
    ),
    text(
        "nodes[].ssh",
        &form::SSH,
        Required,
        "How to log in: user@host[:port], or `local` when hapair runs on this node; with another user than root, `sudo -n` is used.",
    ),
    text(
        "nodes[].host_key",
        &form::HOST_KEY,
        Optional,
        "Fingerprint of the node's SSH host key, so that an unattended install can trust a node it has never seen.",
    ),
    text(
        "nodes[].address",
        &form::ADDRESS,
        Required,
        "IPv4 address for DRBD, OCFS2 and the first cluster link; a network of its own is best.",
    ),
    text(
        "nodes[].second_address",
        &form::ADDRESS,
        Optional,
        "IPv4 address for the second cluster link, on both nodes or on neither: with it, one cut cable does not part the pair.",
    ),
    text(
        "nodes[].device",
        &form::DEVICE,
        When("there is no `storage.device`"),
        "This node's backing partition, instead of `storage.device`.",
    ),
    text(
        "nodes[].erase",
        &form::ERASE,
        Optional,
        "Serial number or by-id name of the disk: your consent that what the backing device holds is destroyed; an empty device needs none.",
    ),
    field("storage", Kind::Section, Optional, "DRBD and the file system on it."),
    text(
        "storage.device",
        &form::DEVICE,
        When("a node has no `device` of its own"),
        "The partition that DRBD mirrors, the same path on both nodes.",
    ),
    text(
        "storage.create",
        &form::CREATE,
        Default("no"),
        "Make the partition where it is missing: `rest` takes all the free space behind the last partition, a size so much, `no` never makes one.",
    ),
    text(
        "storage.layout",
        &form::LAYOUT,
        Default("ocfs2"),
        "`ocfs2` is one device with a cluster file system for all VMs; `drbd-per-vm` is one device for each VM.",
    ),
    text("storage.resource", &form::RESOURCE, Default("r0"), "Name of the DRBD resource."),
    text("storage.port", &form::PORT, Default("7788"), "DRBD's TCP port; 22, 3121, 5405 and 7777 are taken."),
    text("storage.mount", &form::MOUNT, Default("/drbd0"), "Where the file system is mounted on both nodes."),
    text(
        "storage.initial_sync",
        &form::SYNC,
        Default("full"),
        "`full` copies the whole device once; `skip` declares both sides equal, for devices without data only.",
    ),
    text(
        "storage.sync_rate",
        &form::RATE,
        Default("auto"),
        "Bytes per second that a resynchronisation may take, such as 10M; `auto` follows the link.",
    ),
    text(
        "storage.start",
        &form::START,
        Default("cluster"),
        "Who promotes and mounts after a reboot: `cluster` (clones in the CIB) or `script` (the tutorial's boot script).",
    ),
    field("hypervisor", Kind::Section, Optional, "What runs the VMs."),
    text("hypervisor.kind", &form::KIND, Default("xen"), "The hypervisor."),
    text(
        "hypervisor.dom0_memory",
        &form::DOM0,
        Default("1G"),
        "Memory that Xen keeps for the node itself, at least 512M.",
    ),
    field("packages", Kind::Section, Optional, "Where packages come from."),
    text(
        "packages.mirror",
        &form::MIRROR,
        Default("none"),
        "A URL that replaces the nodes' package sources during the install, or `none`.",
    ),
    field(
        "fencing",
        Kind::Section,
        Required,
        "How a node that no longer answers is switched off by its peer; without it both would write to the same data.",
    ),
    text(
        "fencing.method",
        &form::METHOD,
        Required,
        "`ipmi` (a BMC each), `sbd` (watchdog and a small shared disk), `agent` (any fence agent), `levels` (several in order), or the tutorial's `ssh`, which cannot stop a node that hangs. `manual` (a person) is for the last of several levels only.",
    ),
    text(
        "fencing.accept_unsafe",
        &form::ACCEPT,
        Optional,
        "`ssh` accepts that fencing by ssh is no fencing; without it the method is refused outside a rehearsal. `softdog` accepts, for `sbd`, a watchdog that is part of the kernel: it does not bite when the kernel itself hangs.",
    ),
    field(
        "fencing.<node>",
        Kind::Section,
        BY_METHOD,
        "A block for each node, under the node's name (or `node1` and `node2`): what switches this node off.",
    ),
    text("fencing.<node>.address", &form::HOST, IPMI, "Address of the node's BMC."),
    text("fencing.<node>.user", &form::BMC_USER, IPMI, "User of the BMC; it needs the right to switch power."),
    secret("fencing.<node>.password", IPMI, "Password of the BMC."),
    text("fencing.agent", &form::AGENT, When("`method: agent`"), "Name of the fence agent, such as fence_apc_snmp."),
    secret(
        "fencing.<node>.<parameter>",
        When("`method: agent`"),
        "Any parameter of the agent, such as `ip`, `plug` or `password`.",
    ),
    field(
        "fencing.devices",
        Kind::Texts(&form::DEVICE),
        When("`method: sbd`"),
        "One to three small shared disks for sbd, best by-id.",
    ),
    text("fencing.watchdog", &form::DEVICE, Default("/dev/watchdog"), "The watchdog device, for `method: sbd`."),
    field(
        "fencing.levels",
        Kind::Sections,
        When("`method: levels`"),
        "The methods in the order in which they are tried: `ipmi` and `agent`, each item with the keys of `fencing` itself. The last of several may be `method: manual`: no device is made for it; when none of the others worked, nothing of the lost node is taken over until a person, who has seen that it is off, types `stonith_admin --confirm NODE` on the other one, and `hapair status` says so.",
    ),
    field("cib", Kind::Section, Optional, "Cluster properties that are a matter of taste."),
    text(
        "cib.stickiness",
        &form::STICKINESS,
        Default("INFINITY"),
        "How much a VM wants to stay where it is; with `prefer`, 50 gives failback.",
    ),
    text(
        "cib.failure_stickiness",
        &form::FAILURE,
        Default("-500"),
        "How much a failure drives a VM away: as it is on ubuntu-7.10, elsewhere it becomes migration-threshold.",
    ),
    field("vms", Kind::Sections, Optional, "The virtual machines; without any, the pair is made all the same."),
    text("vms[].name", &form::VM_NAME, Required, "Name of the VM, and of its resource in the cluster."),
    text(
        "vms[].config",
        &form::CONFIG,
        Optional,
        "An xl configuration of your own on the first node (file:PATH), instead of the keys below; its disks must lie under `storage.mount`.",
    ),
    text("vms[].memory", &form::VM_MEMORY, Default("256M"), "Memory of the VM."),
    text("vms[].vcpus", &form::VCPUS, Default("1"), "Virtual CPUs."),
    text("vms[].disk", &form::DISK, Default("1G"), "Size of its disk."),
    text(
        "vms[].image",
        &form::IMAGE,
        Default("demo"),
        "What the disk starts as: `demo` (a tiny guest made from the node's own kernel), `blank`, or an image on the first node (file:PATH).",
    ),
    text(
        "vms[].bridge",
        &form::BRIDGE,
        Default("none"),
        "A bridge that exists on both nodes, or `none` for a VM without a network.",
    ),
    text("vms[].prefer", &form::HOST_LABEL, Optional, "Name of the node that it runs on when both are well."),
];

/// The field at a path of this table, such as `nodes[].ssh`.
pub fn find(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.path == path)
}

/// The path of `key` inside `parent`, where the empty path is the whole file.
pub fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// The fields directly inside `parent`, with their keys.
pub fn children(parent: &str) -> impl Iterator<Item = (&'static str, &'static Field)> {
    FIELDS.iter().filter_map(move |field| {
        let rest = field.path.strip_prefix(parent)?;
        let key = if parent.is_empty() { rest } else { rest.strip_prefix('.')? };
        let direct = !key.is_empty() && !key.contains(['.', '[']);
        direct.then_some((key, field))
    })
}

/// The word among `known` that `word` most likely stands for.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes more than a word, and the distance takes quadratic time.
    if word.chars().count() > 40 {
        return None;
    }
    let word = word.to_lowercase().replace(['-', ' '], "_");
    let scored = known.into_iter().map(|known| (distance(&word, known), known));
    let (distance, known) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + known.len().min(word.len()) / 4).then_some(known)
}

/// Letters to change, add, drop or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

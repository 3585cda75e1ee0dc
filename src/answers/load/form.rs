//! The forms of single values: in words, for the JSON Schema, and as the function that checks them.

use super::{net, value};

/// The form of a single value.
#[derive(Debug)]
pub struct Form {
    /// In words, with its article.
    pub expects: &'static str,
    /// For the JSON Schema, which says less than `check`.
    pub shape: Shape,
    /// Says what is wrong with a text, and what to do.
    pub check: fn(&str) -> Result<(), String>,
}

/// What a JSON Schema can say of a form.
#[derive(Debug)]
pub enum Shape {
    /// Any text.
    Any,
    /// A text that this regular expression matches.
    Pattern(&'static str),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number in a range.
    Integer(i64, i64),
    /// A whole number or this word.
    Score(&'static str),
}

use Shape::{Any, Integer, OneOf, Pattern, Score};

macro_rules! forms {
    ($($name:ident: $expects:expr, $shape:expr, $parse:expr;)*) => {
        $(pub(crate) static $name: Form = Form {
            expects: $expects,
            shape: $shape,
            check: |text| $parse(text).map(|_| ()),
        };)*
    };
}

const SIZE: &str = "^[0-9]+[KMGT](i?B)?$";

pub(crate) const LAYOUTS: &[&str] = &["ocfs2", "drbd-per-vm"];
pub(crate) const SYNCS: &[&str] = &["full", "skip"];
pub(crate) const STARTS: &[&str] = &["cluster", "script"];
pub(crate) const KINDS: &[&str] = &["xen", "kvm"];
pub(crate) const METHODS: &[&str] = &["ipmi", "sbd", "agent", "levels", "ssh", "manual"];
pub(crate) const UNSAFE: &[&str] = &["ssh", "softdog"];

forms! {
    CLUSTER: "a cluster name", Pattern("^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$"), value::cluster;
    PLATFORM: "a platform", OneOf(value::PLATFORMS), value::platform;
    HOST_LABEL: "a host name", Pattern("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"), net::host_label;
    SSH: "`local` or user@host[:port]",
        Pattern("^(local|[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9_][A-Za-z0-9._-]*(:[0-9]+)?)$"),
        net::reach;
    HOST_KEY: "an SSH fingerprint", Pattern("^SHA256:[A-Za-z0-9+/]{43}$"), net::host_key;
    ADDRESS: "an IPv4 address", Pattern("^[0-9]{1,3}(\\.[0-9]{1,3}){3}$"), net::address;
    HOST: "an IPv4 address or a host name", Pattern("^[A-Za-z0-9.-]+$"), net::host;
    DEVICE: "the path of a device", Pattern("^/dev/.+$"), value::device;
    ERASE: "a serial number or a by-id name", Any, value::erase;
    CREATE: "`no`, `rest` or a size", Pattern("^(no|rest|[0-9]+[KMGT](i?B)?)$"), value::create;
    LAYOUT: "a layout", OneOf(LAYOUTS), |text| value::choice(text, LAYOUTS);
    RESOURCE: "a resource name", Pattern("^[a-z0-9][a-z0-9_-]{0,31}$"), value::resource;
    PORT: "a port", Integer(1, 65535), net::port;
    MOUNT: "an absolute path", Pattern("^/[A-Za-z0-9]"), value::mount;
    SYNC: "`full` or `skip`", OneOf(SYNCS), |text| value::choice(text, SYNCS);
    RATE: "`auto` or bytes per second", Pattern("^(auto|[0-9]+[KMGT](i?B)?)$"), value::rate;
    START: "`cluster` or `script`", OneOf(STARTS), |text| value::choice(text, STARTS);
    KIND: "`xen` or `kvm`", OneOf(KINDS), |text| value::choice(text, KINDS);
    DOM0: "a size", Pattern(SIZE), value::dom0_memory;
    MIRROR: "`none` or a URL", Pattern("^(none|https?://.+|file:/.+)$"), value::mirror;
    METHOD: "a fencing method", OneOf(METHODS), |text| value::choice(text, METHODS);
    ACCEPT: "`ssh` or `softdog`", OneOf(UNSAFE), |text| value::choice(text, UNSAFE);
    AGENT: "a fence agent", Pattern("^fence_[A-Za-z0-9_-]+$"), value::agent;
    BMC_USER: "a text of at most 16 bytes", Pattern("^.{1,16}$"), value::bmc_user;
    SECRET: "a text, env:NAME or file:PATH", Any, value::line;
    STICKINESS: "a number or INFINITY", Score("INFINITY"), value::stickiness;
    FAILURE: "a number or -INFINITY", Score("-INFINITY"), value::failure_stickiness;
    VM_NAME: "a VM name", Pattern("^[A-Za-z][A-Za-z0-9_-]{0,62}$"), value::vm_name;
    VM_MEMORY: "a size", Pattern(SIZE), value::vm_memory;
    VCPUS: "a number of CPUs", Integer(1, 512), value::vcpus;
    DISK: "a size", Pattern(SIZE), value::disk;
    IMAGE: "`demo`, `blank` or file:PATH", Pattern("^(demo|blank|file:/.+)$"), value::image;
    BRIDGE: "`none` or a bridge", Pattern("^[A-Za-z0-9_][A-Za-z0-9._-]{0,14}$"), value::bridge;
    CONFIG: "file:PATH", Pattern("^file:/.+$"), value::config;
}

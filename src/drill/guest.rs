//! The guest that a drill starts for its purpose: a counter that the cluster runs as it runs a VM, for the time of the drill.
//!
//! It is the agent that stands in for a VM in a rehearsal (`templates/stand-in/`), so what it writes goes the way of a VM's
//! disk: OCFS2, DRBD, both disks. Nobody's own VM has to be opened for it.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::order::Order;
use crate::answers::{HypervisorKind, Start};
use crate::node::{At, Cmd};
use crate::platform::Platform;
use crate::setup::Setup;

/// Id of its resource.
pub const ID: &str = "hapair-drill";
/// Where it says what is on disk, on the node that runs it.
pub const ACKS: &str = "/run/hapair/drill.acks";
/// How often it writes in a second.
pub const PER_SECOND: u32 = 10;

const FOLLOW: &str = include_str!("follow.pl");
const REMOVE: &str = include_str!("remove.sh");

/// Writes a file by one rename.
const WRITE: &str = r#"mkdir -p "${1%/*}" && cat >"$1.new" && chmod 755 "$1.new" && mv "$1.new" "$1""#;

/// Lines of the counter on disk, as ranges: `FIRST LAST RUN`, and `torn LINES` for what is none of its lines.
const RANGES: &str = r#"exec awk '
    function say() { if (run != "") print first, last, run }
    $1 == "tick" && $2 ~ /^[0-9]+$/ && $3 == "uptime" && $5 == "boot_id" && length($6) == 36 && NF == 6 {
        if ($6 == run && $2 == last + 1) { last = $2; next }
        say(); first = last = $2; run = $6; next
    }
    NF { torn++ }
    END { say(); print "torn", torn + 0 }' "$1""#;

/// The folder of its counter.
#[must_use]
pub fn folder(setup: &Setup) -> String {
    format!("{}/{ID}", setup.answers.storage.mount)
}

/// What starts it.
///
/// # Errors
/// When a template can't be rendered.
pub fn start(setup: &Setup, platform: &Platform) -> Result<Vec<Order>> {
    let agent = agent(platform);
    let text = setup.templates.render("stand-in/StandIn.tera", &json!({"version": env!("CARGO_PKG_VERSION")}))?;
    let storage = &setup.answers.storage;
    let objects = setup.templates.render(
        "drill/guest.xml.tera",
        &json!({
            "dir": folder(setup),
            "per_second": PER_SECOND,
            "acks": ACKS,
            "resource": storage.resource,
            "start": if storage.start == Start::Cluster { "cluster" } else { "script" },
        }),
    )?;
    let mut orders: Vec<Order> = At::BOTH
        .into_iter()
        .map(|at| {
            let write = Cmd::write_sh(WRITE, [agent.clone()]).stdin(text.clone());
            Order::new(at, format!("write {agent}, the agent of the counter"), write)
        })
        .collect();
    let make = Cmd::write_sh(
        "grep -qF \" $1 ocfs2 \" /proc/mounts || { echo \"$1 is not mounted\" >&2; exit 1; }; mkdir -p \"$2\"",
        [storage.mount.clone(), folder(setup)],
    );
    orders.push(Order::new(At::First, format!("mkdir {}", folder(setup)), make));
    orders.push(Order::new(
        At::First,
        format!("cibadmin -M -c: the resource {ID}, that counts {PER_SECOND} times a second"),
        Cmd::write(["cibadmin", "-M", "-c", "-o", "configuration", "--xml-pipe"]).stdin(objects),
    ));
    Ok(orders)
}

/// What takes it away again, with all that it wrote. A pair whose VMs are stand-ins keeps the agent.
#[must_use]
pub fn remove(setup: &Setup, platform: &Platform) -> Vec<Order> {
    let objects = [ID, "hapair-drill-with-fs", "hapair-drill-after-fs"];
    let take_out = Cmd::write_sh(REMOVE, objects);
    let folder = folder(setup);
    let clean = Cmd::write_sh("rm -f \"$1/ticks\" && { [ ! -d \"$1\" ] || rmdir \"$1\"; }", [folder.clone()]);
    let mut orders = vec![
        Order::new(At::First, format!("stop {ID} and take it out of the CIB"), take_out),
        Order::new(At::First, format!("rm -r {folder}"), clean),
    ];
    for at in At::BOTH {
        let keep = setup.answers.hypervisor.kind == HypervisorKind::StandIn;
        let agent = if keep { String::new() } else { agent(platform) };
        let typed = if keep { format!("rm {ACKS}") } else { format!("rm {agent} {ACKS}") };
        let rest = Cmd::write_sh("rm -f \"$1\"; [ -z \"$2\" ] || rm -f \"$2\"", [ACKS.to_owned(), agent]);
        orders.push(Order::new(at, typed, rest));
    }
    orders
}

/// Whether something of it is there, from a drill that was killed: in the CIB, or what it acknowledged on this node.
#[must_use]
pub fn there() -> Cmd {
    let script = "[ -e \"$2\" ] || cibadmin -Q --xpath \"//primitive[@id='$1']\" >/dev/null 2>&1";
    Cmd::read_sh(script, [ID, ACKS])
}

/// Goes on saying what is acknowledged on a node.
#[must_use]
pub fn follow() -> Cmd {
    Cmd::read(["perl", "-e", FOLLOW, ACKS]).timeout(Duration::from_secs(6 * 3600))
}

/// What of the counter is on disk; see [`super::ledger::OnDisk::parse`].
#[must_use]
pub fn on_disk(setup: &Setup) -> Cmd {
    Cmd::read_sh(RANGES, [format!("{}/ticks", folder(setup))])
}

fn agent(platform: &Platform) -> String {
    let folder = platform.groups.get("paths").and_then(|paths| paths.get("agents"));
    format!("{}/StandIn", folder.map_or("/usr/lib/ocf/resource.d/hapair", String::as_str))
}

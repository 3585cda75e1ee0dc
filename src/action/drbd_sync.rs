//! The first synchronisation: one side is copied to the other, or both are declared equal where both are new.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::action::{Act, Change, Order, Progress, Refusal, RefusalKind, Scope, Seen, Settle, State};
use crate::drbd::{self, View};
use crate::node::{At, Cmd};

use super::drbd_connection::trouble;

/// Until both sides are UpToDate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrbdSync {
    /// Names of the nodes, in order.
    pub nodes: Vec<String>,
    /// DRBD resource.
    pub resource: String,
    /// Its minor.
    pub minor: String,
    /// `8.0`, `8.4` or `9`.
    pub dialect: String,
    /// `full` or `skip`.
    pub mode: String,
    /// Speed of the link between the nodes, 0 if unknown: the copy may take all of it, since nothing else runs yet.
    pub link_bytes_per_second: String,
}

/// A gigabit link, roughly: where the speed can't be told.
const GIGABIT: u64 = 110 << 20;

const RATE: &str = r#"
# $1 resource, $2 minor, $3 dialect, $4 KiB per second
# In use already (a pair that runs, after a power cut): then it is not ours to take the whole link.
while read -r what _; do
	[ "$what" = "/dev/drbd$2" ] && exit 0
done </proc/mounts
case $3 in
8.0) exec drbdsetup "/dev/drbd$2" syncer -r "$4K" ;;
8.4) exec drbdadm disk-options --c-plan-ahead=0 --resync-rate="$4k" "$1" ;;
*) exec drbdadm peer-device-options --c-plan-ahead=0 --resync-rate="$4k" "$1" ;;
esac
"#;

// Right before the one order that decides whose data is good, this node looks once more: neither side may hold
// anything yet. 4 is the identifier that create-md writes (UUID_JUST_CREATED in drbd.h).
const FRESH: &str = r#"
state=$(drbdadm dstate "$1") || exit $?
gi=$(drbdadm get-gi "$1" </dev/null) || exit $?
[ "$state" = Inconsistent/Inconsistent ] || { echo "$1 is $state now, not Inconsistent/Inconsistent: nothing was done" >&2; exit 1; }
case "
$gi" in
*"
0000000000000004:"*) ;;
*) echo "$1 has been in use before ($gi): nothing was done" >&2; exit 1 ;;
esac
"#;

const FULL: &str = r#"
if [ "$2" = 8.0 ]; then exec drbdadm -- --overwrite-data-of-peer primary "$1"; fi
exec drbdadm primary --force "$1"
"#;

const SKIP: &str = r#"
exec drbdadm new-current-uuid --clear-bitmap "$1/0"
"#;

impl DrbdSync {
    fn node(&self, at: At) -> &str {
        self.nodes.get(at.index()).map_or("", String::as_str)
    }

    fn views(&self, seen: &Seen<'_>) -> [View; 2] {
        At::BOTH.map(|at| drbd::view(seen.get(at, 0), &self.resource, self.minor.parse().unwrap_or(0)))
    }

    fn rate_kib(&self) -> u64 {
        // 8.0 knows at most 700000K, 8.4 and 9 at most 4 GiB/s (drbd_limits.h).
        let most = if self.dialect == "8.0" { 700_000 } else { 4 << 20 };
        let link = self.link_bytes_per_second.parse().ok().filter(|n| *n > 0).unwrap_or(GIGABIT);
        (link / 1024).clamp(250, most)
    }

    fn both_inconsistent(views: &[View; 2]) -> bool {
        views.iter().all(|v| {
            v.device
                .as_ref()
                .is_some_and(|d| d.connected() && d.disk == "Inconsistent" && d.peer_disk == "Inconsistent")
        })
    }

    fn both_fresh(views: &[View; 2]) -> bool {
        views.iter().all(|v| v.gi.is_some_and(|gi| gi.fresh()))
    }
}

impl Act for DrbdSync {
    fn title(&self) -> String {
        if self.mode == "skip" {
            format!("both sides of {} declared equal", self.resource)
        } else {
            format!("both sides of {} in sync", self.resource)
        }
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![drbd::look(&self.resource, &self.minor)]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let views = self.views(seen);
        for at in At::BOTH {
            if views[at.index()].device.is_none() {
                return State::Unknown(format!("{} is not up on {} yet", self.resource, self.node(at)));
            }
        }
        if let Some(state) = trouble(&views, &self.resource, &self.nodes, &self.dialect) {
            return state;
        }
        let [Some(a), Some(b)] = views.each_ref().map(|v| v.device.as_ref()) else {
            return State::Unknown(format!("{} is not up yet", self.resource));
        };
        if a.whole() && b.whole() {
            return State::Satisfied;
        }
        let (first, second) = (self.node(At::First), self.node(At::Second));
        if let Some(sync) = [a, b].into_iter().filter_map(|d| d.sync.as_ref()).max_by_key(|s| s.eta_seconds) {
            let change = Change::new(format!("go on copying {} between {first} and {second}", self.resource));
            return State::Drift(change.progress(sync.progress()));
        }
        if let Some(d) = [a, b].into_iter().find(|d| d.syncing()) {
            let detail = if d.connection.starts_with("Paused") {
                "paused: `drbdadm resume-sync` lets it go on"
            } else {
                "starting"
            };
            let progress = Progress { percent: None, eta_seconds: None, detail: detail.into() };
            let summary = format!("go on copying {} between {first} and {second}", self.resource);
            return State::Drift(Change::new(summary).progress(progress));
        }
        if !a.connected() || !b.connected() {
            return State::Unknown(format!(
                "{} is not connected: {} on {first}, {} on {second}",
                self.resource, a.connection, b.connection
            ));
        }
        if Self::both_inconsistent(&views) {
            if !Self::both_fresh(&views) {
                return Refusal::state(
                    RefusalKind::Preflight,
                    format!(
                        "neither side of {} is UpToDate, but at least one has been in use before: hapair can't tell whose data is good",
                        self.resource
                    ),
                    format!(
                        "on the node whose data is good: `drbdadm primary --force {}`, then continue",
                        self.resource
                    ),
                );
            }
            if self.mode == "skip" {
                return if self.dialect == "8.0" {
                    Refusal::state(
                        RefusalKind::Preflight,
                        "DRBD 8.0 can't skip the first synchronisation (that came with 8.3)",
                        "write `initial_sync: full` under `storage`",
                    )
                } else {
                    State::drift(format!("declare both sides of {} equal, since both are new", self.resource))
                };
            }
            return State::drift(format!(
                "copy {} from {first} to {second}, at up to {} MB/s",
                self.resource,
                self.rate_kib() * 1024 / 1_000_000
            ));
        }
        for (d, name) in [(a, first), (b, second)] {
            if d.disk == "Diskless" {
                return Refusal::state(
                    RefusalKind::Failed,
                    format!("{name}: {} has no disk: it was detached after an error", self.resource),
                    format!("look at `dmesg` there; mend the disk, then `drbdadm attach {}`", self.resource),
                );
            }
        }
        // On its way from one state to the next: Connected, but the bitmap exchange has not begun.
        State::drift(format!("wait for {}: {} {}/{}", self.resource, a.connection, a.disk, b.disk))
    }

    fn orders(&self, _at: At, seen: &Seen<'_>) -> Result<Vec<Order>> {
        let views = self.views(seen);
        let new = Self::both_inconsistent(&views) && Self::both_fresh(&views);
        if self.mode == "skip" && new {
            if self.dialect == "8.0" {
                bail!("DRBD 8.0 can't skip the first synchronisation");
            }
            let args = [self.resource.clone()];
            return Ok(vec![
                Order::new(At::Second, Cmd::write_sh(FRESH, args.clone())),
                Order::new(At::First, Cmd::write_sh(&format!("{FRESH}{SKIP}"), args)),
            ]);
        }
        let rate = self.rate_kib().to_string();
        let mut orders: Vec<Order> = At::BOTH
            .map(|at| {
                Order::new(
                    at,
                    Cmd::write_sh(RATE, [&self.resource, &self.minor, &self.dialect, &rate].map(Clone::clone)),
                )
            })
            .to_vec();
        if new {
            let args = [self.resource.clone(), self.dialect.clone()];
            orders.push(Order::new(At::Second, Cmd::write_sh(FRESH, args.clone())));
            orders.push(Order::new(At::First, Cmd::write_sh(&format!("{FRESH}{FULL}"), args)));
        }
        Ok(orders)
    }

    fn settle(&self) -> Option<Settle> {
        Some(Settle {
            what: format!("{} UpToDate on both nodes", self.resource),
            // A terabyte over a link of 10 MB/s takes 29 hours.
            limit: Duration::from_secs(7 * 24 * 3600),
            every: Duration::from_secs(2),
            reboots: false,
            shell: format!("[ \"$(drbdadm dstate {})\" = UpToDate/UpToDate ]", self.resource),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn action(mode: &str, dialect: &str) -> DrbdSync {
        DrbdSync {
            nodes: vec!["node1".into(), "node2".into()],
            resource: "r0".into(),
            minor: "0".into(),
            dialect: dialect.into(),
            mode: mode.into(),
            link_bytes_per_second: "125000000".into(),
        }
    }

    fn with<T>(first: &str, second: &str, f: impl FnOnce(&Seen<'_>) -> T) -> T {
        let node = |s: &str| {
            [Output { stdout: format!("version: 8.4.11 (api:1/proto:86-101)\n{s}").into(), ..Output::default() }]
        };
        let (a, b) = (node(first), node(second));
        let memory = Memory::default();
        f(&Seen { outputs: [&a, &b], memory: &memory })
    }

    fn judge(action: &DrbdSync, first: &str, second: &str) -> State {
        with(first, second, |seen| action.judge(At::First, seen))
    }

    const NEW: &str = " 0: cs:Connected ro:Secondary/Secondary ds:Inconsistent/Inconsistent C r-----\n    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:2097052\n=== gi\n0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:0:1:0:0:0\n";
    const USED: &str = " 0: cs:Connected ro:Secondary/Secondary ds:Inconsistent/Inconsistent C r-----\n=== gi\nB2F3A4D5E6F70810:0000000000000000:0000000000000000:0000000000000000:0:0:0:1:0:0:0\n";
    const SOURCE: &str = " 0: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----\n    ns:228792 nr:0 dw:0 dr:229376 al:8 bm:0 lo:1 pe:3 ua:1 ap:0 ep:1 wo:f oos:1870748\n\t[=>..................] sync'ed: 11.0% (1870748/2097052)K\n\tfinish: 0:04:10 speed: 7,472 (7,072) K/sec\n";
    const TARGET: &str = " 0: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----\n";

    #[test]
    fn new_sides_are_copied_with_two_guards() {
        let a = action("full", "8.4");
        assert!(
            matches!(judge(&a, NEW, NEW), State::Drift(c) if c.summary == "copy r0 from node1 to node2, at up to 124 MB/s")
        );
        let orders = with(NEW, NEW, |seen| a.orders(At::First, seen)).expect("orders");
        assert_eq!(orders.iter().map(|o| o.at).collect::<Vec<_>>(), [At::First, At::Second, At::Second, At::First]);
        assert_eq!(orders[0].cmd.argv[4..], ["r0", "0", "8.4", "122070"]);
        assert!(
            orders[3].cmd.argv[2].contains("Inconsistent/Inconsistent")
                && orders[3].cmd.argv[2].contains("primary --force")
        );
    }

    #[test]
    fn progress_of_a_running_copy_and_no_second_force() {
        let a = action("full", "8.4");
        let State::Drift(change) = judge(&a, SOURCE, TARGET) else { panic!("no drift") };
        let progress = change.progress.expect("progress");
        assert_eq!((progress.percent, progress.eta_seconds), (Some(11.0), Some(250)));
        assert_eq!(progress.detail, "7.6 MB/s");
        let orders = with(SOURCE, TARGET, |seen| a.orders(At::First, seen)).expect("orders");
        assert_eq!(orders.len(), 2);
        assert!(orders.iter().all(|o| !o.cmd.argv[2].contains("--force")));
    }

    #[test]
    fn data_is_never_forced_over() {
        assert!(
            matches!(judge(&action("full", "8.4"), NEW, USED), State::Refused(r) if r.kind == RefusalKind::Preflight)
        );
        let good = " 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n";
        assert_eq!(judge(&action("full", "8.4"), good, good), State::Satisfied);
        assert!(matches!(judge(&action("full", "8.4"), NEW, ""), State::Unknown(_)));
        for a in [action("full", "8.4"), action("skip", "8.4")] {
            let orders = with(NEW, USED, |seen| a.orders(At::First, seen)).expect("orders");
            assert!(
                orders.iter().all(|o| !o.cmd.argv[2].contains("--force") && !o.cmd.argv[2].contains("new-current"))
            );
        }
    }

    #[test]
    fn skip_only_where_both_are_new() {
        let a = action("skip", "8.4");
        assert!(matches!(judge(&a, NEW, NEW), State::Drift(c) if c.summary.contains("declare")));
        let orders = with(NEW, NEW, |seen| a.orders(At::First, seen)).expect("orders");
        assert!(orders[1].cmd.argv[2].contains("new-current-uuid --clear-bitmap"));
        assert!(matches!(judge(&action("skip", "8.0"), NEW, NEW), State::Refused(_)));
    }
}

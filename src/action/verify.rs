//! The whole stack read back: DRBD, the shared mount, the cluster, its fencing, and each VM running exactly once.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::wait::{views, waiting, words};
use super::{Act, Order, Refusal, RefusalKind, Scope, Seen, Settle, State, fencing_device};
use crate::cluster::{CRM_MON, ClusterView};
use crate::drbd;
use crate::node::{At, Cmd};

/// Names of the stand-ins whose process lives, one a line.
const STAND_INS: &str = r#"for file in /run/hapair/StandIn-*.pid; do
    [ -r "$file" ] && read -r pid < "$file" && kill -0 "$pid" 2>/dev/null || continue
    name=${file##*/StandIn-}
    echo "${name%.pid}"
done; exit 0"#;

/// Reads everything back. Orders nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// DRBD's minor.
    pub minor: String,
    /// Where the file system is mounted; empty when there is none to share.
    #[serde(default)]
    pub mount: String,
    /// Names of the VMs, separated by white space.
    #[serde(default)]
    pub vms: String,
    /// `xen`, `kvm` or `stand-in`: the hypervisor is asked, not only the cluster.
    pub hypervisor: String,
    /// Seconds that a pair may take which is just coming up.
    #[serde(default = "limit")]
    pub limit: String,
}

fn limit() -> String {
    "300".to_owned()
}

impl Verify {
    fn guests(&self) -> Cmd {
        match self.hypervisor.as_str() {
            "xen" => Cmd::read(["xl", "list"]),
            "kvm" => Cmd::read(["virsh", "list", "--name"]),
            _ => Cmd::read_sh(STAND_INS, [] as [&str; 0]),
        }
    }

    fn name(&self, at: At) -> &str {
        self.nodes.get(at.index()).map_or("?", String::as_str)
    }

    fn storage(&self, seen: &Seen<'_>) -> Vec<String> {
        let mut missing = Vec::new();
        let minor = self.minor.trim().parse().unwrap_or(0);
        for at in At::BOTH {
            let name = self.name(at);
            match drbd::proc(&seen.get(at, 1).text()).minor(minor) {
                None => missing.push(format!("DRBD's device {minor} is not up on {name}")),
                Some(device) => {
                    let both = (device.role.as_str(), device.peer_role.as_str()) == ("Primary", "Primary");
                    if !device.connected() {
                        missing.push(format!("DRBD is {} on {name}", device.connection));
                    } else if !both || device.disk != "UpToDate" || device.peer_disk != "UpToDate" {
                        missing.push(format!(
                            "DRBD is {}/{} and {}/{} on {name}",
                            device.role, device.peer_role, device.disk, device.peer_disk
                        ));
                    }
                }
            }
            let mounts = seen.get(at, 2).text();
            let mounted = mounts.lines().any(|line| {
                let mut fields = line.split(' ');
                (fields.nth(1), fields.next(), fields.next().map(|options| options.starts_with("rw")))
                    == (Some(self.mount.as_str()), Some("ocfs2"), Some(true))
            });
            if !self.mount.is_empty() && !mounted {
                missing.push(format!("{} is not mounted for writing on {name}", self.mount));
            }
        }
        missing
    }

    fn vms(&self, view: &ClusterView, seen: &Seen<'_>) -> Vec<String> {
        let mut missing = Vec::new();
        for vm in words(&self.vms) {
            let Some(resource) = view.resources.iter().find(|resource| resource.id == vm) else {
                missing.push(format!("{vm} is not in the CIB"));
                continue;
            };
            let here: Vec<&str> =
                At::BOTH.into_iter().filter(|at| runs(&seen.get(*at, 3).text(), &vm)).map(|at| self.name(at)).collect();
            match here.as_slice() {
                _ if resource.is_to_stop() && here.is_empty() => {}
                [one] if resource.nodes.iter().map(String::as_str).eq([*one]) => {}
                [one] => missing.push(format!(
                    "{vm} runs on {one}, and the cluster has it {} on {}",
                    resource.role.to_lowercase(),
                    if resource.nodes.is_empty() { "no node".to_owned() } else { resource.nodes.join(" and ") }
                )),
                [] => missing.push(format!("{vm} does not run")),
                several => missing.push(format!("{vm} RUNS TWICE, on {}", several.join(" and "))),
            }
        }
        missing
    }
}

/// Whether a list of guests (`xl list`, or names alone) has this one.
fn runs(list: &str, vm: &str) -> bool {
    list.lines().any(|line| line.split_whitespace().next() == Some(vm))
}

impl Act for Verify {
    fn title(&self) -> String {
        "read the whole stack back".to_owned()
    }

    fn scope(&self) -> Scope {
        Scope::Pair
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![Cmd::read(CRM_MON), Cmd::read(["cat", "/proc/drbd"]), Cmd::read(["cat", "/proc/mounts"]), self.guests()]
    }

    fn judge(&self, _at: At, seen: &Seen<'_>) -> State {
        let views = match views(seen, 0) {
            Ok(views) => views,
            Err(state) => return state,
        };
        let mut missing = self.storage(seen);
        for view in &views {
            missing.extend(view.missing_membership(&self.nodes));
        }
        let view = &views[0];
        missing.extend(view.missing_resources(&[]));
        missing.extend(fencing_device::missing(view, &[]));
        missing.extend(self.vms(view, seen));
        let mut unique: Vec<String> = Vec::new();
        for line in missing {
            if !unique.contains(&line) {
                unique.push(line);
            }
        }
        if unique.is_empty() {
            return State::Satisfied;
        }
        let hopeless = view.hopeless(&[], &["o2cb".to_owned()]);
        // A disk that is gone or a connection that DRBD itself has given up does not come back by waiting.
        let given_up =
            |line: &&String| line.contains("StandAlone") || line.contains("Diskless") || line.contains("TWICE");
        if !hopeless.is_empty() || unique.iter().any(|line| given_up(&line)) {
            unique.extend(hopeless);
            return Refusal::state(
                RefusalKind::Failed,
                unique.join("; "),
                "see `hapair status`, /var/log/pacemaker/pacemaker.log and `dmesg` on the node that is named",
            );
        }
        waiting(format!("the stack is not whole: {}", unique.join("; ")), &unique)
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(Vec::new())
    }

    fn settle(&self) -> Option<Settle> {
        Some(Settle {
            what: "the whole stack".to_owned(),
            limit: Duration::from_secs(self.limit.trim().parse().unwrap_or(300)),
            every: Duration::from_secs(5),
            reboots: false,
            shell: "grep -q 'cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate' /proc/drbd && crm_resource --wait --timeout=60s"
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    const RUNNING: &str = include_str!("../../tests/crm_mon/running.xml");
    const DRBD: &str = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n";
    const MOUNTS: &str = "proc /proc proc rw 0 0\n/dev/drbd0 /drbd0 ocfs2 rw,relatime,_netdev,heartbeat=local 0 0\n";
    const XL: &str = "Name                                        ID   Mem VCPUs\tState\tTime(s)\nDomain-0                                     0  1024     2     r-----   1234.5\nb                                            3   256     1     -b----     12.3\n";

    fn judge(drbd: &str, mounts: &str, guests: [&str; 2]) -> State {
        let verify = Verify {
            nodes: vec!["node1".to_owned(), "node2".to_owned()],
            minor: "0".to_owned(),
            mount: "/drbd0".to_owned(),
            vms: "b ".to_owned(),
            hypervisor: "xen".to_owned(),
            limit: limit(),
        };
        let out = |text: &str| Output { code: 0, stdout: text.into(), stderr: Vec::new() };
        let node = |guests: &str| [out(RUNNING), out(drbd), out(mounts), out(guests)];
        let (first, second) = (node(guests[0]), node(guests[1]));
        let memory = Memory::default();
        verify.judge(At::First, &Seen { outputs: [&first, &second], memory: &memory })
    }

    #[test]
    fn a_pair_that_is_whole() {
        assert_eq!(judge(DRBD, MOUNTS, [XL, ""]), State::Satisfied);
    }

    #[test]
    fn all_that_is_not_so_is_named() {
        let State::Drift(change) = judge(&DRBD.replace("Primary/Primary", "Secondary/Primary"), "", ["", ""]) else {
            panic!("not drift")
        };
        for part in ["Secondary/Primary", "/drbd0 is not mounted for writing on node2", "b does not run"] {
            assert!(change.summary.contains(part), "{part}: {}", change.summary);
        }
    }

    #[test]
    fn a_vm_that_runs_twice_is_a_failure() {
        let State::Refused(refusal) = judge(DRBD, MOUNTS, [XL, XL]) else { panic!("not refused") };
        assert!(refusal.what.contains("b RUNS TWICE, on node1 and node2"));
        assert!(matches!(judge(&DRBD.replace("cs:Connected", "cs:StandAlone"), MOUNTS, [XL, ""]), State::Refused(_)));
    }
}

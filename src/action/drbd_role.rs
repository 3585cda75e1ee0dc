//! A DRBD resource's role: Primary.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::action::{Act, Order, Refusal, RefusalKind, Seen, Settle, State};
use crate::cluster::MANAGED;
use crate::drbd;
use crate::node::{At, Cmd};

/// Primary on this node, once both disks are good.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrbdRole {
    /// DRBD resource.
    pub resource: String,
    /// Its minor.
    pub minor: String,
}

// A second Primary on data that is still being copied would be switched off by its own handlers if the link went:
// so the node itself looks once more.
const PRIMARY: &str = r#"
managed "drbd-$1-clone" && exit 0
now=$(drbdadm dstate "$1") || exit $?
case $now in
UpToDate/UpToDate) exec drbdadm primary "$1" ;;
*) echo "$1 is $now now, not UpToDate/UpToDate: it was not promoted" >&2; exit 1 ;;
esac
"#;

impl Act for DrbdRole {
    fn title(&self) -> String {
        format!("{} Primary", self.resource)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![drbd::look(&self.resource, &self.minor)]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let view = drbd::view(seen.get(at, 0), &self.resource, self.minor.parse().unwrap_or(0));
        let Some(d) = view.device else {
            return State::Unknown(format!("{} is not up yet", self.resource));
        };
        if d.role == "Primary" {
            return State::Satisfied;
        }
        if d.disk == "Failed" || d.disk == "Diskless" {
            return Refusal::state(
                RefusalKind::Failed,
                format!("the disk under {} is {}", self.resource, d.disk),
                "look at `dmesg` on that node; mend the disk, then continue",
            );
        }
        if !d.whole() {
            return State::Unknown(format!(
                "{} is not in sync yet: {} {}/{}",
                self.resource, d.connection, d.disk, d.peer_disk
            ));
        }
        State::drift(format!("promote {} to Primary", self.resource))
    }

    fn orders(&self, at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(vec![Order::new(at, Cmd::write_sh(&format!("{MANAGED}{PRIMARY}"), [self.resource.clone()]))])
    }

    fn settle(&self) -> Option<Settle> {
        Some(Settle {
            what: format!("{} Primary", self.resource),
            // Where Pacemaker promotes it, its peer may have to boot first.
            limit: Duration::from_secs(300),
            every: Duration::from_secs(1),
            reboots: false,
            // `drbdadm role` is `drbdadm state` in 8.0.
            shell: format!(
                "{{ drbdadm role {0} 2>/dev/null || drbdadm state {0}; }} | grep -q ^Primary",
                self.resource
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(line: &str) -> State {
        let role = DrbdRole { resource: "r0".into(), minor: "0".into() };
        let out =
            [Output { stdout: format!("version: 8.4.11 (api:1/proto:86-101)\n{line}").into(), ..Output::default() }];
        let memory = Memory::default();
        role.judge(At::Second, &Seen { outputs: [&[], &out], memory: &memory })
    }

    #[test]
    fn promoted_only_in_sync() {
        assert_eq!(judge(" 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n"), State::Satisfied);
        assert!(matches!(
            judge(" 0: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----\n"),
            State::Drift(_)
        ));
        assert!(matches!(
            judge(" 0: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----\n"),
            State::Unknown(_)
        ));
        assert!(matches!(judge(""), State::Unknown(_)));
        assert!(matches!(
            judge(" 0: cs:Connected ro:Secondary/Primary ds:Diskless/UpToDate C r-----\n"),
            State::Refused(_)
        ));
    }
}

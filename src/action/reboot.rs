//! A reboot into Xen.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::boot_entry::{loader, menu_read, next_entry};
use super::{Act, Change, Order, Refusal, RefusalKind, Risk, Seen, Settle, State};
use crate::node::{At, Cmd};

/// A moment later, so that the answer to this command still gets out.
const REBOOT: &str = "setsid sh -c 'sleep 1; exec \"$@\"' sh \"$@\" </dev/null >/dev/null 2>&1 &";

/// What must run after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Into {
    /// Xen, this node being its privileged domain.
    Xen,
}

/// A reboot, unless it runs already what it is rebooted for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    /// What must run after it.
    pub into: Into,
    /// `systemd` or `sysv`.
    #[serde(default = "init")]
    pub init: String,
    /// `grub` or `grub-legacy`.
    #[serde(default = "loader")]
    pub loader: String,
}

fn init() -> String {
    "{{ platform.init }}".to_owned()
}

impl Act for Reboot {
    fn title(&self) -> String {
        "reboot into Xen".to_owned()
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![
            Cmd::read(["cat", "/sys/hypervisor/type", "/proc/xen/capabilities"]),
            Cmd::read(["cat", "/proc/sys/kernel/random/boot_id"]),
            menu_read(&self.loader),
        ]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let hypervisor = seen.get(at, 0).text();
        let under_xen = hypervisor.lines().any(|line| line == "xen");
        if hypervisor.contains("control_d") {
            return State::Satisfied;
        }
        if under_xen {
            return Refusal::state(
                RefusalKind::Preflight,
                "this node is itself a guest of Xen: it can't become the privileged domain",
                "take a machine of its own, or a virtual machine of another kind",
            );
        }
        let boot_id = seen.get(at, 1).line();
        let entry = next_entry(&self.loader, &seen.get(at, 2).text());
        let memory = seen.memory;
        if memory.boot_before[at.index()].as_ref() == Some(&boot_id) {
            return State::drift("wait for it to go down");
        }
        let earlier = memory.rebooted[at.index()].as_ref().filter(|before| **before != boot_id);
        if memory.boot_before[at.index()].is_some() || earlier.is_some() {
            let default = entry.map_or_else(|| "not known".to_owned(), |entry| format!("{:?}", entry.title));
            return Refusal::state(
                RefusalKind::Failed,
                format!(
                    "the node came back without Xen (boot id {boot_id}); the entry that GRUB boots now is {default}"
                ),
                "look at its console while it boots: at GRUB's menu, `Debian GNU/Linux, with Xen hypervisor` shows why Xen \
                 did not come up; a machine that fell back has tried it and was reset",
            );
        }
        match entry {
            Some(entry) if entry.xen.is_some() => {
                State::Drift(Change::new(format!("reboot into {:?}", entry.title)).risk(Risk::Reboots))
            }
            Some(entry) => {
                State::Unknown(format!("Xen is not yet what GRUB boots (it is {:?}); step xen does that", entry.title))
            }
            None => State::Unknown("GRUB has no menu".to_owned()),
        }
    }

    fn left(&self) -> Option<String> {
        Some("The nodes run as they were booted, under Xen, until they are rebooted.".to_owned())
    }

    fn orders(&self, at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        let reboot = if self.init == "sysv" { ["shutdown", "-r", "now"].as_slice() } else { &["systemctl", "reboot"] };
        Ok(vec![Order::new(at, Cmd::write_sh(REBOOT, reboot.iter().copied()))])
    }

    fn settle(&self) -> Option<Settle> {
        Some(Settle {
            what: "the return of the node under Xen".to_owned(),
            limit: Duration::from_secs(15 * 60),
            every: Duration::from_secs(3),
            reboots: true,
            shell: "grep -q control_d /proc/xen/capabilities".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::boot_entry::tests::GRUB;
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(hypervisor: &str, menu: &str, before: Option<&str>) -> State {
        let outputs =
            [hypervisor, "new\n", menu].map(|text| Output { stdout: text.as_bytes().to_vec(), ..Output::default() });
        let memory = Memory { boot_before: [before.map(str::to_owned), None], ..Memory::default() };
        let reboot = Reboot { into: Into::Xen, init: "systemd".to_owned(), loader: "grub".to_owned() };
        reboot.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &memory })
    }

    #[test]
    fn only_the_privileged_domain_is_satisfied() {
        assert_eq!(judge("xen\ncontrol_d\n", "", None), State::Satisfied);
        assert!(matches!(judge("xen\n", GRUB, None), State::Refused(_)));
    }

    #[test]
    fn it_reboots_only_into_xen() {
        let State::Drift(change) = judge("", GRUB, None) else { panic!("not drift") };
        assert_eq!(
            (change.summary.as_str(), change.risk),
            ("reboot into \"Debian GNU/Linux, with Xen hypervisor\"", Risk::Reboots)
        );
        let native = GRUB.replace("set default=\"Debian GNU/Linux, with Xen hypervisor\"", "set default=\"0\"");
        assert!(matches!(judge("", &native, None), State::Unknown(_)));
    }

    #[test]
    fn a_reboot_that_an_earlier_run_ordered_is_not_ordered_again_without_a_word() {
        let outputs = ["", "new\n", GRUB].map(|text| Output { stdout: text.as_bytes().to_vec(), ..Output::default() });
        let reboot = Reboot { into: Into::Xen, init: "systemd".to_owned(), loader: "grub".to_owned() };
        let judge = |before: &str| {
            let memory = Memory { rebooted: [Some(before.to_owned()), None], ..Memory::default() };
            reboot.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &memory })
        };
        assert!(matches!(judge("old"), State::Refused(refusal) if refusal.what.contains("came back without Xen")));
        assert!(matches!(judge("new"), State::Drift(change) if change.risk == Risk::Reboots), "it did not go down");
    }

    #[test]
    fn coming_back_without_xen_is_not_the_same_as_not_yet_gone() {
        assert_eq!(judge("", GRUB, Some("new")), State::drift("wait for it to go down"));
        let State::Refused(refusal) = judge("", GRUB, Some("old")) else { panic!("not refused") };
        assert_eq!(refusal.kind, RefusalKind::Failed);
        assert!(refusal.what.contains("came back without Xen") && refusal.what.contains("with Xen hypervisor"));
        assert_eq!(judge("xen\ncontrol_d\n", GRUB, Some("old")), State::Satisfied);
    }
}

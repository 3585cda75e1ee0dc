//! User and password of each BMC, tried by the node that will use them, before the cluster gets to know the device.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Act, Order, Refusal, RefusalKind, Seen, State};
use crate::fencing::login::{Login, judge, read};
use crate::node::{At, Cmd};

/// BMCs that let their users in. Orders nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FencingLogin {
    /// Node that they switch.
    pub target: String,
    /// The BMCs, as JSON: `device` (what stands between `fence-` and the node's name in the id of the cluster's device),
    /// `address`, `user`, `password`. None, where nothing of the fencing is a BMC.
    pub bmcs: String,
}

#[derive(Deserialize)]
struct Bmc {
    device: String,
    address: String,
    user: String,
    password: String,
}

impl std::fmt::Debug for FencingLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FencingLogin({})", self.target)
    }
}

impl FencingLogin {
    fn list(&self) -> serde_json::Result<Vec<Bmc>> {
        serde_json::from_str(&self.bmcs)
    }
}

impl Act for FencingLogin {
    fn title(&self) -> String {
        format!("try user and password at the BMC of {}", self.target)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        let read =
            |bmc: Bmc| read(&bmc.address, &bmc.user, &bmc.password, &format!("fence-{}{}", bmc.device, self.target));
        self.list().unwrap_or_default().into_iter().map(read).collect()
    }

    fn judges_silence(&self) -> bool {
        true
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        // The text of a JSON error may hold what could not be read.
        let Ok(bmcs) = self.list() else { return State::Unknown("the BMCs can't be told from the answers".to_owned()) };
        let mut state = State::Satisfied;
        for (index, bmc) in bmcs.iter().enumerate() {
            match judge(seen.get(at, index), &bmc.address, &bmc.user, &self.target) {
                Login::Works => {}
                Login::NotTried => state = State::Unknown("ipmitool is not installed yet".to_owned()),
                Login::Fails(what, next) => return Refusal::state(RefusalKind::Preflight, what, next),
            }
        }
        state
    }

    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judged(login: &FencingLogin, texts: &[&str]) -> State {
        let outputs: Vec<Output> =
            texts.iter().map(|text| Output { stdout: (*text).into(), ..Output::default() }).collect();
        login.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &Memory::default() })
    }

    fn login(devices: &[&str]) -> FencingLogin {
        let bmc = |(n, device): (usize, &&str)| serde_json::json!({"device": device, "address": format!("192.0.2.{n}"), "user": "admin", "password": "hidden-word"});
        let bmcs: Vec<_> = devices.iter().enumerate().map(bmc).collect();
        FencingLogin { target: "node2".to_owned(), bmcs: serde_json::Value::from(bmcs).to_string() }
    }

    #[test]
    fn a_wrong_password_refuses_before_anything_is_built_on_it() {
        let login = login(&[""]);
        assert_eq!(judged(&login, &["ok\n"]), State::Satisfied);
        assert!(matches!(judged(&login, &["missing\n"]), State::Unknown(_)));
        let State::Refused(refusal) = judged(&login, &["password\n"]) else { panic!("not refused") };
        assert_eq!(refusal.kind, RefusalKind::Preflight);
        assert!(!format!("{login:?}").contains("hidden-word"));
        assert_eq!(login.reads(At::First)[0].argv.last().map(String::as_str), Some("fence-node2"));
    }

    #[test]
    fn each_bmc_of_several_levels_is_tried() {
        let login = login(&["1-", "3-"]);
        let reads = login.reads(At::First);
        let devices: Vec<_> = reads.iter().filter_map(|cmd| cmd.argv.last()).collect();
        assert_eq!(devices, ["fence-1-node2", "fence-3-node2"]);
        assert!(reads.iter().all(|cmd| cmd.secret));
        assert_eq!(judged(&login, &["ok\n", "trusted\n"]), State::Satisfied);
        let State::Refused(refusal) = judged(&login, &["ok\n", "user\n"]) else { panic!("not refused") };
        assert!(refusal.what.starts_with("the BMC of node2 (192.0.2.1) has no user admin"), "{}", refusal.what);
        // Levels without a BMC.
        assert_eq!(judged(&FencingLogin { bmcs: "[]".to_owned(), ..login }, &[]), State::Satisfied);
    }
}

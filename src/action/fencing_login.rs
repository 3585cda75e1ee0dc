//! User and password of each BMC, tried by the node that will use them, before the cluster gets to know the device.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Act, Order, Refusal, RefusalKind, Seen, State};
use crate::fencing::login::{Login, judge, read};
use crate::node::{At, Cmd};

/// A BMC that lets its user in. Orders nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FencingLogin {
    /// Node that the BMC switches.
    pub target: String,
    /// The BMC's address.
    pub address: String,
    /// User there.
    pub user: String,
    /// Password there.
    pub password: String,
}

impl std::fmt::Debug for FencingLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FencingLogin({} at {})", self.user, self.address)
    }
}

impl Act for FencingLogin {
    fn title(&self) -> String {
        format!("try user and password at the BMC of {}", self.target)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![read(&self.address, &self.user, &self.password, &self.target)]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        match judge(seen.get(at, 0), &self.address, &self.user, &self.target) {
            Login::Works => State::Satisfied,
            Login::NotTried => State::Unknown("ipmitool is not installed yet".to_owned()),
            Login::Fails(what, next) => Refusal::state(RefusalKind::Preflight, what, next),
        }
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

    #[test]
    fn a_wrong_password_refuses_before_anything_is_built_on_it() {
        let login = FencingLogin {
            target: "node2".to_owned(),
            address: "192.0.2.12".to_owned(),
            user: "admin".to_owned(),
            password: "hidden-word".to_owned(),
        };
        let judge = |text: &str| {
            let outputs = [Output { stdout: text.into(), ..Output::default() }];
            login.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &Memory::default() })
        };
        assert_eq!(judge("ok\n"), State::Satisfied);
        assert!(matches!(judge("missing\n"), State::Unknown(_)));
        let State::Refused(refusal) = judge("password\n") else { panic!("not refused") };
        assert_eq!(refusal.kind, RefusalKind::Preflight);
        assert!(!format!("{login:?}").contains("hidden-word"));
    }
}

//! A BMC's user and password, tried by the node that would use them.

use std::time::Duration;

use crate::node::{Cmd, Output};

const LOGIN: &str = include_str!("login.sh");

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// It tells the power's state.
    Works,
    /// The node can't try it yet: it has no ipmitool.
    NotTried,
    /// Why not, and what to do.
    Fails(String, &'static str),
}

/// The read that tries it. A device that the cluster has already, under the id `device` and with these credentials, needs no
/// trial; empty: always.
pub fn read(address: &str, user: &str, password: &str, device: &str) -> Cmd {
    Cmd::read_sh(LOGIN, [address, user, device])
        .stdin(format!("{password}\n"))
        .secret(true)
        .timeout(Duration::from_secs(60))
}

/// What [`read`] gave, in words; `node` is the machine that the BMC at `address` belongs to.
pub fn judge(output: &Output, address: &str, user: &str, node: &str) -> Login {
    const REACH: &str =
        "see that the BMC has this address, that IPMI over LAN is switched on in it, and that a way leads there";
    let line = output.line();
    let bmc = format!("the BMC of {node} ({address})");
    let fails = |what: String, next: &'static str| Login::Fails(what, next);
    if output.code == Output::LATE {
        return fails(format!("{bmc} did not answer in a minute"), REACH);
    }
    match line.split_once(' ').map_or((line.as_str(), ""), |(word, rest)| (word, rest)) {
        ("ok" | "trusted", _) => Login::Works,
        ("missing" | "", _) => Login::NotTried,
        ("password", _) => fails(
            format!("{bmc} does not take the password of the user {user}"),
            "put the right password where the answers say (env: or file:); some BMCs take 16 characters only",
        ),
        ("user", _) => fails(
            format!("{bmc} has no user {user}, or lets them not in over the network"),
            "make the user in the BMC, with the right to switch the power",
        ),
        ("privilege", _) => fails(
            format!("{bmc} does not let the user {user} switch the power"),
            "give the user the level ADMINISTRATOR in the BMC",
        ),
        ("name", _) => {
            fails(format!("the name {address} of the BMC of {node} leads nowhere"), "give its address as numbers")
        }
        ("old", _) => fails(
            format!("{bmc} does not speak IPMI 2.0"),
            "switch IPMI 2.0 (RMCP+) on in it, or take `method: agent` with fence_ipmilan and lanplus=0",
        ),
        ("silent", _) => fails(format!("{bmc} does not answer"), REACH),
        (_, rest) => fails(format!("{bmc} can't be used: {rest}"), REACH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_words() {
        let of =
            |text: &str| judge(&Output { stdout: text.into(), ..Output::default() }, "192.0.2.12", "admin", "node2");
        assert_eq!((of("ok\n"), of("trusted\n"), of("missing\n")), (Login::Works, Login::Works, Login::NotTried));
        for (text, words) in [
            ("password", "the BMC of node2 (192.0.2.12) does not take the password of the user admin"),
            ("user", "has no user admin"),
            ("privilege", "does not let the user admin switch"),
            ("name", "leads nowhere"),
            ("silent", "does not answer"),
            ("other Error: no luck", "can't be used: Error: no luck"),
        ] {
            let Login::Fails(what, _) = of(text) else { panic!("{text}") };
            assert!(what.contains(words), "{what}");
        }
    }

    #[test]
    fn the_password_is_no_argument() {
        let cmd = read("192.0.2.12", "admin", "hidden-word", "fence-node2");
        assert!(cmd.secret && !cmd.argv.join(" ").contains("hidden-word"));
        assert_eq!(cmd.stdin, b"hidden-word\n");
    }
}

//! Root of a node really logs in at its peer, as `xl migrate` and `external/ssh` will. Only looks.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Act, Order, Seen, State};
use crate::node::{At, Cmd, Output};

/// A login that asks nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshLogin {
    /// The peer's name.
    #[serde(default = "peer")]
    pub peer: String,
}

fn peer() -> String {
    "{{ peer.name }}".to_owned()
}

impl Act for SshLogin {
    fn title(&self) -> String {
        format!("log in as root on {} without a question", self.peer)
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        let argv = [
            "ssh",
            "-n",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "ConnectTimeout=10",
            "-o",
            "ControlPath=none",
            "-l",
            "root",
            "--",
            &self.peer,
            "true",
        ];
        vec![Cmd::read(argv).timeout(Duration::from_secs(30))]
    }

    fn judges_silence(&self) -> bool {
        true
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let output = seen.get(at, 0);
        let errors = output.errors();
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        let peer = &self.peer;
        match output.code {
            0 => State::Satisfied,
            127 => State::Unknown("ssh is not installed".to_owned()),
            -1 => State::Unknown("the node was not asked".to_owned()),
            Output::LATE => State::drift(format!("log in as root on {peer}: no answer within 30 s")),
            _ => {
                let hint = if last.contains("Permission denied") {
                    format!("; see PermitRootLogin and AllowUsers in /etc/ssh/sshd_config of {peer}")
                } else if last.contains("Connection refused") {
                    format!("; sshd of {peer} must listen on port 22 of its cluster address")
                } else {
                    String::new()
                };
                State::drift(format!("log in as root on {peer} (now: {last}{hint})"))
            }
        }
    }

    /// The keys were exchanged before: nothing is left to be done but to see it.
    fn orders(&self, _at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;

    fn judge(code: i32, stderr: &str) -> State {
        let outputs = [Output { code, stdout: Vec::new(), stderr: stderr.as_bytes().to_vec() }];
        let login = SshLogin { peer: "node2".to_owned() };
        login.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &Memory::default() })
    }

    #[test]
    fn why_it_can_t_log_in_is_told() {
        assert_eq!(judge(0, ""), State::Satisfied);
        let refused = judge(255, "root@node2: Permission denied (publickey).\n");
        let State::Drift(change) = refused else { panic!("not drift") };
        assert!(change.summary.contains("PermitRootLogin"), "{}", change.summary);
        assert_eq!(
            judge(
                255,
                "No ED25519 host key is known for node2 and you have requested strict checking.\nHost key verification failed.\n"
            ),
            State::drift("log in as root on node2 (now: Host key verification failed.)")
        );
    }
}

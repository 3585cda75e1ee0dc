//! Root's own key on a node: made if there is none, never overwritten.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Act, Order, Refusal, RefusalKind, Seen, State};
use crate::node::{At, Cmd};

/// Root's folder; where root's home is elsewhere, sshd would not look there either.
pub const SSH: &str = "/root/.ssh";

/// The public half, from the private key itself: the file beside it may be missing or another one's.
const PUBLIC: &str = r#"key=$1/id_$2
[ -e "$key" ] || exit 3
exec ssh-keygen -y -P '' -f "$key" </dev/null"#;

/// A key appears whole or not at all, and a link does not overwrite. `$1` folder, `$2` comment, `$3` kind.
const MAKE: &str = r#"set -eu
umask 077
mkdir -p "$1"
key=$1/id_$3
new=$1/.id_$3.hapair-new
[ ! -e "$key" ] || exit 0
rm -f "$new" "$new.pub"
ssh-keygen -q -t "$3" -N '' -C "$2" -f "$new" </dev/null
sync "$new" "$new.pub"
if [ -e "$key.pub" ]; then
    mv "$key.pub" "$key.pub.without-private-key"
fi
mv "$new.pub" "$key.pub"
ln "$new" "$key"
rm -f "$new"
sync "$1""#;

/// Root's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshKey {
    /// Comment in a key that is made.
    #[serde(default = "comment")]
    pub comment: String,
    /// `ed25519`, or `rsa` where OpenSSH is older than 6.5.
    #[serde(default = "kind")]
    pub kind: String,
}

/// The kind that the platform's OpenSSH knows.
pub(super) fn kind() -> String {
    "{{ platform.ssh.key }}".to_owned()
}

fn comment() -> String {
    "root@{{ node.name }}".to_owned()
}

/// The read that gives root's public key: exit code 3 when there is no key.
pub fn public_key_read(kind: &str) -> Cmd {
    Cmd::read_sh(PUBLIC, [SSH, kind])
}

impl Act for SshKey {
    fn title(&self) -> String {
        "a key for root".to_owned()
    }

    fn reads(&self, _at: At) -> Vec<Cmd> {
        vec![public_key_read(&self.kind)]
    }

    fn judge(&self, at: At, seen: &Seen<'_>) -> State {
        let output = seen.get(at, 0);
        let key = format!("{SSH}/id_{}", self.kind);
        match output.code {
            0 if output.line().starts_with(&format!("ssh-{} ", self.kind)) => State::Satisfied,
            3 => State::drift(format!("make a key for root: {key}")),
            126 | 127 => State::Unknown("ssh-keygen is not installed".to_owned()),
            _ => Refusal::state(
                RefusalKind::Preflight,
                format!(
                    "root has a key {key} that can't be used without a question: {}",
                    output.errors().lines().last().unwrap_or_default().trim()
                ),
                format!(
                    "take its passphrase off (ssh-keygen -p -f {key}), or move it away: live migration has nobody to ask"
                ),
            ),
        }
    }

    fn left(&self) -> Option<String> {
        Some(format!("Root's own key {SSH}/id_{} stays on each node; the other node no longer lets it in.", self.kind))
    }

    fn orders(&self, at: At, _seen: &Seen<'_>) -> Result<Vec<Order>> {
        Ok(vec![Order::new(at, Cmd::write_sh(MAKE, [SSH, &self.comment, &self.kind]))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Memory;
    use crate::node::Output;

    fn judge(code: i32, stdout: &str, stderr: &str) -> State {
        let outputs = [Output { code, stdout: stdout.as_bytes().to_vec(), stderr: stderr.as_bytes().to_vec() }];
        let key = SshKey { comment: "root@node1".to_owned(), kind: "ed25519".to_owned() };
        key.judge(At::First, &Seen { outputs: [&outputs, &[]], memory: &Memory::default() })
    }

    #[test]
    fn a_key_is_made_only_where_none_is() {
        assert_eq!(judge(0, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI root@node1\n", ""), State::Satisfied);
        assert_eq!(judge(3, "", ""), State::drift("make a key for root: /root/.ssh/id_ed25519"));
        // As OpenSSH 9.2 says it.
        let locked = "Load key \"/root/.ssh/id_ed25519\": incorrect passphrase supplied to decrypt private key\n";
        let State::Refused(refusal) = judge(255, "", locked) else { panic!("not refused") };
        assert!(refusal.what.contains("incorrect passphrase"));
    }
}

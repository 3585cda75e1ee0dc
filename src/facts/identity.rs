//! What tells one machine from another.

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Identities of a machine; what it does not tell is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// New at each boot.
    pub boot_id: String,
    /// Made when the system was installed: a copied disk has the same.
    pub machine_id: String,
    /// The mainboard's.
    pub dmi_uuid: String,
    /// Manufacturer and product.
    pub product: String,
    /// `SHA256:...` of its SSH host keys, as ssh shows them.
    pub host_keys: Vec<String>,
}

impl Identity {
    /// The mainboard's UUID, unless it is one that many boards have because nobody set it.
    pub fn unique_dmi(&self) -> Option<&str> {
        let uuid = self.dmi_uuid.to_ascii_lowercase();
        let digits: Vec<char> = uuid.chars().filter(char::is_ascii_hexdigit).collect();
        let same = digits.windows(2).all(|pair| pair[0] == pair[1]);
        // The BIOS vendor's example, on many a board.
        let example = uuid == "03000200-0400-0500-0006-000700080009";
        (digits.len() == 32 && !same && !example).then_some(self.dmi_uuid.as_str())
    }
}

/// `SHA256:...` of a line of a public key file: `ssh-ed25519 AAAA... root@node1`.
pub fn fingerprint(line: &str) -> Option<String> {
    let key = base64::engine::general_purpose::STANDARD.decode(line.split_whitespace().nth(1)?).ok()?;
    let digest = base64::engine::general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(key));
    Some(format!("SHA256:{digest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_as_ssh_shows_it() {
        // ssh-keygen -l -f says the same of this key.
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github";
        assert_eq!(fingerprint(line).as_deref(), Some("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"));
        assert_eq!(fingerprint("ssh-ed25519"), None);
        assert_eq!(fingerprint("ssh-ed25519 ???"), None);
    }

    #[test]
    fn a_uuid_that_nobody_set_tells_nothing() {
        let of = |uuid: &str| Identity { dmi_uuid: uuid.to_owned(), ..Identity::default() };
        assert!(of("4c4c4544-0051-3510-8050-b9c04f4a4e32").unique_dmi().is_some());
        for uuid in ["", "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "Not Settable"]
        {
            assert_eq!(of(uuid).unique_dmi(), None, "{uuid}");
        }
        assert_eq!(of("03000200-0400-0500-0006-000700080009").unique_dmi(), None);
    }
}

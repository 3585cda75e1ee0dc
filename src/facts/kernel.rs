//! What the running kernel, and the firmware below it, allow.

use serde::{Deserialize, Serialize};

use crate::node::{Cmd, Output};

/// The options of the running kernel that let it be dom0.
const CONFIG: &str = r#"IFS= read -r release </proc/sys/kernel/osrelease
[ -r "/boot/config-$release" ] || exit 3
exec grep -E '^CONFIG_XEN(_PV|_DOM0|_PV_DOM0)?=y' "/boot/config-$release""#;

/// Its first four bytes are attributes (UEFI specification, section 3.3).
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// What the kernel can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `6.1.0-56-amd64`.
    pub release: String,
    /// `x86_64`.
    pub machine: String,
    /// Version of DRBD's module: the loaded one, else the one that would be loaded; `None` without a module.
    pub drbd: Option<String>,
    /// DRBD's module is loaded.
    pub drbd_loaded: bool,
    /// There is a module for OCFS2; `None` when the node can't tell.
    pub ocfs2: Option<bool>,
    /// It can be Xen's dom0; `None` when its configuration is not there.
    pub dom0: Option<bool>,
    /// Secure Boot is on. Off also where the firmware has none.
    pub secure_boot: bool,
}

impl Kernel {
    /// One made for rented machines, without drivers and without dom0.
    pub fn is_cloud(&self) -> bool {
        self.release.contains("-cloud-")
    }
}

/// Five commands.
pub(super) fn reads() -> Vec<Cmd> {
    vec![
        Cmd::read(["uname", "-n", "-r", "-m"]),
        Cmd::read(["modinfo", "-F", "version", "drbd"]),
        Cmd::read(["modinfo", "-F", "filename", "ocfs2"]),
        Cmd::read_sh(CONFIG, [""; 0]),
        Cmd::read(["od", "-An", "-tu1", "-j4", "-N1", SECURE_BOOT]),
    ]
}

/// The kernel and the host's name; `None` when the node does not even say which kernel it runs. `drbd` is the text of
/// /proc/drbd.
pub(super) fn parse(outputs: &[Output], drbd: &str) -> Option<(String, Kernel)> {
    let [uname, modinfo, ocfs2, config, secure_boot] = outputs else { return None };
    let text = uname.text();
    let mut words = text.split_whitespace().map(str::to_owned);
    let (hostname, release, machine) = (words.next()?, words.next()?, words.next()?);
    let loaded = drbd.lines().find_map(|line| line.strip_prefix("version: ")?.split_whitespace().next());
    let shipped = modinfo.text();
    Some((
        hostname,
        Kernel {
            release,
            machine,
            drbd: loaded.or(shipped.split_whitespace().next()).map(str::to_owned),
            drbd_loaded: loaded.is_some(),
            ocfs2: match ocfs2.code {
                0 => Some(true),
                127 => None,
                _ => Some(false),
            },
            dom0: match config.code {
                0 => Some(config.text().lines().any(|line| line.contains("_DOM0=y"))),
                // grep found none of them.
                1 => Some(false),
                _ => None,
            },
            secure_boot: secure_boot.ok() && secure_boot.line() == "1",
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::scripted::{fails, says};

    fn outputs() -> Vec<Output> {
        vec![
            says("node1 6.1.0-56-amd64 x86_64\n"),
            says("8.4.11\n"),
            says("/lib/modules/6.1.0-56-amd64/kernel/fs/ocfs2/ocfs2.ko\n"),
            says("CONFIG_XEN=y\nCONFIG_XEN_PV=y\nCONFIG_XEN_PV_DOM0=y\nCONFIG_XEN_DOM0=y\n"),
            fails(1, "od: /sys/firmware/efi/efivars/...: No such file or directory"),
        ]
    }

    #[test]
    fn debians_own_kernel_can_do_everything() {
        let (name, kernel) = parse(&outputs(), "").expect("a kernel");
        assert_eq!((name.as_str(), kernel.release.as_str()), ("node1", "6.1.0-56-amd64"));
        assert_eq!((kernel.drbd.as_deref(), kernel.drbd_loaded), (Some("8.4.11"), false));
        assert_eq!((kernel.ocfs2, kernel.dom0, kernel.secure_boot), (Some(true), Some(true), false));
        assert!(!kernel.is_cloud());
    }

    #[test]
    fn the_cloud_kernel_is_seen_and_secure_boot_too() {
        let mut outputs = outputs();
        outputs[0] = says("node1 6.1.0-56-cloud-amd64 x86_64\n");
        outputs[2] = fails(1, "modinfo: ERROR: Module ocfs2 not found.");
        outputs[3] = fails(1, "");
        outputs[4] = says("   1\n");
        let (_, kernel) = parse(&outputs, "").expect("a kernel");
        assert!(kernel.is_cloud() && kernel.secure_boot);
        assert_eq!((kernel.ocfs2, kernel.dom0), (Some(false), Some(false)));
    }

    #[test]
    fn the_loaded_module_counts_more_than_the_one_on_disk() {
        let (_, kernel) = parse(&outputs(), "version: 9.2.13 (api:2/proto:86-122)\n").expect("a kernel");
        assert_eq!((kernel.drbd.as_deref(), kernel.drbd_loaded), (Some("9.2.13"), true));
        let mut outputs = outputs();
        outputs[1..].fill(fails(127, "not found"));
        let (_, kernel) = parse(&outputs, "").expect("a kernel");
        assert_eq!((kernel.drbd, kernel.ocfs2, kernel.dom0), (None, None, None));
        assert!(parse(&[], "").is_none());
    }
}

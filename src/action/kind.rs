//! The closed list of action kinds. A kind that is not here can't be written in a step.

use serde::{Deserialize, Serialize};

use super::Act;
use crate::step::When;

/// What an entry is repeated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loop {
    /// Each virtual machine of the answers, as `vm`.
    Vms,
}

/// Names each kind once: as a module of `src/action/`, a type, and a key of a step's YAML.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $yaml:literal, $module:ident::$type:ident;)*) => {
        /// An action of any kind.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $yaml)] $type(super::$module::$type),)*
        }

        impl Action {
            /// The key of a step's YAML, such as `drbd-sync`.
            pub fn kind(&self) -> &'static str {
                match self { $(Action::$type(_) => $yaml,)* }
            }
        }

        impl std::ops::Deref for Action {
            type Target = dyn Act;

            fn deref(&self) -> &Self::Target {
                match self { $(Action::$type(action) => action,)* }
            }
        }

        /// An action as it stands in a step: exactly one kind, and under which answers it is done.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Entry {
            /// Equality on enumerated answers or on the platform.
            #[serde(default)]
            pub when: When,
            /// Repeats the action.
            #[serde(default, rename = "for")]
            pub each: Option<Loop>,
            $($(#[$doc])* #[serde(default, rename = $yaml)] pub $kind: Option<super::$module::$type>,)*
        }

        impl Entry {
            /// The one action of this entry.
            ///
            /// # Errors
            /// When there is none, or more than one.
            pub fn action(&self) -> anyhow::Result<Action> {
                let mut found: Vec<Action> = Vec::new();
                $(if let Some(action) = &self.$kind { found.push(Action::$type(action.clone())); })*
                match found.len() {
                    1 => Ok(found.remove(0)),
                    0 => anyhow::bail!("no action; known are {}", [$($yaml),*].join(", ")),
                    _ => anyhow::bail!(
                        "{} actions in one entry: {}; each needs a dash of its own",
                        found.len(),
                        found.iter().map(Action::kind).collect::<Vec<_>>().join(", ")
                    ),
                }
            }
        }
    };
}

kinds! {
    /// Installed packages.
    packages = "packages", packages::Packages;
    /// A whole file.
    file = "file", file::File;
    /// A node's name and the names of both in /etc/hosts.
    host_names = "host-names", host_names::HostNames;
    /// A service: enabled, active.
    service = "service", service::Service;
    /// A command, with the read that tells whether it is needed.
    command = "command", command::Command;
    /// The boot loader's default entry.
    boot_entry = "boot-entry", boot_entry::BootEntry;
    /// A reboot into Xen.
    reboot = "reboot", reboot::Reboot;
    /// A key for root.
    ssh_key = "ssh-key", ssh_key::SshKey;
    /// Root's keys and the host keys exchanged.
    ssh_trust = "ssh-trust", ssh_trust::SshTrust;
    /// Root's login on the other node, tried.
    ssh_login = "ssh-login", ssh_login::SshLogin;
    /// The backing device's partition.
    partition = "partition", partition::Partition;
    /// A kernel module, now and at boot.
    kernel_module = "kernel-module", kernel_module::KernelModule;
    /// DRBD's metadata, made once.
    drbd_metadata = "drbd-metadata", drbd_metadata::DrbdMetadata;
    /// Each node knows what was made on the other.
    node_record = "node-record", node_record::NodeRecord;
    /// A DRBD resource that is up and connected.
    drbd_connection = "drbd-connection", drbd_connection::DrbdConnection;
    /// The first synchronisation.
    drbd_sync = "drbd-sync", drbd_sync::DrbdSync;
    /// A DRBD resource's role.
    drbd_role = "drbd-role", drbd_role::DrbdRole;
    /// The cluster file system, made once.
    filesystem = "filesystem", filesystem::Filesystem;
    /// A mounted file system.
    mount = "mount", mount::Mount;
    /// What one node writes the other reads.
    cross_read = "cross-read", cross_read::CrossRead;
    /// Objects of the CIB.
    cib = "cib", cib::Cib;
    /// Something that takes time.
    wait = "wait", wait::Wait;
    /// A disk image, made once.
    disk_image = "disk-image", disk_image::DiskImage;
    /// A fencing device that runs.
    fencing_device = "fencing-device", fencing_device::FencingDevice;
    /// A BMC that lets its user in.
    fencing_login = "fencing-login", fencing_login::FencingLogin;
    /// The cluster link cut, and a node that the cluster then switched off by itself, for a proof.
    fencing_cut = "fencing-cut", fencing_cut::FencingCut;
    /// A node that was switched off by the other one, for a proof.
    fencing_shot = "fencing-shot", fencing_shot::FencingShot;
    /// The record of that proof on both nodes.
    fencing_proof = "fencing-proof", fencing_proof::FencingProof;
    /// No cluster of somebody else's, and none of one node.
    ring = "ring", ring::Ring;
    /// A file on the shared mount.
    shared_file = "shared-file", shared_file::SharedFile;
    /// A VM's configuration of the user's own.
    vm_config = "vm-config", vm_config::VmConfig;
    /// The whole stack read back.
    verify = "verify", verify::Verify;
}

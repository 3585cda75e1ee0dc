//! What makes a machine itself: its name, addresses, keys and package source, written straight into the file system of
//! its disk image, which nobody has mounted.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::super::command;
use super::super::lab::{Machine, Wish};
use super::disk::{OFFSET, run_with_system_path};
use super::management;
use crate::random;

/// Makes a machine's SSH host key in `folder`, writes everything of its own to its disk, and returns the host key's
/// public half.
pub(super) fn write(
    folder: &Path,
    disk: &Path,
    wish: &Wish,
    machine: Machine,
    authorized: &str,
    repository: u16,
) -> Result<String> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let name = &wish.names[machine.index()];
    let host_key = folder.join("host_key");
    let public = key_pair(&host_key, &format!("root@{name}"))?;
    let mut files = vec![
        ("hostname", "/etc/hostname", format!("{name}\n")),
        ("hosts", "/etc/hosts", hosts(name)),
        ("machine-id", "/etc/machine-id", machine_id()?),
        ("interfaces", "/etc/network/interfaces", interfaces(wish, machine)),
        ("sources.list", "/etc/apt/sources.list", format!("deb [trusted=yes] http://10.0.2.2:{repository} ./\n")),
        ("authorized_keys", "/root/.ssh/authorized_keys", authorized.to_owned()),
        ("host_key.pub", "/etc/ssh/ssh_host_ed25519_key.pub", public.clone()),
    ];
    if wish.sbd {
        // Somebody with such a machine would put its driver there too; that an orderly end of SBD disarms it is the kernel's
        // usual setting, and said here to be sure.
        let options = "options i6300esb nowayout=0\n".to_owned();
        files.push(("watchdog-module", "/etc/modules-load.d/watchdog.conf", "i6300esb\n".to_owned()));
        files.push(("watchdog-options", "/etc/modprobe.d/watchdog.conf", options));
    }
    let mut orders = order(&host_key, "/etc/ssh/ssh_host_ed25519_key", 0o600);
    for (file, target, text) in files {
        let path = folder.join(file);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        orders += &order(&path, target, if target.starts_with("/root/") { 0o600 } else { 0o644 });
    }
    let script = folder.join("orders");
    fs::write(&script, orders).with_context(|| format!("write {}", script.display()))?;
    let image = format!("{}?offset={OFFSET}", disk.display());
    debugfs(&script, &image)?;
    // debugfs ends with 0 whatever happened.
    let told = run_with_system_path("read a machine's disk back", &["debugfs", "-R", "cat /etc/hostname", &image])?;
    if told.trim() != name {
        bail!("{name}'s disk didn't take what was written to it ({}): is there room?", disk.display());
    }
    Ok(public)
}

/// Makes an SSH key and returns its public half as one line.
pub(super) fn key_pair(path: &Path, comment: &str) -> Result<String> {
    command::run(
        "make an SSH key",
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &path.to_string_lossy()],
    )?;
    let public = path.with_extension("pub");
    fs::read_to_string(&public).with_context(|| format!("read {}", public.display()))
}

fn debugfs(script: &Path, image: &str) -> Result<()> {
    let words = ["sh", "-c", "debugfs -w -f \"$0\" \"$1\" 2>&1 >/dev/null", &script.to_string_lossy(), image];
    let told = run_with_system_path("write a machine's own files to its disk", &words)?;
    // The first line is its version; whatever follows is a complaint.
    let complaints: Vec<&str> = told.lines().filter(|line| !line.starts_with("debugfs ")).collect();
    if !complaints.is_empty() {
        bail!("debugfs couldn't write a machine's own files to {image}:\n  {}", complaints.join("\n  "));
    }
    Ok(())
}

/// debugfs's orders for one file that belongs to root.
fn order(source: &Path, target: &str, mode: u32) -> String {
    format!(
        "write \"{}\" {target}\nsif {target} mode 0100{mode:o}\nsif {target} uid 0\nsif {target} gid 0\n",
        source.display()
    )
}

/// As Debian's installer leaves it.
fn hosts(name: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n\n\
         # The following lines are desirable for IPv6 capable hosts\n\
         ::1     localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
    )
}

/// The cards are in the slots 3, 4, 6 and 9 of the machine's bus, and so they are named.
fn interfaces(wish: &Wish, machine: Machine) -> String {
    let mut text = "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n".to_owned();
    let index = machine.index();
    let management = management::address(machine).to_string();
    // QEMU's own network has these addresses always; without DHCP there is nothing to wait for at boot.
    for (card, address, more) in [
        ("ens3", "10.0.2.15", "    gateway 10.0.2.2\n"),
        ("ens4", wish.cluster[index].as_str(), ""),
        ("ens6", wish.second[index].as_str(), ""),
        ("ens9", management.as_str(), ""),
    ] {
        let _ = write!(text, "\nauto {card}\niface {card} inet static\n    address {address}/24\n{more}");
    }
    text
}

/// A machine without one takes itself for just installed, and undoes what its services were set to.
fn machine_id() -> Result<String> {
    Ok(format!("{}\n", random::hex::<16>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn each_machine_has_its_own_addresses() {
        let wish = Wish {
            names: ["alpha".into(), "beta".into()],
            release: "bookworm".into(),
            cluster: ["10.77.0.1".into(), "10.77.0.2".into()],
            second: ["10.78.0.1".into(), "10.78.0.2".into()],
            data_mib: 512,
            leave_free: false,
            sbd: false,
            preinstalled: Vec::new(),
            offered: Vec::new(),
            cache: PathBuf::new(),
            scratch: PathBuf::new(),
        };
        let text = interfaces(&wish, Machine::Second);
        assert!(text.contains("auto ens4\niface ens4 inet static\n    address 10.77.0.2/24\n"), "{text}");
        assert!(text.contains("auto ens6\niface ens6 inet static\n    address 10.78.0.2/24\n"), "{text}");
        assert!(text.contains("auto ens9\niface ens9 inet static\n    address 198.18.77.2/24\n"), "{text}");
        assert_ne!(machine_id().unwrap(), machine_id().unwrap());
        assert_eq!(machine_id().unwrap().len(), 33);
    }

    #[test]
    fn an_order_names_source_target_and_mode() {
        let text = order(Path::new("/a b/c"), "/etc/c", 0o600);
        assert!(text.starts_with("write \"/a b/c\" /etc/c\nsif /etc/c mode 0100600\n"), "{text}");
    }
}

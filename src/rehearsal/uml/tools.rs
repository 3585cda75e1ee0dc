//! What the host needs for this engine.

use std::env;
use std::path::Path;

/// Programs that the engine starts on the host, each with the Debian package that has it.
pub const TOOLS: &[(&str, &str)] = &[
    ("linux.uml", "user-mode-linux"),
    ("mmdebstrap", "mmdebstrap"),
    ("dpkg-scanpackages", "dpkg-dev"),
    ("mke2fs", "e2fsprogs"),
    ("depmod", "kmod"),
    ("sfdisk", "fdisk"),
    ("ip", "iproute2"),
    ("ipmi_sim", "openipmi"),
    ("perl", "perl-base"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("apt-get", "apt"),
    ("tar", "tar"),
    ("sha256sum", "coreutils"),
];

/// What somebody who isn't root needs besides, to build an image whose files belong to root.
pub const TOOLS_WITHOUT_ROOT: &[(&str, &str)] = &[("fakeroot", "fakeroot"), ("newuidmap", "uidmap")];

/// Says in words which programs are missing here and how to install them; `None` when all are there.
pub fn missing() -> Option<String> {
    let others: &[(&str, &str)] = if rustix::process::geteuid().is_root() { &[] } else { TOOLS_WITHOUT_ROOT };
    let absent: Vec<&(&str, &str)> = TOOLS.iter().chain(others).filter(|(program, _)| !is_there(program)).collect();
    if absent.is_empty() {
        return None;
    }
    let programs: Vec<&str> = absent.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = absent.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    Some(format!(
        "A rehearsal with User-Mode Linux needs programs that aren't here: {}.\nInstall them (as root), then start again:\n  apt-get install --no-install-recommends {}",
        programs.join(", "),
        packages.join(" ")
    ))
}

fn is_there(program: &str) -> bool {
    // The system's own folders too: not every user has them in PATH, and `super::path` adds them.
    env::split_paths(&path()).any(|folder| folder.join(program).is_file())
}

/// PATH with the folders of the system's programs, for everything this engine starts.
pub(super) fn path() -> String {
    let mut folders: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    for folder in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        if !folders.iter().any(|known| known == Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    env::join_paths(folders).map(|joined| joined.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_every_system_has_and_not_what_none_has() {
        assert!(is_there("sh"));
        assert!(!is_there("no-such-program"));
    }
}

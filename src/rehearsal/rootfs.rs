//! Debian root trees as tar files, made by mmdebstrap and kept between runs. Both engines start from one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{cache, command};

/// What every machine of the lab has, whatever runs it: a small Debian server with systemd and SSH, as an administrator
/// finds it after installation, and nothing of a cluster.
pub const SERVER: &[&str] = &[
    "apt-utils",
    "dbus",
    "e2fsprogs",
    "fdisk",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "netbase",
    "openssh-server",
    "procps",
    "psmisc",
    "systemd",
    "systemd-sysv",
    "udev",
];

/// A command that mmdebstrap runs while it builds, with the tree's path as `$1`.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// `setup`, `extract`, `essential` or `customize`.
    pub when: &'static str,
    /// Shell text.
    pub command: &'static str,
}

/// For an image that has the packages already: the daemons that would form a cluster of one are masked, as an install
/// leaves them (`src/action/packages/run.sh`).
pub const HELD: Hook = Hook {
    when: "essential",
    command: r#"mkdir -p "$1/etc/systemd/system" && for name in corosync pacemaker; do ln -s /dev/null "$1/etc/systemd/system/$name.service"; done"#,
};

/// Path of a tar file with a Debian root tree: this release with these packages (without what they only recommend).
/// Built first if the cache has none; that needs the network, so call it before entering a namespace.
///
/// # Errors
/// When mmdebstrap fails or the cache can't be written.
pub fn tar(cache: &Path, release: &str, packages: &[&str], hooks: &[Hook], say: &dyn Fn(&str)) -> Result<PathBuf> {
    let mut include = packages.to_vec();
    include.sort_unstable();
    include.dedup();
    let include = include.join(",");
    let mut parts = vec![release, &include];
    for hook in hooks {
        parts.extend([hook.when, hook.command]);
    }
    cache::entry(cache, "rootfs", ".tar", &parts, say, |path| {
        say(&format!("building a Debian {release} root tree with mmdebstrap (half a minute to three minutes, once)"));
        let mut arguments = vec![
            "--variant=minbase".to_owned(),
            "--format=tar".to_owned(),
            "--quiet".to_owned(),
            "--aptopt=APT::Install-Recommends \"false\"".to_owned(),
            format!("--include={include}"),
            // The host's proxy and our wishes are of no use inside the machine.
            r#"--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap""#.to_owned(),
        ];
        // One by one and not as a file: without root, mmdebstrap reads files as another user, who may not read ours.
        arguments.extend(host_settings()?.lines().map(|line| format!("--aptopt={}", line.trim_end_matches(';'))));
        arguments.extend(hooks.iter().map(|hook| format!("--{}-hook={}", hook.when, hook.command)));
        arguments.extend([release.to_owned(), path.display().to_string()]);
        arguments.extend(sources(release)?);
        command::run("build a Debian root tree", "mmdebstrap", &arguments).map(drop).context(
            "mmdebstrap couldn't build the root tree; look at its lines above (network? proxy? disk space?) and start again",
        )
    })
}

/// The host's own sources of this Debian release, as lines for sources.list; none if it has none that it knows to be
/// Debian's. Then mmdebstrap takes its default.
fn sources(release: &str) -> Result<Vec<String>> {
    let targets = command::run(
        "list the host's package sources",
        "apt-get",
        &["indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)", "Created-By: Packages"],
    )?;
    Ok(debian_lines(&targets, release))
}

/// Picks Debian's main sources of a release from apt's list. The host may have foreign sources that use Debian's
/// release names; the origin in their signed Release file tells them apart.
fn debian_lines(targets: &str, release: &str) -> Vec<String> {
    let wanted = [release.to_owned(), format!("{release}-updates"), format!("{release}-security")];
    let mut lines = Vec::new();
    for target in targets.lines() {
        let [origin, codename, component, uri] = target.split('|').collect::<Vec<_>>()[..] else { continue };
        let line = format!("deb {uri} {codename} main");
        let ours = origin == "Debian" && component == "main" && wanted.iter().any(|name| name == codename);
        if ours && !lines.contains(&line) {
            lines.push(line);
        }
    }
    // Updates without the release itself are no source to build from.
    let whole = lines.iter().any(|line| line.contains(&format!(" {release} ")));
    if whole { lines } else { Vec::new() }
}

/// The host's settings for reaching its sources (proxies, retries), in apt's format.
///
/// # Errors
/// When apt-config can't be run.
pub(super) fn host_settings() -> Result<String> {
    let all = command::run("read the host's apt settings", "apt-config", &["dump"])?;
    let wanted = ["Acquire::http", "Acquire::ftp", "Acquire::Retries", "Acquire::ForceIPv"];
    Ok(all
        .lines()
        .filter(|line| wanted.iter().any(|start| line.starts_with(start)))
        .fold(String::new(), |text, line| text + line + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_debians_own_sources_of_the_release() {
        let targets = "Debian|bookworm|main|http://mirror.test/debian/\n\
                       Debian|bookworm|main|http://mirror.test/debian/\n\
                       Debian|bookworm|contrib|http://mirror.test/debian/\n\
                       Debian Backports|bookworm-backports|main|http://mirror.test/debian/\n\
                       Debian|bookworm-security|main|http://mirror.test/debian-security/\n\
                       Foreign|bookworm|main|http://foreign.test/\n\
                       |bookworm|main|http://unknown.test/\n";
        assert_eq!(
            debian_lines(targets, "bookworm"),
            [
                "deb http://mirror.test/debian/ bookworm main",
                "deb http://mirror.test/debian-security/ bookworm-security main"
            ]
        );
    }

    #[test]
    fn takes_none_when_the_release_itself_is_missing() {
        assert!(debian_lines("Debian|trixie-updates|main|http://mirror.test/debian/\n", "trixie").is_empty());
    }
}

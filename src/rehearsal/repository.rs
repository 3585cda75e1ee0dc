//! A package repository in a folder: what the machines may install, with all it depends on, so that `apt-get install`
//! works in machines that reach no network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{cache, command, rootfs};

/// Changes when the way a repository is made changes, so that older ones are no longer taken.
const EDITION: &str = "1";

/// Path of a folder that apt can use as `deb [trusted=yes] file:<folder> ./` (or by HTTP): these packages and what they
/// depend on beyond what the root tree of `rootfs_tar` has, without what they only recommend.
/// Downloaded first if the cache has none; that needs the network, so call it before entering a namespace.
///
/// # Errors
/// When apt can't find or download a package, or the cache can't be written.
pub fn folder(cache: &Path, rootfs_tar: &Path, offered: &[&str], say: &dyn Fn(&str)) -> Result<PathBuf> {
    let mut offered = offered.to_vec();
    offered.sort_unstable();
    offered.dedup();
    let tree = rootfs_tar.file_name().unwrap_or_default().to_string_lossy();
    let mut parts = vec![EDITION, &tree];
    parts.extend(&offered);
    cache::entry(cache, "packages", "", &parts, say, |folder| {
        say(&format!("downloading {} packages and what they need (once)", offered.len()));
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let apt = folder.join("apt");
        let settings = private_apt(&apt, rootfs_tar)?;
        download(&settings, &offered)?;
        collect(&apt.join("var/cache/apt/archives"), folder)?;
        cache::remove(&apt)?;
        index(folder)?;
        // Inside the machine apt reads this as its own unprivileged user; the host's umask must not forbid that.
        command::run(
            "let the machines read their packages",
            "chmod",
            &["-R".as_ref(), "a+rX".as_ref(), folder.as_os_str()],
        )
        .map(drop)
    })
}

/// Gives apt a world of its own: the sources, keys and installed packages of the root tree, and nothing of the host's
/// but the way to the network. Returns the settings file that makes it so.
fn private_apt(apt: &Path, rootfs_tar: &Path) -> Result<PathBuf> {
    for name in ["var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt"] {
        fs::create_dir_all(apt.join(name)).with_context(|| format!("create {}/{name}", apt.display()))?;
    }
    let (target, source) = (apt.to_string_lossy(), rootfs_tar.to_string_lossy());
    let arguments = [
        "-C",
        &target,
        "--no-same-owner",
        "-xf",
        &source,
        "./etc/apt",
        "./var/lib/dpkg/status",
        "./usr/share/keyrings",
    ];
    command::run("take apt's state out of the root tree", "tar", &arguments)?;
    let text = format!(
        "Dir \"{target}\";\n\
         Dir::State::status \"{target}/var/lib/dpkg/status\";\n\
         APT::Sandbox::User \"\";\n\
         APT::Install-Recommends \"false\";\n\
         Acquire::Languages \"none\";\n\
         Debug::NoLocking \"true\";\n{}",
        rootfs::host_settings()?
    );
    let settings = apt.join("settings.conf");
    fs::write(&settings, text).with_context(|| format!("write {}", settings.display()))?;
    Ok(settings)
}

fn download(settings: &Path, packages: &[&str]) -> Result<()> {
    let setting = format!("APT_CONFIG={}", settings.display());
    let apt = |doing: &str, words: &[&str]| {
        let arguments: Vec<&str> = [setting.as_str(), "apt-get", "-q", "-y"].iter().chain(words).copied().collect();
        command::run(doing, "env", &arguments).map(drop)
    };
    apt("read the package lists for the machines", &["update"])?;
    if packages.is_empty() {
        return Ok(());
    }
    let together: Vec<&str> = ["install", "--download-only"].iter().chain(packages).copied().collect();
    if apt("download packages for the machines", &together).is_ok() {
        return Ok(());
    }
    // Some may exclude each other; then each is downloaded as if it were the only one, which also names the culprit.
    for package in packages {
        apt(&format!("download {package} for the machines"), &["install", "--download-only", package])?;
    }
    Ok(())
}

fn collect(archives: &Path, folder: &Path) -> Result<()> {
    for file in fs::read_dir(archives).with_context(|| format!("read {}", archives.display()))? {
        let file = file?;
        let name = file.file_name();
        if Path::new(&name).extension().is_some_and(|ending| ending == "deb") {
            fs::rename(file.path(), folder.join(&name)).with_context(|| format!("move {}", file.path().display()))?;
        }
    }
    Ok(())
}

fn index(folder: &Path) -> Result<()> {
    // By way of `cd`: the paths in the index have to be relative to the folder.
    let text = command::run(
        "index the packages for the machines",
        "sh",
        &["-c", "cd \"$0\" && exec dpkg-scanpackages --multiversion . /dev/null", &folder.to_string_lossy()],
    )?;
    fs::write(folder.join("Packages"), text).context("write the index of the packages for the machines")
}

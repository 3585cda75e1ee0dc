//! The machines' disks, and what makes one machine the first and the other the second.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::network::{Bridge, Network};
use crate::random;
use crate::rehearsal::lab::{Machine, Wish};
use crate::rehearsal::{cache, command, repository, rootfs};

/// Where Debian's package keeps the modules of its kernel.
const MODULES: &str = "/usr/lib/uml/modules";

/// Size of a machine's root disk; a sparse file, so it takes only what is written.
const ROOT_SIZE: &str = "4G";

/// Size of the two partitions in front of the one for DRBD, which is the third as in the tutorial.
const SMALL_MIB: u64 = 64;

/// Size of the disk that both machines share.
const SHARED_MIB: u64 = 8;

const SCRIPT: &str = include_str!("image.sh");
const INIT: &str = include_str!("init.sh");

/// What is made once and used by every run.
#[derive(Debug)]
pub(super) struct Base {
    /// A root file system, the same for both machines.
    pub(super) image: PathBuf,
    /// Folder with what the machines can install.
    pub(super) packages: PathBuf,
}

/// Builds what isn't in the cache yet.
pub(super) fn base(wish: &Wish, say: &dyn Fn(&str)) -> Result<Base> {
    let mut include = rootfs::SERVER.to_vec();
    include.extend(wish.preinstalled.iter().map(String::as_str));
    let hooks: &[rootfs::Hook] = if wish.preinstalled.is_empty() { &[] } else { &[rootfs::HELD] };
    let rootfs = rootfs::tar(&wish.cache, &wish.release, &include, hooks, say)?;
    let offered: Vec<&str> = wish.offered.iter().map(String::as_str).collect();
    let packages = repository::folder(&wish.cache, &rootfs, &offered, say)?;
    let modules = modules()?;
    let tree = rootfs.file_name().unwrap_or_default().to_string_lossy();
    let parts = [&tree, modules.to_str().unwrap_or_default(), ROOT_SIZE, SCRIPT, INIT];
    let image = cache::entry(&wish.cache, "uml", ".ext4", &parts, say, |path| {
        say("making the machines' root file system (once)");
        let work =
            tempfile::Builder::new().prefix("uml-").tempdir_in(&wish.cache).context("create a folder in the cache")?;
        let (script, init) = (work.path().join("image.sh"), work.path().join("init.sh"));
        fs::write(&script, SCRIPT).with_context(|| format!("write {}", script.display()))?;
        fs::write(&init, INIT).with_context(|| format!("write {}", init.display()))?;
        let tree = work.path().join("tree");
        let arguments = [&script, &rootfs, &modules, &init, &tree, path, Path::new(ROOT_SIZE)].map(Path::as_os_str);
        let doing = "make the machines' root file system";
        if rustix::process::geteuid().is_root() {
            command::run(doing, "sh", &arguments)?;
        } else {
            let arguments: Vec<_> = [Path::new("sh").as_os_str()].into_iter().chain(arguments).collect();
            command::run(doing, "fakeroot", &arguments)?;
        }
        Ok(())
    })?;
    Ok(Base { image, packages })
}

/// Folder of the kernel's modules.
fn modules() -> Result<PathBuf> {
    let version = command::run("ask User-Mode Linux for its version", "linux.uml", &["--version"])?;
    let folder = Path::new(MODULES).join(version.trim());
    if !folder.is_dir() {
        bail!(
            "{} isn't there: without its modules the kernel has no DRBD. Reinstall the package user-mode-linux.",
            folder.display()
        );
    }
    Ok(folder)
}

/// A machine's two disks: files without a name, which the kernel removes when this process ends, however it ends.
#[derive(Debug)]
pub(super) struct Disks {
    root: File,
    data: File,
}

impl Disks {
    /// Size of a data disk in MiB: one more than the partitions need, since the first one starts behind the first MiB.
    pub(super) fn data_mib(wish: &Wish) -> u64 {
        1 + 2 * SMALL_MIB + wish.data_mib + 1
    }

    /// New disks: a copy of the image, and an empty data disk with partitions. The data disk is made in `memory`: each
    /// write that the peer has to confirm is a flush, and a host whose own disk is busy would hold up both machines for
    /// longer than DRBD waits.
    pub(super) fn new(image: &Path, wish: &Wish, memory: &Path) -> Result<Disks> {
        let nameless = |folder: &Path| {
            tempfile::tempfile_in(folder).with_context(|| format!("create a disk in {}", folder.display()))
        };
        let disks = Disks { root: nameless(&wish.scratch)?, data: nameless(memory)? };
        let arguments = [image.to_string_lossy().into_owned(), path_of(&disks.root)];
        let sparse = ["--sparse=always".to_owned(), "--reflink=auto".to_owned()];
        command::run("copy the root file system", "cp", &[&sparse[..], &arguments[..]].concat())?;
        disks.data.set_len(Self::data_mib(wish) << 20).context("set the size of a data disk")?;
        let table = partitions(wish);
        command::run_with_input(
            "partition a data disk",
            "sfdisk",
            &["--quiet".to_owned(), path_of(&disks.data)],
            table.as_bytes(),
        )?;
        Ok(disks)
    }

    /// Path of the root disk, for as long as this process lives.
    pub(super) fn root(&self) -> String {
        path_of(&self.root)
    }

    /// Path of the data disk, for as long as this process lives.
    pub(super) fn data(&self) -> String {
        path_of(&self.data)
    }
}

/// A disk for both machines, without a name as the others: SBD takes a sector of it per node and a header (sbd(8)).
pub(super) fn shared(memory: &Path) -> Result<File> {
    let disk =
        tempfile::tempfile_in(memory).with_context(|| format!("create a shared disk in {}", memory.display()))?;
    disk.set_len(SHARED_MIB << 20).context("set the size of the shared disk")?;
    Ok(disk)
}

/// A path by which other processes of ours can open an open file or folder. Whatever its real name contains, this has
/// nothing in it that the kernel's command line would take for something else.
pub(super) fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// The data disk's partition table, for sfdisk.
fn partitions(wish: &Wish) -> String {
    let small = format!("size={SMALL_MIB}MiB, type=83\n");
    let third = if wish.leave_free { String::new() } else { format!("size={}MiB, type=83\n", wish.data_mib) };
    format!("label: dos\n{small}{small}{third}")
}

/// Writes what makes a machine itself to `<folder>/seed.tar`: its name, addresses and keys. `folder` is its own.
pub(super) fn seed(
    folder: &Path,
    wish: &Wish,
    machine: Machine,
    network: &Network,
    authorized: &str,
    host_key: &Path,
) -> Result<()> {
    let name = &wish.names[machine.index()];
    let mut interfaces = "auto lo\niface lo inet loopback\n".to_owned();
    for (number, bridge) in Bridge::ALL.into_iter().enumerate() {
        let address = network.address(bridge, machine);
        writeln!(interfaces, "\nauto vec{number}\niface vec{number} inet static\n    address {address}/24")?;
    }
    let hosts = format!(
        "127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n\n# The following lines are desirable for IPv6 capable hosts\n\
         ::1     localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
    );
    let id = random::hex::<16>().context("make up a machine-id")?;
    let private = fs::read_to_string(host_key).with_context(|| format!("read {}", host_key.display()))?;
    let public = public_key(host_key)?;
    let mut files = vec![
        ("etc/hostname", format!("{name}\n"), 0o644),
        ("etc/hosts", hosts, 0o644),
        ("etc/machine-id", format!("{id}\n"), 0o444),
        ("etc/network/interfaces", interfaces, 0o644),
        ("etc/ssh/ssh_host_ed25519_key", private, 0o600),
        ("etc/ssh/ssh_host_ed25519_key.pub", public, 0o644),
        ("root/.ssh/authorized_keys", authorized.to_owned(), 0o600),
    ];
    if wish.sbd {
        files.push(("etc/modules-load.d/watchdog.conf", "softdog\n".to_owned(), 0o644));
        // This kernel lets nobody disarm a watchdog unless it is told so: an orderly end of SBD would reset the machine.
        files.push(("etc/modprobe.d/watchdog.conf", "options softdog nowayout=0\n".to_owned(), 0o644));
    }
    for (name, text, mode) in &files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(*mode))
            .with_context(|| format!("protect {}", path.display()))?;
    }
    let secret = folder.join("root/.ssh");
    fs::set_permissions(&secret, Permissions::from_mode(0o700))
        .with_context(|| format!("protect {}", secret.display()))?;
    let (to, from) = (folder.join("seed.tar").display().to_string(), folder.display().to_string());
    // Only root/.ssh as a folder: the others are the image's, with their own modes.
    let mut arguments = vec!["--owner=0", "--group=0", "-C", &from, "-cf", &to, "root/.ssh"];
    arguments.extend(files.iter().map(|(name, _, _)| *name).filter(|name| !name.starts_with("root/")));
    command::run("pack what makes a machine itself", "tar", &arguments).map(drop)
}

/// Makes an SSH key without a passphrase.
pub(super) fn ssh_key(path: &Path, comment: &str) -> Result<()> {
    let path = path.to_string_lossy();
    command::run("make an SSH key", "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &path])
        .map(drop)
}

/// The public half of a key that [`ssh_key`] made.
pub(super) fn public_key(private: &Path) -> Result<String> {
    let path = private.with_extension("pub");
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

//! The machines' disks: a partition table, GRUB, an ext4 root and swap in one file, made without root and without loop
//! devices. The expensive part is kept in the cache; each run has a copy of its own per machine.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::super::lab::Wish;
use super::super::rootfs::{self, Hook};
use super::super::{cache, command, repository};
use super::emulator::found;

/// What makes it a machine with a disk that boots, beyond [`rootfs::SERVER`].
const MACHINE: &[&str] = &["grub-pc", "initramfs-tools", "linux-image-amd64", "zstd"];

const HOOKS: &[Hook] = &[
    // The disk that GRUB would be written to isn't there yet.
    Hook {
        when: "essential",
        command: r#"echo "grub-pc grub-pc/install_devices_empty boolean true" | chroot "$1" debconf-set-selections"#,
    },
    Hook { when: "customize", command: include_str!("tree.sh") },
];

const UNPACK: &str = include_str!("unpack.sh");

/// Where the first partition starts; GRUB's core image is in the gap before it.
const GAP_MIB: u64 = 1;
const ROOT_MIB: u64 = 6144;
const SWAP_MIB: u64 = 512;
const SHARED_MIB: u64 = 8;
/// As in `tree.sh`.
const SWAP_UUID: &str = "22222222-2222-4222-8222-222222222222";
/// Those of Debian 12, whatever the host's mke2fs takes by default: its GRUB has to read them.
const FEATURES: &str = "has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,\
                        huge_file,dir_nlink,extra_isize,metadata_csum";

const MIB: u64 = 1024 * 1024;
const SECTOR: u64 = 512;

/// How e2fsprogs' programs are told where in a disk image the root file system is.
pub(super) const OFFSET: u64 = GAP_MIB * MIB;

/// What both machines start from, in the cache.
#[derive(Debug)]
pub(super) struct Base {
    /// The disk as far as the end of the swap partition, with an empty partition table.
    disk: PathBuf,
    /// Folder with the packages that the machines may install.
    pub(super) packages: PathBuf,
}

/// Makes a small empty disk for both machines: SBD takes a sector of it per node and a header (sbd(8)).
pub(super) fn shared(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("shared.raw");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.set_len(SHARED_MIB * MIB).with_context(|| format!("set the size of {}", path.display()))?;
    Ok(path)
}

/// Finds the base in the cache or makes it; that needs the network.
pub(super) fn base(wish: &Wish, say: &dyn Fn(&str)) -> Result<Base> {
    let mut packages: Vec<&str> = rootfs::SERVER.iter().chain(MACHINE).copied().collect();
    packages.extend(wish.preinstalled.iter().map(String::as_str));
    let mut hooks = HOOKS.to_vec();
    if !wish.preinstalled.is_empty() {
        hooks.push(rootfs::HELD);
    }
    let tar = rootfs::tar(&wish.cache, &wish.release, &packages, &hooks, say)?;
    let offered: Vec<&str> = wish.offered.iter().map(String::as_str).collect();
    let packages = repository::folder(&wish.cache, &tar, &offered, say)?;
    let name = tar.file_name().unwrap_or_default().to_string_lossy();
    let layout = format!("{GAP_MIB} {ROOT_MIB} {SWAP_MIB} {SWAP_UUID} {FEATURES}");
    let disk = cache::entry(&wish.cache, "qemu-disk", ".raw", &[&name, &layout, UNPACK], say, |path| {
        say("making a disk that boots: ext4, swap and GRUB (half a minute, once)");
        build(&tar, path)
    })?;
    Ok(Base { disk, packages })
}

fn build(tar: &Path, path: &Path) -> Result<()> {
    let folder = path.parent().context("the cache has no folder")?;
    let tree =
        tempfile::Builder::new().prefix("qemu-tree").tempdir_in(folder).context("create a folder for the root tree")?;
    let disk = File::create(path).with_context(|| format!("create {}", path.display()))?;
    disk.set_len((GAP_MIB + ROOT_MIB + SWAP_MIB) * MIB).context("set the disk's size")?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (offset, size) = (OFFSET.to_string(), format!("{ROOT_MIB}M"));
    let (tree_path, tar, image) = (text(tree.path()), text(tar), text(path));
    let mut words = vec!["sh", "-c", UNPACK, "unpack.sh", &tree_path, &tar, &image, &offset, &size, FEATURES];
    if !rustix::process::geteuid().is_root() {
        words.insert(0, "fakeroot");
    }
    run_with_system_path("make the root file system", &words)?;
    let grub = |name: &str| -> Result<Vec<u8>> {
        let path = tree.path().join(name);
        fs::read(&path).with_context(|| format!("read GRUB's part {}", path.display()))
    };
    let (boot, core) = (grub("usr/lib/grub/i386-pc/boot.img")?, grub("boot/grub/i386-pc/core.img")?);
    if boot.len() < CODE || core.len() as u64 > (GAP_MIB * MIB) - SECTOR {
        bail!("GRUB's parts have unexpected sizes: boot.img {} bytes, core.img {} bytes", boot.len(), core.len());
    }
    // Both know each other's place already: boot.img loads sector 1, core.img goes on at sector 2.
    disk.write_all_at(&boot[..CODE], 0).context("write GRUB's first sector")?;
    disk.write_all_at(&core, SECTOR).context("write GRUB's core image")?;
    disk.write_all_at(&swap_header(folder)?, (GAP_MIB + ROOT_MIB) * MIB).context("write the swap's header")?;
    disk.sync_all().context("write the disk image")
}

/// The first page of a swap partition, by mkswap on an empty file of the same size.
fn swap_header(folder: &Path) -> Result<Vec<u8>> {
    let swap = tempfile::NamedTempFile::new_in(folder).context("create a file for the swap's header")?;
    swap.as_file().set_len(SWAP_MIB * MIB).context("set the swap's size")?;
    run_with_system_path("make the swap's header", &["mkswap", "-q", "-U", SWAP_UUID, &swap.path().to_string_lossy()])?;
    let mut page = vec![0; 4096];
    swap.as_file().read_exact_at(&mut page, 0).context("read the swap's header")?;
    Ok(page)
}

/// Makes a machine's own disk: a copy of the base, with the partition for DRBD, or room for it.
pub(super) fn copy(base: &Base, disk: &Path, wish: &Wish) -> Result<()> {
    let (from, to) = (base.disk.to_string_lossy(), disk.to_string_lossy());
    command::run("copy the base disk", "cp", &["--sparse=always", "--reflink=auto", &from, &to])?;
    let file = OpenOptions::new().write(true).open(disk).with_context(|| format!("open {}", disk.display()))?;
    let data_start = GAP_MIB + ROOT_MIB + SWAP_MIB;
    // One MiB more at the end, as disks usually have: their sizes aren't multiples of partitions.
    file.set_len((data_start + wish.data_mib + 1) * MIB).context("set the disk's size")?;
    let mut partitions = vec![
        Partition { active: true, kind: LINUX, start_mib: GAP_MIB, size_mib: ROOT_MIB },
        Partition { active: false, kind: SWAP, start_mib: GAP_MIB + ROOT_MIB, size_mib: SWAP_MIB },
    ];
    if !wish.leave_free {
        partitions.push(Partition { active: false, kind: LINUX, start_mib: data_start, size_mib: wish.data_mib });
    }
    file.write_all_at(&table(&partitions)?, CODE as u64).context("write the partition table")
}

/// Length of the boot code in a disk's first sector; the partition table follows.
const CODE: usize = 440;
const LINUX: u8 = 0x83;
const SWAP: u8 = 0x82;

struct Partition {
    active: bool,
    kind: u8,
    start_mib: u64,
    size_mib: u64,
}

/// A DOS partition table: the last 72 bytes of the first sector.
fn table(partitions: &[Partition]) -> Result<[u8; 72]> {
    let mut bytes = [0; 72];
    bytes[..4].copy_from_slice(&0xdeb1_2ab1_u32.to_le_bytes());
    for (entry, partition) in bytes[6..70].chunks_exact_mut(16).zip(partitions) {
        let sectors = |mib: u64| {
            u32::try_from(mib * MIB / SECTOR).context("a partition is too big for a DOS partition table (2 TiB)")
        };
        entry[0] = if partition.active { 0x80 } else { 0 };
        // Cylinders, heads and sectors can't express it; that is how one says so.
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[4] = partition.kind;
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&sectors(partition.start_mib)?.to_le_bytes());
        entry[12..].copy_from_slice(&sectors(partition.size_mib)?.to_le_bytes());
    }
    bytes[70..].copy_from_slice(&[0x55, 0xaa]);
    Ok(bytes)
}

/// Runs a program that may be in a folder which isn't in everybody's PATH.
pub(super) fn run_with_system_path(doing: &str, words: &[&str]) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let setting = format!("PATH={path}:/usr/sbin:/sbin");
    let name = words.first().copied().unwrap_or_default();
    if found(name).is_none() {
        bail!("{doing}: the program {name} isn't installed");
    }
    let all: Vec<&str> = std::iter::once(setting.as_str()).chain(words.iter().copied()).collect();
    command::run(doing, "env", &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_one_that_sfdisk_understands() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        let file = File::create(&disk).unwrap();
        file.set_len(64 * MIB).unwrap();
        let partitions = [
            Partition { active: true, kind: LINUX, start_mib: 1, size_mib: 20 },
            Partition { active: false, kind: SWAP, start_mib: 21, size_mib: 5 },
        ];
        file.write_all_at(&table(&partitions).unwrap(), CODE as u64).unwrap();
        if found("sfdisk").is_none() {
            return;
        }
        let dump = run_with_system_path("read a table", &["sfdisk", "-d", &disk.to_string_lossy()]).unwrap();
        assert!(dump.contains("label: dos"), "{dump}");
        let words: String = dump.split_whitespace().collect();
        assert!(words.contains("start=2048,size=40960,type=83,bootable"), "{dump}");
        assert!(words.contains("start=43008,size=10240,type=82"), "{dump}");
    }

    #[test]
    fn a_table_has_no_room_for_what_is_too_big() {
        assert!(table(&[Partition { active: false, kind: LINUX, start_mib: 1, size_mib: 3 * 1024 * 1024 }]).is_err());
    }
}

//! What a device may hold, made by the real tools.

use std::path::PathBuf;

use super::machine::{Disk, sh};

/// Name, the script that makes it on `$1`, and a word by which the refusal must call it.
pub(crate) const CONTENTS: [(&str, &str, &str); 12] = [
    ("ext4", "mkfs.ext4 -q -F -L home \"$1\"", "ext4 labelled \"home\""),
    ("xfs", "mkfs.xfs -q -f \"$1\"", "xfs"),
    ("btrfs", "mkfs.btrfs -q -f \"$1\" >/dev/null", "btrfs"),
    ("swap", "mkswap \"$1\" >/dev/null 2>&1", "swap space"),
    (
        "LVM PV",
        "pvcreate -y -ff --config 'devices { use_devicesfile=0 }' \"$1\" >/dev/null 2>&1",
        "an LVM physical volume",
    ),
    (
        "mdraid",
        "mdadm --create /dev/md127 --run --level=1 --raid-devices=2 --metadata=1.2 \"$1\" missing >/dev/null 2>&1; mdadm --stop /dev/md127 >/dev/null 2>&1",
        "a member of a software RAID",
    ),
    (
        "LUKS",
        "printf secret | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \"$1\" -",
        "a LUKS volume",
    ),
    (
        "OCFS2",
        "mkfs.ocfs2 -b 4K -C 4K -N 2 -L elsewhere --cluster-stack=o2cb --cluster-name=other \"$1\" >/dev/null 2>&1 </dev/null",
        "ocfs2 labelled \"elsewhere\"",
    ),
    (
        "MBR",
        "printf 'label: dos\\nsize=64MiB\\n' | sfdisk -q --no-reread \"$1\" 2>/dev/null",
        "a partition table (dos)",
    ),
    (
        "GPT",
        "printf 'label: gpt\\nsize=64MiB\\n' | sfdisk -q --no-reread \"$1\" 2>/dev/null",
        "a partition table (gpt)",
    ),
    (
        "foreign DRBD",
        "drbdmeta --force 99 v08 \"$1\" internal create-md >/dev/null 2>&1 </dev/null",
        "DRBD metadata that hapair did not make here",
    ),
    (
        "unknown data",
        "printf 'something' | dd of=\"$1\" bs=1 seek=700000 conv=notrunc 2>/dev/null",
        "data of an unknown kind",
    ),
];

/// The word by which the same is called in the free space of a disk, where it has no name of its own: `blkid`'s.
pub(crate) fn kind(name: &str) -> &str {
    match name {
        "LVM PV" => "LVM2_member",
        "mdraid" => "linux_raid_member",
        "LUKS" => "crypto_LUKS",
        "OCFS2" => "ocfs2",
        "MBR" => "dos",
        "GPT" => "gpt",
        "foreign DRBD" => "drbd",
        "unknown data" => "data of an unknown kind",
        name => name,
    }
}

/// xfs needs 300 MiB; of everything else 136 MiB hold the whole.
pub(crate) fn bytes(name: &str) -> u64 {
    if name == "xfs" { 320 << 20 } else { 136 << 20 }
}

/// An image of so many bytes with this content; made once.
pub(crate) fn image(name: &str, script: &str, bytes: u64) -> PathBuf {
    let path = PathBuf::from(format!("/tmp/guards/{}-{bytes}.image", name.replace(' ', "-")));
    if !path.exists() {
        let disk = Disk::new("image", bytes, None);
        sh(script, &[&disk.device]);
        sh("sync; cp --sparse=always \"$1\" \"$2\"", &["/tmp/guards/image.disk", path.to_str().unwrap()]);
    }
    path
}

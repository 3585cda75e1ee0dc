use super::*;
use crate::node::scripted::says;

// As the script, lsblk, blkid and find say it of a server with a SATA disk (GPT), an NVMe disk (DOS table, logical
// partitions), LVM on one partition, a USB stick without a table and an empty disk. sfdisk's lines are those of util-linux 2.38.
const BLOCKS: &str = include_str!("blocks.txt");
const LSBLK: &str = "NAME=\"sda\" SERIAL=\"S3Z9NB0K123456\" MODEL=\"Samsung SSD 860 EVO 500GB\" TRAN=\"sata\"\n\
    NAME=\"sdb\" SERIAL=\"\" MODEL=\"Ultra           \" TRAN=\"usb\"\n\
    NAME=\"nvme0n1\" SERIAL=\"BTNH9\" MODEL=\"INTEL SSDPEKNW512G8\" TRAN=\"nvme\"\nNAME=\"dm-0\" SERIAL=\"\" MODEL=\"\" TRAN=\"\"\n";
const BLKID: &str = "/dev/sda1: UUID=\"0c4a\" BLOCK_SIZE=\"4096\" TYPE=\"ext4\" PARTUUID=\"a1\"\n\
    /dev/sda2: LABEL=\"my data\" UUID=\"1d5b\" BLOCK_SIZE=\"4096\" TYPE=\"ext4\" PARTUUID=\"a2\"\n\
    /dev/sda4: UUID=\"lvm1\" TYPE=\"LVM2_member\" PARTUUID=\"a4\"\n\
    /dev/nvme0n1p1: UUID=\"2e6c\" TYPE=\"swap\" PARTUUID=\"b1\"\n\
    /dev/sdb: LABEL=\"STICK\" UUID=\"12-34\" BLOCK_SIZE=\"512\" TYPE=\"vfat\"\n\
    /dev/mapper/vg0-data: UUID=\"3f7d\" BLOCK_SIZE=\"4096\" TYPE=\"xfs\"\n";
const BY_ID: &str = "ata-Samsung_SSD_860_EVO_500GB_S3Z9NB0K123456 ../../sda\nata-Samsung_SSD_860_EVO_500GB_S3Z9NB0K123456-part2 ../../sda2\nwwn-0x5002538e40 ../../sda\n";
const USES: &str = "==> /proc/self/mountinfo <==\n\
    25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
    30 25 254:0 / /srv/my\\040data rw,relatime shared:2 - xfs /dev/mapper/vg0-data rw\n\n\
    ==> /proc/mounts <==\n/dev/root / ext4 rw,relatime 0 0\n/dev/mapper/vg0-data /srv/my\\040data xfs rw 0 0\n\n\
    ==> /proc/swaps <==\nFilename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/nvme0n1p1                          partition\t1046524\t\t0\t\t-2\n";

fn found() -> Blocks {
    parse(&[BLOCKS, LSBLK, BLKID, BY_ID, USES].map(says))
}

fn disk<'a>(blocks: &'a Blocks, name: &str) -> &'a Disk {
    blocks.disks.iter().find(|disk| disk.name == name).expect(name)
}

#[test]
fn a_gpt_disk_shows_what_it_holds_and_its_room() {
    let blocks = found();
    let names: Vec<&str> = blocks.disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["nvme0n1", "sda", "sdb", "sdc"]);
    let sda = disk(&blocks, "sda");
    assert_eq!((sda.model.as_str(), sda.serial.as_str()), ("Samsung SSD 860 EVO 500GB", "S3Z9NB0K123456"));
    assert_eq!((sda.table.as_str(), sda.transport.as_str(), sda.rotational), ("gpt", "sata", Some(false)));
    assert_eq!(sda.by_id, ["ata-Samsung_SSD_860_EVO_500GB_S3Z9NB0K123456", "wwn-0x5002538e40"]);
    let told: Vec<(&str, String, String)> =
        sda.parts.iter().map(|part| (part.path.as_str(), part.content.words(), part.uses.join(", "))).collect();
    assert_eq!(
        told,
        [
            ("/dev/sda1", "ext4".to_owned(), "mounted on /".to_owned()),
            ("/dev/sda2", "ext4 'my data'".to_owned(), String::new()),
            ("/dev/sda4", "LVM2_member".to_owned(), "held by vg0-data".to_owned()),
        ]
    );
    assert_eq!(sda.parts[1].by_id, ["ata-Samsung_SSD_860_EVO_500GB_S3Z9NB0K123456-part2"]);
    let gib = 1 << 30;
    assert_eq!(sda.gaps.len(), 2, "{:?}", sda.gaps);
    assert_eq!((sda.gaps[0].bytes, sda.gaps[0].last), (10 * gib, false));
    assert_eq!((sda.room(), sda.next_number(), sda.partition_path(5).as_str()), (434_954 * MIB, 5, "/dev/sda5"));
}

#[test]
fn a_dos_table_with_logical_partitions_is_understood() {
    let blocks = found();
    let nvme = disk(&blocks, "nvme0n1");
    assert_eq!((nvme.table.as_str(), nvme.next_number()), ("dos", 3));
    assert_eq!(nvme.partition_path(3), "/dev/nvme0n1p3");
    let shapes: Vec<(u32, bool, u64)> =
        nvme.parts.iter().map(|part| (part.number, part.extended, part.bytes >> 20)).collect();
    assert_eq!(shapes, [(1, false, 1024), (2, true, 4096), (5, false, 2048)]);
    assert_eq!(nvme.parts[0].uses, ["swap space"]);
    // The room inside the extended partition is not told as a gap; the one behind it is.
    assert_eq!(nvme.gaps, [Gap { start: 5121 << 20, bytes: (10240 - 5121) << 20, last: true }]);
}

#[test]
fn a_stick_without_a_table_and_an_empty_disk_differ() {
    let blocks = found();
    let stick = disk(&blocks, "sdb");
    assert!(stick.removable && stick.gaps.is_empty() && stick.content.words() == "vfat 'STICK'");
    assert_eq!(stick.serial, "");
    let empty = disk(&blocks, "sdc");
    assert_eq!((empty.table.as_str(), empty.content.kind.as_str(), empty.room()), ("", "", (1 << 30) - MIB));
    // lsblk knows nothing of it: sysfs does.
    assert_eq!((empty.serial.as_str(), empty.model.as_str()), ("VB12", "VBOX HARDDISK"));
}

#[test]
fn a_logical_volume_is_a_volume() {
    let blocks = found();
    let [volume] = &blocks.volumes[..] else { panic!("{:?}", blocks.volumes) };
    assert_eq!((volume.path.as_str(), volume.kind.as_str(), volume.bytes), ("/dev/mapper/vg0-data", "lvm", 20 << 30));
    assert_eq!((volume.on.join(" "), volume.uses.join(" ")), ("sda4".to_owned(), "mounted on /srv/my data".to_owned()));
    assert_eq!(volume.content.kind, "xfs");
}

#[test]
fn without_tools_sysfs_tells_the_sizes() {
    let without: String =
        BLOCKS.lines().filter(|line| !line.contains("\ttable\t")).flat_map(|line| [line, "\n"]).collect();
    let blocks = parse(&[says(without)]);
    let sda = disk(&blocks, "sda");
    assert_eq!((sda.parts.len(), sda.table.as_str(), sda.gaps.len()), (3, "", 0));
    assert!(parse(&[]).disks.is_empty());
}

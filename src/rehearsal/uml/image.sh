# Makes the root file system of the lab's machines: image.sh ROOTFS-TAR MODULES-FOLDER INIT-SCRIPT TREE IMAGE SIZE
# Run by root, or by anybody under fakeroot: nothing here needs a loop device or a mount.
set -eu
# depmod and mke2fs live there, and not every user has it in PATH.
PATH=$PATH:/usr/sbin:/sbin
rootfs=$1 modules=$2 init=$3 tree=$4 image=$5 size=$6
rm -rf "$tree"
mkdir -p "$tree"
tar -C "$tree" --numeric-owner -xf "$rootfs"
version=$(basename "$modules")
mkdir -p "$tree/lib/modules"
cp -r "$modules" "$tree/lib/modules/$version"
depmod -b "$tree" "$version"
install -m 755 "$init" "$tree/sbin/hapair-init"
echo '/dev/ubda / ext4 errors=remount-ro 0 1' > "$tree/etc/fstab"
# Packages come from a folder of the host that hapair-init mounts: no network, no mirror.
rm -rf "$tree"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/packages ./' > "$tree/etc/apt/sources.list"
rm -rf "$tree"/var/lib/apt/lists/*
# Each machine gets its own keys and its own machine-id from the seed.
rm -f "$tree"/etc/ssh/ssh_host_*
: > "$tree/etc/machine-id"
mkdir -p "$tree/etc/ssh/sshd_config.d"
printf 'PermitRootLogin prohibit-password\nUseDNS no\n' > "$tree/etc/ssh/sshd_config.d/lab.conf"
# Work that a server does once a day would start with the first boot here and hold dpkg's lock.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer man-db.timer; do
    ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done
rm -f "$image"
truncate -s "$size" "$image"
# The journal and inode tables are initialised now: a machine must not spend its first minutes on that.
mke2fs -q -F -t ext4 -L root -E lazy_itable_init=0,lazy_journal_init=0 -d "$tree" "$image"
rm -rf "$tree"

# Run by mmdebstrap, with the root tree's path as $1: what Debian's installer would have left on the disk, except for
# what differs from machine to machine.
set -eu
tree=$1

cat > "$tree/etc/fstab" <<'END'
UUID=11111111-1111-4111-8111-111111111111 / ext4 errors=remount-ro 0 0
UUID=22222222-2222-4222-8222-222222222222 none swap sw 0 0
END

# The messages of GRUB, the kernel and Xen go to the serial port: that is the console that is kept. Measures against
# curious neighbours on the same processor cost time, and there are none here.
cat > "$tree/etc/default/grub" <<'END'
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200 mitigations=off"
GRUB_CMDLINE_XEN="console=com1 com1=115200,8n1 spec-ctrl=no"
GRUB_CMDLINE_LINUX_XEN_REPLACE="console=hvc0"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --speed=115200"
END

# An initramfs with the drivers that these machines need ("targeted", in the words of Debian's installer). With all drivers
# an emulated machine needs ten minutes to make one, and packages have it made again. `dep` looks at the running system,
# so it's for later; here the drivers are listed.
printf '%s\n' virtio_pci virtio_scsi sd_mod ext4 >> "$tree/etc/initramfs-tools/modules"
echo MODULES=list > "$tree/etc/initramfs-tools/conf.d/driver-policy"
chroot "$tree" update-initramfs -u -k all
echo MODULES=dep > "$tree/etc/initramfs-tools/conf.d/driver-policy"

# What grub-install leaves, made without a disk: its modules, its core image (which is copied to the disk's first
# sectors later) and a first menu that `update-grub` replaces.
mkdir -p "$tree/boot/grub/i386-pc"
cp "$tree"/usr/lib/grub/i386-pc/*.mod "$tree"/usr/lib/grub/i386-pc/*.lst "$tree/boot/grub/i386-pc/"
chroot "$tree" grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /boot/grub/i386-pc/core.img \
    biosdisk part_msdos ext2 search_fs_uuid
kernel=$(basename "$tree"/boot/vmlinuz-*)
cat > "$tree/boot/grub/grub.cfg" <<END
serial --speed=115200
terminal_output serial console
set timeout=0
menuentry 'Debian' {
    insmod ext2
    linux /boot/$kernel root=UUID=11111111-1111-4111-8111-111111111111 ro console=tty0 console=ttyS0,115200 mitigations=off
    initrd /boot/initrd.img-${kernel#vmlinuz-}
}
END
# Later versions of grub-pc ask where to install themselves, unless they know.
chroot "$tree" debconf-set-selections <<'END'
grub-pc grub-pc/install_devices multiselect /dev/sda
grub-pc grub-pc/install_devices_empty boolean false
END

# Chores of machines that live longer than an hour, and hardware that these machines don't have or don't use: an emulated
# processor, under Xen above all, has minutes to do with them at each boot.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer logrotate.timer man-db.timer systemd-binfmt.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service sys-fs-fuse-connections.mount modprobe@fuse.service modprobe@drm.service \
    modprobe@efi_pstore.service modprobe@dm_mod.service getty@tty1.service; do
    ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done
for module in aesni_intel ata_generic ata_piix crc32_pclmul evdev floppy ghash_clmulni_intel i2c_piix4 pcspkr serio_raw sg \
    sha1_ssse3 sha256_ssse3 sha512_ssse3; do
    echo "blacklist $module"
done > "$tree/etc/modprobe.d/rehearsal.conf"

# An emulated node that boots under Xen has more to do than it can: Pacemaker ends its own parts when they don't answer for
# some seconds, and the peer switches such a node off again. So the cluster starts once the rest of the boot is over.
install -d "$tree/etc/systemd/system/corosync.service.d"
cat > "$tree/etc/systemd/system/corosync.service.d/rehearsal.conf" <<'END'
[Service]
ExecStartPre=-/bin/sh -c '[ "$$(systemctl is-system-running)" = starting ] || exit 0; tries=0; while read -r load rest </proc/loadavg && [ "$${load%%.*}" -gt 0 ] && [ $$tries -lt 24 ]; do sleep 10; tries=$$((tries + 1)); done'
TimeoutStartSec=15min
END

# root logs in with the lab's key; each machine gets its own keys later.
install -d -m 700 "$tree/root/.ssh"
rm -f "$tree"/etc/ssh/ssh_host_*
# The host's own name server is of no use inside.
rm -f "$tree/etc/resolv.conf"
echo 'nameserver 10.0.2.3' > "$tree/etc/resolv.conf"

#!/bin/sh
# First process of the machine of tests/guards.rs: a Linux kernel in a process, whose root is the host's own file system.
# What is written goes to file systems in its memory. HAPAIR_GUARDS: folder for the result; HAPAIR_TEST: the test program.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev 2>/dev/null
mount -t tmpfs none /run
# It may be below one of the folders that are covered now.
cp "$HAPAIR_TEST" /run/guards
for folder in /tmp /var /root /mnt; do mount -t tmpfs -o mode=1777 none $folder; done
mkdir -p /run/lock /run/lvm /run/cryptsetup /var/lib /var/lock /dev/disk/by-id /tmp/guards
hostname node1
ip link set lo up
modules=$(echo /usr/lib/uml/modules/*/kernel)
for module in drivers/block/loop lib/lru_cache drivers/block/drbd/drbd drivers/md/md-mod drivers/md/raid1 drivers/md/dm-mod \
    crypto/af_alg crypto/algif_hash crypto/algif_skcipher crypto/cbc crypto/ecb crypto/gf128mul crypto/xts; do
    [ ! -e "$modules/$module.ko" ] || insmod "$modules/$module.ko" || echo "insmod $module failed"
done
cd /tmp/guards
/run/guards --ignored --exact inside --nocapture --test-threads=1
echo "guards: exit $?"
sync
echo o >/proc/sysrq-trigger
sleep 60

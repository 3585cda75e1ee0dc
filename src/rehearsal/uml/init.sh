#!/bin/sh
# First process of a machine of the lab. The kernel hands its unknown arguments over as variables: hapair_seed and
# hapair_packages are folders of the host. The image is the same for both machines; what makes one node1 is in the seed.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
if [ ! -e /etc/ssh/ssh_host_ed25519_key ]; then
    mount -t hostfs none /mnt -o "$hapair_seed" && tar -C / -xpf /mnt/seed.tar
    umount /mnt
fi
mkdir -p /srv/packages
mount -r -t hostfs none /srv/packages -o "$hapair_packages"
# No more on the way than the socket behind each interface can hold: see network.rs.
mount -t proc none /proc
echo 4096 65536 131072 > /proc/sys/net/ipv4/tcp_rmem
umount /proc
# All disks tell of finished requests through one pipe, and the kernel now and then misses what is in it until there is
# more: so there is more, ten times a second. Each time another page, since one that was read before comes from memory.
perl -e 'open my $disk, "<", "/dev/ubda" or exit 1;
    my $page;
    for (my $n = 0; ; $n++) { sysseek $disk, ($n * 1052672) % 4290772992, 0; sysread $disk, $page, 4096; select undef, undef, undef, 0.1 }' &
unset hapair_seed hapair_packages
exec /sbin/init

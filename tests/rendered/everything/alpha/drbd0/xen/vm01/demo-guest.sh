#!/bin/sh
# Makes the demo guest vm01 on a Debian node: the node's own kernel, and an initramfs that every two seconds
# writes "tick N uptime U boot_id B" to the start of its disk. Whoever reads that line in dom0
# (head -n 1 /drbd0/xen/vm01/vm01-disk0.img) sees whether the guest lives, and whether it is still the same
# one after a migration: boot_id stays, uptime and N go on.
#
# Needs: busybox-static (or busybox), cpio, kmod, and the running kernel's modules. Run it on one node, as root, with
# the shared file system mounted. It may be run again; a disk that exists is left alone.
set -eu

name='vm01'
dir='/drbd0/xen/vm01'
disk_mib='1024'

kernel=$(uname -r)
busybox=$(command -v busybox) || { echo "demo guest: busybox is missing: apt-get install busybox-static" >&2; exit 1; }
command -v cpio >/dev/null || { echo "demo guest: cpio is missing: apt-get install cpio" >&2; exit 1; }

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/bin" "$tree/sbin" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/modules"
cp "$busybox" "$tree/bin/busybox"
# busybox-static names no libraries here; the other busybox needs its own.
for library in $(ldd "$busybox" 2>/dev/null | grep -o '/[^ )]*'); do
    mkdir -p "$tree$(dirname "$library")"
    cp -L "$library" "$tree$library"
done

# The disk's driver, with what it depends on, in the order in which it has to be loaded; unpacked where the
# distribution compresses modules. A kernel that has it built in lists none.
number=10
for module in $(modprobe --set-version "$kernel" --show-depends xen-blkfront | sed -n 's/^insmod \([^ ]*\).*/\1/p'); do
    target="$tree/modules/$number-$(basename "$module" | sed 's/\.ko.*/.ko/')"
    case $module in
        *.xz) "$busybox" xzcat "$module" ;;
        *.zst) zstd -qdc "$module" ;;
        *.gz) gzip -dc "$module" ;;
        *) cat "$module" ;;
    esac > "$target"
    number=$((number + 1))
done

cat > "$tree/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
for module in /modules/*.ko; do
    [ ! -e "$module" ] || /bin/busybox insmod "$module"
done
read -r boot_id < /proc/sys/kernel/random/boot_id
n=0
while :; do
    read -r uptime rest < /proc/uptime
    # A whole sector, so that no older line shows behind a shorter one.
    if [ -b /dev/xvda ]; then
        printf '%-511s\n' "tick $n uptime $uptime boot_id $boot_id" > /dev/xvda
        /bin/busybox sync
        n=$((n + 1))
        [ $((n % 30)) != 1 ] || echo "demo guest: tick $n uptime $uptime"
    else
        echo "demo guest: waiting for /dev/xvda"
    fi
    /bin/busybox sleep 2
done
END
# The kernel starts these when Xen asks for a shutdown or a reboot; without them `xl shutdown` waits in vain.
for verb in poweroff reboot halt; do
    printf '#!/bin/busybox sh\n/bin/busybox sync\nexec /bin/busybox %s -f\n' "$verb" > "$tree/sbin/$verb"
done
chmod 755 "$tree/init" "$tree/sbin/poweroff" "$tree/sbin/reboot" "$tree/sbin/halt"

mkdir -p "$dir"
(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) > "$dir/initrd.img.new"
cp "/boot/vmlinuz-$kernel" "$dir/vmlinuz.new"
# Into place only when whole: the guest may be started at any moment, from either node.
mv "$dir/initrd.img.new" "$dir/initrd.img"
mv "$dir/vmlinuz.new" "$dir/vmlinuz"
[ -e "$dir/$name-disk0.img" ] || truncate -s "${disk_mib}M" "$dir/$name-disk0.img"
sync "$dir/initrd.img" "$dir/vmlinuz" "$dir/$name-disk0.img"

# kill_qemu.sh FILE VM : kills the QEMU of this VM, as libvirt has started it, whose number is in FILE, if that is it.
read -r pid <"$1" || exit 1
tr '\0' '\n' <"/proc/$pid/cmdline" | grep -Eq "^guest=$2(,|\$)" || { echo "process $pid is not $2" >&2; exit 1; }
kill -KILL "$pid"

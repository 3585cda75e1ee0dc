# What SBD is set to on this node, what its disks say and what of it runs, a fact a line; `end` comes last. It only reads.
# softdog.sh stands before it.
settings=/etc/default/sbd devices= watchdog=/dev/watchdog blank='[! 	]'
set -f
if command -v sbd >/dev/null; then
	echo installed
elif ! [ -e "$settings" ]; then
	# Most pairs have none of it, and are looked at as often.
	echo end
	exit 0
fi
if [ -e "$settings" ] && ! [ -r "$settings" ]; then
	echo unread
elif [ -e "$settings" ]; then
	# As systemd reads it (EnvironmentFile of systemd.exec(5)): the last line of a name counts, and quotes are none of the value.
	while IFS= read -r line || [ -n "$line" ]; do
		line=${line#"${line%%$blank*}"}
		case $line in SBD_*=*) ;; *) continue ;; esac
		key=${line%%=*} value=${line#*=}
		value=${value%"${value##*$blank}"}
		case $value in
		'"'*'"' | "'"*"'")
			value=${value#?}
			value=${value%?}
			;;
		esac
		printf 'setting %s=%s\n' "$key" "$value"
		case $key in
		SBD_DEVICE) devices=$value ;;
		SBD_WATCHDOG_DEV) watchdog=$value ;;
		esac
	done <"$settings"
fi
before=$IFS
IFS=';'
set -- $devices
IFS=$before
for disk; do
	disk=${disk#"${disk%%$blank*}"}
	disk=${disk%"${disk##*$blank}"}
	[ -n "$disk" ] || continue
	printf 'disk %s\n' "$disk"
	if header=$(timeout 15 sbd -d "$disk" dump 2>/dev/null); then
		printf '%s\n' "$header" | sed 's/^/header /'
		slots=$(timeout 15 sbd -d "$disk" list 2>/dev/null) && printf '%s\n' "$slots" | sed 's/^/slot /' || echo lost
		continue
	fi
	# The first eight bytes of a header are SBD_SBD_. Past the kernel's cache: a disk that failed may still be in it.
	magic=$(timeout 15 dd if="$disk" bs=4096 count=1 iflag=direct 2>/dev/null | od -An -tx1 -N8)
	case $magic in
	'' | *'53 42 44 5f 53 42 44 5f'*) echo lost ;;
	*) echo gone ;;
	esac
done
set +f
# Each process of SBD says in its name what it is.
grep -sa '^sbd: ' /proc/[0-9]*/cmdline | tr -d '\000' | while IFS= read -r line; do
	printf 'process %s\n' "${line#*:}"
	case $line in
	*':sbd: inquisitor'*) readlink "${line%%cmdline:*}fd/"* 2>/dev/null | grep '^/dev/watchdog' | sed 's/^/holds /' ;;
	esac
done
printf 'watchdog %s\n' "$(readlink -f "$watchdog")"
! softdog "$watchdog" || echo softdog
echo end
exit 0

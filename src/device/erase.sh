
# Behind the guard and after $device, $records, $consent and $name are set: empties the device. What goes is kept: the
# first and the last MiB, the partition table, and what was found.
n=1
while [ -e "$records/erased-$name-$n.txt" ]; do n=$((n + 1)); done
keep=$records/erased-$name-$n
bytes=$(printf '%s\n' "$now" | sed -n 's/^size=//p')
tail=$((bytes / 1048576 - 1))
rest=$((bytes - (tail + 1) * 1048576))
rm -f "$keep.sfdisk"
if command -v sfdisk >/dev/null 2>&1; then sfdisk -d "$device" >"$keep.sfdisk" 2>/dev/null || rm -f "$keep.sfdisk"; fi
dd if="$device" of="$keep.head" bs=1M count=1 2>/dev/null &&
	dd if="$device" of="$keep.tail" bs=1M skip=$tail 2>/dev/null &&
	printf '%s\nconsent=%s\ntime=%s\n' "$now" "$consent" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$keep.new" && sync &&
	mv "$keep.new" "$keep.txt" && sync ||
	{ echo "the first and last MiB of $device could not be saved as $keep.*; nothing was written to it" >&2; exit 1; }
[ "$(wc -c <"$keep.head")" -eq 1048576 ] && [ "$(wc -c <"$keep.tail")" -eq $((1048576 + rest)) ] ||
	{ echo "$keep.* are not whole; nothing was written to $device" >&2; exit 1; }
# wipefs opens the device exclusively: it fails, before anything is written, if somebody has taken it meanwhile.
if command -v wipefs >/dev/null 2>&1; then wipefs -q -a "$device" || exit 1; fi
dd if=/dev/zero of="$device" bs=1M count=1 conv=notrunc 2>/dev/null || exit 1
dd if=/dev/zero of="$device" bs=1M seek=$tail count=1 conv=notrunc 2>/dev/null || exit 1
[ $rest -eq 0 ] || dd if=/dev/zero of="$device" bs=512 seek=$(((tail + 1) * 2048)) count=$((rest / 512)) conv=notrunc 2>/dev/null || exit 1
sync

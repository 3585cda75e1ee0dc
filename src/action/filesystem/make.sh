
# Behind the guard: $1 device, $3 resource, $5 label, $6 cluster, $7 stack, $8 slots, $9 usage or nothing, $10 consent or
# nothing; $now is what the probe said. The UUID is chosen and noted before mkfs writes: a superblock that carries it and was
# never noted as made is the rest of an interrupted mkfs, on which nothing can have been stored.
device=$1 resource=$3 name=$3-filesystem label=$5 cluster=$6 stack=$7 slots=$8 usage=$9
shift 9
consent=$1
records=/var/lib/hapair
umask 077
mkdir -p $records || exit 1
note() {
	printf '%s\n' "$2" >"$records/ocfs2-$resource.new" && sync "$records/ocfs2-$resource.new" &&
		mv "$records/ocfs2-$resource.new" "$records/ocfs2-$resource.$1" && sync $records
}
if [ -n "$consent" ]; then
	:
	#ERASE#
elif hapair_attr "$records/ocfs2-$resource.making"; then
	# Of an interrupted mkfs.
	if command -v wipefs >/dev/null 2>&1; then wipefs -q -a -t ocfs2 "$device" || exit 1; fi
fi
if [ -n "$stack" ]; then
	IFS= read -r uuid </proc/sys/kernel/random/uuid
	uuid=$(printf '%s' "$uuid" | tr -d - | tr a-f A-F)
else
	# mkfs.ocfs2 of 1.3 takes no UUID: it is read when it is done.
	uuid=unknown
fi
note making "$uuid" || exit 1
set -- -b 4K -N "$slots" -L "$label"
[ "$uuid" = unknown ] || set -- "$@" -U "$uuid"
if [ -n "$usage" ]; then set -- "$@" -T "$usage"; else set -- "$@" -C 4K; fi
[ -n "$stack" ] && set -- "$@" --cluster-stack="$stack" --cluster-name="$cluster"
mkfs.ocfs2 "$@" "$device" </dev/null || exit $?
sync
if [ "$uuid" = unknown ]; then
	uuid=$(debugfs.ocfs2 -n -R "stats -h" "$device" 2>/dev/null | sed -n 's/^[[:space:]]*UUID: *//p' | tr -d -)
	[ -n "$uuid" ] || { echo "no OCFS2 is seen on $device after mkfs.ocfs2" >&2; exit 1; }
fi
note made "$uuid" && rm -f "$records/ocfs2-$resource.making"


# Behind the guard: $1 device, $2 its disk, $3 resource, $4 minor, $5 dialect, $6 consent; $now is what the probe said.
# The record `making` is written before drbdmeta writes, and `made` after it: a power cut in between leaves a device
# that is known to hold nothing but our own unfinished metadata, so that the same command may go on. The metadata's
# device UUID stays the same for its whole life, so it tells our metadata from anybody else's, attached or not.
device=$1 resource=$3 name=$3 minor=$4 dialect=$5 consent=$6
records=/var/lib/hapair
umask 077
mkdir -p $records || exit 1
note() {
	printf '%s\n' "$2" >"$records/drbd-$resource.new" && sync "$records/drbd-$resource.new" &&
		mv "$records/drbd-$resource.new" "$records/drbd-$resource.$1" && sync $records
}
adm() {
	if [ "$dialect" = 8.0 ] && [ "$1" = create-md ]; then drbdadm -- --force create-md "$2"
	elif [ "$1" = create-md ]; then drbdadm create-md --force "$2"
	else drbdadm "$@"; fi </dev/null
}
record() {
	uuid=$(hapair_signatures "$device" "$minor" | sed -n 's/^sig=[^,]*,\([0-9A-Fa-f]*\),.*,drbd$/\1/p' | head -n 1)
	[ -n "$uuid" ] || { echo "no DRBD metadata is seen on $device" >&2; exit 1; }
	real=$(readlink -f "$device")
	disk=$(printf '%s\n' "$now" | sed -n 's/^disk=//p')
	# From now on no consent by one of these names is good any more.
	names=$(hapair_identities "$disk" "${real#/dev/}" | sed -n 's/^serial=\(.*[^ ]\) *$/\1/p; s/^link=\([^ ]*\) .*/\1/p')
	note spent "$names" && note made "$uuid" && rm -f "$records/drbd-$resource.making"
}

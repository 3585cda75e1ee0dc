# cut.sh VICTIM FILE SECONDS LINK UNLINK OWN PEER WHAT... : runs on the other node. LINK cuts WHAT of PEER for SECONDS at most,
# by itself it ends then; UNLINK takes that back before. Nobody orders anything: it waits until the cluster has switched VICTIM
# off. FILE, below /var/lib/hapair, is the attempt's.
victim=$1 file=$2 seconds=$3 link=$4 unlink=$5 own=$6
shift 6
note() { printf '%s\n' "$1" >>"/var/lib/hapair/$file" && sync "/var/lib/hapair/$file"; }
last() {
	stonith_admin --history "$victim" --verbose --output-as=xml 2>/dev/null | grep '<fence_event ' | grep 'status="success"' |
		sed -n "/ target=\"$victim\"/s/.* completed=\"\([^\"]*\)\".*/\1/p" | sort | tail -n 1
}
before=$(last)
note ordered=yes || exit 1
read -r began _ </proc/uptime
began=${began%.*}
said=$(sh -c "$link" sh "$seconds" "$@" 2>&1) || {
	# No tool for it, or filters of somebody's own: then it is proved by order alone.
	note ordered=no
	note "cut-not=$(printf '%s' "${said:-tc can not cut it}" | tr '\n' ' ')"
	exit 0
}
while :; do
	read -r now _ </proc/uptime
	took=$((${now%.*} - began)) after=$(last)
	[ -z "$after" ] || [ "$after" = "$before" ] || break
	if [ "$took" -ge "$seconds" ]; then
		sh -c "$unlink" sh "$own" >/dev/null
		note ordered=no
		echo "the cluster link was cut for $seconds s, and the cluster did not switch $victim off; its fencing devices said:" >&2
		stonith_admin --history "$victim" --verbose 2>/dev/null | tail -n 3 >&2
		grep -hE 'stonith-ng|fenced' /var/log/pacemaker/pacemaker.log 2>/dev/null | grep -iE 'error|warning' | tail -n 4 >&2
		exit 1
	fi
	sleep 1
done
# First of all: whoever was switched off comes back, and is to find its peer.
sh -c "$unlink" sh "$own" >/dev/null
note "seconds=$took"
exit 0

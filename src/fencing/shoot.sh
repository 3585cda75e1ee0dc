# $1 victim, $2 the attempt's file below /var/lib/hapair. Runs on the other node, and returns when the cluster says that
# the victim was switched off. That it was ordered is on disk before: if this node goes down instead, that tells why.
note() { printf '%s\n' "$1" >>"/var/lib/hapair/$2" && sync "/var/lib/hapair/$2"; }
note ordered=yes "$2" || exit 1
read -r began _ </proc/uptime
# Twice what the cluster itself allows: the delay of the device counts, and an emulated machine takes two minutes for an order.
stonith_admin --reboot "$1" --timeout 240 || {
	code=$?
	note ordered=no "$2"
	echo "the cluster could not switch $1 off; its fencing devices said:" >&2
	stonith_admin --history "$1" --verbose 2>/dev/null | tail -n 3 >&2
	grep -hE 'stonith-ng|fenced' /var/log/pacemaker/pacemaker.log 2>/dev/null | grep -iE 'error|warning' | tail -n 4 >&2
	exit "$code"
}
read -r ended _ </proc/uptime
note "seconds=$((${ended%.*} - ${began%.*}))" "$2"
exit 0

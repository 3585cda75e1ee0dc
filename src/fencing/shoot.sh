# $1 victim, $2 the attempt's file below /var/lib/hapair. Runs on the other node, and returns when the cluster says that
# the victim was switched off.
read -r began _ </proc/uptime
stonith_admin --reboot "$1" --timeout 120 || {
	code=$?
	echo "the cluster could not switch $1 off; its fencing devices said:" >&2
	stonith_admin --history "$1" --verbose 2>/dev/null | tail -n 3 >&2
	grep -hE 'stonith-ng|fenced' /var/log/pacemaker/pacemaker.log 2>/dev/null | grep -iE 'error|warning' | tail -n 4 >&2
	exit "$code"
}
read -r ended _ </proc/uptime
[ -w "/var/lib/hapair/$2" ] && printf 'seconds=%s\n' "$((${ended%.*} - ${began%.*}))" >>"/var/lib/hapair/$2"
exit 0

# managed ID: Pacemaker runs on this node, or is about to while the node boots, and its CIB has this resource. Then it is
# Pacemaker that acts, and we wait: two that start the same thing at once make each other fail.
# But while hapair holds the cluster back (`hapair-takeover`, its own maintenance mode) nothing would come of waiting: a
# node that lost its power in the middle of a takeover gets back by us what it had.
managed() {
	grep -qF -e "id=\"$1\"" /var/lib/pacemaker/cib/cib.xml 2>/dev/null || return 1
	! grep -qF -e 'id="hapair-takeover"' /var/lib/pacemaker/cib/cib.xml || return 1
	pidof pacemakerd >/dev/null 2>&1 && return 0
	command -v systemctl >/dev/null 2>&1 && systemctl is-enabled -q pacemaker 2>/dev/null || return 1
	case $(systemctl is-system-running 2>/dev/null) in
	initializing | starting) return 0 ;;
	esac
	return 1
}

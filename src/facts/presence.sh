# What runs here and what is configured already: "KEY<tab>VALUE" lines. Builtins, and one process for each tool that is there.
# Linux 2.6.22 and later. It changes nothing.
say() { printf '%s\t%s\n' "$1" "$2"; }
lines() { while IFS= read -r line; do say "$1" "$line"; done; }

# Programs that run, by the name the kernel has for them (15 letters).
for stat in /proc/[0-9]*/stat; do
	{ read -r pid rest <"$stat"; } 2>/dev/null || continue
	comm=${rest#\(}; comm=${comm%%\)*}
	case $comm in
	corosync | pacemakerd | heartbeat | crmd | sbd | xenstored | oxenstored | xend | libvirtd | virtqemud | drbd-reactor | \
		ntpd | chronyd | systemd-timesyn | openntpd | firewalld | ufw | apt | apt-get | aptitude | dpkg | unattended-upgr | \
		NetworkManager | systemd-network | multipathd)
		say runs "$comm"
		;;
	esac
done

# DRBD's resources: those that are configured, and those that run.
for file in /etc/drbd.conf /etc/drbd.d/*.res; do
	[ -r "$file" ] || continue
	while read -r word name _; do
		[ "$word" = resource ] && say drbd-configured "${name%\{}"
	done <"$file"
done
if [ -r /proc/drbd ]; then
	read -r _ version _ </proc/drbd
	case $version in
	8.0* | 8.2* | 8.3*)
		while read -r minor _; do
			case $minor in [0-9]*:) drbdsetup "/dev/drbd${minor%:}" show 2>/dev/null ;; esac
		done </proc/drbd | lines drbd-show
		;;
	*) drbdsetup show 2>/dev/null | lines drbd-show ;;
	esac
fi

# Messaging and the CIB.
if [ -r /etc/corosync/corosync.conf ]; then
	while read -r word value _; do
		case $word in
		cluster_name: | name: | ring0_addr: | ring1_addr: | bindnetaddr:) say "corosync-${word%:}" "$value" ;;
		esac
	done </etc/corosync/corosync.conf
fi
if [ -r /etc/ha.d/ha.cf ]; then
	while read -r word value; do
		[ "$word" = node ] && say heartbeat-node "$value"
	done </etc/ha.d/ha.cf
fi
for file in /var/lib/pacemaker/cib/cib.xml /var/lib/heartbeat/crm/cib.xml; do
	[ -e "$file" ] && say cib "$(grep -c '<primitive ' "$file" 2>/dev/null) $file"
done
if [ -r /etc/ocfs2/cluster.conf ]; then
	cluster=
	while read -r word _ value _; do
		case $word in
		cluster:) cluster=yes ;;
		node: | heartbeat:) cluster= ;;
		name) [ -n "$cluster" ] && say ocfs2-cluster "$value" ;;
		esac
	done </etc/ocfs2/cluster.conf
fi
while read -r source place kind _; do
	[ "$kind" = ocfs2 ] && say ocfs2-mount "$source $place"
done </proc/mounts

# Virtual machines.
if [ -e /proc/xen/capabilities ]; then
	read -r caps </proc/xen/capabilities
	case $caps in
	*control_d*)
		if command -v xl >/dev/null 2>&1; then tool=xl; else tool=xm; fi
		$tool list 2>/dev/null | lines domain-line
		$tool info 2>/dev/null | lines xen
		;;
	esac
fi
for file in /etc/xen/*.cfg /etc/xen/auto/* /etc/libvirt/qemu/*.xml; do
	[ -f "$file" ] && say vm-config "$file"
done
for file in /var/lib/hapair/*; do
	[ -e "$file" ] && say hapair "${file##*/}"
done
exit 0

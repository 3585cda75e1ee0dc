
# $1 DRBD device, $2 resource, $3 backing device. The superblock alone: debugfs.ocfs2 reads it on a mounted device too,
# and in all versions.
for record in making made; do
	hapair_attr "/var/lib/hapair/ocfs2-$2.$record" && hapair_line "ocfs2-$record" "$hapair_value"
done
for record in /var/lib/hapair/erased-"$2"-*.txt; do
	[ -r "$record" ] || continue
	hapair_line erased "$record"
	# Of an interrupted erasure here (`making` is noted behind it): the consent to it stands.
	case $record in */erased-"$2"-filesystem-*) continue ;; esac
	while IFS= read -r line; do
		case $line in consent=*) hapair_line used "${line#consent=}" ;; esac
	done <"$record"
done
if [ -b "$1" ]; then
	if command -v debugfs.ocfs2 >/dev/null 2>&1; then debugfs.ocfs2 -n -R "stats -h" "$1" 2>/dev/null; else hapair_line tools missing; fi
fi
echo "=== backing"
real=$(readlink -f "$3")
name=${real#/dev/} disk=${real#/dev/}
hapair_line device "$3"
hapair_line real "$real"
hapair_sys "$name" || exit 0
[ -e "$hapair_dir/start" ] && { disk=$(cd -P "$hapair_dir/.." && pwd -P); disk=${disk##*/}; }
hapair_line disk "$disk"
# Nothing is asked while the file system is there: its UUID says all.
hapair_attr "/var/lib/hapair/ocfs2-$2.made" || hapair_identities "$disk" "$name"
exit 0

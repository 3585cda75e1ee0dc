# $1 claim|renew|release, $2 owner, $3 who, $4 seconds after which an owner counts as dead; with claim: $5 the text of the
# record if there is none. Exit code 7: it is another one's, or (renew) not ours any more; then "AGE WHO" is printed.
kept=/var/lib/hapair
umask 077
mkdir -p $kept || exit 1
# One such script at a time: between a look and what follows from it nobody else comes.
exec 9>$kept/lock.guard || exit 1
flock -w 20 9 || { echo "another run has been looking at $kept/lock for 20 s" >&2; exit 1; }
read -r boot </proc/sys/kernel/random/boot_id
read -r uptime _ </proc/uptime
uptime=${uptime%.*}
owner= who= there= seen=
if [ -r $kept/lock ]; then
	while IFS='=' read -r key value; do
		case $key in owner) owner=$value ;; who) who=$value ;; boot) there=$value ;; uptime) seen=$value ;; esac
	done <$kept/lock
fi
age=$uptime
[ "$there" = "$boot" ] && age=$((uptime - ${seen:-0}))
if [ "$1" = release ]; then
	[ "$owner" != "$2" ] || rm -f $kept/lock
	exit 0
fi
if [ "$owner" != "$2" ]; then
	# A run that lost its lock while it slept must not take it back, nor where the one that took it has gone again.
	if [ "$1" = renew ] || { [ -n "$owner" ] && [ "$age" -lt "$4" ]; }; then
		printf '%s %s\n' "$age" "$who"
		exit 7
	fi
fi
# Synced: after a power cut the run that waits for this node must find its lock again.
printf 'owner=%s\nwho=%s\nboot=%s\nuptime=%s\n' "$2" "$3" "$boot" "$uptime" >$kept/lock.new && sync $kept/lock.new &&
	mv -f $kept/lock.new $kept/lock && sync $kept || exit 1
if [ "$1" = claim ] && [ ! -e $kept/record ]; then
	printf '%s' "$5" >$kept/record.new && sync $kept/record.new && mv $kept/record.new $kept/record && sync $kept || exit 1
fi
exit 0

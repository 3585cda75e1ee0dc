# $1 claim|renew|release, $2 owner, $3 who, $4 seconds after which an owner counts as dead; with claim: $5 the text of the
# record if there is none. Exit code 7: another one holds it; then "AGE WHO" is printed.
kept=/var/lib/hapair
umask 077
mkdir -p $kept || exit 1
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
if [ -n "$owner" ] && [ "$owner" != "$2" ]; then
	# A run that lost its lock while it slept must not take it back.
	if [ "$1" = renew ] || [ "$age" -lt "$4" ]; then
		printf '%s %s\n' "$age" "$who"
		exit 7
	fi
	rm -f $kept/lock
	owner=
fi
printf 'owner=%s\nwho=%s\nboot=%s\nuptime=%s\n' "$2" "$3" "$boot" "$uptime" >"$kept/lock.$2" || exit 1
if [ -n "$owner" ]; then
	mv -f "$kept/lock.$2" $kept/lock || exit 1
elif ln "$kept/lock.$2" $kept/lock 2>/dev/null; then
	rm -f "$kept/lock.$2"
else
	# Somebody was faster.
	rm -f "$kept/lock.$2"
	who=
	while IFS='=' read -r key value; do [ "$key" = who ] && who=$value; done <$kept/lock
	printf '0 %s\n' "$who"
	exit 7
fi
if [ "$1" = claim ] && [ ! -e $kept/record ]; then
	printf '%s' "$5" >$kept/record.new && sync $kept/record.new && mv $kept/record.new $kept/record && sync $kept || exit 1
fi
exit 0

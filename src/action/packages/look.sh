# How far the packages are. "$@": their names. Follows alive.sh.
dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null
rc=$?
[ "$rc" -le 1 ] || exit "$rc"
echo
[ ! -e "$lib/packages.unfinished" ] || echo unfinished=yes
[ -e "$d.pid" ] || exit 0
printf 'wanted='
cat "$d.wanted"
read -r up _ </proc/uptime
now=${up%.*}
echo "now=$now"
rc=
[ ! -r "$d.rc" ] || read -r rc ended <"$d.rc"
if [ -z "$rc" ] && session_alive; then
    echo run=alive
    read -r began <"$d.began" && echo "began=$began"
    # How much apt gets, and since when: what passes each second.
    if [ -r "$d.fetching" ]; then
        read -r fetching <"$d.fetching" && echo "fetching=$fetching"
        grep '^Need to get ' "$d.log" | tail -n 1
    fi
    # The log comes last: its last line may have no end.
    tail -q -n 1 "$d.progress" "$d.log" 2>/dev/null
    exit 0
fi
# Killed, so it could not say when: about when it last said anything.
if [ -z "$rc" ]; then
    last=$(stat -c %Y "$d.log" "$d.progress" | sort -n | tail -n 1)
    ended=$((now - $(date +%s) + ${last:-0}))
fi
echo "ended=$ended"
echo "run=ended $rc"
[ "$rc" != 0 ] || exit 0
for part in err log df; do
    echo "--- $part"
    tail -n 25 "$d.$part" 2>/dev/null
done
exit 0

# How far the packages are. "$@": their names. Follows alive.sh.
dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null
rc=$?
[ "$rc" -le 1 ] || exit "$rc"
echo
[ ! -e "$lib/packages.unfinished" ] || echo unfinished=yes
[ -e "$d.pid" ] || exit 0
rc=
[ ! -r "$d.rc" ] || read -r rc <"$d.rc"
if [ -z "$rc" ] && session_alive; then
    echo run=alive
    read -r began <"$d.began" && echo "began=$began"
    date +now=%s
    tail -q -n 1 "$d.log" "$d.progress" 2>/dev/null
    exit 0
fi
echo "run=ended $rc"
[ "$rc" != 0 ] || exit 0
for part in err log df; do
    echo "--- $part"
    tail -n 25 "$d.$part" 2>/dev/null
done
exit 0

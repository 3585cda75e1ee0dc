# Starts the install in the background, unless it runs already. Follows alive.sh; the program comes on standard
# input. $1 mirror  $2 services that must not start by themselves  $3... names.
set -u
umask 077
mkdir -p /run/hapair "$lib"
# Two starts at once take their turns.
exec 9>"$d.start"
flock 9
wanted=$*
waited=0
while session_alive; do
    same=
    [ ! -r "$d.wanted" ] || same=$(cat "$d.wanted")
    if [ "$same" = "$wanted" ] && own_alive; then
        exit 0
    fi
    if [ "$waited" -ge 270 ]; then
        echo "another package install of hapair is still running on this node: $same" >&2
        exit 75
    fi
    sleep 5
    waited=$((waited + 5))
done
cat >"$d.sh"
rm -f "$d.pid" "$d.rc" "$d.df" "$d.fetching"
: >"$d.progress"
: >"$d.log"
: >"$d.err"
printf '%s\n' "$wanted" >"$d.wanted"
read -r up _ </proc/uptime
echo "${up%.*}" >"$d.began"
# Its own session: neither the end of this connection nor a Ctrl-C reaches it.
setsid sh "$d.sh" "$@" </dev/null >>"$d.log" 2>>"$d.err" 9>&- &
tries=0
until [ -s "$d.pid" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then
        echo "the package install did not start" >&2
        tail -n 5 "$d.err" >&2
        exit 1
    fi
    sleep 0.1
done
exit 0

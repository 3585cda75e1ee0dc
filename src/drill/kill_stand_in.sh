# kill_stand_in.sh FILE NAME : kills the counter, or the stand-in for a VM, whose number is in FILE, if that is one.
read -r pid <"$1" && read -r comm <"/proc/$pid/comm" || exit 1
[ "$comm" = StandIn ] || { echo "process $pid is $comm and not $2" >&2; exit 1; }
kill -KILL "$pid"

# $1: seconds. The cluster is in maintenance mode and has just been told of resources that may be running already.
# Succeeds once it has looked at all of them and, left to itself, would stop, demote or move none: DRBD's promotion
# scores come a moment after the first look, and without them it would demote both sides.
# $2: `again` when an earlier run was ended in the middle. A node may have booted since, and what runs there now was started
# behind the cluster's back: it looks at everything anew, or it would start (and DRBD's agent demote) what runs already.
set -u
limit=$1
again=${2-}
# Since the boot: the node's clock may be set meanwhile.
now() {
    read -r up _ </proc/uptime
    echo "${up%.*}"
}
begin=$(now)
live=$(mktemp) || exit 1
trap 'rm -f "$live"' EXIT
while :; do
    [ -z "$again" ] || ! crm_resource --refresh >/dev/null 2>&1 || again=
    crm_resource --wait --timeout="${limit}s" >/dev/null 2>&1
    if [ -z "$again" ] && cibadmin -Q > "$live" &&
        CIB_file="$live" cibadmin -D -o crm_config --xml-text '<cluster_property_set id="hapair-takeover"/>' &&
        plan=$(crm_simulate -x "$live" -S 2>/dev/null); then
        harm=$(printf '%s\n' "$plan" | grep -E '^ +\* (Stop|Demote|Restart|Move|Migrate|Recover|Fence) ')
        # A first look (a probe) has no interval; a resource that was not looked at yet counts as stopped.
        [ -n "$harm" ] || harm=$(printf '%s\n' "$plan" | grep -E 'Resource action: .* monitor on ')
        [ -n "$harm" ] || exit 0
    else
        harm='the cluster did not answer'
    fi
    [ $(($(now) - begin)) -lt "$limit" ] || break
    sleep 2
done
printf '%s\n' 'The cluster would not leave alone what runs:' "$harm" >&2
printf '%s\n' 'It is left in maintenance mode: nothing was stopped. Mend what is named and run the same command again.' >&2
exit 1

#!/bin/sh
# Made by hapair 0.1.0. Usage: ready.sh members|fencing|vm NAME|all
# Whether the cluster of Heartbeat 2 stands, as this node sees it (exit code 0); otherwise it says what is missing.

mount='/drbd0'
missing() { echo "$*" >&2; exit 1; }

text=$(crm_mon -1 2>/dev/null) || missing "crm_mon does not answer: the cluster manager is not up yet"
# A tab stands between the words of a resource's line.
text=$(printf '%s\n' "$text" | tr '\t' ' ')

members() {
    for node in node1 node2; do
        [ "$(cl_status nodestatus "$node" 2>/dev/null)" = active ] || missing "Heartbeat does not hear $node"
        printf '%s\n' "$text" | grep -q "^Node: $node (.*): online" || missing "$node is not online yet"
    done
    # Without a controller (DC) the CIB takes no changes, and nobody decides anything.
    case $text in
    *'Current DC: NONE'*) missing "no controller (DC) is elected yet" ;;
    *'Current DC: '*) ;;
    *) missing "crm_mon names no controller (DC)" ;;
    esac
}

fencing() {
    printf '%s\n' "$text" | grep -q '(stonith:[^)]*): *Started' || missing "no fencing device runs"
}

# Started on one node, and there alone by the hypervisor's own word.
vm() {
    on=$(printf '%s\n' "$text" | sed -n "s/^ *$1 .*(heartbeat::ocf:Xen): *Started \([^ ]*\).*/\1/p")
    [ -n "$on" ] || missing "the cluster has not started $1"
    if xm list "$1" >/dev/null 2>&1; then
        [ "$on" = "$(uname -n)" ] || missing "$1 runs here as well, and the cluster has it on $on"
    else
        [ "$on" != "$(uname -n)" ] || missing "the cluster has $1 here, and xm does not show it"
    fi
}

case $1 in
    members) members ;;
    fencing) members; fencing ;;
    vm) members; vm "$2" ;;
    all)
        members
        fencing
        grep -Eq ' (st|ro):Primary/Primary ds:UpToDate/UpToDate ' /proc/drbd || missing "DRBD is not Primary and UpToDate on both nodes"
        grep -qF " $mount ocfs2 " /proc/mounts || missing "$mount is not mounted"
        vm 'vm01'
        ;;
    *) echo "usage: $0 members|fencing|vm NAME|all" >&2; exit 2 ;;
esac

# link.sh SECONDS PEER WHAT [PEER WHAT]... : from now on nothing goes to PEER and nothing comes from it, of WHAT: udp, tcp:PORT
# or all. By itself it ends after SECONDS, whoever else is dead by then; unlink.sh ends it before.
mark=/run/hapair/drill-link
seconds=$1
shift
mkdir -p /run/hapair
: >>"$mark" || exit 1
take_back() {
    while read -r dev; do tc qdisc del dev "$dev" clsact; done <"$mark"
    rm -f "$mark"
}
# The switch of a dead man is set first.
systemctl stop hapair-drill-link.timer 2>/dev/null
systemd-run --quiet --collect --unit=hapair-drill-link --on-active="$seconds" \
    /bin/sh -c 'while read -r dev; do tc qdisc del dev "$dev" clsact; done <"$1"; rm -f "$1"' sh "$mark" || exit 1
# Lost on the way and not refused here: behind `drop` a sender would be told ENOBUFS, and Corosync's knet then tries that one
# packet again for ever, and sends nothing over its other link either. `trap` takes a packet away without a word.
drop() {
    direction=$1 verdict=drop
    [ "$direction" = ingress ] || verdict=trap
    shift
    tc filter add dev "$dev" "$direction" protocol ip pref 77 u32 "$@" action "$verdict" && return
    take_back
    exit 1
}
while [ $# -gt 1 ]; do
    peer=$1 what=$2
    shift 2
    dev=$(ip -o route get "$peer" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    [ -n "$dev" ] || { echo "there is no way to $peer" >&2; take_back; exit 1; }
    if ! grep -qxF "$dev" "$mark"; then
        if tc qdisc show dev "$dev" | grep -Eq ' (clsact|ingress) '; then
            echo "$dev has filters of its own (tc), which a drill does not touch" >&2
            take_back
            exit 9
        fi
        echo "$dev" >>"$mark"
        tc qdisc add dev "$dev" clsact || { take_back; exit 1; }
    fi
    case $what in
        all)
            drop ingress match ip src "$peer/32"
            drop egress match ip dst "$peer/32"
            ;;
        udp)
            drop ingress match ip src "$peer/32" match ip protocol 17 0xff
            drop egress match ip dst "$peer/32" match ip protocol 17 0xff
            ;;
        tcp:*)
            for end in dport sport; do
                drop ingress match ip src "$peer/32" match ip protocol 6 0xff match ip "$end" "${what#tcp:}" 0xffff
                drop egress match ip dst "$peer/32" match ip protocol 6 0xff match ip "$end" "${what#tcp:}" 0xffff
            done
            ;;
    esac
done
exit 0

# link.sh SECONDS PEER WHAT [PEER WHAT]... : from now on nothing goes to PEER and nothing comes from it, of WHAT: udp, tcp:PORT
# or all. PEER is an IPv4 address, or with `all` a name, which stands for every address that this node knows of it. By itself
# it ends after SECONDS, whoever else is dead by then; unlink.sh ends it before.
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
    # Filters of two protocols can't have one preference.
    case $ip in ip) pref=77 protocol=ip ;; *) pref=78 protocol=ipv6 ;; esac
    tc filter add dev "$dev" "$direction" protocol "$protocol" pref "$pref" u32 "$@" action "$verdict" && return
    take_back
    exit 1
}
# Cuts $what of the address $peer, which lies behind $dev.
cut() {
    if ! grep -qxF "$dev" "$mark"; then
        if tc qdisc show dev "$dev" | grep -Eq ' (clsact|ingress) '; then
            echo "$dev has filters of its own (tc), which a drill does not touch" >&2
            take_back
            exit 9
        fi
        echo "$dev" >>"$mark"
        tc qdisc add dev "$dev" clsact || { take_back; exit 1; }
    fi
    case $peer in *:*) ip=ip6 bits=128 ;; *) ip=ip bits=32 ;; esac
    case $what in
        all)
            drop ingress match "$ip" src "$peer/$bits"
            drop egress match "$ip" dst "$peer/$bits"
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
}
while [ $# -gt 1 ]; do
    name=$1 what=$2 ways=
    shift 2
    case $name in
        *[!0-9.]*) peers=$(getent ahosts "$name" | sed 's/ .*//' | sort -u) ;;
        *) peers=$name ;;
    esac
    [ -n "$peers" ] || { echo "this node knows no address of $name" >&2; take_back; exit 1; }
    for peer in $peers; do
        # Where there is no way there is nothing to be cut.
        dev=$(ip -o route get "$peer" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
        [ -n "$dev" ] || continue
        ways=$dev
        cut
    done
    [ -n "$ways" ] || { echo "there is no way to $name" >&2; take_back; exit 1; }
done
exit 0

# unlink.sh NODE : takes away what link.sh cut on this node, if anything. May run again; asks nobody.
mark=/run/hapair/drill-link
if [ -e "$mark" ]; then
    while read -r dev; do tc qdisc del dev "$dev" clsact; done <"$mark"
    rm -f "$mark"
    echo "the links of $1 are whole again"
fi
! systemctl --quiet is-active hapair-drill-link.timer || systemctl stop hapair-drill-link.timer

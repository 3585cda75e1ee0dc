# mend.sh RESOURCE NODE : takes away what a part of a drill may have left on this node, beside a cut link. May run again.
resource=$1 node=$2
case $(drbdadm dstate "$resource" 2>/dev/null) in
    Diskless/*)
        drbdadm attach "$resource" || exit 1
        echo "the disk of $resource is attached again on $node"
        ;;
esac
for unit in hapair-drill-disk hapair-drill-standby; do
    ! systemctl --quiet is-active "$unit.timer" || systemctl stop "$unit.timer"
done
if pidof pacemakerd >/dev/null && crm_standby -G -N "$node" -l reboot -q 2>/dev/null | grep -qx on; then
    crm_standby -D -N "$node" -l reboot >/dev/null || exit 1
    echo "$node is out of standby again"
fi
exit 0

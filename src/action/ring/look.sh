# What messaging this node has: "ring running|stopped", "cluster NAME", "name NODE"..., "address ADDRESS"..., and
# "cib absent|empty|resources". Of a ring that runs what it runs with counts, not what the file says by now.
if pidof corosync >/dev/null 2>&1; then
    echo 'ring running'
    corosync-cmapctl totem.cluster_name nodelist. 2>/dev/null | sed -n \
        -e 's/^totem\.cluster_name .* = /cluster /p' \
        -e 's/^nodelist\.node\.[0-9]*\.name .* = /name /p' \
        -e 's/^nodelist\.node\.[0-9]*\.ring0_addr .* = /address /p'
else
    echo 'ring stopped'
    sed -n \
        -e 's/^[[:space:]]*cluster_name:[[:space:]]*/cluster /p' \
        -e 's/^[[:space:]]*name:[[:space:]]*/name /p' \
        -e 's/^[[:space:]]*ring0_addr:[[:space:]]*/address /p' /etc/corosync/corosync.conf 2>/dev/null
fi
cib=/var/lib/pacemaker/cib/cib.xml
if [ ! -e "$cib" ]; then
    echo 'cib absent'
elif grep -q '<primitive' "$cib"; then
    echo 'cib resources'
else
    echo 'cib empty'
fi
exit 0

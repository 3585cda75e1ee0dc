# Ends the cluster of one that the packages started with their own configuration. Looks once more before it does.
set -eu
if pidof corosync >/dev/null 2>&1; then
    if corosync-cmapctl nodelist. | grep 'ring0_addr .* = ' | grep -v -q ' = 127\.'; then
        echo 'Corosync runs with other nodes by now: it was left alone' >&2
        exit 1
    fi
fi
if grep -q '<primitive' /var/lib/pacemaker/cib/cib.xml 2>/dev/null; then
    echo 'the CIB holds resources by now: it was left alone' >&2
    exit 1
fi
# Pacemaker first: it ends what it runs, and needs Corosync for that.
systemctl stop pacemaker
systemctl stop corosync
rm -rf /var/lib/pacemaker/cib/* /var/lib/pacemaker/pengine/* /var/lib/corosync/*

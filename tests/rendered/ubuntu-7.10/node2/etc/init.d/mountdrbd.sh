#!/bin/sh
### BEGIN INIT INFO
# Provides:          mountdrbd
# Required-Start:    $network $remote_fs drbd o2cb
# Required-Stop:     $network $remote_fs drbd o2cb
# X-Start-Before:    heartbeat
# X-Stop-After:      heartbeat xendomains
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: DRBD resource Primary and mounted, before the cluster starts
### END INIT INFO
# Made by hapair 0.1.0. Usage: start | stop | status
# Waits for the peer (with an end), makes the DRBD resource Primary and mounts it: before the cluster starts any VM.
# `stop` is the way back, and refuses while something still uses the mount.

resource='r0'
device='/dev/drbd0'
mount='/drbd0'
# Seconds to wait for the peer. Without an end a node whose peer is broken would never come up.
patience=${MOUNTDRBD_PATIENCE:-120}
# Seconds for the copying of what changed while this node was away: a Primary must not stand on half of it.
sync_patience=${MOUNTDRBD_SYNC_PATIENCE:-3600}

say() { echo "mountdrbd: $*" >&2; }
is_mounted() { grep -qF " $mount ocfs2 " /proc/mounts; }
# Own half of "UpToDate/DUnknown"; DRBD 9 prints a line per peer.
own() { drbdadm "$1" "$resource" 2>/dev/null | head -n 1 | cut -d / -f 1; }
role() { own state; }
cstate() { drbdadm cstate "$resource" 2>/dev/null | head -n 1; }

start() {
    if is_mounted; then
        say "$mount is mounted already"
        return 0
    fi
    [ -d /proc/sys/fs/ocfs2 ] || [ -d /sys/fs/o2cb ] || modprobe ocfs2 2>/dev/null
    if [ "$(role)" = '' ] || [ "$(cstate)" = Unconfigured ] || [ "$(role)" = Unconfigured ]; then
        modprobe drbd && drbdadm up "$resource" || { say "drbdadm up $resource failed"; return 1; }
    fi
    waited=0
    while :; do
        state=$(cstate)
        case $state in
            Connected | Established | SyncSource) break ;;
            StandAlone)
                say "$resource is StandAlone: DRBD gave the connection up (split brain?); resolve that first"
                return 1
                ;;
            *Sync* | *Bit[Mm]ap* | Verify*)
                # Data is on its way to this side.
                [ "$waited" -lt "$sync_patience" ] || { say "$resource is still $state after $waited s"; return 1; }
                ;;
            *)
                [ "$waited" -lt "$patience" ] || { say "the peer is not there after $waited s"; break; }
                ;;
        esac
        sleep 1
        waited=$((waited + 1))
    done
    disk=$(own dstate)
    if [ "$disk" != UpToDate ]; then
        # Inconsistent or outdated data, and a peer that may have better: never promoted, not even when alone.
        say "the disk of $resource is ${disk:-not attached}, not UpToDate: it was not promoted"
        return 1
    fi
    [ "$(role)" = Primary ] || drbdadm primary "$resource" || { say "drbdadm primary $resource failed"; return 1; }
    [ -d "$mount" ] || mkdir -p "$mount"
    mount -t ocfs2 -o noatime,_netdev "$device" "$mount" || { say "$device could not be mounted on $mount"; return 1; }
    say "$resource is Primary and mounted on $mount"
    return 0
}

stop() {
    if is_mounted; then
        # A guest's disk that goes away under it is a guest's crash: the cluster has to move or stop it first.
        for tool in xl xm; do
            command -v "$tool" >/dev/null 2>&1 || continue
            "$tool" list -l 2>/dev/null | grep -qF "$mount/" || continue
            say "a guest still has its disk under $mount: stop the cluster on this node first"
            return 1
        done
        umount "$mount" || { say "$mount could not be unmounted; in use by: $(fuser -m "$mount" 2>/dev/null)"; return 1; }
    fi
    [ "$(role)" != Primary ] || drbdadm secondary "$resource" || { say "drbdadm secondary $resource failed"; return 1; }
    case $(role) in
        Secondary) drbdadm down "$resource" || { say "drbdadm down $resource failed"; return 1; } ;;
    esac
    return 0
}

# 0 mounted, 3 not: as init scripts say it (LSB).
status() { is_mounted || return 3; }

case $1 in
    start) start ;;
    stop) stop ;;
    restart | force-reload) stop && start ;;
    status) status ;;
    *) echo "usage: $0 start|stop|status" >&2; exit 2 ;;
esac


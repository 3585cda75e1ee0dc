#!/bin/sh
# Stands in for the programs of Ubuntu 7.10 that an install calls, as far as an install sees them: what they print, their
# exit codes and what they refuse. Called by the name of the program. Everything that changes something is written to
# /pair/log.NODE, as it was called. `/Proc` is `/proc` for the files that only the kernel of 2007 has.
set -u
called=$0
name=${called##*/}
read -r node </Proc/name
peer=node1
[ "$node" = node1 ] && peer=node2
here=/pair/$node
uuid1=6bfd2aa7-b132-4104-913c-c34ef03a4dba
uuid2=83972cf7-0b56-4299-8e42-69b3411377a7

log() {
    line=$1
    shift
    for word; do
        case $word in *[!A-Za-z0-9_./:=,@%+-]* | '') word="'$word'" ;; esac
        line="$line $word"
    done
    printf '%s\n' "$line" >>"/pair/log.$node"
}
die() { # die CODE WORDS
    code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}
installed() { grep -qx "$1" /var/lib/dpkg/installed; }
running() { [ -e "$here/run.$1" ]; }

# --- DRBD 8.0.3 -------------------------------------------------------------------------------------------------------
both_up() { [ -e /pair/drbd/up.node1 ] && [ -e /pair/drbd/up.node2 ]; }
get() { # get WHAT NODE DEFAULT
    value=$3
    [ ! -e "/pair/drbd/$1.$2" ] || read -r value <"/pair/drbd/$1.$2"
    printf '%s\n' "$value"
}
proc_drbd() {
    # Both nodes' tools write both files: one at a time, or an older state could come out last. A tool that was killed
    # leaves its mark behind; two seconds are enough then.
    tries=0
    until mkdir /pair/drbd.busy 2>/dev/null || [ "$tries" -ge 20 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    for n in node1 node2; do
        [ -e "/pair/$n/sys/module/drbd" ] || continue
        p=node1
        [ "$n" = node1 ] && p=node2
        {
            echo 'version: 8.0.3 (api:86/proto:86)'
            echo 'SVN Revision: 2881 build by root@node1, 2008-01-20 12:48:36'
            if [ ! -e "/pair/drbd/up.$n" ]; then
                echo ' 0: cs:Unconfigured'
            elif ! both_up; then
                echo " 0: cs:WFConnection st:$(get role $n Secondary)/Unknown ds:$(get disk $n Inconsistent)/DUnknown C r---"
            else
                cs=Connected
                if [ -e /pair/drbd/syncing ]; then
                    cs=SyncTarget
                    [ "$(get disk $n Inconsistent)" = UpToDate ] && cs=SyncSource
                fi
                echo " 0: cs:$cs st:$(get role $n Secondary)/$(get role $p Secondary) ds:$(get disk $n Inconsistent)/$(get disk $p Inconsistent) C r---"
                echo '    ns:1052672 nr:0 dw:0 dr:1052672 al:0 bm:64 lo:0 pe:5 ua:32 ap:0'
                if [ "$cs" != Connected ]; then
                    printf "\t[=>..................] sync'ed:  8.7%% (10803/11811)M\n"
                    printf '\tfinish: 0:18:24 speed: 10,024 (9,876) K/sec\n'
                fi
            fi
            printf '\tresync: used:0/31 hits:8916 misses:22 starving:0 dirty:0 changed:22\n'
        } >"/pair/$n/Proc/drbd.$node.$$"
        mv "/pair/$n/Proc/drbd.$node.$$" "/pair/$n/Proc/drbd"
    done
    rmdir /pair/drbd.busy 2>/dev/null || :
}
configured() {
    grep -q "^    on $node {" /etc/drbd.conf 2>/dev/null || die 10 "no resources defined!"
    [ -d /sys/module/drbd ] || die 20 "Can not open device '/dev/drbd0': No such device or address"
}
drbdadm() {
    # 8.0 takes drbdsetup's own options behind `--`, before the command.
    dry= more=
    [ "$1" = -d ] && dry=yes && shift
    if [ "$1" = -- ]; then more=$2; shift 2; fi
    verb=$1
    case $verb in
    create-md)
        configured
        log drbdadm ${more:+-- "$more"} create-md "$2"
        [ -n "$more" ] || { read -r answer && [ "$answer" = yes ]; } || die 1 'Operation canceled.'
        echo "0x895CB231B972C31$([ "$node" = node1 ] && echo A || echo B)" >"/pair/drbd/meta.$node"
        printf x | dd of=/dev/sda3 bs=1 seek=$((268435456 - 1)) conv=notrunc 2>/dev/null
        ;;
    dump-md) [ -e "/pair/drbd/meta.$node" ] || die 1 'No valid meta data found'; echo 'uuid { 0x0000000000000004; }' ;;
    get-gi)
        [ -e "/pair/drbd/meta.$node" ] || die 1 'No valid meta data found'
        echo "$(get gi both 0000000000000004):0000000000000000:0000000000000000:0000000000000000:0:0:0:0:0:0"
        ;;
    adjust | up)
        configured
        [ -e "/pair/drbd/meta.$node" ] || die 20 'Failure: (119) No valid meta-data signature found.'
        if [ -n "$dry" ]; then
            [ -e "/pair/drbd/up.$node" ] || echo "drbdsetup /dev/drbd0 disk /dev/sda3 /dev/sda3 internal --set-defaults --create-device"
            [ ! -e "/pair/drbd/rate.$node" ] || echo "drbdsetup /dev/drbd0 syncer --set-defaults --rate=10M --al-extents=257"
            return 0
        fi
        log drbdadm "$@"
        : >"/pair/drbd/up.$node"
        rm -f "/pair/drbd/rate.$node"
        mkdir -p /sys/block/drbd0
        echo 524160 >/sys/block/drbd0/size
        [ -e /dev/drbd0 ] || mv /dev/.drbd0 /dev/drbd0
        proc_drbd
        ;;
    down) log drbdadm "$@"; rm -f "/pair/drbd/up.$node"; proc_drbd ;;
    cstate) sed -n 's/.* cs:\([^ ]*\).*/\1/p' /Proc/drbd ;;
    dstate) sed -n 's/.* ds:\([^ ]*\).*/\1/p' /Proc/drbd ;;
    state) sed -n 's/.* st:\([^ ]*\).*/\1/p' /Proc/drbd ;;
    primary)
        configured
        log drbdadm ${more:+-- "$more"} primary "$2"
        if [ "$more" = --overwrite-data-of-peer ]; then
            both_up || die 11 'State change failed: (-2) Refusing to be Primary without at least one UpToDate disk'
            echo UpToDate >"/pair/drbd/disk.$node"
            echo 1BA5C7A7B13E2F01 >/pair/drbd/gi.both
            : >/pair/drbd/syncing
            setsid drbdadm copied </dev/null >/dev/null 2>&1 &
        else
            [ "$(get disk "$node" Inconsistent)" = UpToDate ] ||
                die 11 'State change failed: (-2) Refusing to be Primary without at least one UpToDate disk'
            grep -q '^ *allow-two-primaries;' /etc/drbd.conf || [ "$(get role $peer Secondary)" != Primary ] ||
                die 11 'State change failed: (-1) Multiple primaries not allowed by config'
        fi
        echo Primary >"/pair/drbd/role.$node"
        proc_drbd
        ;;
    copied)
        # By itself, after a while.
        sleep 1
        echo UpToDate >/pair/drbd/disk.node1
        echo UpToDate >/pair/drbd/disk.node2
        rm -f /pair/drbd/syncing
        proc_drbd
        ;;
    secondary) log drbdadm "$@"; echo Secondary >"/pair/drbd/role.$node"; proc_drbd ;;
    *) die 3 "Unknown command '$verb'." ;;
    esac
}
drbdsetup() {
    case ${2-} in
    show)
        [ -e "/pair/drbd/up.$node" ] || exit 0
        printf '_this_host {\n\tdevice\t\t\t"/dev/drbd0";\n\tdisk\t\t\t"/dev/sda3";\n\tmeta-disk\t\tinternal;\n}\n'
        ;;
    syncer) log drbdsetup "$@"; : >"/pair/drbd/rate.$node" ;;
    *) die 20 "usage: drbdsetup device command" ;;
    esac
}

# --- Heartbeat 2.1.2 --------------------------------------------------------------------------------------------------
dc() { running heartbeat && [ -e "/pair/$peer/run.heartbeat" ]; }
in_cib() { grep -q " id=\"$2\"" "/pair/cib/$1".*.xml 2>/dev/null; }
crm_mon() {
    running heartbeat || die 1 'Critical: Unable to connect to the CIB'
    printf '\n\n============\nLast updated: Fri Jan 25 17:26:10 2008\n'
    if dc; then
        echo "Current DC: node2 ($uuid2)"
    else
        echo 'Current DC: NONE'
    fi
    printf '2 Nodes configured.\n2 Resources configured.\n============\n\n'
    for n in node2 node1; do
        id=$uuid1
        [ $n = node2 ] && id=$uuid2
        state=OFFLINE
        [ -e "/pair/$n/run.heartbeat" ] && dc && state=online
        echo "Node: $n ($id): $state"
    done
    echo
    if in_cib resources stonithclone; then
        printf 'Clone Set: stonithclone\n    stonithclone:0\t(stonith:external/ssh):\tStarted node1\n'
        printf '    stonithclone:1\t(stonith:external/ssh):\tStarted node2\n'
    fi
    if in_cib resources vm01; then printf 'vm01\t(heartbeat::ocf:Xen):\tStarted node2\n'; fi
}
cibadmin() {
    verb=$1 section= file=
    shift
    case ${1-} in -*) ;; *) die 24 "non-option ARGV-elements: $*
Call failed: Required section was missing" ;; esac
    while [ $# -gt 0 ]; do
        case $1 in
        -o) section=$2; shift ;;
        -x) file=$2; shift ;;
        *) die 1 "usage: cibadmin [$1]" ;;
        esac
        shift
    done
    dc || die 1 'Signon to CIB failed: connection failed
Init failed, could not perform requested operations'
    case $verb in
    -Q)
        echo " <$section>"
        # As the CIB gives it back: other blanks, the same attributes.
        cat "/pair/cib/$section".*.xml 2>/dev/null | tr '\n' ' '
        echo " </$section>"
        ;;
    -C | -M)
        log cibadmin "$verb" -o "$section" -x "$file"
        id=$(sed -n '/<[a-z]/{s/.* id="\([^"]*\)".*/\1/p;q;}' "$file")
        [ -n "$id" ] || die 46 'Call failed: missing id or id-collision detected'
        repeated=$(tr '>' '\n' <"$file" | sed -n 's/.* id="\([^"]*\)".*/\1/p' | sort | uniq -d)
        [ -z "$repeated" ] || die 46 'Call failed: missing id or id-collision detected'
        there=/pair/cib/$section.$id.xml
        [ "$verb" != -C ] || [ ! -e "$there" ] || die 21 'Call failed: The object already exists'
        [ "$verb" != -M ] || [ -e "$there" ] || die 22 'Call failed: The object/attribute does not exist'
        cp "$file" "$there"
        ;;
    esac
}

# --- Packages and what comes with them ----------------------------------------------------------------------------------
brings() { # brings PACKAGE: what it puts on the machine
    case $1 in
    ubuntu-xen-server)
        ln -sf /stage/tool /etc/init.d/xend
        ln -sf /stage/tool /etc/init.d/xendomains
        update_rc_d xendomains defaults
        mkdir -p /etc/xen /lib/modules/2.6.22-14-xen
        : >"$here/xen-kernel"
        update_grub
        ;;
    drbd8-utils) ln -sf /stage/tool /etc/init.d/drbd; update_rc_d drbd defaults 70 08; echo '# As it is packaged' >/etc/drbd.conf ;;
    ocfs2-tools)
        ln -sf /stage/tool /etc/init.d/o2cb
        update_rc_d o2cb defaults
        # The question of its configuration answers no by default.
        echo 'O2CB_ENABLED=false' >/etc/default/o2cb
        ;;
    heartbeat-2) mkdir -p /etc/ha.d; ln -sf /stage/tool /etc/init.d/heartbeat; update_rc_d heartbeat defaults 75 05 ;;
    at) ln -sf /stage/tool /etc/init.d/atd; update_rc_d atd defaults 89 ;;
    esac
}
apt_get() {
    simulate=
    names=
    install=
    for word; do
        case $word in
        -s) simulate=yes ;;
        install) install=yes ;;
        -* | *::*) ;;
        check | update) return 0 ;;
        *) [ -z "$install" ] || names="$names $word" ;;
        esac
    done
    [ -z "$simulate" ] || return 0
    log apt-get "$@"
    for package in $names; do
        installed "$package" && continue
        echo "$package" >>/var/lib/dpkg/installed
        brings "$package"
    done
}
update_rc_d() {
    [ "$1" = -f ] && shift
    service=$1
    shift
    if [ "$1" = remove ]; then
        rm -f /etc/rc?.d/[SK]??"$service"
        return
    fi
    if [ "$1" = defaults ]; then
        set -- start "${2:-20}" 2 3 4 5 . stop "${3:-${2:-20}}" 0 1 6 .
    fi
    while [ $# -gt 0 ]; do
        letter=K
        [ "$1" = start ] && letter=S
        number=$2
        shift 2
        while [ $# -gt 0 ] && [ "$1" != . ]; do
            ln -sf "../init.d/$service" "/etc/rc$1.d/$letter$number$service"
            shift
        done
        [ $# -eq 0 ] || shift
    done
}
update_grub() {
    menu=/boot/grub/menu.lst
    options=$(sed -n 's/^# xenhopt=//p' $menu)
    {
        sed '/^## ## End Default Options ##/q' $menu
        printf '\ntitle\t\tUbuntu 7.10, kernel 2.6.22-14-generic\nroot\t\t(hd0,0)\nkernel\t\t/boot/vmlinuz-2.6.22-14-generic root=/dev/sda1 ro quiet\n'
        if [ -e "$here/xen-kernel" ]; then
            printf '\ntitle\t\tXen 3.1 / Ubuntu 7.10, kernel 2.6.22-14-xen\nroot\t\t(hd0,0)\nkernel\t\t/boot/xen-3.1.gz %s\n' "$options"
            printf 'module\t\t/boot/vmlinuz-2.6.22-14-xen root=/dev/sda1 ro console=tty0\n'
        fi
        echo '### END DEBIAN AUTOMAGIC KERNELS LIST'
    } >$menu.new
    mv $menu.new $menu
}
reboot_now() {
    default=$(sed -n 's/^default[ \t]*//p' /boot/grub/menu.lst)
    entry=$(awk -v wanted="$default" '/^title/ { n++ } /^kernel/ && n == wanted + 1 { print $2 }' /boot/grub/menu.lst)
    case $entry in
    */xen-*)
        echo control_d >/Proc/xen/capabilities
        echo xen >/sys/hypervisor/type
        echo 2.6.22-14-xen >/Proc/sys/kernel/osrelease
        # xend opens its port for the two nodes only if its configuration says so.
        if grep -q '^(xend-relocation-server yes)' /etc/xen/xend-config.sxp; then
            echo '   0: 010200C0:1F42 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711' >/Proc/net/tcp
        fi
        ;;
    esac
    : >"$here/run.xend"
    echo "boot-$node-$(date +%s)" >/Proc/sys/kernel/random/boot_id
}
service() { # service NAME VERB: an init script
    case $1/$2 in
    o2cb/status)
        state=Offline
        running o2cb && state=Online
        printf 'Module "configfs": Loaded\nFilesystem "configfs": Mounted\nChecking O2CB cluster ocfs2: %s\n' $state
        # Whatever it is.
        exit 0
        ;;
    o2cb/start | o2cb/restart)
        grep -qx 'O2CB_ENABLED=true' /etc/default/o2cb || exit 0
        awk '/^[a-z]+:$/ { head = 1; next } /^[ \t]+[a-z_]+ = [^ ]+$/ { next } /^$/ { next } { exit 1 }' /etc/ocfs2/cluster.conf ||
            die 1 'o2cb_ctl: Unable to load cluster configuration file "/etc/ocfs2/cluster.conf"'
        : >"$here/run.o2cb"
        ;;
    heartbeat/start)
        [ "$(stat -c %a /etc/ha.d/authkeys 2>/dev/null)" = 600 ] || die 6 'ERROR: Bad permissions on keyfile [/etc/ha.d//authkeys], 600 recommended.'
        grep -q "^node $node\$" /etc/ha.d/ha.cf || die 6 "ERROR: Current node [$node] not in configuration!"
        : >"$here/run.heartbeat"
        ;;
    */start | */restart) : >"$here/run.$1" ;;
    */stop) rm -f "$here/run.$1" ;;
    */status) running "$1" || exit 3 ;;
    esac
}

case $called in
/etc/init.d/*)
    case ${1-} in status) ;; *) [ -n "${QUIET-}" ] || log "$called" "$@" ;; esac
    service "$name" "${1-}"
    exit
    ;;
esac
case $name in
drbdadm | drbdsetup | crm_mon | cibadmin) $name "$@" ;;
drbdmeta)
    [ "${3-}" = /dev/sda3 ] || die 1 "No valid meta data found"
    [ -e "/pair/drbd/meta.$node" ] || die 1 'No valid meta data found'
    read -r id <"/pair/drbd/meta.$node"
    printf 'version "v08";\nla-size-sect 0;\ndevice-uuid %s;\n' "$id"
    ;;
cl_status)
    case $1 in
    hbstatus)
        running heartbeat || { echo 'Heartbeat is stopped on this machine.'; exit 1; }
        echo 'Heartbeat is running on this machine.'
        ;;
    nodestatus)
        [ -e "/pair/$2/run.heartbeat" ] || { echo dead; exit 1; }
        echo active
        ;;
    esac
    ;;
apt-get) apt_get "$@" ;;
dpkg) ;;
dpkg-query)
    code=0
    # -W -f FORMAT
    shift 3
    for package; do
        if installed "$package"; then echo "$package install ok installed"; else code=1; echo "No packages found matching $package." >&2; fi
    done
    exit $code
    ;;
m-a)
    log m-a "$@"
    installed drbd8-source && installed "linux-headers-$4" || die 249 'Bad luck, the kernel headers for the target kernel version could not be found'
    mkdir -p "/lib/modules/$4/kernel/drivers/block"
    : >"/lib/modules/$4/kernel/drivers/block/drbd.ko"
    ;;
modinfo)
    read -r kernel </Proc/sys/kernel/osrelease
    [ -e "/lib/modules/$kernel/kernel/drivers/block/$3.ko" ] || die 1 "modinfo: could not find module $3"
    case $2 in version) echo 8.0.3 ;; vermagic) echo "$kernel SMP mod_unload 686" ;; esac
    ;;
modprobe)
    read -r kernel </Proc/sys/kernel/osrelease
    for module; do :; done
    [ -e "/lib/modules/$kernel/kernel/drivers/block/$module.ko" ] || die 1 "FATAL: Module $module not found."
    case $1 in -n) exit 0 ;; esac
    log modprobe "$@"
    mkdir -p "/sys/module/$module"
    echo 8.0.3 >"/sys/module/$module/version"
    proc_drbd
    ;;
ssh-keygen)
    case $1 in -q) log ssh-keygen "$@" ;; esac
    exec /host/bin/ssh-keygen "$@"
    ;;
depmod) log depmod "$@" ;;
update-rc.d) log update-rc.d "$@"; update_rc_d "$@" ;;
invoke-rc.d) log invoke-rc.d "$@"; QUIET=yes "/etc/init.d/$1" "$2" ;;
update-grub) log update-grub "$@"; update_grub ;;
shutdown) log shutdown "$@"; reboot_now ;;
hostname) log hostname "$@"; echo "$1" >/Proc/nodename ;;
uname)
    read -r nodename </Proc/nodename
    read -r kernel </Proc/sys/kernel/osrelease
    line=
    for word; do
        case $word in -n) line="$line $nodename" ;; -r) line="$line $kernel" ;; -m) line="$line i686" ;; esac
    done
    echo "${line# }"
    ;;
getent)
    awk -v name="$2" '$1 !~ /^#/ { for (i = 2; i <= NF; i++) if ($i == name) { print $1 "       " name; exit } }' /etc/hosts
    ;;
ip) echo "2: eth0    inet $([ "$node" = node1 ] && echo 192.0.2.1 || echo 192.0.2.2)/24 brd 192.0.2.255 scope global eth0" ;;
blkid)
    for device; do :; done
    [ "$device" = /dev/drbd0 ] && [ -e /pair/drbd/ocfs2 ] && echo ocfs2 && exit 0
    exit 2
    ;;
sfdisk) [ "$1" = -v ] && echo 'sfdisk (util-linux 2.13)' ;;
blockdev) ;;
mkfs.ocfs2)
    log mkfs.ocfs2 "$@"
    [ "$(get role "$node" Secondary)" = Primary ] || die 1 'mkfs.ocfs2: Could not open device /dev/drbd0: Wrong medium type'
    for word; do case $word in -U | --cluster-stack*) die 1 "mkfs.ocfs2: unrecognized option '$word'" ;; esac; done
    : >/pair/drbd/ocfs2
    printf data | dd of=/dev/drbd0 bs=1 conv=notrunc 2>/dev/null
    ;;
debugfs.ocfs2)
    [ -e /pair/drbd/ocfs2 ] || exit 1
    printf '\tRevision: 0.90\n\tMax Node Slots: 2\n\tLabel: ocfs2\n\tUUID: D8C87B55258A49E3B6F0CC283B591EE6\n'
    ;;
mount)
    log mount "$@"
    running o2cb || die 1 'mount.ocfs2: Unable to access cluster service while trying initialize cluster'
    [ "$(get role "$node" Secondary)" = Primary ] || die 1 'mount.ocfs2: Wrong medium type while opening device /dev/drbd0'
    echo '/dev/drbd0 /drbd0 ocfs2 rw,_netdev,noatime,heartbeat=local 0 0' >>/Proc/mounts
    ;;
ssh)
    # The peer lets in whose key it has.
    grep -qF "$(cut -d ' ' -f 2 /root/.ssh/id_rsa.pub)" "/pair/$peer/root/.ssh/authorized_keys" 2>/dev/null ||
        die 255 'Permission denied (publickey,password).'
    ;;
xm)
    [ "$1" = list ] && [ -n "${2-}" ] || exit 0
    # crm_mon has it on node2.
    in_cib resources "$2" && [ "$node" = node2 ] || die 1 "Error: Domain '$2' does not exist."
    ;;
*) die 127 "$name: nobody plays this program" ;;
esac

#!/bin/sh
# The cluster ocfs2 from two fresh machines, step by step: made by hapair 0.1.0.
# No node was asked: hapair itself looks before and after each of these commands, and this script does not. It
# destroys what the devices hold. Keys that hapair makes are shown as "made-by-hapair-at-install".
set -eu

at() { # at NODE LINE
    case $1 in
    1) ssh root@192.0.2.1 "$2" ;; # node1
    2) ssh root@192.0.2.2 "$2" ;; # node2
    esac
}

quoted() { # quoted WORD...: as a line for another shell
    for word; do printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\''/g")"; done
}

on() { # on 1|2|both PROGRAM ARGUMENT...
    where=$1
    shift
    line=$(quoted "$@")
    case $where in
    both) at 1 "$line" </dev/null && at 2 "$line" </dev/null ;;
    *) at "$where" "$line" </dev/null ;;
    esac
}

give() { # give 1|2|both PROGRAM ARGUMENT...: with what comes on standard input
    where=$1
    shift
    line=$(quoted "$@")
    input=$(mktemp)
    cat >"$input"
    for node in 1 2; do
        case $where in both | "$node") at "$node" "$line" <"$input" || exit ;; esac
    done
    rm -f "$input"
}

write() { # write 1|2|both PATH MODE: a whole file, from standard input
    give "$1" sh -c 'umask 077; mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1"' sh "$2" "$3"
}

wait_for() { # wait_for 1|2|both SECONDS LINE
    end=$(($(date +%s) + $2))
    until on "$1" sh -c "$3" 2>/dev/null; do
        [ "$(date +%s)" -lt "$end" ] || { echo "not so after $2 s: $3" >&2; exit 1; }
        sleep 3
    done
}


# === hosts: Give both nodes their names and let them find each other
#
# DRBD, OCFS2 and the cluster all go by the name that `uname -n` says: a configuration file that names another one is for
# another machine. Both names must lead to the addresses of the cluster's own network, without a name server, since the
# cluster has to work when the name server does not.
#
# Careful: A node that already runs a cluster or DRBD under another name is refused, not renamed.

# call this node node1, and have both names in /etc/hosts
on 1 hostname node1
on 1 sh -c 'echo "$1" >/etc/hostname' sh node1
on 1 sed -i 's/^\(127\..*\)[[:space:]]node1\>/\1/' /etc/hosts
on 1 sh -c 'printf "%s\t%s\n" "$@" >>/etc/hosts' sh 192.0.2.1 node1 192.0.2.2 node2
on 2 hostname node2
on 2 sh -c 'echo "$1" >/etc/hostname' sh node2
on 2 sed -i 's/^\(127\..*\)[[:space:]]node2\>/\1/' /etc/hosts
on 2 sh -c 'printf "%s\t%s\n" "$@" >>/etc/hosts' sh 192.0.2.2 node2 192.0.2.1 node1

# It worked: `uname -n` on each node; `getent hosts node2` on node1 gives the address in the answers, and the other way round


# === partition: Find or make the partition under DRBD
#
# DRBD mirrors one partition of each node to the other. It must exist on both, hold nothing that anybody wants to
# keep, and have the same usable size: DRBD uses only the smaller of the two, and refuses a peer that is smaller later.
# Nothing is ever written into the partition here, and no existing entry of a partition table changes.
#
# Careful: Disk names move. A name under /dev/disk/by-id always means the same disk; /dev/sda3 may mean another one after a disk was added.

# install util-linux
on both env DEBIAN_FRONTEND=noninteractive apt-get -y install util-linux

# partition /dev/sda3 of equal size on both nodes
on both blockdev --getsize64 /dev/sda3

# It worked: `lsblk -b -o NAME,SIZE,FSTYPE,MOUNTPOINTS` shows the partition on both nodes with the same size, no file system of its own and no mount point (Ubuntu 7.10 has no lsblk: `sfdisk -s /dev/sda3`, `cat /proc/mounts /proc/swaps`)


# === xen: Install the hypervisor and let it boot by default
#
# Xen runs below Linux: the machine boots Xen, and Xen boots Linux as its privileged domain (dom0). So the boot loader must
# pick Xen, and dom0 must be told how much memory is its own: without `dom0_mem` it takes all there is and has to give it
# back, slowly, for each virtual machine.
#
# Careful: With Secure Boot on, GRUB refuses to load Xen. Such a node is refused.

# install ubuntu-xen-server and 10 more packages
on both env DEBIAN_FRONTEND=noninteractive apt-get -y install ubuntu-xen-server drbd8-utils drbd8-source module-assistant build-essential ocfs2-tools heartbeat-2 stonith at busybox-static cpio

# write /etc/xen/xend-config.sxp
write 1 /etc/xen/xend-config.sxp 0644 <<'END'
# Made by hapair 0.1.0. xend refuses to take over a running VM unless it is told to listen.
(xend-relocation-server yes)
(xend-relocation-port 8002)
# Only on the cluster's own network, and only for these two: whoever may connect here can put a VM on this machine.
(xend-relocation-address '192.0.2.1')
(xend-relocation-hosts-allow '^localhost$ ^localhost\\.localdomain$ ^node1$ ^node2$ ^192\\.0\\.2\\.1$ ^192\\.0\\.2\\.2$')
# Renames eth0 and puts a bridge in its place when xend starts: long before DRBD and Heartbeat do.
(network-script network-bridge)
(vif-script vif-bridge)
(dom0-min-mem 1024)
(dom0-cpus 0)
(vncpasswd '')
END
write 2 /etc/xen/xend-config.sxp 0644 <<'END'
# Made by hapair 0.1.0. xend refuses to take over a running VM unless it is told to listen.
(xend-relocation-server yes)
(xend-relocation-port 8002)
# Only on the cluster's own network, and only for these two: whoever may connect here can put a VM on this machine.
(xend-relocation-address '192.0.2.2')
(xend-relocation-hosts-allow '^localhost$ ^localhost\\.localdomain$ ^node1$ ^node2$ ^192\\.0\\.2\\.1$ ^192\\.0\\.2\\.2$')
# Renames eth0 and puts a bridge in its place when xend starts: long before DRBD and Heartbeat do.
(network-script network-bridge)
(vif-script vif-bridge)
(dom0-min-mem 1024)
(dom0-cpus 0)
(vncpasswd '')
END

# make Xen the entry that GRUB boots
on both sh -c 'sed -i "s/^# xenhopt=.*/# xenhopt=$1/" "$2"' sh dom0_mem=1024M /boot/grub/menu.lst
on both update-grub
on both sh -c 'n=$(awk '\''/^title/ { n++ } /^kernel.*\/xen/ { print n - 1; exit }'\'' "$1") && sed -i "s/^default.*/default $n/" "$1"' sh /boot/grub/menu.lst

# It worked: `grep -m1 'multiboot2.*xen' /boot/grub/grub.cfg` shows dom0_mem; the last `set default=` in that file names the entry with Xen (Ubuntu 7.10: `default` in /boot/grub/menu.lst is the number of the entry with xen-3.1.gz, counted from 0)


# === xen-boot: Boot both nodes into Xen, one after the other
#
# Only a reboot brings Xen up. One node goes first, and the other follows only when the first is back: so one of them
# is always there, and a mistake in the boot loader costs one node and not two.
#
# Careful: Both nodes reboot. Whatever else runs on them is stopped.

# the first node: reboot into Xen
on 1 shutdown -r now
# wait: the return of the node under Xen
wait_for 1 900 'grep -q control_d /proc/xen/capabilities'

# the first node: let xend listen for VMs of the other node
on 1 /etc/init.d/xend restart
# wait: let xend listen for VMs of the other node
wait_for 1 60 'grep -q '\'' [0-9A-F]*:1F42 [0-9A-F]*:0000 0A '\'' /proc/net/tcp'

# the second node: reboot into Xen
on 2 shutdown -r now
# wait: the return of the node under Xen
wait_for 2 900 'grep -q control_d /proc/xen/capabilities'

# the second node: let xend listen for VMs of the other node
on 2 /etc/init.d/xend restart
# wait: let xend listen for VMs of the other node
wait_for 2 60 'grep -q '\'' [0-9A-F]*:1F42 [0-9A-F]*:0000 0A '\'' /proc/net/tcp'

# It worked: `xl info` shows xen_version, `xl list` shows Domain-0 (Ubuntu 7.10: `xm info`, `xm list`)


# === drbd-module: Load DRBD's kernel module, now and at boot
#
# DRBD's work is done in the kernel. The module must be there for the kernel that runs (under Xen: the one that was
# booted with it), be loaded, and be loaded again at each boot. Its version decides which dialect its
# configuration file is written in, whatever version the tools have.

# install drbd8-utils and 3 more packages
on both env DEBIAN_FRONTEND=noninteractive apt-get -y install drbd8-utils drbd8-source module-assistant build-essential

# build the drbd module for the running kernel
on both sh -c 'set -e
kernel=$(uname -r)
export DEBIAN_FRONTEND=noninteractive
apt-get -q -y install "linux-headers-$kernel"
m-a --text-mode --non-inter -l "$kernel" a-i drbd8
depmod -a "$kernel"
'

# kernel module drbd loaded, now and at boot
on both modprobe drbd
on both sh -c 'echo "$1" >>/etc/modules' sh drbd

# It worked: `cat /proc/drbd` shows `version: 8.4.11` or so on both nodes (Ubuntu 7.10: 8.0.3)


# === o2cb: Bring up o2cb, the cluster layer of OCFS2
#
# OCFS2 lets both nodes mount the same file system at the same time. Its own cluster layer, o2cb, must know both nodes by
# their numbers, names and addresses, and be online on both, before anything can be mounted. A node that can't
# write its heartbeat to the disk for a minute resets itself, so that it can't write later what the other doesn't expect.

# install ocfs2-tools
on both env DEBIAN_FRONTEND=noninteractive apt-get -y install ocfs2-tools

# write /etc/ocfs2/cluster.conf
write both /etc/ocfs2/cluster.conf 0644 <<'END'
node:
	ip_port = 7777
	ip_address = 192.0.2.1
	number = 0
	name = node1
	cluster = ocfs2

node:
	ip_port = 7777
	ip_address = 192.0.2.2
	number = 1
	name = node2
	cluster = ocfs2

cluster:
	node_count = 2
	name = ocfs2
END

# write /etc/default/o2cb
write both /etc/default/o2cb 0644 <<'END'
# Written by hapair. The values must be the same on both nodes, or mounting fails.
# "true" exactly: with anything else the start script says nothing and does nothing.
O2CB_ENABLED=true
O2CB_STACK=o2cb
O2CB_BOOTCLUSTER=ocfs2
# A node that can't write its heartbeat to the disk for (76 - 1) * 2 = 150 seconds resets itself. DRBD stops all writing
# while a lost peer is being fenced, which may take stonith-timeout (120 s): with less, the survivor would reset itself too.
O2CB_HEARTBEAT_THRESHOLD=76
# A node that has been silent for so long counts as cut off, and so does one whose kernel is back and refuses the old connection.
# 156 seconds later the node with the higher number resets itself unless the other's heartbeat has been found dead by then: that
# takes 150 seconds from when the fencing is over, since nobody can look at heartbeats before. So this must be longer than fencing
# and those 150 seconds take; and a machine that boots faster than it is fenced must not refuse meanwhile: let it wait in its
# boot loader for a minute, or it costs the other one a reset too.
O2CB_IDLE_TIMEOUT_MS=300000
O2CB_KEEPALIVE_DELAY_MS=2000
O2CB_RECONNECT_DELAY_MS=2000
END

# bring o2cb online
on both /etc/init.d/o2cb restart
# wait: bring o2cb online
wait_for both 30 '/etc/init.d/o2cb status | grep -q "Checking O2CB cluster .*: Online"'

# It worked: `o2cb cluster-status` says `Cluster 'ocfs2' is online` on both nodes (Ubuntu 7.10: `/etc/init.d/o2cb status` shows `Online`; its exit code says nothing)


# === drbd-resource: Describe the DRBD resource and connect both sides
#
# The resource says which device of each node is mirrored over which addresses. The file must be the same on both
# nodes. DRBD's own metadata goes to the end of the device, once: made again, it would forget which side is good.
# Without `allow-two-primaries` the second node could never be Primary, and no virtual machine could move while it runs.
#
# Careful: What the device holds is lost, if the answers consent to that by naming it (`erase`). Its first and last MiB are kept in /var/lib/hapair. Such a consent is used once; data of this cluster it never covers.

# write /etc/drbd.conf
write both /etc/drbd.conf 0600 <<'END'
# Written by hapair. The same file on both nodes.
global {
    usage-count no;
}
resource r0 {
    protocol C;
    handlers {
        # A Primary whose own data are not complete and that loses its peer can do nothing but harm.
        pri-on-incon-degr "echo o > /proc/sysrq-trigger ; halt -f";
        pri-lost-after-sb "echo o > /proc/sysrq-trigger ; halt -f";
    }
    startup {
        # The default is to wait for the peer for ever.
        wfc-timeout 120;
        degr-wfc-timeout 120;
    }
    disk {
        on-io-error detach;
    }
    net {
        allow-two-primaries;
        after-sb-0pri discard-zero-changes;
        after-sb-1pri discard-secondary;
        after-sb-2pri disconnect;
        rr-conflict disconnect;
        cram-hmac-alg sha1;
        shared-secret "made-by-hapair-at-install";
    }
    syncer {
        rate 10240K;
        al-extents 257;
    }
    on node1 {
        device /dev/drbd0;
        disk /dev/sda3;
        address 192.0.2.1:7788;
        meta-disk internal;
    }
    on node2 {
        device /dev/drbd0;
        disk /dev/sda3;
        address 192.0.2.2:7788;
        meta-disk internal;
    }
}
END

# DRBD metadata of r0 on /dev/sda3
on both drbdadm -- --force create-md r0

# DRBD resource r0 up and connected
on both drbdadm adjust r0
# wait: DRBD connected between node1 and node2 (TCP port 7788 must be open both ways)
wait_for 1 300 'drbdadm cstate r0 | grep -q -e Connected -e Sync'

# It worked: `cat /proc/drbd` shows `cs:Connected` on both nodes; `sha256sum` of the configuration is the same on both


# === drbd-sync: Make both sides of the mirror equal
#
# After `create-md` both sides are Inconsistent: neither is known to be good. One of them has to be declared the good
# one, once, and copied to the other. A node may become Primary only on good data. With `initial_sync: skip` both are declared equal instead, which is
# right where both devices are new, since a file system is made on them afterwards.
#
# Careful: The copy of a large device takes hours. hapair may be stopped meanwhile; the copy goes on, and the same command continues.

# both sides of r0 in sync
on 1 drbdadm -- --overwrite-data-of-peer primary r0
# wait: r0 UpToDate on both nodes
wait_for 1 604800 '[ "$(drbdadm dstate r0)" = UpToDate/UpToDate ]'

# DRBD resource r0 up and connected
on both drbdadm adjust r0
# wait: DRBD connected between node1 and node2 (TCP port 7788 must be open both ways)
wait_for 1 300 'drbdadm cstate r0 | grep -q -e Connected -e Sync'

# It worked: `cat /proc/drbd` shows `ds:UpToDate/UpToDate` on both nodes


# === drbd-promote: Make both nodes Primary
#
# Only a Primary may write to /dev/drbd0. Both nodes are Primary at the same time, because a virtual machine that moves
# while it runs has its disk open on both for a moment, and because OCFS2 is mounted on both.

# r0 Primary
on both drbdadm primary r0

# It worked: `cat /proc/drbd` shows `Primary/Primary` on both nodes


# === mkfs: Make the cluster file system
#
# OCFS2 is made once, on one node, on the DRBD device (never on the partition under it); DRBD carries it to the other.
# It is labelled with the cluster's name and has room for two nodes. It belongs to o2cb's cluster, so that no
# other cluster can mount it by mistake.

# OCFS2 on /dev/drbd0
on 1 mkfs.ocfs2 -b 4K -C 4K -N 2 -L ocfs2 /dev/drbd0

# DRBD resource r0 up and connected
on both drbdadm adjust r0
# wait: DRBD connected between node1 and node2 (TCP port 7788 must be open both ways)
wait_for 1 300 'drbdadm cstate r0 | grep -q -e Connected -e Sync'

# It worked: `mounted.ocfs2 -d /dev/drbd0` shows the stack o2cb, the cluster ocfs2 and the label


# === mount: Mount the file system on both nodes
#
# Configuration and disks of the virtual machines live here, at the same path on both nodes. What one node
# writes the other must read at once: that is tried with a small file from each side.

# /dev/drbd0 mounted on /drbd0
on both mkdir -p /drbd0
on both mount -t ocfs2 -o noatime,_netdev /dev/drbd0 /drbd0

# what one node writes under /drbd0 the other reads
on 1 touch /drbd0/.hapair-node1
on 2 ls /drbd0/.hapair-node1

# It worked: `mount | grep ocfs2` on both nodes; a file written on one is there on the other


# === ssh-keys: Let root of each node log in at the other
#
# Live migration with Xen is a login: `xl migrate` sends the memory of a running machine through SSH, as root, and nobody is
# there to answer a question. The tutorial's fencing (external/ssh) logs in as well. So root's keys must be known on both
# sides, and so must the host keys.
#
# Careful: Whoever becomes root on one node is root on the other. In a pair that shares its storage that is so in any case.

# a key for root
on both sh -c '[ -e "$1" ] || ssh-keygen -q -t "$2" -N "" -f "$1"' sh /root/.ssh/id_rsa rsa

# root of node1 and node2 may log in at the other, without a question
on 1 ssh-copy-id -i /root/.ssh/id_rsa.pub root@node2
on 2 ssh-copy-id -i /root/.ssh/id_rsa.pub root@node1

# log in as root on node2 without a question
on 1 ssh -n -o BatchMode=yes root@node2 uname -n
on 2 ssh -n -o BatchMode=yes root@node1 uname -n

# It worked: `ssh -o BatchMode=yes root@node2 uname -n` on node1 prints node2, and the other way round


# === messaging: Form the cluster's membership
#
# The two nodes must know at every moment whether the other one is there, and agree on who decides. On Debian Corosync
# does that (it took Heartbeat's place), and Pacemaker above it decides what runs where. Messages are encrypted and
# authenticated with a key that both share: otherwise anybody on that network could take part. Two links, where there
# are two, keep one pulled cable from looking like a dead node.
#
# Careful: A node that belongs to another cluster already is refused, not taken over.

# install heartbeat-2
on both env DEBIAN_FRONTEND=noninteractive apt-get -y install heartbeat-2

# see that this node is in no other cluster of Heartbeat
on both sh -c 'echo "$1 names other nodes: $(grep "^node" "$1"); this node is in a cluster already" >&2; exit 1' sh /etc/ha.d/ha.cf

# write /etc/ha.d/ha.cf
write both /etc/ha.d/ha.cf 0644 <<'END'
# Made by hapair 0.1.0. The same on both nodes.
logfacility daemon
keepalive 2
warntime 10
# Below the 150 s after which O2CB resets a node by itself.
deadtime 30
initdead 120
# Before the links, or it has no effect on them.
udpport 694
# A node ignores the line with its own address.
ucast eth0 192.0.2.1
ucast eth0 192.0.2.2
autojoin none
node node1
node node2
crm on
END

# write /etc/ha.d/authkeys
write both /etc/ha.d/authkeys 0600 <<'END'
auth 1
1 sha1 made-by-hapair-at-install
END

# write /root/cluster/ready.sh
write both /root/cluster/ready.sh 0755 <<'END'
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
END

# service heartbeat: started at boot, running
on both update-rc.d -f heartbeat remove
on both update-rc.d heartbeat start 75 2 3 4 5 . stop 05 0 1 6 .
on both /etc/init.d/heartbeat start

# It worked: `crm_mon -1` on both nodes says `Online: [ node1 node2 ]` and names a current DC, `partition with quorum` (Ubuntu 7.10: `Node: node1 (...): online` for both, and a current DC; `cl_status nodestatus node2` says active)


# === cib-bootstrap: Load the cluster's properties
#
# The properties say what the cluster does when something goes wrong: fence a node that it has lost, stop everything
# without quorum, leave a VM where it is when its old node comes back. They are loaded by the cluster's own tool and
# read back; the file on disk must never be edited while the cluster runs.

# write /root/cluster/load.sh
write both /root/cluster/load.sh 0755 <<'END'
#!/bin/sh
# Made by hapair 0.1.0. Usage: load.sh check|load SECTION FILE
# Loads an object into the CIB of Heartbeat 2, or tells whether it is there as the file has it (exit code 0).
# `cibadmin -C` refuses what exists (21), `-M` what does not (22): so the one, then the other. Both need `-o`.

section=$2 file=$3
# A file may be empty: a VM that prefers no node has no location.
grep -q '<' "$file" || exit 0

# Each tag of the file with an id must be in the live section, with the same attributes.
check() {
    live=$(cibadmin -Q -o "$section" 2>/dev/null) || return 1
    printf '%s\n' "$live" | awk '
        function attributes(text,    n) {
            n = 0
            while (match(text, /[A-Za-z_][A-Za-z_-]*="[^"]*"/)) {
                list[++n] = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
            }
            return n
        }
        BEGIN { RS = ">" }
        {
            start = index($0, "<")
            text = substr($0, start + 1)
            gsub(/[ \t\r\n]+/, " ", text)
            key = ""
            n = attributes(text)
            for (i = 1; i <= n; i++) if (list[i] ~ /^id="/) key = list[i]
            if (key == "") next
            if (NR == FNR) wanted[key] = text
            else live[key] = text
        }
        END {
            for (key in wanted) {
                if (!(key in live)) exit 1
                n = attributes(wanted[key])
                for (i = 1; i <= n; i++) if (index(live[key], " " list[i]) == 0) exit 1
            }
        }
    ' "$file" -
}

case $1 in
    check) check ;;
    load)
        if check; then exit 0; fi
        cibadmin -C -o "$section" -x "$file"
        code=$?
        # 21: the object already exists.
        [ "$code" -eq 21 ] || exit "$code"
        cibadmin -M -o "$section" -x "$file"
        ;;
    *) echo "usage: $0 check|load SECTION FILE" >&2; exit 2 ;;
esac
END

# write /root/cluster/bootstrap.xml
write both /root/cluster/bootstrap.xml 0644 <<'END'
<cluster_property_set id="bootstrap">
  <attributes>
    <nvpair id="bootstrap01" name="cluster-delay" value="60s"/>
    <nvpair id="bootstrap02" name="default-resource-stickiness" value="INFINITY"/>
    <nvpair id="bootstrap03" name="default-resource-failure-stickiness" value="-500"/>
    <nvpair id="bootstrap04" name="stonith-enabled" value="true"/>
    <nvpair id="bootstrap05" name="stonith-action" value="reboot"/>
    <nvpair id="bootstrap06" name="symmetric-cluster" value="true"/>
    <nvpair id="bootstrap07" name="no-quorum-policy" value="stop"/>
    <nvpair id="bootstrap08" name="stop-orphan-resources" value="true"/>
    <nvpair id="bootstrap09" name="stop-orphan-actions" value="true"/>
    <nvpair id="bootstrap10" name="is-managed-default" value="true"/>
  </attributes>
</cluster_property_set>
END

# load the cluster's properties
on 1 sh /root/cluster/load.sh load crm_config /root/cluster/bootstrap.xml
# wait: load the cluster's properties
wait_for 1 120 'sh /root/cluster/load.sh check crm_config /root/cluster/bootstrap.xml'

# It worked: `cibadmin -Q -o crm_config` shows them; `crm_attribute -G -n stonith-enabled` says value=true (Ubuntu 7.10: `cibadmin -Q -o crm_config`)


# === stonith: Let each node switch the other one off
#
# When a node is silent the other can't know whether it is dead or only cut off. Before it takes over what ran there
# it must be sure: so it switches the silent node off ("shoot the other node in the head"). Without that both may
# start the same VM and write to the same disk. One of the two is shot 10 s later than the other, so that they don't
# shoot each other.
#
# Careful: From here on a node that is silent for about 20 seconds may be switched off by its peer.

# install stonith and one more package
on both env DEBIAN_FRONTEND=noninteractive apt-get -y install stonith at

# service atd: started at boot, running
on both update-rc.d atd defaults
on both /etc/init.d/atd start

# write /root/cluster/stonith.xml
write both /root/cluster/stonith.xml 0644 <<'END'
<clone id="stonithclone" globally_unique="false">
  <instance_attributes id="stonithclone-ia">
    <attributes>
      <nvpair id="stonithclone-node_max" name="clone_node_max" value="1"/>
    </attributes>
  </instance_attributes>
  <primitive id="stonith-ssh" class="stonith" type="external/ssh" provider="heartbeat">
    <operations>
      <op id="stonith-ssh-op01" name="monitor" interval="60s" timeout="20s" prereq="nothing"/>
      <op id="stonith-ssh-op02" name="start" timeout="20s" prereq="nothing"/>
    </operations>
    <instance_attributes id="stonith-ssh-ia">
      <attributes>
        <nvpair id="stonith-ssh-hostlist" name="hostlist" value="node1,node2"/>
      </attributes>
    </instance_attributes>
  </primitive>
</clone>
END

# load the fencing device
on 1 sh /root/cluster/load.sh load resources /root/cluster/stonith.xml

# It worked: `stonith_admin --list node2` on node1 names a device; `crm_mon -1` shows it as Started (Ubuntu 7.10: `stonith -t external/ssh hostlist='node1 node2' -l`; crm_mon)


# === boot: Promote and mount at each boot, before any VM
#
# After a reboot the DRBD resource has to become Primary and be mounted before the cluster starts a VM on it; and at
# `halt` it is the other way round: VMs leave, then the file system is unmounted, then DRBD is demoted, and only then
# may O2CB and the network go. With `start: cluster` the cluster itself does it, as clones on both nodes with order
# and colocation. With `start: script` a boot script does it, as on the page.
# At the end each node really switches the other one off, one after the other. A fencing device that answers may still
# belong to the wrong machine; only a machine that went down, and came back with all it carried, proves it.
#
# Careful: Each node is switched off once, without a warning to it, the first by an order, the second by the cluster itself, after the cluster link was cut for the purpose (by order too where fencing is by SSH, which goes over that link, where the link can't be cut, or while VMs run). No VM is defined yet. On a pair that has VMs, and whose fencing was changed, they have to be moved away first.

# service xendomains: not started at boot
on both update-rc.d -f xendomains remove

# write /etc/init.d/mountdrbd.sh
write both /etc/init.d/mountdrbd.sh 0755 <<'END'
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

END

# service mountdrbd.sh: started at boot
on both update-rc.d -f mountdrbd.sh remove
on both update-rc.d mountdrbd.sh start 72 2 3 4 5 . stop 06 0 1 6 .

# service o2cb: started at boot
on both update-rc.d -f o2cb remove
on both update-rc.d o2cb start 60 2 3 4 5 . stop 10 0 1 6 .

# service drbd: started at boot
on both update-rc.d -f drbd remove
on both update-rc.d drbd start 70 2 3 4 5 . stop 08 0 1 6 .

# It worked: `crm_mon -1` shows the DRBD clone Promoted and the file system's clone Started on both nodes; after a reboot too (Ubuntu 7.10: `ls /etc/rc2.d` has S60o2cb, S70drbd, S72mountdrbd.sh, S75heartbeat)


# === vms: Define the virtual machines as resources of the cluster
#
# Each VM has a folder on the shared mount with its disk and its configuration, so both nodes can run it. The cluster
# starts it on one of them, watches it, moves it while it runs when it has to leave a node, and starts it on the other
# when its node is lost.
#
# Careful: An image that is copied to the shared mount is copied through DRBD, at the speed of the link.

# copy /srv/vm01.cfg to /drbd0/xen/vm01/vm01.cfg
on 1 mkdir -p /drbd0/xen/vm01
on 1 cp /srv/vm01.cfg /drbd0/xen/vm01/vm01.cfg

# write /root/cluster/vm01.xml
write both /root/cluster/vm01.xml 0644 <<'END'
<primitive id="vm01" class="ocf" type="Xen" provider="heartbeat">
  <operations>
    <op id="vm01-op01" name="monitor" interval="120s" timeout="60s" prereq="nothing"/>
    <op id="vm01-op02" name="start" timeout="300s" start_delay="0"/>
    <op id="vm01-op03" name="stop" timeout="300s"/>
    <op id="vm01-op04" name="migrate_to" timeout="300s"/>
    <op id="vm01-op05" name="migrate_from" timeout="120s"/>
  </operations>
  <instance_attributes id="vm01-ia">
    <attributes>
      <nvpair id="vm01-attr01" name="xmfile" value="/drbd0/xen/vm01/vm01.cfg"/>
      <nvpair id="vm01-attr02" name="target_role" value="started"/>
    </attributes>
  </instance_attributes>
  <meta_attributes id="vm01-meta01">
    <attributes>
      <nvpair id="vm01-meta-attr01" name="allow_migrate" value="true"/>
    </attributes>
  </meta_attributes>
</primitive>
END

# write /root/cluster/vm01-location.xml
write both /root/cluster/vm01-location.xml 0644 <<'END'

END

# load the VM vm01
on 1 sh /root/cluster/load.sh load resources /root/cluster/vm01.xml

# load the node that vm01 prefers
on 1 sh /root/cluster/load.sh load constraints /root/cluster/vm01-location.xml

# It worked: `crm_mon -1` shows each VM Started on one node; `crm_resource --move --resource vm01` moves it, `crm_resource --clear` forgets that (Ubuntu 7.10: `crm_resource -M -r vm01`, and `-U` forgets it)


# === verify: Read the whole stack back
#
# Each step has checked its own part. This one looks at the whole as it stands now, from both nodes: DRBD Primary and
# UpToDate on both, the file system mounted for writing, both nodes online with quorum, fencing enabled and its device
# running, each VM running exactly once, by the hypervisor's own word and not only by the cluster's.

# It worked: `crm_mon -1`, `cat /proc/drbd`, `mount | grep ocfs2` and `xl list` on both nodes; or `hapair status`

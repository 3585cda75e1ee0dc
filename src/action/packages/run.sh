# Installs packages. Runs by itself on the node, so that neither a broken connection nor the end of hapair kills dpkg
# in the middle; hapair starts it and then only reads how far it is.
#
# $1 mirror  $2 services that must not start by themselves  $3... names of the packages
# pid, log, err, progress and rc (exit code and time, written last) are under /run/hapair/packages.*;
# /var/lib/hapair/packages.unfinished is there from the first change to a good end, also over a reboot.
set -u
umask 022
d=/run/hapair/packages
lib=/var/lib/hapair
mirror=$1 hold=$2
shift 2
export LC_ALL=C DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical UCF_FORCE_CONFFOLD=1
export NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# The mark by which our own policy-rc.d knows that it is asked from inside this install.
export HAPAIR_INSTALLS=1

policy=/usr/sbin/policy-rc.d
own_policy() {
    [ -f "$policy" ] && grep -q '^# hapair: keeps daemons down' "$policy"
}
# A daemon that starts with its package's default configuration forms a cluster of one. What this leaves behind if
# everything is killed is harmless: without the mark above it allows all, or asks the policy that was there before.
hold_daemons() {
    if ! own_policy; then
        rm -f "$policy.hapair-new"
        if [ -e "$policy" ] || [ -L "$policy" ]; then
            cp -a "$policy" "$policy.hapair-new" && mv -f -T "$policy.hapair-new" "$policy.hapair-saved"
        else
            rm -f "$policy.hapair-saved"
        fi
        cat >"$policy.hapair-new" <<'END'
#!/bin/sh
# hapair: keeps daemons down while it installs packages, and only then.
[ -z "${HAPAIR_INSTALLS-}" ] || exit 101
[ ! -x /usr/sbin/policy-rc.d.hapair-saved ] || exec /usr/sbin/policy-rc.d.hapair-saved "$@"
exit 0
END
        chmod 0755 "$policy.hapair-new" && mv -f -T "$policy.hapair-new" "$policy"
    fi
    # A package also enables its daemon for the next boot. Services that were not there before are masked until a
    # step wants them.
    [ -d /etc/systemd/system ] || return 0
    for service in $hold; do
        mask=/etc/systemd/system/$service.service
        [ ! -e "$mask" ] && [ ! -L "$mask" ] && ! known "$service" || continue
        ln -s /dev/null "$mask"
    done
}
known() {
    [ -e "/usr/lib/systemd/system/$1.service" ] || [ -e "/lib/systemd/system/$1.service" ] || [ -e "/etc/init.d/$1" ]
}
# Not everything that is held belongs to these packages.
release_unknown() {
    for service in $hold; do
        mask=/etc/systemd/system/$service.service
        [ -L "$mask" ] && [ "$(readlink "$mask")" = /dev/null ] && ! known "$service" && rm -f "$mask"
    done
}
release_daemons() {
    if [ -e "$policy.hapair-saved" ] || [ -L "$policy.hapair-saved" ]; then
        mv -f -T "$policy.hapair-saved" "$policy"
    elif own_policy; then
        rm -f "$policy"
    fi
}

finish() {
    rc=$?
    trap '' INT TERM HUP
    release_daemons
    [ "$rc" = 0 ] || df -Pk / /boot /usr /var /var/cache/apt/archives /tmp >"$d.df" 2>/dev/null
    if [ "$rc" = 0 ]; then
        release_unknown
        # dpkg has synced its own files; what maintainer scripts wrote is synced here.
        sync
        rm -f "$lib/packages.unfinished"
    fi
    # /run is empty after a boot, so the time since that orders what is there; the clock may be set meanwhile.
    read -r up _ </proc/uptime
    echo "$rc ${up%.*}" >"$d.rc.new"
    mv -f "$d.rc.new" "$d.rc"
}
trap finish EXIT
trap 'exit 143' INT TERM HUP

read -r line <"/proc/$$/stat"
began=$(set -- ${line##*) } && echo "${20}")
echo "$$ $began" >"$d.pid.new"
mv -f "$d.pid.new" "$d.pid"

stage() {
    echo "stage:$1" >>"$d.progress"
}
fetching() {
    read -r up _ </proc/uptime
    echo "${up%.*}" >"$d.fetching"
    stage "fetching packages"
}
sources() {
    if [ -n "$mirror" ]; then
        "$@" -o Dir::Etc::SourceList=/run/hapair/sources.list -o Dir::Etc::SourceParts=- -o APT::Get::List-Cleanup=0
    else
        "$@"
    fi
}
get() {
    sources apt-get -y -q "$@"
}
# Nothing that an administrator installed is removed to make room for ours.
install() {
    get --no-remove --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o APT::Status-Fd=3 "$@" 3>>"$d.progress"
}
# apt-get update and dpkg don't wait for a lock by themselves (the daily update may hold it right after a boot).
patiently() {
    tries=0
    while :; do
        : >"$d.try"
        "$@" 2>"$d.try"
        code=$?
        if [ "$code" != 0 ] && [ "$tries" -lt 60 ] && grep -q -e 'Could not get lock' -e 'locked by another process' "$d.try"; then
            stage "waiting for another package manager"
            tries=$((tries + 1))
            sleep 5
            continue
        fi
        cat "$d.try" >&2
        return "$code"
    done
}
updated=
update() {
    stage "reading the package lists"
    updated=yes
    patiently get -o Acquire::Retries=2 update
}

again=
[ ! -e "$lib/packages.unfinished" ] || again=yes
mkdir -p "$lib"
: >"$lib/packages.unfinished"
sync "$lib/packages.unfinished" "$lib" 2>/dev/null || sync
hold_daemons

if [ -n "$mirror" ]; then
    VERSION_CODENAME=
    [ ! -r /etc/os-release ] || . /etc/os-release
    [ -n "$VERSION_CODENAME" ] || VERSION_CODENAME=$(sed -n 's/^DISTRIB_CODENAME=//p' /etc/lsb-release 2>/dev/null)
    case $mirror in
    "deb "*) echo "$mirror" ;;
    # A folder of root's own on the node: nobody signs it.
    file:*" "*) echo "deb [trusted=yes] $mirror" ;;
    *" "*) echo "deb $mirror" ;;
    *) echo "deb $mirror $VERSION_CODENAME main" ;;
    esac >/run/hapair/sources.list
fi

# An install that was killed leaves packages half unpacked or not configured.
interrupted=$again
for file in /var/lib/dpkg/updates/[0-9]*; do
    [ ! -e "$file" ] || interrupted=yes
done
if [ -n "$interrupted" ]; then
    stage "finishing an interrupted install"
    patiently dpkg --force-confdef --force-confold --configure -a
    if ! get -o DPkg::Lock::Timeout=300 check >/dev/null 2>&1; then
        [ -z "$mirror" ] || update
        install -f install
    fi
fi

if [ -n "$mirror" ] || ! get --no-remove --no-install-recommends -s install "$@" >/dev/null 2>&1; then
    [ -n "$updated" ] || update
fi
fetching
install install "$@"
code=$?
# The lists are older than the packages on the mirror: they name versions that are gone.
if [ "$code" != 0 ] && [ -z "$updated" ] && grep -q -e 'Failed to fetch' -e 'Unable to fetch' "$d.err"; then
    update
    fetching
    install install "$@"
    code=$?
fi
if [ "$code" = 0 ] && [ -d /run/systemd/system ]; then
    # Services that only have an init script are known after this.
    systemctl daemon-reload
fi
exit "$code"

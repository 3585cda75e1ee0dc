# Whether a package install of hapair is going on: its own process, or anything left of its session (apt-get and
# dpkg go on when only the process above them was killed). Uses no process.
d=/run/hapair/packages
lib=/var/lib/hapair
own_alive() {
    [ -r "$d.pid" ] || return 1
    read -r pid began <"$d.pid" || return 1
    [ -r "/proc/$pid/stat" ] && read -r line <"/proc/$pid/stat" || return 1
    # Behind the program's name, in brackets: the state is the first word, the time of its start the 20th.
    set -- "$began" ${line##*) }
    [ "$2" != Z ] && [ "${21}" = "$1" ]
}
session_alive() {
    own_alive && return 0
    [ -r "$d.pid" ] || return 1
    read -r pid began <"$d.pid" || return 1
    for file in /proc/[0-9]*/stat; do
        { read -r line <"$file"; } 2>/dev/null || continue
        set -- ${line##*) }
        [ "$4" != "$pid" ] || [ "$1" = Z ] || return 0
    done
    return 1
}

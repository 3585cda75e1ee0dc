# Succeeds when there is nothing to take back at a path: hapair never wrote it, or somebody changed it since.
# $1 path  $2 its name in the record  $3 mount point of the shared file system that it lies on, or nothing
kept=/var/lib/hapair
[ -e "$kept/backup/$2" ] || [ -L "$kept/backup/$2" ] || [ -e "$kept/absent/$2" ] || exit 0
# Without its mount the path is one of the node's own disk: nothing can be put back there.
[ -z "${3-}" ] || grep -qF " $3 ocfs2 " /proc/mounts || exit 0
sum() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else sha1sum <"$1"; fi | cut -d ' ' -f 1
}
if [ ! -e "$1" ] && [ ! -L "$1" ]; then
    exit 1
fi
# Put back already, by a run that was ended before it could say so.
if [ ! -e "$kept/absent/$2" ] && [ ! -L "$1" ] && [ ! -L "$kept/backup/$2" ] && cmp -s "$1" "$kept/backup/$2"; then
    exit 1
fi
last=$(tail -n 1 "$kept/written/$2" 2>/dev/null)
if [ -n "$last" ] && [ ! -L "$1" ] && [ -f "$1" ] && [ "$(sum "$1")" = "$last" ]; then
    exit 1
fi
exit 0

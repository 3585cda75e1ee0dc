# Writes a whole file: beside the old one, synced, then renamed over it.
# $1 path  $2 mode, or "keep"  $3 owner  $4 size  $5 name of the backup  $6 size of the old content, or nothing
# $7 mount point of the shared file system that it lies on, or nothing
# The content comes on standard input; with $6, the old content stands before it, and must still be what the file holds.
set -eu
path=$1 mode=$2 owner=$3 size=$4 key=$5 old=$6 guard=$7
dir=${path%/*}
new=$dir/.${path##*/}.hapair-new
kept=/var/lib/hapair
if [ -n "$guard" ] && ! grep -qF " $guard ocfs2 " /proc/mounts; then
    echo "$guard is not mounted: $path was not written" >&2
    exit 1
fi
if [ -d "$path" ] && [ ! -L "$path" ]; then
    echo "$path is a folder" >&2
    exit 73
fi
umask 022
[ -d "$dir/" ] || mkdir -p "$dir"
umask 077
mkdir -p "$kept/backup" "$kept/absent" "$kept/written" "$kept/changed"
sum() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else sha1sum <"$1"; fi | cut -d ' ' -f 1
}
ours() {
    [ ! -L "$path" ] && [ -e "$kept/written/$key" ] && grep -qxF -e "$(sum "$path")" "$kept/written/$key"
}
# Keeps the file at $path as $1: there as a whole, or not at all.
keep() {
    rm -f "$kept/.new"
    cp -a "$path" "$kept/.new"
    [ -L "$kept/.new" ] || sync "$kept/.new"
    mv -T "$kept/.new" "$1"
}
if [ ! -e "$kept/backup/$key" ] && [ ! -L "$kept/backup/$key" ] && [ ! -e "$kept/absent/$key" ]; then
    if [ -e "$path" ] || [ -L "$path" ]; then
        # What hapair made on the shared mount stays there behind an undo, with the data, and is hapair's still.
        if [ -z "$guard" ] || ! ours; then keep "$kept/backup/$key"; fi
    elif [ -z "$guard" ]; then
        : >"$kept/absent/$key"
    fi
elif [ -z "$old" ] && { [ -e "$path" ] || [ -L "$path" ]; } && ! ours; then
    # Somebody changed it after hapair wrote it. (With the old content given, the new one was made from it.)
    n=1
    while [ -e "$kept/changed/$key.$n" ] || [ -L "$kept/changed/$key.$n" ]; do n=$((n + 1)); done
    keep "$kept/changed/$key.$n"
fi
rm -f "$new"
if [ "$mode" = keep ] && [ -e "$path" ]; then
    # Takes over mode and owner; the content is replaced in the next line.
    cp -p "$path" "$new"
fi
cat >"$new"
# A connection that broke looks like the end of the content.
if [ "$(wc -c <"$new")" -ne "$size" ]; then
    rm -f "$new"
    echo "the content of $path did not arrive whole; nothing was changed" >&2
    exit 74
fi
if [ -n "$old" ]; then
    there=/dev/null
    [ ! -e "$path" ] || there=$path
    if ! head -c "$old" "$new" | cmp -s - "$there"; then
        rm -f "$new"
        echo "$path was changed meanwhile by something else; nothing was changed here, run it again" >&2
        exit 75
    fi
    rm -f "$new.tail"
    tail -c "+$((old + 1))" "$new" >"$new.tail"
    # Not renamed: the mode that was taken over stays.
    cat "$new.tail" >"$new"
    rm -f "$new.tail"
fi
case $mode in
keep) [ -e "$path" ] || chmod 0644 "$new" ;;
*)
    chown "$owner" "$new"
    chmod "$mode" "$new"
    ;;
esac
sync "$new"
# Before the file is in its place: what is there later can be told from what somebody else wrote.
rm -f "$kept/.new"
{ if [ -e "$kept/written/$key" ]; then cat "$kept/written/$key"; fi; sum "$new"; } >"$kept/.new"
sync "$kept/.new"
mv -f -T "$kept/.new" "$kept/written/$key"
# The file may lie on another file system, which may reach its disk before this one does.
sync "$kept" "$kept/backup" "$kept/absent" "$kept/written" "$kept/changed"
mv -f -T "$new" "$path"
sync "$dir/"

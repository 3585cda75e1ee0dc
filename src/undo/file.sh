# Puts back what stood at a path before hapair came, or removes what hapair made there. Looks once more before it does.
# $1 path  $2 its name in the record  $3 mount point of the shared file system that it lies on, or nothing
set -eu
path=$1 key=$2 guard=${3-} kept=/var/lib/hapair
dir=${path%/*}
sum() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else sha1sum <"$1"; fi | cut -d ' ' -f 1
}
ours() {
    last=$(tail -n 1 "$kept/written/$key" 2>/dev/null) || return 1
    [ -n "$last" ] && [ ! -L "$path" ] && [ -f "$path" ] && [ "$(sum "$path")" = "$last" ]
}
there() {
    [ -e "$path" ] || [ -L "$path" ]
}
if [ -n "$guard" ] && ! grep -qF " $guard ocfs2 " /proc/mounts; then
    echo "$guard is not mounted: what stood at $path before stays in $kept/backup" >&2
    exit 1
fi
if [ -e "$kept/absent/$key" ]; then
    if there; then
        ours || { echo "$path was changed meanwhile: it was left alone" >&2; exit 1; }
        rm -f "$path"
    fi
elif ! { [ -f "$path" ] && [ ! -L "$path" ] && [ ! -L "$kept/backup/$key" ] && cmp -s "$path" "$kept/backup/$key"; }; then
    ! there || ours || { echo "$path was changed meanwhile: it was left alone" >&2; exit 1; }
    mkdir -p "$dir"
    new=$dir/.${path##*/}.hapair-new
    rm -f "$new"
    cp -a "$kept/backup/$key" "$new"
    [ -L "$new" ] || sync "$new"
    mv -f -T "$new" "$path"
fi
[ ! -d "$dir/" ] || sync "$dir/"
# In this order: what is put back must never be taken for hapair's, and is put back once more while there is a backup.
rm -f "$kept/written/$key"
rm -f "$kept/backup/$key" "$kept/absent/$key"
sync "$kept/written" "$kept/backup" "$kept/absent"

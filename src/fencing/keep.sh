# $1 name, $2 text, $3 name of what it takes the place of, or nothing
kept=/var/lib/hapair
umask 077
mkdir -p $kept || exit 1
printf '%s' "$2" >"$kept/$1.new" && sync "$kept/$1.new" && mv "$kept/$1.new" "$kept/$1" && sync $kept || exit 1
[ -z "$3" ] || rm -f "$kept/$3"

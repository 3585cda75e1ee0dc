# probe DEVICE DISK RESOURCE MINOR: what is on a device and who uses it, a line "key=value" for each fact.
# POSIX sh; sysfs of Linux 2.6.22 and later. It changes nothing.
hapair_line() { printf '%s=%s\n' "$1" "$2"; }

# The directory of a block device in sysfs: /sys/class/block came with 2.6.26.
hapair_sys() {
	for hapair_dir in "/sys/class/block/$1" "/sys/block/$1" /sys/block/*/"$1"; do
		[ -d "$hapair_dir" ] && return 0
	done
	return 1
}

hapair_attr() { hapair_value=; [ -r "$1" ] && IFS= read -r hapair_value <"$1" 2>/dev/null; [ -n "$hapair_value" ]; }

# Bytes $2.. ($3 long) of $1: all zero or not.
hapair_zero() {
	cmp -s -n "$3" -i "$2:0" "$1" /dev/zero
	case $? in 0) echo zero ;; 1) echo data ;; *) echo unreadable ;; esac
}

hapair_uses() {
	hapair_sys "$1" || return 0
	dir=$hapair_dir
	for holder in "$dir"/holders/*; do
		[ -e "$holder" ] && hapair_line use "/dev/$1 is held by ${holder##*/}"
	done
	if hapair_attr "$dir/dev" && [ -r /proc/self/mountinfo ]; then
		while read -r _ _ devno _ where _; do
			[ "$devno" = "$hapair_value" ] && hapair_line use "/dev/$1 is mounted on $where"
		done </proc/self/mountinfo
	fi
	while read -r what where _; do
		[ "$what" = "/dev/$1" ] && hapair_line use "/dev/$1 is mounted on $where"
	done </proc/mounts
	while read -r what _; do
		[ "$what" = "/dev/$1" ] && hapair_line use "/dev/$1 is swap space"
	done </proc/swaps
	return 0
}

# Is DEVICE ($1, really $2) the backing device of resource $3, minor $4, in the running kernel?
hapair_attached() {
	[ -r /proc/drbd ] || return 1
	read -r _ version _ </proc/drbd
	case $version in
	8.0* | 8.2* | 8.3*) show=$(drbdsetup "/dev/drbd$4" show 2>/dev/null) ;;
	*) show=$(drbdsetup show "$3" 2>/dev/null) ;;
	esac
	while read -r word path _; do
		[ "$word" = disk ] || continue
		path=${path#\"}; path=${path%;}; path=${path%\"}
		[ "$path" = "$1" ] && return 0
		[ "$(readlink -f "$path")" = "$2" ] && return 0
	done <<-END
		$show
	END
	return 1
}

hapair_signatures() {
	if command -v wipefs >/dev/null 2>&1; then
		wipefs -n -p "$1" 2>/dev/null | while IFS= read -r sig; do
			case $sig in '#'* | '') ;; *) hapair_line sig "$sig" ;; esac
		done
		return 0
	fi
	# Before util-linux 2.17.
	kind=$(blkid -o value -s TYPE "$1" 2>/dev/null) && [ -n "$kind" ] && hapair_line sig "0x0,,,$kind"
	uuid=$(drbdmeta "/dev/drbd$2" v08 "$1" internal dump-md 2>/dev/null </dev/null | sed -n 's/^device-uuid 0x\([0-9A-Fa-f]*\);.*/\1/p')
	[ -n "$uuid" ] && hapair_line sig "0x0,$uuid,,drbd"
	return 0
}

hapair_identities() {
	hapair_attr "/sys/block/$1/serial" && hapair_line serial "$hapair_value"
	hapair_attr "/sys/block/$1/device/serial" && hapair_line serial "$hapair_value"
	if command -v lsblk >/dev/null 2>&1; then
		hapair_line serial "$(lsblk -ndo SERIAL "/dev/$1" 2>/dev/null)"
	fi
	find /dev/disk/by-id /dev/disk/by-partuuid -type l -printf 'link=%f %l\n' 2>/dev/null
	return 0
}

# The partition is missing: the table of the disk on which it would be, and the space behind the last partition.
hapair_table() {
	hapair_real=$(readlink -f "$1" 2>/dev/null)
	[ -b "$hapair_real" ] || return 0
	hapair_line table-disk "$hapair_real"
	hapair_sys "${hapair_real#/dev/}" && hapair_attr "$hapair_dir/size" && hapair_line table-size $((hapair_value * 512))
	command -v sfdisk >/dev/null 2>&1 || return 0
	hapair_line sfdisk "$(sfdisk -v 2>/dev/null)"
	dump=$(sfdisk -d "$hapair_real" 2>/dev/null) || return 0
	end=0 sector=512
	while IFS= read -r entry; do
		hapair_line table "$entry"
		case $entry in
		sector-size:*) sector=${entry#*:} ;;
		*start=*size=*)
			start=${entry#*start=}; start=${start%%,*}
			size=${entry#*size=}; size=${size%%,*}
			[ $((start + size)) -gt $end ] && end=$((start + size))
			;;
		esac
	done <<-END
		$dump
	END
	align=$((1048576 / sector))
	[ $end -lt $align ] && end=$align
	free=$(((end + align - 1) / align * align))
	hapair_line free $free
	[ $((free * sector + 1048576)) -le $((hapair_value * 512)) ] || return 0
	if command -v wipefs >/dev/null 2>&1; then
		kind=$(blkid -p -o value -s TYPE -O $((free * sector)) "$hapair_real" 2>/dev/null)
		[ -n "$kind" ] && { hapair_line free-holds "$kind"; return 0; }
	fi
	[ "$(hapair_zero "$hapair_real" $((free * sector)) 1048576)" = zero ] || hapair_line free-holds "data of an unknown kind"
	return 0
}

probe() {
	hapair_line device "$1"
	real=$(readlink -f "$1" 2>/dev/null)
	for record in made making; do
		hapair_attr "/var/lib/hapair/drbd-$3.$record" && hapair_line "$record" "$hapair_value"
	done
	if [ ! -b "$1" ]; then
		[ -e "$1" ] && hapair_line kind other
		[ -e "$1" ] && return 0
		hapair_line kind missing
		[ -n "$2" ] || return 0
		table=$(hapair_table "$2")
		[ -n "$table" ] && printf '%s\n' "$table"
		case $table in
		*free-holds=*)
			disk=$(readlink -f "$2")
			hapair_line disk "${disk#/dev/}"
			hapair_identities "${disk#/dev/}"
			;;
		esac
		return 0
	fi
	hapair_line kind block
	hapair_line real "$real"
	name=${real#/dev/}
	case $name in */*) name=${name%%/*}'!'${name#*/} ;; esac
	hapair_sys "$name" || return 0
	sys=$hapair_dir disk=$name
	bytes=0; hapair_attr "$sys/size" && bytes=$((hapair_value * 512))
	hapair_line size $bytes
	hapair_attr "$sys/ro" && hapair_line ro "$hapair_value"
	first=0; hapair_attr "$sys/start" && first=$hapair_value
	hapair_line identity "$1 $bytes $first"
	if [ -e "$sys/start" ]; then
		disk=$(cd -P "$sys/.." && pwd -P); disk=${disk##*/}
		number=${name#"$disk"}; hapair_line partition "${number#p}"
	fi
	hapair_line disk "$disk"
	if hapair_attached "$1" "$real" "$3" "$4"; then
		hapair_line attached "$3"
		return 0
	fi
	used=$(hapair_uses "$name"; for part in "$sys/$name"*; do [ -e "$part/start" ] && hapair_uses "${part##*/}"; done)
	[ -n "$used" ] && { printf '%s\n' "$used"; return 0; }
	found=$(hapair_signatures "$1" "$4")
	head=zero tail=zero
	if [ "$bytes" -ge 2097152 ]; then
		head=$(hapair_zero "$1" 0 1048576)
		tail=$(hapair_zero "$1" $((bytes - 1048576)) 1048576)
	fi
	[ -n "$found" ] && printf '%s\n' "$found"
	hapair_line head "$head"
	hapair_line tail "$tail"
	[ "$found$head$tail" = zerozero ] || hapair_identities "$disk"
	return 0
}

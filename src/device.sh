# probe DEVICE DISK RESOURCE MINOR: what is on a device and who uses it, a line "key=value" for each fact.
# POSIX sh; sysfs of Linux 2.6.22 and later. It changes nothing. Perl is used where it is there, as on every Debian.
hapair_line() { printf '%s=%s\n' "$1" "$2"; }

# The directory of a block device in sysfs: /sys/class/block came with 2.6.26.
hapair_sys() {
	for hapair_dir in "/sys/class/block/$1" "/sys/block/$1" /sys/block/*/"$1"; do
		[ -d "$hapair_dir" ] && return 0
	done
	return 1
}

hapair_attr() { hapair_value=; [ -r "$1" ] && IFS= read -r hapair_value <"$1" 2>/dev/null; [ -n "$hapair_value" ]; }

# Is there anything but zeros in $3 bytes of $1 from byte $2 on? The first and the last MiB are read whole; what lies
# between is only sampled, at some eighty places, since reading a disk takes hours. With $4 the device is opened
# exclusively first: the kernel refuses that while it is mounted, is swap space, or belongs to LVM, RAID, DRBD or a btrfs.
hapair_sample() {
	if command -v perl >/dev/null 2>&1; then
		perl -e '
			use Fcntl;
			my ($path, $from, $size, $alone) = @ARGV;
			# 16 is EBUSY; a Secondary of DRBD can not be opened at all.
			if ($alone and !sysopen(FILE, $path, O_RDONLY | O_EXCL) and $! == 16) {
				print "use=$path is held by the kernel: $!\n";
				exit 0;
			}
			sysopen(FILE, $path, O_RDONLY) or do { print "head=unreadable\n"; exit 0 };
			sub look {
				my ($at, $left) = @_;
				sysseek(FILE, $from + $at, 0) or return "unreadable";
				while ($left > 0) {
					my $got = sysread(FILE, my $bytes, $left);
					return "unreadable" if !$got;
					return "data" if $bytes =~ tr/\0//c;
					$left -= $got;
				}
				return "zero";
			}
			my $mib = 1048576;
			print "head=", look(0, $mib), "\n", "tail=", look($size - $mib, $mib), "\n";
			my @places = map { 512 * int(($size - $mib) / 512 / 65 * $_) } 1 .. 64;
			for (my $at = $mib; $at < $size - $mib; $at *= 2) { push @places, $at }
			my $middle = "zero";
			for my $at (sort { $a <=> $b } @places) {
				next if $at < $mib;
				my $left = $size - $mib - $at;
				$middle = look($at, $left < 65536 ? $left : 65536) if $left > 0;
				last if $middle ne "zero";
			}
			print "middle=$middle\n";
		' "$1" "$2" "$3" "$4" 2>/dev/null && return 0
	fi
	hapair_line head "$(hapair_zero "$1" "$2" 1048576)"
	hapair_line tail "$(hapair_zero "$1" $(($2 + $3 - 1048576)) 1048576)"
}

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

# Is DEVICE ($1, really $2) the backing device of a DRBD resource in the running kernel? Of ours ($3, minor $4):
# attached; of another one: in use.
hapair_drbd() {
	[ -r /proc/drbd ] || return 0
	read -r _ version _ </proc/drbd
	case $version in
	8.0* | 8.2* | 8.3*)
		# These know minors only.
		while read -r minor state _; do
			case $minor$state in
			*:cs:Unconfigured) ;;
			[0-9]*:cs:*) hapair_lower "$1" "$2" "${minor%:}" "$4" "$(drbdsetup "/dev/drbd${minor%:}" show 2>/dev/null)" ;;
			esac
		done </proc/drbd
		;;
	*) hapair_lower "$1" "$2" "" "$3" "$(drbdsetup show 2>/dev/null)" ;;
	esac
}

# $3 whose disks $5 shows, if it does not say so itself; $4 who we are.
hapair_lower() {
	whose=$3
	while read -r word path _; do
		case $word in
		resource) whose=$path ;;
		disk)
			path=${path#\"}; path=${path%;}; path=${path%\"}
			if [ "$path" != "$1" ] && [ "$path" != "$2" ]; then
				[ -h "$path" ] && [ "$(readlink -f "$path")" = "$2" ] || continue
			fi
			if [ "$whose" = "$4" ]; then hapair_line attached "$4"; else hapair_line use "$2 is the disk of DRBD's $whose"; fi
			;;
		esac
	done <<-END
		$5
	END
}

# Processes that have $1 open, but for those that only look at every device.
hapair_open() {
	find /proc/[0-9]*/fd -lname "$1" 2>/dev/null | while IFS=/ read -r _ _ pid _; do
		comm=; read -r comm <"/proc/$pid/comm"
		case $comm in *udev* | blkid | wipefs | debugfs.ocfs2 | smartd | multipathd | udisksd | lvm | pvscan | "") ;; *) hapair_line use "$1 is open in process $pid ($comm)" ;; esac
	done
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

# Names by which a consent can mean the device $2 on the disk $1.
hapair_identities() {
	hapair_attr "/sys/block/$1/serial" && hapair_line serial "$hapair_value"
	hapair_attr "/sys/block/$1/device/serial" && hapair_line serial "$hapair_value"
	if command -v lsblk >/dev/null 2>&1; then
		hapair_line serial "$(lsblk -ndo SERIAL "/dev/$1" 2>/dev/null)"
	fi
	find /dev/disk/by-id /dev/disk/by-partuuid -type l -printf '%f %l\n' 2>/dev/null | while read -r name to; do
		case ${to##*/} in "$1" | "$2") hapair_line link "$name $to" ;; esac
	done
	return 0
}

# Generation identifiers in DRBD's metadata on $1 (minor $2).
hapair_generation() {
	for version in v08 v09; do
		gi=$(drbdmeta "$2" $version "$1" internal get-gi 2>/dev/null </dev/null) || continue
		case $gi in *:*:*) hapair_line gi "${gi##*
}"; return 0 ;; esac
	done
}

# A disk without partition table ($1, minor $2, $3 bytes), looked at as a device is: who uses it, and what is on it.
hapair_bare() {
	used=$(hapair_uses "${1#/dev/}"; hapair_open "$1")
	[ -n "$used" ] && printf '%s\n' "$used" && return 0
	found=$(hapair_signatures "$1" "$2")
	[ -n "$found" ] && printf '%s\n' "$found"
	alone=1
	case $found in *,ocfs2*) alone= ;; esac
	[ "$3" -ge 2097152 ] || return 0
	hapair_line bare yes
	hapair_sample "$1" 0 "$3" $alone
}

# The partition is missing: the table of the disk on which it would be ($1, minor $2), and the space behind the last
# partition. Without a table there may be a file system or a volume on the whole disk.
hapair_table() {
	hapair_real=$(readlink -f "$1" 2>/dev/null)
	[ -b "$hapair_real" ] || return 0
	hapair_line table-disk "$hapair_real"
	hapair_value=0
	hapair_sys "${hapair_real#/dev/}" && hapair_attr "$hapair_dir/size" && hapair_line table-size $((hapair_value * 512))
	command -v sfdisk >/dev/null 2>&1 || return 0
	hapair_line sfdisk "$(sfdisk -v 2>/dev/null)"
	dump=$(sfdisk -d "$hapair_real" 2>/dev/null) || { hapair_bare "$hapair_real" "$2" $((hapair_value * 512)); return 0; }
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
	left=$((hapair_value * 512 - free * sector))
	[ $left -ge 2097152 ] || return 0
	# The backup of a GPT is at the very end of its disk: that is not data.
	case $dump in *'label: gpt'*) left=$((left - 1048576)) ;; esac
	for tag in TYPE PTTYPE; do
		kind=$(blkid -p -o value -s $tag -O $((free * sector)) -S $left "$hapair_real" 2>/dev/null)
		[ -n "$kind" ] && hapair_line free-holds "$kind"
	done
	sample=$(hapair_sample "$hapair_real" $((free * sector)) $left "")
	case $sample in *=data* | *=unreadable*) hapair_line free-holds "data of an unknown kind" ;; esac
	return 0
}

# hapair_lines KEY FILE: a line for each line of a file.
hapair_lines() {
	[ -r "$2" ] || return 0
	while IFS= read -r line; do hapair_line "$1" "$line"; done <"$2"
}

probe() {
	hapair_line device "$1"
	real=$(readlink -f "$1" 2>/dev/null)
	made=
	for record in made making peer; do
		hapair_attr "/var/lib/hapair/drbd-$3.$record" && hapair_line "$record" "$hapair_value"
		[ $record = made ] && made=$hapair_value
	done
	hapair_lines spent "/var/lib/hapair/drbd-$3.spent"
	if [ ! -b "$1" ]; then
		[ -e "$1" ] && hapair_line kind other
		[ -e "$1" ] && return 0
		hapair_line kind missing
		[ -n "$2" ] || return 0
		table=$(hapair_table "$2" "$4")
		[ -n "$table" ] && printf '%s\n' "$table"
		case $table in
		*free-holds=* | *bare=*)
			disk=$(readlink -f "$2")
			hapair_line disk "${disk#/dev/}"
			hapair_identities "${disk#/dev/}" ""
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
	drbd=$(hapair_drbd "$1" "$real" "$3" "$4")
	[ -n "$drbd" ] && printf '%s\n' "$drbd"
	case $drbd in
	attached=*)
		# Only to make a lost record again.
		[ -n "$made" ] || hapair_signatures "$1" "$4"
		return 0
		;;
	esac
	used=$(
		hapair_uses "$name"
		[ "$disk" = "$name" ] || hapair_uses "$disk"
		for part in "$sys/$name"*; do [ -e "$part/start" ] && hapair_uses "${part##*/}"; done
	)
	[ -n "$used" ] && printf '%s\n' "$used"
	[ -z "$drbd$used" ] || return 0
	hapair_open "$real"
	found=$(hapair_signatures "$1" "$4")
	[ -n "$found" ] && printf '%s\n' "$found"
	alone=1
	case $found in
	*",$made,"*,drbd*) [ -z "$made" ] || return 0 ;;
	*,ocfs2*) alone= ;;
	esac
	sample=
	if [ "$bytes" -ge 2097152 ]; then
		sample=$(hapair_sample "$1" 0 "$bytes" $alone)
		printf '%s\n' "$sample"
	fi
	case $found in *,drbd*) hapair_generation "$1" "$4" ;; esac
	case $found$sample in
	*sig=* | *=data* | *=unreadable*) hapair_identities "$disk" "$name" ;;
	esac
	return 0
}

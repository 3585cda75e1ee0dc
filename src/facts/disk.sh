# Block devices as sysfs tells them: a line "NAME<tab>KEY<tab>VALUE" for each fact. Builtins only, but for sfdisk.
# sysfs of Linux 2.6.22 and later. It changes nothing.
say() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }
attr() {
	value=
	[ -r "$3" ] && { IFS= read -r value <"$3"; } 2>/dev/null
	[ -n "$value" ] && say "$1" "$2" "$value"
	return 0
}
# What partitions and whole devices have in common: name, directory.
both() {
	attr "$1" size "$2/size"
	attr "$1" dev "$2/dev"
	attr "$1" ro "$2/ro"
	for holder in "$2"/holders/*; do
		[ -e "$holder" ] && say "$1" holder "${holder##*/}"
	done
}
for dir in /sys/block/*; do
	name=${dir##*/}
	case $name in ram* | zram* | loop* | fd* | sr* | nbd* | drbd*) continue ;; esac
	[ -e "$dir/size" ] || continue
	say "$name" block whole
	both "$name" "$dir"
	attr "$name" removable "$dir/removable"
	attr "$name" rotational "$dir/queue/rotational"
	attr "$name" sector "$dir/queue/hw_sector_size"
	attr "$name" sector "$dir/queue/logical_block_size"
	attr "$name" vendor "$dir/device/vendor"
	attr "$name" model "$dir/device/model"
	attr "$name" serial "$dir/device/serial"
	attr "$name" serial "$dir/serial"
	attr "$name" dm-name "$dir/dm/name"
	attr "$name" dm-uuid "$dir/dm/uuid"
	attr "$name" raid "$dir/md/level"
	for slave in "$dir"/slaves/*; do
		[ -e "$slave" ] && say "$name" slave "${slave##*/}"
	done
	for part in "$dir/$name"*; do
		[ -e "$part/start" ] || continue
		child=${part##*/}
		say "$child" part "$name"
		number=${child#"$name"}
		say "$child" number "${number#p}"
		attr "$child" start "$part/start"
		both "$child" "$part"
	done
	case $name in dm-* | md*) continue ;; esac
	command -v sfdisk >/dev/null 2>&1 || continue
	path=$name
	case $name in *'!'*) path=${name%%'!'*}/${name#*'!'} ;; esac
	sfdisk -d "/dev/$path" 2>/dev/null | while IFS= read -r line; do say "$name" table "$line"; done
done

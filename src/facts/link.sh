# Network interfaces: "NAME<tab>MAC<tab>STATE<tab>CARRIER<tab>SPEED<tab>MTU<tab>KIND" for each, without starting a process.
attr() {
	value=
	[ -r "$1" ] && { IFS= read -r value <"$1"; } 2>/dev/null
	[ -n "$value" ] || value=-
	return 0
}
for dir in /sys/class/net/*; do
	[ -e "$dir/address" ] || continue
	name=${dir##*/} kind=virtual
	if [ -d "$dir/bridge" ]; then kind=bridge
	elif [ -d "$dir/bonding" ]; then kind=bond
	elif [ -e "/proc/net/vlan/$name" ]; then kind=vlan
	elif [ -d "$dir/wireless" ] || [ -e "$dir/phy80211" ]; then kind=wireless
	elif [ -e "$dir/device" ]; then kind=ethernet
	fi
	attr "$dir/address"; mac=$value
	attr "$dir/operstate"; state=$value
	attr "$dir/carrier"; carrier=$value
	attr "$dir/speed"; speed=$value
	attr "$dir/mtu"; mtu=$value
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$mac" "$state" "$carrier" "$speed" "$mtu" "$kind"
done

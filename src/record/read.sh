# $1 resource. A node's record, a fact a line; builtins but for one grep.
for file in record lock; do
	[ -r "/var/lib/hapair/$file" ] || continue
	while IFS= read -r line; do printf '%s %s\n' $file "$line"; done <"/var/lib/hapair/$file"
done
for name in drbd.made drbd.peer ocfs2.made; do
	file=/var/lib/hapair/${name%.*}-$1.${name#*.}
	[ -r "$file" ] && IFS= read -r line <"$file" && printf '%s %s\n' $name "$line"
done
# What an earlier run began and what is still at work, though its run was ended. This script must not find itself.
for file in $(grep -sla 'hapair-orde[r]' /proc/[0-9]*/cmdline); do
	file=${file#/proc/}
	printf 'order %s\n' "${file%/cmdline}"
done
read -r boot </proc/sys/kernel/random/boot_id && printf 'boot %s\n' "$boot"
read -r uptime _ </proc/uptime && printf 'uptime %s\n' "${uptime%.*}"
exit 0

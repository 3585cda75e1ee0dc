# What this node has recorded of fencing, a fact a line; builtins but for the clock.
read -r boot </proc/sys/kernel/random/boot_id && printf 'boot %s\n' "$boot"
read -r uptime _ </proc/uptime && printf 'uptime %s\n' "${uptime%.*}"
printf 'now %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
if [ -r /var/lib/hapair/record ]; then
	while IFS='=' read -r key value; do [ "$key" = install ] && printf 'install %s\n' "$value"; done </var/lib/hapair/record
fi
for file in /var/lib/hapair/fencing-*.trying /var/lib/hapair/fencing-*.proved /var/lib/hapair/fencing.skipped; do
	[ -r "$file" ] || continue
	while IFS= read -r line; do printf '%s %s\n' "${file##*/}" "$line"; done <"$file"
done
exit 0

# softdog DEVICE: succeeds when that watchdog is the kernel's own timer, which names itself so.
softdog() {
	name=$(readlink -f "$1") && name=${name##*/} identity=
	[ "$name" != watchdog ] || name=watchdog0
	[ ! -r "/sys/class/watchdog/$name/identity" ] || read -r identity <"/sys/class/watchdog/$name/identity"
	[ "$identity" = 'Software Watchdog' ]
}

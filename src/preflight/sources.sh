# Whether the packages that are missing can be had. Nothing of the node is changed: what apt fetches goes to a folder that
# is removed again.
# $1 mirror ("" for the node's own sources)  $2... names; of a|b one is enough
# says: missing NAME, fetch WHY, candidate NAME VERSION, none NAME, lists old|fresh
set -u
mirror=$1
shift
export LC_ALL=C
missing=
for name; do
	there=
	for one in $(IFS='|'; echo $name); do
		case $(dpkg-query -W -f '${Status}' "$one" 2>/dev/null) in *' ok installed') there=yes ;; esac
	done
	[ -n "$there" ] || missing="$missing ${name%%|*}"
done
[ -n "$missing" ] || exit 0
for name in $missing; do echo "missing $name"; done
command -v apt-get >/dev/null 2>&1 || exit 0
t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT
trap 'exit 143' INT TERM HUP
mkdir -p "$t/lists/partial" "$t/cache/archives/partial"
where="-o Dir::State::lists=$t/lists -o Dir::Cache=$t/cache"
if [ -n "$mirror" ]; then
	VERSION_CODENAME=
	[ ! -r /etc/os-release ] || . /etc/os-release
	[ -n "$VERSION_CODENAME" ] || VERSION_CODENAME=$(sed -n 's/^DISTRIB_CODENAME=//p' /etc/lsb-release 2>/dev/null)
	# As the install writes it: packages/run.sh.
	case $mirror in
	"deb "*) echo "$mirror" ;;
	file:*" "*) echo "deb [trusted=yes] $mirror" ;;
	*" "*) echo "deb $mirror" ;;
	*) echo "deb $mirror $VERSION_CODENAME main" ;;
	esac >"$t/sources.list"
	where="$where -o Dir::Etc::SourceList=$t/sources.list -o Dir::Etc::SourceParts=-"
fi
update() {
	apt-get -q $where -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=10 \
		-o Acquire::https::Timeout=10 -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@" update 2>&1 >/dev/null | grep -E '^[EW]: ' | while read -r line; do
		case $line in
		*'Failed to fetch'* | 'E: '*) echo "fetch ${line#?: }" ;;
		esac
	done
}
policy() {
	apt-cache "$@" policy $missing 2>/dev/null | while read -r key value _; do
		case $key in
		Candidate:) [ "$value" = '(none)' ] || echo "candidate $name $value" ;;
		*:) [ -n "$value" ] || name=${key%:} ;;
		esac
	done
}
found=
if [ -z "$mirror" ]; then
	found=$(policy)
	all=yes
	for name in $missing; do
		case "
$found
" in *"
candidate $name "*) ;; *) all= ;; esac
	done
	if [ -n "$all" ]; then
		# Only the signed heads of the sources: they answer, and they are whom they say.
		update -o Acquire::IndexTargets::deb::Packages::DefaultEnabled=false \
			-o Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false
		echo "lists old"
		printf '%s\n' "$found"
		exit 0
	fi
fi
update
echo "lists fresh"
policy $where
exit 0

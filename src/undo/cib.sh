# Takes objects out of the CIB, in the order given. Resources are stopped first, so nothing is left running unmanaged.
# $1 seconds, then pairs: tag and id
set -u
limit=$1
shift
live=$(cibadmin -Q -o configuration) || exit 1
there() {
    printf '%s\n' "$live" | grep -qF " id=\"$1\""
}
for word; do
    case $word in
    primitive | clone | group) is_resource=yes ;;
    *)
        if [ -n "${is_resource-}" ] && there "$word"; then
            crm_resource --resource "$word" --meta --set-parameter target-role --parameter-value Stopped || exit 1
        fi
        is_resource=
        ;;
    esac
done
crm_resource --wait --timeout="${limit}s" || { echo "the resources did not stop within $limit s" >&2; exit 1; }
# In maintenance mode, or when it is unmanaged, nothing stops a resource. A VM that the CIB no longer knows would run on,
# where nothing keeps the other node from starting it too. (A fencing device does not run anywhere.)
for word; do
    if [ -n "${is_primitive-}" ] && there "$word" && ! printf '%s\n' "$live" | grep -qF " id=\"$word\" class=\"stonith\"" &&
        crm_resource --resource "$word" --locate 2>/dev/null | grep -qF 'is running on'; then
        echo "$word still runs although it was told to stop: is the cluster in maintenance mode? It was left in the CIB" >&2
        exit 1
    fi
    is_primitive=
    [ "$word" != primitive ] || is_primitive=yes
done
while [ "$#" -ge 2 ]; do
    if there "$2"; then
        cibadmin -D --xpath "//$1[@id='$2']" || exit 1
    fi
    shift 2
done
crm_resource --wait --timeout="${limit}s"

# remove.sh ID CONSTRAINT... : stops the counter, waits for that alone and takes it and its constraints out of the CIB.
id=$1
shift
there() { cibadmin -Q --xpath "//*[@id='$1']" >/dev/null 2>&1; }
if there "$id"; then
    crm_resource --resource "$id" --meta --set-parameter target-role --parameter-value Stopped >/dev/null || exit 1
    tries=0
    until crm_resource --locate --resource "$id" 2>&1 | grep -q 'NOT running'; do
        tries=$((tries + 1))
        [ "$tries" -le 120 ] || { echo "$id does not stop" >&2; exit 1; }
        sleep 1
    done
fi
for object in "$@" "$id"; do
    ! there "$object" || cibadmin -D --xpath "//*[@id='$object']" || exit 1
done
exit 0

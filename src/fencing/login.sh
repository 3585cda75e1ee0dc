# $1 address of a BMC, $2 user, $3 id of its device, or nothing. The password comes on standard input, and goes to ipmitool by the
# environment (-E of ipmitool(1)): no other user of this machine sees it. It asks for the power's state; it switches nothing.
IFS= read -r IPMI_PASSWORD
export IPMI_PASSWORD
if [ -n "$3" ] && [ -r /var/lib/pacemaker/cib/cib.xml ]; then
	# The cluster has just this device, and monitors it: there is nothing to be tried any more.
	trusted=0
	while IFS= read -r line; do
		case $line in
		*"\"$3-params-passwd\""*"value=\"$IPMI_PASSWORD\""* | *"\"$3-params-ipaddr\""*"value=\"$1\""* | *"\"$3-params-userid\""*"value=\"$2\""*)
			trusted=$((trusted + 1))
			;;
		esac
	done </var/lib/pacemaker/cib/cib.xml
	[ $trusted -lt 3 ] || { echo trusted; exit 0; }
fi
command -v ipmitool >/dev/null 2>&1 || { echo missing; exit 0; }
said=$(ipmitool -v -I lanplus -H "$1" -U "$2" -E -N 2 -R 2 power status 2>&1 </dev/null)
case $said in
*'Chassis Power is'*) echo ok ;;
*'HMAC is invalid'*) echo password ;;
*'unauthorized name'*) echo user ;;
*'unauthorized role'* | *'Privilege Level'*) echo privilege ;;
*'lookup for'*'failed'*) echo name ;;
*'does not support IPMI v2'*) echo old ;;
*'Get Auth Capabilities error'* | *'Get Channel Authentication Capabilities'*) echo silent ;;
*) printf 'other %s\n' "${said##*
}" ;;
esac
exit 0

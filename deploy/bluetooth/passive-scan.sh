#!/bin/sh
# Has BlueZ scan passively, which costs the locks' batteries nothing. Run it as root.
#
#   passive-scan.sh on       switch its "experimental" interfaces on, and restart bluetooth.service
#   passive-scan.sh off      take that back
#   passive-scan.sh offer    say how, unless it is on
set -eu
example=${TTLOCK_EXAMPLE:-/usr/share/doc/ttlock-agent/examples/passive-scan.conf}
target=${TTLOCK_UNITS:-/etc/systemd/system}/bluetooth.service.d/passive-scan.conf

case ${1:-} in
on) install -D -m 644 "$example" "$target" ;;
off) rm -f "$target" ;;
offer)
    [ -e "$target" ] ||
        echo "BlueZ can listen to locks at no cost to their batteries: sudo $(readlink -f "$0") on"
    exit
    ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl try-restart bluetooth.service

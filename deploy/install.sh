#!/bin/sh
# Installs the agent without a Debian package and without network, from a wheelhouse:
#
#   deploy/install.sh WHEELHOUSE      install or upgrade; goes back if the new release does not start
#   deploy/install.sh --rollback      the release that ran before
#   deploy/install.sh --remove        remove; configuration and state stay
#
# Make the wheelhouse with `deploy/wheels.py house arm64 DIRECTORY` (amd64: likewise) on a machine
# with network, and bring it here together with this checkout. Needs Debian 12 or 13, or Raspberry
# Pi OS, with python3 and systemd; run it as root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
unit=ttlock-agent.service helper=ttlock-agent-bluetooth

die() { echo "$*" >&2; exit 1; }
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 64; }

[ "$(id -u)" = 0 ] || die "Run this as root."
[ $# = 1 ] || usage
if dpkg-query -W -f='${Status}' ttlock-agent 2>/dev/null | grep -q 'ok installed'; then
    die "The Debian package ttlock-agent is installed. Upgrade that one, or remove it first."
fi
case $1 in
--rollback)
    "$here/release.sh" rollback
    exit
    ;;
--remove)
    [ ! -d /run/systemd/system ] || systemctl disable --now "$unit" "$helper.path" || true
    "$here/release.sh" remove
    rm -rf /usr/lib/ttlock-agent /usr/share/doc/ttlock-agent
    rm -f /usr/bin/ttlock-agent "/usr/lib/systemd/system/$unit" \
        "/usr/lib/systemd/system/$helper.path" "/usr/lib/systemd/system/$helper.service" \
        /usr/lib/sysusers.d/ttlock-agent.conf /usr/lib/tmpfiles.d/ttlock-agent.conf \
        /usr/share/bash-completion/completions/ttlock-agent \
        /usr/share/zsh/vendor-completions/_ttlock-agent \
        /usr/share/fish/vendor_completions.d/ttlock-agent.fish
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
    exit
    ;;
-*) usage ;;
esac

command -v systemd-sysusers >/dev/null || die "systemd-sysusers is missing: apt-get install systemd"
[ -e /usr/share/zoneinfo/UTC ] || die "The time zones are missing: apt-get install tzdata"
# Users first: the release's checks of a running service act as the service's user.
systemd-sysusers "$here/sysusers.conf"
systemd-tmpfiles --create "$here/tmpfiles.conf"
"$here/release.sh" install "$1"
"$here/files.sh" "" /opt/ttlock-agent/current/bin/ttlock-agent
/usr/lib/ttlock-agent/passive-scan.sh offer
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl enable "$unit"
if [ ! -e /etc/ttlock-agent/agent.yaml ]; then
    echo "Now write /etc/ttlock-agent/agent.yaml (agent.example.yaml lies beside it), then:"
    echo "  systemctl start ttlock-agent"
else
    systemctl start "$unit"
fi

#!/bin/sh
# Debian packages that let more tests run. Without them those tests are skipped, and say so; as root
# on a system with apt they are installed.
set -eu
missing=
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v dbus-daemon >/dev/null || missing="$missing dbus-daemon"
command -v chromium >/dev/null || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing$missing (more tests run with them)"
    # shellcheck disable=SC2086 # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends $missing >/dev/null; } || echo "they could not be installed" >&2
else
    echo "note: some tests are skipped. For all of them: sudo apt-get install$missing"
fi

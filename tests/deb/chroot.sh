#!/bin/bash
# Installs, upgrades, removes and purges the package in a fresh Debian, without booting it:
#
#   tests/deb/chroot.sh bookworm|trixie [PACKAGE.deb]
#
# Root and mmdebstrap are needed; the file system is made once and cached (a minute). After that a
# run takes less than a minute. bookworm is upgraded to trixie in the end, with the package in it.
# What needs a running systemd is tested in the virtual machine (tests/fullstack/vm).
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=${1:?bookworm or trixie}
package=${2:-$(ls -t dist/ttlock-agent_*_"$(dpkg --print-architecture)".deb | head -1)}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ttlock-agent
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort | uniq -c | sort -rn | awk 'NR == 1 {print $2}')}

[ "$(id -u)" = 0 ] || { echo "run this as root" >&2; exit 2; }
command -v mmdebstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null; }

base=$cache/chroot-$suite.tar
if [ ! -e "$base" ]; then
    echo "making $base"
    mkdir -p "$cache"
    timeout 900 mmdebstrap --quiet --variant=minbase --aptopt='Apt::Install-Recommends "false"' \
        --include=python3,systemd,tzdata "$suite" "$base.part" "$mirror" --format=tar </dev/null
    mv "$base.part" "$base"
fi

work=$(mktemp -d)
root=$work/root
finish() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap finish EXIT
mkdir "$root"
tar -C "$root" -xpf "$base" --exclude=./dev
mkdir -p "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/urandom" c 1 9
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/resolv.conf"

in_root() { timeout 600 chroot "$root" env LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
step() { printf '%s %5d s  %s\n' "$suite" "$SECONDS" "$*"; }
fail() { echo "FAILED ($suite): $*" >&2; exit 1; }
expect() { # what, command...
    what=$1; shift
    "$@" || fail "$what"
}
version_is() { [ "$(in_root ttlock-agent --version)" = "ttlock-agent, version $1" ]; }
current() { readlink "$root/opt/ttlock-agent/current"; }

release=$(dpkg-deb -f "$package" Version)
cp "$package" "$root/tmp/first.deb"
tests/deb/variant.sh "$package" 8.0 "$root/tmp/8.0.deb"
tests/deb/variant.sh "$package" 9.0 "$root/tmp/9.0.deb" damaged

# No network for all of this: what is missing would have to be in the package.
in_net_less() { timeout 600 unshare --net chroot "$root" env LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

in_net_less dpkg -i /tmp/first.deb >"$work/log" 2>&1 || { cat "$work/log"; fail "install"; }
expect "the command works" version_is "$release"
expect "the user is there" in_root id ttlock-agent >/dev/null
expect "the example passes its own check" in_root ttlock-agent check-config \
    /etc/ttlock-agent/agent.example.yaml >/dev/null
expect "the unit is enabled" test -L "$root/etc/systemd/system/multi-user.target.wants/ttlock-agent.service"
expect "the unit can be loaded" in_root systemd-analyze verify --man=no ttlock-agent.service
in_root python3 -m pip --version >/dev/null 2>&1 && fail "this chroot has pip: it proves nothing"
step "installed $(current), offline, without pip"

mkdir -p "$root/var/lib/ttlock-agent"
echo state >"$root/var/lib/ttlock-agent/journal.db"
echo owner >"$root/etc/ttlock-agent/agent.yaml"
before=$(current)
in_net_less dpkg -i /tmp/8.0.deb >"$work/log" 2>&1 || { cat "$work/log"; fail "upgrade"; }
expect "the new version" version_is 8.0
expect "previous is kept" test "$(readlink "$root/opt/ttlock-agent/previous")" = "$before"
expect "state is kept" grep -q state "$root/var/lib/ttlock-agent/journal.db"
expect "configuration is kept" grep -q owner "$root/etc/ttlock-agent/agent.yaml"
step "upgraded to $(current)"

before=$(current)
if in_net_less dpkg -i /tmp/9.0.deb >"$work/log" 2>&1; then cat "$work/log"; fail "a damaged package was installed"; fi
expect "the old release stays" test "$(current)" = "$before"
expect "the old version works" version_is 8.0
in_net_less dpkg -i /tmp/8.0.deb >"$work/log" 2>&1 || { cat "$work/log"; fail "repair"; }
step "a damaged package changed nothing"

in_net_less /usr/lib/ttlock-agent/release.sh rollback >/dev/null
expect "rolled back" version_is "$release"
in_net_less /usr/lib/ttlock-agent/release.sh install /usr/share/ttlock-agent/wheels >/dev/null
expect "and forward again" version_is 8.0
step "rolled back and forward"

if [ "$suite" = bookworm ]; then
    before=$(current)
    echo "deb $mirror trixie main" >"$root/etc/apt/sources.list"
    rm -f "$root"/etc/apt/sources.list.d/*
    { in_root apt-get -qq -o APT::Sandbox::User=root update &&
        in_root apt-get -y -qq -o APT::Sandbox::User=root -o Dpkg::Options::=--force-confold \
            --no-install-recommends dist-upgrade </dev/null &&
        in_root apt-get -y -qq autoremove --purge </dev/null; } >"$work/log" 2>&1 ||
        { tail -40 "$work/log"; fail "dist-upgrade"; }
    expect "Python has changed" test "$(in_root python3 -c 'import sys; print(sys.version_info[1])')" = 13
    expect "the old Python is gone" test ! -e "$root/usr/bin/python3.11"
    expect "the release was made again" version_is 8.0
    expect "for the new Python" test "$(current)" != "$before"
    step "moved to trixie: $(current)"
fi

in_net_less dpkg -r ttlock-agent >"$work/log" 2>&1 || { cat "$work/log"; fail "remove"; }
expect "releases are gone" test ! -e "$root/opt/ttlock-agent"
expect "the command is gone" test ! -L "$root/usr/bin/ttlock-agent"
expect "state stays" test -e "$root/var/lib/ttlock-agent/journal.db"
expect "configuration stays" test -e "$root/etc/ttlock-agent/agent.yaml"
step "removed; state and configuration stay"

in_net_less dpkg -P ttlock-agent >"$work/log" 2>&1 || { cat "$work/log"; fail "purge"; }
left=$(cd "$root" && find . -xdev -path ./proc -prune -o -name '*ttlock*' -print |
    grep -vE '^\./(tmp|var/log|var/lib/dpkg/info/\*|var/cache)' || true)
expect "purge leaves nothing, but: $left" test -z "$left"
step "purged"

#!/bin/sh
# Puts a release of the agent in place, and back.
#
#   release.sh install WHEELHOUSE    build, check, switch, start; go back if it does not start
#   release.sh refresh WHEELHOUSE    the same, unless what is in place still works
#   release.sh rollback              switch to the release that ran before
#   release.sh remove                remove all releases (state and configuration stay)
#
# A release is a virtual environment of its own in /opt/ttlock-agent, made from a wheelhouse alone,
# without network and without pip on the machine. `current` and `previous` are symbolic links. What
# runs is not touched until its successor has been checked. Installing again what runs already, in
# working order, does nothing. The package refreshes each time Python changes, which must not undo a
# rollback.
set -eu

base=${TTLOCK_BASE:-/opt/ttlock-agent}
state=${TTLOCK_STATE:-/var/lib/ttlock-agent}
config=${TTLOCK_CONFIG:-/etc/ttlock-agent/agent.yaml}
settle_s=${TTLOCK_SETTLE_S:-5} # a start counts once the service has stayed up for so long
unit=ttlock-agent.service
user=ttlock-agent group=ttlock
copy=$state/.before-upgrade

say() { echo "ttlock-agent: $*"; }
die() { echo "ttlock-agent: $*" >&2; exit 1; }
has_systemd() { [ -d /run/systemd/system ]; }
# The state belongs to the service's user: whatever is done there is done as that user.
as_user() { setpriv --reuid="$user" --regid="$group" --clear-groups -- "$@"; }
target_of() { readlink "$base/$1" 2>/dev/null || true; }

point() { # link, release: replaces the link in one step
    ln -s "$2" "$base/.$1.new"
    mv -T "$base/.$1.new" "$base/$1"
}

works() { # release: whether its interpreter, its libraries and the agent load, and agree on versions
    [ -n "$1" ] && [ -e "$base/$1/complete" ] || return 1
    "$base/$1/bin/python" -I -c 'import bleak, ttlock_agent.app, ttlock_agent.cli' &&
        "$base/$1/bin/ttlock-agent" --version | grep -qF ", version ${1%%-*}"
}

build() { # wheelhouse, release
    say "making release $2"
    rm -rf "${base:?}/$2"
    mkdir -p "$base"
    "$python" -m venv --without-pip "$base/$2"
    # pip runs out of its own wheel; it is not installed.
    "$base/$2/bin/python" "$(echo "$1"/pip-*.whl)/pip" --isolated --quiet --no-cache-dir \
        --disable-pip-version-check install --no-index --find-links="$1" --require-hashes \
        --only-binary=:all: --requirement="$1/requirements.txt"
    touch "$base/$2/complete"
}

check_config() { # release: an agent that would refuse its configuration must not replace one that runs
    [ -e "$config" ] || return 0
    report=$("$base/$1/bin/ttlock-agent" check-config "$config") || {
        echo "$report" >&2
        die "release $1 would not start with $config; nothing was changed"
    }
}

is_up() { # a start counts only if the service stays up
    sleep "$settle_s"
    systemctl is-active --quiet "$unit" && [ "$(systemctl show -P NRestarts "$unit")" = 0 ]
}

start() {
    systemctl reset-failed "$unit" 2>/dev/null || true
    systemctl start "$unit" && is_up
}

keep_state() { # the journal as the old release left it, in case the new one makes it unreadable
    [ -d "$state" ] || return 0
    as_user sh -c 'umask 077 && rm -rf "$2" && mkdir "$2" &&
        for file in "$1"/journal.db*; do [ ! -e "$file" ] || cp -p "$file" "$2/" || exit; done' \
        sh "$state" "$copy"
}

restore_state() { # at each moment a power cut leaves a whole journal: no other one's log beside it
    [ -d "$copy" ] || return 0
    as_user sh -c 'rm -f "$1"/journal.db-* && for file in "$2"/*; do
        [ ! -e "$file" ] || mv "$file" "$1/" || exit; done && rm -rf "$2"' sh "$state" "$copy"
}

forget_state() { [ ! -d "$copy" ] || as_user rm -rf "$copy"; }

switch() { # release: makes it the current one, or leaves everything as it was
    old=$(target_of current)
    if ! has_systemd || ! systemctl is-active --quiet "$unit"; then
        [ "$old" = "$1" ] || { [ -z "$old" ] || point previous "$old"; }
        point current "$1"
        return
    fi
    check_config "$1"
    systemctl stop "$unit"
    keep_state || {
        forget_state || true
        start || die "no room to keep the journal, and $old does not start; see: journalctl -u $unit"
        die "no room to keep the journal; $old runs on"
    }
    point current "$1"
    if start; then
        forget_state
        [ "$old" = "$1" ] || point previous "$old"
        return
    fi
    say "release $1 does not start; going back to $old" >&2
    systemctl stop "$unit" || true
    point current "$old"
    # The new release may have accepted requests before it failed: the copy is for a journal that the
    # old one cannot read.
    if start; then
        forget_state
    else
        systemctl stop "$unit" || true
        say "release $old does not start with this journal; taking the one before the upgrade" >&2
        restore_state
        start || die "release $old does not start any more either; see: journalctl -u $unit"
    fi
    die "release $1 did not start; $old runs again. See: journalctl -u $unit"
}

prune() { # all releases but the current and the previous one
    for path in "$base"/*-py*-*; do
        name=${path##*/}
        [ "$name" = "$(target_of current)" ] || [ "$name" = "$(target_of previous)" ] ||
            rm -rf "$path"
    done
}

find_python() {
    # The real name, such as python3.11: it outlives the day on which python3 becomes another one.
    python=$(readlink -f "$(command -v python3)") || die "python3 is missing"
    tag=$("$python" -I -c 'import sys; print("{}{}".format(*sys.version_info))')
}

install_release() {
    [ -e "$1/SHA256SUMS" ] || die "$1 is no wheelhouse"
    (cd "$1" && sha256sum --quiet --strict --check SHA256SUMS) || die "$1 is damaged"
    find_python
    ls "$1"/msgspec-*-cp"$tag"-*.whl >/dev/null 2>&1 ||
        die "this package has no wheels for $("$python" --version); update it first"
    release=$(cat "$1/VERSION")-py$tag-$(sha256sum "$1/SHA256SUMS" | cut -c 1-8)
    if [ "$release" = "$(target_of current)" ] && works "$release"; then
        say "release $release is in place"
        return
    fi
    works "$release" 2>/dev/null || build "$(readlink -f "$1")" "$release"
    works "$release" || die "release $release does not work on this machine; nothing was changed"
    switch "$release"
    prune
    say "release $release is in place"
}

refresh() { # wheelhouse
    find_python
    now=$(target_of current)
    # One of another Python works only until that is removed, which nobody tells.
    case $now in *-py"$tag"-*) ! works "$now" 2>/dev/null || return 0 ;; esac
    install_release "$1"
}

rollback() {
    old=$(target_of previous)
    [ -n "$old" ] || die "there is no previous release"
    works "$old" || die "the previous release $old does not work any more; nothing was changed"
    switch "$old"
    # A service that had given up is what a rollback is for.
    ! has_systemd || systemctl start "$unit"
    say "release $old is in place"
}

[ "$(id -u)" = 0 ] || die "run this as root"
case ${1:-} in
install) install_release "${2:?a wheelhouse}" ;;
refresh) refresh "${2:?a wheelhouse}" ;;
rollback) rollback ;;
remove) rm -rf "${base:?}" ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac

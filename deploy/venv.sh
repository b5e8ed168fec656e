#!/bin/sh
# Makes .venv and installs this checkout into it, with the extras given as the first argument.
# Needs nothing but python3 >= 3.11 with its venv module; names what is missing, and installs it
# when run as root on a system with apt.
set -eu
cd "$(dirname "$0")/.."
extras=${1:-}
python=${PYTHON:-python3}

need() { # Debian package, why
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $1 ($2)"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >/dev/null
    else
        echo "missing: $2. Run: sudo apt-get install $1" >&2
        exit 69
    fi
}

command -v "$python" >/dev/null || need python3 "Python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; $("$python" --version) is what $python gives." >&2
    exit 69
}
"$python" -c 'import venv, ensurepip' 2>/dev/null || need python3-venv "Python's venv module"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"

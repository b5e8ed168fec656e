#!/bin/bash
# Plays package_life.py in a clean guest: package_life.sh bookworm|trixie PACKAGE.deb
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1 package=$2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cp "$package" "$out/first.deb"
"$here/../../deb/variant.sh" "$package" 8.0 "$out/8.0.deb"
"$here/../../deb/variant.sh" "$package" 9.0 "$out/9.0.deb" broken
IMG=$("$here/image.sh" "$suite" "$(dpkg-deb -f "$package" Architecture)")
export IMG OUT=$out FOLLOW=yes LIMIT=${LIMIT:-600}
"$here/boot.sh" python3 /work/tests/fullstack/vm/package_life.py

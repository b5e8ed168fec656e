#!/bin/bash
# Makes another version out of a package, so that an upgrade can be tried with what there is:
#
#   variant.sh PACKAGE.deb VERSION TARGET.deb [broken|damaged]
#
# `broken` loads and does not run, `damaged` holds a wheel that is not the one it was built with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
package=$1 version=$2 target=$3 kind=${4:-}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
dpkg-deb -R "$package" "$tree"
wheels=$tree/usr/share/ttlock-agent/wheels
python3 "$here/rename_wheel.py" "$wheels" "$version" $kind
sed -i "s/^Version: .*/Version: $version/" "$tree/DEBIAN/control"
(cd "$wheels" && sha256sum -- *.whl VERSION requirements.txt >SHA256SUMS)
[ "$kind" != damaged ] || printf x >>"$(echo "$wheels"/idna-*)"
dpkg-deb --root-owner-group -Znone --build "$tree" "$target" >/dev/null

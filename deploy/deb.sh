#!/bin/sh
# Builds dist/ttlock-agent_VERSION_ARCHITECTURE.deb:
#
#   deploy/deb.sh amd64|arm64 [WHEELHOUSE]     without WHEELHOUSE one is made, which needs the network
#
# Needs dpkg-deb, and the checkout's .venv (`make` makes it). No root, no cross tools: the package
# holds wheels, and the machine that installs it puts them together.
set -eu
cd "$(dirname "$0")/.."
architecture=${1:?amd64 or arm64}
wheels=${2:-build/wheelhouse-$architecture}
tree=build/deb-$architecture
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}"

[ -n "${2:-}" ] || .venv/bin/python deploy/wheels.py house "$architecture" "$wheels"
rm -rf "$tree"
mkdir -p "$tree/DEBIAN" "$tree/usr/share/ttlock-agent" dist
deploy/files.sh "$tree" "${TTLOCK_COMMAND:-.venv/bin/ttlock-agent}"
cp -r "$wheels" "$tree/usr/share/ttlock-agent/wheels"
find "$tree/usr/share/ttlock-agent/wheels" -type f -exec chmod 644 {} +

# 1.0rc1 comes before 1.0, which Debian writes as 1.0~rc1.
version=$(sed -E 's/\.?(a|b|rc|dev)[0-9]/~&/; s/~\./~/' "$wheels/VERSION")
size=$(du -sk --exclude=DEBIAN "$tree" | cut -f 1)
sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/" \
    deploy/debian/control.in >"$tree/DEBIAN/control"
(cd "$tree" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$tree/DEBIAN/conffiles"
(cd "$tree" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k 2) >"$tree/DEBIAN/md5sums"
install -m 644 deploy/debian/triggers "$tree/DEBIAN/triggers"
for script in postinst prerm postrm; do install -m 755 deploy/debian/$script "$tree/DEBIAN/"; done
chmod -R u=rwX,go=rX "$tree"

package=dist/ttlock-agent_${version}_$architecture.deb
# The wheels are compressed already; the strongest setting would only cost time and memory.
dpkg-deb --root-owner-group -Zxz -z1 --build "$tree" "$package" >/dev/null
echo "$package"

#!/bin/bash
# As on a Pi: the arm64 package is installed in a clean, emulated arm64 guest whose adapter is on a
# serial line; the service starts in its sandbox, and a passcode is proved over the air.
#
#   arm64.sh [bookworm|trixie]
set -euo pipefail
cd "$(dirname "$0")/../../.."
vm=tests/fullstack/vm
package=$(deploy/deb.sh arm64 | tail -1)
IMG=$($vm/image.sh "${1:-trixie}" arm64)
OUT=$(mktemp -d)
export IMG OUT FOLLOW=yes LIMIT=${LIMIT:-1500}
cp "$package" "$OUT/ttlock-agent.deb"
$vm/boot.sh "uname -m && dpkg -i /out/ttlock-agent.deb && \
    PYTHONPATH=/opt/site:/work/$vm /opt/ttlock-agent/current/bin/python $vm/scenes.py main_job sandbox"
rm -rf "$OUT"

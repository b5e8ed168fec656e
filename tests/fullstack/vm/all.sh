#!/bin/bash
# Everything that the virtual machine is for: all.sh [SUITE...]    (default: bookworm and trixie)
#
# CUTS is the number of power cuts for each suite, KILLS of kill -9. Ends with the first failure.
set -euo pipefail
cd "$(dirname "$0")/../../.."
vm=tests/fullstack/vm cuts=${CUTS:-2} kills=${KILLS:-3}
package=$(deploy/deb.sh amd64 | tail -1)
export PACKAGE=$package FOLLOW=yes
python="HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis PYTHONPATH=/opt/site:/work/$vm /opt/ttlock-agent/current/bin/python"
suites=("$@")
[ $# -gt 0 ] || suites=(bookworm trixie)
for suite in "${suites[@]}"; do
    echo "==== $suite: the link tests, over a real BlueZ"
    LIMIT=600 tests/fullstack/run --suite "$suite" --fast -- \
        "$python -m pytest -q -p no:cacheprovider --rig vm --timeout 300 tests/fullstack/test_link.py tests/fullstack/test_every_request.py"
    echo "==== $suite: the installed service"
    LIMIT=$((900 + 60 * kills)) tests/fullstack/run --suite "$suite" -- "KILLS=$kills $python $vm/scenes.py"
    echo "==== $suite: power cuts"
    python3 $vm/power_cuts.py "$($vm/image.sh "$suite" amd64 "$package")" --cuts "$cuts"
    echo "==== $suite: the life of the package"
    $vm/package_life.sh "$suite" "$package"
done

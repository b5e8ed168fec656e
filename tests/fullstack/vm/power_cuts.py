"""Power cuts: QEMU is killed at a random moment, the machine boots again, and so on.

On the host: ``power_cuts.py IMAGE [--story deliveries|bench] [--cuts N]``. The agent's state is on
a second disk; the lock's memory and the notes of whoever gives the orders are on the host: both
outlive the machine, as a door and a server do. What happens in the guest, and what must hold after
each boot, is told by ``cut_deliveries.py`` and ``cut_bench.py``. After the last cut the machine is
left alone until everything has come to its end.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

BOOT = Path(__file__).with_name("boot.sh")
STORIES = ("deliveries", "bench")
LATEST_CUT_S = 12.0
"""After the order that it is about; by then an emulated machine has about carried it out."""
BOOT_LIMIT_S = 900


@contextmanager
def boot(image: Path, out: Path, story: str, number: int) -> Iterator[subprocess.Popen[bytes]]:
    """Boot a machine, which ends with the context, whatever ends that."""
    command = (
        "PYTHONPATH=/opt/site:/work/tests/fullstack/vm /opt/ttlock-agent/current/bin/python "
        f"/work/tests/fullstack/vm/cut_{story}.py {number}"
    )
    environment = {
        **os.environ,
        "IMG": str(image),
        "OUT": str(out),
        "STATE": str(out / "state.img"),
        "LIMIT": str(BOOT_LIMIT_S),
        "FOLLOW": "",
    }
    (out / "begun").unlink(missing_ok=True)
    with (out / "boot.log").open("w") as log:
        machine = subprocess.Popen([str(BOOT), command], env=environment, stderr=log)
    try:
        yield machine
    finally:
        machine.terminate()
        machine.wait()


def fail(out: Path, what: str) -> NoReturn:
    for name in ("test.log", "boot.log"):
        print((out / name).read_text(errors="replace"))
    sys.exit(f"FAILED: {what}")


def said(out: Path) -> str:
    """Return the last line that was said in the guest."""
    return ((out / "test.log").read_text(errors="replace").splitlines() or ["nothing"])[-1].strip()


def cut(image: Path, out: Path, story: str, number: int) -> None:
    """Boot, wait for the order to be cut, and pull the plug at a random moment after it."""
    with boot(image, out, story, number) as machine:
        end_s = time.monotonic() + BOOT_LIMIT_S
        while not (out / "begun").exists():
            if machine.poll() is not None or time.monotonic() > end_s:
                fail(out, "the machine did not come up")
            time.sleep(0.1)
        moment_s = random.uniform(0, LATEST_CUT_S)
        time.sleep(moment_s)
        if machine.poll() is not None:
            fail(out, "the machine ended before the cut")
        # The process behind `timeout`, at once and with no chance to flush anything.
        supervisor = (out / "pid").read_text().strip()
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        subprocess.run(["kill", "-KILL", *children], check=False)
    print(f"cut {number} after {moment_s:.1f} s; last: {said(out)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("--story", choices=STORIES, default="deliveries")
    parser.add_argument("--cuts", type=int, default=3)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the machine ends as well
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        for number in range(1, arguments.cuts + 1):
            cut(arguments.image, out, arguments.story, number)
        with boot(arguments.image, out, arguments.story, 0) as machine:
            status = machine.wait()
        if status != 0:
            fail(out, "not everything has come to its end")
        print((out / "test.log").read_text(), end="")


if __name__ == "__main__":
    main()

"""Power cuts: QEMU is killed in the middle of deliveries, the machine boots again, and so on.

On the host: ``power_cuts.py IMAGE [--cuts N]``. The agent's state is on a second disk, the lock's
memory and the booking system's notes are on the host: both outlive the machine, as a door and a
server do. The booking system asks again for what was not answered, with the same id, as callers
must. In the guest this file is run with ``guest FIRST_DIGITS``.

At the end everything that was ever accepted is proved and in the lock exactly once.
"""

from __future__ import annotations

import argparse
import json
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
OUT = Path("/out")
PER_BOOT = 6
"""Passcodes asked for after each boot."""
FIRST = 200_000
BOOT_LIMIT_S = 600
LATEST_CUT_S = 12.0
"""After the last request; by then an emulated machine has delivered most of them."""


def in_guest(first: int) -> None:
    import stage  # noqa: PLC0415 - there is no agent on the host

    stage.ANSWERS = OUT / "answers"
    stage.start_broker()
    stage.listen()
    lock = stage.Lock(OUT / "lock")
    lock.plug_in()
    stage.configure_agent()
    stage.start_agent()
    asked_file = OUT / "asked"
    asked = json.loads(asked_file.read_text()) if asked_file.exists() else []
    final = {key for key, each in stage.answers().items() if each["status"] != "accepted"}
    fresh = [str(first + number) for number in range(PER_BOOT)]
    if first:
        asked += fresh
        draft = OUT / "asked.draft"
        draft.write_text(json.dumps(asked))
        draft.replace(asked_file)
    else:
        fresh = []
    stage.await_broker()
    for digits in asked:
        if f"cut-{digits}" not in final:
            stage.ask(f"cut-{digits}", digits)
    (OUT / "delivering").touch()
    stage.await_proved(*(f"cut-{digits}" for digits in asked), limit_s=90)
    held = lock.held()
    wrong = [digits for digits in asked if held.count(digits) != 1]
    if wrong or len(held) != len(asked):
        sys.exit(f"FAILED: not exactly once in the lock: {wrong}; {len(held)} held")
    lock.must_open(asked[-1])
    stage.say(f"all {len(asked)} are proved, each once in the lock, and open the door")
    if first:
        time.sleep(BOOT_LIMIT_S)  # the cut came later than the last delivery


@contextmanager
def boot(image: Path, out: Path, first: int) -> Iterator[subprocess.Popen[bytes]]:
    """Boot a machine, which ends with the context, whatever ends that."""
    command = (
        "PYTHONPATH=/opt/site:/work/tests/fullstack/vm /opt/ttlock-agent/current/bin/python "
        f"/work/tests/fullstack/vm/power_cuts.py guest {first}"
    )
    environment = {
        **os.environ,
        "IMG": str(image),
        "OUT": str(out),
        "STATE": str(out / "state.img"),
        "LIMIT": str(BOOT_LIMIT_S),
    }
    (out / "delivering").unlink(missing_ok=True)
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


def cut(image: Path, out: Path, number: int) -> None:
    """Boot, wait for deliveries to begin, and pull the plug at a random moment after that."""
    with boot(image, out, FIRST + number * PER_BOOT) as machine:
        end_s = time.monotonic() + BOOT_LIMIT_S
        while not (out / "delivering").exists():
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
    answers = (out / "answers").read_text().splitlines() if (out / "answers").exists() else []
    proved = sum('"proved"' in line for line in answers)
    print(
        f"cut {number + 1} after {moment_s:.1f} s of delivery; {proved} proved so far", flush=True
    )


def main() -> None:
    if sys.argv[1] == "guest":
        in_guest(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("--cuts", type=int, default=3)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the machine ends as well
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        for number in range(arguments.cuts):
            cut(arguments.image, out, number)
        with boot(arguments.image, out, 0) as machine:
            status = machine.wait()
        if status != 0:
            fail(out, "not everything that was accepted is proved, once")
        print((out / "test.log").read_text(), end="")


if __name__ == "__main__":
    main()

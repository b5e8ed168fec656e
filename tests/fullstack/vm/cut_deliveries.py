"""Deliveries between power cuts, in the guest: ``cut_deliveries.py NUMBER``, 0 after the last cut.

The booking system asks again for what was not answered, with the same id, as callers must. At the
end everything that was ever asked for is proved and in the lock exactly once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import stage

OUT = Path("/out")
PER_BOOT = 6
"""Passcodes asked for after each boot."""
FIRST = 200_000


def asked_so_far(number: int) -> list[str]:
    """Return all digits asked for, those of this boot included, and keep them."""
    file = OUT / "asked"
    asked: list[str] = json.loads(file.read_text()) if file.exists() else []
    if number:
        first = FIRST + number * PER_BOOT
        asked += [str(first + each) for each in range(PER_BOOT)]
        stage.keep(file, json.dumps(asked))
    return asked


def deliver(lock: stage.Lock, number: int) -> None:
    asked = asked_so_far(number)
    final = {key for key, each in stage.answers().items() if each["status"] != "accepted"}
    open_ones = [digits for digits in asked if f"cut-{digits}" not in final]
    stage.say(f"{len(asked) - len(open_ones)} are proved, {len(open_ones)} are asked for")
    (OUT / "begun").touch()
    stage.publish("passcode.add", *(stage.wish(f"cut-{digits}", digits) for digits in open_ones))
    stage.await_proved(*(f"cut-{digits}" for digits in asked), limit_s=90)
    held = lock.held()
    wrong = [digits for digits in asked if held.count(digits) != 1]
    if wrong or len(held) != len(asked):
        sys.exit(f"FAILED: not exactly once in the lock: {wrong}; {len(held)} held")
    lock.must_open(asked[-1])
    stage.say(f"all {len(asked)} are proved, each once in the lock, and open the door")


def main() -> None:
    number = int(sys.argv[1])
    stage.ANSWERS = OUT / "answers"
    stage.start_broker()
    stage.listen()
    lock = stage.Lock(OUT / "lock")
    lock.plug_in()
    stage.configure_agent()
    stage.start_agent()
    stage.await_broker()
    deliver(lock, number)
    if number:
        stage.await_the_cut()


if __name__ == "__main__":
    main()

"""Field case 2 between power cuts, in the guest: ``cut_bench.py NUMBER``, 0 after the last cut.

A technician backs a furnished lock up, resets it, enrols it and restores it, and begins again. All
that is known after a power cut stands on paper: the backup's id, and which command was not seen to
end. That one command is given again. Whenever a round ends, the lock holds what it held at first.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import stage
from stage import LOCK, say

from ttlock_agent.demo import restore_stage
from ttlock_protocol.messages.passcodes import PasscodeType
from ttlock_protocol.virtual import Memory

OUT = Path("/out")
PAPER = OUT / "paper"
CUT_IN = ("restore", "reset", "enrol")
"""Which step the power fails in, boot by boot; the moment in it is the host's to choose."""
COMMAND_LIMIT_S = 100.0
QUIRKS = """    quirks:
      switches_are_verified: true
"""


def furnished() -> Memory:
    """Return a lock as a house has it, less what is used up by opening the door."""
    memory = restore_stage.furnished(datetime.now(UTC))
    lasting = (each for each in memory.passcodes if each.passcode_type is not PasscodeType.ONE_TIME)
    return replace(memory, passcodes=tuple(lasting))


def content(memory: Memory) -> dict[str, Any]:
    """Return what a restore has to bring back."""
    return {
        "passcodes": sorted(
            (each.passcode, each.passcode_type.name, each.valid_until, each.cycle_number)
            for each in memory.passcodes
        ),
        "cards": sorted((each.card_number, each.valid_until) for each in memory.cards),
        "passage": memory.passage,
        "settings": memory.settings,
        "admin_passcode": memory.admin_passcode,
    }


def command(*words: str) -> dict[str, Any]:
    """Give a command of the technician; return its JSON, whatever came of it."""
    said = stage.sh("ttlock-agent", *words, "--json", limit_s=COMMAND_LIMIT_S, check=False)
    try:
        body: dict[str, Any] = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        raise SystemExit(f"FAILED: {' '.join(words)}: {said or 'nothing said'}") from None
    return body


def must(*words: str) -> dict[str, Any]:
    """Give a command, which must succeed."""
    body = command(*words)
    if body.get("status", "done") != "done":
        raise SystemExit(f"FAILED: {' '.join(words)}: {body}")
    return body


class Technician:
    """Works through one round after the other, with what is on paper."""

    def __init__(self, lock: stage.Lock, cut_in: str) -> None:
        self._lock = lock
        self._cut_in = cut_in
        self.paper: dict[str, Any] = {"round": 1, "step": "back_up", "backup": None}
        if PAPER.exists():
            self.paper = json.loads(PAPER.read_text())

    def round(self) -> None:
        """Finish the round that is on paper."""
        while True:
            step = self.paper["step"]
            say(f"round {self.paper['round']}: {step}")
            if step == self._cut_in:
                (OUT / "begun").touch()
            following = getattr(self, step)()
            self._write(step=following)
            if following == "back_up":
                return

    def back_up(self) -> str:
        backup = must("backup", "create", LOCK)["backup"]
        assert must("backup", "verify", backup, "--lock", LOCK)["agrees"]
        self._write(backup=backup)
        return "reset"

    def reset(self) -> str:
        body = command(
            "lock", "reset", LOCK, "--backup", self.paper["backup"],
            "--mac-digits", restore_stage.MAC_DIGITS,
        )  # fmt: skip
        if body["status"] != "done":
            # The one that the power cut interrupted went on by itself, and names what comes next.
            error = body["error"]
            assert error["code"] == "keys_rejected", body
            assert "enrol" in error["hint"], body
            say("the reset had gone on by itself")
        assert self._lock.memory().administrator is None
        return "enrol"

    def enrol(self) -> str:
        must("enrol", LOCK, "--give-up-app")
        return "restore"

    def restore(self) -> str:
        must("restore", LOCK, self.paper["backup"])
        self.compare()
        self._write(round=self.paper["round"] + 1)
        return "back_up"

    def compare(self) -> None:
        """The lock holds what it held at first, and all of it opens the door."""
        held, wanted = content(self._lock.memory()), json.loads((OUT / "wanted").read_text())
        found = json.loads(json.dumps(held, default=repr))
        differing = {
            name: (wanted[name], found[name]) for name in wanted if wanted[name] != found[name]
        }
        if differing:
            raise SystemExit(f"FAILED: the lock does not hold what it held: {differing}")
        for digits, *_ in held["passcodes"]:
            self._lock.must_open(digits)
        say("the lock holds what it held before the first reset, and all of it opens")

    def _write(self, **news: Any) -> None:
        self.paper |= news
        stage.keep(PAPER, json.dumps(self.paper))


def main() -> None:
    number = int(sys.argv[1])
    memory = furnished()
    if not (OUT / "wanted").exists():
        stage.keep(OUT / "wanted", json.dumps(content(memory), default=repr))
    lock = stage.Lock(OUT / "lock", memory=memory)
    lock.plug_in()
    stage.configure_agent(keys=restore_stage.KEYS, quirks=QUIRKS)
    stage.start_agent()
    technician = Technician(lock, cut_in=CUT_IN[number % len(CUT_IN)])
    if technician.paper["backup"] is not None:
        must("backup", "verify", technician.paper["backup"])
        say("the backup is there and can be opened")
    while number:
        technician.round()  # until the power fails
    if technician.paper["step"] != "back_up":
        technician.round()
    technician.compare()


if __name__ == "__main__":
    main()

"""What the service costs and whether it grows: ``measures.py bench`` or ``soak``, in the guest.

``SOAK_S`` is how long the deliveries go on (an hour), of which the first ``WARM_S`` (five minutes)
give what the end is compared with.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import stage
from stage import ask, ask_to_delete, await_proved, prop, publish, say, sh, wish

from ttlock_agent.virtual_lock.main import create_state
from ttlock_protocol.virtual import new_lock

LOCK: stage.Lock
SOAK_S = float(os.environ.get("SOAK_S", "3600"))
WARM_S = float(os.environ.get("WARM_S", "300"))
MAY_GROW = 1.05
SAMPLES = 10
NEIGHBOURS = 12
"""At four advertisements a second each, with the lock's own: 52 a second."""
IDLE_S = 60.0


def cost() -> dict[str, float]:
    """Return what the service's process holds."""
    pid = prop("MainPID")
    process = Path(f"/proc/{pid}")
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    names = [
        line.split()[0]
        for line in sh("busctl", "list", "--no-legend", "--no-pager").splitlines()
        if line.startswith(":") and line.split()[1] == pid
    ]
    matches = 0
    for name in names:
        # A dictionary in busctl's own form: ... "MatchRules" u 3 ...
        words = sh(
            "busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
            "org.freedesktop.DBus.Debug.Stats", "GetConnectionStats", "s", name,
        ).split()  # fmt: skip
        matches += int(words[words.index('"MatchRules"') + 2])
    return {
        "memory_kib": float(status["VmRSS"].split()[0]),
        "file_descriptors": float(len(list((process / "fd").iterdir()))),
        "dbus_matches": float(matches),
    }


def cpu_s() -> float:
    """Return the processor time that the service has used."""
    fields = Path(f"/proc/{prop('MainPID')}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Soak:
    """Delivers and deletes small things."""

    def __init__(self) -> None:
        self.rounds = 0

    def round(self) -> None:
        digits = f"{200_000 + self.rounds}"
        ask(f"soak-{self.rounds}", digits)
        await_proved(f"soak-{self.rounds}", limit_s=120)
        ask_to_delete(f"unsoak-{self.rounds}", digits)
        await_proved(f"unsoak-{self.rounds}", limit_s=120)
        self.rounds += 1

    def cost(self) -> dict[str, float]:
        """Return the highest of several rounds: a descriptor that comes and goes is no growth."""
        found = []
        for _ in range(SAMPLES):
            self.round()
            found.append(cost())
        highest = {name: max(each[name] for each in found) for name in found[0]}
        say(f"after {self.rounds} rounds: {highest}")
        return highest


def soak() -> None:
    """Deliver and delete without end; nothing may grow."""
    started_s = time.monotonic()
    pid = prop("MainPID")
    deliveries = Soak()
    while time.monotonic() - started_s < WARM_S:
        deliveries.round()
    first = deliveries.cost()
    while time.monotonic() - started_s < SOAK_S:
        deliveries.round()
    last = deliveries.cost()
    assert prop("MainPID") == pid, "it must be the same process"
    grown = {name: round(last[name] / first[name], 3) for name in first if first[name]}
    say(f"grown by the factors {grown}")
    assert all(factor <= MAY_GROW for factor in grown.values()), grown


def bench() -> None:
    """How long a passcode takes, what a session costs, and what idling does."""
    for count in (1, 20, 100):
        repeats = 5 if count == 1 else 1
        seconds, connected = [], []
        for repeat in range(repeats):
            before = stage.status()["locks"][stage.LOCK]["connected_s"]
            digits = stage.new_digits(count)
            ids = [f"bench-{count}-{repeat}-{each}" for each in digits]
            asked_s = time.monotonic()
            publish("passcode.add", *map(wish, ids, digits))
            await_proved(*ids, limit_s=300)
            seconds.append(time.monotonic() - asked_s)
            # Written by the visit's report, which comes just after the last answer.
            stage.until(
                "the report",
                lambda before=before: stage.status()["locks"][stage.LOCK]["connected_s"] > before,
            )
            after = stage.status()["locks"][stage.LOCK]["connected_s"]
            connected.append((after - before) / count)
        say(
            f"{count:3} passcodes: proved {statistics.median(seconds):6.2f} s after the first was "
            f"asked for, {statistics.median(connected):5.2f} s connected for each"
        )
    before_s = cpu_s()
    time.sleep(IDLE_S)
    used = (cpu_s() - before_s) / IDLE_S
    say(f"idle beside {NEIGHBOURS} other locks: {used:.1%} of one processor, {cost()}")


def neighbourhood() -> list[tuple[Path, Path]]:
    """Make more locks for the same air."""
    found = []
    for number in range(NEIGHBOURS):
        mac = f"AA:BB:CC:11:33:{number:02X}"
        state = LOCK.state.with_name(f"neighbour-{number}.json")
        create_state(
            state,
            new_lock(
                mac=mac,
                name=f"S999_{number}",
                keys=stage.KEYS,
                now=datetime.now(UTC),
                zone=ZoneInfo(stage.ZONE),
            ),
        )
        found.append((state, Path(f"/run/neighbour-{number}.sock")))
    return found


if __name__ == "__main__":
    LOCK = stage.Lock()
    if "bench" in sys.argv:
        LOCK.neighbours = neighbourhood()
    stage.set_the_stage(LOCK)
    stage.main({"bench": bench, "soak": soak})

"""A lock on the suite's table: the whole suite, in this process, against a lock in this process."""

from __future__ import annotations

import asyncio
import io
import logging
import multiprocessing
import os
import random
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import structlog
import yaml

from ttlock_agent.clock import SystemClock
from ttlock_agent.hil.book import Book, Ended
from ttlock_agent.hil.catalogue import CHECKS, choose
from ttlock_agent.hil.hands import Nobody
from ttlock_agent.hil.model import Check, Group, Verdict
from ttlock_agent.hil.questions import learnt_quirks
from ttlock_agent.hil.session import Options, open_session
from ttlock_agent.keyring import encode_keys
from ttlock_agent.logs import bound_logger
from ttlock_agent.virtual_lock.main import create_state, serve
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from ttlock_protocol.messages.fingerprints import FingerprintRecord
from ttlock_protocol.virtual import Fault, FaultPlan, Faults, Memory, new_lock
from virtual_helpers import KEYS, MAC

from .locks import BROKEN, QUIRKY, SPECIAL_FEATURES, Broken

LOCK = "front-door"
SOCKET = "lock.sock"
JOBS = 2 * (os.cpu_count() or 1)
"""Processes: half of the time is spent on waiting for the lock."""
SLOW = frozenset(
    {
        "probe.silence",
        "bolt.auto_lock",
        "card.learn",
        "fingerprint.enrol",
        *(
            check.name
            for check in CHECKS
            if check.group in (Group.ENDURANCE, Group.DESTRUCTIVE)
            or check.name.startswith("keypad.")
        ),
    }
)
"""Left out where they are not what a fault is for: they wait, or start agents."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one lock."""

    verdicts: dict[str, Verdict]
    reasons: dict[str, str]
    quirks: dict[str, bool | str]

    @property
    def red(self) -> list[str]:
        """Names of the checks that failed."""
        return [name for name, verdict in self.verdicts.items() if verdict is Verdict.FAILED]


def lock_to_test(*, is_special: bool = True) -> Memory:
    """Return a good lock with something in it, which has every feature that is tested."""
    memory = new_lock(
        mac=MAC,
        name="S999_332211",
        keys=KEYS,
        now=datetime.now(UTC),
        zone=ZoneInfo("UTC"),
        admin_passcode="1123334",
        permanent_passcodes=("271828",),
    )
    return replace(
        memory,
        features=memory.features + (SPECIAL_FEATURES if is_special else ()),
        device=replace(memory.device, nb_rssi_dbm=-80),
        settings=replace(memory.settings, auto_lock_s=1),
        fingerprints=(
            FingerprintRecord(
                fingerprint=bytes(6), valid_from=PERMANENT_FROM, valid_until=PERMANENT_UNTIL
            ),
        ),
    )


def examine(
    memory: Memory,
    checks: Sequence[Check],
    *,
    faults: tuple[Fault, ...] = (),
    quirks: dict[str, Any] | None = None,
    response_timeout_s: int = 3,
) -> Outcome:
    """Run ``checks`` on a lock with ``memory``."""
    # What the agent logs is not what is looked at here.
    structlog.configure(wrapper_class=bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="hil-") as place:
        config = _config(Path(place), quirks or {}, response_timeout_s)
        return asyncio.run(_examine(config, memory, checks, faults))


async def _examine(
    config: Path, memory: Memory, checks: Sequence[Check], faults: tuple[Fault, ...]
) -> Outcome:
    clock, place = SystemClock(), config.parent
    state, socket = place / "lock.json", place / SOCKET
    create_state(state, memory)
    plan = Faults(FaultPlan(faults=faults), draw=random.Random(1).random)
    serving = asyncio.create_task(serve(state, socket, clock, out=io.StringIO(), faults=plan))
    while not socket.exists():
        await asyncio.sleep(0.01)
    book = Book.create(place / "run", clock)
    try:
        async with open_session(
            Options(lock=LOCK, config=config),
            book,
            checks=checks,
            person=Nobody(io.StringIO()),
            clock=clock,
            randbelow=secrets.randbelow,
        ) as session:
            await session.run(checks)
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    ended: dict[str, Ended] = book.verdicts()
    return Outcome(
        verdicts={name: each.verdict for name, each in ended.items()},
        reasons={name: each.reason for name, each in ended.items()},
        quirks=learnt_quirks(book),
    )


def _config(place: Path, quirks: dict[str, Any], response_timeout_s: int) -> Path:
    keys = place / "keys.json"
    keys.touch(mode=0o600)
    keys.write_bytes(encode_keys(KEYS))
    config = {
        "agent": {"id": "hil", "state_directory": str(place / "state")},
        "mqtt": {"host": "127.0.0.1"},
        "bluetooth": {"connect_timeout_s": 4, "response_timeout_s": response_timeout_s},
        "locks": [
            {
                "id": LOCK,
                "address": f"virtual:{place / SOCKET}",
                "time_zone": "UTC",
                "keys": "file:keys.json",
                "quirks": quirks,
            }
        ],
    }
    file = place / "agent.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


def checks_for(broken: Broken) -> tuple[Check, ...]:
    """Return the quick checks, and what it takes to find this fault; a wipe stands alone."""
    if broken.with_:
        return choose(only=(*broken.with_, broken.finds), is_destructive=True)
    return tuple(each for each in choose() if each.name not in SLOW or each.name == broken.finds)


def find(broken: Broken) -> Outcome:
    """Run the suite on one broken lock."""
    memory = broken.change(lock_to_test())
    return examine(memory, checks_for(broken), faults=broken.faults)


def find_all(broken: Sequence[Broken], jobs: int) -> dict[str, Outcome]:
    """Run the suite on each broken lock, in so many processes."""
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        found = pool.map(_number, [BROKEN.index(each) for each in broken], 1)
    return {each.name: outcome for each, outcome in zip(broken, found, strict=True)}


def _number(number: int) -> Outcome:
    """Find a fault by its number: functions that break locks cannot be sent to a process."""
    return find(BROKEN[number])


def learn_all(jobs: int) -> dict[str, Outcome]:
    """Run the whole suite, all but the wipe, on each stubborn lock."""
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        found = pool.map(_learn, range(len(QUIRKY)), 1)
    return {each.name: outcome for each, outcome in zip(QUIRKY, found, strict=True)}


def _learn(number: int) -> Outcome:
    return examine(replace(lock_to_test(), habits=QUIRKY[number].habits), choose())


def table(outcomes: dict[str, Outcome], broken: Sequence[Broken]) -> list[str]:
    """Return which check found which fault, for people."""
    width = max(len(each.name) for each in broken)
    lines = [f"{'fault':{width}}  found by               also red"]
    for each in broken:
        red = outcomes[each.name].red
        mark = each.finds if each.finds in red else f"NOT FOUND ({each.finds})"
        others = ", ".join(name for name in red if name != each.finds)
        lines.append(f"{each.name:{width}}  {mark:22} {others}")
    return lines

"""What the agent is at when it is killed, and what must be true in the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ttlock_agent.fakes.cloud_state import ListedPasscode, World, example_world
from ttlock_protocol.messages.passcodes import PasscodeType
from ttlock_protocol.virtual import (
    Fault,
    FaultAction,
    FaultPoint,
    Memory,
    StoredPasscode,
    new_lock,
)
from ttlock_protocol.virtual.memory import Capacity
from virtual_helpers import KEYS

from .air import ZONE, local
from .house import House
from .simulated import START, TrueClock

FRONT: Final = "front-door"
BACK: Final = "back-door"
Request = tuple[str, dict[str, Any]]


def later(**delta: float) -> datetime:
    """A whole minute after the start."""
    return (START + timedelta(**delta)).replace(second=0, microsecond=0)


def lock(
    number: int = 1,
    *,
    clock_error_s: float = 0.0,
    passcodes: Sequence[str] = (),
    stored: Sequence[StoredPasscode] = (),
    capacity: int = 150,
) -> Memory:
    """A paired lock."""
    memory = new_lock(
        mac=f"AA:BB:CC:11:22:{number:02}",
        name="S999_332211",
        keys=KEYS,
        now=START,
        zone=ZONE,
        clock_error_s=clock_error_s,
        admin_passcode="1123334",
        permanent_passcodes=passcodes,
    )
    return replace(
        memory,
        passcodes=(*memory.passcodes, *stored),
        capacity=Capacity(passcodes=capacity),
    )


def timed(digits: str, valid_from: datetime, valid_until: datetime) -> StoredPasscode:
    """A passcode with a validity, as a lock holds it."""
    start = local(valid_from)
    assert start is not None
    return StoredPasscode(
        passcode_type=PasscodeType.PERIOD,
        passcode=digits,
        original_passcode=digits,
        valid_from=start,
        valid_until=local(valid_until),
    )


def add(digits: str, *, door: str = FRONT, **more: Any) -> Request:
    return "passcode.add", {"id": f"add-{digits}", "lock": door, "passcode": digits, **more}


def delete(digits: str, *, door: str = FRONT) -> Request:
    return "passcode.delete", {"id": f"delete-{digits}", "lock": door, "passcode": digits}


def sync(name: str, *digits: str) -> Request:
    passcodes = [{"passcode": each, "label": f"guest {n}"} for n, each in enumerate(digits)]
    return "passcode.sync", {"id": name, "lock": FRONT, "owner": "pms", "passcodes": passcodes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``before`` is asked and done in an earlier life, then ``passes_s`` go by, and ``arrange``.

    ``happens`` is what people and the cloud do, whoever is killed meanwhile; the end comes when
    they are content, and not before ``lasts_s``. Hours ``later`` more is asked.
    """

    start: datetime = START
    locks: Mapping[str, Memory] = field(default_factory=lambda: {FRONT: lock()})
    before: Sequence[Request] = ()
    passes_s: float = 0.0
    arrange: Callable[[House], None] = lambda _stage: None
    requests: Sequence[Request] = ()
    happens: Callable[[House], Awaitable[None]] | None = None
    lasts_s: float = 0.0
    later: Sequence[Request] = ()
    faults: Sequence[Fault] = ()
    cloud: Callable[[], World] | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)
    held: Mapping[str, frozenset[str]]
    """What each lock must hold in the end."""
    windows: Mapping[str, tuple[datetime | None, datetime | None]] = field(default_factory=dict)
    """Validity that passcodes must have in the end."""
    right_clocks: frozenset[str] = frozenset()


UNTIL: Final = later(days=3)
_TEXT: Final = {"valid_until": UNTIL.isoformat()}


def _lost(request: str, action: FaultAction) -> Fault:
    return Fault(action=action, at=FaultPoint.ANSWER, request=request, nth=1)


def _cloud_with_two() -> World:
    world = example_world()
    world.locks[0].listed += [
        ListedPasscode(
            passcode_id=number,
            digits=digits,
            sent_at=START - timedelta(days=1),
            name="a guest",
            cloud_type=3,
            valid_from=later(days=-1),
            valid_until=UNTIL,
        )
        for number, digits in ((1, "482913"), (2, "771204"))
    ]
    return world


def _lose(*digits: str) -> Callable[[House], None]:
    return lambda stage: stage.doors[FRONT].lose(*digits)


async def _guest(stage: House) -> None:
    """Come to the door, fail, and try again until it opens: as a rule the second time."""
    await asyncio.sleep(5)
    for _ in range(MAX_TRIES):
        if stage.doors[FRONT].opens("482913"):
            return
        await asyncio.sleep(60)
    raise AssertionError("a guest was not helped")


async def _guest_by_callback(stage: House) -> None:
    """Fail out of the agent's hearing; the gateway tells the cloud, and the cloud the agent."""
    await asyncio.sleep(30)
    for _ in range(MAX_TRIES):
        if stage.doors[FRONT].opens("482913"):
            return
        await _tell_of_failure(stage)
        await asyncio.sleep(60)
    raise AssertionError("a guest was not helped")


async def _tell_of_failure(stage: House) -> None:
    now_ms = int(TrueClock().now().timestamp() * 1000)
    record = {"recordType": 4, "recordTypeFromLock": 7, "success": 0, "keyboardPwd": "482913",
              "lockDate": now_ms, "serverDate": now_ms}  # fmt: skip
    await stage.post({"notifyType": "1", "lockId": "1000001", "records": json.dumps([record])})


def _cloud_with_one_just_now() -> World:
    world = _cloud_with_two()
    entry = world.locks[0].listed[0]
    entry.sent_at = START
    world.locks[0].listed = [entry]
    return world


MAX_TRIES: Final = 4
SPRING: Final = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
AUTUMN: Final = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)


def _change_of_clocks(at: datetime) -> Scenario:
    """A passcode that ends after the change is in the lock, whose clock must follow."""
    until = at + timedelta(days=2)
    return Scenario(
        start=at - timedelta(minutes=4),
        before=[add("482913", valid_until=until.isoformat())],
        lasts_s=600,
        held=_front("482913"),
        windows={"482913": (None, until)},
        right_clocks=frozenset({FRONT}),
    )


def _front(*digits: str) -> dict[str, frozenset[str]]:
    return {FRONT: frozenset(digits)}


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "add one": Scenario(requests=[add("482913")], held=_front("482913")),
    "add three in one session": Scenario(
        requests=[add("482913"), add("771204", **_TEXT), add("320586")],
        held=_front("482913", "771204", "320586"),
        windows={"771204": (None, UNTIL)},
    ),
    "exists already": Scenario(
        locks={FRONT: lock(passcodes=["482913"])},
        requests=[add("482913")],
        held=_front("482913"),
    ),
    "exists with another window": Scenario(
        locks={FRONT: lock(stored=[timed("482913", later(days=-9), later(days=9))])},
        requests=[add("482913", valid_from=later(days=-1).isoformat(), **_TEXT)],
        held=_front("482913"),
        windows={"482913": (later(days=-1), UNTIL)},
    ),
    "exists with another type": Scenario(
        locks={FRONT: lock(passcodes=["482913"])},
        requests=[add("482913", **_TEXT)],
        held=_front("482913"),
        windows={"482913": (None, UNTIL)},
    ),
    "delete": Scenario(
        locks={FRONT: lock(passcodes=["111111"])},
        before=[add("482913")],
        requests=[delete("482913"), delete("111111")],
        held=_front(),
    ),
    "added and taken back": Scenario(requests=[add("482913"), delete("482913")], held=_front()),
    "sync of a set": Scenario(
        before=[sync("set-1", "482913", "771204")],
        requests=[sync("set-2", "771204", "320586", "665511")],
        held=_front("771204", "320586", "665511"),
    ),
    "the answer is lost": Scenario(
        requests=[add("482913")],
        faults=[_lost("AddPasscode", FaultAction.LOSE)],
        held=_front("482913"),
    ),
    "the link drops with the answer": Scenario(
        requests=[add("482913"), add("771204")],
        faults=[_lost("AddPasscode", FaultAction.DROP)],
        held=_front("482913", "771204"),
    ),
    "the answer to a deletion is lost": Scenario(
        locks={FRONT: lock(passcodes=["482913"])},
        requests=[delete("482913")],
        faults=[_lost("DeletePasscode", FaultAction.DROP)],
        held=_front(),
    ),
    "the clock is corrected first": Scenario(
        locks={FRONT: lock(clock_error_s=-7200)},
        requests=[add("482913", **_TEXT)],
        held=_front("482913"),
        windows={"482913": (None, UNTIL)},
        right_clocks=frozenset({FRONT}),
    ),
    "full of expired passcodes": Scenario(
        locks={FRONT: lock(capacity=2)},
        before=[
            add("482913", valid_until=later(hours=1).isoformat()),
            add("771204", valid_until=later(hours=1).isoformat()),
        ],
        passes_s=3 * 3600,
        requests=[add("320586"), add("665511")],
        held=_front("320586", "665511"),
    ),
    "a takeover from the cloud": Scenario(
        cloud=_cloud_with_two,
        sections={"watch": {"grace_s": 0, "quiet_s": 0}},
        held=_front("482913", "771204"),
        windows={"482913": (later(days=-1), UNTIL), "771204": (later(days=-1), UNTIL)},
    ),
    "summer time begins": _change_of_clocks(SPRING),
    "summer time ends": _change_of_clocks(AUTUMN),
    "a guest at the door": Scenario(
        before=[add("482913")],
        passes_s=3700,
        arrange=_lose("482913"),
        happens=_guest,
        held=_front("482913"),
    ),
    "a guest told of by callback": Scenario(
        cloud=_cloud_with_one_just_now,
        sections={
            "watch": {
                "grace_s": 3600,
                "quiet_s": 0,
                "callbacks": {"path": "file:callback-path"},
            }
        },
        happens=_guest_by_callback,
        held=_front("482913"),
        windows={"482913": (later(days=-1), UNTIL)},
    ),
    "proved again": Scenario(
        before=[add("482913"), add("771204")],
        passes_s=3700,
        arrange=_lose("482913"),
        requests=[add("320586")],
        later=[("clock.read", {"id": "hours later", "lock": FRONT})],
        held=_front("482913", "771204", "320586"),
    ),
    "two locks": Scenario(
        locks={FRONT: lock(1), BACK: lock(2, passcodes=["771204"])},
        requests=[add("482913"), delete("771204", door=BACK), add("320586", door=BACK)],
        held={FRONT: frozenset({"482913"}), BACK: frozenset({"320586"})},
    ),
}

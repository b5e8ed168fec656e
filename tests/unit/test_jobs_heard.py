"""What locks say by themselves: the freshest is shown, with its source, and not too often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from ttlock_agent.errors import JournalError
from ttlock_agent.jobs.heard import SHOW_APART_S, SHOW_AT_ONCE, SHOW_EVERY_S, Heard, HeardTeller
from ttlock_agent.jobs.model import Known
from ttlock_agent.link import Sighting
from ttlock_protocol.advertisement import BATTERY_SETTLES_S, build
from virtual_helpers import MAC, ManualClock

LOCK = "front-door"


@dataclass
class Air:
    """A lock that is heard, and what is known of it."""

    clock: ManualClock
    heard: Heard

    def say(
        self, *, battery: int = 87, rssi_dbm: int | None = -60, ago_s: float = 0.0, **flags: bool
    ) -> None:
        now = build(mac=MAC, scene=2, battery_percent=battery, **flags)
        sighting = Sighting(
            address=MAC,
            rssi_dbm=rssi_dbm,
            manufacturer_data=now.encode(),
            seen_at_monotonic_s=self.clock.monotonic() - ago_s,
        )
        self.heard.take(LOCK, sighting, now)

    def facts(self, read: Known | None = None) -> dict[str, Any]:
        return self.heard.facts(LOCK, read)

    def read(self, bolt: str = "LOCKED", battery: int | None = 80) -> Known:
        """What a session reads now."""
        value = {"lock": bolt, "battery_percent": battery}
        return Known(value=value, as_of=self.clock.now())

    def text(self) -> str:
        return self.clock.now().isoformat(timespec="seconds")


@pytest.fixture
def air() -> Air:
    clock = ManualClock()
    return Air(clock, Heard(clock))


def test_nothing_is_known_of_a_lock_that_was_neither_heard_nor_read(air: Air) -> None:
    assert air.facts() == {}


async def test_the_bolt_is_told_at_once_and_the_battery_once_it_has_settled(air: Air) -> None:
    air.say(is_unlocked=True)
    assert air.facts() == {
        "lock": "UNLOCKED",
        "lock_as_of": air.text(),
        "lock_source": "advertisement",
        "rssi_dbm": -60,
        "seen_at": air.text(),
    }
    await air.clock.advance(BATTERY_SETTLES_S)
    air.say(rssi_dbm=-70)
    assert air.facts() == {
        "lock": "LOCKED",
        "lock_as_of": air.text(),
        "lock_source": "advertisement",
        "battery_percent": 87,
        "battery_as_of": air.text(),
        "battery_source": "advertisement",
        "rssi_dbm": -70,
        "seen_at": air.text(),
    }


def test_what_a_second_adapter_heard_before_is_nothing_new(air: Air) -> None:
    air.say(is_unlocked=True)
    air.say(ago_s=5)
    assert (air.facts()["lock"], air.facts()["seen_at"]) == ("UNLOCKED", air.text())


async def test_a_dozing_lock_says_nothing_of_its_bolt(air: Air) -> None:
    air.say(is_dormant=True)
    assert air.facts()["lock"] == "UNKNOWN"
    assert "lock_as_of" not in air.facts()
    air.say(is_unlocked=True)
    unlocked_at = air.text()
    await air.clock.advance(60)
    air.say(is_dormant=True)
    facts = air.facts()
    assert (facts["lock"], facts["lock_as_of"]) == ("UNLOCKED", unlocked_at)
    assert facts["seen_at"] == air.text()


async def test_the_fresher_of_session_and_advertisement_counts(air: Air) -> None:
    air.say(is_unlocked=True)
    await air.clock.advance(BATTERY_SETTLES_S)
    air.say(is_unlocked=True)
    await air.clock.advance(1)
    read = air.read("LOCKED", 80)
    facts = air.facts(read)
    assert (facts["lock"], facts["lock_source"]) == ("LOCKED", "session")
    assert (facts["battery_percent"], facts["battery_source"]) == (80, "session")
    await air.clock.advance(1)
    air.say(is_unlocked=True)
    facts = air.facts(read)
    assert (facts["lock"], facts["lock_source"]) == ("UNLOCKED", "advertisement")
    assert (facts["battery_percent"], facts["battery_source"]) == (87, "advertisement")


def test_what_a_session_could_not_tell_leaves_the_advertisement(air: Air) -> None:
    air.say(is_unlocked=True)
    facts = air.facts(air.read("UNKNOWN", None))
    assert (facts["lock"], facts["lock_source"]) == ("UNLOCKED", "advertisement")
    assert Air(air.clock, Heard(air.clock)).facts(air.read("UNKNOWN", None)) == {"lock": "UNKNOWN"}


async def test_a_battery_that_jumps_is_not_believed_before_it_has_settled(air: Air) -> None:
    """As after the connection of a phone (D35)."""
    air.say()
    await air.clock.advance(BATTERY_SETTLES_S)
    air.say()
    air.say(battery=100)
    await air.clock.advance(BATTERY_SETTLES_S - 1)
    air.say(battery=100)
    assert air.facts()["battery_percent"] == 87
    await air.clock.advance(1)
    air.say(battery=100)
    assert air.facts()["battery_percent"] == 100


async def test_after_a_visit_of_our_own_it_must_settle_anew(air: Air) -> None:
    air.say(battery=100)
    await air.clock.advance(BATTERY_SETTLES_S - 1)
    air.heard.visited(LOCK)
    await air.clock.advance(1)
    air.say(battery=100)
    assert "battery_percent" not in air.facts()
    await air.clock.advance(BATTERY_SETTLES_S)
    air.say(battery=100)
    assert air.facts()["battery_percent"] == 100


def test_a_battery_byte_that_is_no_percentage_is_unknown(air: Air) -> None:
    air.say(battery=0xFF)
    assert "battery_percent" not in air.facts()


@dataclass
class Stage:
    air: Air
    shown: list[str]
    """What was shown of the bolt, in order."""
    errors: list[JournalError]

    async def hear(self, minutes: float, *, apart_s: float = 1.0, **said: Any) -> None:
        """Let the lock advertise all the time."""
        for _ in range(round(minutes * 60 / apart_s)):
            self.air.say(**said)
            await self.air.clock.advance(apart_s)


@pytest.fixture
async def stage(air: Air) -> AsyncIterator[Stage]:
    shown: list[str] = []
    made = Stage(air, shown, [])

    async def show(lock: str) -> None:
        if made.errors:
            raise made.errors.pop()
        shown.append(air.heard.facts(lock, None)["lock"])

    running = asyncio.create_task(HeardTeller(air.heard, show, clock=air.clock).run())
    await air.clock.advance(0)
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_many_advertisements_are_shown_seldom(stage: Stage) -> None:
    await stage.hear(60, rssi_dbm=-61)
    # The first, the battery once it has settled, and then as often as the strength may be old.
    assert len(stage.shown) == 2 + (3600 - BATTERY_SETTLES_S) // SHOW_EVERY_S


async def test_a_change_is_shown_at_once_but_not_in_a_flood(stage: Stage) -> None:
    stage.air.say()
    await stage.air.clock.advance(0)
    for _ in range(10 * SHOW_AT_ONCE):
        stage.air.say(is_unlocked=True)
        await stage.air.clock.advance(0.1)
        stage.air.say()
        await stage.air.clock.advance(0.1)
    assert stage.shown == ["LOCKED", *["UNLOCKED", "LOCKED"] * (SHOW_AT_ONCE // 2)]
    stage.air.say(is_unlocked=True)
    await stage.air.clock.advance(SHOW_APART_S)
    assert stage.shown[SHOW_AT_ONCE + 1 :] == ["UNLOCKED"]
    await stage.air.clock.advance(SHOW_APART_S * SHOW_AT_ONCE)
    for unlocked in (False, True, False):
        stage.air.say(is_unlocked=unlocked)
        await stage.air.clock.advance(0)
    assert stage.shown[SHOW_AT_ONCE + 2 :] == ["LOCKED", "UNLOCKED", "LOCKED"]


async def test_a_lock_that_is_gone_is_not_shown_again(stage: Stage) -> None:
    stage.air.say()
    await stage.air.clock.advance(10 * SHOW_EVERY_S)
    assert stage.shown == ["LOCKED"]


async def test_after_a_visit_it_is_shown_anew(stage: Stage) -> None:
    """The session may have read something else, and the lock says what it said before."""
    stage.air.say()
    await stage.air.clock.advance(SHOW_APART_S)
    stage.air.heard.visited(LOCK)
    stage.air.say()
    await stage.air.clock.advance(0)
    assert stage.shown == ["LOCKED", "LOCKED"]


async def test_a_journal_that_takes_nothing_is_no_end(stage: Stage) -> None:
    stage.errors.append(JournalError("Full."))
    stage.air.say()
    await stage.air.clock.advance(SHOW_APART_S)
    assert stage.shown == []
    stage.air.say(is_unlocked=True)
    await stage.air.clock.advance(0)
    assert stage.shown == ["UNLOCKED"]

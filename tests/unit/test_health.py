"""How the agent is, said to the broker: on each change, to each connection, and not otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_rig import TOPICS, VAULT
from ttlock_agent.errors import AdapterProblem, JournalError, JournalProblem
from ttlock_agent.health import ASK_TIME_EVERY_S, LOOK_EVERY, Health, HealthTeller
from ttlock_agent.jobs.store import Journal
from ttlock_agent.link.adapters import Adapters, AdapterState
from ttlock_agent.mqtt.errors import BrokerUnavailable, PublishRefused
from ttlock_agent.publication import Publication
from virtual_helpers import ManualClock

LOOK_S = LOOK_EVERY / timedelta(seconds=1)


@dataclass
class State:
    since: datetime


@dataclass
class Broker:
    """A connection that keeps what is published, or fails with the next of ``errors``."""

    clock: ManualClock
    said: list[Publication] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    tries: int = 0

    def __post_init__(self) -> None:
        self.state = State(self.clock.now())

    async def wait_connected(self) -> None:
        await asyncio.sleep(0)

    async def publish(self, publication: Publication) -> None:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        self.said.append(publication)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(each.payload) for each in self.said]


@dataclass
class Time:
    """A time service that counts how often it was asked."""

    asked: int = 0
    is_right: bool = True

    async def is_synchronised(self) -> bool | None:
        self.asked += 1
        return self.is_right


@dataclass
class Rig:
    clock: ManualClock
    adapters: Adapters
    journal: Journal
    broker: Broker
    time: Time

    async def later(self, seconds: float = LOOK_S + 1) -> None:
        await self.clock.advance(seconds)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with telling(tmp_path) as rig:
        yield rig


@asynccontextmanager
async def telling(directory: Path) -> AsyncIterator[Rig]:
    clock, adapters, time = ManualClock(), Adapters(), Time()
    async with await Journal.open(directory, VAULT, clock) as journal:
        broker = Broker(clock)
        health = Health(adapters, journal, time, clock=clock)
        teller = HealthTeller(health, broker, TOPICS.health, clock=clock)
        running = asyncio.create_task(teller.run())
        rig = Rig(clock, adapters, journal, broker, time)
        try:
            await rig.later()
            yield rig
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def adapter(clock: ManualClock, problem: AdapterProblem | None = None) -> AdapterState:
    return AdapterState(adapter="hci0", problem=problem, since=clock.now())


async def test_it_is_said_once_while_nothing_changes(rig: Rig) -> None:
    for _ in range(5):
        await rig.later()
    assert [each.topic for each in rig.broker.said] == [TOPICS.health]
    assert rig.broker.said[0].retain
    assert rig.broker.bodies[0] | {"as_of": None} == {
        "as_of": None,
        "adapters": [],
        "journal_trouble": None,
        "is_time_synchronised": True,
    }


async def test_a_change_of_an_adapter_is_said_at_once(rig: Rig) -> None:
    rig.adapters.tell(adapter(rig.clock))
    await rig.later(0)
    rig.adapters.tell(adapter(rig.clock))
    rig.adapters.tell(adapter(rig.clock, AdapterProblem.MISSING))
    await rig.later(0)
    states = [[each["state"] for each in body["adapters"]] for body in rig.broker.bodies]
    assert states == [[], ["usable"], ["missing"]]


async def test_trouble_with_the_journal_is_said_and_its_end(rig: Rig) -> None:
    rig.journal._database.trouble = JournalError("Full.", problem=JournalProblem.DISK_FULL)
    await rig.later()
    assert rig.broker.bodies[-1]["journal_trouble"]["problem"] == "disk_full"
    await rig.journal.check()
    await rig.later()
    assert rig.broker.bodies[-1]["journal_trouble"] is None


async def test_the_machines_clock_is_asked_seldom_and_its_change_said(rig: Rig) -> None:
    rig.time.is_right = False
    for _ in range(3):
        await rig.later()
    assert rig.time.asked == 1
    await rig.later(ASK_TIME_EVERY_S)
    await rig.later()
    assert rig.time.asked == 2
    assert [each["is_time_synchronised"] for each in rig.broker.bodies] == [True, False]


async def test_a_new_connection_hears_it_again(rig: Rig) -> None:
    rig.broker.state = State(rig.clock.now() + timedelta(seconds=1))
    await rig.later()
    assert len(rig.broker.said) == 2


async def test_what_was_not_said_for_want_of_a_broker_is_said_later(rig: Rig) -> None:
    rig.broker.errors = [BrokerUnavailable("gone")]
    rig.adapters.tell(adapter(rig.clock))
    await rig.later(0)
    await rig.later()
    assert [each["state"] for each in rig.broker.bodies[-1]["adapters"]] == ["usable"]


async def test_a_broker_that_refuses_the_topic_is_not_pestered(rig: Rig) -> None:
    rig.broker.errors = [PublishRefused("no", reason="no")]
    rig.adapters.tell(adapter(rig.clock))
    for _ in range(4):
        await rig.later()
    assert rig.broker.tries == 2


async def test_what_is_wrong_stands_in_the_service_managers_line(rig: Rig) -> None:
    health = Health(rig.adapters, rig.journal, rig.time, clock=rig.clock)
    rig.adapters.tell(adapter(rig.clock))
    assert health.trouble == ""
    rig.adapters.tell(adapter(rig.clock, AdapterProblem.POWERED_OFF))
    rig.journal._database.trouble = JournalError("Full.", problem=JournalProblem.DISK_FULL)
    assert health.trouble == "journal disk_full; adapter hci0 powered_off"

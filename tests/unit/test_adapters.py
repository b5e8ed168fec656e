"""Several locks and several adapters: one visit an adapter, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent_rig import PATIENCE_S, RESPONSE_TIMEOUT_S, TOPICS, VAULT, ZONE, Door, DoorLink
from ttlock_agent.jobs.adapters import AllAirtime, OwnLocks
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.door import Sign
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import Job, JobState
from ttlock_agent.jobs.radio import Radio, Report
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.jobs.work import Work
from ttlock_agent.link import Sighting
from ttlock_agent.link.router import LinksByAddress
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.requests import ParsedRequest, Passcode, PasscodeAdd, Priority
from virtual_helpers import KEYS, ManualClock


def profile(lock: str, adapter: str | None) -> LockProfile:
    return LockProfile(
        id=lock,
        address=f"virtual:{lock}",
        zone=ZONE,
        keys=KEYS,
        clock_tolerance_s=30,
        response_timeout_s=RESPONSE_TIMEOUT_S,
        adapter=adapter,
    )


class Doors:
    """Several doors behind one link port."""

    def __init__(self, clock: ManualClock, *locks: str) -> None:
        self.doors = {f"virtual:{lock}": Door(clock) for lock in locks}
        self.order: list[str] = []
        self.busy = 0
        self.most_busy = 0

    async def connect(self, address: str, *, timeout_s: float) -> DoorLink:
        self.order.append(address.removeprefix("virtual:"))
        door = self.doors[address]
        return await door.connect("virtual:front-door", timeout_s=timeout_s)

    async def sightings(self) -> AsyncIterator[Sighting]:
        await asyncio.Event().wait()
        yield Sighting(address="", rssi_dbm=None, manufacturer_data=b"", seen_at_monotonic_s=0)


@dataclass
class House:
    """Radios at work on several doors."""

    journal: Journal
    intake: Intake
    links: Doors
    clock: ManualClock
    radios: list[Radio] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    async def add(self, lock: str, digits: str, priority: Priority = Priority.NORMAL) -> Job:
        params = PasscodeAdd(lock=lock, passcode=Passcode(digits), priority=priority)
        request = ParsedRequest(f"{lock}-{digits}", "passcode.add", params)
        return await self.intake.take(request, source="mqtt")

    async def proved(self, *jobs: Job) -> None:
        async with asyncio.timeout(PATIENCE_S):
            for job in jobs:
                while (now := await self.journal.job(job.id)) is None or not now.is_final:
                    for task in self.tasks:
                        if task.done():
                            task.result()
                assert now.state is JobState.PROVED


@asynccontextmanager
async def house(directory: Path, **adapter_of: str | None) -> AsyncIterator[House]:
    clock, answers = ManualClock(), Answers(TOPICS)
    journal = await Journal.open(directory, VAULT, clock)
    profiles = {lock: profile(lock, adapter) for lock, adapter in adapter_of.items()}
    adapters = list(dict.fromkeys(adapter_of.values()))
    alarms = [Alarm(clock) for _ in adapters]
    intake = Intake(
        journal, answers, clock, profiles, alarms=alarms, register_secret=lambda _: None
    )
    found = House(journal, intake, Doors(clock, *adapter_of), clock)
    work = Work(journal, LockMemory(journal, TOPICS, clock), answers, clock)

    async def on_report(report: Report) -> None:
        found.reports.append(report)

    for adapter, alarm in zip(adapters, alarms, strict=True):
        radio = Radio(
            found.links,
            OwnLocks(profiles, adapter),
            journal=journal,
            work=work,
            answers=answers,
            clock=clock,
            alarm=alarm,
            random=lambda: 0.5,
            on_report=on_report,
        )
        found.radios.append(radio)
        found.tasks.append(asyncio.create_task(radio.run()))
    try:
        yield found
    finally:
        for task in found.tasks:
            task.cancel()
        await asyncio.gather(*found.tasks, return_exceptions=True)
        await journal.close()


def hold(door: Door) -> asyncio.Event:
    """Keep every visit to ``door`` in its first write until the event is set."""
    gate = asyncio.Event()

    async def wait(_number: int) -> None:
        await gate.wait()

    door.before_write = wait
    return gate


async def test_each_adapter_visits_its_own_locks_at_the_same_time(tmp_path: Path) -> None:
    async with house(tmp_path, front="hci0", back="hci1") as home:
        gate = hold(home.links.doors["virtual:front"])
        front = await home.add("front", "482913")
        back = await home.add("back", "771204")
        await home.proved(back)
        meanwhile = await home.journal.job(front.id)
        assert meanwhile is not None
        assert not meanwhile.is_final
        gate.set()
        await home.proved(front)
        assert home.links.doors["virtual:front"].digits == ["482913"]
        assert home.links.doors["virtual:back"].digits == ["771204"]


async def test_one_adapter_visits_one_lock_after_the_other(tmp_path: Path) -> None:
    async with house(tmp_path, front=None, back=None) as home:
        gate = hold(home.links.doors["virtual:front"])
        front = await home.add("front", "482913")
        back = await home.add("back", "771204")
        for _ in range(50):
            await home.journal.counts()
        assert home.links.order == ["front"]
        gate.set()
        await home.proved(front, back)
        assert home.links.order == ["front", "back"]


async def test_a_busy_lock_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    async with house(tmp_path, front=None, back=None, side=None) as home:
        gate = hold(home.links.doors["virtual:front"])
        first = await home.add("front", "482913")
        jobs = [await home.add("front", f"77120{number}") for number in range(3)]
        jobs += [await home.add("back", "330055"), await home.add("side", "661177")]
        gate.set()
        await home.proved(first, *jobs)
        again = [await home.add(lock, "990011") for lock in ("side", "back", "front")]
        await home.proved(*again)
        assert home.links.order[:3] == ["front", "back", "side"]
        assert sorted(home.links.order[3:]) == ["back", "front", "side"]


async def test_whoever_waited_longest_is_visited_first_and_a_guest_before_that(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, front=None, back=None, side=None) as home:
        await home.proved(await home.add("back", "330055"))
        await home.proved(await home.add("side", "661177"))
        gate = hold(home.links.doors["virtual:front"])
        jobs = [await home.add("front", "482913")]
        while home.links.order[-1] != "front":
            await home.journal.counts()
        jobs.append(await home.add("side", "771204"))
        jobs.append(await home.add("back", "771204"))
        gate.set()
        await home.proved(*jobs)
        assert home.links.order == ["back", "side", "front", "back", "side"]
        gate = hold(home.links.doors["virtual:front"])
        jobs = [await home.add("front", "990011")]
        while home.links.order[-1] != "front":
            await home.journal.counts()
        jobs.append(await home.add("back", "990011"))
        jobs.append(await home.add("side", "990011", Priority.GUEST_AT_THE_DOOR))
        gate.set()
        await home.proved(*jobs)
        assert home.links.order[5:] == ["front", "side", "back"]


async def test_somebody_at_a_door_does_not_wait_for_the_jobs_of_other_locks(tmp_path: Path) -> None:
    async with house(tmp_path, front=None, back=None, side=None) as home:
        await home.proved(await home.add("side", "661177"))
        while not home.reports:
            await home.journal.counts()
        await home.clock.advance(3601)
        door = home.links.doors["virtual:side"]
        door.lock._body.change(passcodes=())
        gate = hold(home.links.doors["virtual:front"])
        jobs = [await home.add("front", "482913")]
        while home.links.order[-1] != "front":
            await home.journal.counts()
        jobs.append(await home.add("back", "771204"))
        assert not door.opens("661177")
        home.radios[0].someone_is_at(Sign("side", has_news=True))
        home.radios[0].someone_is_at(Sign("back", has_news=True))
        gate.set()
        await home.proved(*jobs)
        assert home.links.order == ["side", "front", "side", "back"]
        assert door.opens("661177")


def test_the_locks_of_an_adapter_are_looked_at_anew() -> None:
    profiles = {"front": profile("front", "hci0")}
    own, other = OwnLocks(profiles, "hci0"), OwnLocks(profiles, "hci1")
    assert list(own) == ["front"]
    assert len(other) == 0
    assert "front" not in other
    profiles["back"] = profile("back", "hci1")
    assert dict(other) == {"back": profiles["back"]}
    profiles["front"] = replace(profiles["front"], adapter="hci1")
    assert list(own) == []


async def test_rare_work_has_all_adapters_and_gives_all_of_them_back() -> None:
    locks = [asyncio.Lock(), asyncio.Lock()]
    everything = AllAirtime(locks)
    async with everything:
        assert all(lock.locked() for lock in locks)
    assert not any(lock.locked() for lock in locks)
    await locks[1].acquire()
    waiting = asyncio.create_task(everything.__aenter__())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not locks[0].locked()


class Way:
    """A link factory that only says what it is asked."""

    def __init__(self, *seen: Sighting) -> None:
        self.asked: list[str] = []
        self.seen = seen

    async def connect(self, address: str, *, timeout_s: float) -> Any:
        self.asked.append(address)

    async def sightings(self) -> AsyncIterator[Sighting]:
        for sighting in self.seen:
            yield sighting
        await asyncio.Event().wait()


async def test_each_lock_goes_its_own_way_and_all_are_heard() -> None:
    heard = Sighting(address="b", rssi_dbm=-60, manufacturer_data=b"", seen_at_monotonic_s=0)
    first, second = Way(), Way(heard)
    links = LinksByAddress({"a": first, "b": second, "c": second})
    for address in ("a", "b", "c"):
        await links.connect(address, timeout_s=1)
    assert (first.asked, second.asked) == (["a"], ["b", "c"])
    sightings = links.sightings()
    assert await anext(sightings) == heard
    await sightings.aclose()

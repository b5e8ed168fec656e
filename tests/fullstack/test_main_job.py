"""The main job over each rig: a passcode is asked for, delivered, proved, and opens the door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.errors import LinkLost, OutcomeUnknown
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.bell import Bell
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import Job, JobState, WaitReason
from ttlock_agent.jobs.radio import Radio, Report
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.jobs.work import Work
from ttlock_agent.link.heard import HeardLinks
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.requests import parse_request
from ttlock_agent.vault import KeySource, MasterKey, Vault
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint

from .rigs import BluezRig, Rig, paired_memory

CLOCK = SystemClock()
LOCK = "front-door"
VAULT = Vault(MasterKey(value=bytes(range(32)), source=KeySource.FILE))
NO_PAUSE = -1.5
"""The random number that makes every pause between attempts end at once."""


@dataclass
class Agent:
    """The agent's jobs, from the request to the link."""

    journal: Journal
    intake: Intake
    bell: Bell
    reports: list[Report]

    async def add(self, digits: str) -> Job:
        return await self.ask("passcode.add", passcode=digits, kind="permanent")

    async def ask(self, verb: str, **params: str) -> Job:
        body = {"id": f"r-{verb}-{params.get('passcode')}", "lock": LOCK, **params}
        now = CLOCK.now()
        body["deadline_at"] = (now + timedelta(hours=1)).isoformat()
        parsed = parse_request(verb, json.dumps(body).encode(), known_locks={LOCK})
        return await self.intake.take(parsed, source="mqtt")

    async def until(self, job: Job, is_so: Callable[[Job], bool]) -> Job:
        with self.bell.listener() as news:
            while True:
                news.clear()
                now = await self.journal.job(job.id)
                assert now is not None
                if is_so(now):
                    return now
                await news.wait()

    async def final(self, job: Job) -> JobState:
        return (await self.until(job, lambda now: now.is_final)).state


@asynccontextmanager
async def running(
    rig: Rig, directory: Path, *, may_begin: asyncio.Event | None = None
) -> AsyncIterator[Agent]:
    """Run the agent's jobs; its radio only once it ``may_begin``."""
    bell, topics, reports = Bell(), Topics(agent_id="house-12"), list[Report]()
    journal = await Journal.open(directory, VAULT, CLOCK, on_change=bell.ring)
    answers, alarm, profiles = Answers(topics), Alarm(CLOCK), {LOCK: rig.profile}

    async def on_report(report: Report) -> None:
        reports.append(report)

    links = HeardLinks(rig.factory, clock=CLOCK)
    radio = Radio(
        links,
        profiles,
        journal=journal,
        work=Work(journal, LockMemory(journal, topics, CLOCK), answers, CLOCK),
        answers=answers,
        clock=CLOCK,
        alarm=alarm,
        random=lambda: NO_PAUSE,
        on_report=on_report,
    )
    intake = Intake(
        journal, answers, CLOCK, profiles, alarms=(alarm,), register_secret=lambda _: None
    )

    async def serve() -> None:
        if may_begin is not None:
            await may_begin.wait()
        await radio.run()

    serving = asyncio.create_task(serve())
    try:
        yield Agent(journal, intake, bell, reports)
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        await journal.close()


def opens(rig: Rig, digits: str) -> bool:
    return rig.lock.type_code(digits, datetime.now(UTC)).is_opened


async def test_a_passcode_is_proved_and_opens(rig: Rig, tmp_path: Path) -> None:
    async with running(rig, tmp_path) as agent:
        assert await agent.final(await agent.add("424242")) is JobState.PROVED
    assert opens(rig, "424242")
    assert not rig.lock.is_connected


async def test_many_passcodes_share_a_visit(rig: Rig, tmp_path: Path) -> None:
    digits = [f"{number:06}" for number in range(310_000, 310_020)]
    async with running(rig, tmp_path) as agent:
        jobs = [await agent.add(each) for each in digits]
        assert {await agent.final(job) for job in jobs} == {JobState.PROVED}
    assert all(opens(rig, each) for each in digits)


async def test_a_hundred_passcodes_are_proved_in_one_session(rig: Rig, tmp_path: Path) -> None:
    digits = [f"{number:06}" for number in range(310_000, 310_100)]
    may_begin = asyncio.Event()
    async with running(rig, tmp_path, may_begin=may_begin) as agent:
        jobs = [await agent.add(each) for each in digits]
        may_begin.set()
        assert {await agent.final(job) for job in jobs} == {JobState.PROVED}
        while not agent.reports:
            await asyncio.sleep(0)
        assert [report.error for report in agent.reports] == [None]
    assert sorted(each.passcode for each in rig.lock.memory.passcodes) == digits


async def test_250_passcodes_are_listed(rig: Rig, tmp_path: Path) -> None:
    digits = tuple(f"{number:06}" for number in range(310_000, 310_250))
    rig.lock._body.change(passcodes=paired_memory(permanent_passcodes=digits).passcodes)
    async with running(rig, tmp_path) as agent:
        listed = await agent.until(await agent.ask("passcode.list"), lambda now: now.is_final)
    assert listed.state is JobState.DONE
    assert listed.result is not None
    assert len(listed.result["passcodes"]) == len(digits)


@pytest.mark.parametrize("at", [FaultPoint.REQUEST, FaultPoint.ANSWER])
async def test_a_link_that_drops_on_the_change_is_read_back(
    rig: Rig, tmp_path: Path, at: FaultPoint
) -> None:
    rig.break_by(Fault(action=FaultAction.DROP, at=at, request="AddPasscode", nth=1))
    async with running(rig, tmp_path) as agent:
        assert await agent.final(await agent.add("424242")) is JobState.PROVED
        assert isinstance(agent.reports[0].error, LinkLost | OutcomeUnknown)
    assert [each.passcode for each in rig.lock.memory.passcodes] == ["424242"]


async def test_a_job_waits_while_a_phone_has_the_lock(dbus_rig: BluezRig, tmp_path: Path) -> None:
    async with running(dbus_rig, tmp_path) as agent:
        assert await agent.final(await agent.add("424242")) is JobState.PROVED
        while dbus_rig.air.advertisement() is None:  # our own connection is just ending
            await asyncio.sleep(0)
        dbus_rig.air.connect(lambda _: None, lambda: None)
        job = await agent.add("535353")
        waiting = await agent.until(job, lambda now: now.reason is WaitReason.LOCK_BUSY)
        assert waiting.error is not None
        assert waiting.error.code == "lock_taken"
        dbus_rig.air.disconnect()
        assert await agent.final(job) is JobState.PROVED


async def test_a_job_waits_for_the_adapter(dbus_rig: BluezRig, tmp_path: Path) -> None:
    dbus_rig.bluez.set_powered(False)
    async with running(dbus_rig, tmp_path) as agent:
        job = await agent.add("424242")
        await agent.until(job, lambda now: now.reason is WaitReason.ADAPTER_UNAVAILABLE)
        dbus_rig.bluez.set_powered(True)
        assert await agent.final(job) is JobState.PROVED


async def test_a_service_that_is_killed_in_mid_delivery_loses_and_doubles_nothing(
    dbus_rig: BluezRig, tmp_path: Path
) -> None:
    digits = [f"{number:06}" for number in range(310_000, 310_012)]
    async with running(dbus_rig, tmp_path) as agent:
        jobs = [await agent.add(each) for each in digits]
        for count in (2, 5, 9):
            while len(dbus_rig.lock.memory.passcodes) < count:
                await asyncio.sleep(0)
            await dbus_rig.bluez.kill()
            await dbus_rig.bluez.start()
        assert {await agent.final(job) for job in jobs} == {JobState.PROVED}
    assert sorted(each.passcode for each in dbus_rig.lock.memory.passcodes) == digits

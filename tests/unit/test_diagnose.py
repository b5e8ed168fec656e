"""The job `lock.diagnose` at a virtual lock: it changes nothing, or repairs and proves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_rig import KEYS, LOCK, TOPICS, Door, Rig, minute, rig_at
from ttlock_agent.diagnose.diagnosis import VERB, Diagnosis
from ttlock_agent.diagnose.firmware import shipped_faults
from ttlock_agent.diagnose.gather import Gatherer
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.budget import Budgets
from ttlock_agent.jobs.door_log import LOG
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import Job, after_interruption
from ttlock_agent.jobs.progress import Progress
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.requests import GatewayState
from ttlock_agent.watch.claims import view_of_report
from ttlock_agent.watch.judgement import WatchedLock
from ttlock_agent.watch.watch import GatewayWatch
from ttlock_protocol.message import Request
from ttlock_protocol.messages.clock import SetClock
from ttlock_protocol.messages.passcodes import AddPasscode, DeletePasscode
from ttlock_protocol.messages.settings import SetRemoteUnlock
from ttlock_protocol.virtual.memory import Capacity, Settings

CHANGES: tuple[type[Request[Any]], ...] = (AddPasscode, DeletePasscode, SetClock, SetRemoteUnlock)
DAY = timedelta(days=1)


class Surgery:
    """A rig, and what diagnoses its lock."""

    def __init__(self, rig: Rig, *, is_time_known: bool | None = True) -> None:
        self.rig = rig
        clock, journal = rig.clock, rig.journal
        self.memory = LockMemory(journal, TOPICS, clock)
        self.progress = Progress(clock, rig.bell.ring)
        self.told: list[str] = []
        self.watch = GatewayWatch(
            [WatchedLock(id=LOCK, cloud_id=None, grace=DAY)],
            quiet=timedelta(),
            reads_cloud=False,
            journal=journal,
            intake=rig.intake,
            topics=TOPICS,
            clock=clock,
            keyed_hash=lambda content: content[:8],
        )

        async def status() -> dict[str, Any]:
            return {"is_time_synchronised": is_time_known, "mqtt": {"status": "connected"}}

        self.profile: LockProfile = rig.intake._profiles[LOCK]
        self.diagnosis = Diagnosis(
            rig.door,
            rig.airtime,
            profiles={LOCK: self.profile},
            gatherer=Gatherer(
                journal,
                self.watch,
                clock,
                status=status,
                state_directory=rig.directory,
                faults=shipped_faults(),
            ),
            journal=journal,
            memory=self.memory,
            budgets=Budgets(journal, clock),
            intake=rig.intake,
            watch=self.watch,
            bell=rig.bell,
            clock=clock,
        )

    async def run(self, **params: Any) -> dict[str, Any]:
        job = await self.rig.ask(VERB, id=f"d-{len(self.told)}", **params)
        self.told.append(job.id)
        return await self.carry_out(job)

    async def carry_out(self, job: Job) -> dict[str, Any]:
        steps = Steps(job, self.rig.journal, Answers(TOPICS), self.progress)
        await self.diagnosis.verbs[VERB](steps)
        ended: Job | None = await self.rig.journal.job(job.id)
        assert ended is not None
        assert ended.result is not None, ended.error
        return ended.result

    async def see_gateway(self) -> None:
        view = view_of_report(GatewayState(is_online=True))
        await self.watch.put(LOCK, lambda book: book.put_gateways([view], self.rig.clock.now()))


@asynccontextmanager
async def surgery(directory: Path, **options: Any) -> AsyncIterator[Surgery]:
    is_time_known = options.pop("is_time_known", True)
    options.setdefault("reproof_interval", 7 * DAY)
    async with rig_at(directory, **options) as rig:
        yield Surgery(rig, is_time_known=is_time_known)


def verdicts(body: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["verdict"] for each in body["checks"]}


def sentence(body: dict[str, Any], check: str) -> str:
    (said,) = [each["sentence"] for each in body["checks"] if each["check"] == check]
    assert isinstance(said, str)
    return said


def remove(door: Door, digits: str) -> None:
    """Take a passcode out of the lock, behind the agent's back."""
    memory = door.lock.memory
    kept = tuple(each for each in memory.passcodes if each.passcode != digits)
    door.lock._body.memory = replace(memory, passcodes=kept)


async def test_a_diagnosis_changes_nothing_and_takes_one_connection(tmp_path: Path) -> None:
    async with surgery(tmp_path, clock_error_s=-3600.0, passcodes=("4711",)) as here:
        await here.rig.done(await here.rig.add("482913"))
        remove(here.rig.door, "482913")
        door = here.rig.door
        here.rig.door.opens("482913")
        before = await here.rig.journal.last_known(LOCK, LOG)
        connections, arrived = door.connections, len(door.arrived)
        body = await here.run()
        assert door.connections == connections + 1
        assert not any(isinstance(each, CHANGES) for each in door.arrived[arrived:])
        assert await here.rig.journal.last_known(LOCK, LOG) == before, "news are left to the radio"
        assert body["verdict"] == "fail"
        assert verdicts(body)["refused_at_the_door"] == "fail"
        assert verdicts(body)["strangers"] == "warn"


async def test_what_went_missing_is_put_back_and_proved(tmp_path: Path) -> None:
    async with surgery(tmp_path) as here:
        await here.rig.done(await here.rig.add("482913"), await here.rig.add("771204"))
        remove(here.rig.door, "482913")
        body = await here.run(fix=True)
        assert body["before"]["verdict"] == "fail"
        assert [(each["fix"], each["proved"]) for each in body["fixed"]] == [
            ("missing_passcodes", True)
        ]
        assert verdicts(body)["passcodes_held"] == "pass"
        assert sorted(here.rig.door.digits) == ["482913", "771204"]


async def test_a_job_that_pauses_after_a_failure_is_done_at_once(tmp_path: Path) -> None:
    async with surgery(tmp_path) as here:
        here.rig.door.is_in_range = False
        job = await here.rig.add("482913")
        await here.rig.until(job, lambda job: job.attempts == 1)
        here.rig.door.is_in_range = True
        body = await here.run(fix=True)
        assert verdicts(body["before"])["deliveries"] == "warn"
        assert verdicts(body)["passcodes_held"] == "pass"


@pytest.mark.parametrize("is_retired", [False, True], ids=["just over", "digits forgotten"])
async def test_expired_passcodes_are_removed_and_strangers_are_not(
    tmp_path: Path, is_retired: bool
) -> None:
    async with surgery(tmp_path, passcodes=("4711",)) as here:
        until = minute(here.rig.clock.now(), hours=1)
        await here.rig.done(await here.rig.add("482913", valid_until=until))
        await here.rig.clock.advance(2 * 3600)
        if is_retired:
            assert await here.rig.journal.retire_over() == 1
        first = await here.run()
        assert verdicts(first)["expired"] == verdicts(first)["strangers"] == "warn"
        body = await here.run(fix=True)
        assert [(each["fix"], each["proved"]) for each in body["fixed"]] == [
            ("expired_passcodes", True)
        ]
        assert here.rig.door.digits == ["4711"]


async def test_a_machine_that_does_not_know_the_time_calls_no_passcode_over(
    tmp_path: Path,
) -> None:
    async with surgery(tmp_path, is_time_known=False) as here:
        until = minute(here.rig.clock.now(), hours=1)
        await here.rig.done(await here.rig.add("482913", valid_until=until))
        await here.rig.clock.advance(2 * 3600)
        body = await here.run(fix=True)
        assert (verdicts(body)["expired"], body["fixed"]) == ("unknown", [])
        assert here.rig.door.digits == ["482913"]


async def test_remote_unlock_is_switched_on_only_where_a_gateway_needs_it(tmp_path: Path) -> None:
    off = Settings(is_remote_unlock_allowed=False)
    async with surgery(tmp_path, settings=off) as here:
        assert (await here.run())["fixes"] == []
        await here.see_gateway()
        body = await here.run(fix=True)
        assert [(each["fix"], each["proved"]) for each in body["fixed"]] == [
            ("remote_unlock", True)
        ]
        assert here.rig.door.lock.memory.settings.is_remote_unlock_allowed


async def test_no_clock_is_set_by_a_machine_that_does_not_know_the_time(tmp_path: Path) -> None:
    async with surgery(tmp_path, clock_error_s=-3600.0, is_time_known=False) as here:
        body = await here.run(fix=True)
        assert verdicts(body)["own_clock"] == verdicts(body)["clock"] == "fail"
        assert body["fixed"] == body["fixes"] == []
        assert here.rig.door.count(SetClock) == 0


async def test_a_lock_that_was_reset_is_told_apart_from_one_out_of_reach(tmp_path: Path) -> None:
    foreign = replace(KEYS, aes_key=bytes(16), admin_secret=1)
    async with surgery(tmp_path / "a", keys=foreign) as here:
        body = await here.run()
        assert body["causes"][0]["check"] == "keys"
        assert "keys import" in body["causes"][0]["remedy"]
        assert verdicts(body)["reached"] == "pass"
    async with surgery(tmp_path / "b") as here:
        here.rig.door.is_in_range = False
        body = await here.run(fix=True)
        assert body["causes"][0]["check"] == "reached"
        assert verdicts(body)["keys"] == "unknown"
        assert body["fixed"] == []
        signal = sentence(body, "signal")
        assert signal == sentence(await here.run(visit=False), "signal")


@pytest.fixture(autouse=True)
def _directories(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()


async def test_without_a_visit_nobody_connects(tmp_path: Path) -> None:
    async with surgery(tmp_path) as here:
        await here.rig.done(await here.rig.add("482913"))
        await here.run()
        connections = here.rig.door.connections
        body = await here.run(visit=False)
        assert here.rig.door.connections == connections
        assert body["visited"] is False
        assert verdicts(body)["passcodes_held"] == "unknown"
        assert verdicts(body)["firmware"] == "pass", "read at the visit before"


async def test_a_full_lock_says_which_kinds_it_refused(tmp_path: Path) -> None:
    full = Capacity(passcodes=1)
    async with surgery(tmp_path, passcodes=("4711",), capacity=full) as here:
        await here.rig.final(await here.rig.add("482913"))
        body = await here.run()
        assert verdicts(body)["memory"] == "fail"
        (kinds,) = [each for each in body["checks"] if each["check"] == "kinds"]
        assert "of kind permanent" in kinds["evidence"][1]["text"]


async def test_a_log_longer_than_a_page_is_read_to_its_end(tmp_path: Path) -> None:
    async with surgery(tmp_path) as here:
        await here.rig.done(await here.rig.add("482913"))
        assert all(here.rig.door.opens("482913") for _ in range(45))
        remove(here.rig.door, "482913")
        here.rig.door.opens("482913")
        body = await here.run()
        assert verdicts(body)["refused_at_the_door"] == "fail"


async def test_a_repair_that_was_cut_off_goes_on_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def die(*_: object) -> None:
        raise Killed

    async with surgery(tmp_path, clock_error_s=-3600.0) as here:
        await here.rig.done(await here.rig.add("482913"))
        remove(here.rig.door, "482913")
        job = await here.rig.ask(VERB, id="cut-off", fix=True)
        with monkeypatch.context() as patched:
            patched.setattr(here.diagnosis, "_settled", die)
            with pytest.raises(Killed):
                await here.carry_out(job)
        cut_off = await here.rig.journal.job(job.id)
        assert cut_off is not None
        resumed = await here.rig.journal.move(job.id, after_interruption(cut_off))
        body = await here.carry_out(resumed)
        assert verdicts(body)["passcodes_held"] == verdicts(body)["clock"] == "pass"
        assert here.rig.door.adds == ["482913", "482913"], "once before, once for the repair"


async def test_what_the_agent_has_read_of_the_log_before_counts_as_well(tmp_path: Path) -> None:
    async with surgery(tmp_path) as here:
        await here.rig.done(await here.rig.add("482913"))
        remove(here.rig.door, "482913")
        here.rig.door.opens("482913")
        # Reads the log, and puts the passcode back.
        await here.rig.done(await here.rig.ask("passcode.check", passcode="482913"))
        assert verdicts(await here.run())["refused_at_the_door"] == "warn"

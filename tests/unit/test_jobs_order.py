"""Which job goes first, and what is told about jobs that wait."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_rig import LOCK, TOPICS, Rig, rig_at
from ttlock_agent.backup.desk import Desk
from ttlock_agent.backup.shelf import Shelf
from ttlock_agent.control.messages import Call, Result
from ttlock_agent.health import Health
from ttlock_agent.jobs.answers import job_body
from ttlock_agent.jobs.heard import Heard
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.progress import Progress
from ttlock_agent.jobs.radio import Report
from ttlock_agent.link import Sighting
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.locks import Locks
from ttlock_agent.mqtt.bridge import IncomingRequest
from ttlock_agent.service import MAX_OPEN_JOBS, LockStatus, Service, Vitals
from ttlock_agent.timesync import CANNOT_TELL
from ttlock_protocol.advertisement import BATTERY_SETTLES_S, build
from ttlock_protocol.messages.passcodes import AddPasscode, GetPasscodes
from virtual_helpers import MAC


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path) as rig:
        yield rig


def service_of(rig: Rig) -> Service:
    vitals = Vitals(
        mqtt=dict,
        cloud=dict,
        health=Health(Adapters(), rig.journal, CANNOT_TELL, clock=rig.clock),
        heard=Heard(rig.clock),
        vault_key="file",
        journal_set_aside=None,
        locks={LOCK: LockStatus(address="virtual:front-door")},
    )
    locks = Locks.__new__(Locks)  # only asked for its profiles
    locks.profiles = {}
    return Service(
        journal=rig.journal,
        locks=locks,
        intake=rig.intake,
        answers=rig.intake._answers,
        topics=TOPICS,
        clock=rig.clock,
        bell=rig.bell,
        vitals=vitals,
        desk=Desk(Shelf(rig.directory, rig.journal), rig.journal, locks, rig.clock),
        progress=Progress(rig.clock, rig.bell.ring),
    )


async def over_mqtt(rig: Rig, verb: str, **body: Any) -> dict[str, Any]:
    incoming = IncomingRequest(
        verb=verb,
        payload=json.dumps(body).encode(),
        is_retained=False,
        response_topic=None,
        correlation_data=None,
    )
    await service_of(rig).on_mqtt(incoming)
    return (await rig.answers())[-1]


async def over_control(rig: Rig, verb: str, **body: Any) -> dict[str, Any]:
    request = json.dumps(body).encode()
    call = Call(verb=verb, request=request)  # type: ignore[arg-type]
    lines = [line async for line in service_of(rig).on_control(call)]
    assert isinstance(lines[-1], Result)
    return lines[-1].body


async def test_somebody_at_the_door_goes_before_all_others(rig: Rig) -> None:
    rig.door.is_in_range = False
    jobs = [await rig.add(f"48291{number}", id=f"j-{number}") for number in range(3)]
    await rig.until(jobs[-1], lambda job: job.not_before_at is not None)
    rig.door.is_in_range = True
    guest = await rig.add("771204", priority="guest_at_the_door")
    await rig.final(guest)
    await rig.done(*jobs)
    asked = [type(each) for each in rig.door.arrived]
    assert rig.door.adds[0] == "771204"
    first_listing = asked.index(GetPasscodes)
    assert asked[:first_listing].count(AddPasscode) == 1
    assert len(rig.door.digits) == 4


async def test_what_the_guest_needs_first_is_as_urgent_as_the_guest(rig: Rig) -> None:
    rig.door.is_in_range = False
    others = [await rig.add("482913"), await rig.add("330055", id="deleted soon")]
    await rig.until(others[-1], lambda job: job.not_before_at is not None)
    guest = await rig.ask(
        "passcode.delete", passcode="330055", priority="guest_at_the_door", id="guest"
    )
    rig.door.is_in_range = True
    assert (await rig.final(guest)).state is JobState.PROVED
    await rig.done(*others)
    assert rig.door.adds == ["330055", "482913"]
    assert rig.door.digits == ["482913"]


async def test_jobs_are_listed_over_mqtt_and_the_control_socket(rig: Rig) -> None:
    await rig.final(await rig.add("482913", id="done"))
    rig.door.is_in_range = False
    waiting = await rig.add("771204", id="waits")
    await rig.until(waiting, lambda job: job.reason is not None)
    answer = await over_mqtt(rig, "job.list", id="l-1")
    assert (answer["id"], answer["status"]) == ("l-1", "done")
    assert [job["id"] for job in answer["jobs"]] == ["waits", "done"]
    assert answer["jobs"][0]["waiting"]["reason"] == "lock_not_seen"
    assert "482913" not in str(answer)
    body = await over_control(rig, "job.list", id="l-2", open_only=True, lock=LOCK)
    assert [job["id"] for job in body["jobs"]] == ["waits"]
    assert (await over_control(rig, "job.list", id="l-3", limit=1))["jobs"] == body["jobs"]


async def test_a_job_that_waits_says_why(rig: Rig) -> None:
    rig.door.is_in_range = False
    job = await rig.ask("passcode.sync", owner="pms", id="s-1", passcodes=[{"passcode": "482913"}])
    (part,) = await rig.journal.parts(job.id)
    await rig.until(part, lambda job: job.reason is not None and job.attempts == 1)
    told = (await over_mqtt(rig, "job.get", id="g-1", job="s-1"))["about"]
    assert told["waiting"]["reason"] == "parts"
    assert told["passcodes"] == [{"label": "", "act": "add", "job": part.id}]
    told = (await over_mqtt(rig, "job.get", id="g-2", job=part.id))["about"]
    assert told["waiting"]["sentence"].startswith("The lock is not heard")
    assert job_body(part)["attempts"] == 0


async def test_a_status_stays_short_however_much_is_open(rig: Rig) -> None:
    rig.door.is_in_range = False
    for number in range(MAX_OPEN_JOBS + 1):
        await rig.add(f"{100000 + number}", id=f"j-{number}")
    status = await over_control(rig, "status")
    assert len(status["open_jobs"]) == MAX_OPEN_JOBS
    assert status["jobs"]["accepted"] + status["jobs"]["waiting"] == MAX_OPEN_JOBS + 1


async def test_after_a_visit_the_advertised_battery_must_settle_anew(rig: Rig) -> None:
    service = service_of(rig)
    heard, clock = service._vitals.heard, rig.clock

    def hear() -> dict[str, Any]:
        now = build(mac=MAC, scene=2, battery_percent=100)
        heard.take(
            LOCK,
            Sighting(
                address=MAC,
                rssi_dbm=-60,
                manufacturer_data=now.encode(),
                seen_at_monotonic_s=clock.monotonic(),
            ),
            now,
        )
        return heard.facts(LOCK, None)

    hear()
    await clock.advance(BATTERY_SETTLES_S / 2)
    ended_at = clock.now()
    for is_reached in (True, False):
        await service.on_report(
            Report(
                lock=LOCK, is_reached=is_reached, ended_at=ended_at, round_trips=3, connected_s=1.0
            )
        )
        await clock.advance(BATTERY_SETTLES_S / 2)
        assert "battery_percent" not in hear() or not is_reached
    assert hear()["battery_percent"] == 100
    assert (await service.status())["locks"][LOCK]["state"]["battery_percent"] == 100

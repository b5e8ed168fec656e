"""What the cloud posts over real HTTP, and what others report: news for the watch."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent_rig import LOCK
from ttlock_agent.errors import ConfigError, JobRejected, JournalError
from ttlock_agent.fakes.cloud_state import Fault, FaultKind, Record
from ttlock_agent.jobs.model import JobState
from ttlock_agent.requests import parse_request
from ttlock_agent.watch.callbacks import MAX_BODY_BYTES, Callbacks, checked_path, serve_callbacks
from ttlock_protocol.messages.passcodes import AddPasscode
from virtual_helpers import NOW
from watch_rig import GRACE_S, Scene, scene_at

PATH = "kT3mJ5qWz0bY7nXc"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_at(tmp_path) as made:
        yield made


@pytest.fixture
async def callbacks(scene: Scene) -> AsyncIterator[Callbacks]:
    """Listens where the fake cloud posts."""
    made = Callbacks(scene.watch, PATH)
    async with serve_callbacks(made, host="127.0.0.1", port=0) as port:
        scene.world.callback_url = f"http://127.0.0.1:{port}/{PATH}"
        yield made


def record(number: int, digits: str, **changes: Any) -> Record:
    return Record(
        **{
            "record_id": number,
            "record_type": 4,
            "lock_record_type": 7,
            "lock_at": NOW,
            "uploaded_at": NOW,
            "digits": digits,
            "is_success": False,
        }
        | changes
    )


async def post(scene: Scene, *records: Record) -> bool:
    return await scene.cloud.caller.records(scene.world.locks[0], records)


# Callbacks.


async def test_a_guest_at_the_door_is_helped_at_once(scene: Scene, callbacks: Callbacks) -> None:
    scene.enter("482913", sent_at=NOW)
    await scene.eye.try_to_look()
    await scene.watch.follow()
    assert await scene.jobs() == [], "the gateway still has time"
    assert await post(scene, record(1, "482913"))
    (job,) = await scene.jobs()
    assert job.priority > 0
    assert (await scene.rig.final(job)).state is JobState.PROVED
    assert scene.rig.door.opens("482913")
    for _ in range(3):
        assert await post(scene, record(1, "482913"))
    assert scene.rig.door.count(AddPasscode) == 1
    assert callbacks.received == 4


async def test_a_passcode_that_the_lock_lost_is_put_back(
    scene: Scene, callbacks: Callbacks
) -> None:
    scene.enter("482913")
    await scene.round()
    await scene.rig.visits(1)
    scene.rig.door.lock._body.change(passcodes=())
    assert await post(scene, record(1, "482913", uploaded_at=scene.rig.clock.now()))
    *_, listing = await scene.jobs()
    assert listing.verb == "passcode.list"
    await scene.rig.done(*await scene.jobs())
    await scene.rig.visits(2)
    await scene.rig.done(*await scene.jobs())
    assert scene.rig.door.digits == ["482913"]


async def test_what_failed_before_it_was_delivered_is_no_reason_to_look_again(
    scene: Scene, callbacks: Callbacks
) -> None:
    """A gateway that was away hands on what happened days ago, and a cloud repeats it."""
    scene.enter("482913")
    await scene.rig.clock.advance(60)
    await scene.round()
    assert await post(scene, *[record(number, "482913", uploaded_at=NOW) for number in range(50)])
    assert [job.verb for job in await scene.jobs()] == ["passcode.add"]


async def test_what_nobody_lists_leads_to_nothing(scene: Scene, callbacks: Callbacks) -> None:
    await scene.eye.try_to_look()
    assert await post(scene, record(1, "482913"), record(2, "771204", lock_record_type=11))
    assert await scene.jobs() == []


async def test_a_passcode_out_of_its_window_has_the_clock_set(
    scene: Scene, callbacks: Callbacks
) -> None:
    scene.enter("482913")
    await scene.round()
    scene.rig.door.lock.shift_clock(-3600.0)
    for number in range(3):
        assert await post(scene, record(number, "482913", lock_record_type=11))
    await scene.rig.done(*await scene.jobs())
    assert [job.verb for job in await scene.jobs()].count("clock.sync") == 1
    assert abs(scene.rig.door.clock_error_s()) < 30


async def test_records_show_how_fast_the_clock_is(scene: Scene, callbacks: Callbacks) -> None:
    await scene.book("482913")
    await scene.round()
    await scene.rig.clock.advance(60)
    now = scene.rig.clock.now()
    fast = record(1, "482913", lock_record_type=4, lock_at=now + timedelta(seconds=300))
    fast.uploaded_at = now
    assert await post(scene, fast)
    assert await scene.verdict() == "clock"
    assert "5 min fast" in (await scene.shown())["sentence"]
    await scene.rig.clock.advance(1)
    await scene.rig.done(*await scene.jobs())
    await scene.watch.follow()
    await scene.rig.clock.advance(GRACE_S)
    await scene.eye.try_to_look()
    await scene.rig.clock.advance(GRACE_S)
    await scene.eye.try_to_look()
    assert await scene.verdict() == "healthy"


async def test_the_locks_own_record_of_an_addition_is_evidence(
    scene: Scene, callbacks: Callbacks
) -> None:
    scene.enter("482913", sent_at=NOW)
    await scene.eye.try_to_look()
    assert await post(scene, record(1, "482913", lock_record_type=93))
    assert await scene.verdict() == "healthy"
    assert await scene.jobs() == []
    await scene.rig.clock.advance(GRACE_S)
    # It is looked up all the same, and what the lock holds is the truth.
    await scene.round()
    assert scene.rig.door.digits == ["482913"]
    assert (await scene.shown())["missing"] == 1


async def test_the_record_of_the_agents_own_work_is_no_evidence(
    scene: Scene, callbacks: Callbacks
) -> None:
    scene.enter("482913")
    scene.rig.door.is_in_range = False
    await scene.eye.try_to_look()
    (job,) = await scene.jobs()
    await scene.rig.until(job, lambda job: job.not_before_at is not None)
    assert await post(scene, record(1, "482913", lock_record_type=93))
    assert (await scene.watch.book(LOCK)).outcomes == {}
    assert await scene.verdict() == "unknown"


async def test_a_gateway_that_goes_is_told_of(scene: Scene, callbacks: Callbacks) -> None:
    await scene.book("482913")
    await scene.round()
    gateway = scene.world.gateways[0]
    assert await scene.cloud.caller.gateway(gateway, is_online=False)
    assert await scene.verdict() == "healthy"
    assert (await scene.shown())["suspected"]["verdict"] == "offline"
    assert not (await scene.shown())["gateways"][0]["is_online"]


@pytest.mark.parametrize("path", ["", "guess", PATH[:-1], PATH + "/", PATH + "x"])
async def test_without_the_path_nothing_is_believed(
    scene: Scene, callbacks: Callbacks, path: str
) -> None:
    assert scene.world.callback_url is not None
    scene.world.callback_url = scene.world.callback_url.removesuffix(PATH) + path
    assert not await post(scene, record(1, "482913"))
    assert (callbacks.received, callbacks.refused) == (0, 1)


@pytest.mark.parametrize(
    ("form", "status", "text"),
    [
        ({"notifyType": "1", "lockId": "1000001", "records": "no JSON"}, 200, "success"),
        ({"notifyType": "1", "lockId": "1000001", "records": '{"a": 1}'}, 200, "success"),
        ({"notifyType": "1", "lockId": "1000001", "records": "[1]"}, 200, "success"),
        ({"notifyType": "1", "lockId": "1000001", "records": "[{}]"}, 200, "success"),
        ({"notifyType": "1", "lockId": "77", "records": "[]"}, 200, "success"),
        ({"notifyType": "1"}, 200, "success"),
        ({"notifyType": "2", "gatewayId": "9", "isOnline": "1"}, 200, "success"),
        ({"notifyType": "2"}, 200, "success"),
        ({"notifyType": "7", "mac": "x"}, 200, "success"),
        ({}, 200, "success"),
        ({"notifyType": "1", "records": "x" * (MAX_BODY_BYTES + 1)}, 400, ""),
    ],
)
async def test_nonsense_is_taken_and_leads_to_nothing(
    scene: Scene, callbacks: Callbacks, form: dict[str, str], status: int, text: str
) -> None:
    assert scene.world.callback_url is not None
    async with (
        aiohttp.ClientSession() as http,
        http.post(scene.world.callback_url, data=form) as response,
    ):
        assert (response.status, await response.text()) == (status, text)
        assert await scene.jobs() == []
    async with aiohttp.ClientSession() as http, http.get(scene.world.callback_url) as response:
        assert response.status == 404


async def test_no_digits_are_logged(scene: Scene, callbacks: Callbacks, log_guard: Any) -> None:
    log_guard.register("482913", "660011", PATH)
    scene.enter("482913", sent_at=NOW)
    await scene.eye.try_to_look()
    await post(scene, record(1, "482913"), record(2, "660011"), record(3, "482913", lock_at=NOW))
    await scene.rig.done(*await scene.jobs())
    said = [entry.publication for entry in await scene.rig.journal.outbox(limit=1000)]
    assert not [each for each in said if b"482913" in each.payload or b"660011" in each.payload]
    assert len(log_guard.lines) > 5


@pytest.mark.parametrize(
    "secret", ["short", "x" * 129, "with/slash-aaaaaaaaaaaa", "näive-aaaaaaaaaaaaa"]
)
def test_a_path_that_can_be_guessed_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="16 to 128"):
        checked_path(secret)


# Reports.


async def report(scene: Scene, **fields: Any) -> dict[str, Any]:
    """Report as another system does, and return the answer."""
    body = {"id": "ha-1", "lock": LOCK, "gateway": {"is_online": True}} | fields
    payload = json.dumps(body, default=lambda at: at.isoformat()).encode()
    request = parse_request("gateway.report", payload, known_locks={LOCK})
    told = await scene.watch.answer(request)
    assert told is not None
    return told


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Scene]:
    """A watch without access to a cloud."""
    async with scene_at(tmp_path, reads_cloud=False) as made:
        yield made


def entry(digits: str) -> dict[str, Any]:
    return {"passcode": digits, "label": f"code {digits}"}


async def test_reports_do_what_the_cloud_does(alone: Scene, log_guard: Any) -> None:
    log_guard.register("482913", "771204")
    told = await report(alone, passcodes_listed=[entry("482913"), entry("771204")])
    assert told["verdict"] == "unknown"
    assert await alone.jobs() == []
    await alone.rig.clock.advance(GRACE_S)
    alone.restart()
    await alone.watch.follow()
    await alone.rig.done(*await alone.jobs())
    assert alone.rig.door.digits == ["482913", "771204"]
    told = await report(alone, passcodes_listed=[entry("482913"), entry("771204")])
    assert told["verdict"] == "connected_not_delivering"
    assert "482913" not in str(told)
    assert len(await alone.jobs()) == 2
    assert alone.watch.vitals()["is_watched"] is False
    for _ in range(2):
        await report(alone, passcodes_listed=[entry("482913")])
    await alone.rig.done(*await alone.jobs())
    assert alone.rig.door.digits == ["482913"]


@pytest.mark.parametrize(
    ("gateway", "verdict"),
    [
        ({"is_online": False}, "offline"),
        ({"is_online": True, "heard_lock_at": NOW - timedelta(hours=1)}, "cannot_hear_lock"),
        ({"is_online": True, "heard_lock_at": NOW, "rssi_dbm": -71}, "unknown"),
        ({"is_online": True}, "unknown"),
    ],
)
async def test_a_report_of_the_gateway_alone_says_what_it_can(
    alone: Scene, gateway: dict[str, Any], verdict: str
) -> None:
    assert (await report(alone, gateway=gateway))["verdict"] == verdict
    assert (await alone.shown())["gateways"][0]["is_online"] is gateway["is_online"]


async def test_several_gateways_are_told_apart_by_name(alone: Scene) -> None:
    await report(alone, gateway={"is_online": False, "name": "hall"})
    await report(alone, gateway={"is_online": True, "name": "attic"})
    await report(alone, gateway={"is_online": True, "name": "hall"})
    names = [each["name"] for each in (await alone.shown())["gateways"]]
    assert sorted(names) == ["attic", "hall"]


async def test_two_who_tell_of_one_list_are_refused(scene: Scene) -> None:
    with pytest.raises(JobRejected, match="reads this lock's list from the cloud itself"):
        await report(scene, passcodes_listed=[])
    assert (await report(scene))["verdict"] == "unknown"


async def test_a_list_that_names_a_passcode_twice_is_refused(alone: Scene) -> None:
    with pytest.raises(JobRejected, match="same digits") as caught:
        await report(alone, passcodes_listed=[entry("482913"), entry("482913")])
    assert "482913" not in str(caught.value)


async def test_a_report_that_comes_too_late_is_refused(alone: Scene) -> None:
    with pytest.raises(JobRejected, match="deadline_at"):
        await report(alone, deadline_at=NOW - timedelta(seconds=1))


async def test_callbacks_that_cannot_be_kept_are_sent_again(
    scene: Scene, callbacks: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise JournalError("The disk is full.")

    monkeypatch.setattr(scene.watch, "put_records", fail)
    assert not await post(scene, record(1, "482913"))
    assert callbacks.received == 0


async def test_a_faulty_cloud_and_callbacks_go_together(scene: Scene, callbacks: Callbacks) -> None:
    """What a callback brings is used although the cloud cannot be read just now."""
    scene.enter("482913", sent_at=NOW)
    await scene.eye.try_to_look()
    scene.world.faults = [Fault(kind=FaultKind.DROPPED)]
    await scene.eye.try_to_look()
    assert (await scene.shown())["trouble"]["code"] == "cloud_unreachable"
    assert await post(scene, record(1, "482913"))
    await scene.rig.done(*await scene.jobs())
    assert scene.rig.door.opens("482913")

"""The gateway watch, between a fake cloud over real HTTP and a lock: claims against memory."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_rig import LOCK, minute
from ttlock_agent.errors import JobExpired, JournalError
from ttlock_agent.fakes.cloud_state import Fault, FaultKind
from ttlock_agent.jobs.model import JobFailure, JobState, Move
from ttlock_agent.watch.watch import SHORT_GRACE
from ttlock_protocol.messages.passcodes import AddPasscode, ModifyPasscode, PasscodeType
from ttlock_protocol.virtual import Fault as LockFault
from ttlock_protocol.virtual import FaultAction, FaultPoint, StoredPasscode
from virtual_helpers import NOW
from watch_rig import (
    GRACE_S,
    LONG_AGO,
    POLL_S,
    QUIET_S,
    Scene,
    eventually,
    scene_at,
    settle_network,
)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_at(tmp_path) as made:
        yield made


# Verdicts.


async def test_a_gateway_that_delivers_is_healthy_and_left_in_peace(tmp_path: Path) -> None:
    async with scene_at(tmp_path, passcodes=["482913", "771204"]) as scene:
        scene.enter("482913", cloud_type=2, valid_until=None)
        scene.enter("771204", cloud_type=2, valid_until=None)
        await scene.round()
        assert await scene.verdict() == "healthy"
        assert scene.rig.door.adds == []
        assert [job.state for job in await scene.jobs()] == [JobState.PROVED] * 2


async def test_a_permanent_passcode_from_the_day_the_gateway_wrote_it_is_delivered(
    tmp_path: Path,
) -> None:
    there = StoredPasscode(
        passcode_type=PasscodeType.PERMANENT,
        passcode="482913",
        original_passcode="482913",
        valid_from=LONG_AGO.replace(tzinfo=None),
    )
    async with scene_at(tmp_path, stored=[there]) as scene:
        scene.enter("482913", cloud_type=2, valid_until=None)
        await scene.round()
        assert await scene.verdict() == "healthy"
        assert scene.rig.door.held == [there]


async def test_what_the_gateway_does_not_deliver_the_agent_does(tmp_path: Path) -> None:
    async with scene_at(tmp_path, clock_error_s=-7 * 3600, passcodes=["771204"]) as scene:
        scene.enter("482913")
        scene.enter("771204", cloud_type=2, valid_until=None)
        await scene.round()
        verdict = (await scene.verdicts())[-1]
        assert verdict["verdict"] == "connected_not_delivering"
        assert (verdict["listed"], verdict["delivered"], verdict["missing"]) == (2, 1, 1)
        assert 'gateway "ruveno g2"' in verdict["sentence"]
        assert "7 h 00 min slow" in verdict["sentence"]
        assert scene.rig.door.adds == ["482913"]
        assert scene.rig.door.opens("482913")


@pytest.mark.parametrize(
    ("expected", "breakage"),
    [
        ("offline", {"tcp_down_at": NOW - timedelta(hours=1)}),
        ("offline", {"tcp_down_at": NOW - timedelta(minutes=20)}),  # still counted as near
        ("cannot_hear_lock", {"last_heard": {}}),
        ("cannot_hear_lock", {"radio_down_at": NOW - timedelta(hours=1)}),
        ("connected_not_delivering", {"tcp_down_at": NOW - timedelta(minutes=5)}),  # not noticed
    ],
)
async def test_a_gateway_that_cannot_is_told_apart(
    scene: Scene, expected: str, breakage: dict[str, Any]
) -> None:
    for name, value in breakage.items():
        setattr(scene.world.gateways[0], name, value)
    scene.enter("482913")
    await scene.round()
    assert await scene.verdict() == expected
    assert scene.rig.door.digits == ["482913"]


async def test_an_account_without_a_gateway_has_records_only(scene: Scene) -> None:
    scene.world.gateways = []
    scene.enter("482913")
    await scene.round()
    assert await scene.verdict() == "cloud_only_record"
    assert scene.rig.door.digits == ["482913"]


async def test_a_lock_nobody_can_reach_gives_no_verdict(scene: Scene) -> None:
    scene.rig.door.is_in_range = False
    scene.enter("482913")
    await scene.eye.try_to_look()
    await scene.watch.follow()
    (job,) = await scene.jobs()
    await scene.rig.until(job, lambda job: job.not_before_at is not None)
    await scene.watch.follow()
    assert await scene.verdict() == "unknown"


async def test_no_topic_and_no_log_names_the_digits(scene: Scene, log_guard: Any) -> None:
    log_guard.register("482913")
    scene.enter("482913", name="code 482913 for Ann")
    await scene.round()
    said = await scene.rig.journal.outbox(limit=1000)
    assert len(said) > 3
    assert not [entry for entry in said if b"482913" in entry.publication.payload]
    (wish,) = await scene.rig.journal.wanted(LOCK)
    assert wish.label == "code *** for Ann"


# Patience.


async def test_a_gateway_gets_its_grace_time(scene: Scene) -> None:
    scene.enter("482913", sent_at=NOW)
    await scene.eye.try_to_look()
    assert await scene.watch.follow() == NOW + timedelta(seconds=GRACE_S)
    assert await scene.jobs() == []
    assert await scene.verdict() == "unknown"
    await scene.rig.clock.advance(GRACE_S - 1)
    await scene.watch.follow()
    assert await scene.jobs() == []
    await scene.rig.clock.advance(1)
    assert await scene.watch.follow() is None
    assert len(await scene.jobs()) == 1


async def test_a_cloud_whose_clock_is_ahead_gains_no_time(scene: Scene) -> None:
    scene.enter("482913", sent_at=NOW + timedelta(hours=5))
    await scene.eye.try_to_look()
    assert await scene.watch.follow() == NOW + timedelta(seconds=GRACE_S)


async def test_a_verdict_waits_for_what_is_still_in_its_grace(tmp_path: Path) -> None:
    async with scene_at(tmp_path, passcodes=["771204"]) as scene:
        scene.enter("771204", cloud_type=2, valid_until=None)
        scene.enter("482913", sent_at=NOW)
        await scene.round()
        assert await scene.verdict() == "healthy"


@pytest.mark.parametrize(
    "more",
    [
        {"is_custom": False},
        {"cloud_type": 1},
        {"valid_from": LONG_AGO, "valid_until": minute(NOW, hours=-1)},
    ],
    ids=["generated by the cloud", "one-time", "over"],
)
async def test_what_need_not_be_in_the_lock_is_left_alone(
    scene: Scene, more: dict[str, Any]
) -> None:
    scene.enter("482913", **more)
    await scene.round()
    assert await scene.jobs() == []
    assert await scene.verdict() == "unknown"


# Wishes that change.


async def test_a_changed_entry_is_a_new_wish_with_a_new_grace(scene: Scene) -> None:
    entry = scene.enter("482913")
    await scene.round()
    entry.valid_until = minute(NOW, days=9)
    await scene.eye.try_to_look()
    # A short one: the gateway has not delivered, and the agent does its work.
    assert await scene.watch.follow() == NOW + SHORT_GRACE
    assert len(await scene.jobs()) == 1
    await scene.rig.clock.advance(GRACE_S)
    await scene.round()
    assert [job.state for job in await scene.jobs()] == [JobState.PROVED] * 2
    (held,) = scene.rig.door.held
    assert held.valid_until == (entry.valid_until + timedelta(hours=1)).replace(tzinfo=None)


async def test_an_entry_that_is_changed_back_is_delivered_again(scene: Scene) -> None:
    entry = scene.enter("482913")
    first, second = entry.valid_until, minute(NOW, days=9)
    for until in (first, second, first):
        entry.valid_until = until
        await scene.eye.try_to_look()
        await scene.watch.follow()
        await scene.rig.clock.advance(GRACE_S)
        await scene.round()
    assert first is not None
    (held,) = scene.rig.door.held
    assert held.valid_until == (first + timedelta(hours=1)).replace(tzinfo=None)
    assert scene.rig.door.count(ModifyPasscode) == 2
    jobs = len(await scene.jobs())
    await scene.round()
    assert len(await scene.jobs()) == jobs


async def test_a_restart_asks_for_nothing_twice(scene: Scene) -> None:
    scene.enter("482913")
    await scene.round()
    scene.restart()
    await scene.round()
    assert len(await scene.jobs()) == 1
    assert scene.rig.door.count(AddPasscode) == 1
    assert [verdict["verdict"] for verdict in await scene.verdicts()] == (
        ["unknown", "connected_not_delivering", "connected_not_delivering"]
    )


async def test_a_restart_does_not_take_the_agents_own_work_for_the_gateways(scene: Scene) -> None:
    scene.rig.door.set_faults(
        LockFault(action=FaultAction.DROP, at=FaultPoint.ANSWER, request="AddPasscode", nth=1)
    )
    scene.enter("482913")
    await scene.eye.try_to_look()
    await scene.watch.follow()
    (job,) = await scene.jobs()
    await scene.rig.until(job, lambda job: job.state is JobState.UNKNOWN)
    scene.restart()
    await scene.round()
    assert await scene.verdict() == "connected_not_delivering"
    assert scene.rig.findings == {job.id: False}


async def test_an_expired_takeover_is_tried_anew(scene: Scene) -> None:
    scene.rig.door.is_in_range = False
    scene.enter("482913")
    await scene.eye.try_to_look()
    await scene.watch.follow()
    (job,) = await scene.jobs()
    expired = Move(to=JobState.EXPIRED, error=JobFailure.of(JobExpired("Too late.")))
    await scene.rig.until(job, lambda job: job.not_before_at is not None)
    await scene.rig.journal.move(job.id, expired)
    scene.rig.door.is_in_range = True
    await scene.round()
    assert [job.state for job in await scene.jobs()] == [JobState.EXPIRED, JobState.PROVED]
    assert scene.rig.door.digits == ["482913"]


async def test_an_entry_the_agent_refuses_is_named_once_and_hides_nothing(
    tmp_path: Path, log_guard: Any
) -> None:
    async with scene_at(tmp_path, passcodes=["771204"]) as scene:
        await scene.rig.final(await scene.rig.add("482913"))
        await scene.rig.visits(1)
        await scene.rig.clock.advance(QUIET_S)
        scene.enter("48291")  # begins like a passcode that somebody else wants
        scene.enter("771204", cloud_type=2, valid_until=None)
        for _ in range(3):
            await scene.round()
        refusals = [each for each in log_guard.entries if each["event"] == "cloud_entry_refused"]
        assert len(refusals) == 1
        assert "48291" not in str(refusals)
        assert await scene.verdict() == "healthy"


# Trouble with the cloud.


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (Fault(kind=FaultKind.ERRCODE, errcode=10003, path="/v3/gateway/list"), "cloud_refused"),
        (Fault(kind=FaultKind.ERRCODE, errcode=10007), "cloud_misconfigured"),
        (Fault(kind=FaultKind.ERRCODE, errcode=30006), "cloud_refused"),
        (Fault(kind=FaultKind.ERRCODE, errcode=30007), "cloud_quota"),
        (Fault(kind=FaultKind.ERRCODE, errcode=30008), "cloud_misconfigured"),
        (Fault(kind=FaultKind.ERRCODE, errcode=80000), "cloud_refused"),
        (Fault(kind=FaultKind.ERRCODE, errcode=-3), "cloud_refused"),
        (Fault(kind=FaultKind.RAW, status=500, body="no"), "cloud_unreachable"),
        (Fault(kind=FaultKind.RAW, body="<html>maintenance</html>"), "cloud_unreachable"),
        (Fault(kind=FaultKind.DROPPED), "cloud_unreachable"),
    ],
    ids=[
        "token",
        "password",
        "too many calls",
        "quota",
        "region",
        "own clock",
        "refused",
        "500",
        "not JSON",
        "hung up",
    ],
)
async def test_trouble_is_named_and_waited_out(scene: Scene, trouble: Fault, code: str) -> None:
    scene.world.faults = [trouble]
    scene.enter("482913")
    async with scene.running() as running:
        await eventually(lambda: scene.watch.vitals()["error"], running)
        await scene.waiting(running)
        assert await scene.jobs() == []
        (said,) = await scene.verdicts()
        assert said["trouble"]["code"] == code
        assert said["trouble"]["hint"]
        scene.world.faults = []
        await scene.next_look(running)
        while code == "cloud_quota" and scene.watch.vitals()["error"]:
            await scene.next_look(running)  # until the month has ended
        assert scene.watch.vitals()["error"] is None
        (job,) = await scene.jobs()
        assert (await scene.rig.final(job)).state is JobState.PROVED
        await scene.watch.follow()
        assert (await scene.verdicts())[-1]["trouble"] is None


async def test_a_failing_journal_is_waited_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.enter("482913")
    real, is_failing = scene.rig.journal.wanted, True

    async def wanted(lock: str) -> Any:
        if is_failing:
            raise JournalError("The disk is full.")
        return await real(lock)

    monkeypatch.setattr(scene.rig.journal, "wanted", wanted)
    async with scene.running() as running:
        await eventually(lambda: scene.world.calls.get("/v3/gateway/listByLock"), running)
        is_failing = False
        for _ in range(20):
            await scene.rig.clock.advance(60)
            await settle_network()
            if await scene.jobs():
                break
        assert len(await scene.jobs()) == 1


async def test_the_cloud_is_asked_once_in_each_interval(scene: Scene) -> None:
    async with scene.running() as running:
        for rounds in range(1, 4):
            await scene.looked(rounds, running)
            scene.rig.bell.ring()  # news of jobs is no reason to ask the cloud
            await settle_network()
            assert scene.world.calls["/v3/gateway/listByLock"] == rounds
            await scene.rig.clock.advance(POLL_S)

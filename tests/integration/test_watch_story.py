"""A gateway breaks, the agent does its work, the gateway is mended and gets its work back.

The gateway is the fake cloud's, and what it delivers really goes into the virtual lock.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_rig import LOCK
from ttlock_agent.cloud.client import Via
from ttlock_agent.fakes.cloud_admin import GatewayChange
from ttlock_agent.fakes.cloud_state import Fault, FaultKind
from ttlock_agent.jobs.model import Job, JobState
from ttlock_agent.requests import ParsedRequest, Passcode, PasscodeAdd
from ttlock_agent.watch.cloud_eye import CONFIRM_AFTER_S
from ttlock_protocol.messages.passcodes import AddPasscode, DeletePasscode
from watch_rig import (
    CLOUD_ID,
    POLL_S,
    QUIET_S,
    Scene,
    scene_at,
)

ADD = "/v3/keyboardPwd/add"
PROBE = "/v3/lock/queryDate"
LOST = Fault(kind=FaultKind.LOST, path=ADD)
GATEWAY = 2000001


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_at(tmp_path) as made:
        yield made


async def later(scene: Scene, *, restart: bool = False) -> str | None:
    """Let the pause between two looks pass, look, and return the verdict."""
    await scene.rig.clock.advance(POLL_S)
    if restart:
        scene.restart()
    await scene.round()
    return await scene.verdict()


@pytest.mark.parametrize("restart", [False, True], ids=["in one go", "restarted in each phase"])
async def test_a_gateway_breaks_is_stood_in_for_and_gets_its_work_back(
    scene: Scene, restart: bool
) -> None:
    door = scene.rig.door
    await scene.book("482913")
    assert door.digits == ["482913"]
    assert await later(scene, restart=restart) == "healthy"
    assert door.count(AddPasscode) == 1, "the gateway's own"

    scene.world.faults = [LOST]
    await scene.book("771204")
    assert door.digits == ["482913"]
    assert await later(scene, restart=restart) == "healthy", "one hiccup changes nothing"
    assert door.digits == ["482913", "771204"], "but whoever booked gets in"
    suspected = (await scene.shown())["suspected"]
    assert suspected["verdict"] == "connected_not_delivering"

    await scene.book("660011")
    assert await later(scene, restart=restart) == "connected_not_delivering"
    assert (await scene.shown())["delivers"] == "agent"
    assert door.opens("660011")

    scene.world.faults = []
    await scene.book("550022")
    assert await later(scene, restart=restart) == "healthy"
    shown = await scene.shown()
    assert shown["delivers"] == "gateway"
    assert shown["handed_back"]["evidence"].startswith("a passcode was in the lock before")
    assert shown["sentence"].endswith("holds those that were added last.")

    # In all of it, nothing was asked twice, of whomever.
    assert [each.passcode for each in door.arrived if isinstance(each, AddPasscode)] == [
        "482913", "771204", "660011", "550022",
    ]  # fmt: skip
    assert [job.state for job in await scene.jobs()] == [JobState.PROVED] * 4
    jobs = len(await scene.jobs())
    visits = len(scene.rig.reports)
    assert await later(scene, restart=True) == "healthy"
    assert (len(await scene.jobs()), len(scene.rig.reports)) == (jobs, visits)


async def test_a_gateway_that_comes_and_goes_is_believed_at_the_second_look(scene: Scene) -> None:
    await scene.book("482913")
    assert await later(scene) == "healthy"
    scene.cloud.admin.change_gateway(GatewayChange(gateway_id=GATEWAY, tcp_up=False, for_s=3600))
    assert await later(scene) == "healthy"
    assert await later(scene) == "offline"
    assert (await scene.shown())["delivers"] == "agent"
    scene.cloud.admin.change_gateway(GatewayChange(gateway_id=GATEWAY, tcp_up=True))
    assert await later(scene) == "offline"
    assert await later(scene) == "healthy"
    assert (await scene.shown())["handed_back"]["evidence"] == (
        "the gateway is online and hears the lock"
    )


async def test_a_lock_is_left_in_peace_after_a_visit(scene: Scene) -> None:
    await scene.book("482913")
    await scene.round()
    await scene.rig.visits(1)
    scene.enter("771204")
    await scene.eye.try_to_look()
    assert await scene.watch.follow() == scene.rig.clock.now() + timedelta(seconds=QUIET_S)
    assert len(await scene.jobs()) == 1
    await scene.rig.clock.advance(QUIET_S)
    await scene.watch.follow()
    assert len(await scene.jobs()) == 2


# Probes.


async def probed(scene: Scene) -> str | None:
    """Probe if that is worth it, and return what came of it."""
    await scene.eye.probe_if_needed()
    await scene.watch.follow()
    probe = (await scene.shown())["probe"]
    return None if probe is None else probe["result"]


async def broken(scene: Scene) -> None:
    """Let two passcodes get lost."""
    scene.world.faults = [LOST]
    await scene.book("482913")
    await scene.book("771204")
    await scene.round()
    assert await scene.verdict() == "connected_not_delivering"


async def test_a_probe_tells_lost_records_from_a_gateway_that_hangs(scene: Scene) -> None:
    await broken(scene)
    assert await probed(scene) is None, "the lock is left in peace after a visit"
    await scene.rig.clock.advance(QUIET_S)
    assert await probed(scene) == "ok"
    assert await scene.verdict() == "cloud_only_record"
    shown = await scene.shown()
    assert shown["delivers"] == "gateway"
    assert shown["handed_back"]["evidence"] == "the lock's clock was read through the gateway"


async def test_a_gateway_that_is_always_busy_hangs(scene: Scene) -> None:
    await broken(scene)
    scene.world.gateways[0].busy_until = scene.rig.clock.now() + timedelta(days=1)
    await scene.rig.clock.advance(QUIET_S)
    verdicts = []
    for _ in range(5):
        assert await probed(scene) == "busy"
        verdicts.append(await scene.verdict())
        await scene.rig.clock.advance(60)
    # Four probes a day, and no fifth.
    assert scene.world.calls[PROBE] == 4
    assert verdicts == [
        "connected_not_delivering", "busy", "busy", "connected_not_delivering",
        "connected_not_delivering",
    ]  # fmt: skip


async def test_probes_are_few_and_only_where_something_looks_wrong(scene: Scene) -> None:
    await scene.book("482913")
    await scene.round()
    await scene.rig.clock.advance(QUIET_S)
    await scene.eye.probe_if_needed()
    assert PROBE not in scene.world.calls
    scene.world.faults = [LOST, Fault(kind=FaultKind.ERRCODE, errcode=1, path=PROBE)]
    for digits in ("771204", "660011"):
        await scene.book(digits)
    await scene.round()
    for _ in range(48):
        await later(scene)
        await scene.eye.probe_if_needed()
    assert scene.world.calls[PROBE] == 4
    assert await scene.verdict() == "connected_not_delivering"
    assert "which does not answer" in (await scene.shown())["sentence"]


async def test_a_probe_that_finds_the_clock_wrong_has_it_set(scene: Scene) -> None:
    await broken(scene)
    scene.world.faults = []
    scene.rig.door.lock.shift_clock(-20 * 60.0)
    await scene.rig.clock.advance(QUIET_S)
    assert await probed(scene) == "ok"
    await scene.book("660011")
    await scene.round()
    assert abs(scene.rig.door.clock_error_s()) < 30
    assert (await scene.shown())["verdict"] == "healthy"


# Entries that vanish.


async def test_what_the_cloud_lists_no_more_is_removed_after_two_lists(scene: Scene) -> None:
    await scene.book("482913")
    gone = await scene.book("771204")
    await scene.round()
    await scene.client.delete_passcode(CLOUD_ID, gone, via=Via.DONE_OVER_BLUETOOTH)
    await later(scene)
    assert scene.rig.door.digits == ["482913", "771204"]
    await later(scene)
    assert scene.rig.door.digits == ["482913"]
    jobs = await scene.jobs()
    assert [job.verb for job in jobs][-1] == "passcode.delete"
    for restart in (True, False):
        await later(scene, restart=restart)
    assert len(await scene.jobs()) == len(jobs)
    assert scene.rig.door.count(DeletePasscode) == 1


async def test_a_list_that_lost_an_entry_is_read_again_soon(scene: Scene) -> None:
    gone = [await scene.book("482913"), await scene.book("771204")]
    async with scene.running() as running:
        await scene.looked(1, running)
        await scene.rig.done(*await scene.jobs())
        await scene.client.delete_passcode(CLOUD_ID, gone[0], via=Via.DONE_OVER_BLUETOOTH)
        await scene.rig.clock.advance(POLL_S)
        await scene.looked(2, running)
        await scene.rig.clock.advance(CONFIRM_AFTER_S)
        await scene.looked(3, running)


async def test_an_entry_that_comes_back_is_delivered_again(scene: Scene) -> None:
    await scene.book("482913")
    entry = scene.enter("771204", sent_at=scene.rig.clock.now())
    await later(scene)
    scene.world.locks[0].listed.remove(entry)
    await later(scene)
    await later(scene)
    assert scene.rig.door.digits == ["482913"]
    scene.world.locks[0].listed.append(entry)
    await later(scene)
    await later(scene)
    assert scene.rig.door.digits == ["482913", "771204"]


class Meanwhile:
    """Has somebody else ask for passcodes in the moment before the watch asks for its job."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
        self.job: Job | None = None
        rig, real = scene.rig, scene.rig.intake.take

        async def take(request: ParsedRequest, *, source: str, **more: Any) -> Job:
            if source == "takeover" and request.verb == verb and self.job is None:
                self.job = await real(_booking(), source="mqtt")
            return await real(request, source=source, **more)

        monkeypatch.setattr(rig.intake, "take", take)


def _booking() -> ParsedRequest:
    params = PasscodeAdd(lock=LOCK, passcode=Passcode("771204"), owner="pms", label="booking")
    return ParsedRequest("booking", "passcode.add", params)


@pytest.mark.parametrize("verb", ["passcode.add", "passcode.delete"])
async def test_what_somebody_else_wants_at_that_very_moment_is_left_to_him(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    await scene.book("482913")
    entry = scene.enter("771204")
    if verb == "passcode.delete":
        await later(scene)
        scene.world.locks[0].listed.remove(entry)
        await later(scene)
    meanwhile = Meanwhile(scene, monkeypatch, verb)
    await later(scene)
    await later(scene)
    assert meanwhile.job is not None
    assert (await scene.rig.final(meanwhile.job)).state is JobState.PROVED
    (wish,) = [each for each in await scene.rig.journal.wanted(LOCK) if each.digits == "771204"]
    assert (wish.owner, wish.label, wish.valid_until) == ("pms", "booking", None)
    assert scene.rig.door.digits == ["482913", "771204"]


async def test_a_list_that_lost_too_much_waits_for_a_person(scene: Scene) -> None:
    for digits in ("482913", "771204", "660011", "550022"):
        await scene.book(digits)
    await scene.round()
    scene.world.locks[0].listed = scene.world.locks[0].listed[:1]
    for _ in range(5):
        await later(scene)
    assert len(scene.rig.door.digits) == 4
    assert (await scene.shown())["removals_held_back"] == 3
    # A person says so, in the words that every owner has.
    await scene.rig.done(
        await scene.rig.ask(
            "passcode.sync", owner="cloud", passcodes=[{"passcode": "482913"}], id="person-1"
        )
    )
    assert scene.rig.door.digits == ["482913"]
    await later(scene)
    assert (await scene.shown())["removals_held_back"] == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.ERRCODE, errcode=90000, path="/v3/lock/listKeyboardPwd"),
        Fault(kind=FaultKind.ERRCODE, errcode=20002, path="/v3/lock/listKeyboardPwd"),
        Fault(kind=FaultKind.RAW, body="{}", path="/v3/lock/listKeyboardPwd"),
        Fault(
            kind=FaultKind.RAW,
            body='{"list": [], "pageNo": 1, "pageSize": 200, "pages": 1, "total": 2}',
            path="/v3/lock/listKeyboardPwd",
        ),
        Fault(kind=FaultKind.DROPPED, path="/v3/lock/listKeyboardPwd"),
    ],
    ids=["server error", "not admin", "no list", "short list", "hung up"],
)
async def test_a_list_that_fails_removes_nothing(scene: Scene, fault: Fault) -> None:
    await scene.book("482913")
    await scene.book("771204")
    await scene.round()
    scene.world.faults = [fault]
    for _ in range(6):
        await later(scene)
    assert scene.rig.door.digits == ["482913", "771204"]
    assert (await scene.shown())["trouble"]["hint"]
    scene.world.faults = []
    for _ in range(3):
        await later(scene)
    assert scene.rig.door.digits == ["482913", "771204"]
    assert (await scene.shown())["trouble"] is None


async def test_an_empty_list_must_stand_for_an_hour(scene: Scene) -> None:
    await scene.book("482913")
    await scene.round()
    scene.world.locks[0].listed = []
    for minutes in (0, 2, 57):
        await scene.rig.clock.advance(minutes * 60)
        await scene.round()
        assert scene.rig.door.digits == ["482913"]
    await scene.rig.clock.advance(120)
    await scene.round()
    assert scene.rig.door.digits == []


# What others had the agent write.


async def test_the_cloud_is_told_of_what_did_not_come_from_it(scene: Scene) -> None:
    listed = scene.world.locks[0].listed
    await scene.book("482913")
    await scene.round()
    await scene.rig.final(await scene.rig.add("771204", label="code 771204"))
    await later(scene)
    assert [(each.digits, each.name) for each in listed] == [
        ("482913", "a guest"), ("771204", "code ***"),
    ]  # fmt: skip
    adds = scene.world.calls[ADD]
    for restart in (True, False):
        await later(scene, restart=restart)
    assert scene.world.calls[ADD] == adds
    assert scene.rig.door.count(AddPasscode) == 2
    await scene.rig.final(await scene.rig.delete("771204"))
    await later(scene)
    assert [each.digits for each in scene.world.locks[0].listed] == ["482913"]
    for _ in range(3):
        await later(scene)
    assert scene.rig.door.digits == ["482913"]


async def test_what_the_cloud_lists_by_itself_is_not_recorded_twice(scene: Scene) -> None:
    scene.enter("771204")
    await scene.rig.final(await scene.rig.add("771204"))
    for _ in range(3):
        await later(scene)
    assert ADD not in scene.world.calls
    (wish,) = await scene.rig.journal.wanted(LOCK)
    assert wish.owner == "mqtt"


async def test_a_record_whose_answer_was_lost_is_found_again(scene: Scene) -> None:
    await scene.rig.final(await scene.rig.add("771204"))
    # The cloud did it and never said so; what the agent does next must not be another one.
    scene.world.faults = [Fault(kind=FaultKind.RAW, status=502, body="", path=ADD, times=1)]
    scene.world.locks[0].listed = []
    await later(scene)
    scene.enter("771204", cloud_type=2, valid_until=None)
    adds = scene.world.calls.get(ADD, 0)
    await later(scene, restart=True)
    assert scene.world.calls.get(ADD, 0) == adds
    await scene.rig.final(await scene.rig.delete("771204"))
    await later(scene)
    assert scene.world.locks[0].listed == []
    assert scene.rig.door.digits == []


async def test_who_removes_a_record_from_the_cloud_is_not_contradicted(scene: Scene) -> None:
    await scene.rig.final(await scene.rig.add("771204"))
    await later(scene)
    scene.world.locks[0].listed = []
    for _ in range(3):
        await later(scene)
    assert scene.world.locks[0].listed == []
    assert scene.rig.door.digits == ["771204"]


async def test_who_replaces_a_record_makes_it_the_clouds_own(scene: Scene) -> None:
    await scene.rig.final(await scene.rig.add("771204"))
    await later(scene)
    scene.world.locks[0].listed = []
    theirs = scene.enter("771204")
    await later(scene)
    await scene.rig.final(await scene.rig.delete("771204"))
    for _ in range(3):
        await later(scene)
    assert scene.world.locks[0].listed == [theirs]
    assert scene.rig.door.digits == ["771204"], "for the cloud wants it"


# Calls.


async def test_calls_are_counted_and_shown(scene: Scene) -> None:
    await scene.round()
    figures = scene.watch.vitals()
    # The fake does not count the login against the quota; the agent does, to be safe.
    assert figures["calls_this_month"] == scene.world.quota_spent + 1
    assert figures["monthly_call_budget"] == 100_000
    assert figures["poll_interval_s"] == POLL_S


async def test_trouble_with_one_lock_leaves_the_others_alone(scene: Scene) -> None:
    await scene.round()
    scene.world.locks[0].account = "somebody@example.org"
    await later(scene)
    assert scene.watch.trouble is None
    assert "20002" in scene.watch.vitals()["lock_errors"][LOCK]
    assert (await scene.shown())["trouble"]["code"] == "cloud_misconfigured"

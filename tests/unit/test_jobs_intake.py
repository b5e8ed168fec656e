"""Requests become jobs, once each, or are refused and change nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_rig import LOCK, Door, Rig, minute, rig_at
from ttlock_agent.errors import JobRejected, NoSuchJob, Rejection
from ttlock_agent.jobs.model import JobState
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from virtual_helpers import NOW, ManualClock

FRIDAY = minute(NOW, days=6)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A rig whose lock is out of reach, so that jobs stay where they are."""
    door = Door(ManualClock())
    door.is_in_range = False
    async with rig_at(tmp_path, door) as made:
        yield made


async def content(rig: Rig) -> tuple[list[str], list[str | None]]:
    jobs, wishes = await rig.journal.recent(100), await rig.journal.wanted(LOCK)
    return [job.id for job in jobs], [wish.job_id for wish in wishes]


async def refusal(rig: Rig, verb: str, **params: Any) -> Rejection:
    """Ask for something that is refused; return why, once it is sure that nothing changed."""
    before = await content(rig)
    with pytest.raises(JobRejected) as refused:
        await rig.ask(verb, **params)
    assert await content(rig) == before
    assert params.get("passcode", "none") not in refused.value.message + refused.value.hint
    return refused.value.reason


async def test_one_id_is_one_job_and_each_asking_is_answered(rig: Rig) -> None:
    first = await rig.add("482913", id="a")
    again = await rig.add("482913", id="a", source="control")
    assert first.id == again.id
    assert [(each["id"], each["status"]) for each in await rig.answers()] == [("a", "accepted")] * 2
    assert await refusal(rig, "passcode.add", id="a", passcode="771204") is Rejection.CONFLICT
    assert await refusal(rig, "passcode.delete", id="a", passcode="482913") is Rejection.CONFLICT


async def test_who_asks_again_too_late_still_gets_the_answer(rig: Rig) -> None:
    """A broker delivers again what was not acknowledged, however late; and callers repeat."""
    rig.door.is_in_range = True
    params = {"id": "a", "valid_until": minute(NOW, hours=2), "deadline_at": minute(NOW, hours=1)}
    job = await rig.final(await rig.add("482913", **params))
    assert job.state is JobState.PROVED
    await rig.clock.advance(4 * 3600)
    assert (await rig.add("482913", **params)).id == job.id
    assert [each["status"] for each in await rig.answers()] == ["accepted", "done", "done"]
    params["id"] = "b"
    assert await refusal(rig, "passcode.add", passcode="482913", **params) is Rejection.EXPIRED


async def test_who_was_told_no_does_not_find_it_done_when_it_is_delivered_again(rig: Rig) -> None:
    """The acknowledgement got lost, and meanwhile the reason for the refusal is gone."""
    rig.door.is_in_range = True
    await rig.final(await rig.add("482913"))
    assert await refusal(rig, "passcode.add", id="a", passcode="4829") is Rejection.PREFIX_COLLISION
    await rig.final(await rig.delete("482913"))
    assert await refusal(rig, "passcode.add", id="a", passcode="4829") is Rejection.PREFIX_COLLISION
    assert (await rig.final(await rig.add("771204", id="a"))).state is JobState.PROVED
    assert await refusal(rig, "passcode.add", id="a", passcode="4829") is Rejection.CONFLICT
    assert (await rig.final(await rig.add("4829", id="b"))).state is JobState.PROVED


async def test_what_the_agent_itself_asks_for_may_do_better_the_next_time(rig: Rig) -> None:
    await rig.add("482913")
    for source in ("takeover", "daylight"):
        with pytest.raises(JobRejected):
            await rig.add("4829", id=source, source=source)
    await rig.ask("job.cancel", job="r-passcode.add-482913")
    for source in ("takeover", "daylight"):
        assert (await rig.add("4829", id=source, source=source)).state is JobState.ACCEPTED


async def test_a_lock_without_keys_takes_no_new_jobs(rig: Rig) -> None:
    job = await rig.add("482913", id="a")
    rig.intake._profiles.clear()  # type: ignore[attr-defined]
    assert await refusal(rig, "clock.read", id="b") is Rejection.NO_KEYS
    assert (await rig.add("482913", id="a")).id == job.id


@pytest.mark.parametrize(("first", "second"), [("482913", "4829"), ("4829", "482913")])
async def test_passcodes_of_which_one_begins_like_the_other_are_refused(
    rig: Rig, first: str, second: str
) -> None:
    await rig.add(first)
    assert await refusal(rig, "passcode.add", passcode=second) is Rejection.PREFIX_COLLISION
    assert (await rig.delete(second)).state is JobState.ACCEPTED  # deleting it is no trouble
    assert (await rig.add(first, id="the same digits again")).state is JobState.ACCEPTED


async def test_nobody_takes_a_passcode_from_the_set_of_another(rig: Rig) -> None:
    rig.door.is_in_range = True
    await rig.final(await rig.add("482913", owner="pms"))
    assert await refusal(rig, "passcode.add", id="b", passcode="482913", owner="ha") is (
        Rejection.DUPLICATE
    )
    end = {"valid_until": minute(NOW, hours=1)}
    assert (await rig.final(await rig.add("482913", id="c", **end))).state is JobState.PROVED
    (wish,) = await rig.journal.wanted(LOCK)
    assert (wish.owner, wish.valid_until) == ("pms", NOW + timedelta(hours=1))
    for owner in ("ha", "mqtt"):
        await rig.final(await rig.ask("passcode.sync", id=owner, owner=owner, passcodes=[]))
    assert [each.owner for each in await rig.journal.wanted(LOCK)] == ["pms"]


async def test_only_the_cloud_says_what_is_the_clouds(rig: Rig) -> None:
    assert await refusal(rig, "passcode.add", passcode="482913", owner="cloud") is Rejection.INVALID


async def test_what_is_over_collides_with_nothing(rig: Rig) -> None:
    await rig.add("482913", valid_until=minute(NOW, hours=1), deadline_at=minute(NOW, days=9))
    await rig.clock.advance(2 * 3600)
    assert (await rig.add("4829")).state is JobState.ACCEPTED


async def test_of_two_that_collide_at_the_same_time_one_is_refused(rig: Rig) -> None:
    both = await asyncio.gather(rig.add("482913"), rig.add("4829"), return_exceptions=True)
    assert [isinstance(each, JobRejected) for each in both] == [False, True]
    assert len(await rig.journal.wanted(LOCK)) == 1


@pytest.mark.parametrize(
    ("verb", "params", "deadline"),
    [
        ("passcode.add", {"passcode": "482913"}, NOW + timedelta(hours=24)),
        ("passcode.add", {"passcode": "482913", "valid_until": FRIDAY}, FRIDAY),
        ("passcode.add", {"passcode": "482913", "deadline_at": FRIDAY}, FRIDAY),
        ("passcode.delete", {"passcode": "482913"}, NOW + timedelta(hours=24)),
        ("clock.read", {}, NOW + timedelta(minutes=10)),
    ],
)  # fmt: skip
async def test_every_job_has_a_deadline(
    rig: Rig, verb: str, params: dict[str, Any], deadline: datetime
) -> None:
    assert (await rig.ask(verb, **params)).deadline_at == deadline


async def test_a_job_is_found_by_its_id_and_by_its_requests(rig: Rig) -> None:
    job = await rig.add("482913", id="a")
    for name in ("a", job.id):
        assert (await rig.ask("job.get", id=f"get {name}", job=name)).id == job.id
    with pytest.raises(NoSuchJob):
        await rig.ask("job.get", id="get", job="nobody")
    about = (await rig.answers())[-1]["about"]
    assert (about["job"], about["deadline_at"]) == (job.id, "2026-03-15T08:00:00+00:00")


async def test_a_cancelled_job_is_answered_for(rig: Rig) -> None:
    job = await rig.add("482913", id="a")
    assert (await rig.ask("job.cancel", id="c", job="a")).state is JobState.CANCELLED
    assert (await rig.ask("job.cancel", id="d", job="a")).state is JobState.CANCELLED
    last = [each for each in await rig.answers() if each["id"] == "a"][-1]
    assert (last["status"], last["result"]) == ("failed", "cancelled")
    assert last["error"]["code"] == "cancelled"
    assert (await rig.journal.job(job.id)) is not None


async def test_what_the_lock_may_have_done_cannot_be_cancelled(rig: Rig) -> None:
    rig.door.is_in_range = True
    rig.door.set_faults(
        Fault(action=FaultAction.DROP, at=FaultPoint.ANSWER, request="AddPasscode", nth=1)
    )
    job = await rig.add("482913", id="a")
    job = await rig.until(job, lambda job: job.not_before_at is not None)
    assert (await rig.ask("job.cancel", id="c", job="a")).state is JobState.UNKNOWN
    assert (await rig.final(job)).state is JobState.PROVED

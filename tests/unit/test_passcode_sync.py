"""``passcode.sync``: one owner's complete set, brought into the lock beside those of others."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_rig import LOCK, Rig, minute, rig_at
from ttlock_agent.errors import JobRejected, Rejection
from ttlock_agent.jobs.model import Job, JobState, WaitReason
from ttlock_protocol.messages.passcodes import GetPasscodes


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path) as rig:
        yield rig


def entry(passcode: str, label: str = "", **more: Any) -> dict[str, Any]:
    return {"passcode": passcode, "label": label, **more}


async def sync(rig: Rig, *entries: dict[str, Any], **options: Any) -> Job:
    return await rig.ask("passcode.sync", **{"owner": "pms", "passcodes": entries} | options)


async def finished(rig: Rig, job: Job) -> Job:
    """Wait for the parts of a set, moving time whenever they pause."""
    await rig.done(*await rig.journal.parts(job.id))
    return await rig.final(job)


def told(job: Job) -> list[tuple[str, str, str | None]]:
    """What the result says of each passcode, without the ids of the parts."""
    assert job.result is not None
    return [(each["label"], each["act"], each.get("result")) for each in job.result["passcodes"]]


async def test_a_set_is_written_in_one_session_and_answered_once(rig: Rig) -> None:
    job = await rig.final(await sync(rig, entry("482913", "a"), entry("771204", "b"), id="s-1"))
    assert job.state is JobState.PROVED
    assert told(job) == [("a", "add", "proved"), ("b", "add", "proved")]
    assert rig.door.digits == ["482913", "771204"]
    assert (rig.door.connections, rig.door.count(GetPasscodes)) == (1, 3)
    answers = await rig.answers()
    assert [(each["id"], each["status"]) for each in answers] == [
        ("s-1", "accepted"),
        ("s-1", "done"),
    ]
    assert "482913" not in str(answers)


async def test_the_next_set_changes_only_what_differs(rig: Rig) -> None:
    end = minute(rig.clock.now(), days=2)
    first = (entry("482913", "stays"), entry("771204", "goes"), entry("330055", "was permanent"))
    await rig.final(await sync(rig, *first, id="s-1"))
    sent = len(rig.door.adds)
    second = (
        entry("482913", "stays, renamed"),
        entry("330055", "ends now", valid_until=end),
        entry("909012", "comes"),
    )
    job = await rig.final(await sync(rig, *second, id="s-2"))
    assert job.state is JobState.PROVED
    assert told(job) == [
        ("goes", "delete", "proved"),
        ("ends now", "modify", "proved"),
        ("comes", "add", "proved"),
        ("stays, renamed", "keep", None),
    ]
    assert sorted(rig.door.digits) == ["330055", "482913", "909012"]
    assert "482913" not in rig.door.adds[sent:]
    wishes = {wish.digits: wish for wish in await rig.journal.wanted(LOCK)}
    assert wishes["482913"].label == "stays, renamed"
    assert wishes["482913"].proved_at is not None
    assert sorted(wishes) == ["330055", "482913", "909012"]


async def test_an_unchanged_set_needs_no_lock(rig: Rig) -> None:
    await rig.final(await sync(rig, entry("482913", "a"), id="s-1"))
    rig.door.is_in_range = False
    job = await sync(rig, entry("482913", "a"), id="s-2")
    assert job.state is JobState.PROVED
    assert told(job) == [("a", "keep", None)]


async def test_a_set_is_not_done_before_what_an_earlier_one_began(rig: Rig) -> None:
    rig.door.is_in_range = False
    first = await sync(rig, entry("482913", "a"), id="s-1")
    second = await sync(rig, entry("482913", "a"), id="s-2")
    assert (second.state, second.reason) == (JobState.WAITING, WaitReason.PARTS)
    rig.door.is_in_range = True
    for job in (first, second):
        assert told(await finished(rig, job)) == [("a", "add", "proved")]
    assert rig.door.digits == ["482913"]


async def test_others_are_left_alone(rig: Rig) -> None:
    await rig.final(await rig.add("120948", label="the owner's"))
    await rig.final(await rig.add("550012", label="a guest", owner="pms", id="single"))
    await rig.final(await sync(rig, entry("771204"), id="s-1"))
    assert rig.door.digits == ["120948", "771204"]
    job = await rig.final(await sync(rig, id="s-2"))
    assert told(job) == [("", "delete", "proved")]
    assert rig.door.digits == ["120948"]


async def test_a_dry_run_only_tells(rig: Rig) -> None:
    await rig.final(await sync(rig, entry("482913", "a"), entry("771204", "b"), id="s-1"))
    connections = rig.door.connections
    job = await sync(rig, entry("482913", "a"), entry("909012", "c"), id="s-2", dry_run=True)
    assert job.state is JobState.DONE
    assert told(job) == [("b", "delete", None), ("c", "add", None), ("a", "keep", None)]
    assert "909012" not in str(await rig.answers())
    assert rig.door.connections == connections
    assert {wish.digits for wish in await rig.journal.wanted(LOCK)} == {"482913", "771204"}


async def test_what_is_over_counts_as_not_named(rig: Rig) -> None:
    soon = minute(rig.clock.now(), hours=1)
    await rig.final(await sync(rig, entry("482913", "a", valid_until=soon), id="s-1"))
    await rig.clock.advance(7200)
    job = await rig.final(
        await sync(
            rig,
            entry("482913", "a", valid_until=soon),
            entry("771204", "b", valid_until=soon),
            id="s-2",
        )
    )
    assert told(job) == [("a", "delete", "proved"), ("b", "is_over", None)]
    assert rig.door.digits == []


async def test_a_longer_one_takes_the_place_of_its_beginning(rig: Rig) -> None:
    await rig.final(await sync(rig, entry("4829"), id="s-1"))
    job = await rig.final(await sync(rig, entry("482913"), id="s-2"))
    assert job.state is JobState.PROVED
    assert rig.door.digits == ["482913"]


@pytest.mark.parametrize(
    ("codes", "reason", "words"),
    [
        (("482913", "771204", "482913"), Rejection.DUPLICATE, "`passcodes[0]` and `passcodes[2]`"),
        (("482913", "4829"), Rejection.PREFIX_COLLISION, "`passcodes[0]` and `passcodes[1]`"),
        (("120948",), Rejection.DUPLICATE, "belongs to `mqtt`"),
        (("1209",), Rejection.PREFIX_COLLISION, "begins like one of `mqtt`"),
    ],
)
async def test_a_set_that_collides_is_refused_whole(
    rig: Rig, codes: tuple[str, ...], reason: Rejection, words: str
) -> None:
    await rig.final(await rig.add("120948"))
    with pytest.raises(JobRejected) as caught:
        await sync(rig, *(entry(code, "guest") for code in codes), id="s-1")
    assert caught.value.reason is reason
    assert words in caught.value.message
    assert not any(code in caught.value.message for code in codes)
    assert await rig.journal.job_by_request("s-1") is None
    assert [wish.digits for wish in await rig.journal.wanted(LOCK)] == ["120948"]


async def test_a_part_that_fails_is_named_and_the_others_are_in_place(rig: Rig) -> None:
    rig.door.is_in_range = False
    now = rig.clock.now()
    job = await sync(
        rig,
        entry("482913", "in time", valid_until=minute(now, days=3)),
        entry("771204", "too late", valid_until=minute(now, minutes=2)),
        id="s-1",
    )
    assert (job.state, job.reason) == (JobState.WAITING, WaitReason.PARTS)
    late = (await rig.journal.parts(job.id))[1]
    await rig.final(late)
    rig.door.is_in_range = True
    job = await finished(rig, job)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "parts_failed"
    assert told(job) == [("in time", "add", "proved"), ("too late", "add", "expired")]
    assert rig.door.digits == ["482913"]
    assert [wish.digits for wish in await rig.journal.wanted(LOCK)] == ["482913"]


async def test_a_set_is_cancelled_with_all_that_was_not_sent(rig: Rig) -> None:
    rig.door.is_in_range = False
    job = await sync(rig, entry("482913"), entry("771204"), id="s-1")
    told_job = await rig.ask("job.cancel", job="s-1", id="c-1")
    assert told_job.id == job.id
    assert told_job.state is JobState.CANCELLED
    assert [part.state for part in await rig.journal.parts(job.id)] == [JobState.CANCELLED] * 2
    assert await rig.journal.wanted(LOCK) == []
    assert [each["status"] for each in await rig.answers()] == ["accepted", "failed", "done"]


async def test_a_passcode_that_could_not_be_removed_is_not_forgotten(rig: Rig) -> None:
    await rig.final(await sync(rig, entry("482913", "a"), id="s-1"))
    rig.door.is_in_range = False
    soon = rig.clock.now() + timedelta(minutes=1)
    job = await finished(rig, await sync(rig, id="s-2", deadline_at=soon))
    assert told(job) == [("a", "delete", "expired")]
    rig.door.is_in_range = True
    job = await finished(rig, await sync(rig, id="s-3"))
    assert told(job) == [("a", "delete", "proved")]
    assert rig.door.digits == []


async def test_a_repeat_is_the_same_job(rig: Rig) -> None:
    first = await rig.final(await sync(rig, entry("482913"), entry("771204"), id="s-1"))
    again = await sync(rig, entry("771204"), entry("482913"), id="s-1")
    assert again == first
    with pytest.raises(JobRejected) as caught:
        await sync(rig, entry("482913"), id="s-1")
    assert caught.value.reason is Rejection.CONFLICT

"""The journal as its callers see it: jobs, wishes, memory, outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.errors import (
    IllegalMove,
    JobRejected,
    JournalError,
    JournalProblem,
    NoSuchJob,
    Rejection,
    VaultError,
)
from ttlock_agent.jobs.model import (
    Job,
    JobFailure,
    JobState,
    Known,
    Move,
    NewJob,
    PasscodeKind,
    Premise,
    WaitReason,
    WantedPasscode,
)
from ttlock_agent.jobs.store import Journal
from ttlock_agent.publication import Publication
from ttlock_agent.vault import KeySource, MasterKey, Vault

START = datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC)
FAILURE = JobFailure(code="x", message="It went wrong.", hint="Look.", is_retryable=True)
VAULT = Vault(MasterKey(value=b"\x21" * 32, source=KeySource.FILE))
WORKING = Move(to=JobState.WORKING)
PROVED = Move(to=JobState.PROVED, result={"result": "proved"})


class TestClock:
    __test__ = False

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


async def open_journal(directory: Path, clock: TestClock, vault: Vault = VAULT) -> Journal:
    numbers = count(1)
    return await Journal.open(directory, vault, clock, new_id=lambda: f"job-{next(numbers)}")


@pytest.fixture
async def journal(tmp_path: Path, clock: TestClock) -> AsyncIterator[Journal]:
    async with await open_journal(tmp_path, clock) as opened:
        yield opened


def request(request_id: str = "pms-1", **changes: object) -> NewJob:
    base = NewJob(
        source="mqtt",
        request_id=request_id,
        verb="passcode.add",
        lock="front-door",
        params=b'{"passcode":"004711"}',
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def wish(digits: str = "004711", **changes: object) -> WantedPasscode:
    base = WantedPasscode(
        lock="front-door", digits=digits, kind=PasscodeKind.PERMANENT, owner="mqtt"
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def answer(job: Job) -> Sequence[Publication]:
    return (Publication(topic=f"t/{job.request_id}", payload=str(job.state).encode()),)


async def payloads(journal: Journal) -> list[bytes]:
    return [entry.publication.payload for entry in await journal.outbox()]


# Accepting.


async def test_a_request_becomes_a_job_with_all_it_said(journal: Journal, clock: TestClock) -> None:
    deadline = START.astimezone(timezone(timedelta(hours=2))) + timedelta(days=1)
    new = request(priority=5, deadline_at=deadline, not_before_at=START + timedelta(hours=1))
    accepted = await journal.accept(new)
    assert accepted.is_new
    job = accepted.job
    assert (job.id, job.source, job.request_id) == ("job-1", "mqtt", "pms-1")
    assert (job.verb, job.lock, job.params) == (new.verb, new.lock, new.params)
    assert (job.state, job.attempts, job.is_sent, job.priority) == (JobState.ACCEPTED, 0, False, 5)
    assert (job.deadline_at, job.not_before_at) == (deadline, new.not_before_at)
    assert job.created_at == job.updated_at == START
    assert await journal.job("job-1") == job
    assert await journal.job_by_request("pms-1") == job


async def test_a_repeat_gets_the_same_job_from_whatever_source(journal: Journal) -> None:
    first = await journal.accept(request(), wanted=[wish()])
    again = await journal.accept(request(source="control"), wanted=[wish("999999")])
    assert not again.is_new
    assert again.job == first.job
    assert [entry.digits for entry in await journal.wanted("front-door")] == ["004711"]
    assert len(await journal.recent(10)) == 1


@pytest.mark.parametrize(
    "changes",
    [{"params": b"{}"}, {"lock": "back-door"}, {"verb": "passcode.delete"}],
)
@pytest.mark.parametrize("is_final", [False, True])
async def test_an_id_used_for_something_else_is_refused_for_ever(
    journal: Journal, changes: dict[str, object], is_final: bool
) -> None:
    job = (await journal.accept(request())).job
    if is_final:
        await journal.move(job.id, Move(to=JobState.CANCELLED))
        await journal.prune(START + timedelta(days=1000))
    with pytest.raises(JobRejected) as caught:
        await journal.accept(request(**changes), wanted=[wish("555666")], outbox=answer)
    assert caught.value.reason is Rejection.CONFLICT
    assert caught.value.hint
    assert "004711" not in str(caught.value)
    assert (await journal.wanted("front-door"), await journal.outbox()) == ([], [])


async def test_content_is_not_mixed_up_at_the_seams(journal: Journal) -> None:
    await journal.accept(request(verb="ab", lock="c"))
    with pytest.raises(JobRejected):
        await journal.accept(request(verb="a", lock="bc"))


async def test_a_repeat_is_answered_with_the_present_state(journal: Journal) -> None:
    job = (await journal.accept(request(), outbox=answer)).job
    await journal.move(job.id, WORKING)
    await journal.move(job.id, PROVED, outbox=answer)
    repeat = await journal.accept(request(), outbox=answer)
    assert repeat.job.result == {"result": "proved"}
    assert await payloads(journal) == [b"accepted", b"proved", b"proved"]


async def test_an_answer_that_cannot_be_made_undoes_the_job(journal: Journal) -> None:
    def broken(job: Job) -> Sequence[Publication]:
        raise LookupError(job.id)

    with pytest.raises(LookupError):
        await journal.accept(request(), wanted=[wish()], outbox=broken)
    assert await journal.recent(10) == []
    assert await journal.wanted("front-door") == []
    assert (await journal.accept(request())).is_new


async def test_a_time_without_zone_is_refused(journal: Journal) -> None:
    naive = datetime(2026, 12, 1, 12)  # noqa: DTZ001 - the mistake under test
    with pytest.raises(TypeError):
        await journal.accept(request(deadline_at=naive))
    assert await journal.recent(10) == []


# Moving.


async def test_a_move_is_stored_as_the_model_says(journal: Journal, clock: TestClock) -> None:
    job = (await journal.accept(request())).job
    await clock.sleep(1)
    move = Move(
        to=JobState.WAITING,
        reason=WaitReason.LOCK_BUSY,
        not_before_at=START + timedelta(minutes=5),
        is_attempt=True,
        error=FAILURE,
    )
    after = await journal.move(job.id, move)
    assert after == await journal.job(job.id)
    assert (after.reason, after.error, after.attempts) == (WaitReason.LOCK_BUSY, FAILURE, 1)
    assert after.not_before_at == START + timedelta(minutes=5)
    assert after.params == job.params
    assert (after.created_at, after.updated_at) == (START, START + timedelta(seconds=1))


async def test_the_state_in_the_file_decides(journal: Journal) -> None:
    job = (await journal.accept(request())).job
    await journal.move(job.id, Move(to=JobState.CANCELLED))
    with pytest.raises(IllegalMove):
        await journal.move(job.id, WORKING, outbox=answer)
    assert await journal.outbox() == []
    with pytest.raises(NoSuchJob):
        await journal.move("nobody", WORKING)


async def test_many_moves_are_one(journal: Journal) -> None:
    ids = [(await journal.accept(request(f"pms-{n}"))).job.id for n in range(3)]
    await journal.move_many(dict.fromkeys(ids, WORKING))
    await journal.move(ids[2], PROVED)
    with pytest.raises(IllegalMove):
        await journal.move_many(dict.fromkeys(ids, PROVED), outbox=answer)
    assert [job.state for job in await journal.open_jobs()] == [JobState.WORKING] * 2
    proved = await journal.move_many({ids[1]: PROVED, ids[0]: PROVED}, outbox=answer)
    assert [job.id for job in proved] == [ids[1], ids[0]]
    assert await payloads(journal) == [b"proved", b"proved"]


async def test_the_audit_trail_tells_each_step(journal: Journal, clock: TestClock) -> None:
    job = (await journal.accept(request())).job
    steps = [
        Move(to=JobState.WAITING, reason=WaitReason.QUEUED),
        WORKING,
        Move(to=JobState.WORKING, is_sent=True),
        Move(to=JobState.UNKNOWN, reason=WaitReason.READ_BACK_PENDING),
        PROVED,
    ]
    for step in steps:
        await clock.sleep(1)
        await journal.move(job.id, step)
    trail = await journal.transitions(job.id)
    assert [entry.number for entry in trail] == [1, 2, 3, 4, 5, 6]
    assert [(entry.state.value, entry.is_sent) for entry in trail] == [
        ("accepted", False),
        ("waiting", False),
        ("working", False),
        ("working", True),
        ("unknown", True),
        ("proved", True),
    ]
    assert [entry.reason for entry in trail][1:5:3] == [
        WaitReason.QUEUED,
        WaitReason.READ_BACK_PENDING,
    ]
    assert trail[-1].at == START + timedelta(seconds=5)


# Looking.


async def test_open_jobs_come_by_priority_then_age(journal: Journal) -> None:
    for request_id, lock, priority in [
        ("a", "front-door", 0),
        ("b", "back-door", 9),
        ("c", "front-door", 9),
        ("d", "front-door", 0),
        ("e", "front-door", 9),
    ]:
        await journal.accept(request(request_id, lock=lock, priority=priority))
    await journal.move("job-5", Move(to=JobState.CANCELLED))
    assert [job.request_id for job in await journal.open_jobs()] == ["b", "c", "a", "d"]
    assert [job.request_id for job in await journal.open_jobs("front-door")] == ["c", "a", "d"]
    assert [job.request_id for job in await journal.recent(2)] == ["e", "d"]
    counts = await journal.counts()
    assert set(counts) == set(JobState)
    assert (counts[JobState.ACCEPTED], counts[JobState.CANCELLED]) == (4, 1)
    assert sum(counts.values()) == 5


async def test_what_does_not_exist_is_none(journal: Journal) -> None:
    assert await journal.job("x") is None
    assert await journal.job_by_request("x") is None
    assert await journal.secret("x") is None
    assert await journal.last_known("x", "clock") is None
    assert await journal.transitions("x") == []


async def test_a_long_history_costs_the_scheduler_nothing(journal: Journal) -> None:
    job = (await journal.accept(request())).job
    statements: list[str] = []
    await journal._database.read(lambda c: c.set_trace_callback(statements.append))
    await journal.open_jobs("front-door")
    await journal.open_jobs()
    await journal.counts()
    await journal.recent(5)
    await journal.accept(request())
    await journal.move(job.id, WORKING)
    await journal.wanted("front-door")
    await journal._database.read(lambda c: c.set_trace_callback(None))
    selects = [sql for sql in statements if sql.startswith(("SELECT", "UPDATE"))]
    assert len(selects) == 8
    plans = {
        sql: await journal._database.read(
            lambda c, sql=sql: [row["detail"] for row in c.execute(f"EXPLAIN QUERY PLAN {sql}")]
        )
        for sql in selects
    }
    of_lock, of_all, *_ = plans.values()
    assert of_lock == ["SEARCH jobs USING INDEX jobs_open (lock=?)"]
    assert of_all[0].startswith("SEARCH jobs USING INDEX")
    for sql, plan in plans.items():
        assert "LIMIT" in sql or not {"SCAN jobs", "SCAN wanted"} & set(plan), (sql, plan)


async def test_pruning_drops_the_trail_of_old_final_jobs_and_keeps_their_answer(
    journal: Journal, clock: TestClock
) -> None:
    old, young, unfinished = [(await journal.accept(request(f"pms-{n}"))).job.id for n in range(3)]
    await journal.move(old, WORKING)
    await journal.move(old, PROVED)
    await clock.sleep(60)
    await journal.move(young, Move(to=JobState.CANCELLED))
    assert await journal.prune(START + timedelta(seconds=60)) == 3
    assert await journal.transitions(old) == []
    assert len(await journal.transitions(young)) == 2
    assert len(await journal.transitions(unfinished)) == 1
    repeat = await journal.accept(request("pms-0"))
    assert (repeat.is_new, repeat.job.id) == (False, old)
    assert repeat.job.result == {"result": "proved"}


# Desired state.


async def test_a_wish_keeps_all_it_says(journal: Journal) -> None:
    full = wish(
        kind=PasscodeKind.CYCLIC,
        valid_from=START,
        valid_until=START + timedelta(days=3),
        cycle=4,
        label="booking 8841",
        is_wanted=False,
        proved_at=START,
    )
    job = (await journal.accept(request(), wanted=[full, wish("0047")])).job
    first, second = await journal.wanted("front-door")
    assert first == replace(full, job_id=job.id, updated_at=START, revision=1)
    assert second == wish("0047", job_id=job.id, updated_at=START, revision=2)
    assert await journal.wanted("back-door") == []


async def want(journal: Journal, request_id: str, digits: str = "004711", **more: Any) -> Job:
    entry = wish(digits, **more)
    new = request(request_id, lock=entry.lock)
    return (await journal.accept(new, wanted=[entry])).job


async def prove(journal: Journal, job: Job) -> None:
    await journal.move(job.id, WORKING)
    await journal.move(job.id, PROVED)


async def test_the_newest_wish_for_the_same_digits_wins(journal: Journal) -> None:
    await want(journal, "a", label="old")
    await want(journal, "b", lock="back-door", label="other lock")
    await want(journal, "c", label="new")
    assert [entry.label for entry in await journal.wanted("front-door")] == ["new"]
    assert [entry.label for entry in await journal.wanted("back-door")] == ["other lock"]


async def test_what_is_kept_does_not_undo_a_newer_wish(journal: Journal) -> None:
    """A set keeps a passcode while its owner changes it: the change must survive."""
    await want(journal, "a", label="seen by the set")
    (seen,) = await journal.wanted("front-door")
    await want(journal, "b", label="changed meanwhile")
    await journal.accept(request("c"), kept=[replace(seen, label="kept")])
    (kept,) = await journal.wanted("front-door")
    assert kept.label == "changed meanwhile"
    await journal.accept(request("d"), kept=[replace(kept, label="kept")])
    assert [entry.label for entry in await journal.wanted("front-door")] == ["kept"]


async def test_a_premise_that_does_not_hold_any_more_makes_no_job(journal: Journal) -> None:
    nothing = Premise(lock="front-door", digits="004711", revision=0)
    await journal.accept(request("a"), wanted=[wish(label="first")], premise=nothing)
    (seen,) = await journal.wanted("front-door")
    first = replace(nothing, revision=seen.revision)
    await journal.accept(request("b"), wanted=[wish(label="second")], premise=first)
    for stale in (nothing, first):
        with pytest.raises(JobRejected, match="meanwhile"):
            await journal.accept(request("c"), wanted=[wish(label="third")], premise=stale)
    assert [entry.label for entry in await journal.wanted("front-door")] == ["second"]
    assert await journal.job_by_request("c") is None
    # It is about the decision to ask, and not about a repeat of it.
    assert not (await journal.accept(request("a"), premise=nothing)).is_new


CANCELLED = Move(to=JobState.CANCELLED)
EXPIRED = Move(to=JobState.EXPIRED, error=FAILURE)
FAILED = Move(to=JobState.FAILED, error=FAILURE)


@pytest.mark.parametrize("end", [CANCELLED, EXPIRED, FAILED], ids=lambda move: str(move.to))
@pytest.mark.parametrize("later", [{"is_wanted": False}, {"valid_until": START}], ids=str)
async def test_what_was_proved_counts_again_when_its_change_is_not_done(
    journal: Journal, end: Move, later: dict[str, Any]
) -> None:
    first = await want(journal, "a", label="proved")
    await prove(journal, first)
    (before,) = await journal.wanted("front-door")
    change = await want(journal, "b", label="changed", **later)
    await journal.move(change.id, WORKING)
    await journal.move(change.id, end)
    (after,) = await journal.wanted("front-door")
    assert replace(after, revision=0) == replace(before, revision=0)
    assert after.revision > before.revision
    assert await overtaken(journal) == 0


async def overtaken(journal: Journal) -> int:
    count: int = await journal._database.read(
        lambda c: c.execute("SELECT count(*) FROM overtaken").fetchone()[0]
    )
    return count


async def test_what_is_proved_while_a_change_waits_counts_when_that_is_taken_back(
    journal: Journal,
) -> None:
    """Added and deleted at once; the addition is proved, and then the deletion is taken back."""
    first = await want(journal, "a", label="added")
    change = await want(journal, "b", is_wanted=False)
    await prove(journal, first)
    await journal.move(change.id, CANCELLED)
    (kept,) = await journal.wanted("front-door")
    assert (kept.label, kept.job_id, kept.is_wanted, kept.is_held) == (
        "added",
        first.id,
        True,
        True,
    )
    assert kept.proved_at == START


async def test_what_is_removed_while_a_change_waits_is_known_when_it_returns(
    journal: Journal,
) -> None:
    await prove(journal, await want(journal, "a", label="added"))
    removal = await want(journal, "b", is_wanted=False, label="removed")
    again = await want(journal, "c", label="again")
    await prove(journal, removal)
    await journal.move(again.id, CANCELLED)
    assert await journal.wanted("front-door") == []
    assert (await journal.former("front-door", ["004711"]))["004711"].is_removed


async def test_each_of_three_wishes_may_be_the_last(journal: Journal) -> None:
    jobs = [await want(journal, name, label=name) for name in "abc"]
    await journal.move(jobs[1].id, CANCELLED)
    await journal.move(jobs[2].id, CANCELLED)
    (kept,) = await journal.wanted("front-door")
    assert kept.label == "a"
    await journal.move(jobs[0].id, CANCELLED)
    assert await journal.wanted("front-door") == []
    assert await overtaken(journal) == 0


async def test_a_change_that_is_proved_forgets_what_was_before(journal: Journal) -> None:
    await prove(journal, await want(journal, "a", label="old"))
    await prove(journal, await want(journal, "b", label="new"))
    assert await overtaken(journal) == 0
    removal = await want(journal, "c", is_wanted=False)
    assert await overtaken(journal) == 1
    await prove(journal, removal)
    assert (await journal.wanted("front-door"), await overtaken(journal)) == ([], 0)


async def test_an_unknown_outcome_keeps_what_was_before_until_the_next_proof(
    journal: Journal,
) -> None:
    await prove(journal, await want(journal, "a", label="old"))
    change = await want(journal, "b", label="new")
    await journal.move(change.id, Move(to=JobState.WORKING, is_sent=True))
    await journal.move(change.id, Move(to=JobState.OUTCOME_UNKNOWN, error=FAILURE))
    assert [entry.label for entry in await journal.wanted("front-door")] == ["new"]
    await prove(journal, await want(journal, "c", label="newer"))
    assert [entry.label for entry in await journal.wanted("front-door")] == ["newer"]
    assert await overtaken(journal) == 0


@pytest.mark.parametrize(
    ("is_wanted", "end", "is_kept"),
    [
        (True, PROVED, True),
        (True, Move(to=JobState.FAILED, error=FAILURE), False),
        (True, Move(to=JobState.EXPIRED, error=FAILURE), False),
        (True, Move(to=JobState.CANCELLED), False),
        (False, PROVED, False),
        (False, Move(to=JobState.CANCELLED), False),
        (True, Move(to=JobState.OUTCOME_UNKNOWN, is_sent=True, error=FAILURE), True),
        (False, Move(to=JobState.OUTCOME_UNKNOWN, is_sent=True, error=FAILURE), True),
    ],
    ids=lambda value: str(value.to) if isinstance(value, Move) else str(value),
)
async def test_a_wish_ends_as_its_job_does(
    journal: Journal, clock: TestClock, is_wanted: bool, end: Move, is_kept: bool
) -> None:
    job = (await journal.accept(request(), wanted=[wish(is_wanted=is_wanted)])).job
    await want(journal, "another", "999999")
    await journal.move(job.id, WORKING)
    await clock.sleep(1)
    await journal.move(job.id, end)
    kept = [entry for entry in await journal.wanted("front-door") if entry.job_id == job.id]
    assert bool(kept) is is_kept
    assert len(await journal.wanted("front-door")) == 1 + is_kept
    if end is PROVED and is_kept:
        assert kept[0].proved_at == clock.now()


@pytest.mark.parametrize("end", [PROVED, Move(to=JobState.CANCELLED)], ids=["proved", "cancelled"])
async def test_the_wish_of_a_later_job_outlives_the_earlier_one(
    journal: Journal, end: Move
) -> None:
    first = (await journal.accept(request("pms-1"), wanted=[wish(label="old")])).job
    later = (await journal.accept(request("pms-2"), wanted=[wish(label="new")])).job
    await journal.move(first.id, WORKING)
    await journal.move(first.id, end)
    (kept,) = await journal.wanted("front-door")
    assert (kept.label, kept.job_id, kept.proved_at) == ("new", later.id, None)


async def test_a_wish_that_was_overtaken_is_not_forgotten(journal: Journal) -> None:
    await want(journal, "a", label="before")
    await want(journal, "b", label="seen")
    (seen,) = await journal.wanted("front-door")
    await want(journal, "c", label="asked for meanwhile")
    await journal.forget_wanted([seen])
    (present,) = await journal.wanted("front-door")
    assert present.label == "asked for meanwhile"
    await journal.forget_wanted([present])
    assert (await journal.wanted("front-door"), await overtaken(journal)) == ([], 0)


# Refusals.


async def test_a_refused_request_is_known_and_no_other_of_its_id(
    journal: Journal, clock: TestClock
) -> None:
    other = replace(FAILURE, code="y")
    assert await journal.refusal(request("a")) is None
    await journal.refuse(request("a"), FAILURE, clock.now())
    await journal.refuse(request("a", params=b"else"), other, clock.now())
    assert await journal.refusal(request("a")) == FAILURE
    assert await journal.refusal(request("a", params=b"else")) == other
    assert await journal.refusal(request("a", params=b"corrected")) is None
    await clock.sleep(1)
    await journal.prune(START)
    assert await journal.refusal(request("a")) == FAILURE
    await journal.prune(clock.now())
    assert await journal.refusal(request("a")) is None


# Memory, secrets, outbox.


async def test_the_journal_remembers_what_a_lock_said(journal: Journal) -> None:
    as_of = START - timedelta(hours=1)
    await journal.remember_lock("front-door", "clock", {"drift_s": -25200.5}, as_of)
    await journal.remember_lock("front-door", "battery", 88, START)
    await journal.remember_lock("front-door", "battery", 87, as_of)
    known = await journal.last_known("front-door", "clock")
    assert known == Known(value={"drift_s": -25200.5}, as_of=as_of)
    assert await journal.last_known("front-door", "battery") == Known(value=87, as_of=as_of)
    assert await journal.last_known("back-door", "battery") is None


async def test_secrets_are_kept_and_replaced(journal: Journal) -> None:
    await journal.put_secret("keys/front-door", b"\x00one")
    await journal.put_secret("keys/front-door", b"two")
    assert await journal.secret("keys/front-door") == b"two"


async def test_the_outbox_keeps_order_and_every_field(journal: Journal, clock: TestClock) -> None:
    full = Publication(
        topic="a", payload=b"\x00\xff", qos=0, retain=True, expiry_s=60, correlation_data=b"c"
    )
    plain = Publication(topic="b", payload=b"")
    await journal.post([full, plain])
    await clock.sleep(1)
    await journal.post([plain])
    first, second, third = await journal.outbox()
    assert (first.publication, second.publication) == (full, plain)
    assert (first.queued_at, third.queued_at) == (START, START + timedelta(seconds=1))
    assert await journal.outbox(after=first.id, limit=1) == [second]
    await journal.outbox_done(first.id, second.id)
    await journal.outbox_done(second.id)
    assert await journal.outbox() == [third]


async def test_outbox_ids_are_never_used_twice(journal: Journal) -> None:
    """A late confirmation of an old message must not drop a new one."""
    await journal.post([Publication(topic="a", payload=b"1")])
    (old,) = await journal.outbox()
    await journal.outbox_done(old.id)
    await journal.post([Publication(topic="a", payload=b"2")])
    await journal.outbox_done(old.id)
    assert await payloads(journal) == [b"2"]


async def test_whoever_waits_is_told_of_changes_that_are_durable(
    tmp_path: Path, clock: TestClock
) -> None:
    bell: list[str] = []
    async with await Journal.open(
        tmp_path, VAULT, clock, on_change=lambda: bell.append("ring")
    ) as journal:
        job = (await journal.accept(request())).job
        assert len(bell) == 1
        await journal.move(job.id, WORKING)
        assert len(bell) == 2
        await journal.post(answer(job))
        assert len(bell) == 3
        with pytest.raises(IllegalMove):
            await journal.move(job.id, Move(to=JobState.ACCEPTED))
        with pytest.raises(JobRejected):
            await journal.accept(request(params=b"other"))
        assert len(bell) == 3


# Across restarts.


async def test_everything_is_there_after_a_restart(tmp_path: Path, clock: TestClock) -> None:
    async with await open_journal(tmp_path, clock) as journal:
        job = (await journal.accept(request(), wanted=[wish()], outbox=answer)).job
        await journal.remember_lock("front-door", "battery", 87, START)
        await journal.put_secret("keys", b"k")
        before = [
            await journal.job(job.id),
            await journal.transitions(job.id),
            await journal.wanted("front-door"),
            await journal.outbox(),
        ]
    async with await open_journal(tmp_path, clock) as journal:
        after = [
            await journal.job(job.id),
            await journal.transitions(job.id),
            await journal.wanted("front-door"),
            await journal.outbox(),
        ]
        assert after == before
        assert await journal.last_known("front-door", "battery") == Known(value=87, as_of=START)
        assert await journal.secret("keys") == b"k"
        assert journal.set_aside is None


async def test_another_key_is_noticed_at_start(tmp_path: Path, clock: TestClock) -> None:
    async with await open_journal(tmp_path, clock):
        pass
    other = Vault(MasterKey(value=b"\x22" * 32, source=KeySource.FILE))
    with pytest.raises(VaultError):
        await open_journal(tmp_path, clock, other)
    async with await open_journal(tmp_path, clock) as journal:
        assert journal.set_aside is None


async def test_a_closed_journal_says_so(tmp_path: Path, clock: TestClock) -> None:
    journal = await open_journal(tmp_path, clock)
    await journal.close()
    await journal.close()
    with pytest.raises(JournalError) as caught:
        await journal.counts()
    assert caught.value.problem is JournalProblem.CLOSED

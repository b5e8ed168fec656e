"""The life of a job as data: which moves there are, and what a move does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from ttlock_agent.errors import IllegalMove, JobExpired, LockNotSeen
from ttlock_agent.jobs.model import (
    FINAL_STATES,
    OPEN_STATES,
    Job,
    JobFailure,
    JobState,
    Move,
    NewJob,
    PasscodeKind,
    WaitReason,
    WantedPasscode,
    accepted_job,
    after_interruption,
    check_move,
    moved,
    next_states,
)

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
FAILURE = JobFailure.of(LockNotSeen("The lock was not heard for 60 s."))
NEW = NewJob(
    source="mqtt", request_id="pms-8841", verb="passcode.add", lock="front-door", params=b"004711"
)


def job_in(state: JobState, *, is_sent: bool = False) -> Job:
    """A job that came to ``state`` by legal moves only."""
    job = accepted_job(NEW, "job-1", NOW)
    if state is JobState.ACCEPTED:
        return job
    if state is JobState.WAITING:
        return moved(job, Move(to=state, reason=WaitReason.LOCK_NOT_SEEN), NOW)
    job = moved(job, Move(to=JobState.WORKING, is_sent=is_sent), NOW)
    if state is JobState.WORKING:
        return job
    reason = WaitReason.READ_BACK_PENDING if state is JobState.UNKNOWN else None
    return moved(job, Move(to=state, reason=reason, error=FAILURE), NOW)


def full_move(to: JobState, *, is_sent: bool | None = None) -> Move:
    return Move(to=to, reason=WaitReason.BACK_OFF, error=FAILURE, is_sent=is_sent)


def is_allowed(job: Job, move: Move) -> bool:
    try:
        check_move(job, move)
    except IllegalMove:
        return False
    return True


EXPECTED = {
    "accepted": "waiting working failed expired cancelled",
    "waiting": "waiting working failed expired cancelled",
    "working": "waiting working unknown proved done failed expired cancelled outcome_unknown",
    "unknown": "waiting unknown proved failed expired cancelled outcome_unknown",
}


@pytest.mark.parametrize("state", list(JobState))
def test_the_table_of_moves(state: JobState) -> None:
    assert set(next_states(state)) == {JobState(name) for name in EXPECTED.get(state, "").split()}


def test_open_and_final_states_part_the_whole() -> None:
    assert {str(state) for state in OPEN_STATES} == set(EXPECTED)
    assert set(JobState) == OPEN_STATES | FINAL_STATES


@pytest.mark.parametrize(("state", "to"), list(product(sorted(OPEN_STATES), JobState)))
def test_a_request_that_may_have_gone_out_never_counts_as_not_done(
    state: JobState, to: JobState
) -> None:
    says_not_sent = to in {JobState.WAITING, JobState.EXPIRED, JobState.CANCELLED}
    says_sent = to in {JobState.UNKNOWN, JobState.OUTCOME_UNKNOWN}
    for was_sent, is_sent in product((False, True), (None, False, True)):
        if was_sent and state in {JobState.ACCEPTED, JobState.WAITING}:
            continue
        if not was_sent and state is JobState.UNKNOWN:
            continue
        after = was_sent if is_sent is None else is_sent
        expected = (
            to in next_states(state)
            and not (after and says_not_sent)
            and not (not after and says_sent)
        )
        job = job_in(state, is_sent=was_sent)
        assert is_allowed(job, full_move(to, is_sent=is_sent)) is expected


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_nothing_leaves_a_final_state(state: JobState) -> None:
    job = job_in(state, is_sent=state is JobState.OUTCOME_UNKNOWN)
    assert job.is_final
    for to, is_sent in product(JobState, (None, False, True)):
        assert not is_allowed(job, full_move(to, is_sent=is_sent))


@pytest.mark.parametrize("to", [JobState.WAITING, JobState.UNKNOWN])
def test_a_job_that_stands_still_says_why(to: JobState) -> None:
    job = job_in(JobState.WORKING)
    is_sent = to is JobState.UNKNOWN
    with pytest.raises(IllegalMove, match="without a reason"):
        moved(job, Move(to=to, is_sent=is_sent), LATER)
    assert moved(job, full_move(to, is_sent=is_sent), LATER).reason is WaitReason.BACK_OFF


@pytest.mark.parametrize("to", [JobState.FAILED, JobState.EXPIRED, JobState.OUTCOME_UNKNOWN])
def test_a_job_that_ends_badly_names_its_error(to: JobState) -> None:
    job = job_in(JobState.WORKING, is_sent=to is JobState.OUTCOME_UNKNOWN)
    with pytest.raises(IllegalMove, match="without an error"):
        moved(job, Move(to=to), LATER)
    assert moved(job, Move(to=to, error=FAILURE), LATER).error == FAILURE


def test_an_illegal_move_names_both_states_and_no_secret() -> None:
    with pytest.raises(IllegalMove, match="from proved to working") as caught:
        moved(job_in(JobState.PROVED), Move(to=JobState.WORKING), LATER)
    assert "004711" not in str(caught.value)


def test_a_move_sets_what_it_names_and_clears_the_rest() -> None:
    waiting = moved(
        job_in(JobState.WORKING),
        Move(
            to=JobState.WAITING,
            reason=WaitReason.BACK_OFF,
            is_attempt=True,
            not_before_at=LATER,
            error=FAILURE,
        ),
        LATER,
    )
    assert (waiting.state, waiting.reason) == (JobState.WAITING, WaitReason.BACK_OFF)
    assert (waiting.attempts, waiting.not_before_at, waiting.error) == (1, LATER, FAILURE)
    assert (waiting.created_at, waiting.updated_at) == (NOW, LATER)
    assert waiting.params == NEW.params
    working = moved(waiting, Move(to=JobState.WORKING), LATER)
    assert (working.reason, working.not_before_at, working.error) == (None, None, None)
    assert working.attempts == 1


def test_the_mark_sent_stays_until_somebody_knows_better() -> None:
    unknown = job_in(JobState.UNKNOWN, is_sent=True)
    assert unknown.is_sent
    absent = Move(to=JobState.WAITING, reason=WaitReason.BACK_OFF, is_sent=False)
    assert not moved(unknown, absent, LATER).is_sent


def test_a_final_job_keeps_its_result_and_loses_its_parameters() -> None:
    done = moved(job_in(JobState.WORKING), Move(to=JobState.DONE, result={"count": 3}), LATER)
    assert done.params == b""
    assert done.result == {"count": 3}


def test_after_a_crash_what_was_sent_is_read_back_and_the_rest_goes_on() -> None:
    sent = job_in(JobState.WORKING, is_sent=True)
    unsent = job_in(JobState.WORKING)
    assert moved(sent, after_interruption(sent), LATER).state is JobState.UNKNOWN
    assert moved(unsent, after_interruption(unsent), LATER).state is JobState.WAITING


@pytest.mark.parametrize("reason", list(WaitReason))
def test_every_reason_has_a_sentence_for_people(reason: WaitReason) -> None:
    assert reason.sentence.endswith(".")
    assert reason.sentence[0].isupper()


def test_a_failure_keeps_what_an_answer_needs() -> None:
    failure = JobFailure.of(JobExpired("Too late.", hint="Ask again."))
    assert failure == JobFailure(
        code="expired", message="Too late.", hint="Ask again.", is_retryable=False
    )


def test_no_representation_shows_digits() -> None:
    job = job_in(JobState.WORKING)
    wanted = WantedPasscode(
        lock="front-door", digits="004711", kind=PasscodeKind.PERMANENT, owner="mqtt"
    )
    listing = Move(to=JobState.DONE, result={"passcodes": ["004711"]})
    values = (NEW, job, wanted, listing, moved(job, listing, LATER))
    assert "004711" not in repr(values)

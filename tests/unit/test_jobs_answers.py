"""What is said about jobs: one form, and never digits."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ttlock_agent.errors import JobRejected, LockNotSeen, Rejection
from ttlock_agent.jobs.answers import ANSWER_EXPIRY_S, Answers, answer_body, job_body
from ttlock_agent.jobs.model import (
    FINAL_STATES,
    Job,
    JobFailure,
    JobState,
    NewJob,
    ReplyTo,
    WaitReason,
    accepted_job,
)
from ttlock_agent.mqtt.topics import Topics

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
NEW = NewJob(
    source="mqtt", request_id="pms-1", verb="passcode.add", lock="front-door",
    params=b'{"passcode":"482913"}', deadline_at=AT,
)  # fmt: skip
JOB = accepted_job(NEW, "job-1", AT)
FAILURE = JobFailure.of(LockNotSeen("No advertisement arrived."))
ANSWERS = Answers(Topics(agent_id="house-12"))


def ended(state: JobState, **changes: Any) -> Job:
    return replace(JOB, state=state, params=b"", **changes)


def test_an_open_job_is_accepted_whatever_it_does() -> None:
    for state in set(JobState) - FINAL_STATES:
        body = answer_body(replace(JOB, state=state, error=FAILURE))
        assert body == {"id": "pms-1", "job": "job-1", "status": "accepted"}


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_a_final_job_says_how_it_ended(state: JobState) -> None:
    is_good = state in (JobState.PROVED, JobState.DONE)
    error = None if is_good else FAILURE
    result = {"proof_at": "now"} if is_good else None
    body = answer_body(ended(state, error=error, result=result))
    assert (body["status"], body["result"]) == ("done" if is_good else "failed", state.value)
    if is_good:
        assert body["proof_at"] == "now"
        assert "error" not in body
    else:
        assert body["error"] == {
            "code": "lock_not_seen",
            "message": "No advertisement arrived.",
            "hint": LockNotSeen.hint,
            "retryable": True,
        }


def test_all_about_a_job_names_what_it_waits_for_and_no_digits() -> None:
    waiting = replace(
        JOB, state=JobState.WAITING, reason=WaitReason.LOCK_NOT_SEEN, error=FAILURE, attempts=3
    )
    body = job_body(waiting)
    assert body["waiting"]["reason"] == "lock_not_seen"
    assert "not heard" in body["waiting"]["sentence"]
    assert (body["state"], body["attempts"], body["error"]["code"]) == (
        "waiting", 3, "lock_not_seen",
    )  # fmt: skip
    assert body["deadline_at"] == "2026-11-20T09:30:00+00:00"
    assert "482913" not in json.dumps(body)


def test_answers_go_to_the_verbs_topic_or_where_the_caller_wants_them() -> None:
    (plain,) = ANSWERS.of_job(JOB)
    assert plain.topic == "ttlock/house-12/response/passcode.add"
    assert (plain.retain, plain.expiry_s, plain.qos) == (False, ANSWER_EXPIRY_S, 1)
    (elsewhere,) = ANSWERS.of_job(replace(JOB, reply_to=ReplyTo("clients/1", b"c")))
    assert (elsewhere.topic, elsewhere.correlation_data) == ("clients/1", b"c")
    assert ANSWERS.when_final(JOB) == []
    assert len(ANSWERS.when_final(ended(JobState.PROVED))) == 1


def test_a_refusal_names_the_request_it_can_name() -> None:
    error = JobRejected("No.", reason=Rejection.TOO_LARGE, hint="Less.")
    for name in ("pms-1", None):
        body = json.loads(ANSWERS.rejected("passcode.add", error, name, None).payload)
        assert body["id"] == name
        assert (body["status"], body["error"]["code"]) == ("rejected", "too_large")
        assert body["error"]["hint"] == "Less."

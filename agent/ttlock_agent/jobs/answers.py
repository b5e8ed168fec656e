"""What is said about a job over MQTT: the one place where answers get their form.

A request is answered ``accepted`` with the id of its job, and again when the job is final; a bad
one is answered ``rejected``. Digits and keys never stand in an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from ttlock_agent.errors import AgentError
from ttlock_agent.jobs.model import Job, JobFailure, JobState, ReplyTo, WaitReason
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication

ANSWER_EXPIRY_S: Final = 3600
"""Who has not fetched an answer within the hour asks again with the same id."""

_SUCCESS: Final = frozenset({JobState.PROVED, JobState.DONE})


def answer_body(job: Job) -> dict[str, Any]:
    """Return the answer to a request as it stands: accepted, done or failed."""
    body: dict[str, Any] = {"id": job.request_id, "job": job.id}
    if not job.is_final:
        return body | {"status": "accepted"}
    body |= {"status": "done" if job.state in _SUCCESS else "failed", "result": job.state.value}
    if job.error is not None:
        body["error"] = _failure_body(job.error)
    return body | (job.result or {})


def rejection_body(error: AgentError, request_id: str | None) -> dict[str, Any]:
    """Return the answer to a request that never became a job."""
    return {"id": request_id, "status": "rejected", "error": _failure_body(JobFailure.of(error))}


def job_body(job: Job) -> dict[str, Any]:
    """Return all there is to say about a job."""
    body = answer_body(job) | job_summary(job)
    if job.reason is WaitReason.PARTS:
        body |= job.result or {}
    return body


def job_summary(job: Job) -> dict[str, Any]:
    """Return how a job stands, without its result, which may be long."""
    body: dict[str, Any] = {
        "id": job.request_id,
        "job": job.id,
        "verb": job.verb,
        "lock": job.lock,
        "source": job.source,
        "state": job.state.value,
        "attempts": job.attempts,
        "created_at": _text(job.created_at),
        "updated_at": _text(job.updated_at),
        "deadline_at": _text(job.deadline_at),
    }
    if job.reason is not None:
        body["waiting"] = {"reason": job.reason.value, "sentence": job.reason.sentence}
    if job.error is not None:
        body["error"] = _failure_body(job.error)
    return body


def summaries(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return how several jobs stand."""
    return [job_summary(job) for job in jobs]


class Answers:
    """Makes publications of answers."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def of_job(self, job: Job) -> list[Publication]:
        """Return the answer to the request that made ``job``; nobody asked for a part by itself."""
        if job.parent_id is not None:
            return []
        return [self._publication(job.verb, answer_body(job), job.reply_to)]

    def when_final(self, job: Job) -> list[Publication]:
        """Return the answer if there is nothing more to come, else nothing."""
        return self.of_job(job) if job.is_final else []

    def about(self, verb: str, request_id: str, job: Job, reply_to: ReplyTo | None) -> Publication:
        """Return the answer to a request that asked about ``job``."""
        body = {"id": request_id, "status": "done", "result": "done", "about": job_body(job)}
        return self._publication(verb, body, reply_to)

    def listing(
        self, verb: str, request_id: str, jobs: Sequence[Job], reply_to: ReplyTo | None
    ) -> Publication:
        """Return the answer to a request for a list of jobs."""
        return self.told(verb, request_id, {"jobs": summaries(jobs)}, reply_to)

    def told(
        self, verb: str, request_id: str, told: dict[str, Any], reply_to: ReplyTo | None
    ) -> Publication:
        """Return the answer to a request that was served at once and is no job."""
        body = {"id": request_id, "status": "done", "result": "done"} | told
        return self._publication(verb, body, reply_to)

    def rejected(
        self, verb: str, error: AgentError, request_id: str | None, reply_to: ReplyTo | None
    ) -> Publication:
        """Return the answer to a request that never became a job."""
        return self._publication(verb, rejection_body(error, request_id), reply_to)

    def _publication(
        self, verb: str, body: dict[str, Any], reply_to: ReplyTo | None
    ) -> Publication:
        topic = None if reply_to is None else reply_to.topic
        return Publication(
            topic or self._topics.response(verb),
            msgspec.json.encode(body),
            expiry_s=ANSWER_EXPIRY_S,
            correlation_data=None if reply_to is None else reply_to.correlation_data,
        )


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _failure_body(failure: JobFailure) -> dict[str, Any]:
    return {
        "code": failure.code,
        "message": failure.message,
        "hint": failure.hint,
        "retryable": failure.is_retryable,
    }

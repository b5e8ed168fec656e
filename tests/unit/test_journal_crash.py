"""A process killed by SIGKILL in the middle of its work loses nothing it was told is written.

Run as a program, this file is the process to be killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.errors import IllegalMove, JournalLocked
from ttlock_agent.jobs.model import (
    Job,
    JobFailure,
    JobState,
    Move,
    NewJob,
    PasscodeKind,
    WaitReason,
    WantedPasscode,
    after_interruption,
)
from ttlock_agent.jobs.store import Journal
from ttlock_agent.publication import Publication
from ttlock_agent.vault import KeySource, MasterKey, Vault

VAULT = Vault(MasterKey(value=b"\x21" * 32, source=KeySource.FILE))
FAILURE = JobFailure(code="x", message="It went wrong.", hint="Look.", is_retryable=True)
LIVES = 5


def say(job: Job) -> Sequence[Publication]:
    return (Publication(topic="step", payload=f"{job.id} {job.state}".encode()),)


async def said(journal: Journal) -> list[str]:
    return [entry.publication.payload.decode() for entry in await journal.outbox(limit=100_000)]


async def at_work(journal: Journal) -> list[Job]:
    return [job for job in await journal.open_jobs() if job.state is JobState.WORKING]


async def work(directory: Path, seed: int) -> None:
    """Accept and move jobs for ever; one line on stdout for each step that is written."""
    choose = random.Random(seed)

    def report(jobs: Sequence[Job]) -> None:
        for job in jobs:
            os.write(1, f"{job.id} {job.state}\n".encode())

    async with await Journal.open(directory, VAULT, SystemClock()) as journal:
        interrupted = await at_work(journal)
        moves = {job.id: after_interruption(job) for job in interrupted}
        report(await journal.move_many(moves, outbox=say))
        number = len(await journal.recent(100_000))
        while True:
            open_jobs = await journal.open_jobs()
            if len(open_jobs) < 4:
                number += 1
                new = NewJob(
                    source="mqtt",
                    request_id=f"r{number}",
                    verb="passcode.add",
                    lock="door",
                    params=bytes(choose.randrange(9000)),
                )
                wish = WantedPasscode(
                    lock="door",
                    digits=f"{number:06}",
                    kind=PasscodeKind.PERMANENT,
                    owner="mqtt",
                )
                report([(await journal.accept(new, wanted=[wish], outbox=say)).job])
            chosen = choose.sample(open_jobs, k=min(len(open_jobs), choose.randint(1, 2)))
            move = Move(
                to=choose.choice(list(JobState)),
                reason=WaitReason.BACK_OFF,
                error=FAILURE,
                is_sent=choose.choice([None, None, True, False]),
            )
            with suppress(IllegalMove):
                report(await journal.move_many({job.id: move for job in chosen}, outbox=say))
            if choose.random() < 0.1:
                await journal.sweep()


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_written_is_lost_by_a_kill(tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    told: list[str] = []
    for life in range(LIVES):
        worker = subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), str(seed * 100 + life)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        told += [worker.stdout.readline().rstrip() for _ in range(choose.randint(1, 80))]
        with pytest.raises(JournalLocked):
            await Journal.open(tmp_path, VAULT, SystemClock())
        worker.kill()
        rest, _ = worker.communicate()
        told += rest.split("\n")[:-1]

        async with await Journal.open(tmp_path, VAULT, SystemClock()) as journal:
            assert journal.set_aside is None
            # Written and not told any more is one transaction at most, of four jobs at most.
            written = await said(journal)
            assert written[: len(told)] == told
            assert len(written) - len(told) <= 4
            told = written
            await assert_is_whole(journal, written)


async def assert_is_whole(journal: Journal, written: list[str]) -> None:
    """Check that each step is in the journal with all its parts, and no part of another."""
    jobs = await journal.recent(100_000)
    steps: dict[str, list[str]] = {}
    for line in written:
        job_id, state = line.split()
        steps.setdefault(job_id, []).append(state)
    trails = {job.id: await journal.transitions(job.id) for job in jobs}
    assert {
        job_id: [str(entry.state) for entry in trail] for job_id, trail in trails.items()
    } == steps
    for job in jobs:
        assert (str(job.state), job.is_sent) == (steps[job.id][-1], trails[job.id][-1].is_sent)
    wanted = {entry.job_id for entry in await journal.wanted("door")}
    given_up = {JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED}
    assert wanted == {job.id for job in jobs if job.state not in given_up}
    assert await at_work(journal) == [
        job for job in reversed(jobs) if job.state is JobState.WORKING
    ]


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))

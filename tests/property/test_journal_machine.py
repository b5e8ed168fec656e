"""The journal against a model of dicts, through crashes and failures at any statement.

A *crash* copies the file and its log just before a statement begins, which is what SIGKILL leaves,
and goes on from the copy: nothing of the step may be there. A *power cut* cuts the log short in the
part the step has written: all of the step may be there, or nothing. A *failure* interrupts SQLite
within a statement: ``JournalError``, and nothing of the step may be there.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ttlock_agent.errors import IllegalMove, JobRejected, JournalError
from ttlock_agent.jobs.database import FILE_NAME
from ttlock_agent.jobs.model import (
    FINAL_STATES,
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
    moved,
)
from ttlock_agent.jobs.store import Journal
from ttlock_agent.publication import Publication
from ttlock_agent.vault import KeySource, MasterKey, Vault

VAULT = Vault(MasterKey(value=b"\x21" * 32, source=KeySource.FILE))
FAILURE = JobFailure(code="x", message="It went wrong.", hint="Look.", is_retryable=True)
LOCK = "door"
NOT_DONE = (JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED)


@dataclass
class Model:
    """All the journal should hold, in plain dicts."""

    jobs: dict[str, Job] = field(default_factory=dict)
    contents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """By request id: the job, and what was asked."""
    trails: dict[str, list[tuple[JobState, bool]]] = field(default_factory=dict)
    wanted: dict[str, WantedPasscode] = field(default_factory=dict)
    overtaken: dict[str, list[WantedPasscode]] = field(default_factory=dict)
    """By digits: wishes that count again when what came after them is not done."""
    outbox: list[str] = field(default_factory=list)
    memory: dict[str, tuple[object, datetime]] = field(default_factory=dict)

    def step(self, job: Job) -> None:
        self.jobs[job.id] = job
        self.trails.setdefault(job.id, []).append((job.state, job.is_sent))
        self.outbox.append(line(job))

    def want(self, entry: WantedPasscode) -> None:
        before = self.wanted.pop(entry.digits, None)
        is_held = entry.is_held or (before is not None and before.is_held)
        if before is not None and before.job_id != entry.job_id:
            self.overtaken.setdefault(entry.digits, []).append(before)
        self.wanted[entry.digits] = replace(entry, is_held=is_held)

    def conclude(self, job_id: str, state: JobState, at: datetime) -> None:
        """The wish of a job ends as the job does."""
        if state is not JobState.PROVED and state not in NOT_DONE:
            return
        for entry in [each for each in self.wanted.values() if each.job_id == job_id]:
            earlier = self.overtaken.setdefault(entry.digits, [])
            if state is JobState.PROVED:
                earlier.clear()
                if entry.is_wanted:
                    self.want(replace(entry, proved_at=at, updated_at=at, is_held=True))
                else:
                    del self.wanted[entry.digits]
            elif earlier:
                before = earlier.pop()
                is_held = entry.is_held or before.is_held
                self.wanted[entry.digits] = replace(before, updated_at=at, is_held=is_held)
            elif not entry.is_held:
                del self.wanted[entry.digits]
        for digits, earlier in self.overtaken.items():
            self.conclude_overtaken(digits, earlier, job_id, state, at)

    def conclude_overtaken(
        self,
        digits: str,
        earlier: list[WantedPasscode],
        job_id: str,
        state: JobState,
        at: datetime,
    ) -> None:
        for place, entry in enumerate(earlier):
            if entry.job_id != job_id:
                continue
            if state is not JobState.PROVED:
                del earlier[place]
                return
            left = earlier[place + 1 :]
            if entry.is_wanted:
                left.insert(0, replace(entry, proved_at=at, updated_at=at))
            earlier[:] = [replace(each, is_held=entry.is_wanted) for each in left]
            self.wanted[digits] = replace(self.wanted[digits], is_held=entry.is_wanted)
            return


def line(job: Job) -> str:
    return f"{job.id} {job.state}"


def say(job: Job) -> Sequence[Publication]:
    return (Publication(topic="step", payload=line(job).encode()),)


def wish(digits: str, content: bytes) -> WantedPasscode:
    return WantedPasscode(
        lock=LOCK,
        digits=digits,
        kind=PasscodeKind.PERMANENT,
        label=content.decode(),
        owner="mqtt",
        is_wanted=content != b"gone",
    )


async def content_of(journal: Journal) -> Model:
    """Read everything back."""
    jobs = {job.id: job for job in reversed(await journal.recent(1000))}
    found = Model(jobs=jobs)
    for job in jobs.values():
        trail = await journal.transitions(job.id)
        if trail:
            found.trails[job.id] = [(entry.state, entry.is_sent) for entry in trail]
    for entry in await journal.wanted(LOCK):
        found.wanted[entry.digits] = replace(entry, revision=0)
    for entry in await journal._read_all(
        "SELECT * FROM overtaken ORDER BY revision", (), journal._rows.wanted_of
    ):
        found.overtaken.setdefault(entry.digits, []).append(replace(entry, revision=0))
    found.outbox = [e.publication.payload.decode() for e in await journal.outbox(limit=1000)]
    for kind in ("battery", "clock"):
        known = await journal.last_known(LOCK, kind)
        if known is not None:
            found.memory[kind] = (known.value, known.as_of)
    return found


class StepClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 20, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


Step = Callable[[Journal], Awaitable[object]]
faults = st.one_of(
    st.none(),
    st.tuples(st.just("crash"), st.integers(0, 12)),
    st.tuples(st.just("failure"), st.integers(1, 400)),
    st.tuples(st.just("power cut"), st.integers(0, 100)),
)
Fault = tuple[str, int] | None


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.directory = self.root / "0"
        self.directory.mkdir()
        self.lives = 0
        self.runner = asyncio.Runner()
        self.clock = StepClock()
        self.next_job = 0
        self.model = Model()

    def new_id(self) -> str:
        self.next_job += 1
        return f"job-{self.next_job}"

    def open(self) -> None:
        opening = Journal.open(self.directory, VAULT, self.clock, new_id=self.new_id)
        self.journal = self.runner.run(opening)
        assert self.journal.set_aside is None

    def close(self) -> None:
        self.runner.run(self.journal.close())

    def teardown(self) -> None:
        self.close()
        self.runner.close()
        shutil.rmtree(self.root)

    @initialize()
    def first_start(self) -> None:
        self.open()

    # Faults.

    def perform(self, step: Step, after: Model, fault: Fault) -> None:
        """Run ``step``, which leads to ``after``, through ``fault``."""
        kind, number = fault or ("none", 0)
        if kind == "crash":
            self.crash(step, after, at_statement=number)
        elif kind == "failure":
            self.fail(step, after, at_instruction=number)
        elif kind == "power cut":
            self.cut_power(step, after, percent=number)
        else:
            self.run_step(step)
            self.model = after

    def run_step(self, step: Step) -> None:
        async def run() -> object:
            return await step(self.journal)

        self.runner.run(run())

    def hook(self, install: Callable[[Any], object]) -> None:
        self.runner.run(self.journal._database.read(install))

    def next_life(self) -> Path:
        self.lives += 1
        directory = self.root / str(self.lives)
        directory.mkdir()
        return directory

    def copy_to(self, directory: Path) -> None:
        for suffix in ("", "-wal"):
            shutil.copy(self.directory / f"{FILE_NAME}{suffix}", directory)

    def go_on_in(self, directory: Path) -> None:
        self.close()
        self.directory = directory
        self.open()

    def crash(self, step: Step, after: Model, *, at_statement: int) -> None:
        image, seen = self.next_life(), 0

        def before_statement(_: str) -> None:
            nonlocal seen
            if seen == at_statement:
                self.copy_to(image)
            seen += 1

        self.hook(lambda connection: connection.set_trace_callback(before_statement))
        self.run_step(step)
        self.hook(lambda connection: connection.set_trace_callback(None))
        if (image / FILE_NAME).exists():
            self.go_on_in(image)
        else:  # the step was over before: a crash after it
            self.copy_to(image)
            self.go_on_in(image)
            self.model = after

    def cut_power(self, step: Step, after: Model, *, percent: int) -> None:
        log = self.directory / f"{FILE_NAME}-wal"
        written_before = log.stat().st_size
        self.run_step(step)
        image = self.next_life()
        self.copy_to(image)
        written = log.stat().st_size - written_before
        if written > 0:
            kept = written * percent // 100
            with (image / log.name).open("r+b") as copy:
                copy.truncate(written_before + kept)
            if kept == written:
                self.model = after
        else:  # SQLite began the log anew within its old length: a crash after the step
            self.model = after
        self.go_on_in(image)

    def fail(self, step: Step, after: Model, *, at_instruction: int) -> None:
        seen, is_committing = 0, False

        def before_statement(sql: str) -> None:
            nonlocal is_committing
            is_committing = sql == "COMMIT"

        def each_instruction() -> int:
            nonlocal seen
            seen += 1
            # SQLite asks a last time when a commit is already durable, and would call it failed.
            return seen == at_instruction and not is_committing

        self.hook(lambda connection: connection.set_trace_callback(before_statement))
        self.hook(lambda connection: connection.set_progress_handler(each_instruction, 1))
        try:
            self.run_step(step)
        except JournalError:
            pass
        else:
            self.model = after
        self.hook(lambda connection: connection.set_progress_handler(None, 0))
        self.hook(lambda connection: connection.set_trace_callback(None))

    # Steps.

    @rule(request=st.integers(0, 7), content=st.sampled_from([b"a", b"gone"]), fault=faults)
    def accept(self, request: int, content: bytes, fault: Fault) -> None:
        self.clock.at += timedelta(seconds=1)
        request_id, now = f"r{request}", self.clock.at
        new = NewJob(source="mqtt", request_id=request_id, verb="v", lock=LOCK, params=content)
        entry = wish(f"{request % 3:04}", content)
        after = deepcopy(self.model)
        if request_id not in after.contents:
            job = accepted_job(new, f"job-{self.next_job + 1}", now)
            after.contents[request_id] = (job.id, content)
            after.step(job)
            after.want(replace(entry, job_id=job.id, updated_at=now))
        elif after.contents[request_id][1] == content:
            after.outbox.append(line(after.jobs[after.contents[request_id][0]]))
        else:
            fault = None

        async def step(journal: Journal) -> None:
            try:
                await journal.accept(new, wanted=[entry], outbox=say)
            except JobRejected:
                assert after == self.model

        self.perform(step, after, fault)

    @precondition(lambda self: self.model.jobs)
    @rule(
        picks=st.lists(st.integers(0, 7), min_size=1, max_size=3),
        to=st.sampled_from(JobState),
        is_sent=st.sampled_from([None, False, True]),
        fault=faults,
    )
    def move(
        self,
        picks: list[int],
        to: JobState,
        is_sent: bool | None,
        fault: Fault,
    ) -> None:
        self.clock.at += timedelta(seconds=1)
        now = self.clock.at
        result = {"n": len(picks)} if to in FINAL_STATES else None
        move = Move(
            to=to, reason=WaitReason.BACK_OFF, error=FAILURE, is_sent=is_sent, result=result
        )
        ids = list(self.model.jobs)
        moves = {ids[pick % len(ids)]: move for pick in picks}
        after = deepcopy(self.model)
        try:
            for job_id in moves:
                after.step(moved(after.jobs[job_id], move, now))
                after.conclude(job_id, to, now)
        except IllegalMove:
            after, fault = self.model, None

        async def step(journal: Journal) -> None:
            try:
                await journal.move_many(moves, outbox=say)
            except IllegalMove:
                assert after is self.model

        self.perform(step, after, fault)

    @rule(kind=st.sampled_from(["battery", "clock"]), value=st.integers(0, 100), fault=faults)
    def remember(self, kind: str, value: int, fault: Fault) -> None:
        after = deepcopy(self.model)
        after.memory[kind] = (value, self.clock.at)
        at = self.clock.at
        self.perform(lambda journal: journal.remember_lock(LOCK, kind, value, at), after, fault)

    @precondition(lambda self: self.model.outbox)
    @rule(count=st.integers(1, 3), fault=faults)
    def publish(self, count: int, fault: Fault) -> None:
        after = deepcopy(self.model)
        del after.outbox[:count]

        async def step(journal: Journal) -> None:
            entries = await journal.outbox(limit=count)
            await journal.outbox_done(*(entry.id for entry in entries))

        self.perform(step, after, fault)

    @rule(age=st.integers(0, 20), fault=faults)
    def prune(self, age: int, fault: Fault) -> None:
        before = self.clock.at - timedelta(seconds=age)
        after = deepcopy(self.model)
        for job in after.jobs.values():
            if job.is_final and job.updated_at < before:
                after.trails.pop(job.id, None)
        self.perform(lambda journal: journal.prune(before), after, fault)

    @rule(fault=faults)
    def recover(self, fault: Fault) -> None:
        """What a runner does first after a start."""
        self.clock.at += timedelta(seconds=1)
        after = deepcopy(self.model)
        for job in self.model.jobs.values():
            if job.state is JobState.WORKING:
                after.step(moved(job, after_interruption(job), self.clock.at))

        async def step(journal: Journal) -> None:
            jobs = reversed(await journal.recent(1000))
            moves = {
                job.id: after_interruption(job) for job in jobs if job.state is JobState.WORKING
            }
            await journal.move_many(moves, outbox=say)

        self.perform(step, after, fault)

    @rule()
    def sweep(self) -> None:
        assert self.runner.run(self.journal.sweep())

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        found = self.runner.run(content_of(self.journal))
        found.contents = self.model.contents
        self.model.overtaken = {name: each for name, each in self.model.overtaken.items() if each}
        assert found == self.model
        assert list(found.jobs) == list(self.model.jobs)
        assert all((job.params == b"") == job.is_final for job in found.jobs.values())


def test_the_journal_is_its_model_through_any_crash() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        JournalMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

"""What each verb of the bench does with a lock, from its job to its result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

import msgspec
import structlog

from ttlock_agent.backup import words
from ttlock_agent.backup.compare import Standing, agrees, compare, told_since
from ttlock_agent.backup.content import Content
from ttlock_agent.backup.enrol import Enrol, Ways, new_secrets
from ttlock_agent.backup.notes import ResetNotes, RestoreNotes
from ttlock_agent.backup.read import read_lock
from ttlock_agent.backup.reset import AFTERWARDS, Wipe
from ttlock_agent.backup.restore import Restore, check_same_lock
from ttlock_agent.backup.shelf import Opened, Shelf
from ttlock_agent.backup.vendor import Vendor
from ttlock_agent.backup.wishes import known_better
from ttlock_agent.clock import Clock
from ttlock_agent.errors import (
    KeysRejected,
    LinkLost,
    LockMisunderstood,
    OutcomeUnknown,
    RestoreIncomplete,
)
from ttlock_agent.jobs.counted import counted_visit
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import Job, JobState
from ttlock_agent.jobs.params import params_of
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.work import Work
from ttlock_agent.keyring import Keyring, StoredKeys, encode_keys
from ttlock_agent.link import LinkFactory
from ttlock_agent.lock.refusals import refused
from ttlock_agent.lock.setting_mode import FACTORY_KEYS, SettingMode, visit_in_setting_mode
from ttlock_agent.lock.visit import LockProfile, Visit
from ttlock_agent.locks import Locks
from ttlock_agent.requests import (
    BackupCreate,
    BackupVerify,
    LockEnrol,
    LockReset,
    LockRestore,
    passphrase_of,
)
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.localtime import to_lock

log = structlog.get_logger()


def backup_id(job: Job) -> str:
    """Return the id of the backup that ``job`` makes: the same however often it has to begin."""
    return f"{job.created_at:%Y%m%d}-{job.id[:8]}"


class Tasks:
    """Carries out the jobs of the bench, one at a time."""

    def __init__(
        self,
        links: LinkFactory,
        airtime: AbstractAsyncContextManager[None],
        *,
        locks: Locks,
        keyring: Keyring,
        shelf: Shelf,
        journal: Journal,
        memory: LockMemory,
        work: Work,
        clock: Clock,
        randbelow: Callable[[int], int],
        vendor: Vendor,
        wake_radio: Callable[[], None],
    ) -> None:
        """``airtime`` is held while a lock is talked to, or changes its keys.

        The adapter has one owner at a time, and nobody else may meet a lock with keys that are
        dead and not retired yet. ``wake_radio`` is called when there may be new jobs for it.
        """
        self._links = links
        self._airtime = airtime
        self._locks = locks
        self._keyring = keyring
        self._shelf = shelf
        self._journal = journal
        self._memory = memory
        self._work = work
        self._clock = clock
        self._randbelow = randbelow
        self._vendor = vendor
        self._reset_notes = ResetNotes(journal, clock)
        self._wake_radio = wake_radio
        self.verbs: Mapping[str, Callable[[Steps], Awaitable[None]]] = {
            "backup.create": self._create,
            "backup.verify": self._verify,
            "lock.reset": self._reset,
            "lock.enrol": self._enrol,
            "lock.restore": self._restore,
        }

    async def _create(self, steps: Steps) -> None:
        job = steps.job
        params = params_of(job, BackupCreate)
        profile = self._profile(job)
        await steps.begin()
        async with self._airtime, self._connected(profile) as visit:
            content = await read_lock(visit, profile, self._clock, steps.tell)
        content = await self._vendor.complete(profile, content)
        if params.has_keys:
            keys = msgspec.json.decode(encode_keys(profile.keys), type=StoredKeys)
            content = msgspec.structs.replace(content, keys=keys)
        steps.tell("sealing", 0)
        opened = await self._shelf.put(
            content,
            backup=backup_id(job),
            created_at=job.created_at,
            lock=job.lock,
            passphrase=passphrase_of(params),
        )
        await steps.prove(
            words.summary(opened.header)
            | {
                "fingerprints": words.fingerprints(content.fingerprints),
                "not_in_backup": words.not_read(content),
            }
        )

    async def _verify(self, steps: Steps) -> None:
        job = steps.job
        params = params_of(job, BackupVerify)
        opened = await self._shelf.open(params.backup, passphrase_of(params))
        profile = self._profile(job)
        await steps.begin()
        async with self._airtime, self._connected(profile) as visit:
            held = await read_lock(visit, profile, self._clock, steps.tell)
        check_same_lock(opened.content, held)
        findings, news = compare(opened.content, held), told_since(opened.content, held)
        labels = await self._labels(job.lock)
        await steps.answer(
            words.summary(opened.header)
            | {
                "agrees": agrees(findings) and not news,
                "same": len([each for each in findings if each.standing is Standing.SAME]),
                "differing": [
                    words.describe(each, labels) | {"standing": each.standing.value}
                    for each in findings
                    if each.standing is not Standing.SAME
                ],
                "told_since": news,
                "not_in_backup": words.not_read(opened.content),
                "as_of": held.taken_at.isoformat(timespec="seconds"),
            }
        )

    async def _restore(self, steps: Steps) -> None:
        job = steps.job
        params = params_of(job, LockRestore)
        opened = await self._shelf.open(params.backup, passphrase_of(params))
        profile = self._profile(job)
        restore = Restore(
            opened.content,
            labels=await self._labels(job.lock),
            left_out=await self._left_out(opened.content, profile),
            profile=profile,
            clock=self._clock,
            is_time_known=self._work.gate.is_time_known,
            steps=steps,
            notes=RestoreNotes(self._journal, job, self._clock.now()),
        )
        await steps.begin()
        is_other_lock = params.is_other_lock
        async with self._airtime, self._connected(profile) as visit:
            if params.is_dry_run:
                plan = await restore.rehearse(visit, is_other_lock=is_other_lock)
                await steps.answer(words.summary(opened.header) | plan)
                return
            is_whole, report = await restore.run(visit, is_other_lock=is_other_lock)
            listing = await visit.passcodes(is_fresh=True)
            await self._memory.keep_listing(profile, listing, self._clock.now())
            # What was asked for after the backup is in nobody's list but the agent's own.
            await self._work.reproof.review(visit, profile)
        self._wake_radio()
        await self._memory.show(profile)
        if await self._vendor.is_told(profile, asked=params.registers_in_cloud):
            steps.tell("registering", 0)
            report["cloud"] = await self._vendor.tell(profile, opened.content)
        report = words.summary(opened.header) | report
        if is_whole:
            await self._reset_notes.clear(job.lock, opened.header.backup)
            await steps.prove(report)
        else:
            count = len(report["failed"])
            await steps.fail(RestoreIncomplete(f"{count} items could not be put back."), report)

    async def _reset(self, steps: Steps) -> None:
        async with self._airtime:
            await self._reset_alone(steps)

    async def _reset_alone(self, steps: Steps) -> None:
        job = steps.job
        params = params_of(job, LockReset)
        opened = await self._shelf.open(params.backup, passphrase_of(params))
        profile = self._locks.profiles.get(job.lock)
        if job.state is JobState.UNKNOWN:
            if profile is None or await self._is_wiped(profile, has_confirmed=False):
                await self._finish_reset(steps, opened, profile)
                return
            await steps.note_read_back()
        profile = self._profile(job)
        await steps.begin()
        wipe = Wipe(
            opened,
            params,
            labels=await self._labels(job.lock),
            left_out=await self._left_out(opened.content, profile),
            profile=profile,
            clock=self._clock,
            steps=steps,
        )
        has_confirmed = True
        async with self._connected(profile) as visit:
            if params.is_dry_run:
                await steps.answer(words.summary(opened.header) | await wipe.rehearse(visit))
                return
            try:
                await wipe.run(visit)
            except OutcomeUnknown:
                log.warning("answer_lost", job_id=job.id, act="reset")
                has_confirmed = False
        steps.tell("proving", 0)
        if await self._is_wiped(profile, has_confirmed=has_confirmed):
            await self._finish_reset(steps, opened, profile)
            return
        await steps.note_read_back()
        if has_confirmed:
            raise LockMisunderstood("The lock said that it is wiped, and still knows its keys.")
        raise LinkLost("The lock did not hear that it shall be wiped.")

    async def _finish_reset(
        self, steps: Steps, opened: Opened, profile: LockProfile | None
    ) -> None:
        """Retire the keys, then say that it is done: found without keys, it is as good as said."""
        await self._reset_notes.keep(steps.job.lock, opened.header.backup)
        await self._locks.retire_keys(steps.job.lock)
        if profile is not None:
            await self._memory.keep_listing(profile, (), self._clock.now())
            await self._memory.show(profile)
        await steps.prove(
            words.summary(opened.header)
            | {
                "fingerprints": words.fingerprints(opened.content.fingerprints),
                "not_in_backup": words.not_read(opened.content),
                "afterwards": AFTERWARDS,
            }
        )

    async def _enrol(self, steps: Steps) -> None:
        async with self._airtime:
            await self._enrol_alone(steps)

    async def _enrol_alone(self, steps: Steps) -> None:
        job = steps.job
        params = params_of(job, LockEnrol)
        admin_passcode = params.admin_passcode
        profile = self._locks.profile_with(job.lock, FACTORY_KEYS)

        async def knows(keys: LockKeys) -> bool:
            return await self._knows(self._locks.profile_with(job.lock, keys))

        async def local_time() -> datetime | None:
            is_known = await self._work.gate.is_time_known()
            return to_lock(self._clock.now(), profile.zone) if is_known else None

        @asynccontextmanager
        async def setting_mode() -> AsyncIterator[SettingMode]:
            async with visit_in_setting_mode(self._links, profile) as door, self._counted(profile):
                yield door

        enrol = Enrol(
            lock=job.lock,
            secrets=new_secrets(
                None if admin_passcode is None else admin_passcode.digits, self._randbelow
            ),
            keyring=self._keyring,
            ways=Ways(
                knows=knows,
                setting_mode=setting_mode,
                use_keys=lambda keys: self._use_enrolled(job.lock, keys),
            ),
            local_time=local_time,
            steps=steps,
        )
        await steps.begin()
        await enrol.run()

    def _profile(self, job: Job) -> LockProfile:
        """Return how to visit the lock of ``job``, unless its keys were retired meanwhile."""
        profile = self._locks.profiles.get(job.lock)
        if profile is None:
            raise KeysRejected(
                "The agent holds no keys of this lock any more: it was reset.",
                hint="Add the lock in the vendor's app and run `keys import`, or run `enrol`.",
            )
        return profile

    async def _use_enrolled(self, lock: str, keys: LockKeys) -> None:
        await self._vendor.keep_enrolled(lock, keys)
        await self._locks.put_keys(lock, keys)

    async def _is_wiped(self, profile: LockProfile, *, has_confirmed: bool) -> bool:
        """Ask whether the lock has forgotten its keys; twice, unless it has said that it does."""
        if await self._knows(profile):
            return False
        return has_confirmed or not await self._knows(profile)

    async def _knows(self, profile: LockProfile) -> bool:
        """Connect; whether the lock takes these keys. Raises what keeps it from answering."""
        try:
            async with self._connected(profile) as visit:
                await visit.be_admin()
        except KeysRejected:
            return False
        except CommandRefused as error:
            if isinstance(refused(error), KeysRejected):
                return False
            raise
        return True

    def _connected(self, profile: LockProfile) -> AbstractAsyncContextManager[Visit]:
        return counted_visit(self._links, profile, self._clock, self._work.budgets)

    @asynccontextmanager
    async def _counted(self, profile: LockProfile) -> AsyncIterator[None]:
        """Count a connection in the lock's battery budget, which does not hold back the bench."""
        since_s = self._clock.monotonic()
        await self._work.budgets.connected(profile, None)
        try:
            yield
        finally:
            await self._work.budgets.disconnected(profile, self._clock.monotonic() - since_s)

    async def _left_out(self, content: Content, profile: LockProfile) -> dict[str, str]:
        return await known_better(content, self._journal, profile, self._clock.now())

    async def _labels(self, lock: str) -> dict[str, str]:
        """Return the names of passcodes, unless somebody wrote the digits into one."""
        return {
            wish.digits: wish.label
            for wish in await self._journal.wanted(lock)
            if wish.digits not in wish.label
        }

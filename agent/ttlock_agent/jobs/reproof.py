"""Proves again what was proved before, where a session is open anyway.

What is missing becomes a job by itself, and so does what came back after it was removed; both only
after a second listing agrees with the first. What nobody wants is reported, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JobRejected
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.events import EventType
from ttlock_agent.jobs.memory import LockMemory, is_stale
from ttlock_agent.jobs.model import (
    GUEST_PRIORITY,
    FormerPasscode,
    Job,
    NewJob,
    PasscodeKind,
    Premise,
    WantedPasscode,
)
from ttlock_agent.jobs.reconcile import Review, review
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.sync import request_for
from ttlock_agent.lock.visit import Listing, LockProfile, Visit
from ttlock_agent.publication import Publication
from ttlock_protocol.messages.passcodes import PasscodeRecord, PasscodeType

log = structlog.get_logger()

SOURCE: Final = "reproof"
_KIND_OF_TYPE: Final = {
    PasscodeType.ONE_TIME: PasscodeKind.ONE_TIME,
    PasscodeType.PERIOD: PasscodeKind.PERIOD,
    PasscodeType.CYCLIC: PasscodeKind.CYCLIC,
}


class Reproof:
    """Compares what a lock holds with what the journal says of it."""

    def __init__(
        self, journal: Journal, memory: LockMemory, answers: Answers, clock: Clock
    ) -> None:
        self._journal = journal
        self._memory = memory
        self._answers = answers
        self._clock = clock

    async def review(self, visit: Visit, profile: LockProfile, *, is_urgent: bool = False) -> bool:
        """Compare, and make jobs of what must change; return whether there are any.

        A listing that this visit has made already is used; else the lock is listed only if that is
        due, or ``is_urgent`` because a guest stands at the door.
        """
        listing = visit.listing
        if listing is None:
            if not (is_urgent or await self.is_due(profile)):
                return False
            listing = await self._list(visit, profile)
        found = await self._compare(listing, profile)
        if found.is_surprising:
            again = await self._compare(await self._list(visit, profile), profile)
            found = found.confirmed_by(again)
        priority = GUEST_PRIORITY if is_urgent else 0
        for wish in found.missing:
            await self._restore(wish, priority)
        for record, former in found.returned:
            await self._remove(profile, record, former)
        await self._name_strangers(profile, found.strangers)
        return found.is_surprising or bool(self._removes_unknown(profile) and found.strangers)

    def _removes_unknown(self, profile: LockProfile) -> bool:
        # A journal that was lost took all wishes along: then nobody the agent knows is everybody.
        return profile.removes_unknown and self._journal.set_aside is None

    async def is_due(self, profile: LockProfile) -> bool:
        """Whether there is something to compare on this lock, and it was too long ago."""
        # Not the last listing: a crash may have come before what that showed was acted on.
        known = await self._memory.reviewed(profile.id)
        listed = await self._memory.listed(profile.id)
        is_unfinished = listed is not None and (known is None or known.as_of < listed.as_of)
        wanted = await self._journal.wanted(profile.id)
        if not is_unfinished and not any(wish.proved_at for wish in wanted):
            return False
        return is_stale(known, self._clock.now(), profile.reproof_interval)

    async def _list(self, visit: Visit, profile: LockProfile) -> Listing:
        listing = await visit.passcodes(is_fresh=True)
        await self._memory.keep_listing(profile, listing, self._clock.now())
        return listing

    async def _compare(self, listing: Listing, profile: LockProfile) -> Review:
        digits = [each.passcode for each in listing if isinstance(each, PasscodeRecord)]
        return review(
            listing,
            await self._journal.wanted(profile.id),
            await self._journal.former(profile.id, digits),
            zone=profile.zone,
            now=self._clock.now(),
        )

    async def _restore(self, wish: WantedPasscode, priority: int) -> None:
        log.warning("passcode_missing", lock=wish.lock, owner=wish.owner)
        # The revision is new with each proof, so that a passcode may go missing more than once.
        await self._accept(
            f"{SOURCE}-{wish.lock}-{wish.revision}",
            replace(wish, proved_at=None, revision=0),
            EventType.PASSCODE_MISSING,
            priority,
            revision=wish.revision,
        )

    async def _remove(
        self, profile: LockProfile, record: PasscodeRecord, former: FormerPasscode
    ) -> None:
        log.warning("passcode_returned", lock=profile.id, owner=former.owner)
        await self._accept(
            f"{SOURCE}-{profile.id}-gone-{former.number}",
            _unwanted(profile, record, owner=former.owner, label=former.label),
            EventType.PASSCODE_RETURNED,
        )

    async def _name_strangers(
        self, profile: LockProfile, strangers: Sequence[PasscodeRecord]
    ) -> None:
        """Tell of those not told of before, and remove them where the owner wants that."""
        now = self._clock.now()
        names = {self._journal.mark(profile.id, record.passcode): record for record in strangers}
        new = names.keys() - await self._memory.strangers(profile.id)
        events = [
            self._memory.event(
                profile.id,
                f"unknown-{name}",
                EventType.PASSCODE_UNKNOWN,
                kind=names[name].passcode_type.name.lower(),
                length=len(names[name].passcode),
            )
            for name in sorted(new)
        ]
        if self._removes_unknown(profile):
            for name, record in names.items():
                # The time makes it another job if the same passcode is put there again later.
                await self._accept(
                    f"{SOURCE}-{profile.id}-unknown-{name}-{now:%Y%m%dT%H%M%S}",
                    _unwanted(profile, record, owner=SOURCE, label=""),
                    None,
                )
        await self._memory.keep_strangers(profile, sorted(names), now, events)

    async def _accept(
        self,
        request_id: str,
        wish: WantedPasscode,
        event_type: EventType | None,
        priority: int = 0,
        *,
        revision: int = 0,
    ) -> None:
        """Make a job, unless somebody has asked for something else since ``revision``."""
        verb, params = request_for(wish)

        def say(job: Job) -> list[Publication]:
            said = self._answers.of_job(job)
            if event_type is not None:
                said.append(
                    self._memory.event(
                        wish.lock,
                        request_id,
                        event_type,
                        label=wish.label,
                        owner=wish.owner,
                        job=job.id,
                    )
                )
            return said

        new = NewJob(
            source=SOURCE,
            request_id=request_id,
            verb=verb,
            lock=wish.lock,
            params=params,
            priority=priority,
            deadline_at=wish.valid_until if wish.is_wanted else None,
        )
        try:
            await self._journal.accept(
                new,
                # What is not there is not proved, whatever becomes of this job.
                kept=(replace(wish, revision=revision),) if revision else (),
                wanted=(wish,),
                premise=Premise(lock=wish.lock, digits=wish.digits, revision=revision),
                outbox=say,
            )
        except JobRejected:
            log.info("wanted_otherwise_meanwhile", lock=wish.lock, owner=wish.owner)


def _unwanted(
    profile: LockProfile, record: PasscodeRecord, *, owner: str, label: str
) -> WantedPasscode:
    return WantedPasscode(
        lock=profile.id,
        digits=record.passcode,
        kind=_KIND_OF_TYPE.get(record.passcode_type, PasscodeKind.PERMANENT),
        label=label,
        owner=owner,
        is_wanted=False,
        is_held=True,
    )

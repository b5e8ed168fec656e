"""Puts back what a backup holds, and proves each item by reading the lock.

Read, compare, write what differs, read again: until nothing is left that another try could change.
That the lock is about to be told something is journalled first; what became of it is told by the
next reading and by nothing else, so an interruption at any point leads back to the same road.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ttlock_agent.backup import read, words
from ttlock_agent.backup.compare import Finding, Standing
from ttlock_agent.backup.content import Content, SavedCard, SavedFingerprint
from ttlock_agent.backup.hours import with_hours, write_hours
from ttlock_agent.backup.plan import LENGTHS, Plan, Step, make_plan, short_of_room
from ttlock_agent.backup.read import read_lock
from ttlock_agent.clock import Clock
from ttlock_agent.errors import BackupProblem, BackupUnusable, LockRefused, OutcomeUnknown
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.lock.refusals import refused
from ttlock_agent.lock.visit import LockProfile, Visit
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.localtime import to_lock

MAX_TRIES: Final = 2
"""Of one request about one item: a lock that says yes twice and does not show it never will."""
_NO_ROOM: Final = frozenset({Refusal.MEMORY_FULL, Refusal.PASSCODE_MEMORY_FULL})
_NO_SUCH_WAY: Final = frozenset(
    {Refusal.NOT_SUPPORTED, Refusal.PARAMETER_LENGTH, Refusal.INVALID_PARAMETER, Refusal.FAILED}
)
_NOT_SHOWN: Final = "The lock said yes, and its memory does not show it."
_CLOCK_LEFT: Final = (
    "The lock's clock is off, and was not set: this machine's own clock is not synchronised. Ask"
    " for `clock.sync` when it is; until then passcodes with hours may not open."
)
_NOT_TOLD: Final = "The lock took it and does not tell it back, so it is not proved."

Key = tuple[str, int]


@dataclass(slots=True)
class _Tried:
    """What was tried in this run of the agent; after a restart the lock is simply asked again."""

    tries: Counter[tuple[Key, str]] = field(default_factory=Counter)
    refusals: dict[Key, str] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    written: set[Key] = field(default_factory=set)


class Notes(Protocol):
    """Remembers what was missing when a restore began, and how much fits into the lock."""

    async def keep_first(self, keys: Sequence[Key]) -> frozenset[Key]:
        """Keep ``keys`` unless some are kept already; return those that are."""
        ...

    async def room(self, mac_digits: str) -> dict[str, int]:
        """Return how much this very lock held of each list when it was full."""
        ...

    async def keep_room(self, mac_digits: str, room: Mapping[str, int]) -> None:
        """Keep how much it held, for the next rehearsal."""
        ...


class Restore:
    """One restore, over as many visits as it takes."""

    def __init__(
        self,
        saved: Content,
        *,
        labels: Mapping[str, str],
        left_out: Mapping[str, str],
        profile: LockProfile,
        clock: Clock,
        is_time_known: Callable[[], Awaitable[bool]],
        steps: Steps,
        notes: Notes,
    ) -> None:
        """``labels`` are names of passcodes by their digits, ``left_out`` why some stay out.

        As long as the machine's time is not known no lock's clock is set.
        """
        self._saved = saved
        self._labels = labels
        self._left_out = left_out
        self._profile = profile
        self._clock = clock
        self._is_time_known = is_time_known
        self._steps = steps
        self._notes = notes
        self._was_missing: frozenset[Key] = frozenset()
        self._tried = _Tried()
        self._clock_was_off_s: float | None = None
        self._is_clock_left = False
        self._hours: dict[Key, str | None] = {}
        """Cards whose weekly hours were written, and why one has none."""

    async def rehearse(self, visit: Visit, *, is_other_lock: bool) -> dict[str, Any]:
        """Return what :meth:`run` would do, changing nothing."""
        held, plan = await self._look(visit, is_other_lock=is_other_lock)
        room = await self._notes.room(held.lock.mac_digits)
        return {
            "would_restore": [self._describe(step.finding) for step in plan.steps],
            "not_restorable": self._blocked(plan),
            "fingerprints": self._fingerprints(plan),
            "was_there": self._count(plan, Standing.SAME),
            "only_in_lock": self._only_in_lock(plan),
            "may_not_fit": short_of_room(plan, room),
            "changed": self._changes(held),
            "not_in_backup": words.not_read(self._saved),
        }

    async def run(self, visit: Visit, *, is_other_lock: bool) -> tuple[bool, dict[str, Any]]:
        """Restore; return whether every item that can be is proved, and the closing report.

        Raises what ends the visit; call it again with the next one.
        """
        is_first = True
        while True:
            held, plan = await self._look(visit, is_other_lock=is_other_lock)
            await self._steps.note_read_back()
            if is_first:
                self._was_missing = await self._notes.keep_first(
                    [step.finding.key for step in plan.steps]
                )
                await self._see_to_clock(visit, held)
                is_first = False
            todo = [step for step in plan.steps if self._is_worth_it(step)]
            if not todo:
                if await self._write_hours(visit, plan):
                    continue
                await self._keep_room(held)
                return self._report(held, plan)
            await self._steps.mark_sent()
            for number, step in enumerate(todo):
                self._steps.tell("restoring", number, len(todo))
                await self._perform(visit, step)

    async def _look(self, visit: Visit, *, is_other_lock: bool) -> tuple[Content, Plan]:
        held = await read_lock(visit, self._profile, self._clock, self._steps.tell)
        if not is_other_lock:
            check_same_lock(self._saved, held)
        now = to_lock(self._clock.now(), self._profile.zone)
        plan = make_plan(
            self._saved, held, quirks=self._profile.quirks, now=now, left_out=self._left_out
        )
        return held, plan

    async def _see_to_clock(self, visit: Visit, held: Content) -> None:
        """Set the clock when it is off: all that has hours is judged by it."""
        error_s = held.lock.clock_error_s
        if error_s is not None and abs(error_s) <= self._profile.clock_tolerance_s:
            return
        self._is_clock_left = not await self._is_time_known()
        if self._is_clock_left:
            return
        try:
            await visit.set_clock()
        except CommandRefused as error:
            if error.refusal != Refusal.NOT_SUPPORTED:
                raise
        else:
            self._clock_was_off_s = error_s

    async def _write_hours(self, visit: Visit, plan: Plan) -> bool:
        """Give the cards their weekly hours, once in a run; return whether there were any."""
        cards = [each for each in with_hours(plan.findings) if each.key not in self._hours]
        if cards:
            await self._steps.mark_sent()
        for number, finding in enumerate(cards):
            assert isinstance(finding.saved, SavedCard), "that is what has hours"
            self._steps.tell("writing_hours", number, len(cards))
            self._hours[finding.key] = await write_hours(visit, finding.saved)
        return bool(cards)

    async def _keep_room(self, held: Content) -> None:
        full = {item: length(held) for item, length in LENGTHS.items() if item in self._tried.full}
        if full:
            await self._notes.keep_room(held.lock.mac_digits, full)

    def _is_worth_it(self, step: Step) -> bool:
        key = step.finding.key
        if key in self._tried.refusals:
            return False
        if step.finding.standing is Standing.NOT_READ and key in self._tried.written:
            return False
        return self._tried.tries[key, type(step.ways[0]).__name__] < MAX_TRIES

    async def _perform(self, visit: Visit, step: Step) -> None:
        key = step.finding.key
        if step.finding.item in self._tried.full:
            self._tried.refusals[key] = "The lock has no room left for it."
            return
        self._tried.tries[key, type(step.ways[0]).__name__] += 1
        for request in step.ways:
            try:
                await visit.ask(request)
            except CommandRefused as error:
                self._note_refusal(step.finding, error)
                if error.refusal not in _NO_SUCH_WAY:
                    return
            except OutcomeUnknown:
                # The next reading tells.
                self._tried.refusals.pop(key, None)
                return
            else:
                self._tried.refusals.pop(key, None)
                self._tried.written.add(key)
                return

    def _note_refusal(self, finding: Finding, error: CommandRefused) -> None:
        meaning = refused(error)
        if not isinstance(meaning, LockRefused) or meaning.retryable:
            raise meaning from error
        self._tried.refusals[finding.key] = meaning.message
        if error.refusal in _NO_ROOM:
            self._tried.full.add(finding.item)

    def _report(self, held: Content, plan: Plan) -> tuple[bool, dict[str, Any]]:
        failed = [
            self._describe(step.finding) | {"reason": self._why_not(step)} for step in plan.steps
        ]
        same = [each for each in plan.findings if each.standing is Standing.SAME]
        failed += [
            self._describe(each) | {"reason": reason}
            for each in same
            if (reason := self._hours.get(each.key)) is not None
        ]
        report = {
            "restored": [self._describe(each) for each in same if each.key in self._was_missing],
            "was_there": len([each for each in same if each.key not in self._was_missing]),
            "not_restorable": self._blocked(plan),
            "failed": failed,
            "changed": self._changes(held),
            "fingerprints": self._fingerprints(plan),
            "only_in_lock": self._only_in_lock(plan),
            "not_in_backup": words.not_read(self._saved),
            "proof_at": held.taken_at.isoformat(timespec="seconds"),
        }
        return not failed, report

    def _why_not(self, step: Step) -> str:
        key = step.finding.key
        if key in self._tried.refusals:
            return self._tried.refusals[key]
        is_untold = step.finding.standing is Standing.NOT_READ and key in self._tried.written
        return _NOT_TOLD if is_untold else _NOT_SHOWN

    def _fingerprints(self, plan: Plan) -> dict[str, Any]:
        lost = [
            each.finding.saved
            for each in plan.blocked
            if isinstance(each.finding.saved, SavedFingerprint)
        ]
        return words.fingerprints(lost)

    def _blocked(self, plan: Plan) -> list[dict[str, Any]]:
        return [
            self._describe(each.finding) | {"reason": each.reason}
            for each in plan.blocked
            if each.finding.item != read.FINGERPRINTS
        ]

    def _only_in_lock(self, plan: Plan) -> list[dict[str, Any]]:
        extra = (each for each in plan.findings if each.standing is Standing.EXTRA)
        return [self._describe(each) for each in extra]

    def _changes(self, held: Content) -> list[str]:
        """Say what is not as it was although every item is there."""
        saved, changes = self._saved, []
        if self._clock_was_off_s is not None:
            changes.append(f"The lock's clock was {self._clock_was_off_s:+.0f} s off, and is set.")
        if self._is_clock_left:
            changes.append(_CLOCK_LEFT)
        if saved.lock.zone != held.lock.zone:
            changes.append(
                f"The backup was made in {saved.lock.zone}, this lock is in {held.lock.zone}: hours"
                " are the same on the clock, not in time."
            )
        for name in ("model", "hardware", "firmware"):
            before, now = getattr(saved.lock, name), getattr(held.lock, name)
            if before != now:
                changes.append(f"{name}: {before or 'not told'} before, {now or 'not told'} here.")
        if hours := sum(reason is None for reason in self._hours.values()):
            changes.append(
                f"The weekly hours of {hours} cards were written as the vendor's cloud has them; no"
                " lock tells them, so they are not proved."
            )
        original = {each.passcode: each.original_passcode for each in held.passcodes}
        lost_origin = [
            code
            for code in saved.passcodes
            if code.original_passcode
            and original.get(code.passcode, code.original_passcode) != code.original_passcode
        ]
        if lost_origin:
            changes.append(
                f"{len(lost_origin)} passcodes that were changed at the keypad forgot what they"
                " were before."
            )
        changes += words.may_open_again(
            code
            for number, code in enumerate(saved.passcodes, start=1)
            if (read.PASSCODES, number) in self._was_missing
        )
        return changes

    @staticmethod
    def _count(plan: Plan, standing: Standing) -> int:
        return len([each for each in plan.findings if each.standing is standing])

    def _describe(self, finding: Finding) -> dict[str, Any]:
        return words.describe(finding, self._labels)


def check_same_lock(saved: Content, held: Content) -> None:
    """Raise ``BackupUnusable`` unless both are of one lock, as far as their addresses tell."""
    if saved.lock.mac_digits and saved.lock.mac_digits == held.lock.mac_digits:
        return
    raise BackupUnusable(
        f"The backup is of a lock whose address ends in {saved.lock.mac_digits or '(not told)'};"
        f" this one ends in {held.lock.mac_digits or '(not told)'}.",
        problem=BackupProblem.OTHER_LOCK,
        hint="To put it onto another lock, say so: `restore --onto-another-lock`.",
    )

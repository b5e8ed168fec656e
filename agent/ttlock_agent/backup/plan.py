"""What would make a lock hold again what a backup says: a pure function of two readings.

It is made anew from each reading of the lock, so carrying it out again is harmless, and so is
carrying it out after whatever interruption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from ttlock_agent.backup import read
from ttlock_agent.backup.compare import (
    Finding,
    Setting,
    Standing,
    compare,
)
from ttlock_agent.backup.content import (
    Content,
    SavedCard,
    SavedFingerprint,
    SavedPassage,
    SavedPasscode,
)
from ttlock_agent.lock.settings import SETTINGS
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.features import Feature
from ttlock_protocol.localtime import from_window
from ttlock_protocol.message import Request
from ttlock_protocol.messages.admin import SetAdminPasscode
from ttlock_protocol.messages.auth import PERMANENT_UNTIL
from ttlock_protocol.messages.cards import AddCard, ModifyCard
from ttlock_protocol.messages.fingerprints import ModifyFingerprint
from ttlock_protocol.messages.passage import AddPassageEntry
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    DeletePasscode,
    PasscodeType,
    RecoverPasscode,
)
from ttlock_protocol.quirks import Quirks

FINGERPRINT_STAYS: Final = (
    "A fingerprint never leaves the lock's sensor: its owner must enrol it anew."
)
USED_UP: Final = "It was used before the backup, and would open once more."
UNVERIFIED_SWITCHES: Final = (
    "Nobody has verified yet what this lock's switches do: set it in the vendor's app, or set the"
    " quirk switches_are_verified."
)
USUAL_ROOM: Final = {read.PASSCODES: 150, read.CARDS: 1000, read.FINGERPRINTS: 200}
"""What locks are known to hold; none tells how much it has room for before it is full."""
LENGTHS: Final[Mapping[str, Callable[[Content], int]]] = {
    read.PASSCODES: lambda content: len(content.passcodes),
    read.CARDS: lambda content: len(content.cards),
}
"""Of the lists that a lock may be too full for."""


class _Impossible(Exception):
    """An item cannot be put back; the text says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change; ``ways`` are tried in turn while the lock does not know the one before."""

    finding: Finding
    ways: tuple[Request[Any], ...]


@dataclass(frozen=True, slots=True)
class Blocked:
    """What cannot be put back, known before anything is sent, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All findings of a comparison, and what follows from those that differ."""

    findings: Sequence[Finding]
    steps: Sequence[Step]
    blocked: Sequence[Blocked]


def make_plan(
    saved: Content,
    held: Content,
    *,
    quirks: Quirks,
    now: datetime,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """Compare, and say what to do; ``now`` is lock-local.

    ``left_out`` says of passcodes, by their digits, why they are not put back whatever the lock
    holds.

    What still opens goes before what has expired, for room may run out.
    """
    findings = compare(saved, held)
    planner = _Planner(held, quirks, left_out)
    steps: list[Step] = []
    blocked: list[Blocked] = []
    for finding in sorted(findings, key=lambda each: _rank(each, now)):
        if finding.standing in (Standing.SAME, Standing.EXTRA):
            continue
        try:
            ways = planner.ways(finding)
            for way in ways:
                way.encode()
        except _Impossible as error:
            blocked.append(Blocked(finding, str(error)))
        except LocalProtocolError as error:
            blocked.append(Blocked(finding, f"It cannot be written: {error}."))
        else:
            steps.append(Step(finding, ways))
    return Plan(findings=findings, steps=steps, blocked=blocked)


def short_of_room(plan: Plan, known: Mapping[str, int]) -> dict[str, int]:
    """Return the lists that would be longer than this lock, or else locks, are known to hold.

    ``known`` is how much this one held when it was full; the result gives that number.
    """
    blocked = {each.finding.key for each in plan.blocked}
    lengths = Counter(each.item for each in plan.findings if each.key not in blocked)
    rooms = USUAL_ROOM | dict(known)
    return {item: room for item, room in rooms.items() if lengths[item] > room}


_ORDER: Final = (
    read.ADMIN_PASSCODE,
    read.PASSCODES,
    read.CARDS,
    read.FINGERPRINTS,
    read.AUTO_LOCK,
    read.SOUND,
    read.DISPLAY,
    read.REMOTE_UNLOCK,
    read.SWITCHES,
    read.PASSAGE,
)


def _rank(finding: Finding, now: datetime) -> tuple[bool, int, int]:
    return _has_expired(finding.saved, now), _ORDER.index(finding.item), finding.number


def _has_expired(saved: object, now: datetime) -> bool:
    if not isinstance(saved, SavedPasscode | SavedCard):
        return False
    _, end = from_window(saved.valid_from, saved.valid_until, UTC)
    return end is not None and end.replace(tzinfo=None) < now


class _Planner:
    def __init__(self, held: Content, quirks: Quirks, left_out: Mapping[str, str]) -> None:
        self._held = held
        self._quirks = quirks
        self._left_out = left_out
        self._features = held.lock.feature_set

    def ways(self, finding: Finding) -> tuple[Request[Any], ...]:
        """Return what would set ``finding`` right; raises ``_Impossible``."""
        match finding.saved:
            case SavedPasscode() as passcode:
                return self._passcode(finding, passcode)
            case SavedCard() as card:
                self._need(Feature.CARD, "cards")
                self._need_list(read.CARDS)
                if card.hours:
                    # Without them the card would open at any hour.
                    self._need(Feature.WEEKLY_SCHEDULE, "weekly hours, which this card has")
                kind = ModifyCard if finding.standing is Standing.OTHERWISE else AddCard
                return (
                    kind(
                        card_number=card.number,
                        valid_from=card.valid_from,
                        valid_until=card.valid_until,
                    ),
                )
            case SavedFingerprint() as finger:
                return self._fingerprint(finding, finger)
            case SavedPassage() as entry:
                self._need(Feature.PASSAGE_MODE, "passage mode")
                self._need_list(read.PASSAGE)
                return (AddPassageEntry(entry=entry.entry),)
            case Setting() as setting:
                return (self._setting(setting),)
            case str() as digits:
                return (SetAdminPasscode(passcode=digits),)
            case _:
                raise _Impossible("It is of a kind that this agent does not know.")

    def _passcode(self, finding: Finding, code: SavedPasscode) -> tuple[Request[Any], ...]:
        self._need(Feature.PASSCODE, "keypad")
        self._need_list(read.PASSCODES)
        if code.passcode in self._left_out:
            raise _Impossible(self._left_out[code.passcode])
        if finding.standing is Standing.OTHERWISE:
            # A type cannot be modified, and a validity often not: it is written anew.
            return (DeletePasscode(passcode_type=code.kind, passcode=code.passcode),)
        if code.is_used:
            raise _Impossible(USED_UP)
        if code.kind == PasscodeType.CYCLIC:
            self._need(Feature.RECOVER_CYCLIC_PASSCODE, "way to take cyclic passcodes back")
            return (_recover(code),)
        if not code.kind.is_known:
            raise _Impossible("It is of a type that this agent does not know.")
        if code.original_passcode in ("", code.passcode):
            return _add(code), _recover(code)
        return _recover(code), _add(code)

    @staticmethod
    def _fingerprint(finding: Finding, finger: SavedFingerprint) -> tuple[Request[Any], ...]:
        if finding.standing is not Standing.OTHERWISE:
            raise _Impossible(FINGERPRINT_STAYS)
        return (
            ModifyFingerprint(
                fingerprint=finger.id,
                valid_from=finger.valid_from,
                valid_until=finger.valid_until,
            ),
        )

    def _setting(self, setting: Setting) -> Request[Any]:
        row = SETTINGS[setting.name]
        self._need(row.feature, row.words)
        if row.is_switch and not self._quirks.switches_are_verified:
            raise _Impossible(UNVERIFIED_SWITCHES)
        if setting.name == "auto_lock_s":
            self._check_delay(setting.value)
        return row.put(setting.value)

    def _check_delay(self, delay_s: int) -> None:
        if delay_s == 0:
            self._need(Feature.AUTO_LOCK_CAN_BE_OFF, "auto-lock that can be off")
            return
        low, high = self._held.settings.auto_lock_min_s, self._held.settings.auto_lock_max_s
        if low is not None and high is not None and not low <= delay_s <= high:
            raise _Impossible(f"This lock takes an auto-lock delay of {low} to {high} s only.")

    def _need(self, feature: Feature, words: str) -> None:
        if self._features is not None and feature not in self._features:
            raise _Impossible(f"This lock has no {words}.")

    def _need_list(self, item: str) -> None:
        if not self._held.was_read(item):
            raise _Impossible("The lock does not list these, so nothing could be proved.")


def _add(code: SavedPasscode) -> AddPasscode:
    end = code.valid_until
    if code.kind == PasscodeType.PERMANENT:
        end = None
    elif code.kind == PasscodeType.PERIOD:
        end = end or PERMANENT_UNTIL
    return AddPasscode(
        passcode_type=code.kind,
        passcode=code.passcode,
        valid_from=code.valid_from,
        valid_until=end,
    )


def _recover(code: SavedPasscode) -> RecoverPasscode:
    has_end = code.kind in (PasscodeType.ONE_TIME, PasscodeType.PERIOD)
    return RecoverPasscode(
        passcode_type=code.kind,
        passcode=code.passcode,
        original_passcode=code.original_passcode or code.passcode,
        valid_from=code.valid_from,
        valid_until=(code.valid_until or PERMANENT_UNTIL) if has_end else None,
        cycle_number=code.cycle_number,
    )

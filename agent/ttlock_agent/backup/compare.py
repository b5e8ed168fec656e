"""A backup against what a lock holds now, item by item.

Locks hand validity back altered: permanent items come with dates of the lock's own, starts move to
2000. So equality is by what opens the door, type and end; see :mod:`ttlock_agent.jobs.passcodes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ttlock_agent.backup import read
from ttlock_agent.backup.content import (
    Content,
    SavedCard,
    SavedFingerprint,
    SavedPassage,
    SavedPasscode,
)
from ttlock_agent.lock.settings import SETTINGS
from ttlock_protocol.features import Feature
from ttlock_protocol.localtime import from_window
from ttlock_protocol.messages.passcodes import PasscodeType
from ttlock_protocol.messages.settings import Switch

T = TypeVar("T")


class Standing(StrEnum):
    """How an item of the backup stands in the lock."""

    SAME = "same"
    OTHERWISE = "otherwise"
    """It is there, with another type, validity or value."""
    MISSING = "missing"
    EXTRA = "extra"
    """The lock holds it and the backup does not."""
    NOT_READ = "not_read"
    """The lock did not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting; ``switch`` is set for one bit of the switches."""

    name: str
    value: Any
    switch: Switch | None = None


Saved = SavedPasscode | SavedCard | SavedFingerprint | SavedPassage | Setting | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One item: ``item`` says of which list, ``number`` its place there, from 1."""

    item: str
    number: int
    standing: Standing
    saved: Saved | None = field(default=None, repr=False)
    held: Saved | None = field(default=None, repr=False)

    @property
    def key(self) -> tuple[str, int]:
        """Tells the items of one backup apart."""
        return self.item, self.number


def compare(saved: Content, held: Content) -> list[Finding]:
    """Return a finding for each item of ``saved``, then for what only ``held`` has."""
    return [
        *(finding for kind in _KINDS for finding in _items(kind, saved, held)),
        *_settings(saved, held),
        *_admin_passcode(saved, held),
    ]


def agrees(findings: Iterable[Finding]) -> bool:
    """Whether the lock holds exactly what the backup says."""
    return all(each.standing is Standing.SAME for each in findings)


def told_since(saved: Content, held: Content) -> list[str]:
    """Return what the lock tells now and the backup lacks, although no item of it differs.

    Lists that it did not tell then, records in an unknown form, one-time passcodes used since.
    """
    now_read = {each.item for each in saved.not_read} - {each.item for each in held.not_read}
    strange = Counter(held.unreadable) - Counter(saved.unreadable)
    used_before, used_now = (
        {code.passcode for code in each.passcodes if code.is_used} for each in (saved, held)
    )
    return [
        *sorted(now_read),
        *sorted({f"unreadable_{each.item}" for each in strange}),
        *(["used_passcodes"] if used_now - used_before else []),
    ]


SWITCH_FEATURES: Final = {
    Switch[name.upper()]: row.feature for name, row in SETTINGS.items() if row.is_switch
}


def settings_of(content: Content) -> list[tuple[str, Setting]]:
    """Return the settings that the lock told and has, each with the item it belongs to."""
    settings, features = content.settings, content.lock.feature_set
    found = [
        (item, Setting(name=name, value=value))
        for item, name in _SETTINGS
        if (value := getattr(settings, name)) is not None
    ]
    if settings.is_sound_on is False:
        # Off is off: nobody hears how loud.
        found = [each for each in found if each[1].name != "volume"]
    if settings.switches is not None:
        found += [
            (read.SWITCHES, _switch_setting(switch, settings.switches))
            for switch, feature in SWITCH_FEATURES.items()
            if features is None or feature in features
        ]
    return found


_SETTINGS: Final = (
    (read.AUTO_LOCK, "auto_lock_s"),
    (read.AUTO_LOCK, "is_locking_on_close"),
    (read.SOUND, "is_sound_on"),
    (read.SOUND, "volume"),
    (read.DISPLAY, "is_passcode_shown"),
    (read.REMOTE_UNLOCK, "is_remote_unlock_allowed"),
)


def _items(kind: _Kind[Any], saved: Content, held: Content) -> Iterable[Finding]:
    item, before = kind.item, kind.of(saved)
    there: dict[object, list[Any]] = {}
    for each in kind.of(held):
        there.setdefault(kind.identity(each), []).append(each)
    is_complete = held.was_read(item) and all(each.item != item for each in held.unreadable)
    for number, each in enumerate(before, start=1):
        twins = there.get(kind.identity(each))
        twin = twins.pop(0) if twins else None
        if twin is not None:
            standing = Standing.SAME if kind.is_same(each, twin) else Standing.OTHERWISE
        else:
            # It may be among the records that could not be read: not missing, not there.
            standing = Standing.MISSING if is_complete else Standing.NOT_READ
        yield Finding(item=item, number=number, standing=standing, saved=each, held=twin)
    if saved.was_read(item):
        others = (each for twins in there.values() for each in twins)
        for number, each in enumerate(others, start=len(before) + 1):
            yield Finding(item=item, number=number, standing=Standing.EXTRA, held=each)


def _settings(saved: Content, held: Content) -> Iterable[Finding]:
    now = {setting.name: setting for _, setting in settings_of(held)}
    for number, (item, setting) in enumerate(settings_of(saved), start=1):
        there = now.get(setting.name)
        if there is None:
            standing = Standing.NOT_READ
        else:
            standing = Standing.SAME if there.value == setting.value else Standing.OTHERWISE
        yield Finding(item=item, number=number, standing=standing, saved=setting, held=there)


def _admin_passcode(saved: Content, held: Content) -> Iterable[Finding]:
    there = held.admin_passcode
    if saved.admin_passcode is None:
        if there is not None and saved.was_read(read.ADMIN_PASSCODE):
            yield Finding(item=read.ADMIN_PASSCODE, number=1, standing=Standing.EXTRA, held=there)
        return
    if there is None:
        standing = Standing.NOT_READ if _cannot_tell_admin(held) else Standing.MISSING
    else:
        standing = Standing.SAME if there == saved.admin_passcode else Standing.OTHERWISE
    yield Finding(
        item=read.ADMIN_PASSCODE,
        number=1,
        standing=standing,
        saved=saved.admin_passcode,
        held=there,
    )


def _cannot_tell_admin(held: Content) -> bool:
    features = held.lock.feature_set
    return not held.was_read(read.ADMIN_PASSCODE) or (
        features is not None and Feature.GET_ADMIN_PASSCODE not in features
    )


def _switch_setting(switch: Switch, bits: int) -> Setting:
    return Setting(name=switch.name.lower(), value=bool(bits & switch), switch=switch)


def _same_code(before: SavedPasscode, now: SavedPasscode) -> bool:
    if before.passcode_type != now.passcode_type:
        return False
    if before.kind == PasscodeType.PERMANENT:
        # A start in the future would shut its holder out; any other is as good.
        return _has_no_start(now.valid_from) or now.valid_from <= before.valid_from
    if before.kind == PasscodeType.CYCLIC:
        is_same_hour = now.valid_from.time() == before.valid_from.time()
        return before.cycle_number == now.cycle_number and is_same_hour
    return _same_window(before, now)


def _same_window(
    before: SavedPasscode | SavedCard | SavedFingerprint,
    now: SavedPasscode | SavedCard | SavedFingerprint,
) -> bool:
    has_begun = now.valid_from == before.valid_from or _has_no_start(now.valid_from)
    return has_begun and _end(before) == _end(now)


def _has_no_start(begin: datetime) -> bool:
    return from_window(begin, None, UTC)[0] is None


def _end(each: SavedPasscode | SavedCard | SavedFingerprint) -> datetime | None:
    """Return the end, ``None`` for every way of writing that there is none."""
    return from_window(each.valid_from, each.valid_until, UTC)[1]


class _Kind(NamedTuple, Generic[T]):
    """One list: how its items are told apart, and when two with the same identity are equal."""

    item: str
    of: Callable[[Content], Sequence[T]]
    identity: Callable[[T], object]
    is_same: Callable[[T, T], bool]


_KINDS: Final[tuple[_Kind[Any], ...]] = (
    _Kind[SavedPasscode](
        read.PASSCODES, lambda c: c.passcodes, lambda each: each.passcode, _same_code
    ),
    _Kind[SavedCard](read.CARDS, lambda c: c.cards, lambda each: each.number, _same_window),
    _Kind[SavedFingerprint](
        read.FINGERPRINTS, lambda c: c.fingerprints, lambda each: each.id, _same_window
    ),
    _Kind[SavedPassage](
        read.PASSAGE, lambda c: c.passage, lambda each: each, lambda _one, _other: True
    ),
)

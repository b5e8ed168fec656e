"""What an import gives: keys, which lock they are of, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Final

from ttlock_protocol.errors import ProtocolError
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.keys import LockKeys


class Item(Enum):
    """What a key file can hold of a lock."""

    MAC = "address"
    AES_KEY = "AES key"
    UNLOCK_KEY = "unlock key"
    ADMIN_SECRET = "administrator secret"  # noqa: S105 - the name of one
    VERSION = "lock version"
    FEATURES = "features"
    ADMIN_PASSCODE = "administrator passcode"
    TIME_ZONE = "time zone offset"


_WITHOUT: Final[Mapping[Item, str]] = MappingProxyType(
    {
        Item.MAC: "the lock cannot be found: give its address by hand",
        Item.AES_KEY: "nothing works",
        Item.UNLOCK_KEY: "no unlocking or locking and no administrator's commands, only reading",
        Item.ADMIN_SECRET: "no administrator's commands: passcodes, cards, settings",
        Item.VERSION: "nothing is forbidden: the usual one goes first, then what the lock answers",
        Item.FEATURES: "nothing is forbidden: they are read from the lock",
        Item.ADMIN_PASSCODE: "nothing is forbidden: it is read from the lock, if the lock tells",
        Item.TIME_ZONE: "nothing is forbidden: the lock's zone has to be configured anyway",
    }
)


@dataclass(frozen=True, slots=True)
class Missing:
    """An item that was not there, and what that forbids."""

    item: Item
    forbids: str


class Problem(Enum):
    """Why something could not be imported."""

    NOT_RECOGNISED = "not recognised"
    MISSING = "missing"
    MALFORMED = "malformed"
    NOT_SUPPORTED = "not supported"


class KeyImportError(ProtocolError):
    """A file, or a lock in it, cannot be imported.

    ``lock`` names the lock as far as it is known, ``item`` what is wrong, ``problem`` how.
    """

    def __init__(self, problem: Problem, message: str, *, item: Item | None, lock: str) -> None:
        super().__init__(f"{lock}: {message}" if lock else message)
        self.problem = problem
        self.item = item
        self.lock = lock


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedKey:
    """The keys of one lock, and what its source said besides.

    ``valid_from`` and ``valid_until`` are instants in UTC, ``None`` for no limit, and matter for a
    user's key only. ``time_zone_offset`` is the cloud's raw one, without daylight saving.
    """

    keys: LockKeys
    mac: str | None = None
    name: str | None = None
    has_version: bool = False
    features: FeatureSet | None = None
    admin_passcode: str | None = field(default=None, repr=False)
    time_zone_offset: timedelta | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    @property
    def limited_until(self) -> datetime | None:
        """When a guest's key ends; an administrator's does not, whatever is written."""
        return None if self.keys.admin_secret else self.valid_until

    @property
    def items(self) -> frozenset[Item]:
        """What is there."""
        presence = {
            Item.MAC: self.mac is not None,
            Item.AES_KEY: True,
            Item.UNLOCK_KEY: bool(self.keys.unlock_key),
            Item.ADMIN_SECRET: bool(self.keys.admin_secret),
            Item.VERSION: self.has_version,
            Item.FEATURES: self.features is not None,
            Item.ADMIN_PASSCODE: self.admin_passcode is not None,
            Item.TIME_ZONE: self.time_zone_offset is not None,
        }
        return frozenset(item for item, is_there in presence.items() if is_there)

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What is not there, worst first, with what each forbids."""
        return tuple(
            Missing(item, forbids) for item, forbids in _WITHOUT.items() if item not in self.items
        )


@dataclass(frozen=True, slots=True)
class ImportResult:
    """All locks of a file: those that were read, and why others were not."""

    found: tuple[ImportedKey, ...]
    rejected: tuple[KeyImportError, ...] = ()

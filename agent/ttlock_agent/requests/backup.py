"""Requests for backup, reset, enrolment and restore.

A passphrase travels over the control socket only: the broker would see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, field

from ttlock_agent.validation import BadValue, Id

from .passcode import Passcode
from .structs import WRITE_PATIENCE, LockRequest, Request

MIN_PASSPHRASE: Final = 10
MAX_PASSPHRASE: Final = 1024


class Passphrase:
    """10 to 1024 characters; only :attr:`text` shows them, never str or repr."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Raise ``BadValue`` for one that is too short to keep anything shut, or no text."""
        if not isinstance(text, str) or not MIN_PASSPHRASE <= len(text) <= MAX_PASSPHRASE:
            raise BadValue(
                f"must be {MIN_PASSPHRASE} to {MAX_PASSPHRASE} characters",
                hint="Take four or five words that have nothing to do with each other.",
            )
        self.text: Final = text

    def __repr__(self) -> str:
        return "Passphrase(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passphrase) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


_Backup = Annotated[
    Id,
    Meta(
        description="Id of the backup, as `backup.list` gives it.", examples=["20261120-1a2b3c4d"]
    ),
]
_Passphrase = Annotated[
    Passphrase | None,
    Meta(
        description="Opens a backup that was made with one. Over the control socket only; refused "
        "over MQTT."
    ),
]
_DryRun = Annotated[bool, Meta(description="Only say what would be done.", examples=[False])]


class BackupCreate(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read all that the lock tells into one sealed file on the agent's disk."""

    passphrase: Annotated[
        Passphrase | None,
        Meta(
            description="Seals the file; without one its key stays in the agent's vault. Over the "
            "control socket only; refused over MQTT."
        ),
    ] = None
    has_keys: Annotated[
        bool,
        Meta(
            description="Keep the lock's keys in the file, too: whoever opens it owns the lock.",
            examples=[False],
        ),
    ] = field(name="with_keys", default=False)


class BackupList(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the backups on the agent's disk; no lock is asked."""


class BackupCheck(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open a backup and say what it holds, in numbers; no lock is asked."""

    backup: _Backup
    passphrase: _Passphrase = None


class BackupVerify(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compare a backup, item by item, with what the lock holds now."""

    backup: _Backup
    passphrase: _Passphrase = None


class BackupErase(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Destroy the key of a backup and remove its file; no lock is asked."""

    backup: _Backup
    is_given_up: Annotated[
        bool,
        Meta(
            description="Erase it even if its lock was reset and not all of it is back: what it "
            "holds is given up.",
            examples=[False],
        ),
    ] = field(name="give_up", default=False)


class LockReset(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wipe the lock, behind interlocks; nothing undoes this. Ask with `dry_run` first."""

    backup: _Backup
    passphrase: _Passphrase = None
    is_dry_run: _DryRun = field(name="dry_run", default=False)
    mac_digits: Annotated[
        Annotated[
            str,
            Meta(pattern=r"^[0-9a-fA-F]{6}$(?!\n)", extra={"words": "six hexadecimal digits"}),
        ]
        | None,
        Meta(
            description="Last six digits of the lock's address, typed by a person.",
            examples=["112233"],
        ),
    ] = None
    confirm: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(
            description="The `confirm` word of the dry run: it belongs to this backup and to the "
            "list of what cannot come back.",
            examples=["3f9a1c20"],
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.is_dry_run and (self.mac_digits is None or self.confirm is None):
            raise BadValue(
                "A reset needs `mac_digits` and `confirm`.",
                hint="Ask with `dry_run` first: the answer has the word to confirm with.",
            )


class LockEnrol(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Become the administrator of a lock that was reset, for a life without the vendor's app."""

    gives_up_app: Annotated[
        bool,
        Meta(
            description="Must be true: from then on the vendor's app and the gateway hold dead "
            "keys, and only this agent can speak to the lock.",
            examples=[True],
        ),
    ]
    admin_passcode: Annotated[
        Passcode | None,
        Meta(
            description="The administrator's keypad passcode, 4 to 9 digits. Default: a random one "
            "that nobody is told, until a restore brings back the old one."
        ),
    ] = None

    @property
    def patience(self) -> timedelta:
        """Through a night, or a broken radio: nobody wants it half done."""
        return WRITE_PATIENCE

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gives_up_app:
            raise BadValue(
                "Enrolling leaves the vendor's app and the gateway with dead keys.",
                hint="To keep the app, add the lock there and use `keys import`; else confirm "
                "with `gives_up_app`: true.",
            )


class LockRestore(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put back what a backup holds, prove each item by reading back, report the rest."""

    backup: _Backup
    passphrase: _Passphrase = None
    is_dry_run: _DryRun = field(name="dry_run", default=False)
    is_other_lock: Annotated[
        bool,
        Meta(
            description="Allow another lock than the one that the backup was made of.",
            examples=[False],
        ),
    ] = field(name="onto_another_lock", default=False)
    registers_in_cloud: Annotated[
        bool | None,
        Meta(
            description="Afterwards, tell the vendor's cloud of the custom passcodes, whose list "
            "is empty after a reset. Default: if the lock has a `cloud_lock_id` and was not "
            "enrolled for a life without the app.",
            examples=[False],
        ),
    ] = field(name="register_in_cloud", default=None)

    @property
    def patience(self) -> timedelta:
        """Through a night, or a broken radio: nobody wants it half done."""
        return WRITE_PATIENCE


BACKUP_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        "backup.create": BackupCreate,
        "backup.list": BackupList,
        "backup.check": BackupCheck,
        "backup.verify": BackupVerify,
        "backup.erase": BackupErase,
        "lock.reset": LockReset,
        "lock.enrol": LockEnrol,
        "lock.restore": LockRestore,
    }
)
"""The verbs of this module."""
BENCH_VERBS: Final = frozenset(
    {
        "backup.create",
        "backup.verify",
        "lock.reset",
        "lock.enrol",
        "lock.restore",
        "lock.diagnose",
    }
)
"""Those that need a lock: jobs of the bench, not of the radio."""


def passphrase_of(params: Request) -> str | None:
    """Return the passphrase in a request, if it has one."""
    passphrase: Passphrase | None = getattr(params, "passphrase", None)
    return None if passphrase is None else passphrase.text

"""Answers what needs no lock: which backups there are, what they hold, and their end.

Files go in and out over the control socket only, sealed as they are; over MQTT travel ids and
numbers.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from ttlock_agent.backup import words
from ttlock_agent.backup.content import last_digits
from ttlock_agent.backup.file import MAX_FILE_BYTES, unpack
from ttlock_agent.backup.notes import ResetNotes
from ttlock_agent.backup.shelf import Opened, Shelf
from ttlock_agent.clock import Clock
from ttlock_agent.errors import BackupProblem, BackupUnusable, JobRejected, Rejection
from ttlock_agent.jobs.store import Journal
from ttlock_agent.keyring import decode_keys
from ttlock_agent.link.virtual import ADDRESS_PREFIX
from ttlock_agent.locks import Locks
from ttlock_agent.requests import (
    BENCH_VERBS,
    BackupCheck,
    BackupErase,
    BackupList,
    ParsedRequest,
    Passphrase,
    passphrase_of,
)
from ttlock_agent.validation import BadValue, Id

IMPORT: Final = "backup.import"
EXPORT: Final = "backup.export"
CHECK_FILE: Final = "backup.check_file"
TAKE_KEYS: Final = "backup.take_keys"
FILE_VERBS: Final = frozenset({IMPORT, EXPORT, CHECK_FILE, TAKE_KEYS})
"""Verbs of the control socket alone."""
_FILE_HINT: Final = "Use the `ttlock-agent` command of the same version as the agent."


class FileGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole backup file, and what opens it where its key is not in the vault."""

    file: Annotated[bytes, Meta(max_length=MAX_FILE_BYTES + 1)]
    passphrase: Passphrase | None = None

    def __repr__(self) -> str:
        return "FileGiven(hidden)"


class KeysWanted(FileGiven, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup with keys, and the lock of the configuration that they are for."""

    lock: Id

    def __repr__(self) -> str:
        return f"KeysWanted(lock={self.lock!r})"


class FileWanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which file to hand out."""

    backup: Id


class Desk:
    """Serves callers at once; every method may raise ``BackupUnusable`` or ``JobRejected``."""

    def __init__(self, shelf: Shelf, journal: Journal, locks: Locks, clock: Clock) -> None:
        self._shelf = shelf
        self._journal = journal
        self._locks = locks
        self._reset_notes = ResetNotes(journal, clock)

    async def answer(self, request: ParsedRequest) -> dict[str, Any] | None:
        """Return the answer, or ``None`` for a request that is for somebody else."""
        match request.params:
            case BackupList():
                return {"backups": await self._shelf.all()}
            case BackupCheck(backup=backup):
                opened = await self._shelf.open(backup, passphrase_of(request.params))
                return describe(opened)
            case BackupErase(backup=backup, is_given_up=is_given_up):
                await self._refuse_if_needed(backup)
                if not is_given_up:
                    await self._refuse_if_last(backup)
                return await self._shelf.erase(backup)
            case _:
                return None

    async def serve_file(self, verb: str, raw: msgspec.Raw) -> dict[str, Any]:
        """Take in, check or hand out a file, for the command line."""
        try:
            if verb == EXPORT:
                wanted = msgspec.json.decode(raw, type=FileWanted)
                raw_file = await self._shelf.raw(wanted.backup)
                return {"file": base64.b64encode(raw_file).decode()}
            kind = KeysWanted if verb == TAKE_KEYS else FileGiven
            given = msgspec.json.decode(raw, type=kind, dec_hook=_decode)
        except (msgspec.DecodeError, BadValue) as error:
            # Without the cause, which may quote the passphrase.
            if isinstance(error.__cause__, BadValue):
                raise BackupUnusable(
                    f"This passphrase does not open the backup: one {error.__cause__.message}.",
                    problem=BackupProblem.WRONG_PASSPHRASE,
                    hint="Type the one that the backup was made with.",
                ) from None
            raise JobRejected(
                "The call does not hold a file and what opens it.",
                reason=Rejection.INVALID,
                hint=_FILE_HINT,
            ) from None
        passphrase = None if given.passphrase is None else given.passphrase.text
        if verb == IMPORT:
            return describe(await self._shelf.keep(given.file, passphrase))
        opened = await self._shelf.open_file(given.file, passphrase)
        if isinstance(given, KeysWanted):
            await self._take_keys(given.lock, opened)
        return describe(opened)

    async def _take_keys(self, lock: str, opened: Opened) -> None:
        if opened.content.keys is None:
            raise JobRejected(
                "The backup holds no lock keys.",
                reason=Rejection.INVALID,
                hint="They are in it only if it was made `--with-keys`; else use `keys import`.",
            )
        address, digits = self._locks.address(lock), opened.header.mac_digits
        is_told = not address.startswith(ADDRESS_PREFIX) and digits != ""
        if is_told and last_digits(address) != digits:
            raise BackupUnusable(
                f"The backup is of a lock whose address ends in {digits}; {lock} has {address}.",
                problem=BackupProblem.OTHER_LOCK,
                hint="The keys would not fit: name the lock in the config that they are for.",
            )
        await self._locks.put_keys(lock, decode_keys(msgspec.json.encode(opened.content.keys)))

    async def _refuse_if_last(self, backup: str) -> None:
        try:
            lock = unpack(await self._shelf.raw(backup)).header.lock
        except BackupUnusable:
            return  # nothing can be restored from it
        if await self._reset_notes.is_needed(lock, backup):
            raise JobRejected(
                f"Lock {lock} was reset, and not all of this backup is back in it.",
                reason=Rejection.CONFLICT,
                hint="Run `restore` first; if nothing of it is wanted any more, erase it with"
                " `give_up` (`--give-up`).",
            )

    async def _refuse_if_needed(self, backup: str) -> None:
        for job in await self._journal.open_jobs():
            needs_it = (
                job.verb in BENCH_VERBS and msgspec.json.decode(job.params).get("backup") == backup
            )
            if needs_it:
                raise JobRejected(
                    "A job that is not over needs this backup.",
                    reason=Rejection.CONFLICT,
                    hint="Wait until it is, or give it up with `job.cancel`; see `status`.",
                )


def describe(opened: Opened) -> dict[str, Any]:
    """Return what a backup is and holds, without a secret."""
    return words.summary(opened.header) | {
        "taken_at": opened.content.taken_at.isoformat(timespec="seconds"),
        "model": opened.content.lock.model,
        "firmware": opened.content.lock.firmware,
        "fingerprints": words.fingerprints(opened.content.fingerprints),
        "not_in_backup": words.not_read(opened.content),
    }


def _decode(kind: type, raw: Any) -> object:
    return kind(raw)

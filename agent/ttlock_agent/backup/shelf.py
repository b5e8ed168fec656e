"""The backups that this agent keeps: files in its state directory, keys in its vault."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from ttlock_agent import __version__
from ttlock_agent.backup.content import Content
from ttlock_agent.backup.file import (
    MAX_FILE_BYTES,
    BackupFile,
    Header,
    PassphraseWrapped,
    VaultHeld,
    pack,
    unpack,
    unwrap_key,
    wrap_key,
)
from ttlock_agent.backup.words import summary
from ttlock_agent.errors import BackupProblem, BackupUnusable
from ttlock_agent.jobs.store import Journal
from ttlock_agent.validation import Id
from ttlock_agent.vault import DataKey, RandomBytes, ScryptCost

DIRECTORY: Final = "backups"
SUFFIX: Final = ".ttlock-backup"
_DESTROYED: Final = b""
"""Stands in the vault where a key was: an erased backup is told from one of another agent."""
_COPIES_SEALED: Final = (
    "Copies of the file stay sealed for ever, unless somebody also has a copy of this agent's"
    " state directory from before, with its vault key."
)
_COPIES_OPEN: Final = (
    "Copies of the file, taken with --output or from this machine, still open with the passphrase."
)
_MEDIUM: Final = (
    "An SD card keeps what was overwritten until it uses the place again, which nobody can see."
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A backup whose content could be read."""

    header: Header
    content: Content


class Shelf:
    """Writes, lists, opens and erases backups. Every method may raise ``BackupUnusable``."""

    def __init__(
        self,
        state_directory: Path,
        journal: Journal,
        *,
        cost: ScryptCost | None = None,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._directory = state_directory / DIRECTORY
        self._journal = journal
        self._cost = cost or ScryptCost()
        self._random_bytes = random_bytes

    async def put(
        self,
        content: Content,
        *,
        backup: str,
        created_at: datetime,
        lock: str,
        passphrase: str | None,
    ) -> Opened:
        """Write a backup, read it back from the disk, and return what was read."""
        data_key = DataKey.new(self._random_bytes)
        key: VaultHeld | PassphraseWrapped = VaultHeld()
        if passphrase is None:
            # Before the file: one without a key would be worth nothing, the reverse does no harm.
            await self._journal.put_secret(_secret(backup), data_key.value)
        else:
            key = await asyncio.to_thread(
                wrap_key, data_key, passphrase, cost=self._cost, random_bytes=self._random_bytes
            )
        raw = pack(
            content,
            backup=backup,
            created_at=created_at,
            agent_version=__version__,
            lock=lock,
            data_key=data_key,
            key=key,
            random_bytes=self._random_bytes,
        )
        await asyncio.to_thread(_write, self.path(backup), raw)
        opened = await self.open(backup, passphrase)
        if opened.content != content:
            raise BackupUnusable(
                "The backup does not read back as it was written.", problem=BackupProblem.DAMAGED
            )
        return opened

    async def keep(self, raw: bytes, passphrase: str | None) -> Opened:
        """Take in a file from elsewhere, once it has been opened."""
        opened = await self.open_file(raw, passphrase)
        path = self.path(opened.header.backup)
        if path.exists() and await asyncio.to_thread(path.read_bytes) != raw:
            raise BackupUnusable(
                "Another backup of the same id is here already, and differs.",
                problem=BackupProblem.NOT_WRITABLE,
                hint="Erase the one that is here, if it is not wanted any more.",
            )
        await asyncio.to_thread(_write, path, raw)
        return opened

    async def raw(self, backup: str) -> bytes:
        """Return a file as it is; what it holds stays sealed."""
        return await asyncio.to_thread(_read, self.path(backup))

    async def open(self, backup: str, passphrase: str | None) -> Opened:
        """Return what a backup holds."""
        return await self.open_file(await self.raw(backup), passphrase)

    async def open_file(self, raw: bytes, passphrase: str | None) -> Opened:
        """Return what a file from anywhere holds."""
        found = unpack(raw)
        key = await self._key(found, passphrase)
        return Opened(found.header, await asyncio.to_thread(found.open, key))

    async def all(self) -> list[dict[str, Any]]:
        """Say of each file what it is, or why it is nothing; the youngest first."""
        return await asyncio.to_thread(lambda: sorted(
            self._describe(), key=lambda each: str(each.get("created_at", "")), reverse=True
        ))  # fmt: skip

    async def erase(self, backup: str) -> dict[str, Any]:
        """Destroy the key and remove the file; say what that cannot promise."""
        held = await self._journal.secret(_secret(backup))
        path = self.path(backup)
        has_file = await asyncio.to_thread(path.exists)
        if held is None and not has_file:
            raise _not_found()
        if held:
            await self._journal.put_secret(_secret(backup), _DESTROYED)
            # The journal overwrites what it deletes; its log still holds it until it is swept.
            await self._journal.sweep()
        if has_file:
            await asyncio.to_thread(_remove, path)
        return {
            "backup": backup,
            "is_key_destroyed": held is not None,
            "is_file_removed": has_file,
            "cannot_promise": [_COPIES_OPEN if held is None else _COPIES_SEALED, _MEDIUM],
        }

    def path(self, backup: str) -> Path:
        """Return where the file of a backup is."""
        # An id comes from a caller, and becomes a file name.
        msgspec.convert(backup, Id)
        return self._directory / f"{backup}{SUFFIX}"

    async def _key(self, found: BackupFile, passphrase: str | None) -> DataKey:
        wrapped = found.header.key
        if isinstance(wrapped, PassphraseWrapped):
            if passphrase is None:
                raise BackupUnusable(
                    "This backup needs its passphrase.",
                    problem=BackupProblem.PASSPHRASE_NEEDED,
                    hint="Use the command line: passphrases never travel over MQTT.",
                )
            return await asyncio.to_thread(unwrap_key, wrapped, passphrase)
        held = await self._journal.secret(_secret(found.header.backup))
        if not held:
            raise BackupUnusable(
                "The key of this backup was destroyed."
                if held == _DESTROYED
                else "The key of this backup is not in this agent's vault.",
                problem=BackupProblem.KEY_GONE,
                hint="Only the agent that made it can open it, and only until it is erased.",
            )
        return DataKey(held)

    def _describe(self) -> Iterator[dict[str, Any]]:
        for path in self._directory.glob(f"*{SUFFIX}"):
            try:
                yield summary(unpack(_read(path)).header)
            except BackupUnusable as error:
                yield {"backup": path.name.removesuffix(SUFFIX), "problem": error.code}


def _secret(backup: str) -> str:
    return f"backup-key/{backup}"


def _not_found() -> BackupUnusable:
    return BackupUnusable(
        "There is no backup of that id here.",
        problem=BackupProblem.NOT_FOUND,
        hint="`ttlock-agent backup list` shows those there are.",
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise _not_found() from None
    except OSError as error:
        raise _disk(path, "read", error) from error


def _write(path: Path, raw: bytes) -> None:
    """Put the file there whole or not at all, and on the disk when this returns."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise _disk(path, "written", error) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise _disk(path, "removed", error) from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk(path: Path, verb: str, error: OSError) -> BackupUnusable:
    return BackupUnusable(
        f"The backup {path} cannot be {verb}: {error.strerror}.",
        problem=BackupProblem.NOT_WRITABLE,
        hint="Check free space and permissions of the state directory; nothing was changed.",
    )

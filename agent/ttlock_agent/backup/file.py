"""The sealed file around a backup: it says what it is, and shows nothing of what it holds.

::

    ttlock-agent backup                 one line, the same in every version
    {"format": 1, "backup": ...}        one line of JSON, readable by anybody
    <nonce, AES-256-GCM, tag>           the content, with both lines as associated data
    <SHA-256 of all that>               32 bytes

Each file has a data key of its own, wrapped by a passphrase or kept in the agent's vault. The sum
at the end protects nothing: it tells damage from a wrong key, so that people hear the truth. It
stands there in every version, so that a newer one is told from a damaged one as well.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, NoReturn

import msgspec
from msgspec import Meta, Struct

from ttlock_agent.backup.content import Content, Holds, decode_content, encode_content
from ttlock_agent.errors import BackupProblem, BackupUnusable, VaultError
from ttlock_agent.validation import Id
from ttlock_agent.vault import (
    SALT_BYTES,
    SEALED_BYTES,
    DataKey,
    RandomBytes,
    ScryptCost,
    passphrase_key,
)

MAGIC: Final = b"ttlock-agent backup\n"
FORMAT: Final = 1
MAX_FILE_BYTES: Final = 512 * 1024
"""A thousand cards and a full list of passcodes take a third of it; as Base64 it fits one line of
the control socket."""
MAX_HEADER_BYTES: Final = 8 * 1024
_SUM_BYTES: Final = 32
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)
_COPY_HINT: Final = "Take another copy of the file; this one lost something on its way."


class VaultHeld(Struct, frozen=True, kw_only=True, tag_field="kind", tag="vault"):
    """The key lies in the vault of the agent that made the file."""


class PassphraseWrapped(Struct, frozen=True, kw_only=True, tag_field="kind", tag="passphrase"):
    """The key lies in the file, sealed with a key from a passphrase by scrypt."""

    n: int
    r: int
    p: int
    salt: bytes
    wrapped_key: bytes

    def __repr__(self) -> str:
        return "PassphraseWrapped(hidden)"


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What anybody may read."""

    format: int
    backup: Id
    created_at: Annotated[datetime, Meta(tz=True)]
    agent_version: str
    lock: Id
    mac_digits: Annotated[str, Meta(pattern=r"^([0-9A-F]{6})?$(?!\n)")]
    """The last six of the lock's address; empty when the lock did not tell it."""
    holds: Holds
    key: VaultHeld | PassphraseWrapped
    sealed_bytes: int


class _AnyHeader(Struct, frozen=True):
    format: int = FORMAT
    sealed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A whole file whose content is still sealed."""

    header: Header
    _about: bytes
    _sealed: bytes

    def open(self, key: DataKey) -> Content:
        """Return the content; raises ``BackupUnusable`` for another key or a forged file."""
        try:
            return decode_content(key.open(self._about, self._sealed))
        except (VaultError, *_UNREADABLE):
            # Without the cause: it may quote what it read.
            raise _damaged("Its content does not fit its key.") from None


def wrap_key(
    key: DataKey,
    passphrase: str,
    *,
    cost: ScryptCost | None = None,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> PassphraseWrapped:
    """Seal ``key`` with a passphrase; blocks for a moment."""
    cost = cost or ScryptCost()
    salt = random_bytes(SALT_BYTES)
    wrapping = passphrase_key(passphrase, salt, cost)
    return PassphraseWrapped(
        n=cost.n,
        r=cost.r,
        p=cost.p,
        salt=salt,
        wrapped_key=wrapping.seal(MAGIC, key.value, random_bytes=random_bytes),
    )


def unwrap_key(wrapped: PassphraseWrapped, passphrase: str) -> DataKey:
    """Open what :func:`wrap_key` sealed; blocks for a moment. Raises ``BackupUnusable``."""
    try:
        cost = ScryptCost(n=wrapped.n, r=wrapped.r, p=wrapped.p)
    except VaultError:
        raise BackupUnusable(
            "The backup asks for more memory or time than a passphrase should cost.",
            problem=BackupProblem.PASSPHRASE_TOO_COSTLY,
            hint="This agent never writes such a file: ask where it comes from.",
        ) from None
    try:
        return DataKey(passphrase_key(passphrase, wrapped.salt, cost).open(
            MAGIC, wrapped.wrapped_key
        ))  # fmt: skip
    except VaultError:
        raise BackupUnusable(
            "The passphrase does not open this backup.",
            problem=BackupProblem.WRONG_PASSPHRASE,
            hint="Type it once more; nobody can open the backup without it.",
        ) from None


def pack(
    content: Content,
    *,
    backup: str,
    created_at: datetime,
    agent_version: str,
    lock: str,
    data_key: DataKey,
    key: VaultHeld | PassphraseWrapped,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> bytes:
    """Return the file of ``content``; raises ``BackupUnusable`` when it would be too large."""
    plain = encode_content(content)
    header = Header(
        format=FORMAT,
        backup=backup,
        created_at=created_at,
        agent_version=agent_version,
        lock=lock,
        mac_digits=content.lock.mac_digits,
        holds=Holds.of(content),
        key=key,
        sealed_bytes=SEALED_BYTES + len(plain),
    )
    about = MAGIC + msgspec.json.encode(header) + b"\n"
    body = about + data_key.seal(about, plain, random_bytes=random_bytes)
    whole = body + _sum(body)
    if len(whole) > MAX_FILE_BYTES:
        raise _too_large()
    return whole


def unpack(raw: bytes) -> BackupFile:
    """Read a file as far as that goes without its key; raises ``BackupUnusable``."""
    if len(raw) > MAX_FILE_BYTES:
        raise _too_large()
    if not raw.startswith(MAGIC):
        if MAGIC.startswith(raw):
            raise _truncated()
        raise BackupUnusable(
            "This is no backup of ttlock-agent, or its first line is damaged.",
            problem=BackupProblem.NOT_A_BACKUP,
            hint="Backups begin with the line `ttlock-agent backup`.",
        )
    body, their_sum = raw[:-_SUM_BYTES], raw[-_SUM_BYTES:]
    end = raw.find(b"\n", len(MAGIC), len(MAGIC) + MAX_HEADER_BYTES)
    line = raw[len(MAGIC) : end] if end >= 0 else b""
    if _sum(body) != their_sum:
        _refuse_broken(raw, line, end)
    try:
        if msgspec.json.decode(line, type=_AnyHeader).format > FORMAT:
            raise BackupUnusable(
                "The backup was made by a newer agent.",
                problem=BackupProblem.NEWER_FORMAT,
                hint="Use an agent at least as new as the one in the file's second line.",
            )
        header = msgspec.json.decode(line, type=Header)
    except _UNREADABLE:
        raise _damaged("Its second line cannot be read.") from None
    return BackupFile(header, body[: end + 1], body[end + 1 :])


def _refuse_broken(raw: bytes, line: bytes, end: int) -> NoReturn:
    if end < 0 and len(raw) < len(MAGIC) + MAX_HEADER_BYTES:
        raise _truncated()
    try:
        expected = msgspec.json.decode(line, type=_AnyHeader).sealed_bytes
    except _UNREADABLE:
        expected = None
    if expected is not None and len(raw) < end + 1 + expected + _SUM_BYTES:
        raise _truncated()
    raise _damaged("Some of it changed since it was written.")


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def _too_large() -> BackupUnusable:
    return BackupUnusable(
        f"A backup has at most {MAX_FILE_BYTES // 1024} KiB.",
        problem=BackupProblem.TOO_LARGE,
        hint="No lock holds as much: this is another file, or the lock's list is nonsense.",
    )


def _truncated() -> BackupUnusable:
    return BackupUnusable(
        "The backup is cut off.", problem=BackupProblem.TRUNCATED, hint=_COPY_HINT
    )


def _damaged(why: str) -> BackupUnusable:
    return BackupUnusable(
        f"The backup is damaged. {why}", problem=BackupProblem.DAMAGED, hint=_COPY_HINT
    )

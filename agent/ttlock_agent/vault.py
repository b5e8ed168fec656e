"""Sealing of passcodes, keys and parameters, so that the journal alone tells nobody anything.

One 32-byte master key, from the systemd credential ``vault-key`` or else from a file that is made
at the first start. What uses it is derived by HKDF-SHA256, one key per duty. AES-256-GCM seals; the
*purpose* of a value is its associated data, so a blob moved to another row no longer opens.

What leaves the machine (a backup) is sealed with a :class:`DataKey` of its own, which the vault
keeps or a passphrase wraps (scrypt, which costs a guesser memory).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

import structlog
from Crypto.Cipher import AES  # noqa: TID251 - the vault is the agent's one user of cryptography
from Crypto.Hash import SHA256  # noqa: TID251 - as above
from Crypto.Protocol.KDF import HKDF  # noqa: TID251 - as above

from ttlock_agent.errors import JournalError, JournalProblem, VaultError

CREDENTIAL_NAME = "vault-key"
KEY_FILE_NAME = "vault.key"
KEY_BYTES = 32

_BLOB_VERSION = 1
_NONCE_BYTES = 12
"""96 bits, the length GCM is made for; random nonces are safe up to 2**32 blobs per key."""
_TAG_BYTES = 16
SEALED_BYTES = _NONCE_BYTES + _TAG_BYTES
"""How much longer than its content a sealed value is."""
SALT_BYTES = 16
MAX_SCRYPT_BYTES = 64 * 1024 * 1024
"""Memory that one passphrase may cost: more than we write, little enough for the smallest Pi."""
_MAX_SCRYPT_LANES = 4
_MAX_SCRYPT_BLOCK = 32

log = structlog.get_logger()

RandomBytes = Callable[[int], bytes]
"""Returns that many unpredictable bytes."""


class KeySource(StrEnum):
    """Where the master key came from."""

    CREDENTIAL = "credential"
    FILE = "file"
    NEW_FILE = "new_file"
    """A key file made by this very call: worth a warning, because a copy of the disk holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKey:
    """The key all others are derived from."""

    value: bytes = field(repr=False)
    source: KeySource

    def __post_init__(self) -> None:
        if len(self.value) != KEY_BYTES:
            raise VaultError(f"A vault key has {KEY_BYTES} bytes; this one has {len(self.value)}.")


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that seals one thing; 32 bytes."""

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) != KEY_BYTES:
            raise VaultError(f"A data key has {KEY_BYTES} bytes; this one has {len(self.value)}.")

    @classmethod
    def new(cls, random_bytes: RandomBytes = secrets.token_bytes) -> Self:
        """Make a key that nobody can guess."""
        return cls(random_bytes(KEY_BYTES))

    def seal(
        self, about: bytes, plain: bytes, *, random_bytes: RandomBytes = secrets.token_bytes
    ) -> bytes:
        """Encrypt ``plain``; it opens with the same ``about`` only, which stays readable."""
        nonce = random_bytes(_NONCE_BYTES)
        cipher = AES.new(self.value, AES.MODE_GCM, nonce=nonce, mac_len=_TAG_BYTES)
        cipher.update(about)
        encrypted, tag = cipher.encrypt_and_digest(plain)
        return nonce + encrypted + tag

    def open(self, about: bytes, sealed: bytes) -> bytes:
        """Decrypt what :meth:`seal` made; raises ``VaultError`` for anything else."""
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:-_TAG_BYTES]
        try:
            cipher = AES.new(self.value, AES.MODE_GCM, nonce=nonce, mac_len=_TAG_BYTES)
            cipher.update(about)
            return cipher.decrypt_and_verify(encrypted, sealed[-_TAG_BYTES:])
        except ValueError:
            raise VaultError("A sealed value does not open: another key, or changed.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScryptCost:
    """What one guess at a passphrase costs: ``128 * n * r`` bytes, ``p`` times over.

    Raises ``VaultError`` for what scrypt cannot do, and for more than this machine should spend on
    a file that somebody else may have written.
    """

    n: int = 1 << 15
    """32 MiB with the block below: a fifth of a second on a Pi 4."""
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        is_possible = (
            self.n > 1
            and self.n & (self.n - 1) == 0
            and 1 <= self.r <= _MAX_SCRYPT_BLOCK
            and 1 <= self.p <= _MAX_SCRYPT_LANES
        )
        if not is_possible or 128 * self.n * self.r > MAX_SCRYPT_BYTES:
            raise VaultError("The passphrase would cost more memory or time than is allowed.")


def passphrase_key(passphrase: str, salt: bytes, cost: ScryptCost) -> DataKey:
    """Return the key that ``passphrase`` stands for; blocks for as long as ``cost`` says."""
    # The same letters may be typed in two ways; they are one passphrase.
    typed = unicodedata.normalize("NFC", passphrase).encode()
    key = hashlib.scrypt(
        typed,
        salt=salt,
        n=cost.n,
        r=cost.r,
        p=cost.p,
        # Besides the large table scrypt needs a block for each lane: what is allowed is above.
        maxmem=2 * MAX_SCRYPT_BYTES,
        dklen=KEY_BYTES,
    )
    return DataKey(key)


class Vault:
    """Seals, opens and fingerprints bytes. Thread-safe."""

    def __init__(self, key: MasterKey, *, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        self._seal_key = DataKey(_derive(key, b"ttlock-agent seal 1"))
        self._hash_key = _derive(key, b"ttlock-agent keyed hash 1")
        self._random_bytes = random_bytes

    def seal(self, purpose: str, plain: bytes) -> bytes:
        """Encrypt ``plain``; it opens with the same ``purpose`` only. The length stays visible."""
        sealed = self._seal_key.seal(
            _associated_data(purpose), plain, random_bytes=self._random_bytes
        )
        return bytes([_BLOB_VERSION]) + sealed

    def open(self, purpose: str, blob: bytes) -> bytes:
        """Decrypt what :meth:`seal` made.

        Raises ``VaultError`` for another key, another purpose, a changed or an unknown blob.
        """
        if len(blob) < 1 + SEALED_BYTES or blob[0] != _BLOB_VERSION:
            raise VaultError(f"The value sealed for {purpose!r} has no form this version knows.")
        try:
            return self._seal_key.open(_associated_data(purpose), blob[1:])
        except VaultError:
            raise VaultError(
                f"The value sealed for {purpose!r} does not open: another key, or changed on disk."
            ) from None

    def keyed_hash(self, purpose: str, data: bytes) -> bytes:
        """Fingerprint (HMAC-SHA256) that tells nothing about ``data`` to whoever lacks the key."""
        named = purpose.encode()
        return hmac.digest(self._hash_key, len(named).to_bytes(4, "big") + named + data, "sha256")


def load_master_key(
    state_directory: Path,
    credentials_directory: Path | None,
    *,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> MasterKey:
    """Return the systemd credential, else the key file, which is made if it does not exist.

    ``credentials_directory`` is the value of ``$CREDENTIALS_DIRECTORY``, if set. Raises
    ``VaultError`` for a key of the wrong size, or a key file that others may read.
    """
    if credentials_directory is not None:
        # No look at the mode here: systemd grants access by an ACL, which shows as group bits.
        credential = _read_if_exists(credentials_directory / CREDENTIAL_NAME, must_be_private=False)
        if credential is not None:
            return MasterKey(value=credential, source=KeySource.CREDENTIAL)
    path = state_directory / KEY_FILE_NAME
    source = KeySource.FILE
    value = _read_if_exists(path, must_be_private=True)
    if value is None:
        source = KeySource.NEW_FILE if _create(path, random_bytes) else KeySource.FILE
        value = _read_if_exists(path, must_be_private=True)
    if value is None:
        raise VaultError(f"The key file {path} vanished while it was read.")
    return MasterKey(value=value, source=source)


def open_vault(state_directory: Path) -> tuple[Vault, KeySource]:
    """Return the vault of an agent and where its key came from; the directory is made if need be.

    Raises ``VaultError``, or ``JournalError`` for a directory that cannot be made.
    """
    try:
        state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"The state directory {state_directory} cannot be made: {error.strerror}.",
            problem=JournalProblem.NOT_WRITABLE,
        ) from error
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    key = load_master_key(state_directory, Path(credentials) if credentials else None)
    if key.source is not KeySource.CREDENTIAL:
        log.warning(
            "vault_key_beside_its_vault",
            source=key.source.value,
            hint="Whoever copies the state directory copies the key; see LoadCredentialEncrypted=.",
        )
    return Vault(key), key.source


def _derive(key: MasterKey, duty: bytes) -> bytes:
    return HKDF(key.value, KEY_BYTES, b"", SHA256, context=duty)


def _associated_data(purpose: str) -> bytes:
    return bytes([_BLOB_VERSION]) + purpose.encode()


def _read_if_exists(path: Path, *, must_be_private: bool) -> bytes | None:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if must_be_private and mode & 0o077:
                raise VaultError(
                    f"The key file {path} has mode {mode:04o}: others can read or change it.",
                    hint=f"Run `chmod 0400 {path}`, and think about who may have read it.",
                )
            value = file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VaultError(f"The vault key {path} cannot be read: {error.strerror}.") from error
    if len(value) != KEY_BYTES:
        raise VaultError(
            f"The vault key {path} must have exactly {KEY_BYTES} raw bytes.",
            hint="Restore it from a copy; for a new one use `openssl rand 32`, raw, not hex.",
        )
    return value


def _create(path: Path, random_bytes: RandomBytes) -> bool:
    """Make the key file whole or not at all; False if somebody else made it at the same moment."""
    draft = path.with_name(f".{path.name}.{random_bytes(8).hex()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
            file.write(random_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            # Unlike a rename, a link never replaces a key that another process just made; unlike
            # O_EXCL on the name itself, it leaves no half-written key after a power cut.
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
            _sync_directory(path.parent)
    except OSError as error:
        raise VaultError(
            f"The key file {path} cannot be made: {error.strerror}.",
            hint="Check that the state directory exists, has free space and belongs to the agent.",
        ) from error
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

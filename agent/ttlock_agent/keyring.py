"""The keys of the locks: read from what the owner gives us, kept sealed in the journal."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ttlock_agent.errors import ConfigError
from ttlock_agent.jobs.store import Journal
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import MAX_U24, MAX_U32, LockKeys

U32 = Annotated[int, Meta(ge=0, le=MAX_U32)]
U16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
U8 = Annotated[int, Meta(ge=0, le=0xFF)]


class StoredVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version fields of the lock's frames."""

    protocol_type: U8 = 5
    protocol_version: U8 = 3
    scene: U8 = 2
    group: U16 = 1
    organisation: U16 = 1


class StoredKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lock keys as the agent itself writes them down."""

    aes_key: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{32}$(?!\n)")]
    admin_secret: U32 = 0
    unlock_key: U32 = 0
    lock_flag_position: Annotated[int, Meta(ge=0, le=MAX_U24)] = 0
    user_id: U32 = 0
    version: StoredVersion = StoredVersion()

    def __repr__(self) -> str:
        return "StoredKeys(hidden)"


MAX_FORMER: Final = 8
"""Former keys of a lock that are kept: a few mistakes in a row, each costing a look later."""
_HINT: Final = "Write a JSON object with aes_key (32 hexadecimal digits), admin_secret, unlock_key."


def encode_keys(keys: LockKeys) -> bytes:
    """Return ``keys`` as JSON; that text is a secret."""
    version = keys.version
    return msgspec.json.encode(
        StoredKeys(
            aes_key=keys.aes_key.hex(),
            admin_secret=keys.admin_secret,
            unlock_key=keys.unlock_key,
            lock_flag_position=keys.lock_flag_position,
            user_id=keys.user_id,
            version=StoredVersion(
                protocol_type=version.protocol_type,
                protocol_version=version.protocol_version,
                scene=version.scene,
                group=version.group,
                organisation=version.organisation,
            ),
        )
    )


def decode_keys(text: bytes | str) -> LockKeys:
    """Read what :func:`encode_keys` writes; raises ``ConfigError``, never with a value in it."""
    try:
        stored = msgspec.json.decode(text, type=StoredKeys)
        return LockKeys(
            aes_key=bytes.fromhex(stored.aes_key),
            admin_secret=stored.admin_secret,
            unlock_key=stored.unlock_key,
            lock_flag_position=stored.lock_flag_position,
            user_id=stored.user_id,
            version=Version(**msgspec.structs.asdict(stored.version)),
        )
    except (msgspec.DecodeError, LocalProtocolError, UnicodeDecodeError):
        # Without the cause: it may quote what it could not read.
        raise ConfigError("These are no lock keys.", hint=_HINT) from None


class Keyring:
    """Keys by lock id, in the journal's vault."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def get(self, lock: str) -> LockKeys | None:
        """Return the keys of ``lock``, if they were put and not retired since."""
        return await self._keys(f"lock-keys/{lock}")

    async def put(self, lock: str, keys: LockKeys) -> None:
        """Use these keys for ``lock`` from now on; those before become former ones."""
        await self._replace(lock, keys)

    async def retire(self, lock: str) -> None:
        """Use no keys for ``lock`` any more: it was reset."""
        await self._replace(lock, None)

    async def former(self, lock: str) -> tuple[LockKeys, ...]:
        """Return keys that were used for ``lock`` before, the last ones first.

        They are all that opens the lock if it was never reset after all, or if the keys that took
        their place are those of another lock.
        """
        text = await self._journal.secret(f"lock-keys-former/{lock}")
        entries = msgspec.json.decode(text, type=tuple[msgspec.Raw, ...]) if text else ()
        return tuple(decode_keys(bytes(entry)) for entry in entries)

    async def pending(self, lock: str) -> LockKeys | None:
        """Return keys that an enrolment has made and not proved yet.

        They stay until others are proved or made: who makes keys has heard from the lock that it
        is in setting mode, while one that does not take these may have misheard.
        """
        return await self._keys(f"lock-keys-pending/{lock}")

    async def put_pending(self, lock: str, keys: LockKeys | None) -> None:
        """Keep keys the moment they exist; ``None`` once they are proved."""
        text = _NONE if keys is None else encode_keys(keys)
        await self._journal.put_secret(f"lock-keys-pending/{lock}", text)

    async def take_configured(self, lock: str, keys: LockKeys) -> None:
        """Keep keys that the configuration names, unless they are those it named before.

        Else a restart would bring back the keys from before a reset.
        """
        name = f"lock-keys-configured/{lock}"
        if await self._keys(name) != keys:
            await self.put(lock, keys)
            await self._journal.put_secret(name, encode_keys(keys))

    async def _replace(self, lock: str, keys: LockKeys | None) -> None:
        before = await self.get(lock)
        if before is not None and before != keys:
            # First, so that at no moment they are nowhere.
            others = (each for each in await self.former(lock) if each != before)
            kept = [before, *others][:MAX_FORMER]
            entries = [msgspec.Raw(encode_keys(each)) for each in kept]
            await self._journal.put_secret(f"lock-keys-former/{lock}", msgspec.json.encode(entries))
        text = _NONE if keys is None else encode_keys(keys)
        await self._journal.put_secret(f"lock-keys/{lock}", text)

    async def _keys(self, name: str) -> LockKeys | None:
        text = await self._journal.secret(name)
        return decode_keys(text) if text else None


_NONE: Final = b""
"""Stands where keys were: the journal keeps names for ever."""

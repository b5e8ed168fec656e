"""Locks that did not exist before: paired with made-up keys, or as they leave the factory."""

from __future__ import annotations

import json
import os
import secrets
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final

from ttlock_agent.errors import ConfigError
from ttlock_protocol.cipher import KEY_BYTES
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.procedures.ownership import MAX_SECRET
from ttlock_protocol.virtual import new_factory_lock, new_lock

from .main import create_state

_RANDOM_ADDRESS: Final = 0xC0
"""The two upper bits of a random static address, which no maker owns."""
_PASSCODE_SPAN: Final = 10_000_000
"""Seven digits, as other clients choose."""


def create_paired_lock(state: Path, keys: Path, *, now: datetime, zone: tzinfo) -> None:
    """Make up a lock and its keys, which ``keys import`` and the configuration read from ``keys``.

    The administrator's passcode is in that file, too. Raises ``ConfigError`` when one of the files
    is there already or cannot be written.
    """
    address, name = _identity()
    made_up = LockKeys(
        aes_key=secrets.token_bytes(KEY_BYTES),
        admin_secret=1 + secrets.randbelow(MAX_SECRET),
        unlock_key=1 + secrets.randbelow(MAX_SECRET),
    )
    admin_passcode = f"{secrets.randbelow(_PASSCODE_SPAN):07}"
    content = {
        "name": name,
        "mac": address,
        "aes_key": made_up.aes_key.hex(),
        "admin_secret": made_up.admin_secret,
        "unlock_key": made_up.unlock_key,
        "admin_passcode": admin_passcode,
    }
    try:
        descriptor = os.open(keys, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"The key file {keys} cannot be made: {error.strerror}.",
            hint="Name a file that is not there yet.",
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
    try:
        create_state(
            state,
            new_lock(
                mac=address,
                name=name,
                keys=made_up,
                now=now,
                zone=zone,
                admin_passcode=admin_passcode,
            ),
        )
    except BaseException:
        keys.unlink()
        raise


def create_factory_lock(state: Path, *, now: datetime, zone: tzinfo) -> None:
    """Make up a lock in setting mode; raises ``ConfigError`` when ``state`` is there already."""
    address, name = _identity()
    create_state(state, new_factory_lock(mac=address, name=name, now=now, zone=zone))


def _identity() -> tuple[str, str]:
    """Return an address and the name that a lock makes of it (reference 1.1)."""
    octets = bytearray(secrets.token_bytes(6))
    octets[0] |= _RANDOM_ADDRESS
    return octets.hex(":").upper(), f"S999_{octets[:-4:-1].hex()}"

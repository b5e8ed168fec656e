"""Every message of the protocol that has a known layout, one module a subject.

Importing this package fills the registry of :mod:`ttlock_protocol.message`.
"""

from __future__ import annotations

from . import (
    admin,
    auth,
    cards,
    clock,
    device,
    fingerprints,
    log,
    operate,
    pairing,
    passage,
    passcodes,
    rare,
    schedules,
    settings,
)

__all__ = [
    "admin",
    "auth",
    "cards",
    "clock",
    "device",
    "fingerprints",
    "log",
    "operate",
    "pairing",
    "passage",
    "passcodes",
    "rare",
    "schedules",
    "settings",
]

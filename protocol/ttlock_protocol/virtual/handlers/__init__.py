"""What the lock does on each request, one module a subject.

Importing this package fills the registry of :mod:`ttlock_protocol.virtual.visit`.
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

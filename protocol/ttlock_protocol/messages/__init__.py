"""Every message of the protocol that has a known layout, one module a subject.

Importing this package fills the registry of :mod:`ttlock_protocol.message`.
"""

from __future__ import annotations

from . import auth, clock, log, operate, passcodes

__all__ = ["auth", "clock", "log", "operate", "passcodes"]

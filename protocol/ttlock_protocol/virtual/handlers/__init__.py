"""What the lock does on each request, one module a subject.

Importing this package fills the registry of :mod:`ttlock_protocol.virtual.visit`.
"""

from __future__ import annotations

from . import auth, clock, log, operate, passcodes

__all__ = ["auth", "clock", "log", "operate", "passcodes"]

"""A lock made of memory: the other role of the same messages, with a keypad and scripted faults.

``memory``      what the lock remembers, as values
``storage``     the memory as JSON
``sayable``     what a memory may hold, so that no conversation breaks on it
``body``        bolt, clock, battery, log
``keypad``      typing, judged by the lock's own clock
``windows``     validity against the lock's own clock
``handlers``    what each request does
``connection``  frames, keys, permissions, answers
``faults``      what goes wrong on the way, as data
``lock``        the whole
``factory``     a new paired lock, or one as it leaves the factory
"""

from __future__ import annotations

from .factory import new_factory_lock, new_lock
from .faults import Fault, FaultAction, FaultPlan, FaultPoint, Faults
from .keypad import KeypadReason, KeypadResult
from .lock import HangUp, NotConnectable, Notify, Output, VirtualLock
from .memory import Memory, StoredPasscode
from .storage import (
    StateError,
    dump_memory,
    load_fault_plan,
    load_memory,
    plain_to_memory,
    to_plain,
)

__all__ = [
    "Fault",
    "FaultAction",
    "FaultPlan",
    "FaultPoint",
    "Faults",
    "HangUp",
    "KeypadReason",
    "KeypadResult",
    "Memory",
    "NotConnectable",
    "Notify",
    "Output",
    "StateError",
    "StoredPasscode",
    "VirtualLock",
    "dump_memory",
    "load_fault_plan",
    "load_memory",
    "new_factory_lock",
    "new_lock",
    "plain_to_memory",
    "to_plain",
]

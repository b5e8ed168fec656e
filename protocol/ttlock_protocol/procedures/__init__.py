"""Flows of several requests, without I/O: generators that yield what to send.

Each step is a request, or :class:`Await` for one more answer to the request before it; enrolling
yields :class:`KeysExist` besides. The driver sends the response back in, or throws what ended the
step: ``CommandRefused``, and :class:`NoAnswer` or :class:`LinkDropped` where it wants the flow to
decide what silence means. Whoever has a session can drive them: the agent over Bluetooth, a test
over nothing at all.

``core``         steps, authentication, unlock and lock
``lists``        passcodes, cards, fingerprints, passage entries, the log
``learning``     cards and fingers that the lock waits for
``information``  what the lock says of itself
``ownership``    enrol and reset
"""

from __future__ import annotations

from .core import (
    Await,
    LinkDropped,
    NoAnswer,
    Procedure,
    Step,
    ask,
    authenticate,
    authenticate_admin,
    authenticate_user,
    greet,
    lock,
    needed_auth,
    set_switch,
    unlock,
)
from .information import DeviceInfo, read_device_info
from .learning import enrol_fingerprint, learn_card
from .lists import (
    ListNotEnding,
    LogSlice,
    list_cards,
    list_fingerprints,
    list_passage_entries,
    list_passcodes,
    read_log,
)
from .ownership import Enrolment, EnrolmentProcedure, KeysExist, NewSecrets, enrol, reset

__all__ = [
    "Await",
    "DeviceInfo",
    "Enrolment",
    "EnrolmentProcedure",
    "KeysExist",
    "LinkDropped",
    "ListNotEnding",
    "LogSlice",
    "NewSecrets",
    "NoAnswer",
    "Procedure",
    "Step",
    "ask",
    "authenticate",
    "authenticate_admin",
    "authenticate_user",
    "enrol",
    "enrol_fingerprint",
    "greet",
    "learn_card",
    "list_cards",
    "list_fingerprints",
    "list_passage_entries",
    "list_passcodes",
    "lock",
    "needed_auth",
    "read_device_info",
    "read_log",
    "reset",
    "set_switch",
    "unlock",
]

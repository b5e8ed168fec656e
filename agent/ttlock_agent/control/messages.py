"""What goes over the control socket: one JSON object a line.

The client sends one :class:`Call`; the agent answers with any number of ``Progress`` lines and then
one ``Result`` or ``Failure``, and closes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

MAX_LINE_BYTES: Final = 1 << 20
"""Far above any listing of a lock; a longer line is somebody else's program."""


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``verb`` is that of MQTT, or one that exists only here (``status``)."""

    verb: str
    request: msgspec.Raw = msgspec.Raw(b"{}")


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """Something happened, and more is to come."""

    body: dict[str, Any]


class Result(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """The answer."""

    body: dict[str, Any]


class Failure(msgspec.Struct, frozen=True, kw_only=True, tag="failure"):
    """Why there is no answer, with the exit code for the command line."""

    code: str
    message: str
    hint: str
    exit_code: int


Line = Progress | Result | Failure

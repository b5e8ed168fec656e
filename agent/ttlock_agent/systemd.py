"""All the agent says to systemd: readiness, watchdog, and journal entries with fields.

Notification needs nothing but a datagram socket, and neither do journal fields: systemd-python is
used where it is installed, and its protocol is spoken here where it is not. Without a journal the
log goes to standard error.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

_MESSAGE_IDS: Final = uuid.UUID("6f3b7a52-6c1e-4a0f-9d07-52d9c1a7e8b4")
"""Name space of the journal's MESSAGE_IDs; a change would break what operators search for."""

_EVENT_NAME: Final = re.compile(r"[a-z][a-z0-9_.]*")
_FIELD_BYTES: Final = 64
"""The journal drops fields with longer names."""

JournalSend = Callable[..., None]
"""``systemd.journal.send``: takes the message and upper-case fields."""

_JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"


class Notifier:
    """Tells the service manager how the daemon is; does nothing when nobody asked."""

    def __init__(self, address: str | None) -> None:
        """``address`` is ``$NOTIFY_SOCKET``: a path, or ``@name`` for an abstract socket."""
        self._address = address

    @classmethod
    def from_environment(cls) -> Notifier:
        """Return the notifier for the process as systemd started it."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def ready(self) -> bool:
        """Config, journal, vault and control socket are up."""
        return self._send("READY=1")

    def status(self, text: str) -> bool:
        """Set the line that ``systemctl status`` shows."""
        return self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> bool:
        """Say that every owner task has made progress."""
        return self._send("WATCHDOG=1")

    def stopping(self) -> bool:
        """Say that the daemon is on its way out."""
        return self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        """Return whether the message went out; a manager that is gone is no reason to fail."""
        if not self._address:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.connect(address)
                sock.sendall(message.encode())
        except OSError:
            return False
        return True


def watchdog_interval_s() -> float | None:
    """Return how often to pet the watchdog: a third of its limit; None when it is off."""
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not (limit_us.isascii() and limit_us.isdigit()) or int(limit_us) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(limit_us) / 1_000_000 / 3


def is_under_journal() -> bool:
    """Return whether standard error goes straight to the journal (``$JOURNAL_STREAM``)."""
    try:
        stat = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False  # closed, or replaced by something that is no file
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def journal_send() -> JournalSend | None:
    """Return systemd-python's sender, else our own, or None where there is no journal."""
    try:
        from systemd import journal  # noqa: PLC0415, TID251 - optional, and this is the module
    except ImportError:
        return _send_to_journal if os.path.exists(_JOURNAL_SOCKET) else None  # noqa: PTH110
    send: JournalSend = journal.send
    return send


def _send_to_journal(message: str, **fields: str) -> None:
    """Send one entry by the journal's native protocol; an entry that it does not take is lost.

    Each value goes with its length, so that it may hold anything (systemd.io, "Native Journal
    Protocol").
    """
    entry = b"".join(
        name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
        for name, value in (
            (name, text.encode(errors="surrogateescape"))
            for name, text in {"MESSAGE": message, **fields}.items()
        )
    )
    # A log nobody can take any more must not stop a delivery.
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
    ):
        sock.sendto(entry, _JOURNAL_SOCKET)


def journal_fields(entry: Mapping[str, Any], *, priority: int) -> dict[str, str]:
    """Turn one finished log entry into the journal's fields.

    The agent's own fields get the prefix ``TTL_``. An event name has one fixed ``MESSAGE_ID``
    (a version 5 UUID of the name), so that ``journalctl MESSAGE_ID=...`` finds it for ever.
    """
    event = str(entry.get("event", ""))
    shown = {key: str(value) for key, value in entry.items() if key not in {"event", "level"}}
    message = " ".join([event, *(f"{key}={value}" for key, value in shown.items())])
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "ttlock-agent",
    }
    if _EVENT_NAME.fullmatch(event):
        fields["MESSAGE_ID"] = uuid.uuid5(_MESSAGE_IDS, event).hex
        fields["TTL_EVENT"] = event
    for key, value in shown.items():
        name = "TTL_" + re.sub(r"[^A-Z0-9_]", "_", key.upper())
        fields[name[:_FIELD_BYTES]] = value
    return fields

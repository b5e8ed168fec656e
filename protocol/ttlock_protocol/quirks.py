"""What differs between locks and only a real lock can tell (reference 10.2), as settings per lock.

Every default is the safest choice; :mod:`ttlock_protocol.disagreements` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .messages.operate import CLIENT_TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """How to treat one stubborn lock; the defaults suit the others."""

    mirrors_header: bool = True
    """Send the header that the lock answers with, not the one we started with (D6)."""
    pads_empty_payload: bool = False
    """Send "nothing" as a block of padding instead of a frame without payload (D7)."""
    ignores_checksum: bool = False
    """Take frames whose checksum is wrong; for odd firmware only (reference 3.4)."""
    says_hello_first: bool = False
    """Greet the lock before anything else in a connection (D20)."""
    log_needs_admin: bool = False
    """Authenticate as administrator before reading the log, the state or the clock (D19)."""
    unlocks_with_admin_challenge: bool = False
    """Move the bolt with the administrator's challenge instead of a user's (D21)."""
    switches_are_verified: bool = False
    """Somebody saw on this lock that its switches do what they are called (D26)."""
    writes_with_response: bool = False
    """Ask the Bluetooth stack to acknowledge each written piece; for the link (D38)."""
    client_token: bytes = CLIENT_TOKEN
    """The vendor's token for enrolling; white-label locks may have their own (D29)."""


NO_QUIRKS: Final = Quirks()
"""A lock that behaves like most."""

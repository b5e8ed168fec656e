"""Proving who we are to a paired lock (reference 5.3, 5.4)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ttlock_protocol.message import Auth, Opcode, Request, Response, field, request, response
from ttlock_protocol.wire import DATE5, U8, U24, U32

PERMANENT_FROM: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - lock-local
PERMANENT_UNTIL: Final = datetime(2099, 12, 31, 23, 59)  # noqa: DTZ001 - lock-local


@response(Opcode.CHECK_ADMIN)
class AdminChallenge(Response):
    """A random number of the lock, fresh for each request."""

    challenge: int = field(U32, is_secret=True)


@request(Opcode.CHECK_ADMIN, auth=Auth.NOTHING, is_repeatable=True)
class CheckAdmin(Request[AdminChallenge]):
    """First step of an administrator's authentication.

    ``lock_flag_position`` is 0 until eKeys were reset; a wrong one is refused as
    ``EKEYS_WERE_RESET``. ``user_id`` ends up in log records, 0 is allowed. All three are unsigned,
    of 4, 3 and 4 bytes (disagreement D4: the flag position does not overlap its neighbours).
    """

    admin_secret: int = field(U32, is_secret=True)
    lock_flag_position: int = field(U24, default=0)
    user_id: int = field(U32, default=0)


@response(Opcode.CHECK_RANDOM)
class RandomAccepted(Response):
    """The lock believes us until the link drops; whatever data follows is not used by anyone."""

    battery_percent: int | None = field(U8, is_optional=True)


@request(Opcode.CHECK_RANDOM, auth=Auth.USER_CHALLENGE, is_repeatable=True)
class CheckRandom(Request[RandomAccepted]):
    """Second step: the challenge plus the unlock key, modulo 2**32 (disagreement D5)."""

    proof: int = field(U32, is_secret=True)


@response(Opcode.CHECK_USER)
class UserChallenge(Response):
    """A random number of the lock, fresh for each request."""

    challenge: int = field(U32, is_secret=True)


@request(Opcode.CHECK_USER, auth=Auth.NOTHING, is_repeatable=True)
class CheckUser(Request[UserChallenge]):
    """First step of a user's (eKey's) authentication, with its validity in lock-local time."""

    valid_from: datetime = field(DATE5, default=PERMANENT_FROM)
    valid_until: datetime = field(DATE5, default=PERMANENT_UNTIL)
    lock_flag_position: int = field(U24, default=0)
    user_id: int = field(U32, default=0)

"""Flows of several requests, without I/O: generators that yield what to send.

Each step is a request, or :class:`Await` for one more answer to the request before it. The driver
sends the response back in, or throws the error that ended the step. Whoever has a session can drive
them: the agent over Bluetooth, a test over nothing at all.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from .errors import CommandRefused, LocalProtocolError, RemoteProtocolError
from .keys import LockKeys
from .message import Request, Response
from .messages.auth import CheckAdmin, CheckRandom, CheckUser
from .messages.log import END_CURSORS, GetLog, LogRecord
from .messages.operate import Lock, Locked, Unlock, Unlocked
from .messages.pages import NO_MORE, Unreadable
from .messages.passcodes import GetPasscodes, PasscodeRecord

R = TypeVar("R", bound=Response)
T = TypeVar("T")

MAX_PASSCODES: Final = 4096
"""Far above any lock; a list that is longer goes round in circles."""


@dataclass(frozen=True, slots=True)
class Await:
    """Wait up to ``timeout_s`` for another answer to the last request, without sending anything."""

    timeout_s: float


Step = Request[Any] | Await
Procedure = Generator[Step, Response, T]


class ListNotEnding(RemoteProtocolError):
    """A list does not come to an end; nothing that was read of it may be called complete."""


def ask(request: Request[R]) -> Procedure[R]:
    """Send one request and return its answer, with its type."""
    answer = yield request
    assert isinstance(answer, request.response_type)
    return answer  # type: ignore[return-value]


def authenticate_admin(keys: LockKeys) -> Procedure[None]:
    """Prove to be the administrator; lasts until the link drops (reference 5.3)."""
    if not keys.admin_secret or not keys.unlock_key:
        raise LocalProtocolError("these keys have no administrator secret")
    challenge = yield from ask(
        CheckAdmin(
            admin_secret=keys.admin_secret,
            lock_flag_position=keys.lock_flag_position,
            user_id=keys.user_id,
        )
    )
    yield from ask(CheckRandom(proof=keys.proof(challenge.challenge)))


def unlock(keys: LockKeys, *, unique_id: int) -> Procedure[Unlocked]:
    """Withdraw the bolt, with a user's challenge as the safest way (disagreement D21)."""
    proof = yield from _user_proof(keys)
    return (yield from ask(Unlock(proof=proof, unique_id=unique_id)))


def lock(keys: LockKeys, *, unique_id: int) -> Procedure[Locked]:
    """Throw the bolt."""
    proof = yield from _user_proof(keys)
    return (yield from ask(Lock(proof=proof, unique_id=unique_id)))


def list_passcodes() -> Procedure[tuple[PasscodeRecord | Unreadable, ...]]:
    """Read all passcodes that the lock lists; complete or an error, never a part.

    Ends at an empty page, at ``next`` FFFF, or at ``next`` 0 (disagreement D12). Raises
    ``ListNotEnding`` for a list that goes round.
    """
    found: list[PasscodeRecord | Unreadable] = []
    cursor = 0
    seen = {cursor}
    while True:
        page = yield from ask(GetPasscodes(cursor=cursor))
        found += page.records
        if page.next_cursor in (None, 0, NO_MORE):
            return tuple(found)
        if page.next_cursor in seen or len(found) > MAX_PASSCODES:
            raise ListNotEnding("the lock's list of passcodes does not end")
        assert page.next_cursor is not None
        cursor = page.next_cursor
        seen.add(cursor)


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Records that were read, oldest first, and the cursor to go on from."""

    records: tuple[LogRecord | Unreadable, ...]
    next_cursor: int


def read_log(*, cursor: int, limit: int) -> Procedure[LogSlice]:
    """Read up to ``limit`` records behind ``cursor``; leaves the lock's bookmark alone.

    A refused cursor means that the lock knows no newer record: the slice is then empty.
    """
    if cursor == NO_MORE:
        raise LocalProtocolError("that cursor moves a bookmark which others share")
    found: list[LogRecord | Unreadable] = []
    while len(found) < limit:
        try:
            page = yield from ask(GetLog(cursor=cursor))
        except CommandRefused:
            break
        found += page.records
        if page.next_cursor is None or page.next_cursor in END_CURSORS:
            break
        if page.next_cursor <= cursor:
            break
        cursor = page.next_cursor
    return LogSlice(tuple(found), cursor)


def _user_proof(keys: LockKeys) -> Procedure[int]:
    if not keys.unlock_key:
        raise LocalProtocolError("these keys have no unlock key")
    challenge = yield from ask(
        CheckUser(lock_flag_position=keys.lock_flag_position, user_id=keys.user_id)
    )
    return keys.proof(challenge.challenge)

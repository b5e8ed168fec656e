"""One conversation with one lock, without I/O: bytes in, events out (reference 2.4, 3, 7).

Only one request is outstanding at a time. A reply is recognised by the echo in its plaintext and
by what the request accepts; anything else is a push or a stray and never satisfies a request.
Deadlines are the caller's: when it gives up, it says so with :meth:`Session.abandon`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from . import messages
from .cipher import DEFAULT_KEY, decrypt, encrypt
from .errors import (
    CommandRefused,
    DecodeError,
    KeyMismatch,
    LocalProtocolError,
    ProtocolError,
    Refusal,
)
from .frame import Frame, FrameDecoder, LegacyFrame, Version, encode_frame
from .message import Opcode, Request, Response, decode_push

__all__ = ["Damaged", "Event", "Failed", "Push", "Replied", "Session", "Stray"]

_SUCCESS: Final = 1
_FAILURE: Final = 0
assert messages  # filling the registry is what the import is for


@dataclass(frozen=True, slots=True)
class Replied:
    """The outstanding request was answered; ``is_last`` is false while more is to come."""

    request: Request[Any]
    response: Response
    is_last: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The outstanding request came to an end without its answer.

    ``error`` is ``CommandRefused``, ``DecodeError`` (success, but an unreadable answer) or
    ``KeyMismatch``.
    """

    request: Request[Any]
    error: ProtocolError


@dataclass(frozen=True, slots=True)
class Push:
    """Something the lock said on its own."""

    message: Response


@dataclass(frozen=True, slots=True)
class Stray:
    """A well-formed reply that belongs to nothing outstanding, a late one for example."""

    opcode: int


@dataclass(frozen=True, slots=True)
class Damaged:
    """A frame with a wrong checksum. Nothing is known of what it said."""


Event = Replied | Failed | Push | Stray | Damaged


class Session:
    """The client's side of one connection; make a new one for each connection."""

    def __init__(self, *, key: bytes, version: Version) -> None:
        """Start with the lock's AES key (16 bytes) and the version of its advertisement."""
        self._key = key
        self._version = version
        self._decoder = FrameDecoder()
        self._outstanding: Request[Any] | None = None
        self._previous: Response | None = None

    @property
    def version(self) -> Version:
        """What stands in our headers: the lock's own, once it has spoken (disagreement D6)."""
        return self._version

    @property
    def outstanding(self) -> Request[Any] | None:
        """The request that waits for its answer."""
        return self._outstanding

    def use_key(self, key: bytes) -> None:
        """Go on with another key: while pairing, the one the lock has just handed out."""
        self._key = key

    def send(self, request: Request[Any]) -> bytes:
        """Return the frame of ``request``, which is outstanding from now on.

        Raises ``LocalProtocolError`` while another request is outstanding.
        """
        if self._outstanding is not None:
            raise LocalProtocolError("a request is outstanding: wait for it or abandon it")
        payload = request.encode()
        frame = Frame(
            version=self._version,
            command=request.opcode,
            payload=encrypt(self._key_for(request.opcode), payload) if payload else b"",
        )
        self._outstanding = request
        return encode_frame(frame)

    def abandon(self) -> None:
        """Stop waiting. A reply that still comes is a stray, unless the request is sent again."""
        self._outstanding = None

    def receive(self, data: bytes) -> list[Event]:
        """Take a piece of what the lock sent; return what it means, in order."""
        return [self._event(frame) for frame in self._decoder.feed(data)]

    def _key_for(self, opcode: Opcode) -> bytes:
        return DEFAULT_KEY if opcode == Opcode.GET_AES_KEY else self._key

    def _event(self, frame: Frame | LegacyFrame) -> Event:
        if isinstance(frame, LegacyFrame):
            return Stray(frame.command)
        if not frame.is_intact:
            return Damaged()
        self._version = frame.version
        if not frame.payload:
            return self._empty(frame)
        key = DEFAULT_KEY if frame.command == Opcode.GET_AES_KEY else self._key
        try:
            plaintext = decrypt(key, frame.payload)
        except DecodeError:
            return self._end(KeyMismatch("the lock answers with another key"), frame.command)
        if len(plaintext) < 2 or plaintext[1] not in (_SUCCESS, _FAILURE):
            return self._end(KeyMismatch("the answer makes no sense with our key"), frame.command)
        return self._reply(plaintext[0], plaintext[1] == _SUCCESS, plaintext[2:])

    def _empty(self, frame: Frame) -> Event:
        """Everywhere but after a reset, a reply without payload means a wrong key (7.4)."""
        request = self._outstanding
        if request is not None and request.opcode == Opcode.RESET:
            self._outstanding = None
            return Replied(request, request.response_type.decode(b""), is_last=True)
        return self._end(KeyMismatch("the lock cannot decrypt what we send"), frame.command)

    def _reply(self, opcode: int, is_success: bool, data: bytes) -> Event:
        request = self._outstanding
        if request is None or request.opcode != opcode:
            return self._unasked(opcode, is_success, data)
        if not is_success:
            refusal = Refusal(data[0]) if data else Refusal.NO_DETAIL
            return self._end(CommandRefused(opcode, refusal), opcode)
        try:
            response = request.response_type.decode(data)
        except DecodeError as error:
            push = self._unasked(opcode, is_success, data)
            return push if isinstance(push, Push) else self._end(error, opcode)
        if not request.accepts(response, self._previous):
            return self._unasked(opcode, is_success, data)
        self._previous = response
        is_last = request.is_answered_by(response)
        if is_last:
            self._outstanding = None
        return Replied(request, response, is_last)

    def _unasked(self, opcode: int, is_success: bool, data: bytes) -> Event:
        if is_success:
            try:
                return Push(decode_push(opcode, data))
            except (LookupError, DecodeError):
                pass
        return Stray(opcode)

    def _end(self, error: ProtocolError, opcode: int) -> Event:
        request, self._outstanding = self._outstanding, None
        return Stray(opcode) if request is None else Failed(request, error)

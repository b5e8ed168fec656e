"""One conversation with one lock, without I/O: bytes in, events out (reference 2.4, 3, 7).

Only one request is outstanding at a time. A reply is recognised by the echo in its plaintext and
by what the request accepts; anything else is a push or a stray and never satisfies a request.
Deadlines are the caller's: when it gives up, it says so with :meth:`Session.abandon`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from . import messages
from .cipher import DEFAULT_KEY, KEY_BYTES, decrypt, encrypt
from .errors import (
    CommandRefused,
    DecodeError,
    KeyMismatch,
    LocalProtocolError,
    ProtocolError,
    Refusal,
)
from .frame import Frame, FrameDecoder, LegacyFrame, Version, encode_frame
from .message import Opcode, OtherLayout, Request, Response, decode_push
from .messages.pairing import AesKey
from .quirks import NO_QUIRKS, Quirks
from .unconfirmed import check_confirmed

__all__ = ["Damaged", "Event", "Failed", "Push", "Replied", "Session", "Stray"]

_SUCCESS: Final = 1
_FAILURE: Final = 0
_REPLY_COMMANDS: Final = (Opcode.RESPONSE, Opcode.GET_AES_KEY)
"""What stands in the header of a reply; a frame with another command is no lock's (D41)."""
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
    """A frame with a wrong checksum, or gibberish from a lock that was understood before.

    Nothing is known of what it said.
    """


Event = Replied | Failed | Push | Stray | Damaged


class Session:
    """The client's side of one connection; make a new one for each connection.

    A :class:`.messages.operate.State` that the lock pushes while one is asked for counts as the
    answer: both look the same and are equally true. No other push ends a request.
    """

    def __init__(self, *, key: bytes, version: Version, quirks: Quirks = NO_QUIRKS) -> None:
        """Start with the lock's AES key (16 bytes) and the version of its advertisement.

        To enrol, start with ``cipher.DEFAULT_KEY``: the session goes over to the lock's own key as
        soon as it hears it. Raises ``LocalProtocolError`` for a key of another length.
        """
        if len(key) != KEY_BYTES:
            raise LocalProtocolError("an AES key must be 16 bytes")
        self._key = key
        self._version = version
        self._quirks = quirks
        self._decoder = FrameDecoder(ignores_checksum=quirks.ignores_checksum)
        self._outstanding: Request[Any] | None = None
        self._last_request: Request[Any] | None = None
        self._previous: Response | None = None
        self._current: Response | None = None
        self._has_understood = False

    @property
    def version(self) -> Version:
        """What stands in our headers: the lock's own, once it has spoken (disagreement D6)."""
        return self._version

    @property
    def outstanding(self) -> Request[Any] | None:
        """The request that waits for its answer."""
        return self._outstanding

    def send(self, request: Request[Any]) -> bytes:
        """Return the frame of ``request``, which is outstanding from now on.

        Raises ``LocalProtocolError`` while another request is outstanding, for one that cannot be
        said, and for a command that must not be sent.
        """
        if self._outstanding is not None:
            raise LocalProtocolError("a request is outstanding: wait for it or abandon it")
        check_confirmed(request.opcode)
        payload = request.encode()
        if payload or self._quirks.pads_empty_payload:
            payload = encrypt(self._key_of(request.opcode), payload)
        frame = encode_frame(Frame(version=self._version, command=request.opcode, payload=payload))
        if request != self._last_request:
            self._previous, self._current = self._current, None
        self._outstanding = self._last_request = request
        return frame

    def abandon(self) -> None:
        """Stop waiting, and forget what of a frame has come.

        A reply that still comes is a stray, unless the request is sent again.
        """
        self._outstanding = None
        self._decoder.clear()

    def receive(self, data: bytes) -> list[Event]:
        """Take a piece of what the lock sent; return what it means, in order."""
        return [self._event(frame) for frame in self._decoder.feed(data)]

    def _key_of(self, opcode: int) -> bytes:
        return DEFAULT_KEY if opcode == Opcode.GET_AES_KEY else self._key

    def _event(self, frame: Frame | LegacyFrame) -> Event:
        if not frame.is_intact:
            return Damaged()
        if isinstance(frame, LegacyFrame) or frame.command not in _REPLY_COMMANDS:
            return Stray(frame.command)
        if not frame.payload:
            return self._empty(frame)
        request = self._outstanding
        # The reply to 0x19 may come in either kind of frame (disagreement D41).
        is_key = Opcode.GET_AES_KEY in (frame.command, request.opcode if request else None)
        key = self._key_of(Opcode.GET_AES_KEY if is_key else frame.command)
        try:
            plaintext = decrypt(key, frame.payload)
        except DecodeError:
            return self._gibberish(frame)
        if len(plaintext) < 2 or plaintext[1] not in (_SUCCESS, _FAILURE):
            return self._gibberish(frame)
        self._has_understood = True
        if self._quirks.mirrors_header:
            self._version = frame.version
        return self._reply(plaintext[0], plaintext[1] == _SUCCESS, plaintext[2:])

    def _gibberish(self, frame: Frame) -> Event:
        """With a key that has worked it is noise which the checksum did not catch."""
        request = self._outstanding
        if request is not None and request.opcode == Opcode.HELLO:
            return self._answered(request, request.response_type.decode(b""))
        if self._has_understood:
            return Damaged()
        return self._end(KeyMismatch("the lock answers with another key"), frame.command)

    def _empty(self, frame: Frame) -> Event:
        """Everywhere but after a reset, a reply without payload means a wrong key (7.4)."""
        request = self._outstanding
        if request is not None and request.opcode == Opcode.RESET:
            return self._answered(request, request.response_type.decode(b""))
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
        except OtherLayout:
            return self._unasked(opcode, is_success, data)
        except DecodeError as error:
            return self._end(error, opcode)
        if not request.accepts(response, self._previous):
            return self._unasked(opcode, is_success, data)
        return self._answered(request, response)

    def _answered(self, request: Request[Any], response: Response) -> Event:
        self._current = response
        if isinstance(response, AesKey):
            self._key = response.key
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

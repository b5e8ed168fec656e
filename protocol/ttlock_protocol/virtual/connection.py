"""One central's connection: frames, keys, permissions, answers (reference 3, 5.5, 7, appendix A).

Everything between the radio and the handlers, faults included. What is to go out collects in
``outputs``; nothing here waits for anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ttlock_protocol.cipher import DEFAULT_KEY, decrypt, encrypt
from ttlock_protocol.errors import DecodeError, Refusal
from ttlock_protocol.frame import LINE_END, Frame, FrameDecoder, chunks, encode_frame
from ttlock_protocol.message import Auth, Opcode, Request, Response, decode_request
from ttlock_protocol.messages.learning import LearnStatus

from . import handlers, panel
from .body import Body
from .faults import Fault, FaultAction, FaultPoint, Faults
from .visit import Refused, Standing, Visit, carry_out

assert handlers  # filling the registry is what the import is for

IDLE_LIMIT: Final = timedelta(seconds=5)
"""The lock hangs up this long after the last traffic (reference 2.4)."""
_SUCCESS: Final = 1
_FAILURE: Final = 0
_MAGIC_BYTES: Final = 2
_UNCOVERED_BYTES: Final = 2
_CHECKSUM_AT: Final = -1 - len(LINE_END)
_OPEN: Final = (Opcode.LOG, Opcode.STATE, Opcode.GET_CLOCK)


@dataclass(frozen=True, slots=True)
class Notify:
    """At most 20 bytes for the central, ``after_s`` after what went before it."""

    data: bytes
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HangUp:
    """The link is gone; nothing follows."""


Output = Notify | HangUp


class Connection:
    """Made when a central connects, thrown away when the link is gone."""

    def __init__(self, body: Body, faults: Faults, now: datetime) -> None:
        self._body = body
        self.faults = faults
        self._decoder = FrameDecoder()
        self.standing = Standing()
        self.last_traffic_at = now
        self.outputs: list[Output] = []
        self.is_open = True

    def receive(self, data: bytes, now: datetime) -> None:
        """Take a piece of what the central writes; a zero-length write is traffic, too."""
        self.last_traffic_at = now
        for frame in self._decoder.feed(data):
            if self.is_open and isinstance(frame, Frame):
                self._on_frame(frame, now)
                self.flush_pushes(now)

    def say(self, message: Response) -> None:
        """Send something unasked."""
        content = bytes((_SUCCESS,)) + message.encode()
        self._send(message.opcode, content, FaultPoint.PUSH)

    def teach(self, opcode: Opcode, credential: bytes, now: datetime) -> bool:
        """Let the lock learn a card or finger if the central asked it to; return whether it did."""
        learning = self.standing.learning
        if learning is None or learning.opcode != opcode or now >= learning.until:
            return False
        try:
            progress = panel.learn(self._body, opcode, credential, learning, now)
        except Refused as refused:
            self.standing.learning = None
            self._send(opcode, bytes((_FAILURE, refused.refusal)), FaultPoint.PUSH)
            return True
        if progress.status == LearnStatus.DONE:
            self.standing.learning = None
        self.say(progress)
        return True

    def flush_pushes(self, now: datetime) -> None:
        """Send what the body wants said by now."""
        pushes = self._body.pushes[:]
        self._body.pushes.clear()
        late = self._body.late_pushes
        pushes += [each.message for each in late if each.due_at <= now]
        late[:] = [each for each in late if each.due_at > now]
        for message in pushes:
            self.say(message)

    def hang_up(self) -> None:
        """Drop the link."""
        if self.is_open:
            self.is_open = False
            self.outputs.append(HangUp())

    def _on_frame(self, frame: Frame, now: datetime) -> None:
        try:
            request = self._read(frame)
        except Refused as refused:
            self._refuse(frame.command, refused.refusal)
            return
        except DecodeError:
            # Wrong padding means another key, and this is how a lock says so (reference 7.4).
            self._send(frame.command, None, FaultPoint.ANSWER)
            return
        if request is None:
            return
        name = type(request).__name__
        hits = self.faults.hitting(FaultPoint.REQUEST, name)
        if FaultAction.DROP in hits:
            self.hang_up()
        elif FaultAction.REFUSE in hits:
            self._refuse(frame.command, hits[FaultAction.REFUSE].refusal)
        elif FaultAction.EMPTY in hits:
            self._send(frame.command, None, FaultPoint.ANSWER)
        elif FaultAction.CORRUPT in hits:
            self._on_damaged(frame)
        elif FaultAction.LOSE not in hits:
            self._carry_out(request, name, now, hits)

    def _carry_out(
        self, request: Request[Any], name: str, now: datetime, hits: dict[FaultAction, Fault]
    ) -> None:
        before = self._body.memory
        for _ in range(2 if FaultAction.DUPLICATE in hits else 1):
            self._answer(request, name, now)
        if FaultAction.PRETEND in hits:
            self._body.memory = before
            # What did not happen is not announced either.
            self._body.pushes.clear()
            self._body.late_pushes.clear()

    def _read(self, frame: Frame) -> Request[Any] | None:
        """Return the request; ``None`` means silence. Raises ``Refused`` and ``DecodeError``."""
        memory = self._body.memory
        if not frame.is_intact:
            self._on_damaged(frame)
            return None
        theirs, ours = frame.version, memory.version
        is_same_family = (theirs.protocol_type, theirs.protocol_version, theirs.scene) == (
            ours.protocol_type,
            ours.protocol_version,
            ours.scene,
        )
        if memory.habits.is_header_strict and not is_same_family:
            raise Refused(Refusal.FAILED)
        self._check_manners(frame)
        data = decrypt(self._key(frame.command), frame.payload) if frame.payload else b""
        try:
            return decode_request(frame.command, data)
        except LookupError:
            raise Refused(Refusal.NOT_SUPPORTED) from None
        except DecodeError:
            raise Refused(Refusal.INVALID_PARAMETER) from None

    def _check_manners(self, frame: Frame) -> None:
        """Refuse what only this lock minds."""
        habits = self._body.memory.habits
        if (
            habits.needs_greeting
            and not self.standing.has_greeted
            and frame.command != Opcode.HELLO
        ):
            raise Refused(Refusal.FAILED)
        if habits.needs_padding and not frame.payload:
            raise DecodeError("a frame without payload")

    def _on_damaged(self, frame: Frame) -> None:
        if self._body.memory.habits.answers_damaged:
            self._refuse(frame.command, Refusal.CHECKSUM)

    def _answer(self, request: Request[Any], name: str, now: datetime) -> None:
        visit = Visit(self._body, self.standing, now)
        # A reset takes the key away, and its answer still needs it.
        key = self._key(request.opcode)
        try:
            self._check_permission(request)
            content = bytes((_SUCCESS,)) + carry_out(visit, request).encode()
        except Refused as refused:
            content = bytes((_FAILURE, refused.refusal))
        self._send(request.opcode, content, FaultPoint.ANSWER, request=name, key=key)
        if visit.is_over:
            self.hang_up()

    def _check_permission(self, request: Request[Any]) -> None:
        """Refuse what the central has not proved to be allowed (reference 5.5)."""
        standing = self.standing
        has_admin = self._body.memory.administrator is not None
        if request.auth is Auth.NOTHING:
            if self._is_closed(request) and not (standing.is_admin and standing.is_proved):
                raise Refused(Refusal.NO_PERMISSION)
            return
        if request.auth is Auth.SETTING_MODE:
            if has_admin and standing.pairing is None:
                raise Refused(Refusal.NOT_IN_SETTING_MODE)
            return
        if not has_admin:
            raise Refused(Refusal.NO_ADMINISTRATOR)
        # The clock may also be set by an ordinary user, as the vendor's client does (D18).
        needed = Auth.USER if request.opcode == Opcode.SET_CLOCK else request.auth
        is_allowed = {
            Auth.USER_CHALLENGE: standing.challenge is not None,
            Auth.USER: (standing.is_user or standing.is_admin) and standing.is_proved,
            Auth.ADMIN: standing.is_admin and standing.is_proved,
        }[needed]
        # Whoever is pairing the lock chose its secrets a moment ago (reference 5.2).
        if not is_allowed and (standing.pairing is None or request.auth is Auth.USER_CHALLENGE):
            raise Refused(Refusal.NO_PERMISSION)

    def _is_closed(self, request: Request[Any]) -> bool:
        """Whether this lock keeps to its administrator what others tell everybody (D19)."""
        habits = self._body.memory.habits
        return habits.log_needs_admin and request.opcode in _OPEN

    def _key(self, command: int) -> bytes:
        if command == Opcode.GET_AES_KEY:
            return DEFAULT_KEY
        if self.standing.pairing is not None:
            return self.standing.pairing.aes_key
        administrator = self._body.memory.administrator
        return DEFAULT_KEY if administrator is None else administrator.aes_key

    def _refuse(self, command: int, refusal: Refusal) -> None:
        self._send(command, bytes((_FAILURE, refusal)), FaultPoint.ANSWER)

    def _send(
        self,
        command: int,
        content: bytes | None,
        at: FaultPoint,
        *,
        request: str | None = None,
        key: bytes | None = None,
    ) -> None:
        """Send through whatever goes wrong on the way; ``content`` ``None`` is the empty reply."""
        if not self.is_open:
            return
        hits = self.faults.hitting(at, request)
        if FaultAction.DROP in hits:
            self.hang_up()
            return
        if FaultAction.INTERLEAVE in hits:
            state = self._body.state(self.last_traffic_at)
            content_between = bytes((_SUCCESS,)) + state.encode()
            self._notify(self._frame(state.opcode, content_between, key), {})
        if FaultAction.EMPTY in hits:
            content = None
        elif FaultAction.REFUSE in hits:
            content = bytes((_FAILURE, hits[FaultAction.REFUSE].refusal))
        repeats = 2 if FaultAction.DUPLICATE in hits else 1
        for _ in range(0 if FaultAction.LOSE in hits else repeats):
            self._notify(self._frame(command, content, key), hits)
        if FaultAction.DROP_AFTER in hits:
            self.hang_up()

    def _frame(self, command: int, content: bytes | None, key: bytes | None) -> bytes:
        is_key_reply = command == Opcode.GET_AES_KEY and content is not None
        payload = b""
        if content is not None:
            payload = encrypt(key or self._key(command), bytes((command,)) + content)
        memory = self._body.memory
        frame = encode_frame(
            Frame(
                version=memory.habits.answers_with or memory.version,
                command=Opcode.GET_AES_KEY if is_key_reply else Opcode.RESPONSE,
                payload=payload,
            )
        )
        if not memory.habits.miscounts_checksum:
            return frame
        return frame[:_CHECKSUM_AT] + bytes((frame[_CHECKSUM_AT] ^ 0xFF,)) + LINE_END

    def _notify(self, frame: bytes, hits: dict[FaultAction, Fault]) -> None:
        if FaultAction.CORRUPT in hits:
            last = len(frame) - _UNCOVERED_BYTES - 1
            frame = self.faults.corrupted(frame, _MAGIC_BYTES, last)
        cut: Iterable[bytes] = chunks(frame)
        if FaultAction.SPLIT in hits:
            cut = self.faults.pieces(frame)
        pieces = list(cut)
        if FaultAction.TEAR in hits:
            pieces.pop()
        after_s = hits[FaultAction.DELAY].delay_s if FaultAction.DELAY in hits else 0.0
        for piece in pieces:
            self.outputs.append(Notify(piece, after_s))
            after_s = 0.0

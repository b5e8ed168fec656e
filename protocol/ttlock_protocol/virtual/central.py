"""A central at no distance: the client's session and a virtual lock, mouth to ear.

For tests, benchmarks and whoever wants to try the protocol without radio. Nothing waits here:
what the lock does not say at once, it does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any, TypeVar

from ttlock_protocol.errors import ProtocolError
from ttlock_protocol.frame import Version, chunks
from ttlock_protocol.message import Request, Response
from ttlock_protocol.procedures import (
    Await,
    EnrolmentProcedure,
    KeysExist,
    LinkDropped,
    NoAnswer,
    Procedure,
    Step,
    ask,
)
from ttlock_protocol.session import Event, Failed, Push, Replied, Session

from .lock import HangUp, VirtualLock

R = TypeVar("R", bound=Response)
T = TypeVar("T")


class Central:
    """One connection; make a new one for each. ``pushes`` collects what the lock said unasked."""

    def __init__(
        self,
        lock: VirtualLock,
        *,
        key: bytes,
        clock: Callable[[], datetime],
        version: Version | None = None,
    ) -> None:
        """Connect, with the lock's AES key (16 bytes); ``clock`` tells true time.

        Raises ``NotConnectable``.
        """
        self._lock = lock
        self._clock = clock
        self.session = Session(key=key, version=version or Version())
        self.events: list[Event] = []
        """Whatever was heard and is not an answer that was waited for."""
        self.round_trips = 0
        self.is_open = True
        lock.connect(clock())

    @property
    def pushes(self) -> list[Response]:
        """What the lock said unasked, oldest first."""
        return [each.message for each in self.events if isinstance(each, Push)]

    def request(self, request: Request[R]) -> R:
        """Send one request and return its (first) answer; raises like :meth:`run`."""
        return self.run(ask(request))

    def run(self, procedure: Procedure[T]) -> T:
        """Drive ``procedure`` to its end.

        Raises what the session says (``CommandRefused``, ``KeyMismatch``, ``DecodeError``),
        ``NoAnswer`` or ``LinkDropped``, unless the procedure handles it.
        """
        return self._drive(procedure)

    def enrol(self, procedure: EnrolmentProcedure[T]) -> T:
        """Drive a procedure of enrolment; whom the keys concern hears of them at its end."""
        return self._drive(procedure)

    def listen(self) -> None:
        """Hear what the lock has had to say by now; it ends up in ``events``."""
        self._lock.tick(self._clock())
        self.events += self._hear()

    def close(self) -> None:
        """Disconnect."""
        self._lock.disconnect(self._clock())
        self.is_open = False

    def _drive(self, procedure: Generator[Step | KeysExist, Any, T]) -> T:
        try:
            step = next(procedure)
            while True:
                try:
                    answer = None if isinstance(step, KeysExist) else self._step(step)
                except ProtocolError as error:
                    step = procedure.throw(error)
                else:
                    step = procedure.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _step(self, step: Step) -> Response:
        if not isinstance(step, Await):
            # Its bolt may have moved by itself since, and it hangs up on those who are idle.
            self.listen()
            if not self.is_open:
                raise LinkDropped("the link is gone")
            self.round_trips += 1
            for piece in chunks(self.session.send(step)):
                self._lock.receive(piece, self._clock())
        answer: Replied | Failed | None = None
        for event in self._hear():
            if answer is None and isinstance(event, Replied | Failed):
                answer = event
            else:
                self.events.append(event)
        if answer is None:
            self.session.abandon()
            raise NoAnswer("no answer") if self.is_open else LinkDropped("the lock hung up")
        if isinstance(answer, Failed):
            raise answer.error
        return answer.response

    def _hear(self) -> list[Event]:
        events: list[Event] = []
        for output in self._lock.take_outputs():
            if isinstance(output, HangUp):
                self.is_open = False
            else:
                events += self.session.receive(output.data)
        return events

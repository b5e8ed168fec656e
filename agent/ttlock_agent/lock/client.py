"""Requests over a link, with an honest account of what became of each.

A request that may have reached the lock and was not answered ends as ``OutcomeUnknown`` unless it
is safe to repeat; then it is repeated, a few times, on the same connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ttlock_agent.errors import (
    KeysRejected,
    LinkLost,
    LockMisunderstood,
    OutcomeUnknown,
    ResponseTimeout,
)
from ttlock_agent.limits import time_limit
from ttlock_agent.link import Link
from ttlock_protocol.errors import CommandRefused, KeyMismatch, ProtocolError, Refusal
from ttlock_protocol.frame import chunks
from ttlock_protocol.message import Request, Response
from ttlock_protocol.procedures import Await, Procedure, ask
from ttlock_protocol.session import Damaged, Event, Failed, Push, Replied, Session

R = TypeVar("R", bound=Response)
T = TypeVar("T")

MAX_SENDS: Final = 3
"""A request goes out this often at most: radio noise comes in bursts of a second."""

OnPush = Callable[[Response], None]


class LockClient:
    """The client's side of one connection. Not for concurrent use: one request at a time."""

    def __init__(
        self,
        link: Link,
        session: Session,
        *,
        response_timeout_s: float,
        on_push: OnPush = lambda _: None,
    ) -> None:
        self._link = link
        self._session = session
        self._response_timeout_s = response_timeout_s
        self._on_push = on_push
        self._events: deque[Event] = deque()
        self._last_request: Request[Any] | None = None
        self.round_trips = 0
        """Requests that were sent so far, repeats included."""

    async def request(self, request: Request[R]) -> R:
        """Send one request and return its answer; raises like :meth:`run`."""
        return await self.run(ask(request))

    async def run(self, procedure: Procedure[T]) -> T:
        """Drive ``procedure`` to its end and return its result.

        Raises ``CommandRefused`` (a "no" that the procedure did not handle), ``LinkLost``
        and ``ResponseTimeout`` (nothing was changed), ``OutcomeUnknown`` (it may have been),
        ``KeysRejected`` and ``LockMisunderstood``.
        """
        try:
            step = next(procedure)
            while True:
                try:
                    answer = await self._step(step)
                except CommandRefused as refused:
                    step = procedure.throw(refused)
                else:
                    step = procedure.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            procedure.close()

    async def _step(self, step: Request[Any] | Await) -> Response:
        if isinstance(step, Await):
            assert self._last_request is not None, "a procedure starts with a request"
            return await self._await_more(self._last_request, step.timeout_s)
        self._last_request = step
        send = self._repeatable if step.is_repeatable else self._once
        for _ in range(MAX_SENDS - 1):
            try:
                return await send(step)
            except CommandRefused as refused:
                # The frame was damaged on its way, and the lock says that it did nothing.
                if refused.refusal is not Refusal.CHECKSUM:
                    raise
        return await send(step)

    async def _repeatable(self, request: Request[Any]) -> Response:
        for _ in range(MAX_SENDS):
            try:
                await self._write(request)
                return await self._answer(request, self._response_timeout_s)
            except TimeoutError:
                self._session.abandon()
        raise ResponseTimeout(f"The lock did not answer {MAX_SENDS} times.")

    async def _once(self, request: Request[Any]) -> Response:
        await self._write(request)
        try:
            return await self._answer(request, self._response_timeout_s)
        except (TimeoutError, LinkLost, LockMisunderstood) as cause:
            self._session.abandon()
            raise OutcomeUnknown("The lock's answer to a change was lost.") from cause

    async def _await_more(self, request: Request[Any], timeout_s: float) -> Response:
        try:
            return await self._answer(request, timeout_s)
        except TimeoutError:
            self._session.abandon()
            raise ResponseTimeout("Nothing more came from the lock in time.") from None

    async def _write(self, request: Request[Any]) -> None:
        """Send the frame; ``LinkLost`` means that the lock did not get the whole of it."""
        pieces = list(chunks(self._session.send(request)))
        self.round_trips += 1
        try:
            for piece in pieces[:-1]:
                await self._link.write(piece)
        except LinkLost:
            self._session.abandon()
            raise
        try:
            await self._link.write(pieces[-1])
        except LinkLost as cause:
            self._session.abandon()
            if request.is_repeatable:
                raise
            raise OutcomeUnknown("The link broke while a change was being sent.") from cause

    async def _answer(self, request: Request[Any], timeout_s: float) -> Response:
        async with time_limit(timeout_s):
            while True:
                event = await self._next_event()
                if isinstance(event, Replied):
                    return event.response
                if isinstance(event, Failed):
                    raise self._named(event.error)
                if isinstance(event, Damaged) and request.is_repeatable:
                    # Whatever it was, asking again is harmless and quicker than waiting.
                    raise TimeoutError
                if isinstance(event, Push):
                    self._on_push(event.message)

    async def _next_event(self) -> Event:
        while not self._events:
            self._events.extend(self._session.receive(await self._link.read()))
        return self._events.popleft()

    @staticmethod
    def _named(error: ProtocolError) -> Exception:
        if isinstance(error, CommandRefused):
            return error
        if isinstance(error, KeyMismatch):
            return KeysRejected("The lock does not accept the keys that the agent holds.")
        return LockMisunderstood(f"The lock's answer cannot be understood: {error}.")

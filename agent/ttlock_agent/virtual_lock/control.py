"""What may be done to a virtual lock besides talking to its radio, and the client for it.

Commands and answers are lines on the lock's socket like those of the link; every command gets one
answer, in order. Whoever may open the socket may do all of this, reading every secret included:
it is the test's window into the lock.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from ttlock_agent.errors import ControlUnavailable
from ttlock_agent.link.virtual_wire import MAX_LINE_BYTES, RadioRequest, encode_line
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.virtual import (
    FaultPlan,
    KeypadReason,
    KeypadResult,
    Memory,
    plain_to_memory,
    to_plain,
)


class TypeCode(msgspec.Struct, frozen=True, tag="type_code"):
    """Type digits on the keypad and confirm; answered by :class:`Typed`."""

    digits: str


class Touch(msgspec.Struct, frozen=True, tag="touch"):
    """Touch the keypad, which wakes the lock."""


class PresentCard(msgspec.Struct, frozen=True, tag="present_card"):
    """Hold a card (4 or 8 bytes) against the reader; answered by :class:`Typed`."""

    number: bytes


class PresentFinger(msgspec.Struct, frozen=True, tag="present_finger"):
    """Lay a finger (6 bytes) on the scanner; answered by :class:`Typed`."""

    fingerprint: bytes


class TurnKey(msgspec.Struct, frozen=True, tag="turn_key"):
    """Turn the mechanical key."""


class PressReset(msgspec.Struct, frozen=True, tag="press_reset"):
    """Hold the reset button; :class:`Wrong` when the lock has it switched off."""


class Inspect(msgspec.Struct, frozen=True, tag="inspect"):
    """Look inside; answered by :class:`Inside`."""


class SetFaults(msgspec.Struct, frozen=True, tag="set_faults"):
    """Put a fault plan in place of the one before (``FaultPlan`` as JSON); counting starts anew."""

    plan: dict[str, Any]


class ShiftClock(msgspec.Struct, frozen=True, tag="shift_clock"):
    """Make the lock's own clock this much faster, or slower."""

    seconds: float


class Reboot(msgspec.Struct, frozen=True, tag="reboot"):
    """Change the batteries; the clock is lost."""


DoorRequest = TypeCode | Touch | PresentCard | PresentFinger | TurnKey
ServiceRequest = Inspect | SetFaults | ShiftClock | Reboot | PressReset
ControlRequest = DoorRequest | ServiceRequest


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was done."""


class Wrong(msgspec.Struct, frozen=True, tag="wrong"):
    """It cannot be done, and why."""

    reason: str


class Typed(msgspec.Struct, frozen=True, tag="typed"):
    """What the keypad, the reader or the scanner made of it."""

    is_opened: bool
    reason: KeypadReason


class Inside(msgspec.Struct, frozen=True, tag="inside"):
    """The memory as in the state file, and what the lock shows right now.

    ``local_time`` is what its own clock shows; ``is_connected`` whether a central holds its slot.
    """

    memory: dict[str, Any]
    local_time: str
    battery_percent: int
    is_connected: bool


ControlAnswer = Done | Wrong | Typed | Inside

request_decoder: Final = msgspec.json.Decoder(RadioRequest | ControlRequest)
_answer_decoder: Final = msgspec.json.Decoder(ControlAnswer)
A = TypeVar("A", bound=msgspec.Struct)


class VirtualLockControl:
    """A client for the control commands; use it as an asynchronous context manager.

    Every method raises ``ControlUnavailable`` when the lock's process is not there (any more), and
    ``LocalProtocolError`` for what the lock calls impossible.
    """

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(
                self._socket_path, limit=MAX_LINE_BYTES
            )
        except OSError as error:
            raise self._unavailable() from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()

    async def type_code(self, digits: str) -> KeypadResult:
        """Type ``digits`` and confirm."""
        typed = await self._ask(TypeCode(digits), Typed)
        return KeypadResult(typed.is_opened, typed.reason)

    async def present_card(self, number: bytes) -> KeypadResult:
        """Hold a card against the reader."""
        typed = await self._ask(PresentCard(number), Typed)
        return KeypadResult(typed.is_opened, typed.reason)

    async def present_finger(self, fingerprint: bytes) -> KeypadResult:
        """Lay a finger on the scanner."""
        typed = await self._ask(PresentFinger(fingerprint), Typed)
        return KeypadResult(typed.is_opened, typed.reason)

    async def turn_key(self) -> None:
        """Turn the mechanical key."""
        await self._ask(TurnKey(), Done)

    async def press_reset(self) -> None:
        """Hold the reset button, which wipes the lock."""
        await self._ask(PressReset(), Done)

    async def touch(self) -> None:
        """Touch the keypad."""
        await self._ask(Touch(), Done)

    async def inspect(self) -> Inside:
        """Return what the lock holds, as in its state file."""
        return await self._ask(Inspect(), Inside)

    async def memory(self) -> Memory:
        """Return what the lock holds."""
        return plain_to_memory((await self.inspect()).memory)

    async def set_faults(self, plan: FaultPlan) -> None:
        """Let go wrong what ``plan`` says."""
        await self._ask(SetFaults(to_plain(plan)), Done)

    async def shift_clock(self, seconds: float) -> None:
        """Make the lock's own clock wrong, or less so."""
        await self._ask(ShiftClock(seconds), Done)

    async def reboot(self) -> None:
        """Change the batteries."""
        await self._ask(Reboot(), Done)

    async def _ask(self, request: msgspec.Struct, kind: type[A]) -> A:
        try:
            self._writer.write(encode_line(request))
            await self._writer.drain()
            line = await self._reader.readline()
        except OSError as error:
            raise self._unavailable() from error
        if not line.endswith(b"\n"):
            raise self._unavailable()
        answer = _answer_decoder.decode(line)
        if isinstance(answer, Wrong):
            raise LocalProtocolError(answer.reason)
        assert isinstance(answer, kind)
        return answer

    def _unavailable(self) -> ControlUnavailable:
        return ControlUnavailable(
            f"No virtual lock answers on {self._socket_path}.",
            hint="Start it with `ttlock-agent virtual-lock --state FILE --socket PATH`.",
        )

"""Who types at the keypad and holds cards to the reader: a person, or a virtual lock's controls."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO

from ttlock_agent.virtual_lock.control import VirtualLockControl

from .model import CheckSkipped

_SPACED = 3


class Person(Protocol):
    """Whoever sits at the terminal."""

    is_there: bool

    def say(self, text: str) -> None:
        """Tell something."""
        ...

    async def ask(self, question: str) -> str:
        """Return what is typed in answer; raises ``CheckSkipped`` when nobody is there."""
        ...

    async def agrees(self, question: str) -> bool:
        """Return yes or no; raises like :meth:`ask`."""
        ...


class AtTerminal:
    """A person at a terminal."""

    is_there = True

    def __init__(self, source: TextIO | None = None, out: TextIO | None = None) -> None:
        self._source = source or sys.stdin
        self._out = out or sys.stdout

    def say(self, text: str) -> None:  # noqa: D102 - the port says it
        self._out.write(f"{text}\n")
        self._out.flush()

    async def ask(self, question: str) -> str:  # noqa: D102
        self._out.write(f"\n  >> {question} ")
        self._out.flush()
        line = await self._line()
        if not line:
            raise CheckSkipped("nobody answers at the terminal")
        return line.strip()

    async def _line(self) -> str:
        """Wait for a line, in a thread that nobody waits for when the run is told to stop."""
        loop = asyncio.get_running_loop()
        typed: asyncio.Future[str] = loop.create_future()

        def tell(line: str) -> None:
            if not typed.done():
                typed.set_result(line)

        def read() -> None:
            line = self._source.readline()
            with suppress(RuntimeError):  # the loop is gone, and with it who asked
                loop.call_soon_threadsafe(tell, line)

        threading.Thread(target=read, daemon=True).start()
        return await typed

    async def agrees(self, question: str) -> bool:  # noqa: D102
        while True:
            said = (await self.ask(f"{question} [y/n]")).lower()
            if said in ("y", "yes", "n", "no"):
                return said.startswith("y")


class Nobody:
    """Unattended: what needs a person is skipped."""

    is_there = False

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def say(self, text: str) -> None:  # noqa: D102
        self._out.write(f"{text}\n")
        self._out.flush()

    async def ask(self, question: str) -> str:  # noqa: D102
        raise CheckSkipped(f"nobody is there to ask ({question})")

    async def agrees(self, question: str) -> bool:  # noqa: D102
        raise CheckSkipped(f"nobody is there to ask ({question})")


class Hands(Protocol):
    """What is done at the lock; each raises ``CheckSkipped`` when nobody can do it."""

    async def type_code(self, digits: str) -> None:
        """Type a passcode and confirm it."""
        ...

    async def has_opened(self) -> bool:
        """Whether the door opened at the last thing that was done."""
        ...

    async def has(self, what: str) -> bool:
        """Whether ``what`` is at hand, to be shown to the lock."""
        ...

    async def touch(self) -> None:
        """Touch the keypad, which wakes the lock."""
        ...

    async def hold_card(self) -> None:
        """Hold a card against the reader that the lock does not know."""
        ...

    async def lay_finger(self) -> None:
        """Lay a finger on the scanner, once."""
        ...


class PersonsHands:
    """A person does what is asked for."""

    def __init__(self, person: Person) -> None:
        self._person = person

    async def type_code(self, digits: str) -> None:  # noqa: D102 - the port says it
        spaced = " ".join(digits[at : at + _SPACED] for at in range(0, len(digits), _SPACED))
        await self._do(f"Type  {spaced}  and # at the lock's keypad.")

    async def has_opened(self) -> bool:  # noqa: D102
        return await self._person.agrees("Did the lock open?")

    async def has(self, what: str) -> bool:  # noqa: D102
        return await self._person.agrees(f"Is there {what}?")

    async def touch(self) -> None:  # noqa: D102
        await self._do("Touch the keypad once, with a finger or the back of the hand.")

    async def hold_card(self) -> None:  # noqa: D102
        await self._do("Hold a card that this lock does not know against the reader, now.")

    async def lay_finger(self) -> None:  # noqa: D102
        self._person.say("  Lay a finger on the scanner, and lift it when the lock sounds.")

    async def _do(self, what: str) -> None:
        await self._person.ask(f"{what} Then press Enter.")


_CARD = bytes.fromhex("97c0ffee")
_FINGER = bytes.fromhex("97c0ffee0007")


class VirtualHands:
    """The controls of a virtual lock."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._has_opened = False

    async def type_code(self, digits: str) -> None:  # noqa: D102 - the port says it
        async with VirtualLockControl(self._socket) as lock:
            self._has_opened = (await lock.type_code(digits)).is_opened

    async def has_opened(self) -> bool:  # noqa: D102
        return self._has_opened

    async def has(self, what: str) -> bool:  # noqa: D102
        return True

    async def touch(self) -> None:  # noqa: D102
        async with VirtualLockControl(self._socket) as lock:
            await lock.touch()

    async def hold_card(self) -> None:  # noqa: D102
        async with VirtualLockControl(self._socket) as lock:
            self._has_opened = (await lock.present_card(_CARD)).is_opened

    async def lay_finger(self) -> None:  # noqa: D102
        async with VirtualLockControl(self._socket) as lock:
            self._has_opened = (await lock.present_finger(_FINGER)).is_opened

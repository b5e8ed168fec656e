"""What must be so before the suite touches a lock, and while it does.

Each closed interlock is in the run's book with the moment and how it was closed.
"""

from __future__ import annotations

from typing import Final

from ttlock_agent.clock import Clock
from ttlock_agent.errors import InterlockOpen

from .book import Acknowledged, Book
from .hands import Person
from .model import CheckSkipped, Limits

LOCK: Final = "lock"
DOOR: Final = "door_open"
DESTRUCTIVE: Final = "destructive"
BATTERY: Final = "battery"
SIGNAL: Final = "signal"


class Interlocks:
    """Asks, remembers for how long an answer counts, and refuses."""

    def __init__(
        self, book: Book, clock: Clock, person: Person, limits: Limits, *, is_virtual: bool
    ) -> None:
        self._book = book
        self._clock = clock
        self._person = person
        self._limits = limits
        self._is_virtual = is_virtual
        self._door_until_s: float | None = None

    async def is_the_lock(self, lock: str, typed: str | None) -> None:
        """Have the lock's id typed again; ``typed`` is an answer that was given before.

        Raises ``InterlockOpen``.
        """
        if self._is_virtual:
            self._note(LOCK, "it is a virtual lock")
            return
        if typed is None and self._person.is_there:
            typed = await self._person.ask(f"To be sure, type the lock's id again ({lock}):")
        if typed != lock:
            raise InterlockOpen(
                "The lock's id was not typed a second time.",
                hint="Type it as it stands in the configuration; unattended: --confirm ID.",
            )
        self._note(LOCK, "its id was typed again")

    async def may_wipe(self, mac_digits: str, typed: str | None) -> None:
        """Have the last six digits of the address typed; raises ``InterlockOpen``."""
        if typed is None and self._is_virtual:
            self._note(DESTRUCTIVE, "it is a virtual lock")
            return
        if typed is None and self._person.is_there:
            typed = await self._person.ask(
                "The lock will be WIPED and restored. Type the last six digits of its address"
                " (on its label):"
            )
        if (typed or "").replace(":", "").upper() != mac_digits.upper():
            raise InterlockOpen(
                "The last six digits of the lock's address were not typed.",
                hint="They stand on its label, and in the app; unattended: --mac-digits.",
            )
        self._note(DESTRUCTIVE, "the last six digits of its address were typed")

    def door_was_declared_open(self) -> None:
        """Take it from the command line; it counts for as long as a person's word."""
        self._open_door("the command line says so")

    async def door_is_open(self) -> None:
        """Make sure that nobody is locked out or in.

        Raises ``CheckSkipped`` when nobody says that the door is open, or said so too long ago.
        """
        if self._is_virtual and self._door_until_s is None:
            self._open_door("a virtual lock has no door")
        if self._door_until_s is not None and self._clock.monotonic() < self._door_until_s:
            return
        if not self._person.is_there:
            what = "expired" if self._door_until_s is not None else "is missing (--door-open)"
            raise CheckSkipped(f"the word that the door stands open {what}")
        minutes = self._limits.door_open_s / 60
        if not await self._person.agrees(
            f"The bolt will move. Does the door stand open, and will it for {minutes:.0f} minutes?"
        ):
            raise CheckSkipped("the door does not stand open")
        self._open_door("a person said so")

    def has_power(self, percent: int | None) -> None:
        """Refuse a lock that may not last; raises ``InterlockOpen``."""
        if percent is not None and percent < self._limits.battery_percent:
            raise InterlockOpen(
                f"The lock's battery is at {percent} %, below {self._limits.battery_percent} %.",
                hint="Change its batteries first; --min-battery lowers the floor.",
            )
        self._note(BATTERY, "not told" if percent is None else f"{percent} %")

    def is_heard(self, rssi_dbm: int | None) -> None:
        """Refuse a lock that is hardly heard; raises ``InterlockOpen``."""
        if rssi_dbm is not None and rssi_dbm < self._limits.rssi_dbm:
            raise InterlockOpen(
                f"The lock is heard at {rssi_dbm} dBm, below {self._limits.rssi_dbm} dBm.",
                hint="Move the Pi closer: what fails at the edge says nothing of the lock."
                " --min-rssi lowers the floor.",
            )
        self._note(SIGNAL, "not told" if rssi_dbm is None else f"{rssi_dbm} dBm")

    def _open_door(self, how: str) -> None:
        self._door_until_s = self._clock.monotonic() + self._limits.door_open_s
        self._note(DOOR, how)

    def _note(self, interlock: str, how: str) -> None:
        self._book.write(Acknowledged(at=self._book.now(), interlock=interlock, how=how))

"""The virtual lock: bytes, touches and time in; notifications and advertisements out.

It does no I/O and knows no time but what it is told: every call says what true time it is (aware,
UTC, never going back). Whatever a call causes is fetched with :meth:`VirtualLock.take_outputs`, and
:meth:`VirtualLock.next_event_at` says when to call :meth:`VirtualLock.tick` at the latest.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.messages.log import LogType

from . import keypad
from .advertising import manufacturer_data
from .body import Body, Entropy
from .connection import IDLE_LIMIT, Connection, HangUp, Notify, Output
from .faults import FaultPlan, Faults
from .keypad import KeypadResult
from .memory import CLOCK_RESET_TO, Battery, KeypadState, Memory, OwnClock, utc

TOUCH_LASTS: Final = timedelta(seconds=12)
"""How long a touch keeps the lock awake; 10 to 15 s were seen (reference 1.2)."""
DORMANT_AFTER: Final = timedelta(minutes=1)
"""Without radio traffic for so long, the radio dozes (reference 1.8)."""
QUIET_WHEN_IDLE_FEATURE: Final = 21

__all__ = ["HangUp", "NotConnectable", "Notify", "Output", "VirtualLock"]


class NotConnectable(LocalProtocolError):
    """The lock does not answer: another central is connected, it sleeps, or its battery is flat."""


class VirtualLock:
    """One lock. Its memory can be saved at any time; see :mod:`.storage`."""

    def __init__(self, memory: Memory, *, entropy: Entropy, faults: Faults | None = None) -> None:
        """Wake up with ``memory``; ``entropy(n)`` returns n unpredictable bytes."""
        self._body = Body(memory, entropy)
        self._connection: Connection | None = None
        self._touched_until: datetime | None = None
        self._quiet_since: datetime | None = None
        self._outputs: list[Output] = []
        self._faults = faults or Faults(FaultPlan(), draw=lambda: 0.0)

    @property
    def faults(self) -> Faults:
        """What goes wrong on the way."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        if self._connection is not None:
            self._connection.faults = faults

    @property
    def memory(self) -> Memory:
        """All that the lock holds right now."""
        return self._body.memory

    @property
    def durable_memory(self) -> Memory:
        """What a power cut would leave: :attr:`memory` without a pairing that is not committed."""
        connection = self._connection
        if connection is None or connection.standing.pairing is None:
            return self._body.memory
        return connection.standing.pairing.before

    @property
    def is_connected(self) -> bool:
        """Whether a central holds the lock's one slot."""
        return self._connection is not None

    def local_time(self, now: datetime) -> datetime:
        """What the lock's own clock shows."""
        return self._body.local_time(utc(now))

    def battery_percent(self, now: datetime) -> int:
        """Battery as the lock reports it."""
        return self._body.battery_percent(utc(now))

    def take_outputs(self) -> list[Output]:
        """Return, once, what is to go to the central, in order."""
        taken, self._outputs = self._outputs, []
        return taken

    def advertisement(self, now: datetime) -> bytes | None:
        """Return the manufacturer data on air now, ``None`` while there is none."""
        now = utc(now)
        if not self._is_on_air(now):
            return None
        is_quiet = self._quiet_since is not None and now - self._quiet_since >= DORMANT_AFTER
        is_touched = self._is_touched(now)
        return manufacturer_data(
            self.memory,
            battery_percent=self._body.battery_percent(now),
            is_touched=is_touched,
            is_dormant=self.memory.quirks.goes_dormant and is_quiet and not is_touched,
        )

    def connect(self, now: datetime) -> None:
        """Give the slot to a central; raises ``NotConnectable``."""
        now = utc(now)
        if not self._is_on_air(now):
            raise NotConnectable("the lock does not answer")
        self._body.connected(now)
        self._connection = Connection(self._body, self._faults, now)

    def receive(self, data: bytes, now: datetime) -> None:
        """Take a write of the central; of a central that was hung up on, nothing is taken."""
        if self._connection is not None:
            self._connection.receive(data, utc(now))
            self._settle(utc(now))

    def disconnect(self, now: datetime) -> None:
        """Note that the central is gone; harmless when it was already."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        now = utc(now)
        if connection.standing.pairing is not None:
            self._body.memory = connection.standing.pairing.before
        self._body.disconnected(now)
        self._quiet_since = now

    def touch(self, now: datetime) -> None:
        """Touch the keypad, which wakes the lock."""
        now = utc(now)
        self._touched_until = now + TOUCH_LASTS
        self._quiet_since = now

    def type_code(self, digits: str, now: datetime) -> KeypadResult:
        """Type a passcode and confirm; raises ``LocalProtocolError`` for other than digits."""
        now = utc(now)
        self.tick(now)
        result = keypad.type_code(self._body, digits, now)
        self.touch(now)
        self._settle(now)
        return result

    def shift_clock(self, seconds: float) -> None:
        """Make the lock's own clock wrong, or less so."""
        self._body.change(clock=self.memory.clock.shifted(seconds))

    def reboot(self, now: datetime) -> None:
        """Change the batteries: full ones, a clock that starts at 2000-01-01, and a log record."""
        now = utc(now)
        self._hang_up(now)
        memory = self.memory
        self._body.change(
            battery=replace(memory.battery, percent=Battery().percent),
            clock=OwnClock(set_to=CLOCK_RESET_TO, set_at=now, drift_ppm=memory.clock.drift_ppm),
            keypad=KeypadState(),
        )
        self._touched_until = None
        self._quiet_since = now
        self._body.record(now, LogType.REBOOTED)

    def next_event_at(self) -> datetime | None:
        """When something happens by itself next, if nothing else does before."""
        candidates = [self.memory.bolt.relock_at]
        if self._connection is not None:
            candidates.append(self._idle_at(self._connection))
            candidates += [each.due_at for each in self._body.late_pushes]
        return min((each for each in candidates if each is not None), default=None)

    def tick(self, now: datetime) -> None:
        """Let happen what is due: auto-lock, announcements, hanging up on an idle central."""
        now = utc(now)
        relock_at = self.memory.bolt.relock_at
        if relock_at is not None and relock_at <= now:
            self._body.close_bolt(now)
        self._settle(now)
        connection = self._connection
        if connection is not None and self._idle_at(connection) <= now:
            self._hang_up(now)

    def _is_on_air(self, now: datetime) -> bool:
        is_quiet_kind = self.memory.has_feature(QUIET_WHEN_IDLE_FEATURE)
        return (
            self._connection is None
            and self._body.battery_percent(now) > 0
            and (not is_quiet_kind or self._is_touched(now))
        )

    def _is_touched(self, now: datetime) -> bool:
        return self._touched_until is not None and now < self._touched_until

    def _idle_at(self, connection: Connection) -> datetime:
        learning = connection.standing.learning
        since = connection.last_traffic_at
        return (since if learning is None else max(since, learning.until)) + IDLE_LIMIT

    def _settle(self, now: datetime) -> None:
        """Say what is to be said, and let go of a link that was dropped."""
        connection = self._connection
        if connection is None:
            return
        connection.flush_pushes(now)
        self._outputs += connection.outputs
        connection.outputs.clear()
        if not connection.is_open:
            self.disconnect(now)

    def _hang_up(self, now: datetime) -> None:
        if self._connection is not None:
            self._connection.hang_up()
            self._settle(now)

"""The lock's body: bolt, clock, battery and log. It knows nothing of radio, frames or keys.

What it wants said to a connected central it leaves in ``pushes`` (at once) and ``late_pushes``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from ttlock_protocol.message import Response
from ttlock_protocol.messages.log import LogRecord, LogType
from ttlock_protocol.messages.operate import BoltState, OperationPush, State

from .memory import Bolt, Memory
from .windows import passage_ends_at

LOG_PUSH_DELAY: Final = timedelta(seconds=5)
"""A log record is announced this long after the operation (reference 5.7)."""
MIN_MOTOR_PERCENT: Final = 5
"""Below it the motor does not run any more; our choice, the code is in reference 6.2."""
NO_DOOR_SENSOR: Final = 2
_MAX_NUMBER: Final = 0xFFFFFFFF

Entropy = Callable[[int], bytes]
"""Returns that many unpredictable bytes."""


@dataclass(frozen=True, slots=True)
class LatePush:
    """Something to be said at ``due_at``, if somebody is connected then."""

    due_at: datetime
    message: Response


class Body:
    """One lock without its radio. ``memory`` is replaced, never changed."""

    def __init__(self, memory: Memory, entropy: Entropy) -> None:
        self.memory = memory
        self.entropy = entropy
        self.connected_since: datetime | None = None
        self.pushes: list[Response] = []
        self.late_pushes: list[LatePush] = []

    def change(self, **changes: Any) -> None:
        """Replace fields of the memory."""
        self.memory = replace(self.memory, **changes)

    def change_settings(self, **changes: Any) -> None:
        """Replace fields of the settings."""
        self.change(settings=replace(self.memory.settings, **changes))

    def local_time(self, now: datetime) -> datetime:
        """What the lock's own clock shows."""
        return self.memory.clock.read(now)

    def charge(self, now: datetime) -> float:
        """Battery in percent, counting the connection that is open."""
        battery = self.memory.battery
        if self.connected_since is None:
            return battery.percent
        hours = (now - self.connected_since) / timedelta(hours=1)
        return max(0.0, battery.percent - max(0.0, hours) * battery.percent_per_connected_hour)

    def battery_percent(self, now: datetime) -> int:
        """Battery as the lock reports it."""
        return round(self.charge(now))

    def can_move(self, now: datetime) -> bool:
        """Whether the battery is good for one more turn of the motor."""
        return self.charge(now) >= MIN_MOTOR_PERCENT

    def connected(self, now: datetime) -> None:
        """Note that the radio costs from now on."""
        self.connected_since = now

    def disconnected(self, now: datetime) -> None:
        """Book what the connection cost; nobody is left to hear a push."""
        self.change(battery=replace(self.memory.battery, percent=self.charge(now)))
        self.connected_since = None
        self.pushes.clear()
        self.late_pushes.clear()

    def record(self, now: datetime, log_type: LogType, **parts: Any) -> None:
        """Write a log record and announce it a little later."""
        shown = self.local_time(now)
        battery = self.battery_percent(now)
        record = LogRecord(log_type=log_type, recorded_at=shown, battery=battery, **parts)
        self.change(log=self.memory.log.appended(record))
        if self.connected_since is None:
            return
        number = self.memory.log.written if record.record_id is None else record.record_id
        push = OperationPush(
            battery_percent=battery,
            user_id=record.user_id or 0,
            record_id=number & _MAX_NUMBER,
            operated_at=shown,
        )
        self.late_pushes.append(LatePush(now + LOG_PUSH_DELAY, push))

    def open_bolt(self, now: datetime) -> None:
        """Withdraw the bolt."""
        self._move_bolt(Bolt(state=BoltState.UNLOCKED, opened_at=now), now)

    def close_bolt(self, now: datetime) -> None:
        """Throw the bolt."""
        self._move_bolt(Bolt(state=BoltState.LOCKED), now)

    def close_bolt_by_command(self, now: datetime) -> None:
        """Throw the bolt because somebody wants it so, even in passage mode (reference 6.15)."""
        ends_at = passage_ends_at(self.memory, self.local_time(now))
        if ends_at is not None:
            self.change(passage_left_until=ends_at)
        self.close_bolt(now)

    def relock_at(self, now: datetime) -> datetime | None:
        """When the auto-lock throws the bolt, as things stand; passage mode makes it wait."""
        delay_s = self.memory.settings.auto_lock_s
        opened_at = self.memory.bolt.opened_at
        if opened_at is None or not delay_s:
            return None
        relock_at = opened_at + timedelta(seconds=delay_s)
        ends_at = passage_ends_at(self.memory, self.local_time(now))
        return relock_at if ends_at is None else max(relock_at, self.true_time(ends_at, now))

    def true_time(self, shown: datetime, now: datetime) -> datetime:
        """When the lock's own clock will show ``shown``, its drift set aside."""
        return now + (shown - self.local_time(now))

    def state(self, now: datetime) -> State:
        """Battery and bolt as the lock tells them."""
        return State(
            battery_percent=self.battery_percent(now),
            bolt=self.memory.bolt.state,
            raw_door_sensor=NO_DOOR_SENSOR,
        )

    def _move_bolt(self, bolt: Bolt, now: datetime) -> None:
        has_moved = bolt.state != self.memory.bolt.state
        self.change(bolt=bolt)
        if has_moved and self.connected_since is not None:
            self.pushes.append(self.state(now))

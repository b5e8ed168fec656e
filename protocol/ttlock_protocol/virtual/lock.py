"""The virtual lock: bytes, touches and time in; notifications and advertisements out.

It does no I/O and knows no time but what it is told: every call says what true time it is (aware,
UTC, never going back). Whatever a call causes is fetched with :meth:`VirtualLock.take_outputs`, and
:meth:`VirtualLock.next_event_at` says when to call :meth:`VirtualLock.tick` at the latest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ttlock_protocol.advertisement import build
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Opcode
from ttlock_protocol.messages.cards import LONG_CARD_BYTES, SHORT_CARD_BYTES
from ttlock_protocol.messages.fingerprints import FINGERPRINT_BYTES
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.operate import BoltState
from ttlock_protocol.messages.settings import Switch

from . import keypad, panel
from .body import Body, Entropy
from .connection import IDLE_LIMIT, Connection, HangUp, Notify, Output
from .faults import FaultPlan, Faults
from .keypad import KeypadReason, KeypadResult
from .memory import CLOCK_RESET_TO, Battery, KeypadState, Memory, OwnClock, utc
from .windows import next_passage_start, passage_ends_at

TOUCH_LASTS: Final = timedelta(seconds=12)
"""How long a touch keeps the lock awake; 10 to 15 s were seen (reference 1.2)."""
DORMANT_AFTER: Final = timedelta(minutes=1)
"""Without radio traffic for so long, the radio dozes (reference 1.8)."""

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
        self._ticked_at: datetime | None = None
        self._outputs: list[Output] = []
        self._faults = faults or Faults(FaultPlan(), draw=lambda: 0.0)

    def set_faults(self, faults: Faults) -> None:
        """Let other things go wrong on the way, from now on."""
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
        pairing = None if connection is None else connection.standing.pairing
        memory = self._body.memory
        if pairing is None or pairing.is_committed:
            return memory
        # What happened at the door did happen, whoever was being told secrets meanwhile.
        left = replace(pairing.before, bolt=memory.bolt, log=memory.log, keypad=memory.keypad)
        return pairing.before if left == pairing.before else left

    @property
    def is_connected(self) -> bool:
        """Whether a central holds the lock's one slot."""
        return self._connection is not None

    def local_time(self, now: datetime) -> datetime:
        """What the lock's own clock shows."""
        return self._body.local_time(self._at(now))

    def battery_percent(self, now: datetime) -> int:
        """Battery as the lock reports it."""
        return self._body.battery_percent(self._at(now))

    def take_outputs(self) -> list[Output]:
        """Return, once, what is to go to the central, in order."""
        taken, self._outputs = self._outputs, []
        return taken

    def advertisement(self, now: datetime) -> bytes | None:
        """Return the manufacturer data on air now, ``None`` while there is none."""
        now = self._at(now)
        if not self._is_on_air(now):
            return None
        assert self._quiet_since is not None, "it is told the time"
        is_quiet = now - self._quiet_since >= DORMANT_AFTER
        is_touched = self._is_touched(now)
        memory = self.memory
        return build(
            mac=memory.mac,
            scene=memory.version.scene,
            battery_percent=self._body.battery_percent(now),
            is_unlocked=memory.bolt.state == BoltState.UNLOCKED,
            has_new_records=memory.log.has_unread,
            is_setting_mode=memory.administrator is None,
            is_touched=is_touched,
            is_dormant=self.memory.habits.goes_dormant and is_quiet and not is_touched,
        ).encode()

    def connect(self, now: datetime) -> None:
        """Give the slot to a central; raises ``NotConnectable``."""
        now = self._at(now)
        if not self._is_on_air(now):
            raise NotConnectable("the lock does not answer")
        # Whatever the one before did not fetch was for nobody else.
        self._outputs.clear()
        self._body.connected(now)
        self._connection = Connection(self._body, self._faults, now)

    def receive(self, data: bytes, now: datetime) -> None:
        """Take a write of the central; of a central that was hung up on, nothing is taken."""
        if self._connection is not None:
            self._connection.receive(data, self._at(now))
            self._settle(self._at(now))

    def disconnect(self, now: datetime) -> None:
        """Note that the central is gone; harmless when it was already."""
        if self._connection is None:
            return
        now = self._at(now)
        self._body.memory = self.durable_memory
        self._connection = None
        self._body.disconnected(now)
        self._quiet_since = now

    def touch(self, now: datetime) -> None:
        """Touch the keypad, which wakes the lock."""
        now = self._at(now)
        self._touched_until = now + TOUCH_LASTS
        self._quiet_since = now

    def type_code(self, digits: str, now: datetime) -> KeypadResult:
        """Type a passcode and confirm; raises ``LocalProtocolError`` for other than digits."""
        now = self._at(now)
        self.tick(now)
        result = keypad.type_code(self._body, digits, now)
        self.touch(now)
        self._settle(now)
        return result

    def present_card(self, number: bytes, now: datetime) -> KeypadResult:
        """Hold a card (4 or 8 bytes) against the reader, to open or to be learnt."""
        if len(number) not in (SHORT_CARD_BYTES, LONG_CARD_BYTES):
            raise LocalProtocolError("a card number is 4 or 8 bytes")
        return self._present(Opcode.CARDS, number, now, panel.present_card)

    def present_finger(self, fingerprint: bytes, now: datetime) -> KeypadResult:
        """Lay a finger, named by 6 bytes, on the scanner, to open or to be learnt."""
        if len(fingerprint) != FINGERPRINT_BYTES:
            raise LocalProtocolError("a fingerprint is named by 6 bytes")
        return self._present(Opcode.FINGERPRINTS, fingerprint, now, panel.present_finger)

    def turn_key(self, now: datetime) -> None:
        """Turn the mechanical key: the bolt goes to its other side."""
        now = self._at(now)
        self.tick(now)
        if self.memory.bolt.state == BoltState.UNLOCKED:
            self._body.close_bolt(now)
            self._body.record(now, LogType.KEY_LOCK)
        else:
            self._body.open_bolt(now)
            self._body.record(now, LogType.KEY_UNLOCK)
        self._settle(now)

    def shift_clock(self, seconds: float) -> None:
        """Make the lock's own clock wrong, or less so."""
        self._body.change(clock=self.memory.clock.shifted(seconds))

    def reboot(self, now: datetime) -> None:
        """Change the batteries: full ones, a clock that starts at 2000-01-01, and a log record."""
        now = self._at(now)
        self._hang_up(now)
        memory = self.memory
        self._body.change(
            battery=replace(memory.battery, percent=Battery().percent),
            clock=OwnClock(set_to=CLOCK_RESET_TO, set_at=now, drift_ppm=memory.clock.drift_ppm),
            keypad=KeypadState(),
        )
        self._body.record(now, LogType.REBOOTED)
        self._touched_until = None
        self._ticked_at = now
        self._quiet_since = now

    def press_reset_button(self, now: datetime) -> bool:
        """Hold the reset button until it beeps; return whether the lock minded it."""
        now = self._at(now)
        if not self.memory.settings.switches & Switch.RESET_BUTTON:
            return False
        self._hang_up(now)
        self._body.memory = self.memory.wiped()
        self.touch(now)
        return True

    def next_event_at(self, now: datetime) -> datetime | None:
        """When something happens by itself next, as things stand ``now``."""
        now = self._at(now)
        candidates = [self._body.relock_at(now)]
        if self._opens_by_itself:
            shown = self._body.local_time(now)
            starts_at = next_passage_start(self.memory, shown)
            candidates.append(starts_at and self._body.true_time(starts_at, now))
        if self._connection is not None:
            candidates.append(self._idle_at(self._connection))
            candidates += [each.due_at for each in self._body.late_pushes]
        return min((each for each in candidates if each is not None), default=None)

    def tick(self, now: datetime) -> None:
        """Let happen what is due: auto-lock, passage mode, announcements, dropping idle ones."""
        now = self._at(now)
        relock_at = self._body.relock_at(now)
        if relock_at is not None and relock_at <= now:
            self._body.close_bolt(now)
        if self._opens_by_itself and self._has_passage_begun(now):
            self._body.open_bolt(now)
        self._ticked_at = now
        self._settle(now)
        connection = self._connection
        if connection is not None and self._idle_at(connection) <= now:
            self._hang_up(now)

    @property
    def _opens_by_itself(self) -> bool:
        memory = self.memory
        return bool(
            memory.passage
            and Feature.PASSAGE_AUTO_UNLOCK in memory.features
            and memory.settings.switches & Switch.PASSAGE_AUTO_UNLOCK
        )

    def _has_passage_begun(self, now: datetime) -> bool:
        """Whether a window began since the last tick and is still open."""
        shown = self._body.local_time(now)
        starts_at = next_passage_start(self.memory, self._body.local_time(self._ticked_at or now))
        has_begun = starts_at is not None and starts_at <= shown
        return has_begun and passage_ends_at(self.memory, shown) is not None

    def _present(
        self,
        opcode: Opcode,
        credential: bytes,
        now: datetime,
        judge: Callable[[Body, bytes, datetime], KeypadResult],
    ) -> KeypadResult:
        now = self._at(now)
        self.tick(now)
        connection = self._connection
        if connection is not None and connection.teach(opcode, credential, now):
            result = KeypadResult(False, KeypadReason.LEARNING)
        else:
            result = judge(self._body, credential, now)
        self.touch(now)
        self._settle(now)
        return result

    def _at(self, now: datetime) -> datetime:
        """Return ``now`` in UTC; the first time that the lock is told is when it woke up."""
        now = utc(now)
        self._ticked_at = self._ticked_at or now
        self._quiet_since = self._quiet_since or now
        return now

    def _is_on_air(self, now: datetime) -> bool:
        is_quiet_kind = Feature.SILENT_WHEN_IDLE in self.memory.features
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

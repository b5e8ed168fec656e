"""What locks say to everybody: bolt, battery, and how strongly they are heard.

It costs a lock nothing, and is kept in memory only: it is said again within seconds. Locks
advertise many times a minute, so it is shown when it changes and otherwise every now and then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JournalError
from ttlock_agent.jobs.model import Known
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.link import Sighting
from ttlock_protocol.advertisement import Advertisement
from ttlock_protocol.messages.operate import BoltState

log = structlog.get_logger()

SHOW_AT_ONCE: Final = 10
"""So many changes of one lock are shown as they come: a door is opened and locks itself again."""
SHOW_APART_S: Final = 30.0
"""Those beyond that, as somebody may play with the door or with a radio, only so often."""
SHORTEST_PAUSE_S: Final = 0.1
"""What is left of a second by rounding is no pause: the moment would never come."""
SHOW_EVERY_S: Final = 900.0
"""How old the strength and the moment of the last advertisement may be on show."""

SESSION: Final = "session"
ADVERTISEMENT: Final = "advertisement"
_NAMES: Final = ("lock", "battery_percent")

News = tuple[BoltState, int | None, int]


@dataclass(slots=True, kw_only=True)
class _Voice:
    """What one lock has said so far."""

    seen_at: datetime
    seen_at_s: float
    rssi_dbm: int | None
    raw_battery: int
    battery_since_s: float
    """Since when it says so, and nobody we know of has been connected."""
    bolt: BoltState = BoltState.UNKNOWN
    bolt_at: datetime | None = None
    battery_percent: int | None = None
    battery_at: datetime | None = None
    visits: int = 0
    """Connections of ours, counted when the lock is heard after them: a session may have read
    something else meanwhile."""
    is_visited: bool = False

    @property
    def news(self) -> News:
        """What is worth showing at once when it changes."""
        return self.bolt, self.battery_percent, self.visits


class Heard:
    """The voices of all locks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._voices: dict[str, _Voice] = {}
        self._on_news: Callable[[], None] = lambda: None

    def listen(self, on_news: Callable[[], None]) -> None:
        """Call ``on_news`` when a lock has said something new."""
        self._on_news = on_news

    @property
    def locks(self) -> list[str]:
        """All that have been heard."""
        return list(self._voices)

    def take(self, lock: str, sighting: Sighting, now: Advertisement) -> None:
        """Take one advertisement of ``lock``; an older one, of another adapter, is nothing new."""
        at_s = sighting.seen_at_monotonic_s
        seen_at = self._clock.now() - timedelta(seconds=self._clock.monotonic() - at_s)
        voice = self._voices.get(lock)
        if voice is None:
            voice = self._voices[lock] = _Voice(
                seen_at=seen_at,
                seen_at_s=at_s,
                rssi_dbm=None,
                raw_battery=now.battery,
                battery_since_s=at_s,
            )
        if at_s < voice.seen_at_s:
            return
        before = voice.news
        voice.visits += voice.is_visited
        voice.is_visited = False
        voice.seen_at, voice.seen_at_s = seen_at, at_s
        voice.rssi_dbm = sighting.rssi_dbm
        # A dozing lock does not tell: then what it told before stands, with its own moment.
        voice.bolt = now.bolt_over(voice.bolt)
        if now.bolt != BoltState.UNKNOWN:
            voice.bolt_at = seen_at
        if now.battery != voice.raw_battery:
            # Somebody's phone or gateway may have just been connected, which makes it jump (D35).
            voice.raw_battery, voice.battery_since_s = now.battery, at_s
        percent = now.battery_after(at_s - voice.battery_since_s)
        if percent is not None:
            voice.battery_percent, voice.battery_at = percent, seen_at
        if voice.news != before:
            self._on_news()

    def visited(self, lock: str) -> None:
        """Note that a connection of our own has just ended, so that its battery may be wrong."""
        voice = self._voices.get(lock)
        if voice is not None:
            voice.battery_since_s = self._clock.monotonic()
            voice.is_visited = True

    def news(self, lock: str) -> News:
        """What is shown at once when it changes."""
        return self._voices[lock].news

    def seen_at(self, lock: str) -> datetime:
        """When ``lock`` was heard last."""
        return self._voices[lock].seen_at

    def facts(self, lock: str, read: Known | None) -> dict[str, Any]:
        """Return the freshest that is known of bolt and battery, each with its moment and source.

        ``read`` is what a session read last: ``lock`` and ``battery_percent``.
        """
        voice = self._voices.get(lock)
        known: dict[str, list[tuple[datetime, Any, str]]] = {name: [] for name in _NAMES}
        body: dict[str, Any] = {}
        if read is not None:
            body["lock"] = BoltState.UNKNOWN.name
            for name in _NAMES:
                if read.value[name] not in (None, BoltState.UNKNOWN.name):
                    known[name].append((read.as_of, read.value[name], SESSION))
        if voice is not None:
            body |= {
                "lock": BoltState.UNKNOWN.name,
                "rssi_dbm": voice.rssi_dbm,
                "seen_at": _text(voice.seen_at),
            }
            if voice.bolt_at is not None:
                known["lock"].append((voice.bolt_at, voice.bolt.name, ADVERTISEMENT))
            if voice.battery_at is not None:
                percent = voice.battery_percent
                known["battery_percent"].append((voice.battery_at, percent, ADVERTISEMENT))
        for name, candidates in known.items():
            if candidates:
                as_of, value, source = max(candidates, key=lambda each: each[0])
                short = name.removesuffix("_percent")
                body |= {name: value, f"{short}_as_of": _text(as_of), f"{short}_source": source}
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What was shown of a lock, when, and how many changes may be shown at once after it."""

    at_s: float
    seen_at: datetime
    news: News
    left: float


class HeardTeller:
    """Shows what was heard: changes soon, the rest seldom."""

    def __init__(
        self, heard: Heard, show: Callable[[str], Awaitable[None]], *, clock: Clock
    ) -> None:
        """``show`` publishes the state of a lock; it may raise ``JournalError``."""
        self._heard = heard
        self._show = show
        self._clock = clock
        self._alarm = Alarm(clock)
        self._shown: dict[str, _Shown] = {}
        heard.listen(self._alarm.ring)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            pauses = [await self._tell(lock) for lock in self._heard.locks]
            pause_s = min(pauses, default=SHOW_EVERY_S)
            await self._alarm.wait_until(self._clock.now() + timedelta(seconds=pause_s))

    async def _tell(self, lock: str) -> float:
        """Show ``lock`` if it is time to; return after how many seconds to look again."""
        now_s = self._clock.monotonic()
        seen_at, news = self._heard.seen_at(lock), self._heard.news(lock)
        shown = self._shown.get(lock)
        if shown is None:
            left = float(SHOW_AT_ONCE)
        elif news != shown.news:
            left = min(SHOW_AT_ONCE, shown.left + (now_s - shown.at_s) / SHOW_APART_S)
            if left < 1:
                return max(SHORTEST_PAUSE_S, (1 - left) * SHOW_APART_S)
            left -= 1
        elif now_s - shown.at_s < SHOW_EVERY_S or seen_at == shown.seen_at:
            return SHOW_EVERY_S
        else:
            left = float(SHOW_AT_ONCE)
        self._shown[lock] = _Shown(at_s=now_s, seen_at=seen_at, news=news, left=left)
        try:
            await self._show(lock)
        except JournalError as error:
            log.warning("lock_state_not_shown", lock=lock, code=error.code)
        return SHOW_EVERY_S


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")

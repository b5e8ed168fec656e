"""The radios of all adapters: each lock is visited by that of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

from ttlock_agent.clock import Clock
from ttlock_agent.heartbeats import Heartbeats
from ttlock_agent.jobs.adapters import AllAirtime, OwnLocks
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.door import Sign
from ttlock_agent.jobs.radio import Radio, Report
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.jobs.work import Work
from ttlock_agent.link import LinkFactory
from ttlock_agent.link.observed import ObservedLinks
from ttlock_agent.lock.visit import LockProfile

RADIO_LIMIT_S: Final = 900.0
"""Between two signs of life of the radio: the longest waits are for a lock that is not seen (300 s
at the most patient setting) and for an adapter on its way back."""


class Radios:
    """One radio an adapter; made before what rings them, and opened after that."""

    def __init__(
        self, adapters: Iterable[str | None], *, heartbeats: Heartbeats, clock: Clock
    ) -> None:
        """``adapters`` are names as configured; a repeat is harmless."""
        self._clock = clock
        self._alarms = {adapter: Alarm(clock) for adapter in adapters}
        self._beats = {
            adapter: heartbeats.loop(f"radio {adapter or ''}".strip(), limit_s=RADIO_LIMIT_S)
            for adapter in self._alarms
        }
        self._airtimes = {adapter: asyncio.Lock() for adapter in self._alarms}
        self._radios: dict[str | None, Radio] = {}
        self._profiles: Mapping[str, LockProfile] = {}

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """One for each radio: rung when there may be work for it."""
        return tuple(self._alarms.values())

    @property
    def airtime(self) -> AllAirtime:
        """Every adapter at once."""
        return AllAirtime(list(self._airtimes.values()))

    @property
    def owners(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """The tasks to run."""
        return [radio.run for radio in self._radios.values()]

    def open(
        self,
        links: LinkFactory,
        profiles: Mapping[str, LockProfile],
        *,
        journal: Journal,
        work: Work,
        answers: Answers,
        random: Callable[[], float],
        on_report: Callable[[Report], Awaitable[None]],
    ) -> None:
        """Make the radios; ``profiles`` are looked at anew each time."""
        self._profiles = profiles
        self._radios = {
            adapter: Radio(
                ObservedLinks(links, self._beats[adapter]),
                OwnLocks(profiles, adapter),
                journal=journal,
                work=work,
                answers=answers,
                clock=self._clock,
                alarm=alarm,
                random=random,
                on_report=on_report,
                beat=self._beats[adapter],
                airtime=self._airtimes[adapter],
            )
            for adapter, alarm in self._alarms.items()
        }

    def ring(self) -> None:
        """There may be work for any of them."""
        for alarm in self._alarms.values():
            alarm.ring()

    def beat(self) -> None:
        """Somebody who has all adapters makes progress."""
        for beat in self._beats.values():
            beat()

    def someone_is_at(self, sign: Sign) -> None:
        """Pass it on to the radio of the lock."""
        self._radio_of(sign.lock).someone_is_at(sign)

    def lock_is_heard(self, lock: str) -> None:
        """Pass it on to the radio of the lock."""
        self._radio_of(lock).lock_is_heard(lock)

    def _radio_of(self, lock: str) -> Radio:
        return self._radios[self._profiles[lock].adapter]

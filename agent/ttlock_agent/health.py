"""How the agent is: its adapters, its journal, its machine's clock. Told over MQTT on each change.

Never through the journal: a disk that is full is one of the things to tell, and only the state at
this moment is of interest.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JournalError
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.mqtt.connection import MqttConnection
from ttlock_agent.mqtt.errors import BrokerUnavailable, PublishRefused
from ttlock_agent.publication import Publication
from ttlock_agent.timesync import TimeSync

LOOK_EVERY: Final = timedelta(seconds=5)
"""How late the trouble of a journal may be told; adapters tell at once."""
ASK_TIME_EVERY_S: Final = 300.0
"""Asking may start a service of its own."""


class Health:
    """What there is to say of how the agent is."""

    def __init__(
        self, adapters: Adapters, journal: Journal, time_sync: TimeSync, *, clock: Clock
    ) -> None:
        self.adapters = adapters
        self._journal = journal
        self._time_sync = time_sync
        self._clock = clock
        self._is_synchronised: bool | None = None
        self._ask_time_at_s = clock.monotonic()

    async def now(self) -> dict[str, Any]:
        """Return the part that ``status`` and ``health`` have in common."""
        self._is_synchronised = await self._time_sync.is_synchronised()
        self._ask_time_at_s = self._clock.monotonic() + ASK_TIME_EVERY_S
        return self._body()

    async def lately(self) -> dict[str, Any]:
        """Return the same, at little cost: the machine's clock was asked some minutes ago."""
        is_due = self._clock.monotonic() >= self._ask_time_at_s
        return await self.now() if is_due else self._body()

    @property
    def trouble(self) -> str:
        """What is wrong, in a few words for a line; empty if nothing is."""
        parts = [
            f"adapter {each.wanted or each.adapter or ''}".strip() + f" {each.name}"
            for each in self.adapters.states
            if each.problem is not None
        ]
        if (trouble := self._journal_trouble()) is not None:
            parts.insert(0, f"journal {trouble.problem}")
        return "; ".join(parts)

    def _journal_trouble(self) -> JournalError | None:
        return self._journal.trouble or self._journal.damage

    def _body(self) -> dict[str, Any]:
        trouble = self._journal_trouble()
        return {
            "adapters": [each.as_json() for each in self.adapters.states],
            "journal_trouble": None if trouble is None else _trouble(trouble),
            "is_time_synchronised": self._is_synchronised,
        }


class HealthTeller:
    """Publishes it, retained, on each change and to each new connection."""

    def __init__(
        self, health: Health, connection: MqttConnection, topic: str, *, clock: Clock
    ) -> None:
        self._health = health
        self._connection = connection
        self._topic = topic
        self._clock = clock
        self._alarm = Alarm(clock)
        self._said: tuple[datetime, dict[str, Any]] | None = None
        """On which connection, and what."""
        health.adapters.listen(lambda _: self._alarm.ring())

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await self._connection.wait_connected()
            # A broker that was started anew may have lost what it kept for us.
            saying = self._connection.state.since, await self._health.lately()
            if saying != self._said and await self._say(saying[1]):
                self._said = saying
            await self._alarm.wait_until(self._clock.now() + LOOK_EVERY)

    async def _say(self, body: dict[str, Any]) -> bool:
        """Publish; whether there is nothing more to do about it."""
        as_of = self._clock.now().isoformat(timespec="seconds")
        payload = msgspec.json.encode({"as_of": as_of} | body)
        try:
            await self._connection.publish(Publication(self._topic, payload, retain=True))
        except BrokerUnavailable:
            return False
        except PublishRefused:
            return True  # the connection has logged it; a person has to change the access list
        return True


def _trouble(error: JournalError) -> dict[str, str]:
    return {"problem": error.problem.value, "message": error.message, "hint": error.hint}

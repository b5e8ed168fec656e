"""One connection to one lock, and what can be done in it.

A visit authenticates once, when something first needs it, and remembers what it has read so that no
round trip is made twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Final, TypeVar

from ttlock_agent.clock import Clock
from ttlock_agent.link import Link, LinkFactory
from ttlock_agent.lock.client import LockClient
from ttlock_protocol.advertisement import Advertisement, parse
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.localtime import clock_drift, to_lock
from ttlock_protocol.message import Auth, Request, Response
from ttlock_protocol.messages.clock import GetClock, SetClock
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import PasscodeRecord
from ttlock_protocol.procedures import (
    Procedure,
    authenticate,
    greet,
    list_passcodes,
    needed_auth,
)
from ttlock_protocol.quirks import NO_QUIRKS, Quirks
from ttlock_protocol.session import Session

Listing = tuple[PasscodeRecord | Unreadable, ...]
"""All that a lock says it holds."""

R = TypeVar("R", bound=Response)
T = TypeVar("T")

REPROOF_INTERVAL: Final = timedelta(hours=1)
"""What a lock holds changes rarely behind our back; a listing costs a round trip a passcode."""
CONNECT_TIMEOUT_S: Final = 20.0
"""A dozing lock advertises every ten seconds at worst; this hears two of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much of a lock's battery a day may take."""

    connections_per_day: int = 200
    connected_s_per_day: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LockProfile:
    """What the agent knows of a lock before it visits it."""

    id: str
    address: str
    zone: tzinfo
    keys: LockKeys = field(repr=False)
    clock_tolerance_s: float
    response_timeout_s: float
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    quirks: Quirks = NO_QUIRKS
    reproof_interval: timedelta = REPROOF_INTERVAL
    adapter: str | None = None
    """Name or address of the adapter that reaches it; ``None`` is the first usable one."""
    budget: Budget = Budget()
    removes_unknown: bool = False
    """Whether passcodes that nobody the agent knows wants are deleted."""
    may_unlock: bool = False
    """Whether callers over MQTT may move the bolt back; the control socket always may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """How far a lock's clock was off: positive when it was fast, ``None`` when it held no time."""

    error_s: float | None
    read_at: datetime


class Visit:
    """An open connection; made by :func:`visit_lock`."""

    def __init__(
        self,
        client: LockClient,
        profile: LockProfile,
        clock: Clock,
        *,
        rssi_dbm: int | None = None,
    ) -> None:
        self.rssi_dbm = rssi_dbm
        """How strongly the lock was heard when the connection was made, if that is known."""
        self._client = client
        self._profile = profile
        self._clock = clock
        self._granted: set[Auth] = set()
        self._listing: Listing | None = None

    @property
    def round_trips(self) -> int:
        """Requests sent so far."""
        return self._client.round_trips

    @property
    def listing(self) -> Listing | None:
        """What the lock held when it was last listed in this visit."""
        return self._listing

    async def ask(self, request: Request[R]) -> R:
        """Send one request, authenticating first where it needs that; raises like the client."""
        await self._authenticate(needed_auth(request, self._profile.keys, self._profile.quirks))
        return await self._client.request(request)

    async def run(self, procedure: Procedure[T], *, auth: Auth) -> T:
        """Drive a procedure, authenticating first where it needs that."""
        await self._authenticate(auth)
        return await self._client.run(procedure)

    async def read_clock(self) -> ClockReading | None:
        """Measure the lock's clock; ``None`` for a lock that has none."""
        try:
            answer = await self.ask(GetClock())
        except CommandRefused as refused:
            if refused.refusal != Refusal.NOT_SUPPORTED:
                raise
            return None
        now = self._clock.now()
        if answer.local_time is None:
            return ClockReading(error_s=None, read_at=now)
        drift = clock_drift(answer.local_time, now, self._profile.zone)
        return ClockReading(error_s=drift.total_seconds(), read_at=now)

    async def set_clock(self) -> None:
        """Set the lock's clock to this machine's time in the lock's zone."""
        await self.ask(SetClock(local_time=to_lock(self._clock.now(), self._profile.zone)))

    async def passcodes(self, *, is_fresh: bool) -> Listing:
        """List what the lock holds; if not ``is_fresh``, an earlier listing of this visit does."""
        if self._listing is None or is_fresh:
            self._listing = await self.run(list_passcodes(), auth=Auth.ADMIN)
        return self._listing

    async def be_admin(self) -> None:
        """Authenticate as the administrator, once in a visit."""
        await self._authenticate(Auth.ADMIN)

    async def _authenticate(self, auth: Auth) -> None:
        if auth not in self._granted:
            await self._client.run(authenticate(auth, self._profile.keys))
            self._granted.add(auth)


def first_header(link: Link, stored: Version) -> Version:
    """Return the header to begin with: as advertised, with what is not from ``stored`` (D6)."""
    seen = parse(link.manufacturer_data)
    if not isinstance(seen, Advertisement):
        return stored
    return replace(seen.version, group=stored.group, organisation=stored.organisation)


@asynccontextmanager
async def visit_lock(
    factory: LinkFactory, profile: LockProfile, clock: Clock
) -> AsyncGenerator[Visit]:
    """Connect, and disconnect whatever happens; raises a ``LinkError`` when there is no way in."""
    link = await factory.connect(profile.address, timeout_s=profile.connect_timeout_s)
    try:
        version = first_header(link, profile.keys.version)
        session = Session(key=profile.keys.aes_key, version=version, quirks=profile.quirks)
        client = LockClient(link, session, response_timeout_s=profile.response_timeout_s)
        await client.run(greet(profile.quirks))
        yield Visit(client, profile, clock, rssi_dbm=link.rssi_dbm)
    finally:
        await link.close()

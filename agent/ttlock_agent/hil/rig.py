"""What a check may use: connections, promises to put things back, hands at the lock, and notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from ttlock_agent.clock import Clock
from ttlock_agent.errors import AgentError, InterlockOpen, LinkError
from ttlock_agent.link import LinkFactory
from ttlock_agent.lock.visit import LockProfile, Visit
from ttlock_agent.vault import Vault
from ttlock_protocol.errors import CommandRefused, ProtocolError
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.localtime import to_lock
from ttlock_protocol.message import Request
from ttlock_protocol.messages.clock import SetClock
from ttlock_protocol.messages.passcodes import PasscodeRecord
from ttlock_protocol.quirks import Quirks

from .air import Air
from .book import (
    Answered,
    Book,
    Broken,
    Connected,
    Kept,
    Measured,
    Moved,
    Noted,
    Promised,
)
from .box import Box
from .hands import Hands, Person
from .interlocks import Interlocks
from .model import RESERVED_PREFIX, CheckFailed, Limits, Pace, expect
from .talk import Talk, talk
from .undo import open_requests, put_back, seal_requests

CONNECT_TRIES: Final = 3
_FREE_DIGITS: Final = 7
_NOTE: Final = "hil-note"


class Rig:
    """One lock, one run. Not for concurrent use."""

    def __init__(
        self,
        *,
        profile: LockProfile,
        zone: str,
        keep_keys: Callable[[LockKeys], Awaitable[None]],
        links: Callable[[bool], LinkFactory],
        book: Book,
        vault: Vault,
        clock: Clock,
        person: Person,
        hands: Hands,
        pace: Pace,
        limits: Limits,
        interlocks: Interlocks,
        randbelow: Callable[[int], int],
        is_virtual: bool,
        mac_digits: str | None = None,
    ) -> None:
        """``links`` makes a factory; its argument says whether each write is acknowledged (D38)."""
        self.profile = profile
        self.zone = zone
        self.typed_mac_digits = mac_digits
        """What somebody gave beforehand as the last six digits of the address."""
        self.mac = ""
        """As the lock tells it."""
        self.book = book
        self.vault = vault
        self.clock = clock
        self.person = person
        self.hands = hands
        self.pace = pace
        self.limits = limits
        self.is_virtual = is_virtual
        self.features: FeatureSet | None = None
        """``None`` until the lock has told them, and when it never does."""
        self.log_cursor: int | None = None
        """Behind the newest log record that was read."""
        self.air = Air(profile.address, clock)
        self.check = ""
        self.held: frozenset[str] = frozenset()
        """Digits that the lock held when it was listed last: a new passcode must not begin so."""
        self.interlocks = interlocks
        self._make_links = links
        self._keep_keys = keep_keys
        self._has_other_ears = False
        self._randbelow = randbelow
        self.links = links(profile.quirks.writes_with_response)
        self._connections = sum(1 for _ in book.all(Connected))
        self._motor_runs = sum(1 for _ in book.all(Moved))

    # Connections.

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Hear the lock's advertisements while the context lasts."""
        self.air.listen(self.links)
        try:
            yield
        finally:
            await self.air.stop()

    @asynccontextmanager
    async def boxed(self, name: str) -> AsyncGenerator[Box]:
        """Hand the lock to an agent of its own; this process keeps off the radio meanwhile."""
        box = self.box(name)
        async with self.boxed_as(box):
            yield box

    @asynccontextmanager
    async def boxed_as(self, box: Box) -> AsyncGenerator[None]:
        """Hand the lock to ``box`` as :meth:`boxed` does."""
        await self.air.stop()
        try:
            async with box.running():
                yield
        finally:
            self.air.listen(self.links)

    def box(self, name: str) -> Box:
        """Return an agent that keeps its state in the run's directory, under ``name``.

        What it delivered it wants to see in the lock for ever: another name is another agent, which
        wants nothing.
        """
        return Box(self.book.directory / "agents" / name, self.profile, self.zone, self.clock)

    async def adopt(self, keys: LockKeys) -> None:
        """Keep new keys of the lock in the vault, and use them from now on."""
        await self._keep_keys(keys)
        self.profile = replace(self.profile, keys=keys)

    @asynccontextmanager
    async def visit(self, **quirks: Any) -> AsyncGenerator[Visit]:
        """Connect, trying a few times; ``quirks`` are tried besides those that are known."""
        async with self.talk(**quirks) as connection:
            yield connection.visit

    @asynccontextmanager
    async def once(self) -> AsyncGenerator[Visit]:
        """Connect as :meth:`visit` does, without a second try."""
        async with self.talk(tries=1) as connection:
            yield connection.visit

    @asynccontextmanager
    async def talk(
        self, *, header: Version | None = None, tries: int = CONNECT_TRIES, **quirks: Any
    ) -> AsyncGenerator[Talk]:
        """Connect as :meth:`visit` does, and show the parts of the connection."""
        if self._has_other_ears:
            await self.air.stop()
            self.air.listen(self.links)
            self._has_other_ears = False
        profile = replace(self.profile, quirks=replace(self.profile.quirks, **quirks))
        for left in reversed(range(tries)):
            context = talk(self._counted(), profile, self.clock, header=header)
            try:
                connection = await context.__aenter__()
            except LinkError:
                if not left:
                    raise
                await self.clock.sleep(self.pace.pause_s)
            else:
                break
        try:
            yield connection
        except BaseException as error:
            await context.__aexit__(type(error), error, error.__traceback__)
            raise
        else:
            await context.__aexit__(None, None, None)

    def _counted(self) -> LinkFactory:
        return _CountedLinks(self.links, self._spend, self.clock)

    def reserve(self, connections: int) -> None:
        """Account for what an agent of its own will need; raises ``InterlockOpen``."""
        if self._connections + connections > self.limits.connections:
            raise InterlockOpen(
                f"This takes up to {connections} connections, and of the run's budget of"
                f" {self.limits.connections} only {self.limits.connections - self._connections}"
                " are left.",
                hint="Each costs battery. If it is worth it: a new run with --max-connections.",
            )
        self._connections += connections

    def _spend(self, seconds: float | None, error: str = "") -> None:
        if seconds is None:
            if self._connections >= self.limits.connections:
                raise InterlockOpen(
                    f"The run's budget of {self.limits.connections} connections is used up.",
                    hint="Each costs battery. If it is worth it: --max-connections, and --resume.",
                )
            self._connections += 1
            return
        self.book.write(
            Connected(
                at=self.book.now(),
                is_ok=not error,
                seconds=round(seconds, 3),
                rssi_dbm=self.air.rssi_dbm,
                error=error,
            )
        )

    def use_quirks(self, **quirks: Any) -> None:
        """Treat the lock so from now on."""
        if isinstance(token := quirks.get("client_token"), str):
            quirks["client_token"] = token.encode("ascii")
        changed = replace(self.profile.quirks, **quirks)
        if changed.writes_with_response != self.profile.quirks.writes_with_response:
            self.links = self._make_links(changed.writes_with_response)
            self._has_other_ears = True
        self.profile = replace(self.profile, quirks=changed)

    @property
    def quirks(self) -> Quirks:
        """How the lock is treated."""
        return self.profile.quirks

    # Promises.

    @asynccontextmanager
    async def undoing(
        self, visit: Visit | None, what: str, *requests: Request[Any]
    ) -> AsyncGenerator[None]:
        """Promise, before anything is changed, to send ``requests`` in the end.

        ``what`` is shown to people: no secrets. They are sent over ``visit`` if that still stands,
        else over a connection of their own.
        """
        promise = 1 + sum(1 for _ in self.book.all(Promised))
        self.book.write(
            Promised(
                at=self.book.now(),
                promise=promise,
                what=what,
                sealed=seal_requests(self.vault, requests),
            )
        )
        try:
            yield
        finally:
            await self._keep(promise, requests, visit)

    @asynccontextmanager
    async def undoing_boxed(
        self, what: str, box: Box, *requests: Request[Any]
    ) -> AsyncGenerator[None]:
        """Promise as :meth:`undoing` does; ``box`` lets go of the lock before that is kept."""
        async with self.undoing(None, what, *requests):
            try:
                yield
            finally:
                await box.stop()

    async def _keep(
        self, promise: int, requests: tuple[Request[Any], ...], visit: Visit | None
    ) -> None:
        requests = tuple(self._by_now(each) for each in requests)
        try:
            if visit is not None:
                try:
                    await put_back(visit, requests)
                except (AgentError, ProtocolError):
                    visit = None
            if visit is None:
                async with self.visit() as another:
                    await put_back(another, requests)
        except (AgentError, ProtocolError) as error:
            self.book.write(Broken(at=self.book.now(), promise=promise, reason=str(error)))
            raise CheckFailed(f"What was changed could not be put back: {error}") from error
        self.book.write(Kept(at=self.book.now(), promise=promise))

    def _by_now(self, request: Request[Any]) -> Request[Any]:
        """Return what was promised, as it is right at this moment: time goes on."""
        return SetClock(local_time=self.local_now()) if isinstance(request, SetClock) else request

    async def keep_promises(self) -> list[str]:
        """Put back what earlier checks or runs left; return what cannot be, and why."""
        failed = []
        for promise in self.book.open_promises():
            requests = tuple(open_requests(self.vault, promise.sealed))
            try:
                await self._keep(promise.promise, requests, None)
            except CheckFailed as error:
                failed.append(f"{promise.what}: {error}")
        return failed

    # What costs the lock.

    async def motor(self, *, is_closing: bool = False) -> None:
        """Account for one run of the motor; raises ``InterlockOpen`` or ``CheckSkipped``.

        ``is_closing``: what was opened is closed again, whatever it costs and whoever is there.
        """
        if not is_closing:
            await self.interlocks.door_is_open()
        if self._motor_runs >= self.limits.motor_runs and not is_closing:
            raise InterlockOpen(
                f"The run's budget of {self.limits.motor_runs} motor runs is used up.",
                hint="If it is worth it: --max-motor-runs, and --resume.",
            )
        self._motor_runs += 1
        self.book.write(Moved(at=self.book.now(), check=self.check))

    # Notes.

    def measure(self, name: str, value: float, unit: str) -> None:
        """Keep a number for the report's plots."""
        self.book.write(
            Measured(
                at=self.book.now(),
                name=name,
                value=round(value, 3),
                unit=unit,
                rssi_dbm=self.air.rssi_dbm,
            )
        )

    def answer(self, question: str, text: str, **quirks: bool | str) -> None:
        """Keep what the lock answered to ``question``; ``quirks`` follow from it, and are used."""
        self.book.write(Answered(at=self.book.now(), question=question, answer=text, quirks=quirks))
        if quirks:
            self.use_quirks(**quirks)

    def note(self, name: str, secret: str) -> None:
        """Keep something over a power cut, sealed."""
        sealed = self.vault.seal(f"{_NOTE}/{name}", secret.encode())
        self.book.write(Noted(at=self.book.now(), name=name, sealed=sealed))

    def noted(self, name: str) -> str | None:
        """Return what :meth:`note` kept last under that name; empty once it was struck out."""
        for each in reversed(self.book.entries):
            if isinstance(each, Noted) and each.name == name:
                return self.vault.open(f"{_NOTE}/{name}", each.sealed).decode()
        return None

    # Small things that many checks do.

    def new_digits(self) -> str:
        """Return random digits, nine of them, that nothing in the lock shadows at the keypad."""
        while True:
            digits = f"{RESERVED_PREFIX}{self._randbelow(10**_FREE_DIGITS):0{_FREE_DIGITS}}"
            if not any(digits.startswith(each) for each in self.held if each):
                return digits

    def local_now(self) -> datetime:
        """Return what a right clock in the lock's zone shows."""
        return to_lock(self.clock.now(), self.profile.zone)

    def random_bytes(self, size: int) -> bytes:
        """Return bytes for made-up cards, none of them FF, which would be filler."""
        return bytes(1 + self._randbelow(0xFE) for _ in range(size))

    async def find(self, visit: Visit, digits: str) -> PasscodeRecord | None:
        """Read the lock's passcodes anew, and return one of them."""
        listing = await visit.passcodes(is_fresh=True)
        found = [r for r in listing if isinstance(r, PasscodeRecord) and r.passcode == digits]
        expect(len(found) < 2, "The lock lists the same passcode twice.")
        return found[0] if found else None

    async def refusal_of(self, visit: Visit, request: Request[Any]) -> str | None:
        """Return the name of the lock's "no" to ``request``; ``None`` when it says yes."""
        try:
            await visit.ask(request)
        except CommandRefused as refused:
            return refused.refusal.name
        return None

    async def wait(self, seconds: float, why: str) -> None:
        """Wait, and say so when it takes longer."""
        if seconds > 2.0:
            self.person.say(f"      waiting {seconds:.0f} s: {why}")
        await self.clock.sleep(seconds)


class _CountedLinks:
    """Tells of each try to connect, and asks before it."""

    def __init__(self, links: LinkFactory, spend: Callable[..., None], clock: Clock) -> None:
        self._links = links
        self._spend = spend
        self._clock = clock
        self.sightings = links.sightings

    async def connect(self, address: str, *, timeout_s: float) -> Any:
        self._spend(None)
        began_s = self._clock.monotonic()
        try:
            link = await self._links.connect(address, timeout_s=timeout_s)
        except (LinkError, asyncio.CancelledError) as error:
            code = error.code if isinstance(error, LinkError) else "cancelled"
            self._spend(self._clock.monotonic() - began_s, code)
            raise
        self._spend(self._clock.monotonic() - began_s)
        return link

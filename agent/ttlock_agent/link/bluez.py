"""Locks over Bluetooth: bleak on BlueZ, one factory for each adapter.

Nothing is remembered from call to call that BlueZ could tell anew, so that the factory recovers by
itself from whatever happened in between: adapter, service or bus gone and back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import (
    AdapterProblem,
    AdapterUnavailable,
    ConnectFailed,
    LinkError,
    LockNotSeen,
)

from . import Sighting
from .adapters import AdapterState
from .bluez_airtime import Airtime
from .bluez_bus import CALL_LIMIT_S, SWITCHES, Adapter, BluezBus, Snapshot
from .bluez_errors import RADIO_ERRORS, problem_of, unavailable
from .bluez_link import BluezLink, LinkTimes, open_link
from .bluez_recovery import OPERATOR_HINT, RecoveryLadder
from .bluez_scan import Ear, Heard, Mode, ScanChoice, first_of, scanning

log = structlog.get_logger()

HELPER_LOOKS: Final = 20
"""How often it is looked whether the helper has taken a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BluezTimes:
    """How long things may take or shall last, in seconds."""

    call_s: float = CALL_LIMIT_S
    """For one answer of BlueZ."""
    connect_s: float = 10.0
    """For connecting, at least, even if the lock was seen at the last moment."""
    round_s: float = 12.0
    """One round of background scanning: a dozing lock advertises every ten seconds."""
    pause_s: float = 48.0
    """Between rounds that ask the locks to answer, which costs their batteries."""
    silence_s: float = 300.0
    """An adapter that has heard nothing at all for so long is taken for deaf."""
    power_off_s: float = 1.0
    """How long a power cycle leaves the adapter switched off."""
    helper_s: float = 10.0
    """The helper takes a request within moments, where it is enabled."""
    link: LinkTimes = field(default_factory=LinkTimes)


class BluezLinkFactory:
    """Finds locks with one adapter, and connects to them."""

    def __init__(
        self,
        *,
        clock: Clock,
        adapter: str | None = None,
        answered: Collection[str] = (),
        times: BluezTimes | None = None,
        on_state: Callable[[AdapterState], None] = lambda _: None,
        restart_request: Path | None = None,
        switches: Path = SWITCHES,
    ) -> None:
        """``adapter`` is a name (``hci0``) or an address; ``None`` takes the first usable one.

        ``answered`` are the addresses of locks that want each write confirmed (D38). ``on_state``
        is called whenever the adapter's state may have changed. ``restart_request`` is a file that
        a helper with more rights takes away and restarts BlueZ; ``switches`` is the kernel's
        directory of radio switches.
        """
        self._clock = clock
        self._wanted: Final = adapter
        self._answered = frozenset(answered)
        self._times = times or BluezTimes()
        self._on_state = on_state
        self._restart_request = restart_request
        self._news = asyncio.Event()
        """Set by what BlueZ says of its adapters, of itself and of the bus."""
        self._bus = BluezBus(
            call_limit_s=self._times.call_s, on_news=self._on_news, switches=switches
        )
        self._airtime = Airtime()
        self._choice = ScanChoice()
        self._ladder = RecoveryLadder(self, clock=clock)
        self._adapter: Adapter | None = None
        self._problem: AdapterProblem | None = None
        self._since: datetime | None = None
        self._owes_power: str | None = None
        self._open: set[str] = set()
        self._heard_at_s = clock.monotonic()

    @property
    def state(self) -> AdapterState:
        """The adapter as last seen."""
        adapter = self._adapter
        error = None if self._problem is None else unavailable(self._problem)
        hint = None if error is None else error.hint
        return AdapterState(
            wanted=self._wanted,
            adapter=None if adapter is None else adapter.name,
            address=None if adapter is None else adapter.address,
            problem=self._problem,
            since=self._since,
            message=None if error is None else error.message,
            hint=OPERATOR_HINT if self._ladder.needs_operator else hint,
            needs_operator=self._ladder.needs_operator,
            is_passive=self._choice.is_passive_confirmed,
            recovery=self._ladder.counts,
        )

    async def connect(self, address: str, *, timeout_s: float) -> BluezLink:
        """Wait for a fresh advertisement, then connect.

        Connecting gets at least ``BluezTimes.connect_s``, even when that exceeds ``timeout_s``.
        Raises ``AdapterUnavailable``, ``LockNotSeen`` or ``ConnectFailed``.
        """
        address = address.upper()
        async with self._airtime.exclusive():
            try:
                link = await self._connect(address, timeout_s)
            except LinkError as error:
                if address not in self._open and self._may_be_the_adapter(error):
                    await self._ladder.failed(address, may_interrupt=not self._open)
                self._tell()
                raise
            self._ladder.worked()
            self._tell()
            return link

    async def sightings(self) -> AsyncGenerator[Sighting]:
        """Advertisements of all locks in range, until cancelled.

        Told after each round of scanning, every different one once.
        """
        is_failing = False
        self._tell()
        while True:
            self._news.clear()
            choice = self._choice
            mode = choice.mode
            heard: list[Sighting] = []
            try:
                heard = await self._listen(choice)
            except AdapterUnavailable as error:
                if self._may_be_the_adapter(error):
                    is_failing = True
                    async with self._airtime.exclusive():
                        await self._ladder.failed(None, may_interrupt=not self._open)
            else:
                if is_failing:
                    # Only then: that scanning works says nothing of connections that fail.
                    is_failing = False
                    self._ladder.worked()
            self._tell()
            for sighting in heard:
                yield sighting
            if mode == "active" or self._problem is not None:
                pause = self._clock.sleep(self._times.pause_s)
                await first_of(None, pause, self._news.wait())

    async def close(self) -> None:
        """Let go of the bus; links that are open stay so."""
        await self._bus.close()

    async def clear_scan(self) -> None:
        """Start a scan and stop it."""
        adapter, _ = await self._examine()
        try:
            async with self._scanning(Ear(self._clock), adapter, "active"):
                pass
        except RADIO_ERRORS as error:
            raise await self._named(error) from error

    async def drop_device(self, address: str) -> None:
        """Let BlueZ forget the lock and whatever it holds of a connection to it."""
        adapter, _ = await self._examine()
        path = adapter.device_path(address)
        await self._bus.disconnect_device(path)
        await self._bus.remove_device(path)

    async def power_cycle(self) -> None:
        """Switch the adapter off and on."""
        adapter, _ = await self._examine()
        # Owed until it is on again, even if that takes until the next call of anything.
        self._owes_power = adapter.path
        await self._bus.set_powered(adapter.path, is_powered=False)
        try:
            await self._clock.sleep(self._times.power_off_s)
        finally:
            await self._pay_power(adapter.path)

    async def restart_service(self) -> bool:
        """Ask the helper, if there is one, to restart BlueZ."""
        request = self._restart_request
        if request is None:
            return False
        try:
            request.touch()
            for _ in range(HELPER_LOOKS):
                await self._clock.sleep(self._times.helper_s / HELPER_LOOKS)
                if not request.exists():
                    return True
        except OSError as error:
            log.warning("restart_not_requested", error=type(error).__name__)
            return False
        finally:
            with suppress(OSError):
                request.unlink(missing_ok=True)
        return False

    async def _connect(self, address: str, timeout_s: float) -> BluezLink:
        deadline_s = self._clock.monotonic() + timeout_s
        adapter, snapshot = await self._examine()
        path = adapter.device_path(address)
        if address in self._open:
            raise ConnectFailed("The agent itself is connected to this lock.")
        if path in snapshot.connected:
            # Of an agent that was killed: BlueZ keeps it, and a connected lock does not advertise.
            log.info("stale_connection_ended", address=address)
            await self._bus.disconnect_device(path)
        heard = await self._find(adapter, address, timeout_s)
        at_close = ExitStack()
        at_close.enter_context(self._airtime.claimed())
        self._open.add(address)
        at_close.callback(self._open.discard, address)
        try:
            return await open_link(
                heard.device,
                bus=self._bus,
                clock=self._clock,
                timeout_s=max(self._times.connect_s, deadline_s - self._clock.monotonic()),
                heard=heard.sighting,
                is_answered=address in self._answered,
                times=self._times.link,
                at_close=at_close,
            )
        except ConnectFailed:
            await self._examine()
            raise
        except RADIO_ERRORS as error:
            raise await self._named(error) from error

    async def _find(self, adapter: Adapter, address: str, timeout_s: float) -> Heard:
        ear = Ear(self._clock)
        gone = asyncio.Event()
        try:
            with self._bus.watching(adapter.path, gone.set):
                async with self._scanning(ear, adapter, "active"):
                    await first_of(timeout_s, ear.await_lock(address), gone.wait())
        except RADIO_ERRORS as error:
            raise await self._named(error) from error
        heard = ear.find(address)
        if heard is None:
            await self._examine()
            raise LockNotSeen(f"No advertisement of {address} arrived.")
        return heard

    async def _listen(self, choice: ScanChoice) -> list[Sighting]:
        """Scan for one round, in the background; raises ``AdapterUnavailable``."""
        mode = choice.mode
        async with self._airtime.background() as wanted:
            adapter, _ = await self._examine()
            ear = Ear(self._clock)
            gone = asyncio.Event()
            has_started = False
            try:
                with self._bus.watching(adapter.path, gone.set):
                    async with self._scanning(ear, adapter, mode):
                        has_started = True
                        await first_of(self._times.round_s, wanted.wait(), gone.wait())
            except RADIO_ERRORS as error:
                if mode == "active" or has_started:
                    raise await self._named(error) from error
                await self._examine()
                # The adapter is fine: it is this way of scanning that BlueZ does not offer.
                choice.refused()
                log.info("passive_scan_refused", error=type(error).__name__)
                return []
            heard = [each.sighting for each in ear.heard]
            if not (wanted.is_set() or gone.is_set()):
                choice.round_ended(mode, heard)
            return heard

    @asynccontextmanager
    async def _scanning(self, ear: Ear, adapter: Adapter, mode: Mode) -> AsyncGenerator[None]:
        async with scanning(ear, adapter=adapter.name, mode=mode, call_limit_s=self._times.call_s):
            yield
        self._note(None)
        if ear.has_heard_any:
            self._heard_at_s = self._clock.monotonic()

    async def _examine(self) -> tuple[Adapter, Snapshot]:
        """Ask BlueZ for the adapter as it is now; raises ``AdapterUnavailable``."""
        try:
            snapshot = await self._bus.snapshot()
            if self._owes_power is not None and await self._pay_power(self._owes_power):
                snapshot = await self._bus.snapshot()
            adapter = snapshot.adapter(self._wanted)
        except AdapterUnavailable as error:
            self._note(error.reason)
            raise
        self._adapter = adapter
        if self._problem is not AdapterProblem.STUCK:
            # Whether a stuck one is well again, only a scan can tell.
            self._note(None)
        return adapter, snapshot

    async def _pay_power(self, path: str) -> bool:
        """Switch on what a power cycle switched off; whether that worked."""
        try:
            await self._bus.set_powered(path, is_powered=True)
        except AdapterUnavailable as error:
            log.warning("adapter_stays_off", reason=error.reason.value)
            return False
        self._owes_power = None
        return True

    async def _named(self, error: BaseException) -> AdapterUnavailable:
        """Say why nothing worked: what BlueZ tells of the adapter now, else the error itself."""
        try:
            await self._examine()
        except AdapterUnavailable as known:
            return known
        log.info("bluetooth_failed", error=type(error).__name__, detail=str(error))
        named = unavailable(problem_of(error) or AdapterProblem.STUCK)
        self._note(named.reason)
        return named

    def _may_be_the_adapter(self, error: LinkError) -> bool:
        match error:
            case ConnectFailed():
                return True
            case LockNotSeen():
                silent_s = self._clock.monotonic() - self._heard_at_s
                return silent_s >= self._times.silence_s
            case AdapterUnavailable():
                return error.reason is AdapterProblem.STUCK
            case _:
                return False

    def _note(self, problem: AdapterProblem | None) -> None:
        if problem is self._problem and self._since is not None:
            return
        self._problem = problem
        self._since = self._clock.now()
        adapter = self._wanted or ("" if self._adapter is None else self._adapter.name)
        if problem is None:
            log.info("adapter_usable", adapter=adapter)
        else:
            hint = unavailable(problem).hint
            log.warning("adapter_unusable", adapter=adapter, problem=problem.value, hint=hint)
        self._tell()

    def _tell(self) -> None:
        self._on_state(self.state)

    def _on_news(self, problem: AdapterProblem | None) -> None:
        """Take what the bus says: a ``problem`` that is certain, or that something has changed."""
        if problem is not None:
            # The service that comes back may scan in another way than the one that went.
            self._choice = ScanChoice()
            self._note(problem)
        self._news.set()

"""What to do about an adapter that fails again and again: gentle things first.

The ladder knows when, its remedies know how. Every failure that may be the adapter's fault climbs
one rung, every success steps down to the ground.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import LinkError

POWER_CYCLE_EVERY_S: Final = 600.0
"""Others on this machine may use the adapter as well: at most once in ten minutes."""
RESTART_EVERY_S: Final = 3600.0
"""It takes every adapter away from everybody: at most once an hour."""
OPERATOR_HINT: Final = (
    "Restart Bluetooth (`systemctl restart bluetooth`), or let the agent do that "
    "(`systemctl enable --now ttlock-agent-bluetooth.path`); if that does not help, move the lock "
    "or the Pi, use a USB adapter on a cable, or Ethernet for Wi-Fi."
)

log = structlog.get_logger()


class Rung(StrEnum):
    """What is done, in this order; after the last one it starts again."""

    CLEAR_SCAN = "clear_scan"
    DROP_DEVICE = "drop_device"
    POWER_CYCLE = "power_cycle"
    RESTART_SERVICE = "restart_service"
    TELL_OPERATOR = "tell_operator"


class Remedies(Protocol):
    """How it is done; all of them may raise a ``LinkError``."""

    async def clear_scan(self) -> None:
        """Start a scan and stop it, which clears what BlueZ before 5.88 wrongly remembers."""
        ...

    async def drop_device(self, address: str) -> None:
        """Let BlueZ forget the lock and whatever it holds of a connection to it."""
        ...

    async def power_cycle(self) -> None:
        """Switch the adapter off and on."""
        ...

    async def restart_service(self) -> bool:
        """Have BlueZ restarted; false where nobody does that for the agent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCounts:
    """How often each rung was stood on since the start, and how often a remedy failed itself."""

    clear_scan: int = 0
    drop_device: int = 0
    power_cycle: int = 0
    restart_service: int = 0
    tell_operator: int = 0
    failed: int = 0


class RecoveryLadder:
    """The state of one adapter's recovery."""

    def __init__(self, remedies: Remedies, *, clock: Clock) -> None:
        self._remedies = remedies
        self._clock = clock
        self._done_at_s: dict[Rung, float] = {}
        self._next = 0
        self._counts = dict.fromkeys((*(rung.value for rung in Rung), "failed"), 0)
        self.needs_operator = False
        """Whether all remedies were tried and nothing has worked since."""

    @property
    def counts(self) -> RecoveryCounts:
        """What was done so far."""
        return RecoveryCounts(**self._counts)

    def worked(self) -> None:
        """The adapter has done what it should."""
        self._next = 0
        if self.needs_operator:
            self.needs_operator = False
            log.info("adapter_recovered")

    async def failed(self, address: str | None, *, may_interrupt: bool) -> Rung:
        """Climb a rung because of a failure with the lock ``address``; never raises ``LinkError``.

        Without an address there is no device to drop. Nothing that ends other connections is done
        while ``may_interrupt`` is false, nor again where it was done a short while ago: such a
        rung is left out. What failed is tried on the next failure by the next one.
        """
        rungs = list(Rung)
        for rung in rungs[self._next :]:
            if self._is_open(rung, address, may_interrupt=may_interrupt) and await self._stand_on(
                rung, address or ""
            ):
                break
        self._next = (rungs.index(rung) + 1) % len(rungs)
        return rung

    def _is_open(self, rung: Rung, address: str | None, *, may_interrupt: bool) -> bool:
        match rung:
            case Rung.DROP_DEVICE:
                return address is not None
            case Rung.POWER_CYCLE | Rung.RESTART_SERVICE:
                every_s = POWER_CYCLE_EVERY_S if rung is Rung.POWER_CYCLE else RESTART_EVERY_S
                at_s = self._done_at_s.get(rung)
                return may_interrupt and (at_s is None or self._clock.monotonic() - at_s >= every_s)
            case _:
                return True

    async def _stand_on(self, rung: Rung, address: str) -> bool:
        """Do what there is to do; false if nobody does it."""
        self._done_at_s[rung] = self._clock.monotonic()
        is_done = True
        match rung:
            case Rung.CLEAR_SCAN:
                await self._try(self._remedies.clear_scan)
            case Rung.DROP_DEVICE:
                await self._try(lambda: self._remedies.drop_device(address))
            case Rung.POWER_CYCLE:
                await self._try(self._remedies.power_cycle)
            case Rung.RESTART_SERVICE:
                is_done = await self._remedies.restart_service()
            case Rung.TELL_OPERATOR:
                self._tell_operator()
        if is_done:
            self._counts[rung.value] += 1
            log.info("adapter_recovery", rung=rung.value, address=address)
        return is_done

    async def _try(self, remedy: Callable[[], Awaitable[None]]) -> None:
        try:
            await remedy()
        except LinkError as error:
            self._counts["failed"] += 1
            log.warning("adapter_remedy_failed", code=error.code, reason=error.message)

    def _tell_operator(self) -> None:
        if not self.needs_operator:
            self.needs_operator = True
            log.error(
                "adapter_needs_operator",
                hint=OPERATOR_HINT,
            )

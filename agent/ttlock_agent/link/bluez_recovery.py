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
OPERATOR_HINT: Final = (
    "Restart Bluetooth (`systemctl restart bluetooth`); if that does not help, move the lock or "
    "the Pi, use a USB adapter on a cable, or Ethernet for Wi-Fi."
)

log = structlog.get_logger()


class Rung(StrEnum):
    """What is done, in this order; after the last one it starts again."""

    CLEAR_SCAN = "clear_scan"
    DROP_DEVICE = "drop_device"
    POWER_CYCLE = "power_cycle"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCounts:
    """How often each rung was stood on since the start, and how often a remedy failed itself."""

    clear_scan: int = 0
    drop_device: int = 0
    power_cycle: int = 0
    tell_operator: int = 0
    failed: int = 0


class RecoveryLadder:
    """The state of one adapter's recovery."""

    def __init__(
        self, remedies: Remedies, *, clock: Clock, power_cycle_every_s: float = POWER_CYCLE_EVERY_S
    ) -> None:
        self._remedies = remedies
        self._clock = clock
        self._power_cycle_every_s = power_cycle_every_s
        self._power_cycled_at_s: float | None = None
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

    async def failed(self, address: str, *, may_power_cycle: bool) -> Rung:
        """Climb a rung because of a failure with the lock ``address``; never raises ``LinkError``.

        The power stays on where ``may_power_cycle`` is false (other connections are up) and where
        it was cycled a short while ago.
        """
        rung = list(Rung)[self._next]
        if rung is Rung.POWER_CYCLE and not (may_power_cycle and self._is_cycle_due()):
            rung = Rung.TELL_OPERATOR
        self._next = (list(Rung).index(rung) + 1) % len(Rung)
        self._counts[rung.value] += 1
        log.info("adapter_recovery", rung=rung.value, address=address)
        match rung:
            case Rung.CLEAR_SCAN:
                await self._try(self._remedies.clear_scan)
            case Rung.DROP_DEVICE:
                await self._try(lambda: self._remedies.drop_device(address))
            case Rung.POWER_CYCLE:
                self._power_cycled_at_s = self._clock.monotonic()
                await self._try(self._remedies.power_cycle)
            case Rung.TELL_OPERATOR:
                self._tell_operator()
        return rung

    def _is_cycle_due(self) -> bool:
        at_s = self._power_cycled_at_s
        return at_s is None or self._clock.monotonic() - at_s >= self._power_cycle_every_s

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

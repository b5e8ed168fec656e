"""Whether this machine's own clock can be trusted: timed passcodes are judged by it.

Two sources, in this order: the file that systemd-timesyncd leaves once it has set the clock, which
costs nothing; and the D-Bus service ``timedate1``, which speaks for any other time service. Asking
the kernel itself (``adjtimex``) is what the service's sandbox forbids.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.limits import time_limit

log = structlog.get_logger()

SYNCHRONISED_FILE: Final = Path("/run/systemd/timesync/synchronized")
"""Made at the first synchronisation since the machine was started; /run is empty at each start."""
ASK_AGAIN_S: Final = 30.0
"""``timedate1`` is started to be asked, and ends by itself after so long."""
_CALL_LIMIT_S: Final = 5.0
_SERVICE: Final = "org.freedesktop.timedate1"
_PATH: Final = "/org/freedesktop/timedate1"


class TimeSync(Protocol):
    """What the agent asks of the machine's time service."""

    async def is_synchronised(self) -> bool | None:
        """Whether the wall clock was set by a reference; ``None`` where nobody can tell."""
        ...


class CannotTell:
    """A machine without a time service, such as a container, which has its time from its host."""

    async def is_synchronised(self) -> bool | None:  # noqa: D102 - the port says it
        return None


CANNOT_TELL: Final = CannotTell()


class SystemTimeSync:
    """Asks systemd."""

    def __init__(self, clock: Clock, *, file: Path = SYNCHRONISED_FILE) -> None:
        self._clock = clock
        self._file = file
        self._told: bool | None = None
        self._ask_at_s: float | None = None

    async def is_synchronised(self) -> bool | None:  # noqa: D102
        if self._file.exists():
            return True
        now_s = self._clock.monotonic()
        if self._ask_at_s is None or now_s >= self._ask_at_s:
            self._told = await _ask_timedate()
            self._ask_at_s = now_s + ASK_AGAIN_S
        return self._told


async def _ask_timedate() -> bool | None:
    # Only here, for D-Bus takes time and memory that is rarely needed.
    from dbus_fast import BusType, Message, MessageType  # noqa: PLC0415
    from dbus_fast.aio import MessageBus  # noqa: PLC0415
    from dbus_fast.errors import AuthError, DBusFastError  # noqa: PLC0415

    try:
        async with time_limit(_CALL_LIMIT_S):
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            try:
                reply = await bus.call(
                    Message(
                        destination=_SERVICE,
                        path=_PATH,
                        interface="org.freedesktop.DBus.Properties",
                        member="Get",
                        signature="ss",
                        body=[_SERVICE, "NTPSynchronized"],
                    )
                )
            finally:
                bus.disconnect()
                with suppress(OSError, EOFError):
                    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    except (OSError, EOFError, DBusFastError, AuthError) as error:
        log.debug("time_service_silent", reason=type(error).__name__)
        return None
    if reply is None or reply.message_type is not MessageType.METHOD_RETURN:
        return None
    return bool(reply.body[0].value)

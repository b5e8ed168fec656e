"""The lock's clock: local time without a zone (reference 6.4)."""

from __future__ import annotations

from datetime import datetime

from ttlock_protocol.message import Auth, Opcode, Request, Response, field, request, response
from ttlock_protocol.wire import DATE6, U8, OrNone


@response(Opcode.GET_CLOCK)
class Clock(Response):
    """The lock's local time to the second; ``None`` when it holds none that a calendar has."""

    local_time: datetime | None = field(OrNone(DATE6, 6))


@request(Opcode.GET_CLOCK, auth=Auth.NOTHING, is_repeatable=True)
class GetClock(Request[Clock]):
    """Read the clock; needs no authentication."""


@response(Opcode.SET_CLOCK)
class ClockSet(Response):
    """The clock was set. Locks without a clock chip refuse as ``NOT_SUPPORTED`` instead."""

    battery_percent: int | None = field(U8, is_optional=True)


@request(Opcode.SET_CLOCK, auth=Auth.ADMIN, is_repeatable=True)
class SetClock(Request[ClockSet]):
    """Set the clock to a lock-local time, 2000 to 2099."""

    local_time: datetime = field(DATE6)

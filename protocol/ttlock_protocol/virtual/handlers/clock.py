"""The lock's clock (reference 6.4)."""

from __future__ import annotations

from dataclasses import replace

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.clock import Clock, ClockSet, GetClock, SetClock
from ttlock_protocol.virtual.visit import Refused, Visit, handles


@handles(GetClock)
def get_clock(visit: Visit, _: GetClock) -> Clock:
    """Tell the local time."""
    _require_clock(visit)
    return Clock(local_time=visit.local_time)


@handles(SetClock)
def set_clock(visit: Visit, request: SetClock) -> ClockSet:
    """Set the clock; how fast it drifts is in the quartz and stays."""
    _require_clock(visit)
    clock = replace(visit.body.memory.clock, set_to=request.local_time, set_at=visit.now)
    visit.body.change(clock=clock)
    return ClockSet(battery_percent=visit.battery_percent)


def _require_clock(visit: Visit) -> None:
    if Feature.NO_CLOCK in visit.body.memory.features:
        raise Refused(Refusal.NOT_SUPPORTED)

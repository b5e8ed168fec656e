"""Whether this machine's clock can be trusted, asked over a real D-Bus."""

from pathlib import Path
from subprocess import Popen

import pytest
from dbus_fast import Variant

from ttlock_agent.clock import SystemClock
from ttlock_agent.timesync import ASK_AGAIN_S, SystemTimeSync
from virtual_helpers import ManualClock

from .bus_service import PROPERTIES, BusService, Call, Handlers, Reply

PATH = "/org/freedesktop/timedate1"


class TimeService(BusService):
    """What of ``timedate1`` is asked for."""

    def __init__(self, is_synchronised: bool) -> None:
        super().__init__("org.freedesktop.timedate1")
        self.is_synchronised = is_synchronised
        self.objects[PATH] = {}

    def handlers(self) -> Handlers:
        return {(PROPERTIES, "Get"): self._get}

    async def _get(self, call: Call) -> Reply:
        assert call.body == ["org.freedesktop.timedate1", "NTPSynchronized"]
        return "v", [Variant("b", self.is_synchronised)]


@pytest.mark.usefixtures("bus")
async def test_any_time_service_is_heard_through_timedate(tmp_path: Path) -> None:
    service = TimeService(is_synchronised=False)
    await service.start()
    try:
        clock = ManualClock()
        time_sync = SystemTimeSync(clock, file=tmp_path / "synchronized")
        assert await time_sync.is_synchronised() is False
        service.is_synchronised = True
        assert await time_sync.is_synchronised() is False  # not asked again so soon
        await clock.advance(ASK_AGAIN_S)
        assert await time_sync.is_synchronised() is True
    finally:
        await service.kill()


async def test_nobody_can_tell_without_bus_or_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bus: Popen[bytes]
) -> None:
    file = tmp_path / "synchronized"
    assert await SystemTimeSync(SystemClock(), file=file).is_synchronised() is None
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'nothing'}")
    assert await SystemTimeSync(SystemClock(), file=file).is_synchronised() is None
    assert bus.poll() is None

"""What happens to adapter, service and bus is told at once, by name, with nobody connecting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen

import pytest
from structlog.testing import capture_logs

from ttlock_agent.link.adapters import AdapterState

from .fake_bluez import FIRST_ADDRESS
from .rigs import FAST, BluezRig, bluez_rig, private_bus

NEVER_S = 3600.0
"""Between two rounds of listening: what is noticed sooner was told by the bus."""


@dataclass
class Told:
    """What the link tells of its adapter, each state once."""

    states: list[AdapterState]
    news: asyncio.Event

    async def until(self, *names: str) -> AdapterState:
        """Wait until the last states told are these, repeats left out; return the last."""
        while tuple(self.names[-len(names) :]) != names:
            self.news.clear()
            await self.news.wait()
        return self.states[-1]

    @property
    def names(self) -> list[str]:
        names = [each.name for each in self.states]
        return [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]

    def take(self, state: AdapterState) -> None:
        self.states.append(state)
        self.news.set()


@asynccontextmanager
async def listening(pause_s: float = NEVER_S) -> AsyncIterator[tuple[BluezRig, Told]]:
    """A link that listens for locks, and what it tells."""
    told = Told([], asyncio.Event())
    times = replace(FAST, pause_s=pause_s, round_s=NEVER_S)
    async with bluez_rig(times=times, on_state=told.take) as rig:

        async def listen() -> None:
            async for _ in rig.factory.sightings():
                pass

        task = asyncio.create_task(listen())
        try:
            await told.until("unknown", "usable")
            yield rig, told
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.mark.usefixtures("bus")
@pytest.mark.parametrize(
    ("harm", "mend", "name"),
    [
        (
            lambda bluez: bluez.remove_adapter("hci0"),
            lambda bluez: bluez.add_adapter("hci0", FIRST_ADDRESS),
            "missing",
        ),
        (
            lambda bluez: bluez.set_powered(False),
            lambda bluez: bluez.set_powered(True),
            "powered_off",
        ),
    ],
    ids=["unplugged", "switched off"],
)
async def test_an_adapter_that_goes_and_comes_is_told(
    harm: Callable[[object], None], mend: Callable[[object], None], name: str
) -> None:
    async with listening() as (rig, told):
        harm(rig.bluez)
        gone = await told.until("usable", name)
        assert gone.since is not None
        assert gone.message
        assert gone.hint
        mend(rig.bluez)
        back = await told.until("usable", name, "usable")
        assert (back.adapter, back.address) == ("hci0", FIRST_ADDRESS)
        assert back.hint is None


@pytest.mark.usefixtures("bus")
async def test_a_blocked_adapter_is_told_from_one_that_is_just_off() -> None:
    async with listening() as (rig, told):
        rig.bluez.set_power_state("off-blocked")
        rig.bluez.set_powered(False)
        await told.until("usable", "blocked")
        rig.bluez.set_power_state("off")
        await told.until("blocked", "powered_off")


@pytest.mark.usefixtures("bus")
@pytest.mark.parametrize("way", ["kill", "stop"])
async def test_a_service_that_ends_and_starts_is_told(way: str) -> None:
    async with listening() as (rig, told):
        await getattr(rig.bluez, way)()
        await told.until("no_daemon")
        if way == "stop":
            rig.bluez._add_adapter_object("hci0", FIRST_ADDRESS)
        await rig.bluez.start()
        await told.until("no_daemon", "usable")


@pytest.mark.usefixtures("bus")
async def test_even_a_quick_restart_is_told() -> None:
    async with listening() as (rig, told):
        await rig.bluez.kill()
        await rig.bluez.start()
        await told.until("usable", "no_daemon", "usable")


async def test_a_bus_that_dies_is_told(bus: Popen[bytes], tmp_path: Path) -> None:
    async with listening(FAST.pause_s) as (rig, told):
        bus.kill()
        bus.wait()
        await told.until("usable", "no_bus")
        await rig.bluez.kill()
        (tmp_path / "bus").unlink()
        with private_bus(tmp_path):
            await rig.bluez.start()
            await told.until("no_bus", "usable")


@pytest.mark.usefixtures("bus")
async def test_each_change_is_one_event_of_the_journal() -> None:
    with capture_logs() as logs:
        async with listening() as (rig, told):
            rig.bluez.set_powered(False)
            await told.until("powered_off")
            rig.bluez.set_powered(True)
            await told.until("powered_off", "usable")
    events = [each for each in logs if each["event"].startswith("adapter_")]
    assert [(each["event"], each.get("problem")) for each in events] == [
        ("adapter_usable", None),
        ("adapter_unusable", "powered_off"),
        ("adapter_usable", None),
    ]
    assert [each["adapter"] for each in events] == ["hci0"] * 3

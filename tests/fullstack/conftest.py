"""One option chooses the way to the lock: ``--rig memory``, ``dbus`` or ``vm``.

By default the first two; the third needs a machine of its own, see ``vm_rig.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from .rigs import BluezRig, Rig, bluez_rig, has_bus, memory_rig, private_bus
from .vm_rig import vm_rig

RIGS = ("memory", "dbus")
VM = "vm"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rig", choices=(*RIGS, VM), help="run the link tests over this rig only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rig" in metafunc.fixturenames:
        # The option is only there when pytest was pointed at this folder.
        chosen = metafunc.config.getoption("--rig", None)
        metafunc.parametrize("rig", [chosen] if chosen else RIGS, indirect=True)


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Popen[bytes]]:
    """A bus of our own, which everybody takes for the system's."""
    if not has_bus():
        pytest.skip("dbus-daemon is not installed")
    with private_bus(tmp_path) as process:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")
        yield process


@pytest.fixture
async def dbus_rig(bus: Popen[bytes]) -> AsyncIterator[BluezRig]:
    """Rig 2."""
    async with bluez_rig() as rig:
        yield rig


@pytest.fixture
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """Each rig in turn."""
    if request.param == "dbus":
        request.getfixturevalue("bus")
        opened = bluez_rig()
    elif request.param == VM:
        opened = vm_rig(tmp_path)
    else:
        opened = memory_rig(tmp_path)
    async with opened as rig:
        yield rig

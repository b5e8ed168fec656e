"""The demo leaves nothing behind, and counts what the lock was asked for."""

import socket
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.broker import BrokerKind
from ttlock_agent.demo.stage import build_stage
from ttlock_agent.demo.story import Story


async def test_no_broker_outlives_the_stage(tmp_path: Path) -> None:
    async with build_stage(tmp_path, SystemClock()) as stage:
        broker = stage.broker
        socket.create_connection((broker.host, broker.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((broker.host, broker.port), timeout=5)


def test_a_broker_is_not_started_twice(start_broker: Any) -> None:
    process = start_broker(BrokerKind.MOSQUITTO)
    with pytest.raises(AssertionError, match="runs already"):
        process.start()


async def test_every_session_of_the_story_counts(tmp_path: Path) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    async with build_stage(tmp_path, SystemClock()) as stage:
        account = await Story(stage, SystemClock(), lambda *step: told.append(step)).play()
    assert account.is_good, told
    log = (tmp_path / "agent.log").read_text()
    # One for what the cloud claims, one for the booking, one for the guest; more if they collide.
    assert account.ble_sessions >= 3, log

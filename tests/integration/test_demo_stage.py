"""The demo leaves nothing behind, and counts what the lock was asked for."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.broker import BrokerKind
from ttlock_agent.demo.stage import build_stage
from ttlock_agent.demo.story import Story
from ttlock_agent.errors import EX_REJECTED, EX_UNAVAILABLE


async def test_no_broker_outlives_the_stage(tmp_path: Path) -> None:
    async with build_stage(tmp_path, SystemClock()) as stage:
        broker = stage.broker
        socket.create_connection((broker.host, broker.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((broker.host, broker.port), timeout=5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_told_to_stop_takes_its_processes_along(
    number: signal.Signals, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "ttlock_agent",
        "demo",
        "--json",
        "--keep",
        str(tmp_path / "a"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if json.loads(line)["event"] == "agent_started":
                break
        demo.send_signal(number)
        demo.communicate(timeout=120)
    assert demo.returncode == EX_REJECTED
    config = yaml.safe_load((tmp_path / "a" / "agent.yaml").read_text())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((config["mqtt"]["host"], config["mqtt"]["port"]), timeout=5)
    assert not [each for each in _commands() if str(tmp_path) in each]


def _commands() -> Iterator[str]:
    """Give the command line of every process."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield file.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def test_a_demo_that_fails_leaves_its_logs_and_says_where(tmp_path: Path) -> None:
    # Too long for the name of a socket, so that the lock cannot start.
    scratch = tmp_path / ("x" * 100)
    scratch.mkdir()
    demo = subprocess.run(
        [sys.executable, "-m", "ttlock_agent", "demo-restore"],
        env=os.environ | {"TMPDIR": str(scratch)},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert demo.returncode == EX_UNAVAILABLE, demo.stderr
    (directory,) = scratch.iterdir()
    assert f"The logs of the demo are in {directory}." in demo.stderr
    assert (directory / "lock.log").read_text()


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
    assert account.diagnosis["verdict"] == "warn", (
        "what is left is the gateway's and the firmware's"
    )
    causes = " ".join(each["sentence"] for each in account.diagnosis["causes"])
    assert "The gateway did not bring 3 of 3" in causes
    assert "suspected" in causes

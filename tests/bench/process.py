"""Processes that are measured from outside: the daemon itself, and what it is held against."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ttlock_agent.demo.broker import BrokerKind, BrokerProcess, available_kinds

START_LIMIT_S = 30.0

BARE = """
import os, socket, time
import bleak, paho.mqtt.client, yaml, structlog
from Crypto.Cipher import AES
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect(os.environ["NOTIFY_SOCKET"])
    notify.sendall(b"READY=1")
time.sleep(3600)
"""
"""An interpreter with the daemon's libraries and nothing of its own."""


@dataclass(frozen=True, slots=True)
class Started:
    """A running process, and how long it took until it said that it is ready."""

    pid: int
    ready_s: float


@contextmanager
def broker_if_any(directory: Path) -> Iterator[int | None]:
    """Run a mosquitto and give its port; ``None`` where none is installed."""
    if BrokerKind.MOSQUITTO not in available_kinds():
        yield None
        return
    with BrokerProcess(directory, kind=BrokerKind.MOSQUITTO) as broker:
        yield broker.port


@contextmanager
def daemon(config: Path) -> Iterator[Started]:
    """Run ``ttlock-agent run``, as its unit does."""
    with _started(config.parent, "-m", "ttlock_agent", "run", "--config", str(config)) as started:
        yield started


@contextmanager
def bare(directory: Path) -> Iterator[Started]:
    """Run an interpreter that has imported the same libraries."""
    with _started(directory, "-c", BARE) as started:
        yield started


@contextmanager
def _started(directory: Path, *arguments: str) -> Iterator[Started]:
    address = directory / "notify.sock"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
        (directory / "log").open("ab") as log,
    ):
        notify.bind(str(address))
        notify.settimeout(START_LIMIT_S)
        since = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=os.environ | {"NOTIFY_SOCKET": str(address)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            yield Started(process.pid, time.perf_counter() - since)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(START_LIMIT_S)
            address.unlink()

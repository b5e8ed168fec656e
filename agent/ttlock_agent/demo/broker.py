"""An existing broker as a process of its own: mosquitto where installed, else amqtt.

For the demo and for tests. It listens on a loopback port and lets everybody in, unless the lines
added to its configuration say otherwise.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Self

from ttlock_agent.errors import EX_UNAVAILABLE, AgentError

HOST = "127.0.0.1"

START_TIMEOUT_S = 15.0
"""mosquitto listens within milliseconds, amqtt within a second; a loaded Pi is slower."""

STOP_TIMEOUT_S = 5.0
POLL_S = 0.02

_SBIN = "/usr/sbin:/usr/local/sbin"
"""Where Debian puts mosquitto, which is not in everybody's PATH."""


class BrokerNotStarted(AgentError):
    """No broker could be started."""

    code = "broker_not_started"
    exit_code = EX_UNAVAILABLE
    hint = "Install mosquitto, or the extra `demo` of ttlock-agent, which brings amqtt."


class BrokerKind(StrEnum):
    """The brokers we can start."""

    MOSQUITTO = "mosquitto"
    AMQTT = "amqtt"


def available_kinds() -> list[BrokerKind]:
    """What is installed here, the better one first."""
    kinds = []
    if _mosquitto_path() is not None:
        kinds.append(BrokerKind.MOSQUITTO)
    if importlib.util.find_spec("amqtt") is not None:
        kinds.append(BrokerKind.AMQTT)
    return kinds


class BrokerProcess:
    """A broker that keeps its port, and mosquitto its sessions, from one start to the next.

    ``directory`` must exist; configuration, store and log go there. ``kind`` None takes the best
    available. ``mosquitto_lines`` replace the line that lets everybody in. With ``needs_user_name``
    amqtt turns anonymous clients away; only then does it keep messages for absent ones.

    Blocking; a context manager that starts and stops it. Raises ``BrokerNotStarted``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kind: BrokerKind | None = None,
        mosquitto_lines: Sequence[str] = ("allow_anonymous true",),
        needs_user_name: bool = False,
    ) -> None:
        kinds = available_kinds()
        if not kinds or (kind is not None and kind not in kinds):
            raise BrokerNotStarted(f"{kind or 'neither mosquitto nor amqtt'} is not installed here")
        self.kind = kind or kinds[0]
        self.host = HOST
        self.port = _free_port()
        self._directory = directory
        self._mosquitto_lines = tuple(mosquitto_lines)
        self._needs_user_name = needs_user_name
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and return once it listens."""
        assert self._process is None, "it runs already"
        log_path = self._directory / "broker.log"
        with log_path.open("ab") as log_file:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command(), stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file
            )
        try:
            self._wait_until_it_listens(self._process)
        except BrokerNotStarted:
            self.kill()
            raise

    def stop(self) -> None:
        """Let it shut down in its own time."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _command(self) -> list[str]:
        if self.kind is BrokerKind.AMQTT:
            names = ["--needs-user-name"] if self._needs_user_name else []
            return [
                sys.executable, "-m", "ttlock_agent.demo.embedded_broker", str(self.port), *names,
            ]  # fmt: skip
        path = _mosquitto_path()
        if path is None:
            raise BrokerNotStarted("mosquitto is not installed here any more")
        config = self._directory / "mosquitto.conf"
        config.write_text("\n".join(self._mosquitto_config()) + "\n", encoding="utf-8")
        return [path, "-c", str(config)]

    def _mosquitto_config(self) -> list[str]:
        return [
            f"listener {self.port} {self.host}",
            # Started by root it would become another user, who cannot write to our directory.
            f"user {pwd.getpwuid(os.getuid()).pw_name}",
            "log_dest stderr",
            "persistence true",
            f"persistence_location {self._directory}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            *self._mosquitto_lines,
        ]

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if process.poll() is not None:
                raise BrokerNotStarted(
                    f"{self.kind} ended at once with exit code {process.returncode}",
                    hint=f"Its log is {self._directory / 'broker.log'}.",
                )
            try:
                socket.create_connection((self.host, self.port), timeout=POLL_S).close()
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise BrokerNotStarted(
                        f"{self.kind} does not listen after {START_TIMEOUT_S:.0f} s"
                    ) from error
                time.sleep(POLL_S)
            else:
                return


def _mosquitto_path() -> str | None:
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port

"""A house in simulated time: locks, broker and cloud that stay, and an agent that comes and goes.

The agent is all of it, as ``ttlock-agent run`` puts it together; simulated are time, the broker
connection, the links, the HTTP exchange with the cloud, and the thread of the journal. A kill is
what SIGKILL leaves: the state directory as it is on disk at that moment, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from ttlock_agent.app import Surroundings, run_agent
from ttlock_agent.cloud.errors import CloudProblem, CloudUnreachable
from ttlock_agent.config import load_config
from ttlock_agent.errors import JournalError
from ttlock_agent.fakes.cloud_api import FakeApi
from ttlock_agent.fakes.cloud_state import FaultKind, World
from ttlock_agent.fakes.cloud_wire import lock_id_of
from ttlock_agent.keyring import encode_keys
from ttlock_agent.systemd import Notifier
from ttlock_agent.watch.callbacks import SUCCESS, Callbacks
from ttlock_protocol.virtual import Memory
from virtual_helpers import KEYS

from .air import ZONE, Air, Door
from .broker import TOPICS, Broker, Connection
from .simulated import Disk, DiskState, Life, PiClock, TrueClock, put_down

CONTROL = "control.sock"
POST_AGAIN_S = 10.0
RESTART_S = 5.0
"""systemd waits that long."""
POLL_S = 0.5
CALLBACK_PATH = "nobody-guesses-this"


class House:
    """Made by :func:`house`."""

    def __init__(
        self,
        directory: Path,
        locks: Mapping[str, Memory],
        *,
        cloud: World | None = None,
        seed: int = 0,
        sections: Mapping[str, Any] | None = None,
        lock_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.clock = PiClock()
        self.broker = Broker()
        self.disk = DiskState()
        self.world = cloud
        self.doors = {name: Door(name, memory, KEYS) for name, memory in locks.items()}
        self.random = random.Random(seed)
        self.is_piece_lost: Callable[[], bool] = lambda: False
        self.latency_s = 0.3
        self.life = Life(on_death=lambda: None)
        self.deaths: list[str] = []
        """Errors by which the agent ended without being told to."""
        self.refused_starts = 0
        """How often the agent did not start for want of a disk."""
        self._running: asyncio.Task[None] | None = None
        self._callbacks: Callbacks | None = None
        self._api = None if cloud is None else FakeApi(cloud, clock=TrueClock())
        self._furnish(dict(sections or {}), dict(lock_options or {}))

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def _furnish(self, sections: dict[str, Any], lock_options: dict[str, Any]) -> None:
        for name, content in (
            ("keys.json", encode_keys(KEYS)),
            ("secret", b"demo-secret"),
            ("md5", b"4b4d9529148d8d9440d7e20c78287f69"),
            ("callback-path", CALLBACK_PATH.encode()),
        ):
            path = self.directory / name
            path.touch(mode=0o600)
            path.write_bytes(content)
        self.state.mkdir(mode=0o700)
        config = {
            "agent": {
                "id": TOPICS.agent_id,
                "state_directory": str(self.state),
                "control_socket": str(self.directory / CONTROL),
            },
            "mqtt": {"host": "127.0.0.1"},
            "locks": [
                {
                    "id": name,
                    "address": door.address,
                    "time_zone": ZONE.key,
                    "keys": "file:keys.json",
                    **lock_options,
                    **self._cloud_id(number),
                }
                for number, (name, door) in enumerate(self.doors.items())
            ],
        } | sections
        if self.world is not None:
            config["cloud"] = {
                "base_url": "http://127.0.0.1:9",
                "client_id": "demo-client",
                "client_secret": "file:secret",
                "username": "host@example.org",
                "password_md5": "file:md5",
                **sections.get("cloud", {}),
            }
        self._config_file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def _cloud_id(self, number: int) -> dict[str, int]:
        """As many locks are known to the cloud as it has."""
        known = [] if self.world is None else self.world.locks
        return {"cloud_lock_id": known[number].lock_id} if number < len(known) else {}

    @property
    def _config_file(self) -> Path:
        return self.directory / "agent.yaml"

    # The agent's lives.

    def start(
        self,
        *,
        dies_at: int | None = None,
        struck_at: int | None = None,
        on_strike: Callable[[], None] = lambda: None,
    ) -> Life:
        """Begin a life that may end at one of its steps, or be struck by something else at it."""
        self.life = life = Life(
            dies_at=dies_at, on_death=self._leave_image, struck_at=struck_at, on_strike=on_strike
        )
        self._running = asyncio.create_task(self._run(life))
        return life

    async def _run(self, life: Life) -> None:
        life.is_disk_bad_at_start = self.disk.error not in (None, sqlite3.SQLITE_FULL)
        air = Air(
            self.doors,
            life,
            is_lost=self._is_piece_lost,
            latency_s=self.latency_s,
        )
        surroundings = Surroundings(
            clock=self.clock,
            links=lambda _config: air,
            time_sync=self.clock,
            notifier=Notifier(None),
            random=self.random.random,
        )
        with ExitStack() as stack:
            for name, value in (
                ("ttlock_agent.app.MqttConnection", partial(Connection, self.broker, life)),
                (
                    "ttlock_agent.jobs.database.ThreadPoolExecutor",
                    lambda **_: Disk(life, self.disk),
                ),
                ("ttlock_agent.cloud.transport.Transport._exchange", self._exchange),
                ("ttlock_agent.watch.callbacks.serve_callbacks", self._serve_callbacks),
            ):
                stack.enter_context(patch(name, value))
            try:
                await run_agent(load_config(self._config_file), surroundings)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if life.is_over:
                    return
                if self.is_refusal(error, life):
                    self.refused_starts += 1
                else:
                    self.deaths.append(_named(error))
                raise

    @staticmethod
    def is_refusal(error: BaseException, life: Life) -> bool:
        """Whether an agent may end with this: one that cannot even open its journal has to."""
        return life.is_disk_bad_at_start and isinstance(error, JournalError)

    def _is_piece_lost(self) -> bool:
        return self.is_piece_lost()

    def _leave_image(self) -> None:
        self._forget_image()
        shutil.copytree(self.state, self.directory / "image")

    def _forget_image(self) -> None:
        shutil.rmtree(self.directory / "image", ignore_errors=True)

    async def bury(self) -> None:
        """Clear away a life that was killed; what it left on disk is what the next one finds."""
        assert self._running is not None
        assert self.life.is_over
        for door in self.doors.values():
            door.cut()
        await put_down(self._running, self.life)
        self.broker.drop()
        shutil.rmtree(self.state)
        (self.directory / "image").rename(self.state)
        self._running = None

    async def kill(self) -> None:
        """SIGKILL."""
        self.life.die()
        await self.bury()

    async def stop(self) -> None:
        """SIGTERM."""
        if self._running is not None:
            running, self._running = self._running, None
            running.cancel()
            done, _ = await asyncio.wait({running}, timeout=90)
            assert done, "the agent does not stop"
            with suppress(asyncio.CancelledError, Exception):
                running.result()

    @property
    def has_ended(self) -> bool:
        """Whether the agent ended by itself."""
        return self._running is not None and self._running.done() and not self.life.is_over

    async def until(self, is_so: Callable[[], bool], *, patience_s: float = 3600.0) -> bool:
        """Let time pass until something is so; False if the life ended first.

        Raises ``AssertionError`` when it does not come about, or the agent gives up.
        """
        assert self._running is not None
        end_s = asyncio.get_running_loop().time() + patience_s
        while not is_so():
            if self.life.is_over:
                return False
            if self._running.done():
                self._running.result()
                raise AssertionError("the agent ended by itself")
            assert asyncio.get_running_loop().time() < end_s, "it did not come about"
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self.life.ended.wait()
        return not self.life.is_over

    # The cloud.

    @asynccontextmanager
    async def _serve_callbacks(self, callbacks: Callbacks, **_: object) -> AsyncIterator[int]:
        self._callbacks = callbacks
        try:
            yield 0
        finally:
            if self._callbacks is callbacks:
                self._callbacks = None

    async def post(self, form: Mapping[str, str]) -> None:
        """Post a callback, again and again until the agent takes it."""
        while not await self._is_posted(form):
            await asyncio.sleep(POST_AGAIN_S)

    async def _is_posted(self, form: Mapping[str, str]) -> bool:
        life, callbacks = self.life, self._callbacks
        if callbacks is None or not life.step("before callback"):
            return False
        answering = asyncio.ensure_future(callbacks.handle(_Posted(form)))  # type: ignore[arg-type]
        ending = asyncio.ensure_future(life.ended.wait())
        await asyncio.wait({answering, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not answering.done():
            answering.cancel()
            return False
        return answering.result().text == SUCCESS and life.step("after callback")

    async def _exchange(
        self, path: str, form: Mapping[str, str], timeout_s: float
    ) -> tuple[int, bytes]:
        assert self.world is not None
        assert self._api is not None
        await self.life.go_on("before call")
        fault = self.world.take_fault(
            FaultKind.SLOW, FaultKind.SILENT, FaultKind.DROPPED, FaultKind.RAW,
            path=path, lock_id=lock_id_of(form), now=TrueClock().now(),
        )  # fmt: skip
        kind = None if fault is None else fault.kind
        if fault is not None and kind is FaultKind.RAW:
            return fault.status, fault.body.encode()
        if kind is FaultKind.DROPPED:
            raise _unreachable("The connection to the cloud broke.", CloudProblem.CONNECTION_LOST)
        answer = await self._api.answer(path, form)
        if fault is not None and kind is FaultKind.SLOW:
            await asyncio.sleep(min(fault.delay_s, timeout_s))
        if kind is FaultKind.SILENT:
            await asyncio.sleep(timeout_s)
            raise _unreachable("The cloud did not answer.", CloudProblem.TIMEOUT)
        await self.life.go_on("after call")
        return 200, json.dumps(answer).encode()


class _Posted:
    """What a callback's handler wants of a request."""

    method = "POST"
    path = f"/{CALLBACK_PATH}"

    def __init__(self, form: Mapping[str, str]) -> None:
        self._form = form

    async def post(self) -> Mapping[str, str]:
        return self._form


def _unreachable(text: str, problem: CloudProblem) -> CloudUnreachable:
    return CloudUnreachable(text, problem=problem, may_have_acted=True)


def _named(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


@asynccontextmanager
async def house(
    directory: Path, locks: Mapping[str, Memory], **options: Any
) -> AsyncIterator[House]:
    """A house whose locks live; the agent is started by whoever wants it."""
    made = House(directory, locks, **options)
    keeping = [asyncio.create_task(door.keep_time()) for door in made.doors.values()]
    try:
        yield made
    finally:
        if made.life.is_over and made._running is not None:
            await put_down(made._running, made.life)
            made._running = None
        await made.stop()
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)

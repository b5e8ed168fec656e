"""The agent as it is run: a process of its own, beside a broker's and a lock's.

Everything is said over the doors that callers have: MQTT, the control socket, the keypad.
"""

import asyncio
import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import yaml
from paho.mqtt import client as paho  # noqa: TID251 - a caller's, not ours
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: TID251
from paho.mqtt.packettypes import PacketTypes  # noqa: TID251
from paho.mqtt.properties import Properties  # noqa: TID251

from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Failure, Line, Result
from ttlock_agent.demo.broker import HOST, BrokerKind, BrokerProcess
from ttlock_agent.errors import ControlUnavailable
from ttlock_agent.keyring import encode_keys
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.virtual_lock.control import VirtualLockControl
from ttlock_agent.virtual_lock.main import create_state
from ttlock_protocol.cipher import decrypt
from ttlock_protocol.frame import Frame, FrameDecoder
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Request, decode_request
from ttlock_protocol.virtual import Memory, new_lock
from virtual_helpers import KEYS, MAC

AGENT_ID = "house-12"
LOCK = "front-door"
ZONE = ZoneInfo("Europe/Berlin")
TOPICS = Topics(agent_id=AGENT_ID)
PATIENCE_S = 20.0
POLL_S = 0.02
FINAL = {"done", "failed", "rejected"}

T = TypeVar("T")


def wait_until(is_so: Callable[[], T], what: str) -> T:
    """Ask until the answer is true, and return it."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"{what} did not come about")


@dataclass(frozen=True)
class Heard:
    """One message on the broker."""

    topic: str
    payload: bytes
    is_retained: bool

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.payload)
        return body


class Caller:
    """A booking system: asks, and listens to all the agent says."""

    def __init__(
        self,
        port: int,
        *,
        listens_to: str = f"{TOPICS.root}/#",
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ) -> None:
        self.heard: list[Heard] = []
        self._changed = threading.Condition()
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda *_: self._client.subscribe(listens_to, qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect(HOST, port)
        self._client.loop_start()
        assert subscribed.wait(PATIENCE_S)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.heard.append(Heard(message.topic, message.payload, message.retain))
            self._changed.notify_all()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        del self._client

    def publish(self, verb: str, payload: bytes, *, retain: bool = False, **v5: Any) -> None:
        """Send a request as it is."""
        properties = Properties(PacketTypes.PUBLISH) if v5 else None
        for name, value in v5.items():
            setattr(properties, name, value)
        topic = f"{TOPICS.root}/request/{verb}"
        sent = self._client.publish(topic, payload, 1, retain, properties)
        sent.wait_for_publish(PATIENCE_S)

    def ask(self, verb: str, request_id: str, **params: Any) -> None:
        body = {"id": request_id, **params}
        if not verb.startswith("job."):
            body.setdefault("lock", LOCK)
        self.publish(verb, json.dumps(body, default=datetime.isoformat).encode())

    def await_message(self, is_it: Callable[[Heard], bool], *, after: int = 0) -> Heard:
        """Return the first message that ``is_it``, from the ``after``-th on."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: next((each for each in self.heard[after:] if is_it(each)), None),
                PATIENCE_S,
            )
        assert found is not None, f"it was not said; said were {[h.topic for h in self.heard]}"
        return found

    def answer(
        self,
        verb: str,
        request_id: str | None,
        statuses: set[str] = FINAL,
        *,
        after: int = 0,
    ) -> dict[str, Any]:
        """Return the first answer to a request with one of ``statuses``."""
        topic = TOPICS.response(verb)

        def is_it(heard: Heard) -> bool:
            return (
                heard.topic == topic
                and heard.body["id"] == request_id
                and heard.body["status"] in statuses
            )

        return self.await_message(is_it, after=after).body

    def answers(self, verb: str, request_id: str) -> list[dict[str, Any]]:
        """All answers to a request so far."""
        topic = TOPICS.response(verb)
        with self._changed:
            bodies = [heard.body for heard in self.heard if heard.topic == topic]
        return [body for body in bodies if body["id"] == request_id]


class Tap:
    """Sits between agent and lock, hears what the agent writes, and may strike at one piece.

    ``strike_with`` is the kind of request with whose last piece it strikes, once the lock has that.
    """

    def __init__(self, path: Path, lock_socket: Path) -> None:
        self._lock_socket = lock_socket
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._pieces = 0
        self.arrived: list[Request[Any]] = []
        """Every whole request that was let through."""
        self.strike_before = 0
        self.strike_after = 0
        self.strike_with: type[Request[Any]] | None = None
        self.strike: Callable[[], None] = lambda: None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                agent, _ = self._listener.accept()
                lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                lock.connect(str(self._lock_socket))
                for pump in (self._to_lock, self._to_agent):
                    threading.Thread(target=pump, args=(agent, lock), daemon=True).start()

    def _to_lock(self, agent: socket.socket, lock: socket.socket) -> None:
        decoder = FrameDecoder()
        with suppress(OSError), agent.makefile("rb") as lines:
            for line in lines:
                if b'"type":"write"' not in line:
                    lock.sendall(line)
                    continue
                self._pieces += 1
                if self._pieces == self.strike_before:
                    self.strike()
                    break
                lock.sendall(line)
                is_it = self._hear(decoder, line)
                if is_it or self._pieces == self.strike_after:
                    self.strike_with = None
                    self.strike()
                    break
        with suppress(OSError):
            lock.shutdown(socket.SHUT_WR)

    def _hear(self, decoder: FrameDecoder, line: bytes) -> bool:
        """Note what a piece completes; whether it is what to strike with."""
        frames = decoder.feed(base64.b64decode(json.loads(line)["data"]))
        for frame in frames:
            assert isinstance(frame, Frame)
            payload = decrypt(KEYS.aes_key, frame.payload) if frame.payload else b""
            self.arrived.append(decode_request(frame.command, payload))
        kind = self.strike_with
        return bool(frames) and kind is not None and isinstance(self.arrived[-1], kind)

    @staticmethod
    def _to_agent(agent: socket.socket, lock: socket.socket) -> None:
        with suppress(OSError):
            while data := lock.recv(65536):
                agent.sendall(data)
        for each in (agent, lock):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Site:
    """A house with one lock; everything in it is started and stopped by hand."""

    def __init__(
        self,
        directory: Path,
        *,
        lock: Memory | None = None,
        is_tapped: bool = False,
        broker: BrokerKind | None = None,
    ) -> None:
        self.directory = directory
        self.lock_socket = directory / "lock.sock"
        self.control_socket = directory / "control.sock"
        self.state_directory = directory / "state"
        self.config_file = directory / "agent.yaml"
        self.broker = BrokerProcess(directory, kind=broker)
        self.agent: subprocess.Popen[bytes] | None = None
        self._lock_process: subprocess.Popen[bytes] | None = None
        self._callers: list[Caller] = []
        create_state(directory / "lock.json", lock or house_lock())
        self.tap: Tap | None = None
        if is_tapped:
            self.tap = Tap(directory / "tap.sock", self.lock_socket)

    def furnish(self, *, keys: LockKeys = KEYS, **sections: Any) -> None:
        """Write the configuration; ``sections`` are added to it or replace what is there."""
        keys_file = self.directory / "keys.json"
        keys_file.touch(mode=0o600)
        keys_file.write_bytes(encode_keys(keys))
        address = self.lock_socket if self.tap is None else self.directory / "tap.sock"
        config = {
            "agent": {
                "id": AGENT_ID,
                "state_directory": str(self.state_directory),
                "control_socket": str(self.control_socket),
                "log_level": "trace",
            },
            "mqtt": {"host": self.broker.host, "port": self.broker.port},
            "bluetooth": {"connect_timeout_s": 2, "response_timeout_s": 1},
            "locks": [
                {
                    "id": LOCK,
                    "address": f"virtual:{address}",
                    "time_zone": ZONE.key,
                    "keys": "file:keys.json",
                    **sections.pop("lock", {}),
                }
            ],
        } | sections
        self.config_file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def start_lock(self) -> None:
        command = ["virtual-lock", "--state", self.directory / "lock.json"]
        process = self._start("lock", *command, "--socket", self.lock_socket, out=subprocess.PIPE)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        self._lock_process = process

    def start_agent(self, *, is_connected: bool = True) -> None:
        """Start it, and return once its control socket answers and it has its broker."""
        self.agent = self._start("agent", "run", "--config", self.config_file)
        wait_until(lambda: self._is_up(is_connected=is_connected), "the agent's start")

    def _is_up(self, *, is_connected: bool) -> bool:
        assert self.agent is not None
        assert self.agent.poll() is None, self.log("agent")
        try:
            mqtt = self.status()["mqtt"]
        except ControlUnavailable:
            return False
        return not is_connected or mqtt["status"] == "connected"

    def _start(self, name: str, *arguments: object, out: int | None = None) -> Any:
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "ttlock_agent", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log if out is None else out,
                stderr=log,
            )

    def kill_agent(self) -> None:
        """SIGKILL."""
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait(PATIENCE_S)

    def stop_agent(self) -> int:
        """SIGTERM; return the exit code."""
        assert self.agent is not None
        self.agent.send_signal(signal.SIGTERM)
        return self.agent.wait(PATIENCE_S)

    def stop_lock(self) -> None:
        if self._lock_process is not None:
            self._lock_process.terminate()
            self._lock_process.communicate(timeout=PATIENCE_S)
            self._lock_process = None

    def close(self) -> None:
        for caller in self._callers:
            caller.close()
        if self.agent is not None:
            with suppress(ProcessLookupError):
                self.agent.kill()
            self.agent.wait(PATIENCE_S)
        self.stop_lock()
        if self.tap is not None:
            self.tap.close()
        self.broker.stop()

    def caller(self, **options: Any) -> Caller:
        """Connect a caller; it is disconnected at the end."""
        caller = Caller(self.broker.port, **options)
        self._callers.append(caller)
        return caller

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text("utf-8", "replace")

    # The control socket.

    def call(self, verb: str, request: dict[str, Any] | None = None) -> list[Line]:
        return list(call(self.control_socket, verb, request))

    def result(self, verb: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        *_, last = self.call(verb, request)
        assert isinstance(last, Result), last
        return last.body

    def failure(self, verb: str, request: dict[str, Any] | None = None) -> Failure:
        *_, last = self.call(verb, request)
        assert isinstance(last, Failure), last
        return last

    def status(self) -> dict[str, Any]:
        return self.result("status")

    # The lock.

    def lock(self, do: Callable[[VirtualLockControl], Awaitable[T]]) -> T:
        """Do something at the door."""

        async def run() -> T:
            async with VirtualLockControl(self.lock_socket) as control:
                return await do(control)

        return asyncio.run(run())

    def opens(self, digits: str) -> bool:
        return self.lock(lambda lock: lock.type_code(digits)).is_opened

    def memory(self) -> Memory:
        return self.lock(lambda lock: lock.memory())

    def digits(self) -> list[str]:
        """Passcodes in the lock's memory."""
        return sorted(each.passcode for each in self.memory().passcodes)


def house_lock(*, clock_error_s: float = 0.0, passcodes: tuple[str, ...] = ()) -> Memory:
    """Return a lock that is paired with ``KEYS``."""
    return new_lock(
        mac=MAC,
        name="S999_332211",
        keys=KEYS,
        now=datetime.now(UTC),
        zone=ZONE,
        clock_error_s=clock_error_s,
        admin_passcode="1123334",
        permanent_passcodes=passcodes,
    )


@contextmanager
def empty_site(**options: Any) -> Iterator[Site]:
    """Make a site in a directory of its own, whose name is short enough for sockets."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="site-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        made = Site(directory, **options)
        stack.callback(made.close)
        yield made


@contextmanager
def running_site(**options: Any) -> Iterator[Site]:
    """A site with everything up."""
    sections = options.pop("sections", {})
    with empty_site(**options) as made:
        made.broker.start()
        made.start_lock()
        made.furnish(**sections)
        made.start_agent()
        yield made


class Secrets:
    """What must not be found where nobody put it."""

    def __init__(self, *texts: str) -> None:
        self._texts = [text.encode() for text in texts]

    def found_in(self, data: bytes) -> list[str]:
        """Which of them stand in ``data``; digits count only as a whole run of them."""
        return [
            text.decode()
            for text in self._texts
            if re.search(rb"(?<![0-9])" + re.escape(text) + rb"(?![0-9])", data)
        ]

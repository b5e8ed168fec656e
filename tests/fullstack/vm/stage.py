"""What the scenes play on, inside the guest: a broker, a lock on the air, the installed service.

Everything is started as an owner would start it: mosquitto with the configuration that the project
recommends, the agent by systemd from its package. Only the lock is virtual.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Result
from ttlock_agent.keyring import encode_keys
from ttlock_agent.service import STATUS
from ttlock_agent.virtual_lock.control import VirtualLockControl
from ttlock_agent.virtual_lock.main import create_state
from ttlock_agent.virtual_lock.state_file import StateFile
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.passcodes import PasscodeType
from ttlock_protocol.virtual import KeypadResult, Memory, StoredPasscode, new_lock

SLOW = float(os.environ.get("SLOW", "1"))
"""How much slower than hardware this machine is: time limits are stretched by it."""
UNIT = "ttlock-agent.service"
PYTHON = "/opt/ttlock-agent/current/bin/python"
SITE = "/opt/site"
REPOSITORY = Path("/work")
CONFIG = Path("/etc/ttlock-agent")
SOCKET = Path("/run/ttlock-agent/control.sock")
ANSWERS = Path("/run/answers")
LOCK = "front-door"
MAC = "AA:BB:CC:11:22:33"
ZONE = "Europe/Berlin"
KEYS = LockKeys(aes_key=bytes(range(16)), admin_secret=123456789, unlock_key=987654321)
TOPIC = "ttlock/house-12"
_started_s = time.monotonic()


def say(text: str) -> None:
    """Tell what was seen to hold, and when."""
    print(f"{time.monotonic() - _started_s:7.1f} s  {text}", flush=True)


def sh(*command: str, limit_s: float = 60, check: bool = True) -> str:
    """Run a command and return what it says."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=limit_s * SLOW, check=False
    )
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def holds_within(limit_s: float, holds: Callable[[], Any]) -> Any:
    """Wait until ``holds`` returns something true, and return that, or what it returned last."""
    end_s = time.monotonic() + limit_s * SLOW
    while not (value := holds()) and time.monotonic() < end_s:
        time.sleep(0.1)
    return value


def until(what: str, holds: Callable[[], Any], *, limit_s: float = 30) -> Any:
    """Wait until ``holds`` returns something true, and return that, or fail."""
    if value := holds_within(limit_s, holds):
        return value
    print(sh("systemctl", "status", "--no-pager", "-n40", UNIT, check=False))
    print(sh("ttlock-agent", "status", check=False))
    raise SystemExit(f"FAILED: {what}")


def prop(name: str, unit: str = UNIT) -> str:
    """Return a property of a unit."""
    return sh("systemctl", "show", "-P", name, unit)


def keep(path: Path, text: str) -> None:
    """Write a file that a power cut leaves as it was or as it shall be."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text)
    draft.replace(path)


def await_the_cut() -> NoReturn:
    """Wait for the end, which is not ours to choose."""
    say("the power has not failed yet")
    while True:
        time.sleep(60)


def private(path: Path, content: bytes) -> None:
    """Write a secret as the documentation says: readable by the agent alone."""
    path.touch(mode=0o400)
    path.write_bytes(content)
    sh("chown", "ttlock-agent:", str(path))
    path.chmod(0o400)


# ---- the broker --------------------------------------------------------------------------------


def start_broker() -> None:
    """Start mosquitto with the recommended files, users and access list."""
    etc = Path("/etc/mosquitto")
    examples = REPOSITORY / "deploy" / "mosquitto"
    (etc / "conf.d" / "ttlock.conf").write_bytes((examples / "ttlock.conf").read_bytes())
    (etc / "ttlock.acl").write_bytes((examples / "ttlock.acl").read_bytes())
    passwords = etc / "ttlock.passwd"
    if not passwords.exists():
        passwords.touch()
        for user in ("ttlock-agent", "bookings"):
            sh("mosquitto_passwd", "-b", str(passwords), user, f"secret-of-{user}")
    for path in (passwords, etc / "ttlock.acl"):
        sh("chown", "mosquitto:", str(path))
        path.chmod(0o600)
    sh("systemctl", "start", "mosquitto")


def listen() -> None:
    """Collect all answers, as a booking system would, in a file."""
    ANSWERS.touch()
    sh(
        "systemd-run", "-q", "--collect", "--unit=listener",
        "-p", f"StandardOutput=append:{ANSWERS}", "-p", "Restart=always", "-p", "RestartSec=200ms",
        "mosquitto_sub", "-i", "listener", "-c", "-q", "1", "-u", "bookings",
        "-P", "secret-of-bookings", "-t", f"{TOPIC}/response/#",
    )  # fmt: skip


def answers() -> dict[str, dict[str, Any]]:
    """Return the latest answer to each request."""
    found: dict[str, dict[str, Any]] = {}
    for line in ANSWERS.read_text().splitlines():
        body = json.loads(line)
        if body.get("status") != "accepted" or body["id"] not in found:
            found[body["id"]] = body
    return found


def publish(verb: str, *bodies: dict[str, Any]) -> None:
    """Send requests with mosquitto_pub, all over one connection."""
    subprocess.run(
        ["mosquitto_pub", "-q", "1", "-u", "bookings", "-P", "secret-of-bookings", "-l",
         "-t", f"{TOPIC}/request/{verb}"],
        input="".join(f"{json.dumps(body)}\n" for body in bodies),
        text=True, timeout=60 * SLOW, check=True,
    )  # fmt: skip


def wish(request_id: str, digits: str) -> dict[str, Any]:
    """Return a request for a permanent passcode."""
    deadline = datetime.now(UTC) + timedelta(hours=2)
    return {
        "id": request_id,
        "lock": LOCK,
        "passcode": digits,
        "kind": "permanent",
        "deadline_at": deadline.isoformat(),
    }


def ask(request_id: str, digits: str) -> None:
    """Ask for a passcode."""
    publish("passcode.add", wish(request_id, digits))


def ask_to_delete(request_id: str, digits: str) -> None:
    """Ask for a passcode to be removed."""
    publish("passcode.delete", {"id": request_id, "lock": LOCK, "passcode": digits})


def await_proved(*request_ids: str, limit_s: float = 60) -> None:
    """Wait until all these requests are answered as proved."""

    def all_final() -> bool:
        said = answers()
        return all(said.get(each, {}).get("status") in {"done", "failed"} for each in request_ids)

    until(f"answers to {', '.join(request_ids)}", all_final, limit_s=limit_s)
    said = answers()
    wrong = {each: said[each] for each in request_ids if said[each].get("result") != "proved"}
    if wrong:
        raise SystemExit(f"FAILED: not proved: {wrong}")


# ---- the lock ----------------------------------------------------------------------------------


class Lock:
    """A virtual lock on the air, in a process of its own beside the adapter."""

    def __init__(
        self, state: Path = Path("/run/lock-state"), *, memory: Memory | None = None
    ) -> None:
        self.state = state / "front-door.json"
        self.socket = Path("/run/front-door.sock")
        self.neighbours: list[tuple[Path, Path]] = []
        """State and socket of further locks on the same air."""
        state.mkdir(exist_ok=True)
        if not self.state.exists():
            create_state(
                self.state,
                memory
                or new_lock(
                    mac=MAC, name="S999_332211", keys=KEYS, now=datetime.now(UTC),
                    zone=ZoneInfo(ZONE), clock_error_s=-7 * 3600,
                ),
            )  # fmt: skip

    def fill(self, count: int) -> None:
        """Let it hold ``count`` passcodes, while it is off."""
        with StateFile(self.state) as file:
            memory = file.load()
            held = {each.passcode for each in memory.passcodes}
            fresh = (f"9{number:06}" for number in range(count))
            more = [
                StoredPasscode(
                    passcode_type=PasscodeType.PERMANENT, passcode=digits,
                    original_passcode=digits, valid_from=PERMANENT_FROM,
                )
                for digits in list(fresh)[: count - len(held)]
            ]  # fmt: skip
            capacity = replace(memory.capacity, passcodes=count)
            file.save(replace(memory, capacity=capacity, passcodes=(*memory.passcodes, *more)))

    def plug_in(self) -> None:
        """Start adapter and lock.

        Again, if need be: on a very busy machine the adapter's first answer may come later than
        the ten seconds that the kernel gives it.
        """
        for _ in range(3):
            self._start()
            if holds_within(30, lambda: "Powered: yes" in sh("bluetoothctl", "show", check=False)):
                return
            say("ONCE MORE: the kernel has given the adapter up")
            self.pull_out()
        raise SystemExit("FAILED: the adapter")

    def _start(self) -> None:
        transport = "vhci" if Path("/dev/vhci").exists() else "uart"
        locks = [(self.state, self.socket), *self.neighbours]
        sh(
            "systemd-run", "-q", "--collect", "--unit=air", f"--setenv=PYTHONPATH={SITE}",
            PYTHON, "-m", "ttlock_agent", "virtual-lock", "--transport", transport,
            *(word for state, socket in locks
              for word in ("--state", str(state), "--socket", str(socket))),
        )  # fmt: skip

    def pull_out(self) -> None:
        """Take adapter and lock away, without a word."""
        sh("systemctl", "kill", "--signal=KILL", "air.service", check=False)
        until("no adapter", lambda: not list(Path("/sys/class/bluetooth").glob("hci*")))
        until("the end of its process", lambda: prop("ActiveState", "air.service") == "inactive")

    def type_code(self, digits: str) -> KeypadResult:
        """Type on the keypad."""
        return asyncio.run(self._control(lambda control: control.type_code(digits)))

    def memory(self) -> Memory:
        """Look inside."""
        return asyncio.run(self._control(lambda control: control.memory()))

    def held(self) -> list[str]:
        """Return the digits that the lock holds, as often as it holds them."""
        return [each.passcode for each in self.memory().passcodes]

    async def _control(self, do: Callable[[VirtualLockControl], Any]) -> Any:
        async with VirtualLockControl(self.socket) as control:
            return await do(control)

    def must_open(self, digits: str) -> None:
        """Type, and insist."""
        result = self.type_code(digits)
        if not result.is_opened:
            raise SystemExit(f"FAILED: {digits} does not open: {result.reason}")


# ---- the agent ---------------------------------------------------------------------------------


def configure_agent(*, keys: LockKeys = KEYS, quirks: str = "") -> None:
    """Write configuration and secrets as an owner would."""
    private(CONFIG / "mqtt-password", b"secret-of-ttlock-agent")
    private(CONFIG / "front-door.keys.json", encode_keys(keys))
    (CONFIG / "agent.yaml").write_text(
        f"""agent:
  id: house-12
mqtt:
  host: localhost
  username: ttlock-agent
  password: file:mqtt-password
bluetooth:
  connect_timeout_s: {int(20 * min(SLOW, 6))}
  response_timeout_s: {int(6 * min(SLOW, 5))}
locks:
  - id: {LOCK}
    address: "{MAC}"
    time_zone: {ZONE}
    keys: file:front-door.keys.json
    # A day of deliveries goes by in minutes here.
    connections_per_day: 100000
    connected_s_per_day: 86400
{quirks}"""
    )


def start_agent() -> None:
    """Start the service, which returns once it says that it is ready."""
    sh("systemctl", "start", UNIT, limit_s=60)


def command(verb: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask over the control socket, and return the final answer."""
    return _call(verb, {"id": secrets.token_hex(8)} | request)


def status() -> dict[str, Any]:
    """Return what ``ttlock-agent status --json`` says; a new process takes seconds here."""
    return _call(STATUS, {})


def _call(verb: str, request: dict[str, Any]) -> dict[str, Any]:
    *_, last = call(SOCKET, verb, request)
    if not isinstance(last, Result):
        raise SystemExit(f"FAILED: {verb}: {last}")
    return last.body


def adapter_state() -> str:
    """Return what the agent says of its only adapter."""
    return str(status()["adapters"][0]["state"])


def await_broker() -> None:
    """Wait until the agent is connected to the broker."""
    until("the broker", lambda: status()["mqtt"]["status"] == "connected")


def set_the_stage(lock: Lock) -> None:
    """Start everything."""
    start_broker()
    listen()
    lock.plug_in()
    say("adapter and lock are on the air: " + bluez_version())
    configure_agent()
    start_agent()
    await_broker()
    say(f"the service is up: {prop('StatusText')}")


def bluez_version() -> str:
    """Return kernel and BlueZ."""
    return f"Linux {os.uname().release}, BlueZ {sh('bluetoothctl', '--version').split()[-1]}"


def new_digits(count: int) -> list[str]:
    """Return passcodes that do not begin like each other."""
    first = 100_000 + secrets.randbelow(700_000)
    return [str(first + number) for number in range(count)]


def main(scenes: dict[str, Callable[[], None]]) -> None:
    """Play the scenes that the command line names, or all."""
    for name in sys.argv[1:] or scenes:
        say(f"== {name}")
        scenes[name]()
    say("all of it held")

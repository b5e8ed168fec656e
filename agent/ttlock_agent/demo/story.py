"""Field case 1: the cloud says delivered, the door says no, the agent delivers and proves it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import msgspec

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.client import Via
from ttlock_agent.cloud.models import PasscodeKind
from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Result
from ttlock_agent.demo.narrator import Tell
from ttlock_agent.demo.stage import (
    AGENT_ID,
    CLOUD_LOCK_ID,
    GATEWAY_NAME,
    LOCK_ID,
    SETUP_PASSCODE,
    Stage,
    agent_process,
    remove_passcode,
)
from ttlock_agent.diagnose.diagnosis import VERB as DIAGNOSE
from ttlock_agent.errors import EX_TRY_LATER, AgentError
from ttlock_agent.jobs.events import EventType
from ttlock_agent.jobs.reproof import SOURCE
from ttlock_agent.limits import time_limit
from ttlock_agent.mqtt.connection import MqttConnection
from ttlock_agent.mqtt.settings import MqttSettings
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication
from ttlock_agent.service import STATUS
from ttlock_agent.virtual_lock.control import VirtualLockControl
from ttlock_agent.watch.verdict import Verdict

CLOUD_PASSCODES: Final = ("555666", "777888", "999000")
DIRECT_PASSCODE: Final = "240817"
DIRECT_REQUEST: Final = "pms-8841"
PATIENCE_S: Final = 45.0
"""The whole story takes a few seconds; a loaded Pi several times that."""


class StoryStuck(AgentError):
    """Something that the story waits for did not happen in time."""

    code = "demo_stuck"
    exit_code = EX_TRY_LATER
    hint = "Run `ttlock-agent demo --keep DIRECTORY` and look at agent.log there."


@dataclass(slots=True, kw_only=True)
class Passcode:
    """One passcode of the story and what became of it."""

    digits: str
    request_id: str = ""
    """Beginning of the id under which the agent answers."""
    asked_at_s: float = 0.0
    opened_before: bool = False
    result: str | None = None
    opened_after: bool = False
    seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class Guest:
    """Somebody whose passcode went missing while he was on his way."""

    digits: str
    first_try: bool = False
    second_try: bool = False
    seconds: float | None = None
    """From the first try until the agent had proved the passcode again."""


@dataclass(slots=True, kw_only=True)
class Account:
    """What the story has found out so far."""

    passcodes: list[Passcode] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)
    clock_error_before_s: float | None = None
    clock_error_after_s: float | None = None
    ble_sessions: int = 0
    guest: Guest | None = None
    diagnosis: dict[str, Any] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether every passcode that must open the door did open it, and only when it should."""
        is_delivered = len(self.passcodes) == len(CLOUD_PASSCODES) + 1 and all(
            passcode.opened_after and not passcode.opened_before and passcode.result == "proved"
            for passcode in self.passcodes
        )
        guest = self.guest
        return is_delivered and guest is not None and guest.second_try and not guest.first_try

    def summary(self) -> dict[str, Any]:
        """Return the closing account as JSON."""
        return {
            "gateway_verdict": self.verdict.get("verdict"),
            "clock_error_before_s": self.clock_error_before_s,
            "clock_error_after_s": self.clock_error_after_s,
            "ble_sessions": self.ble_sessions,
            "diagnosis": self.diagnosis,
            "passcodes": [
                {
                    "passcode": passcode.digits,
                    "opened_before": passcode.opened_before,
                    "result": passcode.result,
                    "opened_after": passcode.opened_after,
                    "seconds": passcode.seconds,
                }
                for passcode in self.passcodes
            ],
            "guest_at_the_door": None
            if self.guest is None
            else {
                "passcode": self.guest.digits,
                "first_try": self.guest.first_try,
                "second_try": self.guest.second_try,
                "seconds": self.guest.seconds,
            },
        }


class Story:
    """Plays the field case on a stage, telling each step."""

    def __init__(self, stage: Stage, clock: Clock, tell: Tell) -> None:
        self._stage = stage
        self._clock = clock
        self._tell = tell
        self._topics = Topics(agent_id=AGENT_ID)
        self._account = Account()

    async def play(self) -> Account:
        """Return the account at the end; raises ``StoryStuck``."""
        try:
            async with (
                time_limit(PATIENCE_S),
                VirtualLockControl(self._stage.lock_socket) as lock,
                self._booking_system() as broker,
            ):
                await self._play(lock, broker)
        except TimeoutError as error:
            raise StoryStuck("The demo did not come to its end in time.") from error
        return self._account

    async def _play(self, lock: VirtualLockControl, broker: MqttConnection) -> None:
        self._tell("scene", {"broker": self._stage.broker.kind.value, "gateway": GATEWAY_NAME})
        await self._type(lock, SETUP_PASSCODE)
        await self._book_in_the_cloud()
        for passcode in self._account.passcodes:
            passcode.opened_before = await self._type(lock, passcode.digits)
        direct = Passcode(digits=DIRECT_PASSCODE, request_id=DIRECT_REQUEST)
        direct.opened_before = await self._type(lock, direct.digits)
        self._tell("agent_started", {"config": str(self._stage.agent_config)})
        async with agent_process(self._stage):
            await self._listen(broker)
            for passcode in self._account.passcodes:
                passcode.opened_after = await self._type(lock, passcode.digits)
            self._account.passcodes.append(direct)
            await self._ask(broker, direct)
            await self._listen(broker)
            direct.opened_after = await self._type(lock, direct.digits)
            await self._guest_comes(lock, broker)
            self._account.ble_sessions = await asyncio.to_thread(self._sessions)
            await self._diagnose()

    async def _guest_comes(self, lock: VirtualLockControl, broker: MqttConnection) -> None:
        """A passcode goes missing; the guest fails once, and the agent notices by itself."""
        guest = self._account.guest = Guest(digits=CLOUD_PASSCODES[0])
        await remove_passcode(self._stage, guest.digits, self._clock)
        self._tell("removed", {"passcode": guest.digits})
        typed_at_s = self._clock.monotonic()
        guest.first_try = await self._type(lock, guest.digits)
        async for message in broker.incoming:
            await message.ack()
            if message.topic == self._topics.lock_event(LOCK_ID):
                self._on_event(msgspec.json.decode(message.payload))
            elif message.topic == self._topics.response("passcode.add"):
                body = msgspec.json.decode(message.payload)
                if str(body["id"]).startswith(SOURCE) and body["status"] != "accepted":
                    break
        guest.seconds = round(self._clock.monotonic() - typed_at_s, 2)
        self._tell("repaired", {"passcode": guest.digits, "seconds": guest.seconds})
        guest.second_try = await self._type(lock, guest.digits)

    async def _diagnose(self) -> None:
        """Ask what is still the matter, as a technician would."""
        request = {"id": "technician-1", "lock": LOCK_ID}
        body = await asyncio.to_thread(self._ask_agent, DIAGNOSE, request)
        self._account.diagnosis = {
            "verdict": body["verdict"],
            "counts": dict(Counter(each["verdict"] for each in body["checks"])),
            "causes": [
                {"likelihood": each["likelihood"], "sentence": each["sentence"]}
                for each in body["causes"]
            ],
        }
        self._tell("diagnosed", self._account.diagnosis)

    def _on_event(self, body: dict[str, Any]) -> None:
        if body["event_type"] == EventType.PASSCODE_MISSING:
            self._tell("noticed", {"label": body["label"]})

    async def _book_in_the_cloud(self) -> None:
        start = self._clock.now().replace(second=0, microsecond=0)
        for digits in CLOUD_PASSCODES:
            asked_at_s = self._clock.monotonic()
            number = await self._stage.cloud.add_passcode(
                CLOUD_LOCK_ID,
                digits,
                kind=PasscodeKind.PERIOD,
                via=Via.GATEWAY,
                valid_from=start,
                valid_until=start + timedelta(days=3),
                name=f"booking {len(self._account.passcodes) + 1}",
            )
            self._account.passcodes.append(
                Passcode(digits=digits, request_id=f"cloud-{number}-", asked_at_s=asked_at_s)
            )
            self._tell("cloud_accepted", {"passcode": digits, "cloud_id": number})
        (gateway,) = await self._stage.cloud.gateways()
        self._tell("cloud_gateway", {"name": gateway.name, "is_online": gateway.is_online})

    async def _type(self, lock: VirtualLockControl, digits: str) -> bool:
        result = await lock.type_code(digits)
        self._tell(
            "typed",
            {"passcode": digits, "opened": result.is_opened, "reason": result.reason.value},
        )
        return result.is_opened

    async def _ask(self, broker: MqttConnection, passcode: Passcode) -> None:
        now = self._clock.now().replace(second=0, microsecond=0)
        deadline_at = now + timedelta(minutes=5)
        passcode.asked_at_s = self._clock.monotonic()
        request = {
            "id": DIRECT_REQUEST,
            "lock": LOCK_ID,
            "passcode": passcode.digits,
            "label": "booking 8841",
            "valid_from": now,
            "valid_until": now + timedelta(days=2),
            "deadline_at": deadline_at,
        }
        topic = self._topics.request("passcode.add")
        self._tell("mqtt_request", {"topic": topic, "deadline_at": deadline_at.isoformat()})
        await broker.publish(Publication(topic, msgspec.json.encode(request)))

    async def _listen(self, broker: MqttConnection) -> None:
        """Follow what the agent says until every passcode asked for so far has its result."""
        async for message in broker.incoming:
            await message.ack()
            if message.topic == self._topics.lock_gateway(LOCK_ID):
                self._on_verdict(msgspec.json.decode(message.payload))
            elif message.topic == self._topics.lock_state(LOCK_ID):
                self._on_state(msgspec.json.decode(message.payload))
            elif message.topic == self._topics.response("passcode.add"):
                self._on_answer(msgspec.json.decode(message.payload))
            if self._is_told():
                return

    def _is_told(self) -> bool:
        return self._account.clock_error_after_s is not None and all(
            passcode.result is not None for passcode in self._account.passcodes
        )

    def _on_verdict(self, body: dict[str, Any]) -> None:
        if body["verdict"] == Verdict.UNKNOWN:
            return
        if body["verdict"] != self._account.verdict.get("verdict"):
            self._account.verdict = body
            self._tell("verdict", {"verdict": body["verdict"], "sentence": body["sentence"]})

    def _on_state(self, body: dict[str, Any]) -> None:
        # What the lock says by itself comes first, and its clock is not among that.
        if self._account.clock_error_before_s is None and "clock_error_before_s" in body:
            self._account.clock_error_before_s = body["clock_error_before_s"]
            self._account.clock_error_after_s = body["clock_error_s"]
            self._tell(
                "clock",
                {"before_s": body["clock_error_before_s"], "after_s": body["clock_error_s"]},
            )

    def _on_answer(self, body: dict[str, Any]) -> None:
        for passcode in self._account.passcodes:
            if not str(body["id"]).startswith(passcode.request_id):
                continue
            if body["status"] in ("done", "failed", "rejected"):
                passcode.result = body.get("result", body["status"])
                passcode.seconds = round(self._clock.monotonic() - passcode.asked_at_s, 2)
            self._tell(
                "answer",
                {
                    "id": body["id"],
                    "passcode": passcode.digits,
                    "status": body["status"],
                    "result": body.get("result"),
                },
            )

    def _sessions(self) -> int:
        # Counted as each begins; the last one may well outlast the answer it gave.
        return int(self._ask_agent(STATUS)["locks"][LOCK_ID]["usage"]["connections"])

    def _ask_agent(self, verb: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        for line in call(self._stage.control_socket, verb, request):
            if isinstance(line, Result):
                return line.body
        raise StoryStuck(f"The agent does not answer {verb}.")

    @asynccontextmanager
    async def _booking_system(self) -> AsyncGenerator[MqttConnection]:
        """A caller's own connection to the broker."""
        settings = MqttSettings(
            host=self._stage.broker.host, port=self._stage.broker.port, agent_id="booking-system"
        )
        connection = MqttConnection(
            settings, clock=self._clock, subscriptions=(f"{self._topics.root}/#",)
        )
        running = asyncio.create_task(connection.run())
        try:
            await connection.wait_connected()
            yield connection
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

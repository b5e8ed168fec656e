"""The agent's jobs with a virtual lock right behind the link port: one loop, time moved by hand.

All of it is the agent's own code but the link. A second rig may go on in a copy of the state
directory, which is what SIGKILL leaves, with the same lock.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ttlock_agent.errors import ConnectFailed, LinkLost, LockNotSeen
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.bell import Bell
from ttlock_agent.jobs.door import DoorWatch
from ttlock_agent.jobs.facts import lock_facts
from ttlock_agent.jobs.heard import Heard
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import Job
from ttlock_agent.jobs.radio import Radio, Report
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm, Deadlines
from ttlock_agent.jobs.work import Work
from ttlock_agent.link import Sighting
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.requests import parse_request
from ttlock_agent.timesync import CANNOT_TELL, TimeSync
from ttlock_agent.vault import KeySource, MasterKey, Vault
from ttlock_protocol.cipher import decrypt
from ttlock_protocol.frame import Frame, FrameDecoder
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Request, decode_request
from ttlock_protocol.messages.passcodes import AddPasscode, GetPasscodes
from ttlock_protocol.virtual import (
    Fault,
    FaultPlan,
    Faults,
    HangUp,
    Memory,
    NotConnectable,
    StoredPasscode,
    VirtualLock,
    new_lock,
)
from virtual_helpers import KEYS, MAC, ManualClock, counting_entropy

LOCK = "front-door"
ADDRESS = "virtual:front-door"
ZONE = ZoneInfo("Europe/Berlin")
TOPICS = Topics(agent_id="house-12")
RESPONSE_TIMEOUT_S = 0.05
"""Real time, waited only where an answer was lost: the lock answers before anybody asks."""
PATIENCE_S = 40.0
MAX_PAUSES = 50
VAULT = Vault(MasterKey(value=b"\x21" * 32, source=KeySource.FILE))

RIG_OPTIONS = (
    "keys", "vault", "time_sync", "budget", "reproof_interval", "removes_unknown", "may_unlock",
    "quirks",
)  # fmt: skip

Hook = Callable[[int], Awaitable[None]]


async def no_hook(_number: int) -> None:
    pass


class Door:
    """A lock, what reaches it over the air, and what goes wrong with the air itself."""

    def __init__(self, clock: ManualClock, **lock: Any) -> None:
        self.clock = clock
        self.lock = VirtualLock(door_memory(clock.now(), **lock), entropy=counting_entropy())
        self.is_in_range = True
        self.is_taken = False
        self.arrived: list[Request[Any]] = []
        """Every whole request that reached the lock, whatever became of it there."""
        self.connections = 0
        self.writes = 0
        self.before_write: Hook = no_hook
        """Called with the number of the write (from 1), before the lock gets it."""
        self.after_write: Hook = no_hook
        self.link: DoorLink | None = None
        self._on_air: asyncio.Queue[Sighting] = asyncio.Queue()

    async def connect(self, address: str, *, timeout_s: float) -> "DoorLink":
        assert address == ADDRESS
        if not self.is_in_range:
            raise LockNotSeen("No advertisement arrived.")
        if self.is_taken:
            raise ConnectFailed("Somebody else is connected.")
        try:
            self.lock.connect(self.clock.now())
        except NotConnectable as error:
            raise ConnectFailed("The lock is taken.") from error
        self.connections += 1
        self.link = DoorLink(self)
        return self.link

    async def sightings(self) -> AsyncIterator[Sighting]:
        while True:
            yield await self._on_air.get()

    def advertise(self) -> None:
        """Let the lock be heard, as it is now; while somebody is connected it says nothing."""
        data = self.lock.advertisement(self.clock.now())
        if data is not None:
            self._on_air.put_nowait(
                Sighting(
                    address=ADDRESS,
                    rssi_dbm=-60,
                    manufacturer_data=data,
                    seen_at_monotonic_s=self.clock.monotonic(),
                )
            )

    def set_faults(self, *faults: Fault) -> None:
        self.lock.set_faults(Faults(FaultPlan(faults=faults), draw=lambda: 0.0))

    def count(self, kind: type[Request[Any]]) -> int:
        """How many requests of a kind arrived."""
        return sum(isinstance(request, kind) for request in self.arrived)

    @property
    def adds(self) -> list[str]:
        """Digits of every passcode the lock was asked to add."""
        return [each.passcode for each in self.arrived if isinstance(each, AddPasscode)]

    @property
    def held(self) -> list[StoredPasscode]:
        return list(self.lock.memory.passcodes)

    @property
    def digits(self) -> list[str]:
        return [each.passcode for each in self.held]

    def opens(self, digits: str) -> bool:
        return self.lock.type_code(digits, self.clock.now()).is_opened

    def clock_error_s(self) -> float:
        here = self.clock.now().astimezone(ZONE).replace(tzinfo=None)
        return (self.lock.local_time(self.clock.now()) - here).total_seconds()


class DoorLink:
    """One connection to the door."""

    manufacturer_data = b""
    rssi_dbm: int | None = -60

    def __init__(self, door: Door) -> None:
        self._door = door
        self._decoder = FrameDecoder()
        self._heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_open = True

    async def write(self, chunk: bytes) -> None:
        door = self._door
        if not self.is_open:
            raise LinkLost("The link is gone.")
        door.writes += 1
        number = door.writes
        await door.before_write(number)
        if not self.is_open:
            raise LinkLost("The link broke.")
        for frame in self._decoder.feed(chunk):
            assert isinstance(frame, Frame)
            with suppress(Exception):  # a frame of another key is for the lock to judge
                payload = decrypt(KEYS.aes_key, frame.payload) if frame.payload else b""
                door.arrived.append(decode_request(frame.command, payload))
        door.lock.receive(chunk, door.clock.now())
        self._take_outputs()
        await door.after_write(number)

    async def read(self) -> bytes:
        chunk = await self._heard.get() if self.is_open or not self._heard.empty() else None
        if chunk is None:
            raise LinkLost("The link is gone.")
        return chunk

    async def close(self) -> None:
        self.cut()

    def cut(self) -> None:
        """Break the link; what was on its way to the agent still arrives."""
        if self.is_open:
            self.is_open = False
            self._door.lock.disconnect(self._door.clock.now())
            self._heard.put_nowait(None)

    def _take_outputs(self) -> None:
        for output in self._door.lock.take_outputs():
            if isinstance(output, HangUp):
                self.is_open = False
                self._heard.put_nowait(None)
            else:
                self._heard.put_nowait(output.data)


def door_memory(
    now: datetime,
    *,
    clock_error_s: float = 0.0,
    passcodes: Sequence[str] = (),
    stored: Sequence[StoredPasscode] = (),
    **changes: Any,
) -> Memory:
    """Return a paired lock that holds permanent ``passcodes`` and those ``stored``."""
    memory = new_lock(
        mac=MAC,
        name="S999_332211",
        keys=KEYS,
        now=now,
        zone=ZONE,
        clock_error_s=clock_error_s,
        admin_passcode="1123334",
        permanent_passcodes=passcodes,
    )
    return replace(memory, passcodes=(*memory.passcodes, *stored), **changes)


@dataclass
class Rig:
    """The jobs' part of the agent at work on one door."""

    directory: Path
    clock: ManualClock
    door: Door
    journal: Journal
    intake: Intake
    deadlines: Deadlines
    bell: Bell
    tasks: list[asyncio.Task[None]]
    reports: list[Report] = field(default_factory=list)
    findings: dict[str, bool] = field(default_factory=dict)
    heed: Callable[[str, Mapping[str, bool]], None] = lambda _lock, _findings: None
    """Whoever wants to hear of findings, too."""
    on_visit: Callable[[Report], None] = lambda _report: None
    """Whoever wants to hear of visits, too."""
    airtime: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the radio while it visits; whoever else connects must hold it."""

    async def ask(self, verb: str, /, *, source: str = "mqtt", **params: Any) -> Job:
        """Have a request taken, as if it came over MQTT."""
        body = {"id": f"r-{verb}-{params.get('passcode', '')}", "lock": LOCK, **params}
        if verb.startswith("job."):
            del body["lock"]
        payload = json.dumps(body, default=datetime.isoformat).encode()
        parsed = parse_request(verb, payload, known_locks={LOCK})
        return await self.intake.take(parsed, source=source)

    async def facts(self) -> dict[str, Any]:
        """What ``status`` would tell of the lock, which nobody has heard."""
        return await lock_facts(self.journal, LOCK, Heard(self.clock))

    async def add(self, passcode: str, /, **params: Any) -> Job:
        return await self.ask("passcode.add", passcode=passcode, **params)

    async def delete(self, passcode: str, /, **params: Any) -> Job:
        return await self.ask("passcode.delete", passcode=passcode, **params)

    async def until(self, job: Job, is_so: Callable[[Job], bool]) -> Job:
        """Wait, without moving time, until a job is as wanted."""
        with self.bell.listener() as news:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    now = await self.journal.job(job.id)
                    assert now is not None
                    if is_so(now):
                        return now
                    waiting = asyncio.ensure_future(news.wait())
                    try:
                        await asyncio.wait(
                            {waiting, *self.tasks}, return_when=asyncio.FIRST_COMPLETED
                        )
                    finally:
                        waiting.cancel()
                    for task in self.tasks:
                        if task.done():
                            task.result()
                    news.clear()

    async def final(self, job: Job) -> Job:
        """Wait until a job is final, moving time whenever it pauses."""
        for _ in range(MAX_PAUSES):
            now = await self.until(job, lambda job: job.is_final or self._is_pausing(job))
            if now.is_final:
                await self.rest()
                return now
            assert now.not_before_at is not None
            pause = now.not_before_at - self.clock.now()
            await self.clock.advance(pause / timedelta(seconds=1))
        raise AssertionError("the job pauses for ever")

    async def later(self, job: Job, is_so: Callable[[Job], bool] = lambda job: job.is_final) -> Job:
        """Let minutes pass until a job is as wanted, for jobs that do not say when they go on."""
        for _ in range(MAX_PAUSES):
            now = await self.journal.job(job.id)
            assert now is not None
            if is_so(now):
                await self.rest()
                return now
            await self.clock.advance(60)
            for _ in range(10):
                await self.journal.counts()  # lets the journal's thread, and so the radio, go on
        raise AssertionError("the job waits for ever")

    async def rest(self) -> None:
        """Wait until nobody is connected, so that time that is moved now is not time on the air."""
        async with asyncio.timeout(PATIENCE_S):
            while self.door.link is not None and self.door.link.is_open:
                await asyncio.sleep(0)

    async def done(self, *jobs: Job) -> list[Job]:
        return [await self.final(job) for job in jobs]

    async def visits(self, number: int) -> None:
        """Wait, without moving time, until so many visits have ended."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.reports) < number:
                await self.journal.counts()  # lets the journal's thread, and so the radio, go on

    async def events(self) -> list[dict[str, Any]]:
        """What was told of the lock, oldest first."""
        return [
            json.loads(entry.publication.payload)
            for entry in await self.journal.outbox(limit=1000)
            if entry.publication.topic == TOPICS.lock_event(LOCK)
        ]

    def _is_pausing(self, job: Job) -> bool:
        return job.not_before_at is not None and job.not_before_at > self.clock.now()

    async def answers(self) -> list[dict[str, Any]]:
        """What was said about jobs, oldest first."""
        prefix = f"{TOPICS.root}/response/"
        return [
            json.loads(entry.publication.payload)
            for entry in await self.journal.outbox(limit=1000)
            if entry.publication.topic.startswith(prefix)
        ]

    async def trail(self, job: Job) -> list[str]:
        """The states a job went through."""
        return [entry.state.value for entry in await self.journal.transitions(job.id)]

    def image(self, to: Path) -> Path:
        """Copy the state as it is on disk right now; that is what SIGKILL leaves."""
        while True:
            before = self._written()
            shutil.copytree(self.directory, to, dirs_exist_ok=True)
            if self._written() == before:  # else the journal's thread wrote in between
                return to

    def _written(self) -> dict[str, tuple[int, int]]:
        files = {file.name: file.stat() for file in self.directory.glob("journal.db*")}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in files.items()}

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.journal.close()


async def start_rig(
    directory: Path,
    door: Door,
    *,
    keys: LockKeys = KEYS,
    vault: Vault = VAULT,
    time_sync: TimeSync = CANNOT_TELL,
    **profile: Any,
) -> Rig:
    """Start the radio and the deadlines on a journal in ``directory``."""
    clock, bell, answers = door.clock, Bell(), Answers(TOPICS)
    journal = await Journal.open(
        directory, vault, clock, on_change=bell.ring, when_damaged=answers.when_final
    )
    options = {"clock_tolerance_s": 30, "response_timeout_s": RESPONSE_TIMEOUT_S} | profile
    profiles = {LOCK: LockProfile(id=LOCK, address=ADDRESS, zone=ZONE, keys=keys, **options)}
    alarms = (Alarm(clock), Alarm(clock))
    intake = Intake(
        journal, answers, clock, profiles, alarms=alarms, register_secret=lambda _: None
    )
    deadlines = Deadlines(journal, answers, clock, alarms[1], time_sync=time_sync)
    rig = Rig(directory, clock, door, journal, intake, deadlines, bell, [])

    def on_findings(lock: str, findings: Mapping[str, bool]) -> None:
        rig.findings.update(findings)
        rig.heed(lock, findings)

    work = Work(
        journal,
        LockMemory(journal, TOPICS, clock),
        answers,
        clock,
        time_sync=time_sync,
        on_findings=on_findings,
    )

    async def on_report(report: Report) -> None:
        rig.reports.append(report)
        rig.on_visit(report)

    radio = Radio(
        door,
        profiles,
        journal=journal,
        work=work,
        answers=answers,
        clock=clock,
        alarm=alarms[0],
        random=lambda: 0.5,
        on_report=on_report,
        airtime=rig.airtime,
    )
    door_watch = DoorWatch(
        door,
        profiles,
        clock=clock,
        on_sign=radio.someone_is_at,
        on_heard=lambda lock, *_: radio.lock_is_heard(lock),
    )
    rig.tasks = [
        asyncio.create_task(radio.run()),
        asyncio.create_task(deadlines.run()),
        asyncio.create_task(door_watch.run()),
    ]
    return rig


@asynccontextmanager
async def rig_at(directory: Path, door: Door | None = None, **options: Any) -> AsyncIterator[Rig]:
    """Run a rig, by default at a fresh door, until the context ends."""
    profile = {name: options.pop(name) for name in RIG_OPTIONS if name in options}
    rig = await start_rig(directory, door or Door(ManualClock(), **options), **profile)
    try:
        yield rig
    finally:
        await rig.stop()


def assert_no_blind_repeat(arrived: Sequence[Request[Any]]) -> None:
    """Between two requests to add the same digits, the lock was read."""
    unread: set[str] = set()
    for request in arrived:
        if isinstance(request, GetPasscodes):
            unread.clear()
        elif isinstance(request, AddPasscode):
            assert request.passcode not in unread, "added twice without a reading in between"
            unread.add(request.passcode)


def minute(now: datetime, **later: float) -> datetime:
    """Return a whole minute, ``later`` than now."""
    return (now + timedelta(**later)).replace(second=0, microsecond=0)

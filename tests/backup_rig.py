"""The technician's bench and the radio at one virtual door, time moved by hand.

All of it is the agent's own code but the link; see ``agent_rig``.
"""

# ruff: noqa: DTZ001 - lock-local times are naive
import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from pathlib import Path
from typing import Any

import msgspec

from agent_rig import ADDRESS, LOCK, RESPONSE_TIMEOUT_S, TOPICS, VAULT, ZONE, Door, Rig
from ttlock_agent.backup.bench import Bench
from ttlock_agent.backup.desk import Desk
from ttlock_agent.backup.shelf import Shelf
from ttlock_agent.backup.tasks import Tasks
from ttlock_agent.backup.vendor import CloudEntries, Vendor
from ttlock_agent.config import AgentConfig, Config, LockConfig, MqttConfig
from ttlock_agent.config.locks import QuirksConfig
from ttlock_agent.config.values import LockAddress
from ttlock_agent.control.messages import Call, Line, Result
from ttlock_agent.health import Health
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.bell import Bell
from ttlock_agent.jobs.heard import Heard
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import Job
from ttlock_agent.jobs.progress import Progress
from ttlock_agent.jobs.radio import Radio, Report
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm, Deadlines
from ttlock_agent.jobs.work import Work
from ttlock_agent.keyring import Keyring
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.locks import Locks
from ttlock_agent.mqtt.bridge import IncomingRequest
from ttlock_agent.service import LockStatus, Service, Vitals
from ttlock_agent.timesync import CANNOT_TELL, TimeSync
from ttlock_agent.vault import ScryptCost
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from ttlock_protocol.messages.cards import CardRecord
from ttlock_protocol.messages.fingerprints import FingerprintRecord
from ttlock_protocol.messages.passage import PassageEntry
from ttlock_protocol.messages.passcodes import Cycle, CycleDays, PasscodeType
from ttlock_protocol.virtual import StoredPasscode
from ttlock_protocol.virtual.memory import Memory, Settings
from virtual_helpers import KEYS, ManualClock

PASSPHRASE = "correct horse battery"
CHEAP = ScryptCost(n=2, r=1, p=1)
MAC_DIGITS = "112233"
CARDS = (b"\x01\xe2\x8f\x3a", bytes.fromhex("04a1b2c3d4e5f680"))
FINGERS = (b"\x5f\x3a\x91\xc4\x00\x07", b"\x5f\x3a\x91\xc4\x00\x08")
ADMIN_PASSCODE = "1123334"
OPENERS = ("555666", "204060", "777888", "334455", "135790")
"""Passcodes of :func:`furnished` that open on the Saturday of ``virtual_helpers.NOW``."""


def furnished(memory: Memory) -> Memory:
    """Return ``memory`` with something of every kind in it."""

    def code(digits: str, kind: PasscodeType, **more: Any) -> StoredPasscode:
        return StoredPasscode(
            passcode_type=kind,
            passcode=digits,
            original_passcode=more.pop("original", digits),
            valid_from=more.pop("valid_from", PERMANENT_FROM),
            **more,
        )

    begin, end = datetime(2026, 3, 14, 8, 0), datetime(2026, 3, 20, 11, 0)
    return replace(
        memory,
        admin_passcode=ADMIN_PASSCODE,
        passcodes=(
            code("555666", PasscodeType.PERMANENT),
            code("204060", PasscodeType.PERMANENT, original="864200"),
            code("777888", PasscodeType.PERIOD, valid_from=begin, valid_until=end),
            code("334455", PasscodeType.ONE_TIME, valid_from=begin, valid_until=end),
            code(
                "135790",
                PasscodeType.CYCLIC,
                valid_from=datetime(2026, 1, 1, 8, 0),
                cycle_number=Cycle(CycleDays.WEEKEND, 10).number,
            ),
        ),
        cards=(
            CardRecord(
                card_number=CARDS[0], valid_from=PERMANENT_FROM, valid_until=PERMANENT_UNTIL
            ),
            CardRecord(card_number=CARDS[1], valid_from=begin, valid_until=end),
        ),
        fingerprints=tuple(
            FingerprintRecord(
                fingerprint=finger, valid_from=PERMANENT_FROM, valid_until=PERMANENT_UNTIL
            )
            for finger in FINGERS
        ),
        passage=(PassageEntry(day=7, starts_at=time(10), ends_at=time(12)),),
        settings=Settings(
            auto_lock_s=12,
            volume=5,
            is_passcode_shown=True,
            is_remote_unlock_allowed=False,
            switches=0x03,
        ),
    )


def furnished_door(clock: ManualClock | None = None) -> Door:
    """Return a door whose lock holds something of every kind."""
    door = Door(clock or ManualClock())
    door.lock._body.memory = furnished(door.lock.memory)
    return door


class QuickLocks(Locks):
    """Locks that answer at once or never, so that nobody waits a second for a lost answer."""

    def profile_with(self, lock_id: str, keys: LockKeys) -> LockProfile:
        profile = super().profile_with(lock_id, keys)
        return replace(profile, response_timeout_s=RESPONSE_TIMEOUT_S)


@dataclass
class BenchRig(Rig):
    """The bench's part of the agent, and the radio beside it."""

    locks: Locks = field(kw_only=True)
    keyring: Keyring = field(kw_only=True)
    shelf: Shelf = field(kw_only=True)
    desk: Desk = field(kw_only=True)
    service: Service = field(kw_only=True)
    progress: Progress = field(kw_only=True)
    ids: "itertools.count[int]" = field(default_factory=itertools.count, kw_only=True)
    secrets: list[str] = field(default_factory=list, kw_only=True)

    async def do(self, verb: str, /, **params: Any) -> Job:
        """Ask over the control socket's door, and wait for the end."""
        body = {"id": f"{verb}-{next(self.ids)}", "lock": LOCK, **params}
        return await self.final(await self.ask(verb, source="control", **body))

    async def backup(self, **params: Any) -> str:
        """Make a backup and return its id."""
        job = await self.do("backup.create", **params)
        assert job.result is not None, job.error
        return str(job.result["backup"])

    async def word(self, backup: str, **params: Any) -> str:
        """Return the word that a reset is confirmed with."""
        rehearsal = await self.do("lock.reset", backup=backup, dry_run=True, **params)
        assert rehearsal.result is not None, rehearsal.error
        return str(rehearsal.result["confirm"])

    async def reset(self, backup: str, word: str, **params: Any) -> Job:
        """Reset the lock, with everything typed that must be."""
        return await self.do(
            "lock.reset", backup=backup, mac_digits=MAC_DIGITS, confirm=word, **params
        )

    async def wipe(self, backup: str, **params: Any) -> Job:
        """Reset the lock as a person does: look at the list, then confirm it."""
        return await self.reset(backup, await self.word(backup, **params), **params)

    async def over_control(self, verb: str, **body: Any) -> list[Line]:
        """Return all lines that a call gets."""
        call = Call(verb=verb, request=msgspec.Raw(json.dumps(body).encode()))
        return [line async for line in self.service.on_control(call)]

    async def told(self, verb: str, **body: Any) -> dict[str, Any]:
        """Return the last line that a call gets."""
        line = (await self.over_control(verb, **body))[-1]
        assert isinstance(line, Result)
        return line.body

    async def over_mqtt(self, verb: str, **body: Any) -> dict[str, Any]:
        """Return the first answer over MQTT."""
        await self.service.on_mqtt(
            IncomingRequest(
                verb=verb,
                payload=json.dumps(body).encode(),
                is_retained=False,
                response_topic=None,
                correlation_data=None,
            )
        )
        return (await self.answers())[-1]


def config_at(directory: Path) -> Config:
    return Config(
        agent=AgentConfig(id="house-12", state_directory=directory),
        mqtt=MqttConfig(host="localhost"),
        locks=(
            LockConfig(
                id=LOCK,
                address=LockAddress(ADDRESS),
                time_zone=ZONE,
                quirks=QuirksConfig(switches_are_verified=True),
            ),
        ),
    )


async def start_bench(
    directory: Path,
    door: Door,
    *,
    keys: LockKeys | None = KEYS,
    cloud: CloudEntries | None = None,
    time_sync: TimeSync = CANNOT_TELL,
    is_running: bool = True,
) -> BenchRig:
    """Start everything on a journal in ``directory``; ``keys`` are put if it has none at all."""
    clock, bell, answers = door.clock, Bell(), Answers(TOPICS)
    journal = await Journal.open(directory, VAULT, clock, on_change=bell.ring)
    keyring = Keyring(journal)
    if keys is not None and await journal.secret(f"lock-keys/{LOCK}") is None:
        await keyring.put(LOCK, keys)
    secrets: list[str] = []
    alarms = (Alarm(clock), Alarm(clock), Alarm(clock))
    locks = QuickLocks(
        config_at(directory), keyring, register_secret=secrets.append, on_keys=alarms[0].ring
    )
    await locks.load()
    intake = Intake(
        journal, answers, clock, locks.profiles, alarms=alarms, register_secret=secrets.append
    )
    deadlines = Deadlines(journal, answers, clock, alarms[1])
    memory = LockMemory(journal, TOPICS, clock)
    shelf = Shelf(directory, journal, cost=CHEAP)
    progress = Progress(clock, bell.ring)
    desk = Desk(shelf, journal, locks, clock)
    service = Service(
        journal=journal,
        locks=locks,
        intake=intake,
        answers=answers,
        topics=TOPICS,
        clock=clock,
        bell=bell,
        vitals=Vitals(
            mqtt=lambda: {"status": "connected"},
            cloud=dict,
            health=Health(Adapters(), journal, CANNOT_TELL, clock=clock),
            heard=Heard(clock),
            vault_key="file",
            journal_set_aside=None,
            locks={LOCK: LockStatus(address=ADDRESS)},
        ),
        desk=desk,
        progress=progress,
    )
    rig = BenchRig(
        directory,
        clock,
        door,
        journal,
        intake,
        deadlines,
        bell,
        [],
        locks=locks,
        keyring=keyring,
        shelf=shelf,
        desk=desk,
        service=service,
        progress=progress,
        secrets=secrets,
    )
    airtime = asyncio.Lock()

    async def on_report(report: Report) -> None:
        rig.reports.append(report)

    work = Work(journal, memory, answers, clock, time_sync=time_sync)
    radio = Radio(
        door,
        locks.profiles,
        journal=journal,
        work=work,
        answers=answers,
        clock=clock,
        alarm=alarms[0],
        random=lambda: 0.5,
        on_report=on_report,
        airtime=airtime,
    )
    bench = Bench(
        Tasks(
            door,
            airtime,
            locks=locks,
            keyring=keyring,
            shelf=shelf,
            journal=journal,
            memory=memory,
            work=work,
            clock=clock,
            randbelow=_counting(),
            vendor=Vendor(cloud, journal, clock),
            wake_radio=alarms[0].ring,
        ).verbs,
        journal=journal,
        answers=answers,
        progress=progress,
        clock=clock,
        alarm=alarms[2],
        random=lambda: 0.5,
    )
    if is_running:
        rig.tasks = [asyncio.create_task(each.run()) for each in (bench, radio, deadlines)]
    return rig


def _counting() -> Callable[[int], int]:
    numbers = itertools.count(7654321)
    return lambda limit: next(numbers) % limit


@asynccontextmanager
async def bench_at(
    directory: Path, door: Door | None = None, **options: Any
) -> AsyncIterator[BenchRig]:
    """Run a bench, by default at a furnished door, until the context ends."""
    directory.mkdir(exist_ok=True)
    rig = await start_bench(directory, door or furnished_door(), **options)
    try:
        yield rig
    finally:
        await rig.stop()

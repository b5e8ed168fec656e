"""The daemon: builds the graph of objects from the configuration and runs it.

One task for each owner: the radio of each adapter, the deadlines, the broker connection with its
two directions, the gateway watch, the control socket, the watchdog. Cancellation is the only stop
signal; whatever it interrupts is in the journal.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from ttlock_agent import __version__
from ttlock_agent.backup.bench import Bench
from ttlock_agent.backup.desk import Desk
from ttlock_agent.backup.shelf import Shelf
from ttlock_agent.backup.tasks import Tasks
from ttlock_agent.backup.vendor import CloudEntries, Vendor
from ttlock_agent.clock import Clock
from ttlock_agent.config import Config
from ttlock_agent.control.server import serve_control
from ttlock_agent.diagnose.diagnosis import Diagnosis
from ttlock_agent.diagnose.firmware import all_faults
from ttlock_agent.diagnose.gather import Gatherer
from ttlock_agent.health import Health, HealthTeller
from ttlock_agent.heartbeats import Heartbeats
from ttlock_agent.herald import Herald
from ttlock_agent.introduction import info_of, introduce
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.bell import Bell
from ttlock_agent.jobs.daylight import Daylight
from ttlock_agent.jobs.door import DoorWatch
from ttlock_agent.jobs.heard import Heard, HeardTeller
from ttlock_agent.jobs.housekeeping import ROUND_S, Housekeeper
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.progress import Progress
from ttlock_agent.jobs.radios import Radios
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm, Deadlines
from ttlock_agent.jobs.work import Work
from ttlock_agent.keyring import Keyring
from ttlock_agent.link import LinkFactory, Sighting
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.link.heard import HeardLinks
from ttlock_agent.link.observed import ObservedLinks
from ttlock_agent.locks import Locks
from ttlock_agent.mqtt.bridge import IncomingRequest, OutboxPublisher, RequestBridge
from ttlock_agent.mqtt.connection import MqttConnection
from ttlock_agent.mqtt.settings import MqttSettings, TlsSettings
from ttlock_agent.mqtt.state import ConnectionState
from ttlock_agent.service import LockStatus, Service, Vitals
from ttlock_agent.support.told import Support
from ttlock_agent.systemd import Notifier, watchdog_interval_s
from ttlock_agent.timesync import CANNOT_TELL, TimeSync
from ttlock_agent.vault import open_vault
from ttlock_agent.watch.start import start_watch
from ttlock_protocol.advertisement import Advertisement

if TYPE_CHECKING:
    from ttlock_agent.cloud.client import CloudClient

log = structlog.get_logger()


BENCH_LIMIT_S = 3600.0
"""A thousand cards at the slowest, read, written and read again, with the radio in between."""
EYE_LIMIT_S = 1800.0
"""Between two locks of a cloud that lets each of a dozen calls run into its time-out, twice."""
ROUND_LIMIT_S = 2 * ROUND_S
"""For what goes round once an hour."""
JOURNAL_LIMIT_S = 180.0
"""For what needs nothing but the journal, and sleeps a minute at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the daemon takes from outside, so that a test can give it something else."""

    clock: Clock
    links: Callable[[Config], LinkFactory]
    adapters: Adapters = field(default_factory=Adapters)
    """Told by ``links`` how the Bluetooth adapters are."""
    time_sync: TimeSync = CANNOT_TELL
    notifier: Notifier = field(default_factory=Notifier.from_environment)
    random: Callable[[], float] = random.random
    randbelow: Callable[[int], int] = secrets.randbelow
    """For secrets: unpredictable, unlike ``random``."""
    register_secret: Callable[[str], None] = lambda _secret: None
    """Told every secret that the agent handles, so that no log shows it by accident."""
    is_alone: bool = False
    """Serve callers on this machine and the locks, and leave network and watch to another run."""
    recent_log: Callable[[], Sequence[Mapping[str, Any]]] = tuple
    """The last entries of the log, redacted."""


async def run_agent(config: Config, surroundings: Surroundings) -> None:
    """Run until cancelled.

    Raises ``ConfigError``, ``VaultError`` or ``JournalError`` when the agent cannot start.
    """
    clock = surroundings.clock
    heartbeats = Heartbeats(clock)
    bell = Bell()
    async with AsyncExitStack() as stack:
        settings = _mqtt_settings(config, surroundings.register_secret)
        topics, answers = settings.topics, Answers(settings.topics)
        vault, key_source = open_vault(config.agent.state_directory)
        journal = await Journal.open(
            config.agent.state_directory,
            vault,
            clock,
            on_change=bell.ring,
            when_damaged=answers.when_final,
        )
        stack.push_async_callback(journal.close)
        if journal.set_aside is not None:
            log.critical("journal_set_aside", path=str(journal.set_aside))
        keyring = Keyring(journal)
        radios = Radios(map(config.adapter_of, config.locks), heartbeats=heartbeats, clock=clock)
        bench_alarm, deadline_alarm = Alarm(clock), Alarm(clock)
        locks = Locks(
            config,
            keyring,
            register_secret=surroundings.register_secret,
            on_keys=radios.ring,
        )
        await locks.load()
        intake = Intake(
            journal,
            answers,
            clock,
            locks.profiles,
            alarms=(*radios.alarms, bench_alarm, deadline_alarm),
            register_secret=surroundings.register_secret,
        )
        connection = MqttConnection(
            settings, clock=clock, subscriptions=(topics.request_filter,), on_state=_log_mqtt
        )
        heard = Heard(clock)
        health = Health(surroundings.adapters, journal, surroundings.time_sync, clock=clock)
        health_teller = HealthTeller(health, connection, topics.health, clock=clock)
        watching = await start_watch(
            config,
            stack=stack,
            vault=vault,
            journal=journal,
            intake=intake,
            topics=topics,
            clock=clock,
            register_secret=surroundings.register_secret,
            eye_beat=lambda: heartbeats.loop("cloud eye", limit_s=EYE_LIMIT_S),
        )
        watch = watching.watch
        shelf = Shelf(config.agent.state_directory, journal)
        progress = Progress(clock, bell.ring)
        service = Service(
            journal=journal,
            locks=locks,
            intake=intake,
            answers=answers,
            topics=topics,
            clock=clock,
            bell=bell,
            vitals=Vitals(
                mqtt=lambda: _mqtt_vitals(connection.state),
                cloud=watch.vitals,
                health=health,
                heard=heard,
                vault_key=key_source.value,
                journal_set_aside=None if journal.set_aside is None else str(journal.set_aside),
                locks={lock.id: LockStatus(address=str(lock.address)) for lock in config.locks},
            ),
            desk=Desk(shelf, journal, locks, clock),
            watch=watch,
            progress=progress,
        )
        memory = LockMemory(journal, topics, clock, heard)
        work = Work(
            journal,
            memory,
            answers,
            clock,
            time_sync=surroundings.time_sync,
            on_findings=watch.found,
            progress=progress,
        )
        links = HeardLinks(surroundings.links(config), clock=clock)
        radios.open(
            links,
            locks.profiles,
            journal=journal,
            work=work,
            answers=answers,
            random=surroundings.random,
            on_report=service.on_report,
        )

        def on_heard(lock: str, sighting: Sighting, now: Advertisement) -> None:
            heard.take(lock, sighting, now)
            radios.lock_is_heard(lock)

        bench_links = ObservedLinks(links, radios.beat)
        gatherer = Gatherer(
            journal,
            watch,
            clock,
            status=service.status,
            state_directory=config.agent.state_directory,
            faults=all_faults(config.agent.firmware_faults),
        )
        bench = Bench(
            {
                **Tasks(
                    bench_links,
                    radios.airtime,
                    locks=locks,
                    keyring=keyring,
                    shelf=shelf,
                    journal=journal,
                    memory=memory,
                    work=work,
                    clock=clock,
                    randbelow=surroundings.randbelow,
                    vendor=Vendor(_cloud_entries(config, watching.cloud), journal, clock),
                    wake_radio=radios.ring,
                ).verbs,
                **Diagnosis(
                    bench_links,
                    radios.airtime,
                    profiles=locks.profiles,
                    gatherer=gatherer,
                    journal=journal,
                    memory=memory,
                    budgets=work.budgets,
                    intake=intake,
                    watch=watch,
                    bell=bell,
                    clock=clock,
                ).verbs,
            },
            journal=journal,
            answers=answers,
            progress=progress,
            clock=clock,
            alarm=bench_alarm,
            random=surroundings.random,
            beat=heartbeats.loop("bench", limit_s=BENCH_LIMIT_S),
        )

        async def on_mqtt(request: IncomingRequest) -> None:
            with heartbeats.duty("requests", limit_s=JOURNAL_LIMIT_S):
                await service.on_mqtt(request)

        owners: list[Callable[[], Coroutine[Any, Any, None]]] = [
            *radios.owners,
            bench.run,
            Deadlines(
                journal,
                answers,
                clock,
                deadline_alarm,
                time_sync=surroundings.time_sync,
                beat=heartbeats.loop("deadlines", limit_s=JOURNAL_LIMIT_S),
            ).run,
        ]
        if not surroundings.is_alone:
            owners += [
                connection.run,
                RequestBridge(
                    connection.incoming,
                    on_mqtt,
                    topics=topics,
                    connection=connection,
                    clock=clock,
                    response_prefix=config.mqtt.response_topic_prefix,
                ).run,
                OutboxPublisher(
                    journal, connection, wake=stack.enter_context(bell.listener()), clock=clock
                ).run,
                health_teller.run,
                HeardTeller(heard, memory.show_state, clock=clock).run,
                DoorWatch(
                    links,
                    locks.profiles,
                    clock=clock,
                    on_sign=radios.someone_is_at,
                    on_heard=on_heard,
                ).run,
                Housekeeper(
                    journal,
                    clock,
                    time_sync=surroundings.time_sync,
                    beat=heartbeats.loop("housekeeping", limit_s=ROUND_LIMIT_S),
                ).run,
                lambda: introduce(journal, info_of(config, topics), clock),
                Daylight(
                    journal,
                    intake,
                    locks.profiles,
                    clock,
                    beat=heartbeats.loop("daylight saving", limit_s=ROUND_LIMIT_S),
                ).run,
                Herald(
                    surroundings.notifier,
                    heartbeats,
                    summary=service.summary,
                    clock=clock,
                    watchdog_interval_s=watchdog_interval_s(),
                ).run,
                partial(
                    watch.run,
                    stack.enter_context(bell.listener()),
                    beat=heartbeats.loop("gateway watch", limit_s=JOURNAL_LIMIT_S),
                ),
                *watching.owners,
            ]
        await stack.enter_async_context(
            serve_control(
                config.agent.control_socket,
                Support(
                    config,
                    journal=journal,
                    profiles=locks.profiles,
                    gatherer=gatherer,
                    watch=watch,
                    status=service.status,
                    recent_log=surroundings.recent_log,
                    otherwise=service.on_control,
                ).on_control,
            )
        )
        await _serve(owners, surroundings.notifier)


async def _serve(owners: list[Callable[[], Coroutine[Any, Any, None]]], notifier: Notifier) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for owner in owners:
                group.create_task(owner())
            notifier.ready()
            log.info("agent_ready", version=__version__)
    finally:
        notifier.stopping()
        log.info("agent_stopping")


def _mqtt_settings(config: Config, register_secret: Callable[[str], None]) -> MqttSettings:
    mqtt = config.mqtt
    password = None if mqtt.password is None else mqtt.password.resolve()
    if password is not None:
        register_secret(password)
    tls = None
    if mqtt.tls is not None:
        tls = TlsSettings(
            ca_file=mqtt.tls.ca_file, cert_file=mqtt.tls.cert_file, key_file=mqtt.tls.key_file
        )
    return MqttSettings(
        host=mqtt.host,
        port=mqtt.port,
        agent_id=config.agent.id,
        base_topic=mqtt.base_topic,
        username=mqtt.username,
        password=password,
        keepalive_s=mqtt.keepalive_s,
        tls=tls,
        allow_plaintext=mqtt.allow_plaintext,
        response_prefix=mqtt.response_topic_prefix,
    )


def _mqtt_vitals(state: ConnectionState) -> dict[str, str | None]:
    return {
        "status": state.status.value,
        "version": str(state.version.value),
        "since": state.since.isoformat(timespec="seconds"),
        "error": state.error,
    }


def _log_mqtt(state: ConnectionState) -> None:
    log.info("mqtt_state", status=state.status.value, error=state.error)


def _cloud_entries(config: Config, cloud: CloudClient | None) -> CloudEntries | None:
    """Return what tells the cloud of restored passcodes, if there is a cloud."""
    if cloud is None:
        return None
    from ttlock_agent.backup.cloud import CloudList  # noqa: PLC0415 - as for the watch

    return CloudList(
        cloud,
        {
            lock.id: (lock.cloud_lock_id, lock.time_zone)
            for lock in config.locks
            if lock.cloud_lock_id is not None
        },
    )

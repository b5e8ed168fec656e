"""Builds the gateway watch from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ttlock_agent.clock import Clock
from ttlock_agent.config import CallbackConfig, CloudConfig, Config
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.store import Journal
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.vault import Vault
from ttlock_agent.watch.judgement import WatchedLock
from ttlock_agent.watch.watch import GatewayWatch

if TYPE_CHECKING:
    from ttlock_agent.cloud.client import CloudClient

# HTTP client and server are imported where they are used: an agent without a cloud loads neither.

_ACCESS: Final = "cloud-access"
_CALLS: Final = "cloud-calls"


class _SealedState:
    """A small value in the journal's vault."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._name = name

    async def load(self) -> bytes | None:
        """Return what was saved last."""
        return await self._journal.secret(self._name)

    async def save(self, value: bytes) -> None:
        """Keep ``value``."""
        await self._journal.put_secret(self._name, value)


@dataclass(slots=True, kw_only=True)
class Watching:
    """The watch, and what feeds it; ``owners`` are to be run beside it."""

    watch: GatewayWatch
    cloud: CloudClient | None = None
    owners: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)


async def start_watch(
    config: Config,
    *,
    stack: AsyncExitStack,
    vault: Vault,
    journal: Journal,
    intake: Intake,
    topics: Topics,
    clock: Clock,
    register_secret: Callable[[str], None],
    eye_beat: Callable[[], Callable[[], None]],
) -> Watching:
    """Return the watch over all locks; ``stack`` closes what it opens.

    ``eye_beat`` is asked, where there is a cloud to look at, for what its eye calls in its rounds.

    Raises ``ConfigError`` for secrets that cannot be read, and a port that is taken.
    """
    watch = GatewayWatch(
        [
            WatchedLock(
                id=lock.id,
                cloud_id=lock.cloud_lock_id,
                grace=timedelta(
                    seconds=config.watch.grace_s
                    if lock.gateway_grace_s is None
                    else lock.gateway_grace_s
                ),
            )
            for lock in config.locks
        ],
        quiet=timedelta(seconds=config.watch.quiet_s),
        reads_cloud=config.cloud is not None,
        journal=journal,
        intake=intake,
        topics=topics,
        clock=clock,
        keyed_hash=lambda content: vault.keyed_hash("cloud-entry", content),
    )
    watching = Watching(watch=watch)
    if config.cloud is not None:
        watching.cloud = await _open_cloud(config.cloud, stack, journal, clock, register_secret)
        watching.owners.append(
            _eye(config, config.cloud, watching, journal, clock, beat=eye_beat())
        )
    if config.watch.callbacks is not None:
        await _serve_callbacks(config.watch.callbacks, watch, stack, register_secret)
    return watching


async def _open_cloud(
    cloud: CloudConfig,
    stack: AsyncExitStack,
    journal: Journal,
    clock: Clock,
    register_secret: Callable[[str], None],
) -> CloudClient:
    from ttlock_agent.cloud.client import open_cloud  # noqa: PLC0415
    from ttlock_agent.cloud.quota import QuotaBudget  # noqa: PLC0415
    from ttlock_agent.cloud.token import CloudAccount  # noqa: PLC0415

    account = CloudAccount(
        client_id=cloud.client_id,
        client_secret=cloud.client_secret.resolve(),
        username=cloud.username,
        password_md5=cloud.password_md5.resolve(),
    )
    for secret in (account.client_secret, account.password_md5):
        register_secret(secret)
    return await stack.enter_async_context(
        open_cloud(
            base_url=cloud.base_url,
            account=account,
            clock=clock,
            token_store=_SealedState(journal, _ACCESS),
            budget=QuotaBudget(
                monthly_limit=cloud.monthly_call_budget, store=_SealedState(journal, _CALLS)
            ),
        )
    )


def _eye(
    config: Config,
    cloud: CloudConfig,
    watching: Watching,
    journal: Journal,
    clock: Clock,
    *,
    beat: Callable[[], None],
) -> Callable[[], Coroutine[Any, Any, None]]:
    from ttlock_agent.watch.cloud_eye import CloudEye, CloudLock, tell_nothing  # noqa: PLC0415
    from ttlock_agent.watch.teller import Teller  # noqa: PLC0415

    client, watch = watching.cloud, watching.watch
    assert client is not None, "the eye comes with a cloud"
    return CloudEye(
        client,
        [
            CloudLock(id=lock.id, cloud_id=lock.cloud_lock_id)
            for lock in config.locks
            if lock.cloud_lock_id is not None
        ],
        watch,
        poll_interval_s=cloud.poll_interval_s,
        probes_per_day=config.watch.probes_per_day,
        journal=journal,
        clock=clock,
        tell=Teller(client, watch, journal, clock).tell if cloud.tell_passcodes else tell_nothing,
        beat=beat,
    ).run


async def _serve_callbacks(
    config: CallbackConfig,
    watch: GatewayWatch,
    stack: AsyncExitStack,
    register_secret: Callable[[str], None],
) -> None:
    from ttlock_agent.watch.callbacks import (  # noqa: PLC0415
        Callbacks,
        checked_path,
        serve_callbacks,
    )

    path = checked_path(config.path.resolve())
    register_secret(path)
    callbacks = Callbacks(watch, path)
    watch.show_figures(callbacks.figures)
    await stack.enter_async_context(serve_callbacks(callbacks, host=config.host, port=config.port))

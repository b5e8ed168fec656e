"""Builds the gateway watch from the configuration; imported only where a cloud is configured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.client import open_cloud
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.cloud.token import CloudAccount
from ttlock_agent.config import CloudConfig, LockConfig
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.store import Journal
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.vault import Vault
from ttlock_agent.watch.watch import GatewayWatch, Patience, WatchedLock

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


async def start_watch(
    cloud: CloudConfig,
    locks: tuple[LockConfig, ...],
    *,
    stack: AsyncExitStack,
    vault: Vault,
    journal: Journal,
    intake: Intake,
    topics: Topics,
    clock: Clock,
    register_secret: Callable[[str], None],
) -> GatewayWatch:
    """Return the watch over all locks that have an id in the cloud; ``stack`` closes it.

    Raises ``ConfigError`` for secrets that cannot be read.
    """
    account = CloudAccount(
        client_id=cloud.client_id,
        client_secret=cloud.client_secret.resolve(),
        username=cloud.username,
        password_md5=cloud.password_md5.resolve(),
    )
    for secret in (account.client_secret, account.password_md5):
        register_secret(secret)
    client = await stack.enter_async_context(
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
    return GatewayWatch(
        client,
        [
            WatchedLock(id=lock.id, cloud_id=lock.cloud_lock_id)
            for lock in locks
            if lock.cloud_lock_id is not None
        ],
        Patience(
            poll_interval_s=cloud.poll_interval_s,
            grace=timedelta(seconds=cloud.grace_s),
        ),
        journal=journal,
        intake=intake,
        topics=topics,
        clock=clock,
        keyed_hash=lambda content: vault.keyed_hash("cloud-entry", content),
    )

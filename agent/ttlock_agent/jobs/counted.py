"""Visits of those who are not the radio, counted like its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ttlock_agent.clock import Clock
from ttlock_agent.errors import LinkError
from ttlock_agent.jobs.budget import Budgets
from ttlock_agent.link import LinkFactory
from ttlock_agent.lock.visit import LockProfile, Visit, visit_lock


@asynccontextmanager
async def counted_visit(
    links: LinkFactory, profile: LockProfile, clock: Clock, budgets: Budgets
) -> AsyncGenerator[Visit]:
    """Visit a lock, and count what that takes of its battery and how it was reached.

    Raises like :func:`visit_lock`; the budget holds nobody back here.
    """
    is_connected = is_lost = False
    try:
        async with visit_lock(links, profile, clock) as visit:
            is_connected, since_s = True, clock.monotonic()
            await budgets.connected(profile, visit.rssi_dbm)
            try:
                yield visit
            except LinkError:
                is_lost = True
                raise
            finally:
                connected_s = clock.monotonic() - since_s
                await budgets.disconnected(profile, connected_s, is_lost=is_lost)
    except LinkError as error:
        if not is_connected:
            await budgets.not_connected(profile, error)
        raise

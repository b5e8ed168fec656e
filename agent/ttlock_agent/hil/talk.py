"""One connection to the lock, with whatever quirks are to be tried on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from ttlock_agent.clock import Clock
from ttlock_agent.link import Link, LinkFactory
from ttlock_agent.lock.client import LockClient
from ttlock_agent.lock.visit import LockProfile, Visit, first_header
from ttlock_protocol.frame import Version
from ttlock_protocol.procedures import greet
from ttlock_protocol.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """An open connection at all its levels: frames, requests, visit."""

    link: Link
    session: Session
    client: LockClient
    visit: Visit


@asynccontextmanager
async def talk(
    links: LinkFactory, profile: LockProfile, clock: Clock, *, header: Version | None = None
) -> AsyncGenerator[Talk]:
    """Connect, and disconnect whatever happens; ``header`` takes the place of the right one.

    As :func:`ttlock_agent.lock.visit.visit_lock`, but it lets its parts be seen.
    """
    link = await links.connect(profile.address, timeout_s=profile.connect_timeout_s)
    try:
        version = header or first_header(link, profile.keys.version)
        quirks = profile.quirks if header is None else replace(profile.quirks, mirrors_header=False)
        session = Session(key=profile.keys.aes_key, version=version, quirks=quirks)
        client = LockClient(link, session, response_timeout_s=profile.response_timeout_s)
        await client.run(greet(quirks))
        yield Talk(link=link, session=session, client=client, visit=Visit(client, profile, clock))
    finally:
        await link.close()

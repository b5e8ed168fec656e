"""A lock without administrator: the one conversation in which somebody becomes that."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from ttlock_agent.errors import KeysRejected, LockMisunderstood, ResponseTimeout
from ttlock_agent.link import LinkFactory
from ttlock_agent.lock.client import LockClient
from ttlock_agent.lock.visit import LockProfile, first_header
from ttlock_protocol.cipher import DEFAULT_KEY
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Response
from ttlock_protocol.procedures import (
    Await,
    Enrolment,
    EnrolmentProcedure,
    KeysExist,
    NewSecrets,
    NoAnswer,
    enrol,
)
from ttlock_protocol.session import Session

FACTORY_KEYS = LockKeys(aes_key=DEFAULT_KEY)
"""What every lock in setting mode knows."""

OnKeys = Callable[[LockKeys], Awaitable[None]]


class SettingMode:
    """An open connection; made by :func:`visit_in_setting_mode`."""

    def __init__(self, client: LockClient, session: Session, profile: LockProfile) -> None:
        self._client = client
        self._session = session
        self._profile = profile

    async def enrol(
        self, secrets: NewSecrets, *, local_time: datetime | None, on_keys: OnKeys
    ) -> Enrolment:
        """Become the administrator; ``on_keys`` keeps the keys before the lock hears of them.

        Raises like the client; ``CommandRefused`` and ``KeysRejected`` mean that the lock has an
        administrator.
        """
        return await self._drive(
            enrol(
                secrets,
                local_time=local_time,
                version=lambda: self._session.version,
                quirks=self._profile.quirks,
            ),
            on_keys,
        )

    async def _drive(self, procedure: EnrolmentProcedure[Enrolment], on_keys: OnKeys) -> Enrolment:
        try:
            step = next(procedure)
            while True:
                if isinstance(step, KeysExist):
                    await on_keys(step.keys)
                    step = procedure.send(None)
                    continue
                assert not isinstance(step, Await), "nothing in an enrolment answers twice"
                try:
                    answer: Response = await self._client.request(step)
                except CommandRefused as error:
                    step = procedure.throw(error)
                except (ResponseTimeout, LockMisunderstood, KeysRejected) as error:
                    # What only describes the lock may fail; the procedure knows which that is.
                    step = _thrown(procedure, error)
                else:
                    step = procedure.send(answer)
        except StopIteration as end:
            result: Enrolment = end.value
            return result
        finally:
            procedure.close()


@asynccontextmanager
async def visit_in_setting_mode(
    factory: LinkFactory, profile: LockProfile
) -> AsyncGenerator[SettingMode]:
    """Connect, and disconnect whatever happens; the keys of ``profile`` are not used."""
    link = await factory.connect(profile.address, timeout_s=profile.connect_timeout_s)
    try:
        version = first_header(link, Version())
        session = Session(key=DEFAULT_KEY, version=version, quirks=profile.quirks)
        client = LockClient(link, session, response_timeout_s=profile.response_timeout_s)
        yield SettingMode(client, session, profile)
    finally:
        await link.close()


def _thrown(
    procedure: EnrolmentProcedure[Enrolment],
    error: ResponseTimeout | LockMisunderstood | KeysRejected,
) -> Any:
    try:
        return procedure.throw(NoAnswer(error.message))
    except NoAnswer:
        raise error from None

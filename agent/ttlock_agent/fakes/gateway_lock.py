"""A gateway that really delivers: what the fake cloud has it do goes into a lock over a link."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from ttlock_agent.clock import Clock
from ttlock_agent.errors import AgentError
from ttlock_agent.fakes.cloud_state import (
    FAILED,
    GATEWAY_BUSY,
    PASSCODE_EXISTS,
    PERIOD,
    SPACE_FULL,
    MemoryPasscode,
    Refusal,
)
from ttlock_agent.jobs.model import PasscodeKind, WantedPasscode
from ttlock_agent.jobs.passcodes import TYPE_OF_KIND, add_request, find, modify_request
from ttlock_agent.link import LinkFactory
from ttlock_agent.lock.visit import LockProfile, Visit, visit_lock
from ttlock_protocol.errors import CommandRefused, ProtocolError
from ttlock_protocol.errors import Refusal as LockRefusal
from ttlock_protocol.localtime import to_lock
from ttlock_protocol.messages.clock import SetClock
from ttlock_protocol.messages.passcodes import DeletePasscode

_CODES: Final = {
    LockRefusal.PASSCODE_EXISTS: PASSCODE_EXISTS,
    LockRefusal.MEMORY_FULL: SPACE_FULL,
    LockRefusal.PASSCODE_MEMORY_FULL: SPACE_FULL,
}


class LockOverLink:
    """A lock as its gateway reaches it: one connection for each command, as real ones do."""

    def __init__(self, factory: LinkFactory, profile: LockProfile, clock: Clock) -> None:
        self._factory = factory
        self._profile = profile
        self._clock = clock

    async def add(self, passcode: MemoryPasscode) -> None:
        """Write a new passcode."""
        async with self._visit() as visit:
            await visit.ask(add_request(self._wish(passcode), self._profile.zone))

    async def delete(self, digits: str) -> None:
        """Remove a passcode; one that is not there is no error."""
        async with self._visit() as visit:
            record = find(await visit.passcodes(is_fresh=True), digits)
            if record is not None:
                await visit.ask(DeletePasscode(passcode_type=record.passcode_type, passcode=digits))

    async def change(self, digits: str, passcode: MemoryPasscode) -> None:
        """Replace a passcode; one the lock does not hold cannot be changed."""
        async with self._visit() as visit:
            record = find(await visit.passcodes(is_fresh=True), digits)
            if record is None:
                raise Refusal(FAILED)
            wish = self._wish(passcode)
            is_same_type = record.passcode_type == TYPE_OF_KIND[wish.kind]
            if digits == passcode.digits and is_same_type:
                await visit.ask(modify_request(wish, self._profile.zone))
                return
            await visit.ask(DeletePasscode(passcode_type=record.passcode_type, passcode=digits))
            await visit.ask(add_request(wish, self._profile.zone))

    async def read_clock(self) -> datetime:
        """Instant the lock takes for now."""
        async with self._visit() as visit:
            reading = await visit.read_clock()
        if reading is None or reading.error_s is None:
            raise Refusal(FAILED)
        return reading.read_at + timedelta(seconds=reading.error_s)

    async def set_clock(self, moment: datetime) -> None:
        """Set the lock's clock."""
        async with self._visit() as visit:
            await visit.ask(SetClock(local_time=to_lock(moment, self._profile.zone)))

    @asynccontextmanager
    async def _visit(self) -> AsyncGenerator[Visit]:
        try:
            async with visit_lock(self._factory, self._profile, self._clock) as visit:
                yield visit
        except CommandRefused as refused:
            raise Refusal(_CODES.get(refused.refusal, FAILED)) from None
        except AgentError:
            # Mostly that somebody else is connected: a lock takes one at a time.
            raise Refusal(GATEWAY_BUSY) from None
        except ProtocolError:
            raise Refusal(FAILED) from None

    def _wish(self, passcode: MemoryPasscode) -> WantedPasscode:
        is_period = passcode.cloud_type == PERIOD
        return WantedPasscode(
            lock=self._profile.id,
            digits=passcode.digits,
            kind=PasscodeKind.PERIOD if is_period else PasscodeKind.PERMANENT,
            valid_from=_minute(passcode.valid_from) if is_period else None,
            valid_until=_minute(passcode.valid_until) if is_period else None,
            owner="gateway",
        )


def _minute(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(second=0, microsecond=0)

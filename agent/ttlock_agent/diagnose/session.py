"""Reads what the checks need, in one connection, changing nothing.

What the lock refuses is kept with the reason; a broken link ends the reading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ttlock_agent.clock import Clock
from ttlock_agent.diagnose.facts import Session
from ttlock_agent.errors import LockMisunderstood, LockRefused
from ttlock_agent.jobs.records import MAX_PERCENT
from ttlock_agent.lock.refusals import refused
from ttlock_agent.lock.visit import LockProfile, Visit
from ttlock_protocol.errors import CommandRefused, RemoteProtocolError
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.message import Request, Response
from ttlock_protocol.messages.device import DeviceText, GetDeviceText
from ttlock_protocol.messages.log import OLDEST, GetLog, LogRecord
from ttlock_protocol.messages.operate import GetFeatures, GetState
from ttlock_protocol.messages.settings import GetRemoteUnlock, GetSwitches
from ttlock_protocol.procedures import needed_auth, read_log

R = TypeVar("R", bound=Response)

Tell = Callable[[str, int], None]
"""Called with what is being read, and how much of it has come."""

LOG_PAGE: Final = 20
MAX_RECORDS: Final = 1000
"""Twice what a lock keeps."""
LOOK_BACK: Final = 60
"""Records before the agent's own cursor: what it has told already, and may matter here."""


async def read_session(
    visit: Visit, profile: LockProfile, clock: Clock, *, log_cursor: int, tell: Tell
) -> Session:
    """Ask the lock everything; ``log_cursor`` is how far the agent has read its log before.

    Raises what ends the visit, ``KeysRejected`` before all else.
    """
    tell("keys", 0)
    await visit.be_admin()
    reading = _Reading(visit)
    tell("device", 0)
    model = await reading.text("model", DeviceText.MODEL)
    hardware = await reading.text("hardware", DeviceText.HARDWARE)
    firmware = await reading.text("firmware", DeviceText.FIRMWARE)
    words = await reading.one("features", GetFeatures())
    features = None if words is None else FeatureSet(words.bits)
    has_switch = features is None or Feature.REMOTE_UNLOCK_SWITCH in features
    remote = await reading.one("remote_unlock", GetRemoteUnlock()) if has_switch else None
    switches = await reading.one("switches", GetSwitches())
    state = await reading.one("state", GetState())
    tell("clock", 0)
    clock_reading = await visit.read_clock()
    tell("passcodes", 0)
    listing = await visit.passcodes(is_fresh=True)
    log, reaches_end = await reading.log(
        profile, since=max(OLDEST, log_cursor - LOOK_BACK), tell=tell
    )
    return Session(
        at=clock.now(),
        rssi_dbm=visit.rssi_dbm,
        model=model,
        hardware=hardware,
        firmware=firmware,
        features=features,
        clock=clock_reading,
        battery_percent=None
        if state is None or state.battery_percent > MAX_PERCENT
        else state.battery_percent,
        is_remote_unlock_on=None if remote is None else remote.is_allowed,
        switches=None if switches is None else switches.bits,
        listing=listing,
        log=log,
        log_reaches_end=reaches_end,
        refused=reading.refused,
    )


class _Reading:
    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.refused: dict[str, str] = {}

    async def text(self, item: str, kind: DeviceText) -> str | None:
        answer = await self.one(item, GetDeviceText(kind=kind))
        return None if answer is None else answer.text[:64]

    async def one(self, item: str, request: Request[R]) -> R | None:
        try:
            return await self._visit.ask(request)
        except CommandRefused as error:
            meaning = refused(error)
            if not isinstance(meaning, LockRefused) or meaning.retryable:
                raise meaning from error
            self.refused[item] = meaning.message
        except (LockMisunderstood, RemoteProtocolError):
            self.refused[item] = "The lock's answer cannot be understood."
        return None

    async def log(
        self, profile: LockProfile, *, since: int, tell: Tell
    ) -> tuple[list[LogRecord], bool]:
        """Read records behind ``since`` page by page, and whether the end was reached."""
        found: list[LogRecord] = []
        cursor = since
        auth = needed_auth(GetLog(cursor=cursor), profile.keys, profile.quirks)
        for count in range(0, MAX_RECORDS, LOG_PAGE):
            tell("log", count)
            try:
                part = await self._visit.run(read_log(cursor=cursor, limit=LOG_PAGE), auth=auth)
            except CommandRefused as error:
                self.refused["log"] = refused(error).message
                return found, False
            except (LockMisunderstood, RemoteProtocolError):
                self.refused["log"] = "The lock's answer cannot be understood."
                return found, False
            found += [each for each in part.records if isinstance(each, LogRecord)]
            if len(part.records) < LOG_PAGE or part.next_cursor == cursor:
                return found, True
            cursor = part.next_cursor
        return found, False

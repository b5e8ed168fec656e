"""Reads everything a lock tells, within one visit; what it does not tell is listed with the reason.

Nothing is dropped: a record that cannot be understood is kept as it came. A broken link ends the
reading, for half a list must never pass for a whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from ttlock_agent.backup.content import (
    Content,
    LockFacts,
    NotRead,
    SavedCard,
    SavedFingerprint,
    SavedPassage,
    SavedPasscode,
    SavedSettings,
    UnreadableRecord,
)
from ttlock_agent.clock import Clock
from ttlock_agent.errors import LockMisunderstood, LockRefused
from ttlock_agent.keyring import StoredVersion
from ttlock_agent.link.virtual import ADDRESS_PREFIX
from ttlock_agent.lock.refusals import refused
from ttlock_agent.lock.visit import LockProfile, Visit
from ttlock_protocol.errors import CommandRefused, ProtocolError, RemoteProtocolError
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.localtime import to_lock
from ttlock_protocol.message import Auth, Request, Response
from ttlock_protocol.messages.admin import GetAdminPasscode
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.device import DeviceText, GetDeviceMac, GetDeviceText
from ttlock_protocol.messages.log import LogRecord, LogType
from ttlock_protocol.messages.operate import GetFeatures
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import PasscodeRecord, PasscodeType
from ttlock_protocol.messages.settings import (
    GetAutoLock,
    GetPasscodeDisplay,
    GetRemoteUnlock,
    GetSound,
    GetSwitches,
)
from ttlock_protocol.procedures import (
    Procedure,
    ask,
    list_cards,
    list_fingerprints,
    list_passage_entries,
    list_passcodes,
    read_log,
)

R = TypeVar("R", bound=Response)
T = TypeVar("T")

Tell = Callable[[str, int], None]
"""Called with what is being done and how many answers have come."""

MAX_LOG_RECORDS: Final = 1000
"""Twice what a lock keeps."""

PASSCODES: Final = "passcodes"
CARDS: Final = "cards"
FINGERPRINTS: Final = "fingerprints"
PASSAGE: Final = "passage_mode"
ADMIN_PASSCODE: Final = "admin_passcode"
AUTO_LOCK: Final = "auto_lock"
SOUND: Final = "sound"
DISPLAY: Final = "passcode_display"
REMOTE_UNLOCK: Final = "remote_unlock"
SWITCHES: Final = "switches"
WEEKLY_HOURS: Final = "weekly_hours"
UNUSED_CODES: Final = "unused_cloud_passcodes"

_NEVER_TOLD: Final = {
    WEEKLY_HOURS: "No lock tells the weekly hours of its cards and fingerprints: one that had some"
    " opens at any hour once it is put back.",
    UNUSED_CODES: "Passcodes that the cloud generated do not show before their first use.",
}
_NO_COMMAND: Final = "The lock has this, and no command is known that reads it."
_UNLISTED: Final = {
    Feature.WIRELESS_KEYPAD: "wireless_keypads",
    Feature.LIGHT: "light",
    Feature.FINGER_VEIN: "finger_veins",
    Feature.KEY_FOB: "key_fobs",
    Feature.QR_CODE: "qr_codes",
    Feature.WIRELESS_DOOR_SENSOR: "door_sensor",
    Feature.SENSITIVITY: "sensitivity",
    Feature.FACE: "faces",
    Feature.MOTOR_TORQUE: "motor_torque",
    Feature.WIFI: "wifi",
    Feature.PALM_VEIN: "palms",
}


async def read_lock(
    visit: Visit, profile: LockProfile, clock: Clock, tell: Tell = lambda _what, _count: None
) -> Content:
    """Return all that the lock tells; raises what ends the visit."""
    await visit.be_admin()
    return await _Reading(visit, profile, clock, tell).content()


class _Reading:
    def __init__(self, visit: Visit, profile: LockProfile, clock: Clock, tell: Tell) -> None:
        self._visit = visit
        self._profile = profile
        self._clock = clock
        self._tell = tell
        self._not_read: list[NotRead] = []
        self._unreadable: list[UnreadableRecord] = []
        self._features: FeatureSet | None = None

    async def content(self) -> Content:
        words = await self._one("features", GetFeatures())
        self._features = None if words is None else FeatureSet(words.bits)
        facts = await self._facts()
        passcodes = await self._passcodes()
        cards = await self._list(CARDS, Feature.CARD, list_cards())
        fingers = await self._list(FINGERPRINTS, Feature.FINGERPRINT, list_fingerprints())
        passage = await self._list(PASSAGE, Feature.PASSAGE_MODE, list_passage_entries())
        settings = await self._settings()
        admin = await self._one(ADMIN_PASSCODE, GetAdminPasscode(), Feature.GET_ADMIN_PASSCODE)
        self._note_what_no_lock_tells(has_credentials=bool(cards or fingers))
        return Content(
            taken_at=self._clock.now(),
            lock=facts,
            passcodes=passcodes,
            cards=tuple(SavedCard.of(each) for each in cards),
            fingerprints=tuple(SavedFingerprint.of(each) for each in fingers),
            passage=tuple(SavedPassage.of(each) for each in passage),
            settings=settings,
            admin_passcode=admin.passcode or None if admin is not None else None,
            unreadable=tuple(self._unreadable),
            not_read=tuple(self._not_read),
        )

    def _may_have(self, feature: Feature | None) -> bool:
        return feature is None or self._features is None or feature in self._features

    async def _facts(self) -> LockFacts:
        texts = {
            name: await self._one(name, GetDeviceText(kind=kind))
            for name, kind in (
                ("model", DeviceText.MODEL),
                ("hardware", DeviceText.HARDWARE),
                ("firmware", DeviceText.FIRMWARE),
                ("produced", DeviceText.PRODUCED),
            )
        }
        told = await self._one("address", GetDeviceMac())
        address = self._profile.address
        if told is not None:
            address = told.mac
        reading = await self._visit.read_clock()
        version = self._profile.keys.version
        return LockFacts(
            mac=None if address.startswith(ADDRESS_PREFIX) else address,
            **{name: None if text is None else text.text[:64] for name, text in texts.items()},
            features=None if self._features is None else self._features.to_cloud(),
            version=StoredVersion(
                protocol_type=version.protocol_type,
                protocol_version=version.protocol_version,
                scene=version.scene,
                group=version.group,
                organisation=version.organisation,
            ),
            zone=str(self._profile.zone),
            clock_error_s=None if reading is None else reading.error_s,
        )

    async def _passcodes(self) -> tuple[SavedPasscode, ...]:
        records = await self._list(PASSCODES, None, list_passcodes())
        used = await self._used_once(records)
        return tuple(SavedPasscode.of(each, is_used=used.get(each.passcode)) for each in records)

    async def _used_once(self, records: Sequence[PasscodeRecord]) -> dict[str, bool]:
        """Say of one-time passcodes whether they were used, as far as the log reaches.

        A list does not tell, and one that is written anew would open once more.
        """
        now = to_lock(self._clock.now(), self._profile.zone)
        once = [
            each
            for each in records
            if each.passcode_type == PasscodeType.ONE_TIME
            and (each.valid_until is None or each.valid_until >= now)
        ]
        if not once:
            return {}
        try:
            part = await self._visit.run(
                self._counted("log", read_log(cursor=0, limit=MAX_LOG_RECORDS)), auth=Auth.ADMIN
            )
        except (CommandRefused, RemoteProtocolError, LockMisunderstood):
            return {}
        known = [each for each in part.records if isinstance(each, LogRecord)]
        times = [each.recorded_at for each in known if each.recorded_at is not None]
        reaches_back_to = min(times, default=None)
        return {
            each.passcode: is_used
            for each in once
            if (is_used := _is_used(each, known, reaches_back_to)) is not None
        }

    async def _settings(self) -> SavedSettings:
        auto_lock = await self._one(AUTO_LOCK, GetAutoLock(), Feature.AUTO_LOCK)
        sound = await self._one(SOUND, GetSound(), Feature.SOUND)
        display = await self._one(DISPLAY, GetPasscodeDisplay(), Feature.PASSCODE_DISPLAY)
        remote = await self._one(REMOTE_UNLOCK, GetRemoteUnlock(), Feature.REMOTE_UNLOCK_SWITCH)
        switches = await self._one(SWITCHES, GetSwitches())
        values: dict[str, Any] = {}
        if auto_lock is not None:
            values["auto_lock_s"] = auto_lock.delay_s
            values["auto_lock_min_s"] = auto_lock.min_delay_s
            values["auto_lock_max_s"] = auto_lock.max_delay_s
            values["is_locking_on_close"] = auto_lock.is_locking_on_close
        if sound is not None:
            values |= {"is_sound_on": sound.is_on, "volume": sound.volume}
        if display is not None:
            values["is_passcode_shown"] = display.is_shown
        if remote is not None:
            values["is_remote_unlock_allowed"] = remote.is_allowed
        if switches is not None:
            values["switches"] = switches.bits
        return SavedSettings(**values)

    def _note_what_no_lock_tells(self, *, has_credentials: bool) -> None:
        if has_credentials and self._may_have(Feature.WEEKLY_SCHEDULE):
            self._note(WEEKLY_HOURS, _NEVER_TOLD[WEEKLY_HOURS])
        self._note(UNUSED_CODES, _NEVER_TOLD[UNUSED_CODES])
        for feature, item in _UNLISTED.items():
            if self._features is not None and feature in self._features:
                self._note(item, _NO_COMMAND)

    def _note(self, item: str, reason: str) -> None:
        self._not_read.append(NotRead(item=item, reason=reason[:200]))

    async def _one(
        self, item: str, request: Request[R], feature: Feature | None = None
    ) -> R | None:
        if not self._may_have(feature):
            return None
        return await self._try(item, ask(request))

    async def _list(
        self, item: str, feature: Feature | None, procedure: Procedure[tuple[T | Unreadable, ...]]
    ) -> list[T]:
        if not self._may_have(feature):
            procedure.close()
            return []
        found: list[T] = []
        for record in await self._try(item, self._counted(item, procedure)) or ():
            if isinstance(record, Unreadable):
                self._unreadable.append(UnreadableRecord(item=item, raw=record.raw))
            else:
                found.append(record)
        return found

    async def _try(self, item: str, procedure: Procedure[T]) -> T | None:
        try:
            return await self._visit.run(procedure, auth=Auth.ADMIN)
        except CommandRefused as error:
            meaning = refused(error)
            if not isinstance(meaning, LockRefused) or meaning.retryable:
                raise meaning from error
            self._note(item, meaning.message)
        except LockMisunderstood as error:
            self._note(item, error.message)
        except RemoteProtocolError as error:
            self._note(item, f"The lock's answer cannot be understood: {error}.")
        return None

    def _counted(self, item: str, procedure: Procedure[T]) -> Procedure[T]:
        """Go through ``procedure``, telling of each answer."""
        count = 0
        try:
            step = next(procedure)
            while True:
                try:
                    answer = yield step
                except ProtocolError as error:
                    step = procedure.throw(error)
                else:
                    count += 1
                    self._tell(item, count)
                    step = procedure.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


def _is_used(
    passcode: PasscodeRecord, log: Sequence[LogRecord], reaches_back_to: datetime | None
) -> bool | None:
    for record in log:
        is_opening = record.log_type == LogType.PASSCODE_UNLOCK
        if is_opening and record.passcode == passcode.passcode:
            at = record.recorded_at
            if at is None or at >= passcode.valid_from:
                return True
    begins = passcode.valid_from
    is_covered = reaches_back_to is not None and reaches_back_to <= begins != PERMANENT_FROM
    return False if is_covered else None

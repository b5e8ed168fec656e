"""Every request that has a layout, over each rig: heard, carried out by a lock that can, answered.

A request that is added to the protocol belongs into ``asked``, or the last test fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, time
from typing import Any

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.lock.client import LockClient
from ttlock_agent.lock.visit import Visit, first_header, visit_lock
from ttlock_protocol.cipher import DEFAULT_KEY
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.features import Feature
from ttlock_protocol.localtime import to_lock
from ttlock_protocol.message import Auth, Request, requests
from ttlock_protocol.messages.admin import (
    GetAdminPasscode,
    SetAdminPasscode,
    SetDeviceParameter,
    SetLockName,
    SetMaxPasscodes,
)
from ttlock_protocol.messages.auth import CheckUser
from ttlock_protocol.messages.cards import (
    AddCard,
    ClearCards,
    DeleteCard,
    GetCards,
    LearnCard,
    ModifyCard,
)
from ttlock_protocol.messages.clock import GetClock, SetClock
from ttlock_protocol.messages.device import (
    DeviceText,
    GetDeviceClock,
    GetDeviceMac,
    GetDeviceSignal,
    GetDeviceText,
)
from ttlock_protocol.messages.fingerprints import (
    ClearFingerprints,
    DeleteFingerprint,
    EnrolFingerprint,
    FingerprintRecord,
    GetFingerprints,
    ModifyFingerprint,
)
from ttlock_protocol.messages.log import GetLog
from ttlock_protocol.messages.operate import GetFeatures, GetState
from ttlock_protocol.messages.pairing import (
    SEED_YEARS,
    GetOfflinePasscodes,
    InitOfflinePasscodes,
    OfflineSeed,
)
from ttlock_protocol.messages.passage import (
    AddPassageEntry,
    ClearPassageEntries,
    DeletePassageEntry,
    GetPassageEntries,
    PassageEntry,
)
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    ClearPasscodes,
    DeletePasscode,
    GetPasscodes,
    ModifyPasscode,
    PasscodeType,
    RecoverPasscode,
)
from ttlock_protocol.messages.rare import (
    Button,
    ClickRemoteControl,
    GetHotelItem,
    GetRemoteControl,
    SetHotelAesKey,
    SetHotelCardKey,
    SetHotelNumbers,
    SetNbAddress,
    SetWristbandKey,
)
from ttlock_protocol.messages.schedules import AddSchedule, ClearSchedules, CredentialKind
from ttlock_protocol.messages.settings import (
    GetAutoLock,
    GetPasscodeDisplay,
    GetRemoteUnlock,
    GetSound,
    GetSwitches,
    SetAutoLock,
    SetLockingOnClose,
    SetPasscodeDisplay,
    SetRemoteUnlock,
    SetSound,
    SetSwitch,
    SetVolume,
    Switch,
)
from ttlock_protocol.procedures import (
    EnrolmentProcedure,
    KeysExist,
    NewSecrets,
    Procedure,
    ask,
    authenticate_user,
    enrol,
    lock,
    reset,
    unlock,
)
from ttlock_protocol.session import Session

from .rigs import KEYS, ZONE, Rig

CLOCK = SystemClock()
DIGITS = "482913"
CARD = b"\x01\xe2\x8f\x3a"
FINGER = bytes.fromhex("5f3a91c40007")
FROM, UNTIL = datetime(2026, 11, 1, 8, 0), datetime(2027, 11, 1, 8, 0)  # noqa: DTZ001 - the lock's
ENTRY = PassageEntry(day=1, starts_at=time(9), ends_at=time(17))
FEATURES = frozenset(each for each in Feature) - {Feature.NO_CLOCK, Feature.SILENT_WHEN_IDLE}
SEEDS = (OfflineSeed(code=1, secret=2),) * SEED_YEARS
SECRETS = NewSecrets(admin_secret=123456789, unlock_key=987654321, admin_passcode="1357924")


@dataclass
class Answered:
    """The kinds of requests that were carried out."""

    kinds: set[type[Request[Any]]] = field(default_factory=set)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Answered:
    """Listen to every client."""
    found = Answered()
    step_of = LockClient._step

    async def step(client: LockClient, step: Any) -> Any:
        answer = await step_of(client, step)
        found.kinds.add(type(step))
        return answer

    monkeypatch.setattr(LockClient, "_step", step)
    return found


def asked() -> list[list[Request[Any]]]:
    """What an administrator asks; each list in a connection of its own."""
    added = {"passcode_type": PasscodeType.PERMANENT, "passcode": DIGITS}
    validity = {"valid_from": FROM, "valid_until": UNTIL}
    day = {"kind": ENTRY.kind, "day": ENTRY.day, "month": ENTRY.month}
    hours = {"starts_at": ENTRY.starts_at, "ends_at": ENTRY.ends_at}
    finger = {"kind": CredentialKind.FINGERPRINT, "credential": FINGER}
    return [
        [
            GetClock(), SetClock(local_time=to_lock(CLOCK.now(), ZONE)), GetState(), GetFeatures(),
            GetDeviceMac(), GetDeviceClock(), GetDeviceSignal(),
            GetDeviceText(kind=DeviceText.MODEL), GetLog(cursor=0),
            SetMaxPasscodes(count=200), AddPasscode(**added), GetPasscodes(),
            ModifyPasscode(passcode=DIGITS, new_passcode="482914"),
            DeletePasscode(passcode_type=PasscodeType.PERMANENT, passcode="482914"),
            RecoverPasscode(**added, original_passcode=DIGITS), ClearPasscodes(),
            SetAdminPasscode(passcode="1123335"), GetAdminPasscode(),
            SetLockName(name="Back door"), SetDeviceParameter(command="AT+NAME=Front door"),
            AddCard(card_number=CARD, **validity), GetCards(),
            ModifyCard(card_number=CARD, **validity), DeleteCard(card_number=CARD), ClearCards(),
            GetFingerprints(), ModifyFingerprint(fingerprint=FINGER, **validity),
            ClearSchedules(**finger), AddSchedule(**finger, weekday=1, **hours),
            DeleteFingerprint(fingerprint=FINGER), ClearFingerprints(),
            AddPassageEntry(entry=ENTRY), GetPassageEntries(), DeletePassageEntry(**day, **hours),
            ClearPassageEntries(),
            GetAutoLock(), SetLockingOnClose(is_locking_on_close=False), SetAutoLock(delay_s=5),
            GetSound(), SetVolume(volume=2), SetSound(is_on=False),
            GetPasscodeDisplay(), SetPasscodeDisplay(is_shown=True),
            GetRemoteUnlock(), SetRemoteUnlock(is_allowed=True),
            GetSwitches(), SetSwitch(switch=Switch.TAMPER_ALERT, is_on=False),
            InitOfflinePasscodes(first_year=CLOCK.now().year % 100, seeds=SEEDS),
            SetNbAddress(port=5683, address="192.0.2.1"), SetWristbandKey(key="0123456789abcdef"),
            GetHotelItem(item=1), SetHotelCardKey(key=bytes(6)), SetHotelAesKey(key=bytes(16)),
            SetHotelNumbers(hotel=1, building=2, floor=3),
        ],
        # Nobody comes with a card or a finger: the link must go for the lock to give up.
        [LearnCard()],
        [EnrolFingerprint()],
    ]  # fmt: skip


def as_user(visit: Visit) -> list[Procedure[Any]]:
    """What a user asks, each with a challenge of its own."""

    def click() -> Procedure[Any]:
        challenge = yield from ask(
            CheckUser(lock_flag_position=KEYS.lock_flag_position, user_id=KEYS.user_id)
        )
        yield from ask(GetRemoteControl())
        yield from ask(
            ClickRemoteControl(
                proof=KEYS.proof(challenge.challenge), unique_id=3, button=Button.LOCK
            )
        )

    def read_seeds() -> Procedure[Any]:
        yield from authenticate_user(KEYS)
        yield from ask(GetOfflinePasscodes())

    return [unlock(KEYS, unique_id=1), lock(KEYS, unique_id=2), click(), read_seeds()]


async def enrol_again(rig: Rig) -> None:
    """Become the administrator of the lock after its reset."""
    link = await rig.factory.connect(rig.address, timeout_s=rig.profile.connect_timeout_s)
    try:
        session = Session(key=DEFAULT_KEY, version=first_header(link, KEYS.version))
        client = LockClient(link, session, response_timeout_s=rig.profile.response_timeout_s)
        await client.run(
            keeping_nothing(enrol(SECRETS, local_time=None, version=lambda: session.version))
        )
    finally:
        await link.close()


def keeping_nothing(procedure: EnrolmentProcedure[Any]) -> Procedure[None]:
    """Drive an enrolment without storing its keys."""
    try:
        step = next(procedure)
        while True:
            if isinstance(step, KeysExist):
                step = procedure.send(None)
                continue
            try:
                answer = yield step
            except CommandRefused as refused:
                step = procedure.throw(refused)
            else:
                step = procedure.send(answer)
    except StopIteration:
        return


@pytest.mark.timeout(600)
async def test_every_request_is_carried_out(rig: Rig, answered: Answered) -> None:
    memory = rig.lock.memory
    rig.lock._body.change(
        features=FEATURES,
        device=replace(memory.device, nb_rssi_dbm=-80),
        fingerprints=(FingerprintRecord(fingerprint=FINGER, valid_from=FROM, valid_until=UNTIL),),
    )
    for each in asked():
        async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
            for request in each:
                await visit.ask(request)
    async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
        for procedure in as_user(visit):
            await visit.run(procedure, auth=Auth.NOTHING)
        await visit.run(reset(KEYS), auth=Auth.NOTHING)
    await enrol_again(rig)
    assert rig.lock.memory.administrator is not None
    everything = {kind for kinds in requests().values() for kind in kinds}
    assert everything - answered.kinds == set()

"""Pairing, provisional until it is committed, and the seeds of offline passcodes (5.2, 6.6.9)."""

from __future__ import annotations

from ttlock_protocol.cipher import KEY_BYTES
from ttlock_protocol.errors import Refusal
from ttlock_protocol.messages.pairing import (
    AddAdmin,
    AdminAdded,
    AesKey,
    FinishPairing,
    GetAesKey,
    GetOfflinePasscodes,
    Hello,
    HelloAnswered,
    InitOfflinePasscodes,
    OfflinePasscodes,
    OfflinePasscodesReset,
    PairingFinished,
)
from ttlock_protocol.virtual.memory import Administrator, OfflineSeeds
from ttlock_protocol.virtual.visit import Pairing, Refused, Visit, handles
from ttlock_protocol.wire import FIRST_YEAR


@handles(Hello)
def hello(visit: Visit, _: Hello) -> HelloAnswered:
    """Greet back."""
    visit.standing.has_greeted = True
    return HelloAnswered(body=bytes((visit.battery_percent,)))


@handles(GetAesKey)
def get_aes_key(visit: Visit, request: GetAesKey) -> AesKey:
    """Begin to be paired: hand out a new key, the same one for as long as the link lives."""
    _check_token(visit, request.token)
    standing = visit.standing
    if standing.pairing is not None and standing.pairing.is_committed:
        raise Refused(Refusal.NOT_IN_SETTING_MODE)
    if standing.pairing is None:
        standing.pairing = Pairing(aes_key=visit.body.entropy(KEY_BYTES), before=visit.body.memory)
    return AesKey(key=standing.pairing.aes_key)


@handles(AddAdmin)
def add_admin(visit: Visit, request: AddAdmin) -> AdminAdded:
    """Take the administrator's secrets; they count from now on, and last if it is committed."""
    _check_token(visit, request.token)
    pairing = visit.standing.pairing
    if pairing is None:
        raise Refused(Refusal.NO_AES_KEY)
    if visit.body.memory.administrator is not None:
        raise Refused(Refusal.NOT_IN_SETTING_MODE)
    visit.body.change(
        administrator=Administrator(
            aes_key=pairing.aes_key,
            admin_secret=request.admin_secret,
            unlock_key=request.unlock_key,
        )
    )
    return AdminAdded(token=request.token)


@handles(FinishPairing)
def finish_pairing(visit: Visit, _: FinishPairing) -> PairingFinished:
    """Commit; saying so twice is harmless."""
    pairing = visit.standing.pairing
    if pairing is None or visit.body.memory.administrator is None:
        raise Refused(Refusal.NO_ADMINISTRATOR)
    pairing.is_committed = True
    return PairingFinished(battery_percent=visit.battery_percent)


@handles(InitOfflinePasscodes)
def init_offline_passcodes(visit: Visit, request: InitOfflinePasscodes) -> OfflinePasscodesReset:
    """Take new seeds; every passcode that came from the old ones is void."""
    passcodes = visit.body.memory.passcodes
    # It tells this moment later, in a form that knows no seconds.
    reset_at = visit.local_time.replace(second=0, microsecond=0)
    visit.body.change(
        offline_seeds=OfflineSeeds(
            first_year=request.first_year, seeds=request.seeds, reset_at=reset_at
        ),
        passcodes=tuple(each for each in passcodes if not each.is_cloud_generated),
    )
    return OfflinePasscodesReset(battery_percent=visit.battery_percent)


@handles(GetOfflinePasscodes)
def get_offline_passcodes(visit: Visit, _: GetOfflinePasscodes) -> OfflinePasscodes:
    """Tell the seed of the year that the lock's own clock shows."""
    held = visit.body.memory.offline_seeds
    if held is None:
        raise Refused(Refusal.RECORD_NOT_FOUND)
    index = visit.local_time.year - FIRST_YEAR - held.first_year
    if not 0 <= index < len(held.seeds):
        raise Refused(Refusal.RECORD_NOT_FOUND)
    return OfflinePasscodes(
        battery_percent=visit.battery_percent, seed=held.seeds[index], cleared_at=held.reset_at
    )


def _check_token(visit: Visit, token: bytes) -> None:
    if token != visit.body.memory.habits.client_token:
        raise Refused(Refusal.CLIENT_TOKEN_REFUSED)

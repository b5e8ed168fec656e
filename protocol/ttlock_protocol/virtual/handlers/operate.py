"""Bolt, state, feature bits (reference 6.2, 6.3, 6.14)."""

from __future__ import annotations

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.operate import (
    FeatureWords,
    GetFeatures,
    GetState,
    Lock,
    Locked,
    State,
    Unlock,
    Unlocked,
)
from ttlock_protocol.virtual.visit import Refused, Visit, handles

from .auth import check_proof


@handles(GetState)
def get_state(visit: Visit, _: GetState) -> State:
    """Tell battery and bolt."""
    return visit.body.state(visit.now)


@handles(GetFeatures)
def get_features(visit: Visit, _: GetFeatures) -> FeatureWords:
    """Tell the feature bits; bit 10 follows the remote-unlock switch (reference 6.12)."""
    memory = visit.body.memory
    features = {*memory.features} - {Feature.GATEWAY_UNLOCK}
    if memory.settings.is_remote_unlock_allowed:
        features.add(Feature.GATEWAY_UNLOCK)
    return FeatureWords(battery_percent=visit.battery_percent, bits=FeatureSet.of(features).bits)


@handles(Unlock)
def unlock(visit: Visit, request: Unlock) -> Unlocked:
    """Withdraw the bolt."""
    _check_challenge(visit)
    check_proof(visit, request.proof)
    _require_power(visit)
    visit.body.open_bolt(visit.now)
    user_id = visit.standing.user_id
    visit.body.record(visit.now, LogType.APP_UNLOCK, user_id=user_id, record_id=request.unique_id)
    return Unlocked(
        battery_percent=visit.battery_percent,
        user_id=user_id,
        unique_id=request.unique_id,
        operated_at=visit.local_time,
    )


@handles(Lock)
def lock(visit: Visit, request: Lock) -> Locked:
    """Throw the bolt, where there is a motor to do it."""
    visit.require_feature(Feature.LOCK_BY_COMMAND)
    _check_challenge(visit)
    check_proof(visit, request.proof)
    _require_power(visit)
    visit.body.close_bolt_by_command(visit.now)
    user_id = visit.standing.user_id
    visit.body.record(visit.now, LogType.APP_LOCK, user_id=user_id, record_id=request.unique_id)
    return Locked(
        battery_percent=visit.battery_percent,
        user_id=user_id,
        unique_id=request.unique_id,
        operated_at=visit.local_time,
    )


def _check_challenge(visit: Visit) -> None:
    habits, standing = visit.body.memory.habits, visit.standing
    if habits.needs_admin_challenge and not standing.is_admin_challenge:
        raise Refused(Refusal.WRONG_DYNAMIC_CODE)


def _require_power(visit: Visit) -> None:
    if not visit.body.can_move(visit.now):
        raise Refused(Refusal.BATTERY_TOO_LOW)

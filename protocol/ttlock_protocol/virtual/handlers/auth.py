"""Challenges and their answers (reference 5.3, 5.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ttlock_protocol.errors import Refusal
from ttlock_protocol.messages.auth import (
    AdminChallenge,
    CheckAdmin,
    CheckRandom,
    CheckUser,
    RandomAccepted,
    UserChallenge,
)
from ttlock_protocol.virtual.memory import Administrator
from ttlock_protocol.virtual.visit import Refused, Visit, handles
from ttlock_protocol.virtual.windows import has_begun, has_ended

_MAX_FLAG_POSITION: Final = 0xFFFFFF
_MAX_PROOF: Final = 0xFFFFFFFF


def administrator(visit: Visit) -> Administrator:
    """Return what pairing left behind; refuses while there is nothing."""
    found = visit.body.memory.administrator
    if found is None:
        raise Refused(Refusal.IN_SETTING_MODE)
    return found


def check_proof(visit: Visit, proof: int) -> None:
    """Refuse a number that is not the latest challenge plus the unlock key (D5)."""
    challenge = visit.standing.challenge
    assert challenge is not None, "requests with a proof need a challenge first"
    if proof != (challenge + administrator(visit).unlock_key) & _MAX_PROOF:
        raise Refused(Refusal.WRONG_DYNAMIC_CODE)


@handles(CheckAdmin)
def check_admin(visit: Visit, request: CheckAdmin) -> AdminChallenge:
    """Hand out a challenge to whoever knows the administrator's secret.

    A flag position one higher than ours is the owner's "reset eKeys": it is kept, and eKeys with
    the old one are void from now on (reference 5.3).
    """
    known = administrator(visit)
    visit.standing.is_admin = False
    if request.admin_secret != known.admin_secret:
        raise Refused(Refusal.WRONG_ADMIN_SECRET)
    position = request.lock_flag_position
    if position == (known.lock_flag_position + 1) & _MAX_FLAG_POSITION:
        visit.body.change(administrator=replace(known, lock_flag_position=position))
    elif position != known.lock_flag_position:
        raise Refused(Refusal.EKEYS_WERE_RESET)
    visit.standing.is_admin = True
    visit.standing.user_id = request.user_id
    return AdminChallenge(challenge=visit.new_challenge(is_admin=True))


@handles(CheckUser)
def check_user(visit: Visit, request: CheckUser) -> UserChallenge:
    """Hand out a challenge to an eKey that is valid by the lock's own clock."""
    known = administrator(visit)
    visit.standing.is_user = False
    if request.lock_flag_position != known.lock_flag_position:
        raise Refused(Refusal.EKEYS_WERE_RESET)
    if not has_begun(request.valid_from, visit.local_time):
        raise Refused(Refusal.EKEY_NOT_YET_VALID)
    if has_ended(request.valid_until, visit.local_time):
        raise Refused(Refusal.EKEY_EXPIRED)
    visit.standing.is_user = True
    visit.standing.user_id = request.user_id
    return UserChallenge(challenge=visit.new_challenge(is_admin=False))


@handles(CheckRandom)
def check_random(visit: Visit, request: CheckRandom) -> RandomAccepted:
    """Believe whoever knows the unlock key, until the link drops."""
    visit.standing.is_proved = False
    check_proof(visit, request.proof)
    visit.standing.is_proved = True
    return RandomAccepted(battery_percent=visit.battery_percent)

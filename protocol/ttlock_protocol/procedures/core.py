"""Steps, authentication, and moving the bolt (reference 5.3 to 5.6)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ttlock_protocol.errors import CommandRefused, LocalProtocolError, ProtocolError, Refusal
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Auth, Opcode, Request, Response
from ttlock_protocol.messages.auth import CheckAdmin, CheckRandom, CheckUser
from ttlock_protocol.messages.operate import Lock, Locked, Unlock, Unlocked
from ttlock_protocol.messages.pairing import Hello
from ttlock_protocol.messages.settings import SetSwitch, Switch, SwitchSet
from ttlock_protocol.quirks import NO_QUIRKS, Quirks

R = TypeVar("R", bound=Response)
T = TypeVar("T")

_INFORMATION: Final = (Opcode.FEATURES, Opcode.DEVICE_INFO)
_OPEN: Final = (Opcode.LOG, Opcode.STATE, Opcode.GET_CLOCK)


@dataclass(frozen=True, slots=True)
class Await:
    """Wait up to ``timeout_s`` for another answer to the last request, without sending anything."""

    timeout_s: float


class NoAnswer(ProtocolError):
    """Thrown in by the driver: the lock did not answer in time, however often it was asked."""


class LinkDropped(ProtocolError):
    """Thrown in by the driver: the link went down before the answer came."""


Step = Request[Any] | Await
Procedure = Generator[Step, Response, T]
_Prove = Callable[[LockKeys], Procedure[int]]


def ask(request: Request[R]) -> Procedure[R]:
    """Send one request and return its answer, with its type."""
    answer = yield request
    assert isinstance(answer, request.response_type)
    return answer  # type: ignore[return-value]


def greet(quirks: Quirks) -> Procedure[None]:
    """Say hello if this lock wants that before anything else (disagreement D20)."""
    if quirks.says_hello_first:
        # The greeting is what counts; nobody has a use for the answer.
        with suppress(CommandRefused):
            yield from ask(Hello())


def needed_auth(request: Request[Any], keys: LockKeys, quirks: Quirks = NO_QUIRKS) -> Auth:
    """Return what has to come before ``request`` with these keys (reference 5.5).

    The clock is set as an ordinary user where there is no administrator secret (D18). Features and
    device information are read as administrator where there is one; log, state and clock without
    authentication, unless the lock is known to want it (D19).
    """
    if request.opcode == Opcode.SET_CLOCK and not keys.is_administrator:
        return Auth.USER
    if request.opcode in _INFORMATION and keys.is_administrator:
        return Auth.ADMIN
    if request.opcode in _OPEN and quirks.log_needs_admin:
        return Auth.ADMIN
    return request.auth


def authenticate(auth: Auth, keys: LockKeys) -> Procedure[None]:
    """Do what ``auth`` says; lasts until the link drops.

    Nothing for ``USER_CHALLENGE``, whose challenge belongs into the request itself.
    """
    if auth is Auth.ADMIN:
        yield from authenticate_admin(keys)
    elif auth is Auth.USER:
        yield from authenticate_user(keys)


def authenticate_admin(keys: LockKeys) -> Procedure[None]:
    """Prove to be the administrator; lasts until the link drops (reference 5.3)."""
    yield from _proved(_admin_proof, keys, _check_random)


def authenticate_user(keys: LockKeys) -> Procedure[None]:
    """Prove to be a user; lasts until the link drops (reference 5.4, 5.5)."""
    yield from _proved(_user_proof, keys, _check_random)


def unlock(keys: LockKeys, *, unique_id: int, quirks: Quirks = NO_QUIRKS) -> Procedure[Unlocked]:
    """Withdraw the bolt, with a user's challenge as the safest way (disagreement D21)."""
    return _proved(
        _bolt_proof(quirks), keys, lambda proof: Unlock(proof=proof, unique_id=unique_id)
    )


def lock(keys: LockKeys, *, unique_id: int, quirks: Quirks = NO_QUIRKS) -> Procedure[Locked]:
    """Throw the bolt, authenticating as :func:`unlock` does."""
    return _proved(_bolt_proof(quirks), keys, lambda proof: Lock(proof=proof, unique_id=unique_id))


def set_switch(switch: Switch, *, is_on: bool, quirks: Quirks) -> Procedure[SwitchSet]:
    """Turn a switch; raises ``LocalProtocolError`` before somebody saw it work (D26)."""
    if not quirks.switches_are_verified:
        raise LocalProtocolError("nobody has verified yet what this lock's switches do")
    return (yield from ask(SetSwitch(switch=switch, is_on=is_on)))


def _proved(prove: _Prove, keys: LockKeys, request: Callable[[int], Request[R]]) -> Procedure[R]:
    """Send what needs a proof, and once more with a new one if the lock says that it is wrong.

    Where a challenge was late or came twice, ours is no longer the lock's latest; a wrong unlock
    key is refused again. Nothing was done by a request whose proof was refused.
    """
    try:
        return (yield from ask(request((yield from prove(keys)))))
    except CommandRefused as refused:
        if refused.refusal is not Refusal.WRONG_DYNAMIC_CODE:
            raise
    return (yield from ask(request((yield from prove(keys)))))


def _check_random(proof: int) -> CheckRandom:
    return CheckRandom(proof=proof)


def _bolt_proof(quirks: Quirks) -> _Prove:
    return _admin_proof if quirks.unlocks_with_admin_challenge else _user_proof


def _admin_proof(keys: LockKeys) -> Procedure[int]:
    if not keys.is_administrator:
        raise LocalProtocolError("these keys have no administrator secret")
    challenge = yield from ask(
        CheckAdmin(
            admin_secret=keys.admin_secret,
            lock_flag_position=keys.lock_flag_position,
            user_id=keys.user_id,
        )
    )
    return keys.proof(challenge.challenge)


def _user_proof(keys: LockKeys) -> Procedure[int]:
    if not keys.unlock_key:
        raise LocalProtocolError("these keys have no unlock key")
    challenge = yield from ask(
        CheckUser(lock_flag_position=keys.lock_flag_position, user_id=keys.user_id)
    )
    return keys.proof(challenge.challenge)

"""Cards and fingers that the lock waits for: one request, several answers (reference 6.7, 6.8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ttlock_protocol.errors import UnexpectedResponse
from ttlock_protocol.messages.cards import CardLearning, LearnCard
from ttlock_protocol.messages.fingerprints import EnrolFingerprint, FingerprintLearning
from ttlock_protocol.messages.learning import LearnStatus

from .core import Await, Procedure

LEARN_TIMEOUT_S: Final = 30.0
"""How long a person may take for one scan; other clients wait 10 to 30 seconds."""
_GOING_ON: Final = (LearnStatus.READY, LearnStatus.SCAN_AGAIN)


def learn_card(
    *,
    timeout_s: float = LEARN_TIMEOUT_S,
    on_progress: Callable[[CardLearning], None] = lambda _: None,
) -> Procedure[bytes]:
    """Have a card held to the lock, and return its number; it is permanent then.

    ``on_progress`` hears when the lock is ready for it. Nobody knows what a lock says when no card
    comes: ``timeout_s`` ends the wait.
    """
    answer = yield LearnCard()
    while True:
        assert isinstance(answer, CardLearning)
        if answer.card_number is not None:
            return answer.card_number
        _check_going_on(answer.status)
        on_progress(answer)
        answer = yield Await(timeout_s)


def enrol_fingerprint(
    *,
    timeout_s: float = LEARN_TIMEOUT_S,
    on_progress: Callable[[FingerprintLearning], None] = lambda _: None,
) -> Procedure[bytes]:
    """Have a finger scanned several times, and return its identifier; it is permanent then.

    ``on_progress`` hears of each scan, ``timeout_s`` is for each.
    """
    answer = yield EnrolFingerprint()
    while True:
        assert isinstance(answer, FingerprintLearning)
        if answer.fingerprint is not None:
            return answer.fingerprint
        _check_going_on(answer.status)
        on_progress(answer)
        answer = yield Await(timeout_s)


def _check_going_on(status: LearnStatus) -> None:
    if status not in _GOING_ON:
        raise UnexpectedResponse(f"the lock left learning with status {status.name.lower()}")

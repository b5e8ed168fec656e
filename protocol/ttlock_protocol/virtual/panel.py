"""Card reader and fingerprint scanner: what happens when something is held against them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ttlock_protocol.errors import Refusal
from ttlock_protocol.message import Opcode
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from ttlock_protocol.messages.cards import CardLearning, CardRecord
from ttlock_protocol.messages.fingerprints import FingerprintLearning, FingerprintRecord
from ttlock_protocol.messages.learning import LearnStatus
from ttlock_protocol.messages.log import LogType

from .body import Body
from .keypad import KeypadReason, KeypadResult
from .visit import Learning, Refused
from .windows import has_begun, has_ended, is_in_schedules

SCANS_PER_FINGER: Final = 4


def find_card(body: Body, number: bytes) -> CardRecord | None:
    """Return the card of that number, if the lock has it."""
    return next((each for each in body.memory.cards if each.card_number == number), None)


def find_fingerprint(body: Body, fingerprint: bytes) -> FingerprintRecord | None:
    """Return the fingerprint of that number, if the lock has it."""
    fingerprints = body.memory.fingerprints
    return next((each for each in fingerprints if each.fingerprint == fingerprint), None)


def store_card(body: Body, card: CardRecord, now: datetime) -> None:
    """Keep a card, in place of one with the same number."""
    others = (each for each in body.memory.cards if each.card_number != card.card_number)
    body.change(cards=(*others, card))
    body.record(now, LogType.CARD_ADDED, card_number=card.card_number)


def forget_schedules(body: Body, credential: bytes) -> None:
    """Remove the weekly hours of a card or fingerprint."""
    schedules = body.memory.schedules
    body.change(schedules=tuple(each for each in schedules if each.credential != credential))


def learn_card(body: Body, number: bytes, now: datetime) -> CardLearning:
    """Learn the card that is held against the reader, without limits."""
    store_card(
        body,
        CardRecord(card_number=number, valid_from=PERMANENT_FROM, valid_until=PERMANENT_UNTIL),
        now,
    )
    return CardLearning(
        battery_percent=body.battery_percent(now), status=LearnStatus.DONE, card_number=number
    )


def learn_finger(
    body: Body, fingerprint: bytes, learning: Learning, now: datetime
) -> FingerprintLearning:
    """Scan the finger once more; the last scan stores it. Refuses one that is there already."""
    if find_fingerprint(body, fingerprint) is not None:
        raise Refused(Refusal.FINGERPRINT_EXISTS)
    battery = body.battery_percent(now)
    learning.scans_done += 1
    if learning.scans_done < SCANS_PER_FINGER:
        return FingerprintLearning(
            battery_percent=battery,
            status=LearnStatus.SCAN_AGAIN,
            scans_done=learning.scans_done,
            scans_total=SCANS_PER_FINGER,
            fingerprint=None,
        )
    record = FingerprintRecord(
        fingerprint=fingerprint, valid_from=PERMANENT_FROM, valid_until=PERMANENT_UNTIL
    )
    body.change(fingerprints=(*body.memory.fingerprints, record))
    body.record(now, LogType.FINGERPRINT_ADDED, credential=fingerprint)
    return FingerprintLearning(
        battery_percent=battery,
        status=LearnStatus.DONE,
        scans_done=None,
        scans_total=None,
        fingerprint=fingerprint,
    )


def learn(
    body: Body, opcode: Opcode, credential: bytes, learning: Learning, now: datetime
) -> CardLearning | FingerprintLearning:
    """Learn what is held against the reader (``CARDS``) or the scanner."""
    if opcode == Opcode.CARDS:
        return learn_card(body, credential, now)
    return learn_finger(body, credential, learning, now)


def present_card(body: Body, number: bytes, now: datetime) -> KeypadResult:
    """Hold a card against the reader to open the door."""
    card = find_card(body, number)
    result = _judge(body, card, number, now)
    if result.reason != KeypadReason.BATTERY_TOO_LOW:
        log_type = LogType.CARD_UNLOCK if result.is_opened else LogType.CARD_REFUSED
        body.record(now, log_type, card_number=number)
    return result


def present_finger(body: Body, fingerprint: bytes, now: datetime) -> KeypadResult:
    """Lay a finger on the scanner to open the door; a strange one leaves no record."""
    record = find_fingerprint(body, fingerprint)
    result = _judge(body, record, fingerprint, now)
    if record is not None and result.reason != KeypadReason.BATTERY_TOO_LOW:
        is_opened = result.is_opened
        log_type = LogType.FINGERPRINT_UNLOCK if is_opened else LogType.FINGERPRINT_OUT_OF_WINDOW
        body.record(now, log_type, credential=fingerprint)
    return result


def _judge(
    body: Body, record: CardRecord | FingerprintRecord | None, credential: bytes, now: datetime
) -> KeypadResult:
    if not body.can_move(now):
        return KeypadResult(False, KeypadReason.BATTERY_TOO_LOW)
    if record is None:
        return KeypadResult(False, KeypadReason.WRONG)
    shown = body.local_time(now)
    if not has_begun(record.valid_from, shown):
        return KeypadResult(False, KeypadReason.NOT_YET_VALID)
    if has_ended(record.valid_until, shown):
        return KeypadResult(False, KeypadReason.EXPIRED)
    hours = (each for each in body.memory.schedules if each.credential == credential)
    if not is_in_schedules(hours, shown):
        return KeypadResult(False, KeypadReason.OUTSIDE_CYCLE)
    body.open_bolt(now)
    return KeypadResult(True, KeypadReason.OPENED)

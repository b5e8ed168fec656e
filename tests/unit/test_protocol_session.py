"""What satisfies a request and what does not, frame by frame."""

from typing import Any

import pytest

from protocol_helpers import KEY, encode_reply, local, reply
from ttlock_protocol.cipher import DEFAULT_KEY, encrypt
from ttlock_protocol.errors import (
    CommandRefused,
    DecodeError,
    KeyMismatch,
    LocalProtocolError,
    Refusal,
)
from ttlock_protocol.frame import Frame, Version, encode_frame
from ttlock_protocol.message import Opcode, Request, Response
from ttlock_protocol.messages.admin import Reset, ResetDone
from ttlock_protocol.messages.cards import AddCard, CardLearning, ClearCards, GetCards, LearnCard
from ttlock_protocol.messages.clock import Clock, GetClock
from ttlock_protocol.messages.device import DeviceText, DeviceTextAnswer, GetDeviceText
from ttlock_protocol.messages.fingerprints import (
    ClearFingerprints,
    FingerprintPage,
    GetFingerprints,
)
from ttlock_protocol.messages.learning import LearnStatus
from ttlock_protocol.messages.log import UNREAD, GetLog
from ttlock_protocol.messages.operate import (
    GetState,
    Lock,
    Locked,
    OperationPush,
    State,
    Unlock,
    Unlocked,
)
from ttlock_protocol.messages.pairing import AddAdmin, AesKey, GetAesKey, Hello, HelloAnswered
from ttlock_protocol.messages.passage import ClearPassageEntries
from ttlock_protocol.messages.passcodes import (
    ClearPasscodes,
    DeletePasscode,
    GetPasscodes,
    PasscodePage,
    PasscodeRecord,
    PasscodeType,
)
from ttlock_protocol.messages.settings import GetAutoLock, GetSound
from ttlock_protocol.quirks import Quirks
from ttlock_protocol.session import Damaged, Event, Failed, Push, Replied, Session, Stray

UNLOCKED_BY_OTHERS = "47015700bc614e000000991a030e091e00"
NEW_KEY = bytes(range(16))


def session_after(*requests: Request[Response], quirks: Quirks | None = None) -> Session:
    session = Session(key=KEY, version=Version(), quirks=quirks or Quirks())
    for each in requests:
        session.send(each)
    return session


def heard(session: Session, plaintext: str) -> Event:
    (event,) = session.receive(reply(bytes.fromhex(plaintext)))
    return event


def error_of(event: Event) -> Exception:
    assert isinstance(event, Failed)
    return event.error


def test_only_one_request_is_outstanding() -> None:
    session = session_after(GetClock())
    assert session.outstanding == GetClock()
    with pytest.raises(LocalProtocolError):
        session.send(GetState())
    session.abandon()
    session.send(GetState())


def test_a_request_that_cannot_be_said_is_not_outstanding() -> None:
    session = session_after()
    with pytest.raises(LocalProtocolError):
        session.send(DeletePasscode(passcode="käse"))
    assert session.outstanding is None


def test_an_unconfirmed_command_is_not_sent() -> None:
    class Freeze(Request[Clock]):
        opcode = Opcode(0x61)

        def encode(self) -> bytes:
            return b"\1"

    session = session_after()
    with pytest.raises(LocalProtocolError, match="0x61"):
        session.send(Freeze())


def test_a_key_must_be_sixteen_bytes() -> None:
    with pytest.raises(LocalProtocolError):
        Session(key=b"short", version=Version())


def test_an_unasked_answer_is_a_stray() -> None:
    assert heard(session_after(), "3401" + "1a030e091f07") == Stray(0x34)
    session = session_after(GetState())
    assert heard(session, "3401" + "1a030e091f07") == Stray(0x34)
    assert session.outstanding == GetState()


def test_a_late_refusal_of_another_command_is_a_stray() -> None:
    session = session_after(GetState())
    assert heard(session, "360002") == Stray(0x36)


def test_refusals_end_the_request() -> None:
    error = error_of(heard(session_after(GetAutoLock()), "360002"))
    assert isinstance(error, CommandRefused)
    assert (error.opcode, error.refusal) == (0x36, Refusal.NO_PERMISSION)
    error = error_of(heard(session_after(GetAutoLock()), "3600"))
    assert isinstance(error, CommandRefused)
    assert error.refusal is Refusal.NO_DETAIL


def test_an_answer_that_is_too_short_ends_the_request() -> None:
    assert isinstance(error_of(heard(session_after(GetClock()), "34011a03")), DecodeError)
    assert isinstance(error_of(heard(session_after(GetState()), "140157")), DecodeError)


def test_an_answer_to_another_operation_ends_nothing() -> None:
    session = session_after(GetSound())
    assert heard(session, "62015702") == Stray(0x62)
    assert isinstance(heard(session, "6201570101"), Replied)


def test_an_answer_to_another_change_ends_nothing() -> None:
    session = session_after(ClearPasscodes())
    assert heard(session, "03015702") == Stray(0x03)
    assert isinstance(heard(session, "03015701"), Replied)


@pytest.mark.parametrize(
    ("cleared", "opcode"),
    [
        (ClearPasscodes(), 0x03),
        (ClearCards(), 0x05),
        (ClearFingerprints(), 0x06),
        (ClearPassageEntries(), 0x66),
    ],
)
def test_changes_are_told_apart_by_their_operation(cleared: Any, opcode: int) -> None:
    session = session_after(cleared)
    for operation in set(range(3, 6)) - {cleared.operation}:
        assert heard(session, f"{opcode:02x}0157{operation:02x}") == Stray(opcode)
    event = heard(session, f"{opcode:02x}0157{cleared.operation:02x}")
    assert isinstance(event, Replied)


def test_a_log_push_does_not_answer_a_question_for_the_state() -> None:
    session = session_after(GetState())
    event = heard(session, "14015700bc614e659200801a030e091e00")
    assert isinstance(event, Push)
    assert isinstance(event.message, OperationPush)
    event = heard(session, "1401570002")
    assert isinstance(event, Replied)
    assert isinstance(event.response, State)


def test_somebody_elses_unlocking_is_a_push() -> None:
    session = session_after(Unlock(proof=1, unique_id=0x65920080))
    event = heard(session, UNLOCKED_BY_OTHERS)
    assert isinstance(event, Push)
    assert isinstance(event.message, Unlocked)
    assert isinstance(heard(session, "4701"), Replied)


def test_somebody_elses_locking_is_a_push() -> None:
    session = session_after(Lock(proof=1, unique_id=0x65920080))
    event = heard(session, "58" + UNLOCKED_BY_OTHERS[2:])
    assert isinstance(event, Push)
    assert isinstance(event.message, Locked)
    assert isinstance(heard(session, "58015700bc614e659200801a030e091e00"), Replied)


def test_a_garbled_push_is_a_stray() -> None:
    assert heard(session_after(), "140157") == Stray(0x14)
    assert heard(session_after(), "1400") == Stray(0x14)


def test_learning_answers_more_than_once() -> None:
    session = session_after(LearnCard())
    event = heard(session, "0501570202")
    assert isinstance(event, Replied)
    assert not event.is_last
    assert session.outstanding == LearnCard()
    event = heard(session, "050157020101e28f3a")
    assert isinstance(event, Replied)
    assert event.is_last
    assert isinstance(event.response, CardLearning)
    assert event.response.status is LearnStatus.DONE
    again = heard(session, "050157020101e28f3a")
    assert isinstance(again, Push)


def test_another_card_that_is_learnt_does_not_answer_for_a_known_one() -> None:
    added = AddCard(
        card_number=bytes.fromhex("01e28f3a"),
        valid_from=local(2026, 3, 14),
        valid_until=local(2026, 12, 31),
    )
    session = session_after(added)
    assert isinstance(heard(session, "0501570201099999ff"), Push)
    assert isinstance(heard(session, "050157020101e28f3a"), Replied)


def test_progress_of_learning_does_not_answer_a_list() -> None:
    session = session_after(GetCards())
    assert isinstance(heard(session, "050157020101e28f3a"), Push)
    assert isinstance(heard(session, "05015701ffff"), Replied)


def test_a_list_of_fingerprints_may_echo_the_old_operation() -> None:
    event = heard(session_after(GetFingerprints()), "06015701ffff")
    assert isinstance(event, Replied)
    assert event.response == FingerprintPage(battery_percent=87, next_cursor=0xFFFF)


def page(next_cursor: int, code: str) -> PasscodePage:
    record = PasscodeRecord(
        passcode_type=PasscodeType.PERMANENT,
        passcode=code,
        original_passcode=code,
        valid_from=local(2000, 1, 1),
    )
    return PasscodePage(next_cursor=next_cursor, records=(record,))


def test_the_repeat_of_a_page_is_not_the_next_page() -> None:
    session = session_after(GetPasscodes(cursor=0))
    first, second = (encode_reply(7, page(*each)) for each in ((5, "135790"), (9, "246800")))
    assert isinstance(session.receive(first)[0], Replied)
    session.send(GetPasscodes(cursor=5))
    assert session.receive(first) == [Stray(7)]
    assert isinstance(session.receive(second)[0], Replied)


def test_the_same_question_may_get_the_same_answer() -> None:
    """A list of one page, read twice, is not its own repeat."""
    only = encode_reply(7, page(0, "135790"))
    session = session_after(GetPasscodes(cursor=0))
    assert isinstance(session.receive(only)[0], Replied)
    session.send(GetPasscodes(cursor=0))
    assert isinstance(session.receive(only)[0], Replied)


def test_the_repeat_of_a_text_is_not_another_text() -> None:
    session = session_after(GetDeviceText(kind=DeviceText.MODEL))
    model = encode_reply(0x90, DeviceTextAnswer(text="SN999"))
    assert isinstance(session.receive(model)[0], Replied)
    session.send(GetDeviceText(kind=DeviceText.HARDWARE))
    assert session.receive(model) == [Stray(0x90)]
    assert isinstance(session.receive(encode_reply(0x90, DeviceTextAnswer(text="1.2")))[0], Replied)


def test_a_damaged_frame_ends_nothing() -> None:
    session = session_after(GetClock())
    raw = bytearray(reply(bytes.fromhex("34011a030e091f07")))
    raw[-3] ^= 1
    assert session.receive(bytes(raw)) == [Damaged()]
    assert session.outstanding == GetClock()


def test_a_quirk_takes_damaged_frames() -> None:
    session = session_after(GetClock(), quirks=Quirks(ignores_checksum=True))
    raw = bytearray(reply(bytes.fromhex("34011a030e091f07")))
    raw[-3] ^= 1
    assert isinstance(session.receive(bytes(raw))[0], Replied)


def test_abandoning_forgets_half_a_frame() -> None:
    session = session_after(GetClock())
    raw = reply(bytes.fromhex("34011a030e091f07"))
    session.receive(raw[:20])
    session.abandon()
    session.send(GetClock())
    (event,) = session.receive(raw)
    assert isinstance(event, Replied)


def test_another_key_is_told_by_the_first_answer() -> None:
    for raw in (
        reply(b"\x34\x01\x1a\x03\x0e\x09\x1f\x07", key=NEW_KEY),
        reply(b""),
        reply(b"\x34\x07"),
        reply(b"\x34"),
    ):
        session = session_after(GetClock())
        (event,) = session.receive(raw)
        assert isinstance(error_of(event), KeyMismatch)
        assert session.outstanding is None


def test_gibberish_from_a_lock_that_was_understood_is_damage() -> None:
    session = session_after(GetClock())
    heard(session, "34011a030e091f07")
    session.send(GetState())
    assert session.receive(reply(b"\x14\x01", key=NEW_KEY)) == [Damaged()]
    assert session.outstanding == GetState()


def test_an_empty_reply_means_a_wrong_key_even_later() -> None:
    session = session_after(GetClock())
    heard(session, "34011a030e091f07")
    session.send(GetState())
    (event,) = session.receive(reply(b""))
    assert isinstance(error_of(event), KeyMismatch)


def test_an_empty_reply_that_nobody_waits_for_is_a_stray() -> None:
    assert session_after().receive(reply(b"")) == [Stray(Opcode.RESPONSE)]


@pytest.mark.parametrize("plaintext", [b"", b"\x52\x01"])
def test_a_reset_may_be_answered_with_nothing(plaintext: bytes) -> None:
    session = session_after(Reset())
    (event,) = session.receive(reply(plaintext))
    assert event == Replied(Reset(), ResetDone(), is_last=True)


def test_the_body_of_a_greeting_is_not_read() -> None:
    session = session_after(Hello())
    (event,) = session.receive(reply(b"whatever", key=NEW_KEY))
    assert event == Replied(Hello(), HelloAnswered(), is_last=True)


def test_a_frame_that_is_no_reply_is_a_stray() -> None:
    session = session_after(GetClock())
    (event,) = session.receive(
        encode_frame(Frame(version=Version(), command=0x47, payload=bytes(16)))
    )
    assert event == Stray(0x47)
    assert session.receive(bytes.fromhex("7f5a03452a003e0d0a")) == [Stray(0x45)]
    assert session.outstanding == GetClock()


@pytest.mark.parametrize("command", [Opcode.GET_AES_KEY, Opcode.RESPONSE])
def test_the_key_comes_in_either_kind_of_frame_and_is_used(command: int) -> None:
    session = Session(key=DEFAULT_KEY, version=Version())
    session.send(GetAesKey())
    (event,) = session.receive(
        encode_reply(0x19, AesKey(key=NEW_KEY), key=DEFAULT_KEY, command=command)
    )
    assert isinstance(event, Replied)
    sent = session.send(AddAdmin(admin_secret=1, unlock_key=2))
    assert encrypt(NEW_KEY, AddAdmin(admin_secret=1, unlock_key=2).encode()) in sent
    # The key's answer once more is no answer to what came after it.
    (event,) = session.receive(
        encode_reply(0x19, AesKey(key=NEW_KEY), key=DEFAULT_KEY, command=Opcode.GET_AES_KEY)
    )
    assert event == Stray(0x19)


def test_a_paired_lock_is_told_by_its_answer_under_another_key() -> None:
    session = Session(key=DEFAULT_KEY, version=Version())
    session.send(GetAesKey())
    (event,) = session.receive(reply(b"\x19\x01" + NEW_KEY))
    assert isinstance(error_of(event), KeyMismatch)


def test_header_is_the_locks_own_once_it_was_understood() -> None:
    theirs = Version(scene=2, group=10, organisation=12)
    session = Session(key=KEY, version=Version(scene=1))
    session.send(GetClock())
    session.receive(reply(b"\x34\x01\x1a\x03\x0e\x09\x1f\x07", key=NEW_KEY, version=theirs))
    assert session.version == Version(scene=1)
    session.send(GetClock())
    session.receive(reply(b"\x34\x01\x1a\x03\x0e\x09\x1f\x07", version=theirs))
    assert session.version == theirs
    assert theirs.encode() in session.send(GetClock())


def test_a_quirk_keeps_the_header() -> None:
    session = session_after(GetClock(), quirks=Quirks(mirrors_header=False))
    session.receive(reply(b"\x34\x01\x1a\x03\x0e\x09\x1f\x07", version=Version(scene=9)))
    assert session.version == Version()


def test_only_the_cursor_that_moves_the_bookmark_is_not_repeatable() -> None:
    assert GetLog(cursor=0).is_repeatable
    assert not GetLog(cursor=UNREAD).is_repeatable
    assert not Unlock(proof=1, unique_id=1).is_repeatable

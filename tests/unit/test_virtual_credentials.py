"""Cards, fingerprints and their weekly hours, at the door and over the air."""

from collections.abc import Callable
from datetime import datetime, time, timedelta

import pytest

from ttlock_protocol.errors import LocalProtocolError, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from ttlock_protocol.messages.cards import (
    AddCard,
    CardLearning,
    CardRecord,
    ClearCards,
    DeleteCard,
    GetCards,
    LearnCard,
    ModifyCard,
)
from ttlock_protocol.messages.fingerprints import (
    ClearFingerprints,
    DeleteFingerprint,
    EnrolFingerprint,
    FingerprintLearning,
    FingerprintRecord,
    GetFingerprints,
    ModifyFingerprint,
)
from ttlock_protocol.messages.learning import LearnStatus
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.operate import GetState
from ttlock_protocol.messages.schedules import AddSchedule, ClearSchedules, CredentialKind
from ttlock_protocol.procedures import (
    NoAnswer,
    enrol_fingerprint,
    learn_card,
    list_cards,
    list_fingerprints,
)
from ttlock_protocol.session import Failed, Stray
from ttlock_protocol.virtual import KeypadReason, KeypadResult
from ttlock_protocol.virtual.memory import Battery, Capacity, Memory
from virtual_helpers import LOCAL, Bench, paired, refusal_of

CARD = bytes.fromhex("01e28f3a")
LONG_CARD = bytes.fromhex("04a1b2c3d4e5f680")
FINGER = bytes.fromhex("5f3a91c40007")
HOUR = timedelta(hours=1)
WINDOW = {"valid_from": LOCAL + HOUR, "valid_until": LOCAL + 2 * HOUR}
ALWAYS = {"valid_from": PERMANENT_FROM, "valid_until": PERMANENT_UNTIL}


def add_card(number: bytes = CARD, **window: datetime) -> AddCard:
    return AddCard(card_number=number, **(window or ALWAYS))


def with_finger(**changes: object) -> Memory:
    return paired(fingerprints=(FingerprintRecord(fingerprint=FINGER, **ALWAYS),), **changes)


def logged(bench: Bench) -> list[LogType]:
    return [each.log_type for each in bench.memory.log.records]


def hold_card(bench: Bench, number: bytes = CARD) -> KeypadReason:
    return bench.lock.present_card(number, bench.now).reason


def lay_finger(bench: Bench, finger: bytes = FINGER) -> KeypadReason:
    return bench.lock.present_finger(finger, bench.now).reason


class TestCards:
    def test_known_cards_of_both_widths_are_listed_and_open(self) -> None:
        bench = Bench()
        bench.ask(add_card(), add_card(LONG_CARD, **WINDOW))
        central = bench.admin()
        assert central.run(list_cards()) == (
            CardRecord(card_number=CARD, **ALWAYS),
            CardRecord(card_number=LONG_CARD, **WINDOW),
        )
        assert [central.request(GetCards(cursor=at)).next_cursor for at in range(4)] == [
            1,
            2,
            0xFFFF,
            0xFFFF,
        ]
        central.close()
        assert hold_card(bench) == KeypadReason.OPENED
        assert hold_card(bench, LONG_CARD) == KeypadReason.NOT_YET_VALID
        bench.lock.shift_clock(3 * 3600)
        assert hold_card(bench, LONG_CARD) == KeypadReason.EXPIRED
        assert hold_card(bench, b"\1\2\3\4") == KeypadReason.WRONG
        assert logged(bench)[2:] == [
            LogType.CARD_UNLOCK,
            LogType.CARD_REFUSED,
            LogType.CARD_REFUSED,
            LogType.CARD_REFUSED,
        ]

    def test_a_card_is_learnt_when_it_is_held_against_the_reader(self) -> None:
        bench = Bench()
        central = bench.admin()
        heard: list[CardLearning] = []

        def hold(progress: CardLearning) -> None:
            heard.append(progress)
            assert bench.lock.present_finger(FINGER, bench.now).reason == KeypadReason.WRONG
            assert hold_card(bench) == KeypadReason.LEARNING

        assert central.run(learn_card(on_progress=hold)) == CARD
        assert [each.status for each in heard] == [LearnStatus.READY]
        assert bench.memory.cards == (CardRecord(card_number=CARD, **ALWAYS),)
        assert logged(bench) == [LogType.CARD_ADDED]
        assert hold_card(bench) == KeypadReason.OPENED

    def test_no_card_comes_and_nobody_is_told(self) -> None:
        bench = Bench()
        central = bench.admin()
        with pytest.raises(NoAnswer):
            central.run(learn_card(on_progress=lambda _: bench.advance(20)))
        assert hold_card(bench) == KeypadReason.WRONG
        assert bench.lock.is_connected
        bench.advance(5)
        assert not bench.lock.is_connected

    def test_adding_again_replaces_the_validity(self) -> None:
        bench = Bench(paired(capacity=Capacity(cards=1)))
        bench.ask(add_card(), add_card(CARD, **WINDOW))
        assert bench.memory.cards == (CardRecord(card_number=CARD, **WINDOW),)
        assert refusal_of(bench.ask, add_card(LONG_CARD)) == Refusal.MEMORY_FULL
        assert refusal_of(bench.ask, LearnCard()) == Refusal.MEMORY_FULL

    def test_modify_delete_clear(self) -> None:
        bench = Bench()
        hours = AddSchedule(
            kind=CredentialKind.CARD,
            credential=CARD,
            weekday=6,
            starts_at=time(9, 0),
            ends_at=time(10, 0),
        )
        bench.ask(add_card(), add_card(LONG_CARD), ModifyCard(card_number=CARD, **WINDOW), hours)
        assert bench.memory.cards[0] == CardRecord(card_number=CARD, **WINDOW)
        bench.ask(DeleteCard(card_number=CARD))
        assert [each.card_number for each in bench.memory.cards] == [LONG_CARD]
        assert bench.memory.schedules == ()
        for request in (DeleteCard(card_number=CARD), ModifyCard(card_number=CARD, **WINDOW)):
            assert refusal_of(bench.ask, request) == Refusal.CARD_NOT_FOUND
        bench.ask(add_card(), hours, ClearCards())
        assert (bench.memory.cards, bench.memory.schedules) == ((), ())
        assert logged(bench)[-1] == LogType.CARDS_CLEARED

    def test_a_lock_without_a_reader(self) -> None:
        bench = Bench(paired(features=(Feature.PASSCODE,)))
        for request in (
            GetCards(),
            LearnCard(),
            add_card(),
            ModifyCard(card_number=CARD, **WINDOW),
            DeleteCard(card_number=CARD),
            ClearCards(),
        ):
            assert refusal_of(bench.ask, request) == Refusal.NOT_SUPPORTED

    def test_a_card_has_four_or_eight_bytes(self) -> None:
        with pytest.raises(LocalProtocolError):
            hold_card(Bench(), b"\1")


class TestFingerprints:
    def test_enrolling_takes_four_scans(self) -> None:
        bench = Bench()
        central = bench.admin()
        heard: list[FingerprintLearning] = []

        def scan(progress: FingerprintLearning) -> None:
            heard.append(progress)
            assert lay_finger(bench) == KeypadReason.LEARNING

        assert central.run(enrol_fingerprint(on_progress=scan)) == FINGER
        assert [(each.status, each.scans_done, each.scans_total) for each in heard] == [
            (LearnStatus.READY, None, 4),
            (LearnStatus.SCAN_AGAIN, 1, 4),
            (LearnStatus.SCAN_AGAIN, 2, 4),
            (LearnStatus.SCAN_AGAIN, 3, 4),
        ]
        assert central.run(list_fingerprints()) == (
            FingerprintRecord(fingerprint=FINGER, **ALWAYS),
        )
        cursors = [central.request(GetFingerprints(cursor=at)).next_cursor for at in range(2)]
        assert cursors == [1, 0xFFFF]
        assert lay_finger(bench) == KeypadReason.OPENED
        assert logged(bench) == [LogType.FINGERPRINT_ADDED, LogType.FINGERPRINT_UNLOCK]

    def test_they_are_listed_one_a_page(self) -> None:
        records = tuple(
            FingerprintRecord(fingerprint=bytes((0, 0, 0, 0, 0, slot)), **ALWAYS)
            for slot in range(3)
        )
        central = Bench(paired(fingerprints=records)).admin()
        assert central.request(GetFingerprints(cursor=1)).records == records[1:2]
        assert central.run(list_fingerprints()) == records

    def test_a_finger_that_is_there_already_ends_the_enrolment(self) -> None:
        bench = Bench(with_finger())
        central = bench.admin()
        central.request(EnrolFingerprint())
        assert lay_finger(bench) == KeypadReason.LEARNING
        central.listen()
        assert not central.pushes
        failures = [each for each in central.events if isinstance(each, Failed | Stray)]
        assert len(failures) == 1
        assert lay_finger(bench) == KeypadReason.OPENED

    def test_modify_delete_clear(self) -> None:
        bench = Bench(with_finger())
        hours = AddSchedule(
            kind=CredentialKind.FINGERPRINT,
            credential=FINGER,
            weekday=6,
            starts_at=time(9, 0),
            ends_at=time(10, 0),
        )
        bench.ask(ModifyFingerprint(fingerprint=FINGER, **WINDOW), hours)
        assert lay_finger(bench) == KeypadReason.NOT_YET_VALID
        assert logged(bench) == [LogType.FINGERPRINT_OUT_OF_WINDOW]
        bench.ask(DeleteFingerprint(fingerprint=FINGER))
        assert (bench.memory.fingerprints, bench.memory.schedules) == ((), ())
        assert lay_finger(bench) == KeypadReason.WRONG
        assert logged(bench)[1:] == [LogType.FINGERPRINT_DELETED]
        for request in (
            DeleteFingerprint(fingerprint=FINGER),
            ModifyFingerprint(fingerprint=FINGER, **WINDOW),
        ):
            assert refusal_of(bench.ask, request) == Refusal.FINGERPRINT_NOT_FOUND
        full = Bench(with_finger(capacity=Capacity(fingerprints=1)))
        assert refusal_of(full.ask, EnrolFingerprint()) == Refusal.MEMORY_FULL
        full.ask(hours, ClearFingerprints())
        assert (full.memory.fingerprints, full.memory.schedules) == ((), ())

    def test_a_lock_without_a_scanner(self) -> None:
        bench = Bench(paired(features=(Feature.PASSCODE,)))
        for request in (
            GetFingerprints(),
            EnrolFingerprint(),
            ModifyFingerprint(fingerprint=FINGER, **WINDOW),
            DeleteFingerprint(fingerprint=FINGER),
            ClearFingerprints(),
        ):
            assert refusal_of(bench.ask, request) == Refusal.NOT_SUPPORTED

    def test_a_fingerprint_has_six_bytes(self) -> None:
        with pytest.raises(LocalProtocolError):
            lay_finger(Bench(), b"\1")


class TestSchedules:
    @pytest.mark.parametrize(
        ("weekday", "hours", "reason"),
        [
            (6, (9, 10), KeypadReason.OPENED),
            (6, (8, 9), KeypadReason.OPENED),
            (6, (7, 8), KeypadReason.OUTSIDE_CYCLE),
            (6, (10, 11), KeypadReason.OUTSIDE_CYCLE),
            (5, (9, 10), KeypadReason.OUTSIDE_CYCLE),
        ],
    )
    def test_hours_limit_a_card(
        self, weekday: int, hours: tuple[int, int], reason: KeypadReason
    ) -> None:
        """LOCAL is a Saturday, nine o'clock."""
        bench = Bench()
        schedule = AddSchedule(
            kind=CredentialKind.CARD,
            credential=CARD,
            weekday=weekday,
            starts_at=time(hours[0], 0),
            ends_at=time(hours[1], 0),
        )
        bench.ask(add_card(), add_card(LONG_CARD), schedule)
        assert hold_card(bench) == reason
        assert hold_card(bench, LONG_CARD) == KeypadReason.OPENED

    def test_hours_add_up_until_they_are_cleared(self) -> None:
        bench = Bench(with_finger())
        for weekday in (1, 2):
            bench.ask(
                AddSchedule(
                    kind=CredentialKind.FINGERPRINT,
                    credential=FINGER,
                    weekday=weekday,
                    starts_at=time(9, 0),
                    ends_at=time(10, 0),
                )
            )
        assert lay_finger(bench) == KeypadReason.OUTSIDE_CYCLE
        bench.lock.shift_clock(3 * 86_400)
        assert lay_finger(bench) == KeypadReason.OPENED
        bench.ask(ClearSchedules(kind=CredentialKind.FINGERPRINT, credential=FINGER))
        bench.lock.shift_clock(86_400)
        assert lay_finger(bench) == KeypadReason.OPENED

    @pytest.mark.parametrize(
        ("kind", "refusal"),
        [
            (CredentialKind.CARD, Refusal.CARD_NOT_FOUND),
            (CredentialKind.FINGERPRINT, Refusal.FINGERPRINT_NOT_FOUND),
        ],
    )
    def test_whose_hours(self, kind: CredentialKind, refusal: Refusal) -> None:
        request = ClearSchedules(kind=kind, credential=FINGER)
        assert refusal_of(Bench().ask, request) == refusal
        without = Bench(paired(features=(Feature.CARD,)))
        assert refusal_of(without.ask, request) == Refusal.NOT_SUPPORTED


@pytest.mark.parametrize("present", [hold_card, lay_finger])
def test_without_power_nothing_opens(present: Callable[[Bench], KeypadReason]) -> None:
    bench = Bench(with_finger(battery=Battery(percent=3)))
    assert present(bench) == KeypadReason.BATTERY_TOO_LOW
    assert logged(bench) == []


def test_the_progress_of_learning_reaches_only_who_asked() -> None:
    bench = Bench()
    central = bench.admin()
    central.request(GetState())
    assert bench.lock.present_card(CARD, bench.now) == KeypadResult(False, KeypadReason.WRONG)
    central.listen()
    assert central.pushes == []

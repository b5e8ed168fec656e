"""Flows, driven by a script of what comes in for what goes out."""

import dataclasses
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from protocol_helpers import local
from ttlock_protocol.errors import (
    CommandRefused,
    DecodeError,
    KeyMismatch,
    LocalProtocolError,
    Refusal,
    UnexpectedResponse,
)
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Auth, Request, Response
from ttlock_protocol.messages.admin import (
    AdminPasscode,
    AdminPasscodeSet,
    GetAdminPasscode,
    Reset,
    ResetDone,
    SetAdminPasscode,
)
from ttlock_protocol.messages.auth import (
    AdminChallenge,
    CheckAdmin,
    CheckRandom,
    CheckUser,
    RandomAccepted,
    UserChallenge,
)
from ttlock_protocol.messages.cards import CardLearning, CardPage, CardRecord, GetCards, LearnCard
from ttlock_protocol.messages.clock import ClockSet, GetClock, SetClock
from ttlock_protocol.messages.device import (
    DeviceClock,
    DeviceMac,
    DeviceSignal,
    DeviceText,
    DeviceTextAnswer,
    GetDeviceClock,
    GetDeviceMac,
    GetDeviceSignal,
    GetDeviceText,
)
from ttlock_protocol.messages.fingerprints import (
    EnrolFingerprint,
    FingerprintLearning,
    FingerprintPage,
    FingerprintRecord,
    GetFingerprints,
)
from ttlock_protocol.messages.learning import LearnStatus
from ttlock_protocol.messages.log import UNREAD, GetLog, LogPage, LogRecord, LogType
from ttlock_protocol.messages.operate import (
    FeatureWords,
    GetFeatures,
    GetState,
    Lock,
    Locked,
    Unlock,
    Unlocked,
)
from ttlock_protocol.messages.pages import NO_MORE, Unreadable
from ttlock_protocol.messages.pairing import (
    AddAdmin,
    AdminAdded,
    AesKey,
    FinishPairing,
    GetAesKey,
    Hello,
    HelloAnswered,
    InitOfflinePasscodes,
    OfflinePasscodesReset,
    OfflineSeed,
    PairingFinished,
)
from ttlock_protocol.messages.passage import (
    PASSAGE_END,
    GetPassageEntries,
    PassageEntry,
    PassagePage,
)
from ttlock_protocol.messages.passcodes import (
    GetPasscodes,
    PasscodePage,
    PasscodeRecord,
    PasscodeType,
)
from ttlock_protocol.messages.settings import (
    AutoLock,
    GetAutoLock,
    GetPasscodeDisplay,
    GetRemoteUnlock,
    GetSound,
    PasscodeDisplay,
    RemoteUnlock,
    SetSwitch,
    Sound,
    Switch,
    SwitchSet,
)
from ttlock_protocol.procedures import (
    Await,
    DeviceInfo,
    KeysExist,
    LinkDropped,
    ListNotEnding,
    LogSlice,
    NewSecrets,
    NoAnswer,
    authenticate,
    enrol,
    enrol_fingerprint,
    greet,
    learn_card,
    list_cards,
    list_fingerprints,
    list_passage_entries,
    list_passcodes,
    lock,
    needed_auth,
    read_device_info,
    read_log,
    reset,
    set_switch,
    unlock,
)
from ttlock_protocol.quirks import Quirks

AES = bytes(range(16))
KEYS = LockKeys(aes_key=AES, admin_secret=123456789, unlock_key=987654321, user_id=7)
USER_KEYS = dataclasses.replace(KEYS, admin_secret=0)
CHALLENGE, PROOF = 0x11223344, 0x4C009BF5
ADMIN_STEPS: list[tuple[Any, Any]] = [
    (CheckAdmin(admin_secret=123456789, user_id=7), AdminChallenge(challenge=CHALLENGE)),
    (CheckRandom(proof=PROOF), RandomAccepted()),
]
USER_STEP: tuple[Any, Any] = (CheckUser(user_id=7), UserChallenge(challenge=CHALLENGE))


def drive(procedure: Generator[Any, Any, Any], script: list[tuple[Any, Any]]) -> Any:
    """Check each step against the script, and hand in its answer or throw its error."""
    try:
        step = next(procedure)
        for expected, answer in script:
            assert step == expected
            if isinstance(answer, Exception):
                step = procedure.throw(answer)
            else:
                step = procedure.send(answer)
    except StopIteration as end:
        assert (expected, answer) == script[-1]
        return end.value
    pytest.fail(f"{step} was asked for without being expected")


def refused(request: Request[Any], refusal: Refusal) -> CommandRefused:
    return CommandRefused(request.opcode, refusal)


def test_administrator_proves_both_secrets() -> None:
    assert drive(authenticate(Auth.ADMIN, KEYS), ADMIN_STEPS) is None


def test_user_proves_the_unlock_key() -> None:
    drive(authenticate(Auth.USER, USER_KEYS), [USER_STEP, ADMIN_STEPS[1]])


@pytest.mark.parametrize("auth", [Auth.NOTHING, Auth.SETTING_MODE, Auth.USER_CHALLENGE])
def test_nothing_to_prove(auth: Auth) -> None:
    assert list(authenticate(auth, KEYS)) == []


@pytest.mark.parametrize(
    ("procedure", "keys"),
    [
        (lambda keys: authenticate(Auth.ADMIN, keys), USER_KEYS),
        (lambda keys: unlock(keys, unique_id=1), LockKeys(aes_key=AES, admin_secret=1)),
    ],
)
def test_keys_that_cannot_prove_are_not_tried(procedure: Any, keys: LockKeys) -> None:
    with pytest.raises(LocalProtocolError):
        next(procedure(keys))


def test_bolt_is_moved_with_a_users_challenge() -> None:
    opened = Unlocked(battery_percent=87)
    steps = [USER_STEP, (Unlock(proof=PROOF, unique_id=5), opened)]
    assert drive(unlock(KEYS, unique_id=5), steps) == opened
    steps = [USER_STEP, (Lock(proof=PROOF, unique_id=5), Locked())]
    assert drive(lock(KEYS, unique_id=5), steps) == Locked()


def test_a_proof_for_a_challenge_that_the_lock_replaced_is_made_anew() -> None:
    """A challenge that came twice, or late, is not the lock's latest: the keys are still right."""
    late = (CheckRandom(proof=PROOF), refused(CheckRandom(proof=PROOF), Refusal.WRONG_DYNAMIC_CODE))
    drive(authenticate(Auth.ADMIN, KEYS), [ADMIN_STEPS[0], late, *ADMIN_STEPS])
    drive(authenticate(Auth.USER, KEYS), [USER_STEP, late, USER_STEP, ADMIN_STEPS[1]])
    request = Unlock(proof=PROOF, unique_id=5)
    late = (request, refused(request, Refusal.WRONG_DYNAMIC_CODE))
    drive(unlock(KEYS, unique_id=5), [USER_STEP, late, USER_STEP, (request, Unlocked())])


@pytest.mark.parametrize(
    ("refusal", "tries"), [(Refusal.WRONG_DYNAMIC_CODE, 2), (Refusal.FAILED, 1)]
)
def test_a_proof_is_made_anew_once_and_only_if_it_was_wrong(refusal: Refusal, tries: int) -> None:
    procedure = authenticate(Auth.ADMIN, KEYS)
    asked: list[Any] = [next(procedure)]
    with suppress(CommandRefused):
        while True:
            asked.append(procedure.send(AdminChallenge(challenge=CHALLENGE)))
            asked.append(procedure.throw(refused(asked[-1], refusal)))
    assert [type(each) for each in asked] == [CheckAdmin, CheckRandom] * tries


def test_a_quirk_moves_the_bolt_with_the_administrators_challenge() -> None:
    quirks = Quirks(unlocks_with_admin_challenge=True)
    steps = [ADMIN_STEPS[0], (Unlock(proof=PROOF, unique_id=5), Unlocked())]
    drive(unlock(KEYS, unique_id=5, quirks=quirks), steps)


def test_only_a_lock_with_the_quirk_is_greeted() -> None:
    assert list(greet(Quirks())) == []
    greeting = Quirks(says_hello_first=True)
    drive(greet(greeting), [(Hello(), HelloAnswered())])
    drive(greet(greeting), [(Hello(), refused(Hello(), Refusal.FAILED))])


@pytest.mark.parametrize(
    ("request_", "keys", "quirks", "auth"),
    [
        (SetClock(local_time=local(2026, 1, 1)), KEYS, Quirks(), Auth.ADMIN),
        (SetClock(local_time=local(2026, 1, 1)), USER_KEYS, Quirks(), Auth.USER),
        (GetFeatures(), KEYS, Quirks(), Auth.ADMIN),
        (GetFeatures(), USER_KEYS, Quirks(), Auth.NOTHING),
        (GetDeviceMac(), KEYS, Quirks(), Auth.ADMIN),
        (GetLog(cursor=0), KEYS, Quirks(), Auth.NOTHING),
        (GetLog(cursor=0), KEYS, Quirks(log_needs_admin=True), Auth.ADMIN),
        (GetClock(), KEYS, Quirks(log_needs_admin=True), Auth.ADMIN),
        (GetState(), KEYS, Quirks(), Auth.NOTHING),
        (GetPasscodes(), KEYS, Quirks(), Auth.ADMIN),
        (Unlock(proof=1, unique_id=1), KEYS, Quirks(), Auth.USER_CHALLENGE),
    ],
)
def test_needed_authentication(
    request_: Request[Response], keys: LockKeys, quirks: Quirks, auth: Auth
) -> None:
    assert needed_auth(request_, keys, quirks) is auth


def test_a_switch_is_not_turned_before_somebody_saw_it_work() -> None:
    with pytest.raises(LocalProtocolError):
        next(set_switch(Switch.TAMPER_ALERT, is_on=True, quirks=Quirks()))
    verified = Quirks(switches_are_verified=True)
    done = SwitchSet(battery_percent=87)
    drive(
        set_switch(Switch.TAMPER_ALERT, is_on=True, quirks=verified),
        [(SetSwitch(switch=Switch.TAMPER_ALERT, is_on=True), done)],
    )


def code(digits: str) -> PasscodeRecord:
    return PasscodeRecord(
        passcode_type=PasscodeType.PERMANENT,
        passcode=digits,
        original_passcode=digits,
        valid_from=local(2000, 1, 1),
    )


@pytest.mark.parametrize(
    "last",
    [
        PasscodePage(next_cursor=None),
        PasscodePage(next_cursor=0),
        PasscodePage(next_cursor=NO_MORE),
    ],
)
def test_passcodes_end_in_three_ways(last: PasscodePage) -> None:
    script = [
        (GetPasscodes(cursor=0), PasscodePage(next_cursor=5, records=(code("1234"),))),
        (GetPasscodes(cursor=5), PasscodePage(next_cursor=9, records=(code("5678"),))),
        (GetPasscodes(cursor=9), last),
    ]
    assert drive(list_passcodes(), script) == (code("1234"), code("5678"))


def test_a_list_that_goes_round_is_an_error() -> None:
    script = [
        (GetPasscodes(cursor=0), PasscodePage(next_cursor=5, records=(code("1234"),))),
        (GetPasscodes(cursor=5), PasscodePage(next_cursor=5, records=(code("1234"),))),
    ]
    with pytest.raises(ListNotEnding):
        drive(list_passcodes(), script)


def test_a_list_without_end_is_an_error() -> None:
    pages = [PasscodePage(next_cursor=at + 1, records=(code("1234"),) * 20) for at in range(300)]
    script = [(GetPasscodes(cursor=at), page) for at, page in enumerate(pages)]
    with pytest.raises(ListNotEnding):
        drive(list_passcodes(), script)


def test_cards_end_with_or_without_a_last_one() -> None:
    card = CardRecord(
        card_number=b"\1\2\3\4", valid_from=local(2000, 1, 1), valid_until=local(2099, 1, 1)
    )
    first = CardPage(battery_percent=87, next_cursor=1, records=(card,))
    odd = CardPage(battery_percent=87, next_cursor=2, records=(Unreadable(b"?"),))
    for last, found in (((), (card, Unreadable(b"?"))), ((card,), (card, Unreadable(b"?"), card))):
        script = [
            (GetCards(cursor=0), first),
            (GetCards(cursor=1), odd),
            (GetCards(cursor=2), CardPage(battery_percent=87, next_cursor=NO_MORE, records=last)),
        ]
        assert drive(list_cards(), script) == found


FINGER = FingerprintRecord(
    fingerprint=b"\1\2\3\4\5\6", valid_from=local(2000, 1, 1), valid_until=local(2099, 1, 1)
)
FINGER_PAGE = FingerprintPage(battery_percent=87, next_cursor=NO_MORE, records=(FINGER,))


def test_fingerprints_are_listed() -> None:
    two = dataclasses.replace(FINGER_PAGE, next_cursor=3)
    script = [(GetFingerprints(cursor=0), two), (GetFingerprints(cursor=3), FINGER_PAGE)]
    assert drive(list_fingerprints(), script) == (FINGER, FINGER)


@pytest.mark.parametrize("refusal", [Refusal.CHECKSUM, Refusal.FINGERPRINT_NOT_FOUND])
def test_no_fingerprints_are_believed_at_the_second_refusal(refusal: Refusal) -> None:
    no = (GetFingerprints(), refused(GetFingerprints(), refusal))
    assert drive(list_fingerprints(), [no, no]) == ()
    assert drive(list_fingerprints(), [no, (GetFingerprints(), FINGER_PAGE)]) == (FINGER,)


def test_other_refusals_of_fingerprints_are_not_an_empty_list() -> None:
    denied = (GetFingerprints(), refused(GetFingerprints(), Refusal.NO_PERMISSION))
    damaged = (GetFingerprints(), refused(GetFingerprints(), Refusal.CHECKSUM))
    for script in ([denied], [damaged, denied]):
        with pytest.raises(CommandRefused):
            drive(list_fingerprints(), script)
    more = (GetFingerprints(), dataclasses.replace(FINGER_PAGE, next_cursor=3))
    late = (GetFingerprints(cursor=3), refused(GetFingerprints(), Refusal.CHECKSUM))
    with pytest.raises(CommandRefused):
        drive(list_fingerprints(), [more, late])


def test_passage_entries_are_listed() -> None:
    entry = PassageEntry(day=3)
    script = [
        (GetPassageEntries(), PassagePage(battery_percent=87, next_cursor=1, records=(entry,))),
        (
            GetPassageEntries(cursor=1),
            PassagePage(battery_percent=87, next_cursor=PASSAGE_END, records=(entry,)),
        ),
    ]
    assert drive(list_passage_entries(), script) == (entry, entry)


RECORD = LogRecord(log_type=LogType.FORCED, recorded_at=None, battery=87)


def log_page(next_cursor: int | None) -> LogPage:
    return LogPage(next_cursor=next_cursor, records=() if next_cursor is None else (RECORD,))


def test_log_is_read_up_to_its_end() -> None:
    script = [
        (GetLog(cursor=7), log_page(8)),
        (GetLog(cursor=8), log_page(9)),
        (GetLog(cursor=9), log_page(None)),
    ]
    assert drive(read_log(cursor=7, limit=10), script) == LogSlice((RECORD, RECORD), 9)


@pytest.mark.parametrize("last", [log_page(0xFFF0), log_page(0), log_page(7), log_page(6)])
def test_log_ends_where_it_does_not_advance(last: LogPage) -> None:
    assert drive(read_log(cursor=7, limit=10), [(GetLog(cursor=7), last)]) == LogSlice((RECORD,), 7)


def test_log_is_read_up_to_the_limit() -> None:
    assert drive(read_log(cursor=7, limit=1), [(GetLog(cursor=7), log_page(8))]).next_cursor == 8


def test_a_refused_cursor_is_the_end_and_a_refused_reader_is_not() -> None:
    ask = GetLog(cursor=7)
    assert drive(read_log(cursor=7, limit=10), [(ask, refused(ask, Refusal.NO_DETAIL))]) == (
        LogSlice((), 7)
    )
    with pytest.raises(CommandRefused):
        drive(read_log(cursor=7, limit=10), [(ask, refused(ask, Refusal.NO_PERMISSION))])


def test_the_shared_bookmark_is_not_moved() -> None:
    with pytest.raises(LocalProtocolError):
        next(read_log(cursor=UNREAD, limit=1))


def card_step(status: LearnStatus, number: bytes | None = None) -> CardLearning:
    return CardLearning(battery_percent=87, status=status, card_number=number)


def test_a_card_is_learnt() -> None:
    progress: list[CardLearning] = []
    script = [
        (LearnCard(), card_step(LearnStatus.READY)),
        (Await(12.0), card_step(LearnStatus.DONE, b"\1\2\3\4")),
    ]
    learning = learn_card(timeout_s=12.0, on_progress=progress.append)
    assert drive(learning, script) == b"\1\2\3\4"
    assert progress == [card_step(LearnStatus.READY)]
    at_once = [(LearnCard(), card_step(LearnStatus.DONE, b"\1\2\3\4"))]
    assert drive(learn_card(), at_once) == b"\1\2\3\4"
    assert drive(learn_card(), [(LearnCard(), script[0][1]), (Await(30.0), script[1][1])])


def test_a_finger_is_enrolled_scan_by_scan() -> None:
    progress: list[FingerprintLearning] = []
    ready = FingerprintLearning(battery_percent=87, status=LearnStatus.READY, scans_total=2)
    again = FingerprintLearning(
        battery_percent=87, status=LearnStatus.SCAN_AGAIN, scans_done=1, scans_total=2
    )
    done = FingerprintLearning(
        battery_percent=87, status=LearnStatus.DONE, fingerprint=FINGER.fingerprint
    )
    script = [(EnrolFingerprint(), ready), (Await(5.0), again), (Await(5.0), done)]
    enrolling = enrol_fingerprint(timeout_s=5.0, on_progress=progress.append)
    assert drive(enrolling, script) == FINGER.fingerprint
    assert progress == [ready, again]
    script = [(EnrolFingerprint(), ready), (Await(30.0), done)]
    assert drive(enrol_fingerprint(), script) == FINGER.fingerprint


def test_a_lock_that_leaves_learning_is_told() -> None:
    for status in (LearnStatus.SEND_TEMPLATE, LearnStatus(9)):
        with pytest.raises(UnexpectedResponse):
            drive(learn_card(), [(LearnCard(), card_step(status))])
        odd = FingerprintLearning(battery_percent=87, status=status)
        with pytest.raises(UnexpectedResponse):
            drive(enrol_fingerprint(), [(EnrolFingerprint(), odd)])


def text(kind: DeviceText, value: str) -> tuple[Any, Any]:
    return GetDeviceText(kind=kind), DeviceTextAnswer(text=value)


INFO_STEPS: list[tuple[Any, Any]] = [
    (GetDeviceMac(), DeviceMac(mac="AA:BB:CC:11:22:33")),
    (GetDeviceClock(), DeviceClock(local_time=local(2026, 3, 14))),
    text(DeviceText.MODEL, "SN999"),
    text(DeviceText.HARDWARE, "1.2"),
    text(DeviceText.FIRMWARE, "6.5"),
    text(DeviceText.PRODUCED, "20230228"),
]
NB_STEPS: list[tuple[Any, Any]] = [
    (GetDeviceSignal(), DeviceSignal(rssi_dbm=-70)),
    text(DeviceText.NB_OPERATOR, "op"),
    text(DeviceText.NB_NODE_ID, "id"),
    text(DeviceText.NB_CARD_NUMBER, "card"),
]
INFO = DeviceInfo(
    model="SN999",
    hardware="1.2",
    firmware="6.5",
    produced="20230228",
    mac="AA:BB:CC:11:22:33",
    local_time=local(2026, 3, 14),
)


def unanswered(steps: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return [(step, refused(step, Refusal.FINGERPRINT_EXISTS)) for step, _ in steps]


def test_device_information() -> None:
    assert drive(read_device_info(), INFO_STEPS) == INFO
    assert drive(read_device_info(has_nb_iot=True), INFO_STEPS + NB_STEPS) == dataclasses.replace(
        INFO, nb_operator="op", nb_node_id="id", nb_card_number="card", nb_rssi_dbm=-70
    )


def test_information_that_a_lock_does_not_have_is_none() -> None:
    steps = unanswered(INFO_STEPS) + unanswered(NB_STEPS)
    assert drive(read_device_info(has_nb_iot=True), steps) == DeviceInfo()


SECRETS = NewSecrets(admin_secret=123456789, unlock_key=987654321, admin_passcode="2468135")
NOW = local(2026, 3, 14, 9, 26, 53)
LOCKS_VERSION = Version(scene=4, group=10)
NEW_KEYS = LockKeys(
    aes_key=AES, admin_secret=123456789, unlock_key=987654321, version=LOCKS_VERSION
)
OWNING: list[tuple[Any, Any]] = [
    (Hello(), HelloAnswered()),
    (GetAesKey(), AesKey(key=AES)),
    (KeysExist(NEW_KEYS), None),
    (AddAdmin(admin_secret=123456789, unlock_key=987654321), AdminAdded()),
]
CLOCK = (SetClock(local_time=NOW), ClockSet())
FINISH = (FinishPairing(), PairingFinished())
GIVE_PASSCODE = (SetAdminPasscode(passcode="2468135"), AdminPasscodeSet())


def enrolling(**options: Any) -> Generator[Any, Any, Any]:
    return enrol(SECRETS, local_time=NOW, version=lambda: LOCKS_VERSION, **options)


def features(*which: Feature) -> tuple[Any, Any]:
    return GetFeatures(), FeatureWords(battery_percent=87, bits=FeatureSet.of(which).bits)


def test_enrolment_with_every_step() -> None:
    seed = InitOfflinePasscodes(first_year=26, seeds=(OfflineSeed(code=1, secret=2),) * 10)
    sound = Sound(battery_percent=87, is_on=True)
    display = PasscodeDisplay(is_shown=True)
    auto_lock = AutoLock(battery_percent=87, delay_s=5, min_delay_s=1, max_delay_s=900)
    remote = RemoteUnlock(battery_percent=87, is_allowed=False)
    known = AdminPasscode(battery_percent=87, passcode="1357")
    which = (
        Feature.SOUND,
        Feature.PASSCODE_DISPLAY,
        Feature.AUTO_LOCK,
        Feature.GET_ADMIN_PASSCODE,
        Feature.REMOTE_UNLOCK_SWITCH,
        Feature.NB_IOT,
    )
    script = [
        *OWNING,
        CLOCK,
        features(*which),
        (GetSound(), sound),
        (GetPasscodeDisplay(), display),
        (GetAutoLock(), auto_lock),
        (GetAdminPasscode(), known),
        (seed, OfflinePasscodesReset()),
        (GetRemoteUnlock(), remote),
        FINISH,
        *INFO_STEPS,
        *NB_STEPS,
    ]
    done = drive(enrolling(offline_seeds=seed), script)
    assert done.keys == NEW_KEYS
    assert done.features == FeatureSet.of(which)
    assert done.admin_passcode == "1357"
    assert done.is_clock_set
    assert (done.sound, done.passcode_display) == (sound, display)
    assert (done.auto_lock, done.remote_unlock) == (auto_lock, remote)
    assert done.device.nb_rssi_dbm == -70
    for secret in ("1357", "123456789", "987654321"):
        assert secret not in repr(done)


def test_enrolment_of_a_plain_lock() -> None:
    done = drive(enrolling(), [*OWNING, CLOCK, features(), GIVE_PASSCODE, FINISH, *INFO_STEPS])
    assert done.features == FeatureSet(0)
    assert done.admin_passcode == "2468135"
    assert done.sound is done.passcode_display is done.auto_lock is done.remote_unlock is None


def test_a_lock_without_a_passcode_is_given_one() -> None:
    none = (GetAdminPasscode(), AdminPasscode(battery_percent=87, passcode=""))
    script = [*OWNING, CLOCK, features(Feature.GET_ADMIN_PASSCODE), none, GIVE_PASSCODE, FINISH]
    assert drive(enrolling(), script + INFO_STEPS).admin_passcode == "2468135"


@pytest.mark.parametrize(
    "failure",
    [CommandRefused(0, Refusal.NOT_SUPPORTED), NoAnswer("silence"), DecodeError("gibberish")],
    ids=lambda each: type(each).__name__,
)
def test_optional_steps_may_fail(failure: Exception) -> None:
    optional = [(GIVE_PASSCODE[0], failure)]
    script = [
        (Hello(), failure),
        *OWNING[1:],
        (CLOCK[0], failure),
        (GetFeatures(), failure),
        *optional,
        FINISH,
        *[(step, failure) for step, _ in INFO_STEPS],
    ]
    done = drive(enrolling(), script)
    assert done.keys == NEW_KEYS
    assert done.features is None
    assert done.admin_passcode is None
    assert not done.is_clock_set
    assert done.device == DeviceInfo()


@pytest.mark.parametrize(
    "failure", [refused(GetAesKey(), Refusal.NOT_IN_SETTING_MODE), KeyMismatch("other key")]
)
def test_a_paired_lock_is_not_enrolled(failure: Exception) -> None:
    with pytest.raises(type(failure)):
        drive(enrolling(), [OWNING[0], (GetAesKey(), failure)])


def test_keys_are_known_before_the_lock_hears_of_them() -> None:
    with pytest.raises(LinkDropped):
        drive(enrolling(), [*OWNING[:3], (OWNING[3][0], LinkDropped("gone"))])
    not_kept = (FinishPairing(), refused(FinishPairing(), Refusal.FAILED))
    with pytest.raises(CommandRefused):
        drive(enrolling(), [*OWNING, CLOCK, features(), GIVE_PASSCODE, not_kept])


def test_a_white_label_lock_gets_its_token() -> None:
    procedure = enrolling(quirks=Quirks(client_token=b"0658d44e"))
    assert next(procedure) == Hello()
    assert procedure.send(HelloAnswered()) == GetAesKey(token=b"0658d44e")
    procedure.send(AesKey(key=AES))
    assert procedure.send(None).token == b"0658d44e"


@pytest.mark.parametrize(
    "wrong",
    [{"admin_secret": 0}, {"unlock_key": 1_000_000_000}, {"admin_passcode": "123"}],
)
def test_secrets_have_their_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        dataclasses.replace(SECRETS, **wrong)


@pytest.mark.parametrize(
    ("answer", "is_said"),
    [(ResetDone(), True), (NoAnswer("silence"), False), (LinkDropped("gone"), False)],
)
def test_a_reset_may_end_in_silence(answer: Any, is_said: bool) -> None:
    assert drive(reset(KEYS), [*ADMIN_STEPS, (Reset(), answer)]) is is_said


def test_a_refused_reset_is_refused() -> None:
    with pytest.raises(CommandRefused):
        drive(reset(KEYS), [*ADMIN_STEPS, (Reset(), refused(Reset(), Refusal.NO_PERMISSION))])

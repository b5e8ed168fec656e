"""Backup against lock, and what follows from it: pure comparisons."""

# ruff: noqa: DTZ001 - lock-local times are naive
from datetime import UTC, datetime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ttlock_agent.backup import read
from ttlock_agent.backup.compare import Standing, agrees, compare
from ttlock_agent.backup.content import (
    Content,
    LockFacts,
    NotRead,
    SavedCard,
    SavedFingerprint,
    SavedPassage,
    SavedPasscode,
    SavedSettings,
    UnreadableRecord,
    decode_content,
    encode_content,
)
from ttlock_agent.backup.plan import Plan, make_plan
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.message import Request
from ttlock_protocol.messages.admin import SetAdminPasscode
from ttlock_protocol.messages.cards import AddCard, ModifyCard
from ttlock_protocol.messages.fingerprints import ModifyFingerprint
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    DeletePasscode,
    PasscodeType,
    RecoverPasscode,
)
from ttlock_protocol.messages.settings import SetAutoLock, SetVolume
from ttlock_protocol.quirks import Quirks
from ttlock_protocol.virtual.memory import DEFAULT_FEATURES

NOW = datetime(2026, 3, 14, 9, 0)
FIRST, FOREVER = datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59)
ODD_FIRST, ODD_FOREVER = datetime(2000, 1, 31, 14), datetime(2099, 11, 30, 14)
QUIRKS = Quirks(switches_are_verified=True)


def content(**parts: Any) -> Content:
    facts = LockFacts(
        mac="AA:BB:CC:11:22:33",
        features=FeatureSet.of(parts.pop("features", DEFAULT_FEATURES)).to_cloud(),
        zone="Europe/Berlin",
    )
    return Content(taken_at=datetime(2026, 3, 14, 8, 0, tzinfo=UTC), lock=facts, **parts)


def code(digits: str = "555666", kind: int = PasscodeType.PERMANENT, **more: Any) -> SavedPasscode:
    fields = {"original_passcode": digits, "valid_from": FIRST} | more
    return SavedPasscode(passcode_type=int(kind), passcode=digits, **fields)


def card(**more: Any) -> SavedCard:
    fields = {"number": b"\1\2\3\4", "valid_from": FIRST, "valid_until": FOREVER} | more
    return SavedCard(**fields)


def planned(saved: Content, held: Content, quirks: Quirks = QUIRKS) -> Plan:
    return make_plan(saved, held, quirks=quirks, now=NOW)


def ways(plan: Plan) -> list[list[type[Request[Any]]]]:
    return [[type(way) for way in step.ways] for step in plan.steps]


def standing(saved: Content, held: Content) -> list[Standing]:
    return [each.standing for each in compare(saved, held)]


PERIOD = code("777888", PasscodeType.PERIOD, valid_from=NOW, valid_until=datetime(2026, 4, 1))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (code(), code(valid_from=ODD_FIRST, valid_until=ODD_FOREVER)),
        (card(), card(valid_from=ODD_FIRST, valid_until=ODD_FOREVER)),
        (code(valid_from=NOW), code()),
        (PERIOD, replace(PERIOD, valid_from=FIRST)),
        (
            code(kind=PasscodeType.CYCLIC, cycle_number=1056, valid_from=datetime(2026, 1, 1, 8)),
            code(kind=PasscodeType.CYCLIC, cycle_number=1056, valid_from=datetime(2000, 1, 1, 8)),
        ),
    ],
    ids=[
        "no limits, otherwise written",
        "a card's, too",
        "start moved",
        "period's start moved",
        "cyclic",
    ],
)
def test_what_locks_alter_is_the_same(before: Any, now: Any) -> None:
    item = "cards" if isinstance(before, SavedCard) else "passcodes"
    assert standing(content(**{item: (before,)}), content(**{item: (now,)})) == [Standing.SAME]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (code(), replace(PERIOD, passcode="555666", original_passcode="555666")),
        (code(), code(valid_from=datetime(2026, 5, 1))),
        (PERIOD, replace(PERIOD, valid_until=datetime(2026, 4, 2))),
        (PERIOD, replace(PERIOD, valid_from=datetime(2026, 3, 20))),
        (
            code(kind=PasscodeType.CYCLIC, cycle_number=1056),
            code(kind=PasscodeType.CYCLIC, cycle_number=1057),
        ),
        (
            code(kind=PasscodeType.CYCLIC, cycle_number=1056, valid_from=datetime(2026, 1, 1, 8)),
            code(kind=PasscodeType.CYCLIC, cycle_number=1056, valid_from=datetime(2026, 1, 1, 9)),
        ),
    ],
    ids=["type", "starts later", "end", "start", "cycle", "hour"],
)
def test_what_opens_otherwise_is_not_the_same(before: SavedPasscode, now: SavedPasscode) -> None:
    saved, held = content(passcodes=(before,)), content(passcodes=(now,))
    assert standing(saved, held) == [Standing.OTHERWISE]
    assert ways(planned(saved, held)) == [[DeletePasscode]]


def test_missing_passcodes_are_written_in_the_way_that_keeps_most_of_them() -> None:
    saved = content(
        passcodes=(
            code(),
            code("864200", original_passcode="204060"),
            PERIOD,
            code("334455", PasscodeType.ONE_TIME, valid_until=datetime(2026, 4, 1)),
            code("135790", PasscodeType.CYCLIC, cycle_number=1056),
        )
    )
    assert ways(planned(saved, content())) == [
        [AddPasscode, RecoverPasscode],
        [RecoverPasscode, AddPasscode],
        [AddPasscode, RecoverPasscode],
        [AddPasscode, RecoverPasscode],
        [RecoverPasscode],
    ]


@pytest.mark.parametrize(
    ("saved", "features", "reason"),
    [
        ({"passcodes": (code(),)}, {Feature.PASSCODE}, "no keypad"),
        (
            {"passcodes": (code(kind=PasscodeType.CYCLIC, cycle_number=1056),)},
            {Feature.RECOVER_CYCLIC_PASSCODE},
            "no way to take cyclic passcodes back",
        ),
        ({"passcodes": (code(kind=77),)}, set(), "type that this agent does not know"),
        ({"passcodes": (code("123"),)}, set(), "4 to 9 digits"),
        ({"passcodes": (code(kind=PasscodeType.ONE_TIME, is_used=True),)}, set(), "once more"),
        ({"cards": (card(),)}, {Feature.CARD}, "no cards"),
        ({"cards": (card(number=b"\1\2\3\4\5"),)}, set(), "4 or 8 bytes"),
        ({"settings": SavedSettings(volume=3)}, {Feature.VOLUME}, "no volume"),
        ({"settings": SavedSettings(volume=9)}, set(), "1 to 5"),
        ({"settings": SavedSettings(auto_lock_s=0)}, {Feature.AUTO_LOCK_CAN_BE_OFF}, "can be off"),
        ({"settings": SavedSettings(auto_lock_s=4000)}, set(), "1 to 900 s only"),
        ({"settings": SavedSettings(is_remote_unlock_allowed=True)},
         {Feature.REMOTE_UNLOCK_SWITCH}, "remote-unlock"),
    ],
)  # fmt: skip
def test_what_cannot_be_put_back_is_known_before(
    saved: dict[str, Any], features: set[Feature], reason: str
) -> None:
    kept = [each for each in DEFAULT_FEATURES if each not in features]
    limits = SavedSettings(auto_lock_s=5, auto_lock_min_s=1, auto_lock_max_s=900)
    plan = planned(content(**saved), content(features=kept, settings=limits))
    assert plan.steps == []
    assert [reason in each.reason for each in plan.blocked] == [True]


def test_a_list_that_the_lock_does_not_tell_is_not_written_blindly() -> None:
    saved = content(passcodes=(code(),), cards=(card(),))
    told = tuple(NotRead(item=item, reason="refused") for item in (read.PASSCODES, read.CARDS))
    plan = planned(saved, content(not_read=told))
    assert plan.steps == []
    assert {each.reason for each in plan.blocked} == {
        "The lock does not list these, so nothing could be proved."
    }


def test_unreadable_records_leave_it_open_whether_something_is_there() -> None:
    unknown = UnreadableRecord(item=read.PASSCODES, raw=b"?")
    saved, held = content(passcodes=(code(),), cards=(card(),)), content(unreadable=(unknown,))
    assert standing(saved, held) == [Standing.NOT_READ, Standing.MISSING]


def test_a_feature_value_that_was_not_told_forbids_nothing() -> None:
    held = content()
    held = replace(held, lock=replace(held.lock, features=None))
    assert ways(planned(content(cards=(card(),)), held)) == [[AddCard]]


def test_cards_with_another_window_are_modified_and_the_admin_goes_first() -> None:
    saved = content(
        cards=(card(),), admin_passcode="1123334", settings=SavedSettings(auto_lock_s=12, volume=4)
    )
    held = content(
        cards=(card(valid_until=datetime(2026, 5, 1)),),
        admin_passcode="7654321",
        settings=SavedSettings(
            auto_lock_s=5, auto_lock_min_s=1, auto_lock_max_s=900, is_sound_on=True, volume=1
        ),
    )
    assert ways(planned(saved, held)) == [
        [SetAdminPasscode],
        [ModifyCard],
        [SetAutoLock],
        [SetVolume],
    ]


def test_a_fingerprint_is_never_planned_unless_it_is_still_there() -> None:
    finger = SavedFingerprint(id=b"123456", valid_from=FIRST, valid_until=FOREVER)
    plan = planned(content(fingerprints=(finger,)), content())
    assert plan.steps == []
    assert "enrol it anew" in plan.blocked[0].reason
    shorter = replace(finger, valid_until=datetime(2026, 5, 1))
    held = content(fingerprints=(shorter,))
    assert ways(planned(content(fingerprints=(finger,)), held)) == [[ModifyFingerprint]]


def test_two_equal_windows_of_passage_mode_are_two() -> None:
    entry = SavedPassage(kind=1, day=7, month=0, starts_at=time(10), ends_at=time(12))
    saved = content(passage=(entry, entry))
    assert standing(saved, content(passage=(entry,))) == [Standing.SAME, Standing.MISSING]
    assert agrees(compare(saved, content(passage=(entry, entry))))


digits = st.text("0123456789", min_size=4, max_size=9)
times = st.datetimes(FIRST, FOREVER).map(lambda at: at.replace(second=0, microsecond=0))
passcodes = st.builds(
    lambda passcode, kind, begin, end: code(
        passcode,
        kind,
        valid_from=begin,
        valid_until=end if kind in (PasscodeType.ONE_TIME, PasscodeType.PERIOD) else None,
        cycle_number=1056 if kind == PasscodeType.CYCLIC else None,
    ),
    digits, st.sampled_from(PasscodeType), times, times,
)  # fmt: skip
contents = st.builds(
    lambda codes, cards, admin: content(
        passcodes=tuple({each.passcode: each for each in codes}.values()),
        cards=tuple(card(number=number) for number in cards),
        admin_passcode=admin,
    ),
    st.lists(passcodes, max_size=6),
    st.sets(st.binary(min_size=4, max_size=4), max_size=4),
    st.none() | digits,
)


@given(contents)
def test_a_content_survives_its_encoding_and_agrees_with_itself(saved: Content) -> None:
    assert decode_content(encode_content(saved)) == saved
    assert agrees(compare(saved, saved))
    assert planned(saved, saved).steps == []


@given(contents, contents)
def test_every_item_is_planned_blocked_or_there(saved: Content, held: Content) -> None:
    plan = planned(saved, held)
    over = (Standing.SAME, Standing.EXTRA)
    settled = {each.key for each in plan.findings if each.standing in over}
    stepped = {step.finding.key for step in plan.steps}
    blocked = {each.finding.key for each in plan.blocked}
    assert settled | stepped | blocked == {each.key for each in plan.findings}
    assert not settled & stepped
    assert not stepped & blocked
    shown = repr(plan)
    long_ones = [each.passcode for each in saved.passcodes if len(each.passcode) > 6]
    assert not [passcode for passcode in long_ones if passcode in shown]

"""Strategies for every message, made from the layouts that the messages declare."""

from collections.abc import Callable
from datetime import datetime, time
from typing import Any

from hypothesis import strategies as st

from ttlock_protocol import wire
from ttlock_protocol.errors import LocalProtocolError, OpenIntEnum
from ttlock_protocol.message import Message
from ttlock_protocol.messages import (
    cards,
    device,
    fingerprints,
    log,
    operate,
    pages,
    pairing,
    passage,
    passcodes,
    schedules,
    settings,
)
from ttlock_protocol.messages.learning import WindowRecords

ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
DIGITS = st.text("0123456789", min_size=4, max_size=9)
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":").upper())
_LOCAL = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59))  # noqa: DTZ001
SECONDS = _LOCAL.map(lambda moment: moment.replace(microsecond=0))
MINUTES = _LOCAL.map(lambda moment: moment.replace(second=0, microsecond=0))
TIMES = st.builds(time, st.integers(0, 23), st.integers(0, 59))
CARD_NUMBERS = st.binary(min_size=4, max_size=4) | st.binary(min_size=8, max_size=8).filter(
    lambda number: not number.endswith(b"\xff" * 4)
)
FINGERPRINTS = st.binary(min_size=6, max_size=6)
U8S, U16S = st.integers(0, 0xFF), st.integers(0, 0xFFFF)


def _enum(kind: type[OpenIntEnum]) -> st.SearchStrategy[Any]:
    return st.sampled_from(list(kind)) | U8S.map(kind)


CARD_RECORDS = st.builds(
    cards.CardRecord, card_number=CARD_NUMBERS, valid_from=MINUTES, valid_until=MINUTES
)
FINGERPRINT_RECORDS = st.builds(
    fingerprints.FingerprintRecord,
    fingerprint=FINGERPRINTS,
    valid_from=MINUTES,
    valid_until=MINUTES,
)
PASSAGE_ENTRIES = st.builds(
    passage.PassageEntry,
    kind=_enum(passage.PassageKind),
    day=U8S,
    month=U8S,
    starts_at=TIMES,
    ends_at=TIMES,
)
SEEDS = st.builds(
    pairing.OfflineSeed, code=st.integers(1, 1070), secret=st.integers(0, 9_999_999_999)
)
PASSCODE_RECORDS = st.builds(
    passcodes.PasscodeRecord,
    passcode_type=_enum(passcodes.PasscodeType),
    passcode=DIGITS,
    original_passcode=DIGITS,
    valid_from=MINUTES,
    valid_until=st.none() | MINUTES,
    cycle_number=st.none() | U16S,
)
_LOG_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "user_id": st.integers(0, 0xFFFFFFFF),
    "record_id": st.integers(0, 0xFFFFFFFF),
    "key": U8S,
    "passcode": DIGITS,
    "other_passcode": DIGITS,
    "valid_from": MINUTES,
    "valid_until": MINUTES,
    "card_number": CARD_NUMBERS,
    "mac": MACS,
    "accessory_battery": U8S,
}


@st.composite
def log_records(draw: st.DrawFn) -> log.LogRecord:
    """Records of all types, whole or cut short behind any part."""
    log_type = draw(_enum(log.LogType))
    parts = log._TAILS.get(log_type, ())
    if log_type == log.LogType.WIRELESS_KEYPAD:
        parts = log._WIRELESS_KEYPAD_PARTS[draw(st.sampled_from((7, 8)))]
    elif parts:
        parts = parts[: draw(st.integers(0, len(parts)))]
    values = {}
    for name, codec in parts:
        size = getattr(codec, "_size", 0)  # of a credential, the only part without an entry
        values[name] = draw(_LOG_PARTS.get(name, st.binary(min_size=size, max_size=size)))
    is_known = log_type in log._TAILS or log_type == log.LogType.WIRELESS_KEYPAD
    return log.LogRecord(
        log_type=log_type,
        recorded_at=draw(st.none() | SECONDS),
        battery=draw(U8S),
        tail=b"" if is_known else draw(st.binary(max_size=40)),
        **values,
    )


_BY_CODEC: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    wire.Unsigned: lambda codec: st.integers(0, (1 << 8 * codec._size) - 1),
    wire.Signed8: lambda _: st.integers(-128, 127),
    wire.Enum8: lambda codec: _enum(codec._kind),
    wire.Flag: lambda _: st.booleans(),
    wire.Octets: lambda codec: (
        st.binary(max_size=60)
        if codec._size is None
        else st.binary(min_size=codec._size, max_size=codec._size)
    ),
    wire.PrefixedText: lambda _: DIGITS,
    wire.TerminatedText: lambda _: st.text(ASCII, max_size=40),
    wire.RestText: lambda _: st.text(ASCII, max_size=15),
    wire.DigitValues: lambda _: DIGITS,
    wire.MacAddress: lambda _: MACS,
    wire.WallTime: lambda codec: SECONDS if codec._has_seconds else MINUTES,
    wire.HourMinute: lambda _: TIMES,
    wire.OrNone: lambda codec: st.none() | of_codec(codec._inner),
    operate._FeatureWords: lambda _: st.integers(0, (1 << 160) - 1),
    pairing._SeedCodec: lambda _: SEEDS,
    pairing._SeedsCodec: lambda _: st.tuples(*[SEEDS] * pairing.SEED_YEARS),
    cards._CardNumber: lambda _: CARD_NUMBERS,
    cards._LearntCard: lambda _: CARD_NUMBERS,
    passage._EntryCodec: lambda _: PASSAGE_ENTRIES,
    passage._EntriesCodec: lambda _: st.lists(PASSAGE_ENTRIES, max_size=5).map(tuple),
    schedules._PrefixedOctets: lambda _: st.sampled_from((b"\1\2\3\4", b"\5" * 6, b"\7" * 8)),
    settings._BatteryOrNothing: lambda _: st.none() | U8S,
    settings._SwitchMask: lambda _: st.integers(0, 0xFFFFFFFF).map(settings.Switch),
}


_NARROWER: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("AddSchedule", "weekday"): st.integers(1, 7),
    ("SetVolume", "volume"): st.integers(1, 5),
    ("SetLockName", "name"): st.text(ASCII, min_size=1, max_size=15),
    ("GetDeviceText", "kind"): st.sampled_from(list(device.DeviceText)),
    ("AddPasscode", "passcode_type"): st.sampled_from(list(passcodes.PasscodeType)[:3]),
}
"""Fields whose message allows less than their codec."""


def of_codec(codec: object) -> st.SearchStrategy[Any]:
    """Values that ``codec`` can say."""
    if isinstance(codec, WindowRecords):
        is_card = isinstance(codec._record, cards._CardRecordCodec)
        one = CARD_RECORDS if is_card else FINGERPRINT_RECORDS
        return st.lists(one, max_size=1).map(tuple)
    return _BY_CODEC[type(codec)](codec)


@st.composite
def messages(draw: st.DrawFn, kind: type[Message]) -> Message:
    """Any message of one kind that can be said at all."""
    if issubclass(kind, pages.CountedPage):
        record = log_records() if issubclass(kind, log.LogPage) else PASSCODE_RECORDS
        cursor = draw(st.none() | U16S)
        records = () if cursor is None else tuple(draw(st.lists(record, max_size=4)))
        return kind(next_cursor=cursor, records=records)  # type: ignore[call-arg]
    values: dict[str, Any] = {}
    is_cut_short = False
    for name, field in kind._layout:
        if name in kind._constants:
            continue
        is_there = field.when is None or field.when(values)
        is_cut_short = is_cut_short or (is_there and field.is_optional and draw(st.booleans()))
        narrower = _NARROWER.get((kind.__name__, name))
        strategy = of_codec(field.codec) if narrower is None else narrower
        values[name] = draw(strategy) if is_there and not is_cut_short else None
    try:
        return kind(**values)
    except LocalProtocolError:
        # Some combinations have no meaning, a period passcode without an end for example.
        return draw(st.nothing())

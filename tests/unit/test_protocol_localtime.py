"""Instants and the lock's clock, above all where the two do not fit."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol_helpers import local
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.localtime import (
    Reading,
    clock_drift,
    from_lock,
    from_window,
    reading,
    to_lock,
    to_window,
)
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL

BERLIN = ZoneInfo("Europe/Berlin")
"""Goes back on 2026-10-25 at 03:00 to 02:00, forward on 2026-03-29 at 02:00 to 03:00."""
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]
MINUTE = timedelta(minutes=1)


def utc(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_summer_and_winter() -> None:
    assert to_lock(utc(2026, 7, 1, 12), BERLIN) == local(2026, 7, 1, 14)
    assert to_lock(utc(2026, 12, 1, 12), BERLIN) == local(2026, 12, 1, 13)
    assert from_lock(local(2026, 7, 1, 14), BERLIN) == utc(2026, 7, 1, 12)
    assert from_lock(local(2026, 12, 1, 13), BERLIN) == utc(2026, 12, 1, 12)


def test_only_aware_times_are_instants() -> None:
    with pytest.raises(LocalProtocolError):
        to_lock(local(2026, 7, 1), BERLIN)
    with pytest.raises(LocalProtocolError):
        from_lock(utc(2026, 7, 1), BERLIN)


@pytest.mark.parametrize("moment", [utc(1999, 12, 31, 22, 59), utc(2099, 12, 31, 23)])
def test_years_that_a_lock_does_not_know(moment: datetime) -> None:
    with pytest.raises(LocalProtocolError):
        to_lock(moment, BERLIN)


def test_the_end_of_the_calendar_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        to_lock(utc(9999, 12, 31, 23, 59), BERLIN)


def test_an_hour_that_happens_twice() -> None:
    ambiguous = local(2026, 10, 25, 2, 30)
    first, second = utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)
    assert reading(ambiguous, BERLIN) is Reading.TWICE
    assert to_lock(first, BERLIN) == to_lock(second, BERLIN) == ambiguous
    assert from_lock(ambiguous, BERLIN) == first
    assert from_lock(ambiguous, BERLIN, near=first) == first
    assert from_lock(ambiguous, BERLIN, near=utc(2026, 10, 25, 1, 20)) == second


def test_an_hour_that_does_not_happen() -> None:
    imaginary = local(2026, 3, 29, 2, 30)
    assert reading(imaginary, BERLIN) is Reading.NEVER
    # As a clock shows it that was not put forward: half an hour after two in winter time.
    assert from_lock(imaginary, BERLIN) == utc(2026, 3, 29, 1, 30)
    assert from_lock(imaginary, BERLIN, near=utc(2026, 3, 29, 0)) == utc(2026, 3, 29, 1, 30)


def test_drift_is_measured_against_the_hour_that_is_meant() -> None:
    now = utc(2026, 10, 25, 1, 30)
    assert clock_drift(local(2026, 10, 25, 2, 30, 7), now, BERLIN) == timedelta(seconds=7)
    assert clock_drift(local(2026, 10, 25, 2, 29, 50), now, BERLIN) == timedelta(seconds=-10)
    # Not put back: an hour ahead.
    assert clock_drift(local(2026, 10, 25, 3, 30), now, BERLIN) == timedelta(hours=1)


def test_a_clock_in_the_hour_that_does_not_happen_was_not_put_forward() -> None:
    now = utc(2026, 3, 29, 1, 30)
    assert to_lock(now, BERLIN) == local(2026, 3, 29, 3, 30)
    assert clock_drift(local(2026, 3, 29, 2, 30, 7), now, BERLIN) == timedelta(hours=-1, seconds=7)


def test_a_validity_is_rounded_outwards() -> None:
    window = to_window(utc(2026, 12, 1, 14, 0, 59), utc(2026, 12, 5, 10, 0, 1), BERLIN)
    assert window.valid_from == local(2026, 12, 1, 15, 0)
    assert window.valid_until == local(2026, 12, 5, 11, 1)
    assert window.is_exact
    whole = to_window(utc(2026, 12, 1, 14), utc(2026, 12, 5, 10), BERLIN)
    assert (whole.valid_from, whole.valid_until) == (local(2026, 12, 1, 15), local(2026, 12, 5, 11))
    assert to_window(None, utc(2026, 12, 5, 10, 0, 0, 1), BERLIN).valid_until == local(
        2026, 12, 5, 11, 1
    )


def test_the_minute_after_an_hour_that_repeats_is_its_repeat() -> None:
    """Half a minute before the clocks go back, the next whole minute is 02:00, not 03:00."""
    window = to_window(None, utc(2026, 10, 25, 0, 59, 30), BERLIN)
    assert window.valid_until == local(2026, 10, 25, 2, 0)
    assert not window.is_exact


def test_no_limit_is_the_vendors_window() -> None:
    window = to_window(None, None, BERLIN)
    assert (window.valid_from, window.valid_until) == (PERMANENT_FROM, PERMANENT_UNTIL)
    assert window.is_exact


def test_a_window_in_an_hour_that_happens_twice_is_not_exact() -> None:
    begin, end = utc(2026, 10, 25, 1, 30), utc(2026, 10, 27)
    assert not to_window(begin, end, BERLIN).is_exact
    assert not to_window(utc(2026, 10, 20), begin, BERLIN).is_exact
    assert to_window(utc(2026, 10, 20), end, BERLIN).is_exact


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (utc(2026, 1, 2), utc(2026, 1, 1)),
        (utc(2026, 1, 2), utc(2026, 1, 2)),
        (utc(2026, 10, 25, 0, 45), utc(2026, 10, 25, 1, 15)),
        (utc(2026, 1, 1), utc(2100, 1, 1)),
        (utc(1999, 1, 1), utc(2026, 1, 1)),
        (local(2026, 1, 1), utc(2026, 1, 2)),
        (utc(2026, 1, 1), local(2026, 1, 2)),
        (utc(2026, 1, 1), utc(2099, 12, 31, 22, 59, 30)),
        (None, utc(1999, 1, 1)),
    ],
)
def test_windows_that_cannot_be_said(begin: datetime | None, end: datetime | None) -> None:
    with pytest.raises(LocalProtocolError):
        to_window(begin, end, BERLIN)


def test_the_last_minute_of_the_calendar_is_forever() -> None:
    """Callers that know no "no limit" ask for it, and it is what the vendor means by it."""
    assert to_window(None, utc(2099, 12, 31, 22, 59), BERLIN) == to_window(None, None, BERLIN)


@pytest.mark.parametrize("begin", [local(2000, 1, 1), local(2000, 1, 31, 14)])
@pytest.mark.parametrize(
    "end",
    [local(2099, 12, 31, 23, 59), local(2099, 11, 30, 14), local(2099, 1, 1), None],
)
def test_every_form_of_no_limit_is_recognised(begin: datetime, end: datetime | None) -> None:
    assert from_window(begin, end, BERLIN) == (None, None)


def test_a_window_of_a_lock_is_two_instants() -> None:
    assert from_window(local(2026, 7, 1, 14), local(2026, 12, 1, 13), BERLIN) == (
        utc(2026, 7, 1, 12),
        utc(2026, 12, 1, 12),
    )


@pytest.mark.parametrize("name", ZONES)
@given(
    moment=st.datetimes(
        datetime(2000, 1, 3),  # noqa: DTZ001
        datetime(2099, 12, 29),  # noqa: DTZ001
        timezones=st.just(UTC),
    )
)
def test_an_instant_survives_the_locks_clock(name: str, moment: datetime) -> None:
    zone = ZoneInfo(name)
    shown = to_lock(moment, zone)
    assert from_lock(shown, zone, near=moment) == moment.replace(microsecond=0)
    assert reading(shown, zone) is not Reading.NEVER


@pytest.mark.parametrize("name", ZONES)
@given(
    begin=st.datetimes(
        datetime(2000, 1, 3),  # noqa: DTZ001
        datetime(2098, 12, 29),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    seconds=st.integers(7200, 30_000_000),
)
def test_an_exact_window_covers_what_was_asked_and_little_more(
    name: str, begin: datetime, seconds: int
) -> None:
    zone = ZoneInfo(name)
    end = begin + timedelta(seconds=seconds)
    window = to_window(begin, end, zone)
    if window.is_exact:
        opens, closes = from_window(window.valid_from, window.valid_until, zone)
        assert opens is not None
        assert closes is not None
        assert timedelta() <= begin - opens < MINUTE
        assert timedelta() <= closes - end < MINUTE

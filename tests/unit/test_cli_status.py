"""``ttlock-agent status`` in words."""

from typing import Any

from ttlock_agent.cli.status import _lock_facts

CLOCK: dict[str, Any] = {
    "clock_error_s": -12.4,
    "as_of": "2026-03-14T08:00:00+00:00",
    "drift_s_per_day": -1.26,
}
USAGE = {"day": "2026-03-14", "connections": 3, "connected_s": 41.6}


def test_what_is_known_of_clock_and_battery_is_said() -> None:
    assert _lock_facts({"clock": CLOCK, "usage": USAGE}) == (
        "clock -12 s off at 2026-03-14T08:00:00+00:00, gains -1.3 s a day, "
        "3 connections and 42 s on 2026-03-14"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert _lock_facts({"clock": None, "usage": None}) == ""
    lost = CLOCK | {"clock_error_s": None}
    assert _lock_facts({"clock": lost, "usage": None}) == ""
    assert _lock_facts({"clock": CLOCK | {"drift_s_per_day": None}}) == (
        "clock -12 s off at 2026-03-14T08:00:00+00:00"
    )


def test_what_the_lock_says_by_itself_is_said_with_its_source() -> None:
    state = {
        "lock": "UNLOCKED",
        "lock_as_of": "2026-03-14T08:00:00+00:00",
        "lock_source": "advertisement",
        "battery_percent": 87,
        "battery_as_of": "2026-03-14T07:00:00+00:00",
        "battery_source": "session",
        "rssi_dbm": -60,
        "seen_at": "2026-03-14T08:00:05+00:00",
    }
    assert _lock_facts({"state": state}) == (
        "unlocked at 2026-03-14T08:00:00+00:00 (advertisement), "
        "battery 87 % at 2026-03-14T07:00:00+00:00 (session), "
        "heard at 2026-03-14T08:00:05+00:00 with -60 dBm"
    )
    assert _lock_facts({"state": {"lock": "UNKNOWN"}}) == ""

"""What evidence amounts to, in a word and in a sentence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ttlock_agent.watch.verdict import Evidence, GatewayView, Verdict, judge, sentence

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
ONLINE = GatewayView(name="hall", is_online=True, heard_lock_at=NOW - timedelta(minutes=30))
STALE = GatewayView(name="hall", is_online=True, heard_lock_at=NOW - timedelta(minutes=31))
DEAF = GatewayView(name="attic", is_online=True)
OFF = GatewayView(name="cellar", is_online=False, heard_lock_at=NOW)


def evidence(**changes: Any) -> Evidence:
    base = {"listed": 3, "delivered": 1, "missing": 2, "gateways": [ONLINE], "as_of": NOW}
    return Evidence(**(base | changes))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"delivered": 3, "missing": 0}, Verdict.HEALTHY),
        ({"delivered": 2, "missing": 0}, Verdict.UNKNOWN),
        ({"listed": 0, "delivered": 0, "missing": 0}, Verdict.UNKNOWN),
        ({"delivered": 3, "missing": 0, "gateways": []}, Verdict.HEALTHY),
        ({}, Verdict.CONNECTED_NOT_DELIVERING),
        ({"gateways": [OFF, ONLINE]}, Verdict.CONNECTED_NOT_DELIVERING),
        ({"gateways": [STALE]}, Verdict.CANNOT_HEAR_LOCK),
        ({"gateways": [DEAF, OFF]}, Verdict.CANNOT_HEAR_LOCK),
        ({"gateways": [OFF]}, Verdict.OFFLINE),
        ({"gateways": []}, Verdict.CLOUD_ONLY_RECORD),
    ],
)
def test_a_verdict_follows_from_the_evidence(changes: dict[str, Any], verdict: Verdict) -> None:
    found = evidence(**changes)
    assert judge(found) is verdict
    said = sentence(verdict, found)
    assert said.endswith(".")
    assert f"{found.listed} passcodes" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, 'gateway "hall" as online, but the lock\'s own memory holds only 1 of them'),
        ({"delivered": 0}, "holds none of them"),
        ({"clock_error_s": -25200.0}, "its clock is 7 h 00 min slow"),
        ({"clock_error_s": 90.0}, "its clock is 2 min fast"),
        ({"clock_error_s": 59.0}, "holds only 1 of them; the agent"),
        ({"gateways": [DEAF]}, 'gateway "attic" has not heard the lock'),
        ({"gateways": [DEAF, STALE]}, "none of the 2 gateways has heard the lock"),
        ({"gateways": [OFF]}, 'gateway "cellar" is not online'),
        ({"gateways": [OFF, OFF]}, "none of the 2 gateways is online"),
        ({"gateways": []}, "no gateway serves this lock"),
        ({"listed": 1, "delivered": 0, "missing": 1}, "The cloud lists 1 passcode as"),
    ],
)
def test_a_sentence_says_why(changes: dict[str, Any], words: str) -> None:
    found = evidence(**changes)
    assert words in sentence(judge(found), found)

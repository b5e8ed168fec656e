"""The decision table with probes and clock, the pace of looking, and what a reading rests on."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from ttlock_agent.call_budget import calls_per_look, interval_s
from ttlock_agent.cloud.errors import CloudProblem, CloudUnreachable, QuotaExhausted, refusal
from ttlock_agent.errors import CloudError
from ttlock_agent.requests import PasscodeKind
from ttlock_agent.watch.book import Book, Claim, ClockError, Outcome, Probe
from ttlock_agent.watch.evidence import gather, in_words, read
from ttlock_agent.watch.hysteresis import Reading, Standing
from ttlock_agent.watch.pace import pause_s
from ttlock_agent.watch.verdict import (
    TABLE,
    Evidence,
    GatewayView,
    ProbeResult,
    Verdict,
    judge,
    row_for,
    sentence,
)

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
GRACE = timedelta(seconds=180)
HEARING = GatewayView(name="hall", is_online=True, heard_lock_at=NOW)
DEAF = GatewayView(name="attic", is_online=True)
OFF = GatewayView(name="cellar", is_online=False)
TELLS_NOTHING = GatewayView(name="report", is_online=True, tells_hearing=False)

LACKS: dict[str, Any] = {"listed": 2, "delivered": 0, "missing": 2}
HOLDS: dict[str, Any] = {"listed": 2, "delivered": 2, "missing": 0}
OPEN: dict[str, Any] = {"listed": 2, "delivered": 0, "missing": 0}
MENDED: dict[str, Any] = {"listed": 2, "delivered": 1, "missing": 1, "excused": 1}
V, P = Verdict, ProbeResult


def evidence(memory: dict[str, Any], gateways: list[GatewayView], **more: Any) -> Evidence:
    return Evidence(**memory, gateways=gateways, as_of=NOW, **more)


@pytest.mark.parametrize(
    ("memory", "gateways", "probe", "clock_error_s", "verdict"),
    [
        # The lines of the cloud reference, section 11.
        (HOLDS, [HEARING], P.OK, None, V.HEALTHY),
        (LACKS, [HEARING], P.OK, None, V.CLOUD_ONLY_RECORD),
        (LACKS, [HEARING], P.FAILED, None, V.CONNECTED_NOT_DELIVERING),
        (LACKS, [HEARING], P.NO_PATH, None, V.CANNOT_HEAR_LOCK),
        (LACKS, [DEAF], None, None, V.CANNOT_HEAR_LOCK),
        (LACKS, [OFF], P.OFFLINE, None, V.OFFLINE),
        (HOLDS, [HEARING], None, -3600.0, V.CLOCK),
        # And between them.
        (LACKS, [HEARING], P.BUSY, None, V.BUSY),
        (HOLDS, [HEARING], P.BUSY, None, V.BUSY),
        (LACKS, [HEARING], P.OFFLINE, None, V.OFFLINE),
        (LACKS, [HEARING], None, None, V.CONNECTED_NOT_DELIVERING),
        (LACKS, [HEARING], None, -3600.0, V.CONNECTED_NOT_DELIVERING),
        (LACKS, [TELLS_NOTHING], None, None, V.CONNECTED_NOT_DELIVERING),
        (LACKS, [], None, None, V.CLOUD_ONLY_RECORD),
        (HOLDS, [], None, None, V.HEALTHY),
        (HOLDS, [OFF], None, None, V.OFFLINE),
        (HOLDS, [HEARING], None, 60.0, V.HEALTHY),
        (HOLDS, [HEARING], None, 60.5, V.CLOCK),
        (MENDED, [HEARING], None, None, V.HEALTHY),
        (OPEN, [HEARING], None, -3600.0, V.UNKNOWN),
        (OPEN, [OFF], None, None, V.OFFLINE),
        (OPEN, [DEAF, OFF], None, None, V.CANNOT_HEAR_LOCK),
    ],
)
def test_the_table(
    memory: dict[str, Any],
    gateways: list[GatewayView],
    probe: ProbeResult | None,
    clock_error_s: float | None,
    verdict: Verdict,
) -> None:
    assert judge(evidence(memory, gateways, probe=probe, clock_error_s=clock_error_s)) is verdict


def test_the_table_leaves_nothing_out_and_every_line_is_reached() -> None:
    reached = {
        row_for(evidence(memory, gateways, probe=probe, clock_error_s=error_s))
        for memory, gateways, probe, error_s in product(
            (LACKS, HOLDS, OPEN, MENDED),
            ([], [OFF], [DEAF], [HEARING], [OFF, HEARING]),
            (None, *ProbeResult),
            (None, 5.0, -3600.0),
        )
    }
    assert reached == set(TABLE)


def test_a_clock_that_was_set_is_no_trouble_any_more() -> None:
    off = evidence(HOLDS, [HEARING], clock_error_s=-3600.0, is_clock_set=True)
    assert judge(off) is Verdict.HEALTHY


def test_every_verdict_has_a_sentence_whatever_it_stands_on() -> None:
    said = set()
    for verdict, memory, gateways in product(
        Verdict, (LACKS, HOLDS, OPEN, MENDED), ([], [OFF], [DEAF], [HEARING, OFF])
    ):
        words = sentence(verdict, evidence(memory, gateways, clock_error_s=-3600.0))
        assert words.startswith("The cloud lists 2 passcodes")
        assert words.endswith(".")
        assert "none of the 0" not in words
        said.add(words)
    assert len(said) > 50


# What a reading rests on.


def claim(name: str, listed_at: datetime = NOW) -> Claim:
    return Claim(
        name=name,
        entry=name,
        digits="482913",
        label="",
        kind=PasscodeKind.PERMANENT,
        valid_from=None,
        valid_until=None,
        listed_at=listed_at,
    )


def book(**outcomes: bool) -> tuple[Book, list[Claim]]:
    """Claims in the order in which they were listed, a minute apart, and what came of them."""
    claims = [claim(name, NOW + timedelta(minutes=place)) for place, name in enumerate(outcomes)]
    found = {
        name: Outcome(job=name, was_there=was_there, found_at=NOW + timedelta(hours=1))
        for name, was_there in outcomes.items()
    }
    return Book(outcomes=found, gateways=(HEARING,), looked_at=NOW), claims


def reading(made: tuple[Book, list[Claim]], **more: Any) -> Reading:
    known, claims = made
    clock: ClockError | None = more.get("clock")
    now = NOW + timedelta(hours=1)
    found = gather(known, claims, clock=clock, is_clock_set=False, now=now)
    return read(known, found, claims, clock=clock, grace=GRACE, now=now)


def test_each_missing_passcode_is_a_fact() -> None:
    found = reading(book(a=False, b=False))
    assert found.verdict is Verdict.CONNECTED_NOT_DELIVERING
    assert found.facts == {"missing a", "missing b"}
    assert not found.is_conclusive


def test_what_was_missing_before_the_last_delivery_does_not_count() -> None:
    found = reading(book(a=False, b=True))
    assert found.verdict is Verdict.HEALTHY
    assert (found.facts, found.is_conclusive) == ({"delivered b"}, True)
    assert reading(book(a=True, b=False)).verdict is Verdict.CONNECTED_NOT_DELIVERING


def test_old_deliveries_prove_nothing_new() -> None:
    known, claims = book(a=True)
    known.standing = Standing(
        verdict=Verdict.CONNECTED_NOT_DELIVERING, since=NOW + timedelta(hours=2)
    )
    found = reading((known, claims))
    assert (found.verdict, found.facts) == (Verdict.HEALTHY, frozenset())


@pytest.mark.parametrize("verdict", [Verdict.OFFLINE, Verdict.CANNOT_HEAR_LOCK, Verdict.BUSY])
def test_what_was_seen_by_looking_is_over_by_looking(verdict: Verdict) -> None:
    known, claims = book(a=True)
    known.standing = Standing(verdict=verdict, since=NOW + timedelta(hours=2))
    found = reading((known, claims))
    assert found.facts == {f"look {NOW.isoformat()}"}
    assert (found.is_conclusive, found.hold) == (False, GRACE)


@pytest.mark.parametrize(
    ("probes", "verdict"),
    [
        ([P.OK], Verdict.CLOUD_ONLY_RECORD),
        ([P.OK, P.NO_ANSWER], Verdict.CONNECTED_NOT_DELIVERING),
        ([P.BUSY], Verdict.BUSY),
        ([P.BUSY, P.BUSY], Verdict.BUSY),
        ([P.BUSY, P.BUSY, P.BUSY], Verdict.CONNECTED_NOT_DELIVERING),
        ([P.BUSY, P.BUSY, P.OK, P.BUSY], Verdict.BUSY),
    ],
)
def test_the_last_probe_counts_and_busy_thrice_is_broken(
    probes: list[ProbeResult], verdict: Verdict
) -> None:
    known, claims = book(a=False)
    known.probes = tuple(Probe(result=each, at=NOW + timedelta(hours=1)) for each in probes)
    assert reading((known, claims)).verdict is verdict


@pytest.mark.parametrize("age", [timedelta(hours=6, seconds=1), timedelta(hours=-1)])
def test_a_probe_ages(age: timedelta) -> None:
    known, claims = book(a=False)
    known.probes = (Probe(result=P.OK, at=NOW + timedelta(hours=1) - age),)
    assert reading((known, claims)).verdict is Verdict.CONNECTED_NOT_DELIVERING


def test_a_delivery_overtakes_a_probe() -> None:
    known, claims = book(a=True)
    known.probes = (Probe(result=P.FAILED, at=NOW),)
    assert reading((known, claims)).verdict is Verdict.HEALTHY


def test_something_new_to_be_compared_says_nothing_against_a_healthy_gateway() -> None:
    known, claims = book(a=True)
    known.standing = Standing(verdict=Verdict.HEALTHY, since=NOW)
    found = reading((known, [*claims, claim("b")]))
    assert (found.verdict, found.facts) == (Verdict.UNKNOWN, frozenset())


def test_the_evidence_for_handing_back_is_named() -> None:
    assert "was in the lock" in in_words(["delivered a", "look x"])
    assert "clock was read" in in_words(["probe x"])
    assert "online" in in_words(["look x"])


# The pace.


def test_a_look_is_one_call_and_two_for_each_lock() -> None:
    assert [calls_per_look(locks) for locks in (1, 2, 10)] == [3, 5, 21]


@pytest.mark.parametrize("locks", [1, 2, 5, 50])
@pytest.mark.parametrize("budget", [1, 500, 5000, 30_000])
def test_the_looks_of_a_month_stay_within_its_budget(locks: int, budget: int) -> None:
    month_s = 31 * 86_400.0
    spent, at_s, looks = 0, 0.0, 0
    while at_s < month_s:
        spent += calls_per_look(locks)
        looks += 1
        at_s += interval_s(
            1800, locks=locks, calls_left=max(0, budget - spent), month_ends_in_s=month_s - at_s
        )
    assert spent <= max(budget, calls_per_look(locks))
    if budget >= 10 * calls_per_look(locks):
        assert spent > budget / 2 or looks == month_s / 1800


def test_what_is_wanted_is_the_least() -> None:
    assert interval_s(1800, locks=1, calls_left=30_000, month_ends_in_s=2_592_000) == 1800
    assert interval_s(1800, locks=1, calls_left=0, month_ends_in_s=1000) == 1800
    assert interval_s(1800, locks=1, calls_left=3, month_ends_in_s=90_000) == 90_000


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        (refusal(90000), [60, 120, 240, 480, 960, 1800, 1800]),
        (
            CloudUnreachable("x", problem=CloudProblem.TIMEOUT, may_have_acted=True),
            [60, 120, 240, 480, 960, 1800, 1800],
        ),
        (refusal(10007), [21600] * 3),
        (refusal(30008), [21600] * 3),
        (refusal(80000), [300] * 3),
        (QuotaExhausted("x", resets_at=NOW + timedelta(days=3)), [3600] * 2),
        (QuotaExhausted("x", resets_at=NOW - timedelta(days=3)), [60] * 2),
    ],
)
def test_patience_after_trouble(error: CloudError, pauses: list[float]) -> None:
    assert [
        pause_s(error, failures=number, interval_s=1800, now=NOW)
        for number in range(1, len(pauses) + 1)
    ] == pauses
    assert pause_s(refusal(90000), failures=10_000, interval_s=1800, now=NOW) == 1800

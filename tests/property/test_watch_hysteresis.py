"""No order of readings makes a verdict change without the facts it takes."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ttlock_agent.watch.hysteresis import (
    FACTS_NEEDED,
    FORGOTTEN_AFTER,
    Reading,
    Standing,
    settle,
)
from ttlock_agent.watch.verdict import Verdict

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
KNOWN = [verdict for verdict in Verdict if verdict is not Verdict.UNKNOWN]

facts = st.frozensets(st.sampled_from("abcd"), max_size=3)


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    """Readings in the order of time, but for a clock that jumps back now and then."""
    at, made = NOW, []
    for _ in range(draw(st.integers(0, 12))):
        at += timedelta(seconds=draw(st.integers(-60, 600)))
        made.append(
            Reading(
                verdict=draw(st.sampled_from(list(Verdict))),
                facts=draw(facts),
                at=at,
                is_conclusive=draw(st.booleans()) and draw(st.booleans()),
                hold=timedelta(seconds=draw(st.sampled_from([0, 180]))),
            )
        )
    return made


def settled(standing: Standing, steps: list[Reading]) -> Standing:
    for step in steps:
        standing = settle(standing, step)
    return standing


def standing(verdict: Verdict) -> Standing:
    return Standing(verdict=verdict, since=NOW, confirmed_at=NOW)


@given(verdict=st.sampled_from(KNOWN), steps=readings())
def test_a_known_verdict_is_replaced_only_by_what_its_facts_allow(
    verdict: Verdict, steps: list[Reading]
) -> None:
    before = standing(verdict)
    for step in steps:
        after = settle(before, step)
        if after.verdict is not before.verdict:
            assert step.facts, "nothing changes for no reason"
            assert after.verdict is step.verdict
            if before.verdict is not Verdict.UNKNOWN and not step.is_conclusive:
                assert len(after.by) >= FACTS_NEEDED
            assert after.since == step.at
            assert after.candidate is None
        before = after


@given(verdict=st.sampled_from(KNOWN), steps=readings())
def test_judging_the_same_again_changes_nothing(verdict: Verdict, steps: list[Reading]) -> None:
    before = standing(verdict)
    for step in steps:
        before = settle(before, step)
        again = settle(before, step)
        assert again.verdict is before.verdict
        assert again.candidate == before.candidate


@given(
    verdict=st.sampled_from(KNOWN),
    other=st.sampled_from(KNOWN),
    steps=readings(),
)
def test_one_hiccup_changes_nothing(verdict: Verdict, other: Verdict, steps: list[Reading]) -> None:
    before = settled(standing(verdict), steps)
    if before.verdict in (other, Verdict.UNKNOWN):
        return
    last = steps[-1].at if steps else NOW
    calm = Reading(verdict=before.verdict, facts=frozenset({"calm"}), at=last)
    hiccup = Reading(verdict=other, facts=frozenset({"new"}), at=last)
    after = settled(before, [calm, hiccup, calm])
    assert after.verdict is before.verdict
    assert after.candidate is None


@given(verdict=st.sampled_from(KNOWN), other=st.sampled_from(KNOWN), steps=readings())
def test_two_facts_far_enough_apart_do_change_it(
    verdict: Verdict, other: Verdict, steps: list[Reading]
) -> None:
    before = settled(standing(verdict), steps)
    last = max([NOW, *(step.at for step in steps)])
    hold = timedelta(seconds=180)
    first = Reading(verdict=other, facts=frozenset({"one"}), at=last, hold=hold)
    second = Reading(verdict=other, facts=frozenset({"two"}), at=last + hold, hold=hold)
    assert settled(before, [first, second]).verdict is other


def test_two_looks_within_the_grace_time_are_one_hiccup() -> None:
    hold = timedelta(seconds=180)
    looks = [
        Reading(
            verdict=Verdict.OFFLINE,
            facts=frozenset({f"look {number}"}),
            at=NOW + timedelta(seconds=60 * number),
            hold=hold,
        )
        for number in range(4)
    ]
    verdicts = [
        settled(standing(Verdict.HEALTHY), looks[: number + 1]).verdict for number in range(4)
    ]
    assert verdicts == [Verdict.HEALTHY] * 3 + [Verdict.OFFLINE]


def test_what_nothing_confirms_is_forgotten() -> None:
    silence = Reading(verdict=Verdict.UNKNOWN, facts=frozenset(), at=NOW + FORGOTTEN_AFTER)
    before = standing(Verdict.CONNECTED_NOT_DELIVERING)
    assert settle(before, silence) == before
    later = msgspec.structs.replace(before, confirmed_at=NOW - timedelta(seconds=1))
    assert settle(later, silence) == Standing()


@given(verdict=st.sampled_from(KNOWN), steps=readings())
def test_what_stands_survives_the_journal(verdict: Verdict, steps: list[Reading]) -> None:
    before = settled(standing(verdict), steps)
    assert msgspec.json.decode(msgspec.json.encode(before), type=Standing) == before

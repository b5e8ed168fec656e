"""Each decided disagreement points at code that exists, each quirk at the decision it reverses."""

import dataclasses
import importlib
from operator import attrgetter

import msgspec
import pytest

from ttlock_agent.config.locks import QuirksConfig
from ttlock_protocol.disagreements import DISAGREEMENTS, Disagreement
from ttlock_protocol.quirks import NO_QUIRKS, Quirks

ONLY_HARDWARE_KNOWS = {6, 7, 19, 21, 26}
"""What the reference itself lists as such (10.2)."""


def test_all_44_are_there_in_order() -> None:
    assert [each.number for each in DISAGREEMENTS] == list(range(1, 45))


@pytest.mark.parametrize("row", DISAGREEMENTS, ids=lambda each: f"D{each.number}")
def test_decision_is_in_the_code(row: Disagreement) -> None:
    module, _, name = row.where.partition(":")
    assert attrgetter(name)(importlib.import_module(f"ttlock_protocol.{module}")) is not None
    assert row.topic
    assert row.decision


def test_what_only_hardware_can_settle_is_a_setting() -> None:
    settled_by_hardware = {each.number for each in DISAGREEMENTS if each.needs_hardware}
    assert settled_by_hardware >= ONLY_HARDWARE_KNOWS


def test_each_quirk_reverses_one_decision() -> None:
    named = [each.quirk for each in DISAGREEMENTS if each.quirk is not None]
    assert sorted(named) == sorted(each.name for each in dataclasses.fields(Quirks))


def test_each_quirk_can_be_configured_and_has_the_same_default() -> None:
    configured = msgspec.structs.asdict(QuirksConfig())
    configured["client_token"] = configured["client_token"].encode()
    assert configured == dataclasses.asdict(NO_QUIRKS)


def test_default_quirks_are_those_of_an_ordinary_lock() -> None:
    assert Quirks() == NO_QUIRKS
    switched_on = [name for name, value in dataclasses.asdict(NO_QUIRKS).items() if value is True]
    assert switched_on == ["mirrors_header"]
    assert NO_QUIRKS.client_token == b"SCIENER"

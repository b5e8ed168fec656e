"""The suite finds every broken lock, is green on a good one, and learns each quirk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from ttlock_agent.clock import Clock
from ttlock_agent.config import Config
from ttlock_agent.hil import site
from ttlock_agent.hil.catalogue import choose
from ttlock_agent.hil.model import Group, Verdict
from ttlock_agent.hil.questions import UNASKED
from ttlock_agent.link import Link, LinkFactory, Sighting
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.link.start import link_factory
from ttlock_protocol.message import requests
from ttlock_protocol.quirks import Quirks
from ttlock_protocol.virtual.memory import Habits

from .bench import JOBS, SLOW, Outcome, examine, find_all, learn_all, lock_to_test, table
from .locks import BROKEN, EXEMPT, QUIRKY, VERIFIED, Quirky

WIPE = choose(only=("wipe.backup", "wipe.reset", "wipe.enrol", "wipe.restore"), is_destructive=True)


def test_every_command_class_has_its_fault_or_a_reason() -> None:
    known = {kind for kinds in requests().values() for kind in kinds}
    broken = {each.request for each in BROKEN if each.request is not None}
    assert broken | set(EXEMPT) == known
    assert not broken & set(EXEMPT)


@pytest.mark.timeout(900)
def test_every_fault_turns_its_named_check_red(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = find_all(BROKEN, JOBS)
    lines = table(outcomes, BROKEN)
    with capsys.disabled():
        print("", *lines, sep="\n")
    escaped = {
        each.name: outcomes[each.name].reasons.get(each.finds, "was not run")
        for each in BROKEN
        if outcomes[each.name].verdicts.get(each.finds) is not Verdict.FAILED
    }
    assert escaped == {}


@pytest.fixture(scope="module")
def stubborn() -> dict[str, Outcome]:
    return learn_all(JOBS)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("quirky", QUIRKY, ids=lambda each: each.name)
def test_a_stubborn_lock_is_green_and_its_quirk_is_found(
    stubborn: dict[str, Outcome], quirky: Quirky
) -> None:
    outcome = stubborn[quirky.name]
    assert {name: outcome.reasons[name] for name in outcome.red} == {}
    assert outcome.quirks == quirky.quirks | VERIFIED


@pytest.mark.parametrize("quirky", QUIRKY[1:], ids=lambda each: each.name)
def test_the_quirks_that_were_found_are_all_that_it_needs(quirky: Quirky) -> None:
    checks = choose(only=(Group.CONTACT.value, "bolt.*", "log.read", "passcode.add"))
    checks = tuple(each for each in checks if each.name not in SLOW)
    outcome = examine(replace(lock_to_test(), habits=quirky.habits), checks, quirks=quirky.quirks)
    assert outcome.red == []
    assert outcome.quirks.items() <= quirky.quirks.items(), "nothing more is left to be learnt"


@pytest.mark.timeout(420)
def test_a_white_label_lock_is_enrolled_with_its_vendors_token() -> None:
    other = replace(lock_to_test(is_special=False), habits=Habits(client_token=b"OTHER"))
    refused = examine(other, WIPE)
    assert "wipe.enrol" in refused.red
    assert "client_token_refused" in refused.reasons["wipe.enrol"]
    taken = examine(other, WIPE, quirks={"client_token": "OTHER"})
    assert {name: taken.reasons[name] for name in taken.red} == {}


def test_a_lock_that_hears_acknowledged_writes_only_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(site, "link_factory", _deaf_links)
    checks = choose(only=(Group.CONTACT.value, "probe.writes", "state.read"))
    outcome = examine(lock_to_test(), checks, response_timeout_s=1)
    assert {name: outcome.reasons[name] for name in outcome.red} == {}
    assert outcome.quirks == {"writes_with_response": True}


def test_every_quirk_is_some_lock_of_these_tests() -> None:
    named = {name for each in QUIRKY for name in each.quirks} | set(VERIFIED)
    assert named | {"client_token", "writes_with_response"} == set(Quirks.__slots__)


def test_every_disagreement_is_asked_or_says_why_not() -> None:
    asked = {number for check in choose(is_destructive=True) for number in check.answers}
    assert asked | set(UNASKED) == set(range(1, 45))


def _deaf_links(config: Config, clock: Clock, adapters: Adapters) -> LinkFactory:
    """Let the lock hear nothing that is not acknowledged (D38)."""
    links = link_factory(config, clock, adapters)
    return links if config.locks[0].quirks.writes_with_response else _DeafLinks(links)


class _DeafLinks:
    def __init__(self, links: LinkFactory) -> None:
        self._links = links

    async def connect(self, address: str, *, timeout_s: float) -> Link:
        return _DeafLink(await self._links.connect(address, timeout_s=timeout_s))

    def sightings(self) -> AsyncIterator[Sighting]:
        return self._links.sightings()


class _DeafLink:
    def __init__(self, link: Any) -> None:
        self._link = link
        self.manufacturer_data = link.manufacturer_data
        self.read, self.close = link.read, link.close

    async def write(self, chunk: bytes) -> None:
        pass

"""Interlocks, the run's book, hands at the terminal, plots: the parts of the technician's suite."""

from __future__ import annotations

import io
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ttlock_agent.errors import ConfigError, InterlockOpen, VaultError
from ttlock_agent.hil.book import Acknowledged, Book, Broken, Kept, Promised
from ttlock_agent.hil.catalogue import CHECKS, choose
from ttlock_agent.hil.hands import AtTerminal, Nobody, PersonsHands
from ttlock_agent.hil.interlocks import Interlocks
from ttlock_agent.hil.model import CheckSkipped, Limits, Need
from ttlock_agent.hil.questions import as_yaml
from ttlock_agent.hil.report.plots import Dot, scatter
from ttlock_agent.hil.undo import open_requests, seal_requests
from ttlock_agent.vault import KeySource, MasterKey, Vault
from ttlock_protocol.messages.passcodes import DeletePasscode


class Watch:
    def __init__(self) -> None:
        self.at_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=self.at_s)

    def monotonic(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


def at_terminal(*answers: str) -> AtTerminal:
    return AtTerminal(io.StringIO("".join(f"{each}\n" for each in answers)), io.StringIO())


class Door:
    """A real lock's interlocks, with somebody who gives these answers."""

    def __init__(self, tmp_path: Path, *answers: str, is_attended: bool = True) -> None:
        self.watch = Watch()
        self.book = Book.create(tmp_path, self.watch)
        person = at_terminal(*answers) if is_attended else Nobody(io.StringIO())
        self.interlocks = Interlocks(self.book, self.watch, person, Limits(), is_virtual=False)

    @property
    def closed(self) -> list[str]:
        return [each.interlock for each in self.book.all(Acknowledged)]


def vault(byte: int = 1) -> Vault:
    return Vault(MasterKey(value=bytes([byte]) * 32, source=KeySource.FILE))


async def test_the_lock_must_be_named_twice(tmp_path: Path) -> None:
    door = Door(tmp_path, "front-door")
    await door.interlocks.is_the_lock("front-door", None)
    assert door.closed == ["lock"]


@pytest.mark.parametrize("typed", ["back-door", "", "Front-door"])
async def test_another_name_stops_the_run(tmp_path: Path, typed: str) -> None:
    door = Door(tmp_path, typed)
    with pytest.raises(InterlockOpen):
        await door.interlocks.is_the_lock("front-door", None)
    assert door.closed == []


async def test_unattended_the_name_must_be_given_twice_too(tmp_path: Path) -> None:
    door = Door(tmp_path, is_attended=False)
    with pytest.raises(InterlockOpen):
        await door.interlocks.is_the_lock("front-door", None)
    await door.interlocks.is_the_lock("front-door", "front-door")


@pytest.mark.parametrize(
    ("typed", "is_right"), [("11:22:33", True), ("a1b2c3", False), ("", False)]
)
async def test_a_wipe_wants_the_address(tmp_path: Path, typed: str, is_right: bool) -> None:
    door = Door(tmp_path, typed)
    if is_right:
        await door.interlocks.may_wipe("112233", None)
        assert door.closed == ["destructive"]
    else:
        with pytest.raises(InterlockOpen):
            await door.interlocks.may_wipe("112233", None)


async def test_a_word_that_the_door_is_open_does_not_last(tmp_path: Path) -> None:
    door = Door(tmp_path, "y", "n")
    await door.interlocks.door_is_open()
    door.watch.at_s += 899
    await door.interlocks.door_is_open()
    door.watch.at_s += 2
    with pytest.raises(CheckSkipped):
        await door.interlocks.door_is_open()
    assert door.closed == ["door_open"]


async def test_nobody_there_nothing_moves(tmp_path: Path) -> None:
    door = Door(tmp_path, is_attended=False)
    with pytest.raises(CheckSkipped, match="door-open"):
        await door.interlocks.door_is_open()
    door.interlocks.door_was_declared_open()
    await door.interlocks.door_is_open()
    door.watch.at_s += 901
    with pytest.raises(CheckSkipped, match="expired"):
        await door.interlocks.door_is_open()


def test_too_little_power_or_signal_stops_the_run(tmp_path: Path) -> None:
    door = Door(tmp_path)
    for stops in (
        lambda: door.interlocks.has_power(29),
        lambda: door.interlocks.is_heard(-86),
    ):
        with pytest.raises(InterlockOpen):
            stops()
    door.interlocks.has_power(30)
    door.interlocks.is_heard(-85)
    assert door.closed == ["battery", "signal"]


def test_a_line_that_a_power_cut_tore_is_dropped(tmp_path: Path) -> None:
    watch = Watch()
    book = Book.create(tmp_path, watch)
    book.write(Kept(at=book.now(), promise=1))
    with (tmp_path / "run.jsonl").open("ab") as file:
        file.write(b'{"type":"kept","at":"2026-11-2')
    again = Book.read(tmp_path, watch)
    assert again.entries == book.entries
    again.write(Kept(at=book.now(), promise=2))
    assert len(Book.read(tmp_path, watch).entries) == 2


def test_a_book_that_was_damaged_by_hand_is_named(tmp_path: Path) -> None:
    Book.create(tmp_path, Watch())
    (tmp_path / "run.jsonl").write_text('{"type":"nonsense"}\n')
    with pytest.raises(ConfigError, match="line 1"):
        Book.read(tmp_path, Watch())
    with pytest.raises(ConfigError, match="already"):
        Book.create(tmp_path, Watch())


def test_a_run_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Book.create(tmp_path / "run", Watch())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "run" / "run.jsonl").stat().st_mode) == 0o600


def test_promises_are_kept_newest_first_and_sealed(tmp_path: Path) -> None:
    book = Book.create(tmp_path, Watch())
    requests = [DeletePasscode(passcode="971234567")]
    for number in (1, 2, 3):
        sealed = seal_requests(vault(), requests)
        promised = Promised(at=book.now(), promise=number, what="a test passcode", sealed=sealed)
        book.write(promised)
    book.write(Kept(at=book.now(), promise=2))
    book.write(Broken(at=book.now(), promise=3, reason="out of range"))
    again = Book.read(tmp_path, Watch())
    assert [each.promise for each in again.open_promises()] == [3, 1]
    assert open_requests(vault(), again.open_promises()[0].sealed) == requests
    with pytest.raises(VaultError):
        open_requests(vault(2), again.open_promises()[0].sealed)
    assert b"971234567" not in (tmp_path / "run.jsonl").read_bytes()


async def test_a_person_is_told_digits_in_groups_and_asked_in_words() -> None:
    out = io.StringIO()
    hands = PersonsHands(AtTerminal(io.StringIO("\nmaybe\nyes\n"), out))
    await hands.type_code("971234567")
    assert await hands.has_opened()
    assert "971 234 567" in out.getvalue()
    with pytest.raises(CheckSkipped):
        await hands.touch()


def test_check_names_are_unique_and_each_group_can_be_chosen() -> None:
    names = [each.name for each in CHECKS]
    assert len(set(names)) == len(names)
    chosen = {each.name for each in choose(only=("passcode.*",), without=("passcode.twice",))}
    assert {"contact.find", "passcode.add", "leftovers.none"} <= chosen
    assert not chosen & {"passcode.twice", "card.add"}
    assert not [each for each in choose() if Need.DESTRUCTIVE in each.needs]
    with pytest.raises(ConfigError):
        choose(only=("passcodes.*",))


@pytest.mark.parametrize(
    "values",
    [[0.0], [5.0, 5.0], [-91.0, -62.0], [0.001, 0.002], [1e-6, 3e5], [0.0, 100.0]],
)
def test_every_dot_is_inside_its_plot(values: list[float]) -> None:
    dots = [Dot(float(at), value) for at, value in enumerate(values)]
    drawn = scatter("A < B", dots, x_label="x", y_label="y")
    places = re.findall(r'cx="([-.\d]+)" cy="([-.\d]+)"', drawn)
    assert len(places) == len(values)
    for x, y in places:
        assert 46 <= float(x) <= 330
        assert 26 <= float(y) <= 156
    assert "A &lt; B" in drawn
    assert 2 <= drawn.count('class="grid"') <= 12


def test_a_plot_of_nothing_is_nothing() -> None:
    assert scatter("t", [], x_label="x", y_label="y") == ""


def test_quirks_are_lines_for_the_configuration() -> None:
    assert as_yaml("front-door", {}) == ""
    told = as_yaml("front-door", {"says_hello_first": True, "client_token": "A: b"})
    assert told.splitlines()[0:3] == ["locks:", "  - id: front-door", "    quirks:"]
    assert "      says_hello_first: true" in told

"""The field's way through the suite: a person at terminal and lock, asked for each thing."""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_site import LOCK, Site, empty_site, house_lock
from ttlock_agent.clock import SystemClock
from ttlock_agent.hil import hands, session
from ttlock_agent.hil.book import Acknowledged, Book
from ttlock_agent.hil.catalogue import choose
from ttlock_agent.hil.model import BENCH_PACE, CheckSkipped, Group, Verdict
from ttlock_agent.hil.session import Options, open_session
from ttlock_agent.hil.site import Site as LockSite
from ttlock_agent.virtual_lock.control import VirtualLockControl
from virtual_helpers import MAC

SKIPPED_HERE = {"gateway.slot", "remote.read", "remote.press", "hotel.read", "device.signal"}


class Technician:
    """Does at the lock what the terminal asks for, and says what happened."""

    is_there = True

    def __init__(self, socket: Path) -> None:
        self.asked: list[str] = []
        self._socket = socket
        self._has_opened = False

    def say(self, text: str) -> None:
        if "finger" in text:
            self.asked.append(text)
            self._finger = asyncio.create_task(self._lay_finger())

    async def ask(self, question: str) -> str:
        self.asked.append(question)
        if "vendor's app" in question:
            raise CheckSkipped("there is no app here")
        async with VirtualLockControl(self._socket) as lock:
            if typed := re.search(r"Type +([0-9 ]+) and #", question):
                digits = typed.group(1).replace(" ", "")
                self._has_opened = (await lock.type_code(digits)).is_opened
            elif "Touch" in question:
                await lock.touch()
            elif "card" in question:
                await lock.present_card(bytes.fromhex("0badcafe"))
        return LOCK

    async def agrees(self, question: str) -> bool:
        self.asked.append(question)
        if "open?" in question and "bolt" not in question:
            return self._has_opened
        return "bolt will move" in question or "that this lock does not know" in question

    async def _lay_finger(self) -> None:
        async with VirtualLockControl(self._socket) as lock:
            for _ in range(4):
                await lock.present_finger(bytes.fromhex("0badcafe0001"))
                await asyncio.sleep(0.05)


@pytest.fixture
def site() -> Iterator[Site]:
    memory = house_lock()
    with empty_site(lock=replace(memory, settings=replace(memory.settings, auto_lock_s=1))) as made:
        made.start_lock()
        made.furnish()
        yield made


@pytest.mark.timeout(420)
async def test_a_person_is_led_through_the_whole_suite(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LockSite, "is_virtual", False)
    monkeypatch.setattr(session, "FIELD_PACE", replace(BENCH_PACE, person_s=4.0))
    monkeypatch.setattr(session, "VirtualHands", lambda _: hands.PersonsHands(technician))
    technician = Technician(site.lock_socket)
    clock = SystemClock()
    book = Book.create(site.directory / "run", clock)
    checks = choose(without=("soak.deliveries", "power.cut"))
    async with open_session(
        Options(lock=LOCK, config=site.config_file),
        book,
        checks=checks,
        person=technician,
        clock=clock,
        randbelow=secrets.randbelow,
    ) as opened:
        await opened.run(checks)
    verdicts = book.verdicts()
    red = {name: each.reason for name, each in verdicts.items() if each.verdict is Verdict.FAILED}
    assert red == {"device.mac": f"It calls itself {MAC}."}, "it is virtual after all"
    skipped = {name for name, each in verdicts.items() if each.verdict is Verdict.SKIPPED}
    assert skipped == SKIPPED_HERE
    said = " ".join(technician.asked)
    for words in ("type the lock's id again", "stand open", "Type  97", "Touch", "card", "finger"):
        assert words in said
    assert "its id was typed again" in [each.how for each in book.all(Acknowledged)]
    assert any(each.group is Group.DOOR for each in checks)


def test_ctrl_c_at_a_question_ends_the_run_at_once() -> None:
    """A thread that waits for the person must not keep the process."""
    program = (
        "import asyncio, sys\n"
        "from ttlock_agent.hil.hands import AtTerminal\n"
        "async def main():\n"
        "    asking = asyncio.create_task(AtTerminal().ask('Well?'))\n"
        "    await asyncio.sleep(0.2)\n"
        "    asking.cancel()\n"
        "    await asyncio.wait([asking])\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()

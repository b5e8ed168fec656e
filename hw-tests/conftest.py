"""One session of the suite for all files here: the options, the lock, its verdicts.

Each test asks :mod:`ttlock_agent.hil` to carry out one check and takes over its verdict. What a
technician runs is ``ttlock-agent hil run``; these files are for those who work on the suite.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.hil.book import Book
from ttlock_agent.hil.catalogue import CHECKS, choose
from ttlock_agent.hil.hands import AtTerminal, Nobody
from ttlock_agent.hil.model import Check, Group, Need, Verdict
from ttlock_agent.hil.report import write_report
from ttlock_agent.hil.session import Options, Session, open_session

Judge = Callable[[Check], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lock", "the lock under test")
    group.addoption("--lock", help="id in the configuration, or virtual:NAME to make one up")
    group.addoption("--config", type=Path, default=Path("/etc/ttlock-agent/agent.yaml"))
    group.addoption("--run", type=Path, help="keep the run's book and report here")
    group.addoption("--ask", action="store_true", help="somebody sits at the terminal (with -s)")
    group.addoption("--door-open", action="store_true", help="the door stands open")
    group.addoption("--destructive", action="store_true", help="also wipe and restore the lock")
    group.addoption("--mac-digits", help="last six digits of the lock's address")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the checks of the groups that its file is about."""
    groups: tuple[Group, ...] = getattr(metafunc.module, "GROUPS", ())
    if "check" in metafunc.fixturenames:
        checks = [each for each in CHECKS if each.group in groups]
        metafunc.parametrize("check", checks, ids=[each.name for each in checks])


@pytest.fixture(scope="session")
def judge(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Judge]:
    """Carry out a check; fails or skips with its reason."""
    option = request.config.getoption
    lock = option("--lock")
    if not lock:
        pytest.skip("no lock was named; add --lock ID, or --lock virtual:NAME")
    checks = choose(is_destructive=option("--destructive"))
    directory = option("--run") or tmp_path_factory.mktemp("hil")
    with asyncio.Runner() as runner:
        book = Book.create(directory, SystemClock())
        opening = open_session(
            Options(
                lock=lock,
                config=option("--config"),
                confirmed=lock,
                mac_digits=option("--mac-digits"),
                is_door_open=option("--door-open"),
            ),
            book,
            checks=checks,
            person=AtTerminal() if option("--ask") else Nobody(),
            clock=SystemClock(),
            randbelow=secrets.randbelow,
        )
        session: Session = runner.run(opening.__aenter__())
        for check in checks:
            if check.group is Group.CONTACT:
                runner.run(session.judge(check))

        def judge(check: Check) -> None:
            if Need.DESTRUCTIVE in check.needs and not option("--destructive"):
                pytest.skip("nothing is wiped without --destructive")
            known = book.verdicts().get(check.name)
            ended = known or runner.run(session.judge(check))
            if ended.verdict is Verdict.SKIPPED:
                pytest.skip(ended.reason)
            assert ended.verdict is Verdict.PASSED, f"{check.title} {ended.reason}"

        yield judge
        session.close()
        runner.run(opening.__aexit__(None, None, None))
        write_report(book)

"""The tests for real locks, run against a virtual one as a technician would run them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_site import LOCK, Site, running_site

HW_TESTS = Path(__file__).parents[2] / "hw-tests"


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as made:
        yield made


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HW_TESTS)]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=50, check=False
    )


def test_all_pass_on_a_good_lock_and_leave_nothing_behind(site: Site) -> None:
    before = site.digits()
    done = run("--lock", LOCK, "--socket", str(site.control_socket), "--allow-changes")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout
    assert site.digits() == before


def test_nothing_is_written_unasked(site: Site) -> None:
    done = run("--lock", LOCK, "--socket", str(site.control_socket))
    assert "5 passed, 1 skipped" in done.stdout


def test_without_a_lock_all_is_skipped() -> None:
    done = run()
    assert done.returncode == 0, done.stdout
    assert "6 skipped" in done.stdout

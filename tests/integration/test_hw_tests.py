"""The tests for real locks, run against a virtual one as a developer would run them."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

HW_TESTS = Path(__file__).parents[2] / "hw-tests"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HW_TESTS)]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=400, check=False
    )


@pytest.mark.timeout(420)
def test_the_thin_files_cover_the_whole_suite(tmp_path: Path) -> None:
    # What waits and kills is played by test_hil_command.py.
    options = ("--deselect", "hw-tests/test_endurance.py")
    done = run("--lock", "virtual:front-door", "--run", str(tmp_path), *options)
    assert done.returncode == 0, done.stdout
    assert " failed" not in done.stdout
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert suite.get("failures") == "0"


def test_without_a_lock_all_is_skipped() -> None:
    done = run()
    assert done.returncode == 0, done.stdout
    assert "skipped" in done.stdout
    assert "passed" not in done.stdout

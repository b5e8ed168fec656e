"""Exit codes of the command itself: those of sysexits, also where click would have its own."""

import subprocess
import sys

import pytest

from ttlock_agent.errors import EX_OK, EX_UNAVAILABLE, EX_USAGE


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["--version"], EX_OK),
        (["status", "--help"], EX_OK),
        (["frobnicate"], EX_USAGE),
        (["status", "--frobnicate"], EX_USAGE),
        (["demo", "--keep", "/proc/nowhere"], EX_USAGE),
        (["status", "--socket", "/nowhere"], EX_UNAVAILABLE),
    ],
)
def test_exit_code(arguments: list[str], exit_code: int) -> None:
    command = [sys.executable, "-m", "ttlock_agent", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == exit_code
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) is (exit_code != EX_OK)

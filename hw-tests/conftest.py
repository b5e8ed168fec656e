"""The lock under test: reached through the running agent, like everything a user does."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Failure, Result

Ask = Callable[..., dict[str, Any]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lock", "the lock under test")
    group.addoption("--lock", help="id of the lock in the running agent's configuration")
    group.addoption(
        "--socket",
        type=Path,
        default=Path("/run/ttlock-agent/control.sock"),
        help="control socket of the running agent",
    )
    group.addoption(
        "--allow-changes",
        action="store_true",
        help="also write one random passcode into the lock, and remove it again",
    )


@pytest.fixture
def lock(request: pytest.FixtureRequest) -> str:
    name = request.config.getoption("--lock")
    if not name:
        pytest.skip("no lock was named; add --lock ID")
    return str(name)


@pytest.fixture
def changes(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--allow-changes"):
        pytest.skip("nothing is written without --allow-changes")


@pytest.fixture
def ask(request: pytest.FixtureRequest, lock: str) -> Ask:
    """Ask the agent for one verb on the lock and return the final answer."""
    socket: Path = request.config.getoption("--socket")

    def ask(verb: str, **params: Any) -> dict[str, Any]:
        body = {"id": f"hw-{secrets.token_hex(8)}", "lock": lock, **params}
        *_, last = call(socket, verb, body)
        assert not isinstance(last, Failure), f"{last.message} {last.hint}"
        assert isinstance(last, Result), "the agent hung up without an answer"
        assert last.body["status"] == "done", last.body.get("error")
        return last.body

    return ask

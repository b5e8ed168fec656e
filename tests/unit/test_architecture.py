"""Who may import whom, what every error carries, and how large a module gets.

The directions are those of the handbook: cli, control socket, app, then MQTT, jobs, locks and
links; the protocol knows none of them.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import ttlock_agent
import ttlock_protocol
from ttlock_agent import errors
from ttlock_agent.errors import AgentError

AGENT = Path(ttlock_agent.__file__).parent
PROTOCOL = Path(ttlock_protocol.__file__).parent
MAX_LINES = 410
EXIT_CODES = {
    errors.EX_REJECTED, errors.EX_UNAVAILABLE, errors.EX_SOFTWARE, errors.EX_TRY_LATER,
    errors.EX_NO_PERMISSION, errors.EX_CONFIG, errors.EX_USAGE,
}  # fmt: skip

UPWARDS = {"cli", "demo", "app", "service", "control", "fakes"}
"""What only those above may know."""
FENCES: dict[str, set[str]] = {
    "link": UPWARDS | {"jobs", "mqtt", "watch", "lock", "cloud", "requests", "backup"},
    "lock": UPWARDS | {"jobs", "mqtt", "watch", "cloud", "requests", "backup"},
    "jobs": UPWARDS | {"watch", "cloud", "config"},
    "requests": UPWARDS | {"jobs", "lock", "link", "mqtt", "watch", "cloud"},
    "mqtt": UPWARDS | {"jobs", "lock", "link", "watch", "cloud", "requests"},
    "cloud": UPWARDS | {"jobs", "lock", "link", "mqtt", "watch", "requests"},
    "watch": UPWARDS - {"demo"} | {"cli", "demo", "lock", "link"},
    "diagnose": UPWARDS | {"support"},
    "support": {"cli", "demo", "app", "service", "fakes", "mqtt", "cloud"},
    "control": {"cli", "demo", "app", "service", "jobs", "lock", "link", "mqtt", "watch", "cloud"},
    "config": UPWARDS | {"jobs", "lock", "link", "mqtt", "watch", "cloud", "requests"},
    "hil": {"cli", "demo", "app", "service", "fakes", "mqtt", "watch", "cloud"},
    "virtual_lock": UPWARDS | {"jobs", "lock", "mqtt", "watch", "cloud", "requests"},
}
"""Packages of the agent, and what of the agent they must not import."""


def modules(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*.py")) if "__pycache__" not in path.parts)


def imports(path: Path) -> set[str]:
    """Absolute names of all that a module imports, wherever it does."""
    package = [AGENT.name, *path.relative_to(AGENT).parent.parts] if AGENT in path.parents else []
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) - node.level + 1], node.module or ""])
            name = base.rstrip(".") if node.level else node.module or ""
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found


def part(name: str) -> str | None:
    """Which part of the agent a module is of."""
    parts = name.split(".")
    return parts[1] if parts[0] == "ttlock_agent" and len(parts) > 1 else None


@pytest.mark.parametrize("package", FENCES)
def test_nobody_looks_upwards(package: str) -> None:
    assert (AGENT / package).is_dir(), "the fences name a package that is no more"
    trespasses = [
        f"{path.relative_to(AGENT)} imports {name}"
        for path in modules(AGENT / package)
        for name in imports(path)
        if part(name) in FENCES[package]
    ]
    assert trespasses == []


def test_the_protocol_knows_nothing_of_the_agent() -> None:
    assert [path.name for path in modules(PROTOCOL) if any(map(part, imports(path)))] == []


def test_only_the_command_line_and_the_demo_know_the_command_line() -> None:
    knowing = {
        path.relative_to(AGENT).parts[0]
        for path in modules(AGENT)
        if "cli" in map(part, imports(path)) or "click" in imports(path)
    }
    assert knowing <= {"cli", "demo", "__main__.py"}


def test_only_tests_and_the_demo_know_the_fakes() -> None:
    knowing = {
        path.relative_to(AGENT).parts[0]
        for path in modules(AGENT)
        if "fakes" in map(part, imports(path))
    }
    assert knowing <= {"fakes", "demo"}


def test_time_limits_are_those_that_hold_in_every_python() -> None:
    users = {path.name for path in modules(AGENT) if "asyncio.timeout(" in path.read_text()}
    assert users == {"limits.py"}, "use ttlock_agent.limits.time_limit"


@pytest.mark.parametrize("root", [AGENT, PROTOCOL], ids=lambda root: root.name)
def test_modules_stay_small(root: Path) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in modules(root)}
    assert {str(path): count for path, count in lengths.items() if count > MAX_LINES} == {}


def agent_errors() -> list[type[AgentError]]:
    """Every error of the agent, wherever it is defined."""
    for module in walk_packages([str(AGENT)], "ttlock_agent."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    found: list[type[AgentError]] = [AgentError]
    for kind in found:
        found += kind.__subclasses__()
    return list(dict.fromkeys(found))


def test_every_error_has_a_name_an_exit_code_and_a_next_step() -> None:
    codes: dict[str, str] = {}
    for kind in agent_errors():
        assert kind.exit_code in EXIT_CODES, kind
        assert len(kind.hint) > 10, kind
        assert kind.hint.endswith((".", ")")), kind
        assert kind.__doc__, kind
        assert isinstance(kind.retryable, bool), kind
        if "code" in vars(kind):
            assert kind.code, kind
            assert codes.setdefault(kind.code, kind.__name__) == kind.__name__, kind
    assert len(codes) > 20


def test_a_daemon_loads_neither_radio_nor_http_before_it_needs_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, ttlock_agent.app; print(*sys.modules)"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "ttlock_agent" in loaded
    assert loaded & {"bleak", "aiohttp", "amqtt", "dbus_fast", "click"} == set()

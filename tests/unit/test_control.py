"""The control socket: one call, some progress, one answer; and all that can go wrong with it."""

import asyncio
import json
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Call, Failure, Line, Progress, Result
from ttlock_agent.control.server import MAX_PATH_BYTES, serve_control
from ttlock_agent.errors import (
    EX_CONFIG,
    EX_NO_PERMISSION,
    EX_REJECTED,
    EX_SOFTWARE,
    EX_UNAVAILABLE,
    EX_USAGE,
    ConfigError,
    ControlForbidden,
    ControlUnavailable,
    JobRejected,
    Rejection,
)

Handler = Callable[[Call], AsyncIterator[Line]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


async def ask(
    path: Path, verb: str = "status", request: dict[str, Any] | None = None
) -> list[Line]:
    return await asyncio.to_thread(lambda: list(call(path, verb, request)))


async def echo(called: Call) -> AsyncIterator[Line]:
    yield Progress(body={"verb": called.verb})
    yield Result(body=json.loads(bytes(called.request)))


async def refuse(_called: Call) -> AsyncIterator[Line]:
    raise JobRejected("No.", reason=Rejection.INVALID, hint="Yes.")
    yield  # pragma: no cover - makes it a generator


async def break_down(_called: Call) -> AsyncIterator[Line]:
    yield Progress(body={})
    raise ZeroDivisionError("482913")


async def test_a_call_gets_its_lines_in_order(path: Path) -> None:
    async with serve_control(path, echo):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        for number in range(2):
            assert await ask(path, "clock.read", {"id": str(number)}) == [
                Progress(body={"verb": "clock.read"}),
                Result(body={"id": str(number)}),
            ]
    assert not path.exists()


async def test_a_refusal_comes_with_its_exit_code(path: Path) -> None:
    async with serve_control(path, refuse):
        assert await ask(path) == [
            Failure(code="invalid", message="No.", hint="Yes.", exit_code=EX_REJECTED)
        ]


async def test_a_defect_is_called_one_without_what_it_said(path: Path, log_guard: Any) -> None:
    log_guard.register("482913")
    async with serve_control(path, break_down):
        *_, last = await ask(path)
        assert isinstance(last, Failure)
        assert (last.code, last.exit_code) == ("internal", EX_SOFTWARE)
        assert "482913" not in str(last)
        assert len(await ask(path)) == 2  # it goes on serving


@pytest.mark.parametrize(
    "nonsense", [b"nonsense\n", b"\n", b"", b"[]\n", b'{"verb": 1}\n', b'{"verb": "x", "y": 1}\n']
)
async def test_nonsense_is_named(path: Path, nonsense: bytes) -> None:
    async with serve_control(path, echo):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(nonsense)
        writer.write_eof()
        answer = json.loads(await reader.readline())
        assert (answer["type"], answer["code"]) == ("failure", "malformed")
        assert answer["exit_code"] == EX_USAGE
        writer.close()


async def test_a_caller_that_leaves_costs_nobody_anything(path: Path) -> None:
    has_started, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(_called: Call) -> AsyncIterator[Line]:
        has_started.set()
        await may_go_on.wait()
        for _ in range(100):
            yield Progress(body={"much": "x" * 100_000})
        yield Result(body={})

    async with serve_control(path, slow):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"verb": "status"}\n')
        await has_started.wait()
        writer.transport.abort()
        may_go_on.set()
        assert isinstance((await ask(path))[-1], Result)


async def test_whoever_still_waits_at_the_end_is_hung_up_on(path: Path) -> None:
    is_cancelled = asyncio.Event()

    async def endless(_called: Call) -> AsyncIterator[Line]:
        yield Progress(body={})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            is_cancelled.set()
            raise

    async with serve_control(path, endless):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"verb": "status"}\n')
        assert await reader.readline()
    assert is_cancelled.is_set()
    assert await reader.read() == b""
    writer.close()


# Where it listens.


async def test_a_socket_that_is_left_over_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    async with serve_control(path, echo):
        assert len(await ask(path)) == 2


async def test_a_file_that_is_no_socket_is_never_removed(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("somebody's work")
    with pytest.raises(ConfigError) as error:
        async with serve_control(path, echo):
            pass
    assert str(path) in error.value.message
    assert path.read_text() == "somebody's work"


@pytest.mark.parametrize("place", ["too long", "below a file"])
async def test_a_path_that_cannot_be_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / ("x" * MAX_PATH_BYTES) if place == "too long" else tmp_path / "file" / "x"
    with pytest.raises(ConfigError) as error:
        async with serve_control(path, echo):
            pass
    assert error.value.exit_code == EX_CONFIG
    assert "control_socket" in error.value.hint


# The client's side.


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Somebody else's program behind the socket, which says one thing and hangs up."""
    listeners: list[socket.socket] = []

    def start(said: bytes) -> Path:
        listener = socket.socket(socket.AF_UNIX)
        listeners.append(listener)
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        return tmp_path / "s"

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\n", b'{"type":"result"}\n', b"{\n", b"\xff\n"])
def test_a_stranger_is_no_agent(stranger: Callable[[bytes], Path], said: bytes) -> None:
    with pytest.raises(ControlUnavailable):
        list(call(stranger(said), "status"))


def test_an_agent_that_hangs_up_says_nothing(stranger: Callable[[bytes], Path]) -> None:
    assert list(call(stranger(b""), "status")) == []


def test_no_agent_is_named(tmp_path: Path) -> None:
    with pytest.raises(ControlUnavailable) as error:
        list(call(tmp_path / "nobody", "status"))
    assert error.value.exit_code == EX_UNAVAILABLE


def test_a_denied_permission_is_another_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(_self: socket.socket, _path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(ControlForbidden) as error:
        list(call(tmp_path / "s", "status"))
    assert error.value.exit_code == EX_NO_PERMISSION
    assert "group" in error.value.hint

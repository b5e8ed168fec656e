"""Notification over a real datagram socket, and the journal's fields."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ttlock_agent import systemd
from ttlock_agent.systemd import Notifier

DEPLOY_README = Path(__file__).parents[2] / "deploy" / "README.md"
SEARCHED_FOR = [
    ("adapter_usable", "e634c0a72e265a1290be89cbc4f094d2"),
    ("adapter_unusable", "4f36afffeca458a7bb29279225fd9201"),
    ("adapter_recovery", "2a5ba5f4de735720a6dadd1cfc8624ef"),
    ("adapter_needs_operator", "84c8eeae230e5d2a96d4464d5ac98e21"),
    ("adapter_recovered", "a44adf427c985e0cac6408e9cc1e3445"),
]
"""Events and their MESSAGE_IDs, as the documentation has them."""


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@ttlock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0"))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield sock


def test_the_manager_hears_each_word(manager: socket.socket) -> None:
    notifier = Notifier.from_environment()
    heard = []
    for said in (
        notifier.ready(),
        notifier.status("two locks,\n3 jobs  waiting"),
        notifier.watchdog(),
        notifier.stopping(),
    ):
        assert said
        heard.append(manager.recv(256).decode())
    assert heard == ["READY=1", "STATUS=two locks, 3 jobs waiting", "WATCHDOG=1", "STOPPING=1"]


def test_nobody_to_notify_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not Notifier.from_environment().ready()
    assert not Notifier(str(tmp_path / "gone")).ready()


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        ("60000000", "", 20.0),
        ("60000000", str(os.getpid()), 20.0),
        ("60000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("nonsense", "", None),
    ],
)
def test_the_watchdog_is_petted_every_third_of_its_limit(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, interval_s: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert systemd.watchdog_interval_s() == interval_s


def test_the_journal_is_recognised_by_its_stream(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "stderr").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        stat = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        assert systemd.is_under_journal()
        monkeypatch.setenv("JOURNAL_STREAM", "1:1")
        assert not systemd.is_under_journal()
    assert not systemd.is_under_journal()


def test_without_package_and_journal_there_is_no_sender(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "systemd", None)
    monkeypatch.setattr(systemd, "_JOURNAL_SOCKET", str(tmp_path / "none"))
    assert systemd.journal_send() is None


def test_without_the_package_the_journal_gets_every_field_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "systemd", None)
    path = str(tmp_path / "journal")
    monkeypatch.setattr(systemd, "_JOURNAL_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        journal.settimeout(5)
        send = systemd.journal_send()
        assert send is not None
        send("two\nlines", PRIORITY="6", TTL_NAME="Tür=1")
        # Name, line feed, length as 64 bits, value, line feed.
        assert journal.recv(4096) == (
            b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n"
            b"PRIORITY\n\x01\0\0\0\0\0\0\x006\n"
            b"TTL_NAME\n\x06\0\0\0\0\0\0\0T\xc3\xbcr=1\n"
        )
    send("the journal is gone", PRIORITY="3")


def test_journal_fields_are_what_the_journal_accepts() -> None:
    fields = systemd.journal_fields(
        {"event": "job_done", "level": "info", "job-id": "j", "_x": 1, "n" * 100: 2}, priority=6
    )
    assert fields.pop("MESSAGE").startswith("job_done job-id=j")
    # Fixed for ever: operators search for it.
    assert fields.pop("MESSAGE_ID") == "a32f5b01b5fa51b291c4519be5c0f223"
    assert fields == {
        "PRIORITY": "6", "SYSLOG_IDENTIFIER": "ttlock-agent", "TTL_EVENT": "job_done",
        "TTL_JOB_ID": "j", "TTL__X": "1", ("TTL_" + "N" * 100)[:64]: "2",
    }  # fmt: skip


@pytest.mark.parametrize(("event", "message_id"), SEARCHED_FOR)
def test_what_operators_search_for_stays_what_it_is(event: str, message_id: str) -> None:
    assert systemd.journal_fields({"event": event}, priority=4)["MESSAGE_ID"] == message_id
    assert f"| `{event}` | `{message_id}` |" in DEPLOY_README.read_text("utf-8")


def test_free_text_of_other_libraries_has_no_message_id() -> None:
    assert "MESSAGE_ID" not in systemd.journal_fields({"event": "Lost it!"}, priority=4)

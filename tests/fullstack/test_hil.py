"""The technician's suite over each rig: what it does on a Pi, it does over BlueZ."""

from __future__ import annotations

import io
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.hil import session
from ttlock_agent.hil.book import Book, Connected
from ttlock_agent.hil.catalogue import choose
from ttlock_agent.hil.hands import Nobody
from ttlock_agent.hil.model import BENCH_PACE, Verdict
from ttlock_agent.hil.session import Options, open_session
from ttlock_agent.hil.site import Site
from ttlock_agent.vault import KeySource, MasterKey, Vault
from ttlock_protocol.keys import LockKeys

from .rigs import ZONE, Rig

BOXED = ("soak.deliveries", "power.cut")
"""They start an agent, which knows nothing of a rig."""


@pytest.mark.timeout(240)
async def test_a_good_lock_is_green(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def open_rig(*_: object, **__: Any) -> AsyncIterator[Site]:
        async def keep_keys(_: LockKeys) -> None:
            raise AssertionError("no lock is wiped here")

        yield Site(
            lock="front-door",
            name="front-door",
            zone=ZONE.key,
            profile=rig.profile,
            vault=Vault(MasterKey(value=bytes(32), source=KeySource.FILE)),
            links=lambda _: rig.factory,
            keep_keys=keep_keys,
            controls=None,
        )

    monkeypatch.setattr(session, "open_site", open_rig)
    monkeypatch.setattr(session, "FIELD_PACE", BENCH_PACE)
    memory = rig.lock.memory
    rig.lock._body.memory = replace(memory, settings=replace(memory.settings, auto_lock_s=1))
    checks = choose(without=BOXED)
    book = Book.create(tmp_path / "run", SystemClock())
    async with open_session(
        Options(
            lock="front-door", config=tmp_path / "none", confirmed="front-door", is_door_open=True
        ),
        book,
        checks=checks,
        person=Nobody(io.StringIO()),
        clock=SystemClock(),
        randbelow=secrets.randbelow,
    ) as opened:
        await opened.run(checks)
    ended = book.verdicts()
    red = {name: each.reason for name, each in ended.items() if each.verdict is Verdict.FAILED}
    assert red == {}
    assert {"passcode.add", "bolt.unlock", "range.success", "leftovers.none"} <= {
        name for name, each in ended.items() if each.verdict is Verdict.PASSED
    }
    assert any(each.rssi_dbm is not None for each in book.all(Connected))

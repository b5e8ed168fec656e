"""Backups on the shelf, and who may ask for what over which door."""

import asyncio
import base64
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_rig import LOCK, TOPICS
from backup_rig import OPENERS, PASSPHRASE, BenchRig, bench_at, furnished_door
from ttlock_agent.backup import shelf as shelf_module
from ttlock_agent.backup.desk import FILE_VERBS
from ttlock_agent.control.messages import Call, Progress, Result
from ttlock_agent.errors import BackupProblem, BackupUnusable, JobRejected
from ttlock_agent.jobs.model import JobState
from ttlock_protocol.messages.admin import Reset
from ttlock_protocol.messages.cards import GetCards
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from virtual_helpers import KEYS

SEALED = {"passphrase": PASSPHRASE}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BenchRig]:
    async with bench_at(tmp_path) as rig:
        yield rig


async def problem_of(rig: BenchRig, verb: str, **body: Any) -> BackupProblem:
    named = body if verb in FILE_VERBS else {"id": f"p-{next(rig.ids)}"} | body
    with pytest.raises(BackupUnusable) as caught:
        await rig.over_control(verb, **named)
    return caught.value.problem


async def exported(rig: BenchRig, backup: str) -> str:
    return str((await rig.told("backup.export", backup=backup))["file"])


async def test_files_are_for_the_agent_alone(rig: BenchRig) -> None:
    path = rig.shelf.path(await rig.backup())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_the_list_names_every_file_the_youngest_first(rig: BenchRig) -> None:
    first = await rig.backup()
    await rig.clock.advance(60)
    second = await rig.backup(**SEALED)
    (rig.shelf.path(first).parent / "torn.ttlock-backup").write_bytes(b"ttlock-agent backup\n{")
    listed = (await rig.told("backup.list", id="l-1"))["backups"]
    assert [each["backup"] for each in listed] == [second, first, "torn"]
    assert [each.get("key") for each in listed] == ["passphrase", "vault", None]
    assert listed[2]["problem"] == "backup_truncated"
    assert listed[0]["holds"]["passcodes"] == len(OPENERS)


async def test_an_erased_backup_does_not_open_from_a_copy_either(rig: BenchRig) -> None:
    backup = await rig.backup()
    copy = await exported(rig, backup)
    erased = await rig.told("backup.erase", id="e-1", backup=backup)
    assert (erased["is_key_destroyed"], erased["is_file_removed"]) == (True, True)
    assert any("SD card" in sentence for sentence in erased["cannot_promise"])
    assert not rig.shelf.path(backup).exists()
    assert await problem_of(rig, "backup.check", backup=backup) is BackupProblem.NOT_FOUND
    assert await problem_of(rig, "backup.check_file", file=copy) is BackupProblem.KEY_GONE
    assert await problem_of(rig, "backup.import", file=copy) is BackupProblem.KEY_GONE
    assert (await rig.told("backup.list", id="l-1"))["backups"] == []
    again = await rig.told("backup.erase", id="e-2", backup=backup)
    assert (again["is_key_destroyed"], again["is_file_removed"]) == (True, False)


async def test_the_destroyed_key_is_nowhere_in_the_journals_files(rig: BenchRig) -> None:
    backup = await rig.backup()
    sealed_key = await rig.journal._database.read(
        lambda c: c.execute(
            "SELECT sealed_value FROM secrets WHERE name = ?", [f"backup-key/{backup}"]
        ).fetchone()[0]
    )
    files = [path for path in rig.directory.iterdir() if path.name.startswith("journal.db")]
    assert any(sealed_key in path.read_bytes() for path in files)
    await rig.told("backup.erase", id="e-1", backup=backup)
    assert not any(sealed_key in path.read_bytes() for path in files if path.exists())


async def test_erasing_says_that_copies_with_a_passphrase_stay_open(rig: BenchRig) -> None:
    backup = await rig.backup(**SEALED)
    copy = await exported(rig, backup)
    erased = await rig.told("backup.erase", id="e-1", backup=backup)
    assert erased["is_key_destroyed"] is False
    assert any("still open with the passphrase" in each for each in erased["cannot_promise"])
    checked = await rig.told("backup.check_file", file=copy, **SEALED)
    assert checked["backup"] == backup


async def test_a_backup_that_a_job_needs_is_not_erased(rig: BenchRig) -> None:
    backup = await rig.backup()
    rig.door.is_in_range = False
    job = await rig.ask("lock.restore", source="control", id="r-1", backup=backup)
    with pytest.raises(JobRejected, match="needs this backup"):
        await rig.over_control("backup.erase", id="e-1", backup=backup)
    await rig.ask("job.cancel", id="x-1", job=job.id)
    assert (await rig.told("backup.erase", id="e-2", backup=backup))["is_file_removed"]


async def test_the_only_trace_of_a_lock_that_was_reset_is_not_erased(rig: BenchRig) -> None:
    backup, other = await rig.backup(), await rig.backup()
    await rig.wipe(backup)

    async def erase(name: str, **params: Any) -> None:
        await rig.over_control("backup.erase", id=f"e-{next(rig.ids)}", backup=name, **params)

    with pytest.raises(JobRejected, match="not all of this backup is back"):
        await erase(backup)
    await erase(other)
    await rig.do("lock.enrol", gives_up_app=True)
    with pytest.raises(JobRejected, match="not all of this backup is back"):
        await erase(backup)
    assert (await rig.do("lock.restore", backup=backup)).state is JobState.PROVED
    await erase(backup)


async def test_what_is_given_up_is_erased(rig: BenchRig) -> None:
    backup = await rig.backup()
    await rig.wipe(backup)
    await rig.over_control("backup.erase", id="e-1", backup=backup, give_up=True)
    assert not rig.shelf.path(backup).exists()


async def test_a_file_comes_back_from_elsewhere(rig: BenchRig) -> None:
    backup = await rig.backup(**SEALED)
    copy = await exported(rig, backup)
    await rig.told("backup.erase", id="e-1", backup=backup)
    wrong = await problem_of(rig, "backup.import", file=copy, passphrase="wrong battery staple")
    assert wrong is BackupProblem.WRONG_PASSPHRASE
    short = await problem_of(rig, "backup.import", file=copy, passphrase="wrong")
    assert short is BackupProblem.WRONG_PASSPHRASE
    assert await problem_of(rig, "backup.import", file=copy) is BackupProblem.PASSPHRASE_NEEDED
    assert not rig.shelf.path(backup).exists()
    kept = await rig.told("backup.import", file=copy, **SEALED)
    assert kept["backup"] == backup
    assert base64.b64decode(copy) == rig.shelf.path(backup).read_bytes()


async def test_a_new_agent_takes_the_keys_of_a_lost_one(rig: BenchRig, tmp_path: Path) -> None:
    bare = await exported(rig, await rig.backup(**SEALED))
    full = await exported(rig, await rig.backup(with_keys=True, **SEALED))
    async with bench_at(tmp_path / "new", rig.door, keys=None) as new:
        with pytest.raises(JobRejected, match="holds no lock keys"):
            await new.over_control("backup.take_keys", file=bare, lock=LOCK, **SEALED)
        with pytest.raises(JobRejected, match="no lock of that name"):
            await new.over_control("backup.take_keys", file=full, lock="cellar", **SEALED)
        assert LOCK not in new.locks.profiles
        told = await new.told("backup.take_keys", file=full, lock=LOCK, **SEALED)
        assert told["holds"]["has_keys"] is True
        assert await new.keyring.get(LOCK) == KEYS
        kept = (await new.told("backup.import", file=full, **SEALED))["backup"]
        verified = await new.do("backup.verify", backup=kept, **SEALED)
        assert verified.result is not None
        assert verified.result["agrees"] is True


@pytest.mark.parametrize("cut", [0, 10, 100, -1])
async def test_a_torn_file_is_not_taken_in(rig: BenchRig, cut: int) -> None:
    raw = base64.b64decode(await exported(rig, await rig.backup()))[:cut]
    torn = base64.b64encode(raw).decode()
    assert await problem_of(rig, "backup.import", file=torn) is BackupProblem.TRUNCATED


async def test_another_file_of_the_same_id_is_not_overwritten(
    rig: BenchRig, tmp_path: Path
) -> None:
    backup = await rig.backup(**SEALED)
    mine = rig.shelf.path(backup).read_bytes()
    opened = await rig.shelf.open(backup, PASSPHRASE)
    async with bench_at(tmp_path / "other") as other:
        await other.shelf.put(
            opened.content,
            backup=backup,
            created_at=opened.header.created_at,
            lock=LOCK,
            passphrase=PASSPHRASE,
        )
        twin = await exported(other, backup)
    problem = await problem_of(rig, "backup.import", file=twin, **SEALED)
    assert problem is BackupProblem.NOT_WRITABLE
    assert rig.shelf.path(backup).read_bytes() == mine


async def test_another_agents_vault_opens_nothing_here(rig: BenchRig, tmp_path: Path) -> None:
    async with bench_at(tmp_path / "other") as other:
        theirs = await exported(other, await other.backup())
    assert await problem_of(rig, "backup.check_file", file=theirs) is BackupProblem.KEY_GONE


@pytest.mark.parametrize("call", [{}, {"file": "%%%"}, {"file": 7}])
async def test_nonsense_over_the_socket_has_a_name(rig: BenchRig, call: dict[str, Any]) -> None:
    for verb in ("backup.import", "backup.check_file"):
        with pytest.raises(JobRejected) as caught:
            await rig.over_control(verb, **call)
        assert caught.value.code == "invalid"
        assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("backup", ["../journal", "a/b", "", "x" * 65])
async def test_an_id_is_no_path(rig: BenchRig, backup: str) -> None:
    with pytest.raises(JobRejected):
        await rig.over_control("backup.check", id="c-1", backup=backup)


async def test_a_disk_that_is_full_is_named_and_leaves_no_half_file(
    rig: BenchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf_module.os, "fsync", full)
    job = await rig.do("backup.create")
    monkeypatch.undo()
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "backup_not_writable"
    assert list((rig.directory / "backups").iterdir()) == []


async def test_a_file_that_does_not_read_back_is_no_backup(
    rig: BenchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shelf_module._write

    def bad_card(path: Path, raw: bytes) -> None:
        real(path, raw[:-40] + bytes((raw[-40] ^ 1,)) + raw[-39:])

    monkeypatch.setattr(shelf_module, "_write", bad_card)
    job = await rig.do("backup.create")
    assert job.error is not None
    assert job.error.code == "backup_damaged"


# Over MQTT.


async def test_over_mqtt_travel_ids_and_numbers(rig: BenchRig) -> None:
    accepted = await rig.over_mqtt("backup.create", id="m-1", lock=LOCK)
    assert accepted["status"] == "accepted"
    job = await rig.journal.job(accepted["job"])
    assert job is not None
    done = await rig.final(job)
    assert done.result is not None
    answer = (await rig.answers())[-1]
    assert (answer["id"], answer["result"]) == ("m-1", "proved")
    backup = answer["backup"]
    listed = await rig.over_mqtt("backup.list", id="m-2")
    assert (listed["id"], listed["status"]) == ("m-2", "done")
    assert [each["backup"] for each in listed["backups"]] == [backup]
    checked = await rig.over_mqtt("backup.check", id="m-3", backup=backup)
    assert checked["holds"]["passcodes"] == len(OPENERS)
    erased = await rig.over_mqtt("backup.erase", id="m-4", backup=backup)
    assert erased["is_key_destroyed"] is True
    gone = await rig.over_mqtt("backup.check", id="m-5", backup=backup)
    assert (gone["status"], gone["error"]["code"]) == ("rejected", "backup_not_found")


@pytest.mark.parametrize("verb", ["backup.create", "backup.check", "lock.restore", "lock.reset"])
async def test_a_passphrase_over_mqtt_is_refused(rig: BenchRig, verb: str) -> None:
    body = {"lock": LOCK, "backup": "20260314-0a1b2c3d", "dry_run": True}
    fields = {"backup.create": {"lock"}, "backup.check": {"backup"}}.get(verb, set(body))
    asked = {name: value for name, value in body.items() if name in fields} | SEALED
    answer = await rig.over_mqtt(verb, id="m-1", **asked)
    assert answer["status"] == "rejected"
    assert "does not travel over MQTT" in answer["error"]["message"]
    assert await rig.journal.open_jobs() == []


@pytest.mark.parametrize("verb", sorted(FILE_VERBS))
async def test_files_do_not_travel_over_mqtt(rig: BenchRig, verb: str) -> None:
    answer = await rig.over_mqtt(verb, id="m-1", backup="x", file="")
    assert (answer["status"], answer["error"]["code"]) == ("rejected", "unknown_verb")
    topic = TOPICS.response(verb)
    assert topic in {entry.publication.topic for entry in await rig.journal.outbox()}


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("lock.reset", {"backup": "b"}),
        ("lock.reset", {"backup": "b", "mac_digits": "112233"}),
        ("lock.reset", {"backup": "b", "mac_digits": "11223", "confirm": "x"}),
        ("lock.enrol", {}),
        ("lock.enrol", {"gives_up_app": False}),
        ("lock.enrol", {"gives_up_app": True, "admin_passcode": "12"}),
        ("backup.create", {"passphrase": "short"}),
    ],
)
async def test_half_a_confirmation_is_none(rig: BenchRig, verb: str, body: dict[str, Any]) -> None:
    with pytest.raises(JobRejected) as caught:
        await rig.over_control(verb, id="c-1", lock=LOCK, **body)
    assert caught.value.code == "invalid"
    assert rig.door.connections == 0


# Progress, and commands that are given again.


async def test_who_waits_is_told_how_far_it_is(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        is_told = asyncio.Event()

        async def wait_behind_the_first_card(_number: int) -> None:
            if rig.door.count(GetCards):
                await is_told.wait()

        rig.door.before_write = wait_behind_the_first_card
        call = Call(
            verb="backup.create",
            request=msgspec.Raw(json.dumps({"id": "c", "lock": LOCK}).encode()),
        )
        steps = []
        async for line in rig.service.on_control(call):
            if isinstance(line, Progress) and line.body.get("step", {}).get("doing") == "cards":
                steps.append(line.body["step"])
                is_told.set()
            last = line
        assert steps[0] == {"doing": "cards", "count": 1}
        assert isinstance(last, Result)
        assert rig.progress.of(last.body["job"]) is None


async def test_the_same_command_again_joins_the_job_that_still_runs(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        backup = await rig.backup()
        rig.door.is_in_range = False
        first = await rig.ask("lock.restore", source="control", id="r-1", backup=backup)
        await rig.until(first, lambda job: job.state is JobState.WAITING)
        rig.door.is_in_range = True
        other = await rig.ask(
            "lock.restore", source="control", id="r-2", backup=backup, dry_run=True
        )
        assert other.id != first.id
        body = json.dumps({"id": "r-3", "lock": LOCK, "backup": backup})
        parsed = rig.service._parse("lock.restore", body.encode())
        same = await rig.service._same_job(parsed)
        assert same is not None
        assert same.id == first.id
        await rig.done(first, other)
        assert await rig.service._same_job(parsed) is None


async def test_a_lock_without_keys_can_be_enrolled_and_nothing_else(tmp_path: Path) -> None:
    async with bench_at(tmp_path, keys=None) as rig:
        for verb in ("backup.create", "lock.restore", "lock.reset"):
            extra: dict[str, Any] = {} if verb == "backup.create" else {"backup": "b"}
            extra |= {"dry_run": True} if verb == "lock.reset" else {}
            with pytest.raises(JobRejected) as caught:
                await rig.ask(verb, id=f"n-{verb}", **extra)
            assert caught.value.code == "no_keys"
        rig.door.lock._body.memory = rig.door.lock.memory.wiped()
        status = await rig.service.status()
        assert status["locks"][LOCK]["has_keys"] is False
        assert (await rig.do("lock.enrol", gives_up_app=True)).state is JobState.PROVED
        status = await rig.service.status()
        assert status["locks"][LOCK]["has_keys"] is True


async def test_the_radio_and_the_bench_take_turns(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        backup = await rig.ask("backup.create", source="control", id="b-1")
        add = await rig.add("482913")
        done = await rig.done(backup, add)
        assert [job.state for job in done] == [JobState.PROVED] * 2


async def test_a_lost_reset_is_read_back_before_anything_else(tmp_path: Path) -> None:
    door = furnished_door()
    async with bench_at(tmp_path, door) as rig:
        backup = await rig.backup()
        rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
        assert rehearsal.result is not None
        lose = Fault(action=FaultAction.LOSE, at=FaultPoint.REQUEST, request="Reset", nth=1)
        door.set_faults(lose)
        asked = {"mac_digits": "112233", "confirm": rehearsal.result["confirm"]}
        job = await rig.do("lock.reset", backup=backup, **asked)
        assert job.state is JobState.PROVED
        # Once into the void; then the lock was found to know us still, and was asked again.
        assert door.count(Reset) == 2
        assert door.lock.memory.administrator is None

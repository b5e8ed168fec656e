"""Lock keys out of files: the formats are tested with the protocol, the reading here."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from ttlock_agent.cli.main import cli
from ttlock_agent.errors import ConfigError
from ttlock_agent.keyfile import choose, read_key_file
from ttlock_agent.keyring import decode_keys, encode_keys
from ttlock_protocol.frame import Version
from ttlock_protocol.keyfiles import Item
from ttlock_protocol.keys import LockKeys

AES = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
COMMAS = ",".join(AES[at : at + 2] for at in range(0, 32, 2))
KEYS = LockKeys(
    aes_key=bytes.fromhex(AES),
    admin_secret=123456789,
    unlock_key=987654321,
    version=Version(scene=2, group=10, organisation=34),
)
FRONT, BACK = "AA:BB:CC:11:22:33", "AA:BB:CC:44:55:66"


def android(path: Path, *, link: str) -> Path:
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE virtualkey (lockmac, aeskeystr, adminps, unlockkey, lockname,"
            f" {link} INTEGER)"
        )
        versioned = "id" if link == "lockversionid" else link
        database.execute(
            f"CREATE TABLE lockversion ({versioned} INTEGER, protocoltype, protocolversion, scene,"
            " groupid, orgid)"
        )
        for number, (mac, scene) in enumerate(((FRONT, 2), (BACK, 9)), start=7):
            database.execute(
                "INSERT INTO virtualkey VALUES (?, ?, '123456789', '987654321', 'a', ?)",
                (mac, COMMAS, number),
            )
            database.execute("INSERT INTO lockversion VALUES (?, 5, 3, ?, 1, 1)", (number, scene))
    database.close()
    return path


def test_own_form_round_trips(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(encode_keys(KEYS))
    assert choose(read_key_file(file), FRONT).keys == KEYS
    assert decode_keys(encode_keys(KEYS)) == KEYS


@pytest.mark.parametrize("link", ["lockversionid", "lockid", "keyid"])
def test_android_database_finds_each_locks_version(tmp_path: Path, link: str) -> None:
    result = read_key_file(android(tmp_path / "newsciener.db", link=link))
    assert [choose(result, mac).keys.version.scene for mac in (FRONT, BACK)] == [2, 9]
    assert choose(result, FRONT).keys.unlock_key == 987654321


def test_ios_database(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE ZKEY (ZLOCKMAC, ZAESKEYSTR, ZADMINPS, ZLOCKKEY)")
        database.execute(
            "INSERT INTO ZKEY VALUES (?, ?, '123456789', '987654321')", (FRONT, COMMAS)
        )
    database.close()
    key = choose(read_key_file(path), FRONT)
    assert key.keys.aes_key.hex() == AES
    assert Item.ADMIN_SECRET in key.items


def test_a_database_is_not_changed_by_reading_it(tmp_path: Path) -> None:
    path = android(tmp_path / "newsciener.db", link="lockid")
    before = path.read_bytes()
    read_key_file(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["newsciener.db"]


def test_several_locks_and_none_is_meant(tmp_path: Path) -> None:
    result = read_key_file(android(tmp_path / "newsciener.db", link="lockid"))
    with pytest.raises(ConfigError, match="not clearly those of AA:BB:CC:00:00:00"):
        choose(result, "AA:BB:CC:00:00:00")


def test_keys_of_another_lock_are_not_taken_for_this_one(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    record = {"mac": BACK, "aes_key": AES}
    file.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=BACK):
        choose(read_key_file(file), FRONT)
    assert choose(read_key_file(file), BACK.lower()).keys.aes_key.hex() == AES
    # Where a lock has no Bluetooth address, the only keys are its own.
    assert choose(read_key_file(file), "virtual:/run/front.sock").mac == BACK
    file.write_text(json.dumps([record, {"aes_key": AES}]))
    assert choose(read_key_file(file), FRONT).mac is None


def test_a_guests_keys_with_an_end_are_not_taken(tmp_path: Path) -> None:
    """The agent would present them as permanent, and open the door after their time."""
    file = tmp_path / "keys.json"
    guest = {
        "mac": FRONT,
        "aes_key": AES,
        "unlock_key": 7,
        "startDate": 1,
        "endDate": 1700000000000,
    }
    file.write_text(json.dumps(guest))
    with pytest.raises(ConfigError, match="limited in time"):
        choose(read_key_file(file), FRONT)
    for unlimited in (guest | {"endDate": 0}, guest | {"admin_secret": 9}):
        file.write_text(json.dumps(unlimited))
        assert choose(read_key_file(file), FRONT).keys.unlock_key == 7


def test_what_a_phone_has_not_merged_yet_is_read_too(tmp_path: Path) -> None:
    """Core Data keeps the last writes beside the database, for days."""
    phone = tmp_path / "phone"
    phone.mkdir()
    with contextlib.closing(sqlite3.connect(phone / "app.sqlite")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE ZKEY (ZLOCKMAC, ZAESKEYSTR)")
        database.execute("INSERT INTO ZKEY VALUES (?, ?)", (FRONT, COMMAS))
        database.commit()
        for name in ("app.sqlite", "app.sqlite-wal"):
            (tmp_path / name).write_bytes((phone / name).read_bytes())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    assert choose(read_key_file(tmp_path / "app.sqlite"), FRONT).keys.aes_key.hex() == AES
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no lock keys"),
        (b"\xff\xfe\x00", "neither text nor a database"),
        (b"{}", "no lock keys"),
        (json.dumps([{"aesKeyStr": "12"}]).encode(), "could be read"),
        (b"SQLite format 3\0" + b"x" * 200, "damaged database"),
    ],
)
def test_what_holds_no_keys_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        choose(read_key_file(file), FRONT)
    assert says in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key_file(tmp_path / "none")


def test_a_database_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (title)")
    database.close()
    with pytest.raises(ConfigError, match="without lock keys"):
        read_key_file(path)


def test_import_says_what_is_there_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    owner = {"mac": FRONT, "aes_key": AES, "admin_secret": 123456789, "unlock_key": 987654321}
    guest = {"lockAlias": "Shed", "aes_key": AES, "unlock_key": 7, "endDate": 1700000000000}
    file.write_text(json.dumps([owner, guest, {"lockAlias": "Gate"}]))
    ran = CliRunner().invoke(cli, ["keys", "import", str(file)])
    assert ran.exit_code == 0
    for line in (
        f"a lock ({FRONT})",
        "  missing: administrator secret - no administrator's commands: passcodes, cards, settings",
        "  a guest's, until 2023-11-14T22:13:20+00:00: the agent does not take it",
        "not read: Gate: there is no AES key in it",
        "nothing was imported; add --lock ID to hand the keys to the agent",
    ):
        assert line in ran.output.splitlines()
    for secret in (AES, COMMAS, "123456789", "987654321"):
        assert secret not in ran.output

"""The vault: what it seals stays sealed, and its key is made once and kept private."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ttlock_agent.errors import VaultError
from ttlock_agent.vault import (
    CREDENTIAL_NAME,
    KEY_BYTES,
    KEY_FILE_NAME,
    KeySource,
    MasterKey,
    Vault,
    load_master_key,
)

KEY = MasterKey(value=bytes(range(32)), source=KeySource.FILE)
SECRET = b"004711"


def test_opens_what_it_sealed() -> None:
    blob = Vault(KEY).seal("wanted/front-door", SECRET)
    assert Vault(KEY).open("wanted/front-door", blob) == SECRET
    assert SECRET not in blob


def test_the_empty_value_can_be_sealed() -> None:
    assert Vault(KEY).open("p", Vault(KEY).seal("p", b"")) == b""


def test_every_seal_draws_a_fresh_nonce() -> None:
    drawn: list[int] = []

    def random_bytes(count: int) -> bytes:
        drawn.append(count)
        return bytes([len(drawn)]) * count

    vault = Vault(KEY, random_bytes=random_bytes)
    first, second = vault.seal("p", SECRET), vault.seal("p", SECRET)
    assert drawn == [12, 12]
    assert first[1:13] == b"\x01" * 12
    assert second[1:13] == b"\x02" * 12
    assert first[13:] != second[13:]


def test_the_form_is_frozen() -> None:
    """A blob on a customer's disk must open with every later version."""
    blob = Vault(KEY, random_bytes=lambda count: b"\x07" * count).seal("job/1", SECRET)
    assert blob.hex() == "01" + 12 * "07" + "aea6ca066004b5b3748117477098c85ad820dab31d7f"
    assert Vault(KEY).keyed_hash("request", SECRET).hex() == (
        "3d15b9d87407a55f9f09ba17de02a8aeb8b306594d80ff8b2fdc2c25fba53c28"
    )


@pytest.mark.parametrize("index", [0, 1, 12, 13, -17, -16, -1])
def test_a_changed_byte_is_noticed(index: int) -> None:
    blob = bytearray(Vault(KEY).seal("p", SECRET))
    blob[index] ^= 1
    with pytest.raises(VaultError):
        Vault(KEY).open("p", bytes(blob))


@pytest.mark.parametrize("length", [0, 1, 28])
def test_a_truncated_blob_is_refused(length: int) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open("p", Vault(KEY).seal("p", b"")[:length])


def test_another_purpose_or_key_does_not_open_and_says_no_secret() -> None:
    blob = Vault(KEY).seal("wanted/front-door", SECRET)
    other = MasterKey(value=b"\x55" * 32, source=KeySource.FILE)
    for vault, purpose in ((Vault(KEY), "wanted/back-door"), (Vault(other), "wanted/front-door")):
        with pytest.raises(VaultError) as caught:
            vault.open(purpose, blob)
        assert SECRET.decode() not in str(caught.value)
        assert caught.value.__cause__ is None


def test_keyed_hash_depends_on_key_purpose_and_data() -> None:
    other = Vault(MasterKey(value=b"\x55" * 32, source=KeySource.FILE))
    vault = Vault(KEY)
    hashes = {
        vault.keyed_hash("a", b"bc"),
        vault.keyed_hash("ab", b"c"),
        vault.keyed_hash("a", b"bd"),
        other.keyed_hash("a", b"bc"),
    }
    assert len(hashes) == 4
    assert vault.keyed_hash("a", b"bc") == Vault(KEY).keyed_hash("a", b"bc")
    assert {len(digest) for digest in hashes} == {32}


def test_representations_hide_the_key() -> None:
    shown = repr(KEY) + repr(Vault(KEY))
    assert repr(KEY.value) not in shown
    assert KEY.value.hex() not in shown


def test_a_master_key_has_32_bytes() -> None:
    with pytest.raises(VaultError):
        MasterKey(value=b"short", source=KeySource.FILE)


def test_the_first_start_makes_a_private_key_file(tmp_path: Path) -> None:
    made = load_master_key(tmp_path, None)
    assert made.source is KeySource.NEW_FILE
    assert (tmp_path / KEY_FILE_NAME).stat().st_mode & 0o7777 == 0o400
    assert [entry.name for entry in tmp_path.iterdir()] == [KEY_FILE_NAME]
    again = load_master_key(tmp_path, None)
    assert again.source is KeySource.FILE
    assert again.value == made.value
    assert len(set(made.value)) > 1


def test_the_credential_wins_whatever_its_mode(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / CREDENTIAL_NAME).write_bytes(b"\x11" * KEY_BYTES)
    (credentials / CREDENTIAL_NAME).chmod(0o440)
    key = load_master_key(tmp_path, credentials)
    assert (key.source, key.value) == (KeySource.CREDENTIAL, b"\x11" * KEY_BYTES)
    assert not (tmp_path / KEY_FILE_NAME).exists()


def test_without_that_credential_the_file_serves(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    assert load_master_key(tmp_path, credentials).source is KeySource.NEW_FILE


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o420, 0o600 | 0o040])
def test_a_key_file_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    load_master_key(tmp_path, None)
    (tmp_path / KEY_FILE_NAME).chmod(mode)
    with pytest.raises(VaultError) as caught:
        load_master_key(tmp_path, None)
    assert "chmod" in caught.value.hint


@pytest.mark.parametrize("size", [0, 31, 33, 64])
@pytest.mark.parametrize("is_credential", [True, False])
def test_a_key_of_the_wrong_size_is_refused(tmp_path: Path, size: int, is_credential: bool) -> None:
    path = tmp_path / (CREDENTIAL_NAME if is_credential else KEY_FILE_NAME)
    path.write_bytes(b"\x22" * size)
    path.chmod(0o400)
    with pytest.raises(VaultError, match="exactly 32"):
        load_master_key(tmp_path, tmp_path if is_credential else None)


def test_an_unreadable_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="cannot be made"):
        load_master_key(tmp_path / "missing", None)
    (tmp_path / KEY_FILE_NAME).mkdir()
    with pytest.raises(VaultError, match="cannot be read"):
        load_master_key(tmp_path, None)


def test_a_key_made_by_somebody_else_meanwhile_is_kept(tmp_path: Path) -> None:
    """Two first starts at once end with one key, and both use it."""
    theirs = b"\x33" * KEY_BYTES

    def random_bytes(count: int) -> bytes:
        path = tmp_path / KEY_FILE_NAME
        if count == KEY_BYTES:
            path.write_bytes(theirs)
            path.chmod(0o400)
        return b"\x44" * count

    key = load_master_key(tmp_path, None, random_bytes=random_bytes)
    assert (key.source, key.value) == (KeySource.FILE, theirs)
    assert [entry.name for entry in tmp_path.iterdir()] == [KEY_FILE_NAME]


def test_a_death_while_making_the_key_leaves_no_half_key(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from ttlock_agent.vault import load_master_key\n"
        "def die(count):\n"
        "    if count == 32: os._exit(9)\n"
        "    return bytes(count)\n"
        "load_master_key(pathlib.Path(sys.argv[1]), None, random_bytes=die)\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert died.returncode == 9
    assert load_master_key(tmp_path, None).source is KeySource.NEW_FILE

"""The backup file: whatever happens to it, the reader says what, and never shows what is inside."""

# ruff: noqa: DTZ001 - lock-local times are naive
import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttlock_agent.backup import file as backup_file
from ttlock_agent.backup.content import Content, LockFacts, SavedCard, SavedPasscode
from ttlock_agent.backup.file import (
    MAGIC,
    MAX_FILE_BYTES,
    BackupFile,
    Header,
    PassphraseWrapped,
    VaultHeld,
    pack,
    unpack,
    unwrap_key,
    wrap_key,
)
from ttlock_agent.errors import BackupProblem, BackupUnusable, VaultError
from ttlock_agent.vault import DataKey, ScryptCost

NOW = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
KEY = DataKey(b"\x11" * 32)
CHEAP = ScryptCost(n=2, r=1, p=1)
PASSPHRASE = "correct horse battery"
CONTENT = Content(
    taken_at=NOW,
    lock=LockFacts(mac="AA:BB:CC:11:22:33", features="3F", zone="Europe/Berlin"),
    passcodes=(
        SavedPasscode(
            passcode_type=1,
            passcode="004711",
            original_passcode="004711",
            valid_from=datetime(2000, 1, 1),
        ),
    ),
    cards=(
        SavedCard(
            number=b"\x01\xe2\x8f\x3a",
            valid_from=datetime(2000, 1, 1),
            valid_until=datetime(2099, 12, 31, 23, 59),
        ),
    ),
)


def packed(key: VaultHeld | PassphraseWrapped | None = None, content: Content = CONTENT) -> bytes:
    return pack(
        content,
        backup="20260314-0a1b2c3d",
        created_at=NOW,
        agent_version="0.1.0",
        lock="front-door",
        data_key=KEY,
        key=key or VaultHeld(),
    )


VAULT_FILE = packed()
PASSPHRASE_FILE = packed(wrap_key(KEY, PASSPHRASE, cost=CHEAP))


def with_header(raw: bytes, **changes: Any) -> bytes:
    """Return the file with another second line and a sum that fits, as a forger would write it."""
    line, rest = raw[len(MAGIC) :].split(b"\n", 1)
    header = msgspec.json.decode(line) | changes
    body = MAGIC + msgspec.json.encode(header) + b"\n" + rest[:-32]
    return body + hashlib.sha256(body).digest()


def problem_of(raw: bytes, passphrase: str = PASSPHRASE) -> BackupProblem:
    with pytest.raises(BackupUnusable) as caught:
        opened(raw, passphrase)
    assert caught.value.code == f"backup_{caught.value.problem}"
    return caught.value.problem


def opened(raw: bytes, passphrase: str = PASSPHRASE) -> Content:
    found = unpack(raw)
    key = KEY
    if isinstance(found.header.key, PassphraseWrapped):
        key = unwrap_key(found.header.key, passphrase)
    return found.open(key)


@pytest.mark.parametrize("raw", [VAULT_FILE, PASSPHRASE_FILE])
def test_a_file_gives_back_what_was_put_in_and_says_what_it_is(raw: bytes) -> None:
    assert opened(raw) == CONTENT
    header = unpack(raw).header
    assert header.lock == "front-door"
    assert header.mac_digits == "112233"
    assert (header.holds.passcodes, header.holds.cards) == (1, 1)
    assert raw.startswith(b"ttlock-agent backup\n{")


def test_nothing_secret_can_be_read_in_a_file_or_a_representation() -> None:
    for raw in (VAULT_FILE, PASSPHRASE_FILE):
        assert b"004711" not in raw
        assert KEY.value not in raw
    shown = f"{CONTENT!r} {CONTENT.passcodes!r} {KEY!r} {unpack(PASSPHRASE_FILE).header!r}"
    assert "004711" not in shown
    assert "salt" not in shown
    assert CONTENT.lock.mac_digits == "112233"


@settings(max_examples=400, deadline=None)
@given(data=st.data(), raw=st.sampled_from([VAULT_FILE, PASSPHRASE_FILE]))
def test_any_flipped_bit_has_a_name(data: st.DataObject, raw: bytes) -> None:
    at = data.draw(st.integers(0, 8 * len(raw) - 1))
    flipped = bytearray(raw)
    flipped[at // 8] ^= 1 << at % 8
    is_first_line = at // 8 < len(MAGIC)
    problem = problem_of(bytes(flipped))
    allowed = {BackupProblem.NOT_A_BACKUP} if is_first_line else {BackupProblem.DAMAGED}
    # The newline behind the second line, or the length in it: then it looks as if it were longer.
    assert problem in allowed | {BackupProblem.TRUNCATED}


@settings(max_examples=200, deadline=None)
@given(data=st.data(), raw=st.sampled_from([VAULT_FILE, PASSPHRASE_FILE]))
def test_any_cut_is_called_one(data: st.DataObject, raw: bytes) -> None:
    assert problem_of(raw[: data.draw(st.integers(0, len(raw) - 1))]) is BackupProblem.TRUNCATED


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(max_size=400), has_magic=st.booleans(), has_sum=st.booleans())
def test_anything_else_has_a_name(noise: bytes, has_magic: bool, has_sum: bool) -> None:
    body = MAGIC + noise if has_magic else noise
    problem_of(body + hashlib.sha256(body).digest() if has_sum else body)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_found_even_with_a_sum_that_fits(data: st.DataObject) -> None:
    """Somebody who changes a file and mends its sum cannot mend the seal."""
    body = bytearray(VAULT_FILE[:-32])
    at = data.draw(st.integers(8 * len(MAGIC), 8 * len(body) - 1))
    body[at // 8] ^= 1 << at % 8
    problem = problem_of(bytes(body) + hashlib.sha256(body).digest())
    assert problem in {BackupProblem.DAMAGED, BackupProblem.NEWER_FORMAT}


def test_trailing_bytes_are_damage() -> None:
    assert problem_of(VAULT_FILE + b"\n") is BackupProblem.DAMAGED


def test_a_wrong_passphrase_is_told_from_damage() -> None:
    assert problem_of(PASSPHRASE_FILE, "correct horse batterz") is BackupProblem.WRONG_PASSPHRASE


def test_the_same_letters_typed_otherwise_are_the_same_passphrase() -> None:
    wrapped = wrap_key(KEY, "Schlu\u0308ssel am Haken", cost=CHEAP)
    assert unwrap_key(wrapped, "Schl\u00fcssel am Haken") == KEY


def test_a_newer_format_is_called_that_whatever_else_it_says() -> None:
    newer = with_header(VAULT_FILE, format=2, key={"kind": "moon"}, more=True)
    assert problem_of(newer) is BackupProblem.NEWER_FORMAT


@pytest.mark.parametrize(
    "change", [{"lock": "back-door"}, {"mac_digits": "445566"}, {"holds": {"passcodes": 9}}]
)
def test_the_whole_header_is_sealed_in(change: dict[str, Any]) -> None:
    assert problem_of(with_header(VAULT_FILE, **change)) is BackupProblem.DAMAGED


@pytest.mark.parametrize(
    "cost",
    [
        {"n": 1 << 30, "r": 8, "p": 1},
        {"n": 1 << 17, "r": 8, "p": 1},
        {"n": 1 << 14, "r": 8, "p": 1 << 20},
        {"n": 1000, "r": 8, "p": 1},
        {"n": 0, "r": 0, "p": 0},
        {"n": -2, "r": -8, "p": 1},
    ],
)
def test_a_hostile_file_cannot_eat_the_machine(
    cost: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> DataKey:
        raise AssertionError("the key was derived")

    monkeypatch.setattr(backup_file, "passphrase_key", never)
    key = msgspec.to_builtins(unpack(PASSPHRASE_FILE).header.key) | cost
    hostile = with_header(PASSPHRASE_FILE, key=key)
    assert problem_of(hostile) is BackupProblem.PASSPHRASE_TOO_COSTLY


def test_the_cost_that_is_written_is_one_that_is_read() -> None:
    wrapped = wrap_key(KEY, PASSPHRASE)
    assert 128 * wrapped.n * wrapped.r >= 32 * 1024 * 1024
    assert unwrap_key(wrapped, PASSPHRASE) == KEY


def test_what_is_too_large_is_neither_written_nor_read() -> None:
    card = CONTENT.cards[0]
    cards = tuple(
        msgspec.structs.replace(card, number=number.to_bytes(4, "big")) for number in range(4096)
    )
    with pytest.raises(BackupUnusable) as caught:
        packed(content=msgspec.structs.replace(CONTENT, cards=cards * 2))
    assert caught.value.problem is BackupProblem.TOO_LARGE
    assert problem_of(MAGIC + bytes(MAX_FILE_BYTES)) is BackupProblem.TOO_LARGE


def test_a_thousand_cards_and_full_passcodes_fit() -> None:
    cards = tuple(
        msgspec.structs.replace(CONTENT.cards[0], number=number.to_bytes(8, "big"))
        for number in range(1000)
    )
    content = msgspec.structs.replace(CONTENT, cards=cards, passcodes=CONTENT.passcodes * 300)
    assert opened(packed(content=content)) == content


def test_two_files_of_the_same_content_share_no_sealed_byte_run() -> None:
    first, second = (unpack(packed()) for _ in range(2))
    assert first.header == second.header
    assert first != second
    assert isinstance(first, BackupFile)
    assert isinstance(first.header, Header)


def test_a_data_key_of_another_length_is_none() -> None:
    with pytest.raises(VaultError):
        replace(KEY, value=b"short")

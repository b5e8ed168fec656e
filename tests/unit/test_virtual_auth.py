"""The virtual lock's front door: keys, checksums, headers, challenges, permissions."""

# ruff: noqa: DTZ001 - lock-local times are naive
from dataclasses import replace
from datetime import datetime

import pytest

from protocol_helpers import decode_frame
from ttlock_protocol.cipher import DEFAULT_KEY, encrypt
from ttlock_protocol.errors import CommandRefused, KeyMismatch, LocalProtocolError, Refusal
from ttlock_protocol.frame import Frame, Version, encode_frame
from ttlock_protocol.message import Auth, requests
from ttlock_protocol.messages.auth import CheckAdmin, CheckRandom, CheckUser
from ttlock_protocol.messages.clock import GetClock, SetClock
from ttlock_protocol.messages.operate import BoltState, GetState, Unlock
from ttlock_protocol.messages.pairing import GetOfflinePasscodes
from ttlock_protocol.messages.passcodes import GetPasscodes
from ttlock_protocol.procedures import LinkDropped, NoAnswer, authenticate_admin, unlock
from ttlock_protocol.virtual import (
    Fault,
    FaultAction,
    FaultPoint,
    HangUp,
    NotConnectable,
    Notify,
    visit,
)
from ttlock_protocol.virtual.memory import Battery, Habits
from virtual_helpers import KEYS, LOCAL, NOW, Bench, paired, refusal_of

USER = CheckUser(user_id=7)


def send_raw(bench: Bench, command: int, plaintext: bytes, version: Version | None = None) -> bytes:
    """Write one frame past the session; return the plaintext-less answer bytes."""
    payload = encrypt(KEYS.aes_key, plaintext) if plaintext else b""
    frame = Frame(version=version or Version(), command=command, payload=payload)
    bench.lock.receive(encode_frame(frame), bench.now)
    return heard(bench)


def heard(bench: Bench) -> bytes:
    outputs = bench.lock.take_outputs()
    return b"".join(each.data for each in outputs if isinstance(each, Notify))


def refused_with(command: int, refusal: Refusal) -> bytes:
    plaintext = bytes((command, 0, refusal))
    return encode_frame(
        Frame(version=Version(), command=0x54, payload=encrypt(KEYS.aes_key, plaintext))
    )


def test_an_administrator_proves_the_keys_and_may_then_do_things() -> None:
    central = Bench().central()
    assert refusal_of(central.request, GetPasscodes()) == Refusal.NO_PERMISSION
    central.run(authenticate_admin(KEYS))
    assert central.request(GetPasscodes()).records == ()


def test_the_proof_of_an_administrator_ends_with_the_link() -> None:
    bench = Bench()
    bench.admin().close()
    assert refusal_of(bench.central().request, GetPasscodes()) == Refusal.NO_PERMISSION


def test_the_first_step_alone_proves_nothing() -> None:
    central = Bench().central()
    central.request(CheckAdmin(admin_secret=KEYS.admin_secret))
    assert refusal_of(central.request, GetPasscodes()) == Refusal.NO_PERMISSION


def test_a_wrong_admin_secret_is_refused_and_takes_back_what_was_proved() -> None:
    central = Bench().admin()
    wrong = CheckAdmin(admin_secret=KEYS.admin_secret + 1)
    assert refusal_of(central.request, wrong) == Refusal.WRONG_ADMIN_SECRET
    assert refusal_of(central.request, GetPasscodes()) == Refusal.NO_PERMISSION


def test_a_wrong_proof_is_refused() -> None:
    central = Bench().central()
    challenge = central.request(CheckAdmin(admin_secret=KEYS.admin_secret)).challenge
    wrong = CheckRandom(proof=KEYS.proof(challenge) ^ 1)
    assert refusal_of(central.request, wrong) == Refusal.WRONG_DYNAMIC_CODE
    assert refusal_of(central.request, GetPasscodes()) == Refusal.NO_PERMISSION


def test_each_challenge_is_fresh_and_voids_the_one_before() -> None:
    central = Bench().central()
    first = central.request(CheckAdmin(admin_secret=KEYS.admin_secret)).challenge
    second = central.request(USER).challenge
    assert first != second
    stale = CheckRandom(proof=KEYS.proof(first))
    assert refusal_of(central.request, stale) == Refusal.WRONG_DYNAMIC_CODE
    central.request(CheckRandom(proof=KEYS.proof(second)))


@pytest.mark.parametrize("request_", ["CheckAdmin", "CheckUser"])
def test_a_challenge_that_came_twice_does_not_make_the_keys_wrong(request_: str) -> None:
    twice = Fault(action=FaultAction.DUPLICATE, at=FaultPoint.REQUEST, request=request_, nth=1)
    bench = Bench(paired(), twice)
    central = bench.central()
    central.run(authenticate_admin(KEYS))
    central.run(unlock(KEYS, unique_id=7))
    assert bench.memory.bolt.state is BoltState.UNLOCKED


def test_a_proof_without_a_challenge_is_refused() -> None:
    central = Bench().central()
    assert refusal_of(central.request, CheckRandom(proof=1)) == Refusal.NO_PERMISSION
    unlock = Unlock(proof=1, unique_id=1)
    assert refusal_of(central.request, unlock) == Refusal.NO_PERMISSION


def test_an_administrators_challenge_also_unlocks() -> None:
    bench = Bench()
    central = bench.central()
    challenge = central.request(CheckAdmin(admin_secret=KEYS.admin_secret)).challenge
    answer = central.request(Unlock(proof=KEYS.proof(challenge), unique_id=5))
    assert answer.unique_id == 5


def test_a_user_is_not_an_administrator() -> None:
    bench = Bench()
    central = bench.central()
    challenge = central.request(USER).challenge
    assert refusal_of(central.request, GetOfflinePasscodes()) == Refusal.NO_PERMISSION
    central.request(CheckRandom(proof=KEYS.proof(challenge)))
    assert refusal_of(central.request, GetPasscodes()) == Refusal.NO_PERMISSION
    assert refusal_of(central.request, GetOfflinePasscodes()) == Refusal.RECORD_NOT_FOUND


def test_ekeys_are_judged_by_the_locks_own_clock() -> None:
    bench = Bench()
    central = bench.central()
    key = CheckUser(valid_from=LOCAL, valid_until=LOCAL)
    central.request(key)
    bench.lock.shift_clock(-1)
    assert refusal_of(central.request, key) == Refusal.EKEY_NOT_YET_VALID
    bench.lock.shift_clock(60)
    central.request(key)
    bench.lock.shift_clock(1)
    assert refusal_of(central.request, key) == Refusal.EKEY_EXPIRED


@pytest.mark.parametrize("until", [datetime(2099, 12, 31, 23, 59), datetime(2099, 11, 30, 14)])
@pytest.mark.parametrize("since", [datetime(2000, 1, 1), datetime(2000, 1, 31, 14)])
def test_the_forms_of_no_limit_hold_whatever_the_clock_says(
    since: datetime, until: datetime
) -> None:
    bench = Bench()
    bench.lock.reboot(bench.now)
    central = bench.central()
    central.request(CheckUser(valid_from=since, valid_until=until))
    bench.lock.shift_clock(99.99 * 365.25 * 86400)
    central.request(CheckUser(valid_from=since, valid_until=until))


def test_resetting_ekeys_voids_those_with_the_old_position() -> None:
    bench = Bench()
    central = bench.central()
    central.request(USER)
    for position in (2, 0xFFFFFF):
        wrong = CheckAdmin(admin_secret=KEYS.admin_secret, lock_flag_position=position)
        assert refusal_of(central.request, wrong) == Refusal.EKEYS_WERE_RESET
    central.request(CheckAdmin(admin_secret=KEYS.admin_secret, lock_flag_position=1))
    assert refusal_of(central.request, USER) == Refusal.EKEYS_WERE_RESET
    central.request(CheckUser(lock_flag_position=1))
    old = CheckAdmin(admin_secret=KEYS.admin_secret)
    assert refusal_of(central.request, old) == Refusal.EKEYS_WERE_RESET


def test_another_key_gets_the_empty_reply() -> None:
    central = Bench().central(key=bytes(16))
    with pytest.raises(KeyMismatch):
        central.request(GetState())


def test_state_and_clock_need_no_authentication() -> None:
    central = Bench().central()
    assert central.request(GetState()).battery_percent == 100
    assert central.request(GetClock()).local_time == LOCAL


def test_setting_the_clock_needs_somebody_who_has_proved_the_keys() -> None:
    central = Bench().central()
    proof = KEYS.proof(central.request(USER).challenge)
    assert refusal_of(central.request, SetClock(local_time=LOCAL)) == Refusal.NO_PERMISSION
    central.request(CheckRandom(proof=proof))
    central.request(SetClock(local_time=LOCAL))


@pytest.mark.parametrize("command", [0x61, 0x67, 0x69, 0x73, 0x74, 0x76, 0x13, 0x71, 0x02, 0x44])
def test_what_has_no_layout_is_not_supported(command: int) -> None:
    bench = Bench()
    bench.lock.connect(bench.now)
    assert send_raw(bench, command, b"\1\2\3") == refused_with(command, Refusal.NOT_SUPPORTED)


def test_a_payload_that_makes_no_sense_is_an_invalid_parameter() -> None:
    bench = Bench()
    bench.lock.connect(bench.now)
    assert send_raw(bench, 0x30, b"\1") == refused_with(0x30, Refusal.INVALID_PARAMETER)


def test_both_forms_of_no_payload_are_taken() -> None:
    bench = Bench()
    central = bench.central()
    bare = send_raw(bench, 0x34, b"")
    padded = encode_frame(
        Frame(version=Version(), command=0x34, payload=encrypt(KEYS.aes_key, b""))
    )
    bench.lock.receive(padded, bench.now)
    assert heard(bench) == bare
    central.close()


def test_a_damaged_frame_is_answered_or_not_as_the_firmware_likes() -> None:
    frame = bytearray(encode_frame(Frame(version=Version(), command=0x34, payload=b"")))
    frame[-3] ^= 1
    bench = Bench()
    bench.lock.connect(bench.now)
    bench.lock.receive(bytes(frame), bench.now)
    assert heard(bench) == refused_with(0x34, Refusal.CHECKSUM)
    silent = Bench(paired(habits=Habits(answers_damaged=False)))
    silent.lock.connect(silent.now)
    silent.lock.receive(bytes(frame), silent.now)
    assert heard(silent) == b""


def test_legacy_frames_are_passed_over() -> None:
    bench = Bench()
    bench.lock.connect(bench.now)
    bench.lock.receive(bytes.fromhex("7f5a03452a003e0d0a"), bench.now)
    assert heard(bench) == b""


def test_a_strict_lock_wants_its_own_family_in_the_header() -> None:
    foreign = Version(scene=1, group=9, organisation=9)
    tolerant = Bench()
    tolerant.lock.connect(tolerant.now)
    assert send_raw(tolerant, 0x34, b"", foreign) != refused_with(0x34, Refusal.FAILED)
    strict = Bench(paired(habits=Habits(is_header_strict=True)))
    strict.lock.connect(strict.now)
    assert send_raw(strict, 0x34, b"", foreign) == refused_with(0x34, Refusal.FAILED)
    ours = Version(group=9, organisation=9)
    assert send_raw(strict, 0x34, b"", ours) != refused_with(0x34, Refusal.FAILED)


def test_answers_carry_the_locks_own_header_and_come_in_small_pieces() -> None:
    version = Version(scene=2, group=10, organisation=34)
    bench = Bench(paired(version=version))
    bench.lock.connect(bench.now)
    request = encode_frame(Frame(version=Version(), command=0x34, payload=b""))
    for byte in request:
        bench.lock.receive(bytes((byte,)), bench.now)
    outputs = bench.lock.take_outputs()
    assert [len(each.data) for each in outputs if isinstance(each, Notify)] == [20, 11]
    whole = b"".join(each.data for each in outputs if isinstance(each, Notify))
    assert whole.endswith(b"\r\n")
    assert decode_frame(whole).version == version
    assert decode_frame(whole).command == 0x54


def test_one_central_at_a_time() -> None:
    bench = Bench()
    central = bench.central()
    assert bench.lock.is_connected
    with pytest.raises(NotConnectable):
        bench.central()
    central.close()
    central.close()
    assert not bench.lock.is_connected
    with pytest.raises(LinkDropped):
        central.request(GetState())
    bench.central()


def test_a_central_that_was_hung_up_on_is_not_heard() -> None:
    bench = Bench()
    central = bench.central()
    bench.advance(5)
    assert bench.lock.take_outputs() == [HangUp()]
    bench.lock.receive(b"\x7f", bench.now)
    assert bench.lock.take_outputs() == []
    assert not bench.lock.is_connected
    central.listen()
    central.is_open = False
    with pytest.raises(LinkDropped):
        central.request(GetState())


def test_an_idle_central_is_dropped_after_five_seconds_of_silence() -> None:
    bench = Bench()
    central = bench.central()
    bench.advance(4.9)
    central.request(GetState())
    bench.advance(4.9)
    assert bench.lock.is_connected
    bench.lock.receive(b"", bench.now)
    bench.advance(4.9)
    assert bench.lock.is_connected
    bench.advance(0.2)
    assert not bench.lock.is_connected


def test_a_flat_battery_ends_everything() -> None:
    bench = Bench(paired(battery=Battery(percent=0.2)))
    with pytest.raises(NotConnectable):
        bench.central()


def test_the_battery_sinks_while_somebody_is_connected() -> None:
    bench = Bench(paired(battery=Battery(percent=50, percent_per_connected_hour=3600)))
    central = bench.central()
    bench.advance(3)
    assert central.request(GetState()).battery_percent == 47
    central.close()
    assert bench.memory.battery.percent == 47
    bench.advance(100)
    assert bench.lock.battery_percent(bench.now) == 47


def test_true_time_needs_a_zone() -> None:
    with pytest.raises(LocalProtocolError):
        Bench().lock.tick(NOW.replace(tzinfo=None))


def test_every_request_of_the_registry_is_carried_out_by_somebody() -> None:
    """Where the registry knows a layout, the lock must know what to do."""
    kinds = {kind for each in requests().values() for kind in each}
    assert kinds == set(visit._handlers)
    assert Auth.ADMIN in {kind.auth for kind in kinds}


def test_a_request_without_a_handler_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "_handlers", {})
    central = Bench().central()
    assert refusal_of(central.request, GetState()) == Refusal.NOT_SUPPORTED


def test_silence_is_no_answer() -> None:
    bench = Bench()
    central = bench.central()
    bench.lock.disconnect(bench.now)
    with pytest.raises(NoAnswer):
        central.request(GetState())


def test_nothing_that_holds_secrets_shows_them() -> None:
    bench = Bench(replace(paired(), admin_passcode="2468135"))
    bench.admin()
    shown = repr(bench.memory)
    for secret in ("2468135", str(KEYS.admin_secret), str(KEYS.unlock_key), "a1b2c3", "\\xa1\\xb2"):
        assert secret not in shown
    assert repr(DEFAULT_KEY) not in shown


def test_a_refusal_is_said_with_its_command() -> None:
    with pytest.raises(CommandRefused, match="0x07"):
        Bench().central().request(GetPasscodes())

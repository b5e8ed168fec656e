"""Pairing a virtual lock: provisional until committed, and gone with the link before."""

from collections.abc import Iterator

import pytest

from ttlock_protocol.checksum import crc8
from ttlock_protocol.cipher import DEFAULT_KEY
from ttlock_protocol.errors import CommandRefused, KeyMismatch, Refusal
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.messages.auth import CheckAdmin, CheckRandom, CheckUser
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.operate import BoltState, GetState, Lock
from ttlock_protocol.messages.pairing import (
    AddAdmin,
    FinishPairing,
    GetAesKey,
    GetOfflinePasscodes,
    Hello,
    InitOfflinePasscodes,
    OfflineSeed,
)
from ttlock_protocol.messages.passcodes import GetPasscodes
from ttlock_protocol.procedures import NewSecrets, authenticate_admin, enrol, reset
from ttlock_protocol.virtual import KeypadReason, Notify, VirtualLock, new_factory_lock
from ttlock_protocol.virtual.central import Central
from ttlock_protocol.virtual.memory import Habits
from virtual_helpers import KEYS, LOCAL, MAC, NOW, ZONE, Bench, paired, refusal_of, stored

SECRETS = NewSecrets(admin_secret=111, unlock_key=222, admin_passcode="2468135")
ADD_ADMIN = AddAdmin(admin_secret=111, unlock_key=222)
SEEDS = InitOfflinePasscodes(
    first_year=26,
    seeds=tuple(OfflineSeed(code=year + 1, secret=9_876_543_210 + year) for year in range(10)),
)


@pytest.fixture
def factory() -> Bench:
    return Bench(new_factory_lock(mac=MAC, name="S999_332211", now=NOW, zone=ZONE))


@pytest.fixture
def central(factory: Bench) -> Iterator[Central]:
    """The first connection to a factory lock."""
    central = factory.central(DEFAULT_KEY)
    yield central
    central.close()


def pair(central: Central) -> LockKeys:
    procedure = enrol(SECRETS, local_time=LOCAL, version=lambda: central.session.version)
    return central.enrol(procedure).keys


def test_what_happens_at_the_door_outlives_a_pairing_that_does_not(
    factory: Bench, central: Central
) -> None:
    central.request(GetAesKey())
    central.request(ADD_ADMIN)
    factory.lock.turn_key(factory.now)
    left = factory.lock.durable_memory
    assert left.administrator is None
    central.close()
    assert factory.memory == left
    assert factory.memory.bolt.state is BoltState.UNLOCKED
    assert [each.log_type for each in factory.memory.log.records] == [LogType.KEY_UNLOCK]


def test_a_lock_that_was_just_paired_tells_nobody_its_key(factory: Bench, central: Central) -> None:
    pair(central)
    assert factory.lock.is_connected
    assert refusal_of(central.request, GetAesKey()) == Refusal.NOT_IN_SETTING_MODE
    assert refusal_of(central.request, ADD_ADMIN) == Refusal.NOT_IN_SETTING_MODE


def test_the_whole_procedure_pairs_for_good(factory: Bench, central: Central) -> None:
    keys = pair(central)
    central.close()
    assert factory.memory == factory.lock.durable_memory
    assert factory.type("2468135") == KeypadReason.OPENED_BY_ADMINISTRATOR
    again = factory.central(keys.aes_key)
    again.run(authenticate_admin(keys))
    assert again.request(GetPasscodes()).records == ()


def test_a_link_that_drops_before_the_commit_leaves_setting_mode(
    factory: Bench, central: Central
) -> None:
    before = factory.memory
    central.request(GetAesKey())
    central.request(ADD_ADMIN)
    assert factory.memory.administrator is not None
    assert factory.lock.durable_memory == before
    factory.advance(5)
    assert factory.memory.administrator is None
    assert not factory.memory.passcodes
    assert factory.central(DEFAULT_KEY).request(GetState()).battery_percent == 100


def test_whoever_is_pairing_is_the_administrator(central: Central) -> None:
    central.request(GetAesKey())
    assert refusal_of(central.request, GetPasscodes()) == Refusal.NO_ADMINISTRATOR
    central.request(ADD_ADMIN)
    assert central.request(GetPasscodes()).records == ()
    lock = Lock(proof=1, unique_id=1)
    assert refusal_of(central.request, lock) == Refusal.NO_PERMISSION
    challenge = central.request(CheckAdmin(admin_secret=111)).challenge
    central.request(CheckRandom(proof=challenge + 222))


def test_committing_twice_is_harmless(factory: Bench, central: Central) -> None:
    central.request(GetAesKey())
    central.request(ADD_ADMIN)
    central.request(FinishPairing())
    central.request(FinishPairing())
    central.close()
    assert factory.memory.administrator is not None


def test_the_key_is_the_same_for_as_long_as_the_link_lives(
    factory: Bench, central: Central
) -> None:
    first = central.request(GetAesKey()).key
    assert central.request(GetAesKey()).key == first
    central.close()
    assert factory.central(DEFAULT_KEY).request(GetAesKey()).key != first


def test_steps_out_of_order(central: Central) -> None:
    assert refusal_of(central.request, FinishPairing()) == Refusal.NO_ADMINISTRATOR
    assert refusal_of(central.request, ADD_ADMIN) == Refusal.NO_AES_KEY
    central.request(GetAesKey())
    assert refusal_of(central.request, FinishPairing()) == Refusal.NO_ADMINISTRATOR
    central.request(ADD_ADMIN)
    assert refusal_of(central.request, ADD_ADMIN) == Refusal.NOT_IN_SETTING_MODE


def test_an_unpaired_lock_has_no_administrator_and_no_users(central: Central) -> None:
    assert refusal_of(central.request, GetPasscodes()) == Refusal.NO_ADMINISTRATOR
    assert refusal_of(central.request, CheckAdmin(admin_secret=1)) == Refusal.IN_SETTING_MODE
    assert refusal_of(central.request, CheckUser()) == Refusal.IN_SETTING_MODE
    assert central.request(GetClock()).local_time == LOCAL
    assert central.request(Hello()).body == bytes((100,))


def test_a_paired_lock_does_not_hand_out_its_key() -> None:
    central = Bench().central()
    assert refusal_of(central.request, GetAesKey()) == Refusal.NOT_IN_SETTING_MODE
    assert refusal_of(central.request, ADD_ADMIN) == Refusal.NOT_IN_SETTING_MODE
    assert refusal_of(central.request, FinishPairing()) == Refusal.NOT_IN_SETTING_MODE


def replies(bench: Bench, frame: str) -> str:
    """Return the bytes, in hexadecimal, with which the lock answers ``frame``."""
    bench.lock.connect(bench.now)
    bench.lock.receive(bytes.fromhex(frame), bench.now)
    heard = b"".join(each.data for each in bench.lock.take_outputs() if isinstance(each, Notify))
    return heard.hex()


AES_KEY_REQUEST = "7f5a0503010001000119aa1026ed1d9258a1e428fcb48bbd1c0e5a46bc0d0a"
"""The reference's ``aeskey.req``; the locks here have scene 1, as its examples do."""
AES_KEY_REPLY = (
    "7f5a0503010001000119aa206697e1d20be730892235938636b6aa8152f8c1ce49dac222568c6b2f5d0dc791640d0a"
)
SCENE_1 = Version(scene=1)


def test_the_key_is_handed_out_in_the_references_own_frame() -> None:
    memory = new_factory_lock(mac=MAC, name="S999_332211", now=NOW, zone=ZONE, version=SCENE_1)
    bench = Bench(memory)
    bench.lock = VirtualLock(memory, entropy=lambda _: KEYS.aes_key)
    assert replies(bench, AES_KEY_REQUEST) == AES_KEY_REPLY


def test_it_is_refused_in_the_references_own_frame() -> None:
    assert replies(Bench(paired(version=SCENE_1)), AES_KEY_REQUEST) == (
        "7f5a0503010001000119aa10cdc022057948ed527d182ba558d0aa37570d0a"
    )


def test_the_empty_reply_is_the_references_own_frame() -> None:
    foreign = "7f5a0503010001000114aa1000000000000000000000000000000000"
    checksum = crc8(bytes.fromhex(foreign))
    assert replies(Bench(paired(version=SCENE_1)), f"{foreign}{checksum:02x}") == (
        "7f5a0503010001000154aa00520d0a"
    )


def test_a_white_label_lock_wants_its_own_token() -> None:
    memory = new_factory_lock(mac=MAC, name="S999_332211", now=NOW, zone=ZONE)
    bench = Bench(memory)
    bench.lock._body.change(habits=Habits(client_token=b"OTHER"))
    central = bench.central(DEFAULT_KEY)
    assert refusal_of(central.request, GetAesKey()) == Refusal.CLIENT_TOKEN_REFUSED
    central.request(GetAesKey(token=b"OTHER"))
    assert refusal_of(central.request, ADD_ADMIN) == Refusal.CLIENT_TOKEN_REFUSED


def test_reset_and_pair_again() -> None:
    bench = Bench()
    old = bench.central()
    assert old.run(reset(KEYS))
    assert not old.is_open
    new = bench.central(DEFAULT_KEY)
    keys = pair(new)
    new.close()
    with pytest.raises(KeyMismatch):
        bench.central().request(GetState())
    bench.lock.disconnect(bench.now)
    bench.central(keys.aes_key).run(authenticate_admin(keys))


class TestOfflineSeeds:
    def test_the_seed_of_the_year_on_the_clock_is_told(self) -> None:
        bench = Bench()
        central = bench.admin()
        central.request(SEEDS)
        told = central.request(GetOfflinePasscodes())
        assert (told.seed, told.cleared_at) == (SEEDS.seeds[0], LOCAL)
        bench.lock.shift_clock(2 * 366 * 86_400)
        assert central.request(GetOfflinePasscodes()).seed == SEEDS.seeds[2]

    @pytest.mark.parametrize("years", [-1, 10])
    def test_a_year_without_a_seed(self, years: int) -> None:
        bench = Bench()
        central = bench.admin()
        central.request(SEEDS)
        bench.lock.shift_clock(years * 366 * 86_400)
        with pytest.raises(CommandRefused, match="record_not_found"):
            central.request(GetOfflinePasscodes())

    def test_new_seeds_void_what_the_old_ones_made(self) -> None:
        own = stored("4711")
        bench = Bench(paired(passcodes=(stored("606060", is_cloud_generated=True), own)))
        bench.ask(SEEDS)
        assert bench.memory.passcodes == (own,)
        assert bench.type("606060") == KeypadReason.WRONG

"""Faults on the way: each action at each point, when it strikes, and that a seed repeats it."""

import random

import pytest

from ttlock_protocol.errors import CommandRefused, KeyMismatch, LocalProtocolError, Refusal
from ttlock_protocol.messages.admin import Reset
from ttlock_protocol.messages.auth import CheckAdmin
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.messages.operate import BoltState, GetState, State
from ttlock_protocol.messages.passcodes import AddPasscode, GetPasscodes, PasscodeType
from ttlock_protocol.procedures import LinkDropped, NoAnswer, list_passcodes, unlock
from ttlock_protocol.session import Damaged, Replied, Session, Stray
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint, Faults, Notify
from ttlock_protocol.virtual.central import Central
from virtual_helpers import KEYS, Bench, paired

ADD = AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode="135790")
DAMAGING = (FaultAction.CORRUPT, FaultAction.TEAR)


def at_request(action: FaultAction, **changes: object) -> Fault:
    return Fault(action=action, at=FaultPoint.REQUEST, **changes)  # type: ignore[arg-type]


def at_answer(action: FaultAction, **changes: object) -> Fault:
    return Fault(action=action, at=FaultPoint.ANSWER, **changes)  # type: ignore[arg-type]


def at_push(action: FaultAction) -> Fault:
    return Fault(action=action, at=FaultPoint.PUSH)


def admin_with(*faults: Fault) -> tuple[Bench, Central]:
    """Return an administrator's connection on which things go wrong from now on."""
    bench = Bench()
    central = bench.admin()
    bench.set_faults(*faults)
    return bench, central


def count(bench: Bench) -> int:
    return len(bench.memory.passcodes)


class TestRequests:
    def test_lost_nothing_is_done(self) -> None:
        bench, central = admin_with(at_request(FaultAction.LOSE))
        with pytest.raises(NoAnswer):
            central.request(ADD)
        assert (count(bench), bench.lock.is_connected) == (0, True)

    def test_dropped_nothing_is_done(self) -> None:
        bench, central = admin_with(at_request(FaultAction.DROP))
        with pytest.raises(LinkDropped):
            central.request(ADD)
        assert (count(bench), bench.lock.is_connected) == (0, False)

    def test_duplicated_it_is_done_twice(self) -> None:
        bench, central = admin_with(at_request(FaultAction.DUPLICATE))
        central.request(ADD)
        assert count(bench) == 1
        assert central.events == [Stray(ADD.opcode)]

    def test_corrupted_it_is_not_done_and_the_lock_says_so(self) -> None:
        bench, central = admin_with(at_request(FaultAction.CORRUPT))
        with pytest.raises(CommandRefused, match="checksum"):
            central.request(ADD)
        assert count(bench) == 0

    def test_refused_with_any_code(self) -> None:
        bench, central = admin_with(
            at_request(FaultAction.REFUSE, refusal=Refusal.STILL_PROCESSING)
        )
        with pytest.raises(CommandRefused, match="still_processing"):
            central.request(ADD)
        assert count(bench) == 0

    def test_answered_as_by_a_lock_with_another_key(self) -> None:
        bench, central = admin_with(at_request(FaultAction.EMPTY))
        with pytest.raises(KeyMismatch):
            central.request(ADD)
        assert count(bench) == 0


class TestAnswers:
    def test_lost_after_the_passcode_was_added(self) -> None:
        bench, central = admin_with(at_answer(FaultAction.LOSE, request="AddPasscode", nth=1))
        with pytest.raises(NoAnswer):
            central.request(ADD)
        assert [each.passcode for each in bench.memory.passcodes] == ["135790"]
        assert len(central.run(list_passcodes())) == 1

    def test_dropped_with_the_link(self) -> None:
        bench, central = admin_with(at_answer(FaultAction.DROP))
        with pytest.raises(LinkDropped):
            central.request(ADD)
        assert (count(bench), bench.lock.is_connected) == (1, False)

    def test_the_link_drops_behind_it(self) -> None:
        bench, central = admin_with(at_answer(FaultAction.DROP_AFTER))
        central.request(ADD)
        assert (count(bench), central.is_open) == (1, False)

    def test_duplicated(self) -> None:
        _, central = admin_with(at_answer(FaultAction.DUPLICATE))
        central.request(ADD)
        assert central.events == [Stray(ADD.opcode)]

    @pytest.mark.parametrize("place", [n / 100 for n in range(0, 100, 3)])
    def test_one_wrong_bit_anywhere_never_passes_for_an_answer(self, place: float) -> None:
        bench = Bench()
        central = bench.admin()
        bench.set_faults(at_answer(FaultAction.CORRUPT), draw=lambda: place)
        with pytest.raises((NoAnswer, KeyMismatch)):
            central.request(ADD)
        assert count(bench) == 1
        assert {type(each) for each in central.events} <= {Damaged}

    def test_split_into_pieces_of_any_size(self) -> None:
        bench = Bench()
        central = bench.admin()
        bench.set_faults(at_answer(FaultAction.SPLIT), draw=random.Random(4).random)
        bench.lock.receive(central.session.send(ADD), bench.now)
        outputs = [each for each in bench.lock.take_outputs() if isinstance(each, Notify)]
        assert len({len(each.data) for each in outputs}) > 1
        assert all(1 <= len(each.data) <= 20 for each in outputs)
        (event,) = [event for each in outputs for event in central.session.receive(each.data)]
        assert isinstance(event, Replied)

    def test_torn_and_followed_by_another(self) -> None:
        _, central = admin_with(at_answer(FaultAction.TEAR, nth=1))
        with pytest.raises(NoAnswer):
            central.request(GetState())
        assert central.request(GetState()).battery_percent == 100

    def test_delayed_by_its_first_piece(self) -> None:
        bench, central = admin_with(at_answer(FaultAction.DELAY, delay_s=2.5))
        bench.lock.receive(central.session.send(ADD), bench.now)
        outputs = [each for each in bench.lock.take_outputs() if isinstance(each, Notify)]
        assert [each.after_s for each in outputs] == [2.5] + [0.0] * (len(outputs) - 1)

    def test_a_push_goes_before(self) -> None:
        _, central = admin_with(at_answer(FaultAction.INTERLEAVE))
        central.request(ADD)
        assert [type(each) for each in central.pushes] == [State]

    def test_a_lock_that_does_it_and_says_no(self) -> None:
        bench, central = admin_with(
            at_answer(FaultAction.REFUSE, refusal=Refusal.MEMORY_FULL, request="AddPasscode")
        )
        with pytest.raises(CommandRefused, match="memory_full"):
            central.request(ADD)
        assert count(bench) == 1

    def test_a_lock_that_does_it_and_forgets_its_key(self) -> None:
        bench, central = admin_with(at_answer(FaultAction.EMPTY))
        with pytest.raises(KeyMismatch):
            central.request(ADD)
        assert count(bench) == 1


class TestPushes:
    def test_lost(self) -> None:
        bench = Bench(None, at_push(FaultAction.LOSE))
        central = bench.central()
        central.run(unlock(KEYS, unique_id=1))
        assert central.events == []
        assert bench.memory.bolt.state == BoltState.UNLOCKED

    def test_duplicated(self) -> None:
        central = Bench(None, at_push(FaultAction.DUPLICATE)).central()
        central.run(unlock(KEYS, unique_id=1))
        assert [type(each) for each in central.pushes] == [State, State]

    def test_the_link_drops_with_it(self) -> None:
        central = Bench(None, at_push(FaultAction.DROP)).central()
        central.run(unlock(KEYS, unique_id=1))
        assert (central.pushes, central.is_open) == ([], False)


def test_what_was_to_be_said_dies_with_the_link() -> None:
    bench = Bench(None, at_answer(FaultAction.DROP, request="Unlock"))
    central = bench.central()
    with pytest.raises(LinkDropped):
        central.run(unlock(KEYS, unique_id=1))
    assert (central.events, bench.lock.take_outputs()) == ([], [])


def test_a_second_answer_finds_no_link() -> None:
    bench, central = admin_with(
        at_request(FaultAction.DUPLICATE), at_answer(FaultAction.DROP_AFTER)
    )
    central.request(ADD)
    assert (central.events, count(bench)) == ([], 1)


def test_a_reset_hangs_up_once_however_often_the_link_drops() -> None:
    bench, central = admin_with(at_answer(FaultAction.DROP))
    with pytest.raises(LinkDropped):
        central.request(Reset())
    assert bench.memory.administrator is None


class TestWhen:
    def test_the_nth_frame_of_all(self) -> None:
        _, central = admin_with(at_request(FaultAction.LOSE, nth=2))
        central.request(GetClock())
        with pytest.raises(NoAnswer):
            central.request(GetClock())
        central.request(GetClock())

    def test_the_nth_answer_to_one_request(self) -> None:
        _, central = admin_with(at_answer(FaultAction.LOSE, request="GetClock", nth=2))
        for request in (GetState(), GetClock(), GetState()):
            central.request(request)
        with pytest.raises(NoAnswer):
            central.request(GetClock())

    def test_counting_goes_on_over_connections(self) -> None:
        bench = Bench(None, at_answer(FaultAction.DROP, request="CheckAdmin", nth=2))
        check = CheckAdmin(admin_secret=KEYS.admin_secret)
        first = bench.central()
        first.request(check)
        first.close()
        with pytest.raises(LinkDropped):
            bench.central().request(check)

    def test_a_chance(self) -> None:
        bench = Bench()
        central = bench.admin()
        draws = iter([0.29, 0.3, 0.0])
        bench.set_faults(at_request(FaultAction.LOSE, chance=0.3), draw=lambda: next(draws))
        with pytest.raises(NoAnswer):
            central.request(GetClock())
        central.request(GetClock())
        with pytest.raises(NoAnswer):
            central.request(GetClock())

    def test_a_seed_repeats_a_run(self) -> None:
        plan = FaultPlan(
            faults=(
                at_answer(FaultAction.LOSE, chance=0.3),
                at_answer(FaultAction.CORRUPT, chance=0.3),
                at_answer(FaultAction.SPLIT, chance=0.3),
                at_request(FaultAction.LOSE, chance=0.2),
            ),
            seed=7,
        )
        runs = [self.run(plan), self.run(plan)]
        assert runs[0] == runs[1]
        assert len(set(runs[0])) > 2

    def run(self, plan: FaultPlan) -> list[str]:
        bench = Bench()
        central = bench.admin()
        bench.lock.set_faults(Faults(plan, draw=random.Random(plan.seed).random))
        told = []
        for _ in range(40):
            try:
                central.request(GetClock())
            except (NoAnswer, KeyMismatch) as error:
                told.append(type(error).__name__)
            else:
                told.append(str(len(central.events)))
        return told

    def test_two_at_once(self) -> None:
        bench, central = admin_with(
            at_answer(FaultAction.LOSE),
            at_answer(FaultAction.INTERLEAVE),
            at_push(FaultAction.LOSE),
        )
        with pytest.raises(NoAnswer):
            central.request(ADD)
        assert [type(each) for each in central.pushes] == [State]
        assert count(bench) == 1

    def test_a_plan_for_a_lock_from_its_first_moment(self) -> None:
        bench = Bench(paired(), at_request(FaultAction.DROP))
        with pytest.raises(LinkDropped):
            bench.central().request(GetPasscodes())


@pytest.mark.parametrize(
    "fault",
    [
        {"action": FaultAction.SPLIT, "at": FaultPoint.REQUEST},
        {"action": FaultAction.REFUSE, "at": FaultPoint.PUSH},
        {"action": FaultAction.LOSE, "at": FaultPoint.ANSWER, "request": "AddPasscodes"},
        {"action": FaultAction.LOSE, "at": FaultPoint.ANSWER, "nth": 0},
        {"action": FaultAction.LOSE, "at": FaultPoint.ANSWER, "chance": 1.5},
        {"action": FaultAction.DELAY, "at": FaultPoint.ANSWER, "delay_s": -1.0},
    ],
)
def test_impossible_faults(fault: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        Fault(**fault)  # type: ignore[arg-type]


def test_a_session_hears_the_faults_as_any_other_bytes() -> None:
    """The faulty lock writes to a plain session, as the radio would."""
    bench = Bench(None, at_answer(FaultAction.DUPLICATE))
    session = Session(key=KEYS.aes_key, version=bench.memory.version)
    bench.lock.connect(bench.now)
    bench.lock.receive(session.send(GetState()), bench.now)
    heard = b"".join(each.data for each in bench.lock.take_outputs() if isinstance(each, Notify))
    assert [type(each).__name__ for each in session.receive(heard)] == ["Replied", "Push"]

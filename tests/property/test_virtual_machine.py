"""Random commands with random faults against a plain model of a lock.

What the client is told must be true. Where it is told nothing, or something that a repeat by the
radio explains as well, the outcome is unknown, and reading back over the air must settle it: as if
the command had been carried out, or as if it had not.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ttlock_protocol.errors import CommandRefused, KeyMismatch
from ttlock_protocol.message import Request
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.cards import (
    AddCard,
    CardRecord,
    ClearCards,
    DeleteCard,
    ModifyCard,
)
from ttlock_protocol.messages.clock import GetClock, SetClock
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    ClearPasscodes,
    DeletePasscode,
    ModifyPasscode,
    PasscodeRecord,
    PasscodeType,
)
from ttlock_protocol.messages.settings import GetAutoLock, SetAutoLock
from ttlock_protocol.procedures import (
    LinkDropped,
    NoAnswer,
    Procedure,
    ask,
    authenticate_admin,
    list_cards,
    list_passcodes,
)
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint, Faults, KeypadReason
from ttlock_protocol.virtual.central import Central
from ttlock_protocol.virtual.memory import Capacity
from virtual_helpers import KEYS, LOCAL, Bench, paired

# All of one length: prefixes shadow each other, and that has tests of its own.
PASSCODES = st.sampled_from(["111111", "222222", "333333", "444444", "555000"])
CARDS = st.sampled_from([b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\0\0\0\0\3"])
WINDOWS = st.sampled_from([(LOCAL, LOCAL + timedelta(hours=hours)) for hours in (1, 2)])
TIMES = st.sampled_from([LOCAL + timedelta(days=days) for days in range(3)])

HONEST = {
    FaultPoint.REQUEST: (
        FaultAction.LOSE,
        FaultAction.DROP,
        FaultAction.DUPLICATE,
        FaultAction.CORRUPT,
        FaultAction.EMPTY,
    ),
    FaultPoint.ANSWER: (
        FaultAction.LOSE,
        FaultAction.DROP,
        FaultAction.DROP_AFTER,
        FaultAction.DUPLICATE,
        FaultAction.CORRUPT,
        FaultAction.SPLIT,
        FaultAction.TEAR,
        FaultAction.INTERLEAVE,
        FaultAction.EMPTY,
    ),
}
"""All but the lie of a lock that refuses what it has just done: no client can see through that."""
FAULTS = [Fault(action=action, at=at, chance=0.05) for at in HONEST for action in HONEST[at]]
UNTOLD = (NoAnswer, LinkDropped, KeyMismatch)
FEW = 3


@dataclass(frozen=True)
class Model:
    """A lock, as plain as can be."""

    passcodes: dict[str, PasscodeRecord] = field(default_factory=dict)
    cards: dict[bytes, CardRecord] = field(default_factory=dict)
    clock: datetime = LOCAL
    auto_lock_s: int = 5

    def with_passcode(self, record: PasscodeRecord) -> "Model | None":
        if record.passcode in self.passcodes or len(self.passcodes) == FEW:
            return None
        return replace(self, passcodes={**self.passcodes, record.passcode: record})

    def without_passcode(self, digits: str) -> "Model | None":
        if digits not in self.passcodes:
            return None
        left = {key: each for key, each in self.passcodes.items() if key != digits}
        return replace(self, passcodes=left)

    def renamed(self, old: str, new: str) -> "Model | None":
        if old not in self.passcodes or (new != old and new in self.passcodes):
            return None
        renamed = {
            (new if key == old else key): (replace(each, passcode=new) if key == old else each)
            for key, each in self.passcodes.items()
        }
        return replace(self, passcodes=renamed)

    def with_card(self, card: CardRecord) -> "Model | None":
        others = {key: each for key, each in self.cards.items() if key != card.card_number}
        if len(others) == FEW - 1 and card.card_number not in self.cards:
            return None
        return replace(self, cards={**others, card.card_number: card})

    def with_card_window(self, card: CardRecord) -> "Model | None":
        if card.card_number not in self.cards:
            return None
        return replace(self, cards={**self.cards, card.card_number: card})

    def without_card(self, number: bytes) -> "Model | None":
        if number not in self.cards:
            return None
        return replace(self, cards={k: each for k, each in self.cards.items() if k != number})


class LockMachine(RuleBasedStateMachine):
    bench: Bench
    central: Central | None

    @initialize(seed=st.integers(0, 2**32 - 1), is_faulty=st.booleans())
    def begin(self, seed: int, is_faulty: bool) -> None:
        self.bench = Bench(paired(capacity=Capacity(passcodes=FEW, cards=FEW - 1)))
        self.central = None
        self.model = Model()
        self.plan = FaultPlan(faults=tuple(FAULTS) if is_faulty else ())
        self.draw = random.Random(seed).random
        self.bench.lock.set_faults(Faults(self.plan, draw=self.draw))
        self.unknown = 0

    def visit(self) -> Central:
        """Return a connection with an administrator on it, however often it takes."""
        while self.central is None or not self.central.is_open:
            self.leave()
            central = self.bench.central()
            try:
                central.run(authenticate_admin(KEYS))
            except (*UNTOLD, CommandRefused):
                central.close()
            else:
                self.central = central
        return self.central

    def leave(self) -> None:
        if self.central is not None:
            self.central.close()
            self.central = None

    def read(self, procedure: Callable[[], Procedure[Any]]) -> Any:
        """Read something, as often as it takes: reading changes nothing."""
        while True:
            try:
                return self.visit().run(procedure())
            except (*UNTOLD, CommandRefused):
                self.leave()

    def read_back(self) -> Model:
        """Return what the lock says of itself over the air."""
        passcodes = self.read(list_passcodes)
        cards = self.read(list_cards)
        return Model(
            passcodes={each.passcode: each for each in passcodes},
            cards={each.card_number: each for each in cards},
            clock=self.read(lambda: ask(GetClock())).local_time,
            auto_lock_s=self.read(lambda: ask(GetAutoLock())).delay_s,
        )

    def do(self, request: Request[Any], after: Model | None) -> None:
        """Ask the lock for something; ``after`` is what it leads to, ``None`` if it is refused."""
        try:
            self.visit().request(request)
        except CommandRefused:
            if after is None:
                return
            # The first of two that the radio made of one may have done it; or a checksum said no.
        except UNTOLD:
            self.leave()
        else:
            assert after is not None, "the lock did what it had to refuse"
            self.model = after
            return
        self.unknown += 1
        found = self.read_back()
        assert found in (self.model, after or self.model)
        self.model = found

    @rule(digits=PASSCODES, window=st.none() | WINDOWS)
    def add_passcode(self, digits: str, window: tuple[datetime, datetime] | None) -> None:
        kind = PasscodeType.PERMANENT if window is None else PasscodeType.PERIOD
        record = PasscodeRecord(
            passcode_type=kind,
            passcode=digits,
            original_passcode=digits,
            valid_from=PERMANENT_FROM if window is None else window[0],
            valid_until=None if window is None else window[1],
        )
        request = AddPasscode(
            passcode_type=kind,
            passcode=digits,
            valid_from=record.valid_from,
            valid_until=record.valid_until,
        )
        self.do(request, self.model.with_passcode(record))

    @rule(digits=PASSCODES)
    def delete_passcode(self, digits: str) -> None:
        self.do(DeletePasscode(passcode=digits), self.model.without_passcode(digits))

    @rule(old=PASSCODES, new=PASSCODES)
    def modify_passcode(self, old: str, new: str) -> None:
        self.do(ModifyPasscode(passcode=old, new_passcode=new), self.model.renamed(old, new))

    @rule()
    def clear_passcodes(self) -> None:
        self.do(ClearPasscodes(), replace(self.model, passcodes={}))

    @rule(number=CARDS, window=WINDOWS)
    def add_card(self, number: bytes, window: tuple[datetime, datetime]) -> None:
        card = CardRecord(card_number=number, valid_from=window[0], valid_until=window[1])
        request = AddCard(card_number=number, valid_from=window[0], valid_until=window[1])
        self.do(request, self.model.with_card(card))

    @rule(number=CARDS, window=WINDOWS)
    def modify_card(self, number: bytes, window: tuple[datetime, datetime]) -> None:
        card = CardRecord(card_number=number, valid_from=window[0], valid_until=window[1])
        request = ModifyCard(card_number=number, valid_from=window[0], valid_until=window[1])
        self.do(request, self.model.with_card_window(card))

    @rule(number=CARDS)
    def delete_card(self, number: bytes) -> None:
        self.do(DeleteCard(card_number=number), self.model.without_card(number))

    @rule()
    def clear_cards(self) -> None:
        self.do(ClearCards(), replace(self.model, cards={}))

    @rule(local_time=TIMES)
    def set_clock(self, local_time: datetime) -> None:
        self.do(SetClock(local_time=local_time), replace(self.model, clock=local_time))

    @rule(delay_s=st.sampled_from([0, 5, 900, 901]))
    def set_auto_lock(self, delay_s: int) -> None:
        after = None if delay_s > 900 else replace(self.model, auto_lock_s=delay_s)
        self.do(SetAutoLock(delay_s=delay_s), after)

    @rule()
    def hang_up(self) -> None:
        self.leave()

    @precondition(lambda self: self.model.passcodes)
    @rule(choice=st.randoms(use_true_random=False))
    def type_what_is_there(self, choice: random.Random) -> None:
        record = choice.choice(
            sorted(self.model.passcodes.values(), key=lambda each: each.passcode)
        )
        until = record.valid_until
        if self.model.clock < record.valid_from:
            expected = KeypadReason.NOT_YET_VALID
        elif until is not None and self.model.clock >= until + timedelta(minutes=1):
            expected = KeypadReason.EXPIRED
        else:
            expected = KeypadReason.OPENED
        assert self.bench.type(record.passcode) == expected

    @invariant()
    def what_the_client_believes_is_true(self) -> None:
        memory = self.bench.memory
        assert {each.passcode: each.record for each in memory.passcodes} == self.model.passcodes
        assert {each.card_number: each for each in memory.cards} == self.model.cards
        assert self.bench.lock.local_time(self.bench.now) == self.model.clock
        assert memory.settings.auto_lock_s == self.model.auto_lock_s


LockMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, print_blob=True
)
TestLockMachine = LockMachine.TestCase

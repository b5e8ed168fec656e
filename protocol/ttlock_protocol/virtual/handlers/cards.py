"""IC cards (reference 6.7)."""

from __future__ import annotations

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Opcode
from ttlock_protocol.messages.cards import (
    AddCard,
    CardLearning,
    CardPage,
    CardRecord,
    CardsChanged,
    ClearCards,
    DeleteCard,
    GetCards,
    LearnCard,
    ModifyCard,
)
from ttlock_protocol.messages.learning import LearnStatus
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.pages import NO_MORE
from ttlock_protocol.virtual import panel
from ttlock_protocol.virtual.visit import Refused, Visit, handles


@handles(GetCards)
def get_page(visit: Visit, request: GetCards) -> CardPage:
    """Tell one card; the page behind the last one is empty."""
    visit.require_feature(Feature.CARD)
    cards = visit.body.memory.cards
    is_there = request.cursor < len(cards)
    return CardPage(
        battery_percent=visit.battery_percent,
        next_cursor=request.cursor + 1 if is_there else NO_MORE,
        records=cards[request.cursor : request.cursor + 1],
    )


@handles(LearnCard)
def learn(visit: Visit, _: LearnCard) -> CardLearning:
    """Wait for a card."""
    visit.require_feature(Feature.CARD)
    _require_space(visit)
    visit.learn(Opcode.CARDS)
    return CardLearning(
        battery_percent=visit.battery_percent, status=LearnStatus.READY, card_number=None
    )


@handles(AddCard)
def add(visit: Visit, request: AddCard) -> CardLearning:
    """Add a card whose number is known; one that is there gets the new validity."""
    visit.require_feature(Feature.CARD)
    if panel.find_card(visit.body, request.card_number) is None:
        _require_space(visit)
    panel.store_card(
        visit.body,
        CardRecord(
            card_number=request.card_number,
            valid_from=request.valid_from,
            valid_until=request.valid_until,
        ),
        visit.now,
    )
    return CardLearning(
        battery_percent=visit.battery_percent,
        status=LearnStatus.DONE,
        card_number=request.card_number,
    )


@handles(ModifyCard)
def modify(visit: Visit, request: ModifyCard) -> CardsChanged:
    """Change the validity of one card."""
    visit.require_feature(Feature.CARD)
    at = _place(visit, request.card_number)
    cards = visit.body.memory.cards
    changed = CardRecord(
        card_number=request.card_number,
        valid_from=request.valid_from,
        valid_until=request.valid_until,
    )
    visit.body.change(cards=(*cards[:at], changed, *cards[at + 1 :]))
    return _changed(visit, request.operation)


@handles(DeleteCard)
def delete(visit: Visit, request: DeleteCard) -> CardsChanged:
    """Remove one card and its weekly hours."""
    visit.require_feature(Feature.CARD)
    at = _place(visit, request.card_number)
    cards = visit.body.memory.cards
    visit.body.change(cards=cards[:at] + cards[at + 1 :])
    panel.forget_schedules(visit.body, request.card_number)
    visit.body.record(visit.now, LogType.CARD_DELETED, card_number=request.card_number)
    return _changed(visit, request.operation)


@handles(ClearCards)
def clear(visit: Visit, request: ClearCards) -> CardsChanged:
    """Remove all cards and their weekly hours."""
    visit.require_feature(Feature.CARD)
    for card in visit.body.memory.cards:
        panel.forget_schedules(visit.body, card.card_number)
    visit.body.change(cards=())
    visit.body.record(visit.now, LogType.CARDS_CLEARED)
    return _changed(visit, request.operation)


def _place(visit: Visit, number: bytes) -> int:
    found = panel.find_card(visit.body, number)
    if found is None:
        raise Refused(Refusal.CARD_NOT_FOUND)
    return visit.body.memory.cards.index(found)


def _require_space(visit: Visit) -> None:
    memory = visit.body.memory
    if len(memory.cards) >= memory.capacity.cards:
        raise Refused(Refusal.MEMORY_FULL)


def _changed(visit: Visit, operation: int) -> CardsChanged:
    return CardsChanged(battery_percent=visit.battery_percent, operation=operation)

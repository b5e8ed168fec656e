import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from ttlock_agent.errors import JournalError, JournalProblem
from ttlock_agent.mqtt.bridge import JOURNAL_PAUSE_S, OutboxPublisher
from ttlock_agent.mqtt.errors import BrokerUnavailable, PublishRefused
from ttlock_agent.publication import Publication

NOW = datetime(2026, 12, 1, tzinfo=UTC)
PAGE = 2


@dataclass(frozen=True)
class Entry:
    id: int
    publication: Publication
    queued_at: datetime = NOW


class Shelf:
    """An outbox in memory, in pages."""

    def __init__(self, *publications: Publication) -> None:
        self.wake = asyncio.Event()
        self.emptied = asyncio.Event()
        self._entries: dict[int, Entry] = {}
        self._next_id = 1
        for publication in publications:
            self.add(publication)

    def add(self, publication: Publication, *, queued_at: datetime = NOW) -> None:
        self._entries[self._next_id] = Entry(self._next_id, publication, queued_at)
        self._next_id += 1
        self.wake.set()

    @property
    def topics(self) -> list[str]:
        return [entry.publication.topic for entry in self._entries.values()]

    async def outbox(self, *, after: int = 0) -> Sequence[Entry]:
        return [entry for entry in self._entries.values() if entry.id > after][:PAGE]

    async def outbox_done(self, *entry_ids: int) -> None:
        for entry_id in entry_ids:
            del self._entries[entry_id]
        if not self._entries:
            self.emptied.set()


class Broker:
    """A publisher that can be away and can refuse topics."""

    def __init__(self, *, is_here: bool = True) -> None:
        self.taken: list[Publication] = []
        self.refused = asyncio.Event()
        self.refuses: set[str] = set()
        self.fails_next = 0
        self._here = asyncio.Event()
        self.is_here = is_here

    @property
    def is_here(self) -> bool:
        return self._here.is_set()

    @is_here.setter
    def is_here(self, value: bool) -> None:
        if value:
            self._here.set()
        else:
            self._here.clear()

    async def wait_connected(self) -> None:
        await self._here.wait()

    async def publish(self, publication: Publication) -> None:
        if self.fails_next:
            self.fails_next -= 1
            raise BrokerUnavailable("lost")
        if publication.topic in self.refuses:
            self.refused.set()
            raise PublishRefused("no", reason="Not authorized")
        self.taken.append(publication)

    @property
    def topics(self) -> list[str]:
        return [publication.topic for publication in self.taken]


class StoppedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the publisher does not sleep")


class NappingClock(StoppedClock):
    """Sleeps take no time, and wake whoever waits for the end of the trouble."""

    def __init__(self) -> None:
        self.naps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def publishing(
    shelf: Shelf,
    broker: Broker,
    *,
    refused_pause_s: float = 3600,
    clock: StoppedClock | None = None,
) -> AsyncIterator[None]:
    publisher = OutboxPublisher(
        shelf,
        broker,
        clock=clock or StoppedClock(),
        wake=shelf.wake,
        refused_pause_s=refused_pause_s,
    )
    task = asyncio.ensure_future(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def letters(text: str) -> list[Publication]:
    return [Publication(letter, b"") for letter in text]


async def test_all_pages_go_out_in_order() -> None:
    shelf, broker = Shelf(*letters("abcde")), Broker()
    async with publishing(shelf, broker):
        await shelf.emptied.wait()
    assert broker.topics == list("abcde")


async def test_nothing_goes_out_without_a_connection() -> None:
    shelf, broker = Shelf(*letters("ab")), Broker(is_here=False)
    async with publishing(shelf, broker):
        await asyncio.sleep(0)
        assert shelf.topics == ["a", "b"]
        broker.is_here = True
        await shelf.emptied.wait()
    assert broker.topics == ["a", "b"]


async def test_what_is_added_later_goes_out_when_woken() -> None:
    shelf, broker = Shelf(*letters("a")), Broker()
    async with publishing(shelf, broker):
        await shelf.emptied.wait()
        shelf.emptied.clear()
        shelf.add(Publication("b", b""))
        await shelf.emptied.wait()
    assert broker.topics == ["a", "b"]


async def test_a_connection_lost_in_the_middle_loses_and_reorders_nothing() -> None:
    shelf, broker = Shelf(*letters("abc")), Broker()
    broker.fails_next = 2
    async with publishing(shelf, broker):
        await shelf.emptied.wait()
    assert broker.topics == ["a", "b", "c"]


async def test_a_refused_topic_waits_in_order_while_the_others_go_on() -> None:
    first, second = Publication("b", b"1"), Publication("b", b"2")
    shelf, broker = Shelf(Publication("a", b""), first, Publication("c", b""), second), Broker()
    broker.refuses = {"b"}
    async with publishing(shelf, broker):
        await broker.refused.wait()
        while "c" in shelf.topics:
            await asyncio.sleep(0)
        assert shelf.topics == ["b", "b"]
        broker.refuses = set()
        shelf.wake.set()
        await shelf.emptied.wait()
    assert broker.topics == ["a", "c", "b", "b"]
    assert broker.taken[-2:] == [first, second]


async def test_a_refused_topic_is_tried_again_unasked() -> None:
    shelf, broker = Shelf(*letters("a")), Broker()
    broker.refuses = {"a"}
    async with publishing(shelf, broker, refused_pause_s=0.01):
        await broker.refused.wait()
        broker.refuses = set()
        await shelf.emptied.wait()
    assert broker.topics == ["a"]


async def test_waiting_counts_against_the_expiry_but_swallows_nothing() -> None:
    shelf, broker = Shelf(), Broker()
    publication = Publication("a", b"", expiry_s=3600)
    for age_s in (0, 600, 86_400, -86_400):
        shelf.add(publication, queued_at=NOW - timedelta(seconds=age_s))
    shelf.add(Publication("a", b""), queued_at=NOW - timedelta(days=1))
    async with publishing(shelf, broker):
        await shelf.emptied.wait()
    assert [publication.expiry_s for publication in broker.taken] == [3600, 3000, 1, 3600, None]


class TroubledShelf(Shelf):
    """An outbox whose journal fails at the calls named."""

    def __init__(self, *publications: Publication, fails_at: set[str]) -> None:
        super().__init__(*publications)
        self.fails_at = fails_at

    def _fail(self, call: str) -> None:
        if call in self.fails_at:
            self.fails_at.discard(call)
            raise JournalError("full", problem=JournalProblem.DISK_FULL)

    async def outbox(self, *, after: int = 0) -> Sequence[Entry]:
        self._fail("outbox")
        return await super().outbox(after=after)

    async def outbox_done(self, *entry_ids: int) -> None:
        self._fail("done")
        await super().outbox_done(*entry_ids)


@pytest.mark.parametrize("call", ["outbox", "done"])
async def test_a_failing_journal_is_waited_for_and_nothing_is_lost(call: str) -> None:
    shelf = TroubledShelf(*letters("abc"), fails_at={call})
    broker, clock = Broker(), NappingClock()
    async with publishing(shelf, broker, clock=clock):
        await shelf.emptied.wait()
    assert clock.naps == [JOURNAL_PAUSE_S]
    assert set(broker.topics) == set("abc")


async def test_a_publisher_that_is_stopped_stops_although_the_journal_fails() -> None:
    shelf, broker = TroubledShelf(*letters("ab"), fails_at={"done"}), Broker()
    is_stuck = asyncio.Event()
    take = broker.publish

    async def publish(publication: Publication) -> None:
        if broker.taken:
            is_stuck.set()
            await asyncio.Event().wait()
        await take(publication)

    broker.publish = publish  # type: ignore[method-assign]
    clock = NappingClock()
    publisher = OutboxPublisher(shelf, broker, clock=clock, wake=shelf.wake)
    running = asyncio.create_task(publisher.run())
    await is_stuck.wait()
    running.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert running.cancelled()
    assert clock.naps == []


async def test_what_a_broker_took_before_it_went_is_not_said_again() -> None:
    shelf, broker = Shelf(*letters("ab")), Broker()
    taken = broker.publish

    async def once(publication: Publication) -> None:
        if broker.taken:
            broker.publish = taken  # type: ignore[method-assign]
            raise BrokerUnavailable("lost")
        await taken(publication)

    broker.publish = once  # type: ignore[method-assign]
    async with publishing(shelf, broker):
        await shelf.emptied.wait()
    assert broker.topics == ["a", "b"]

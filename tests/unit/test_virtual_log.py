"""The virtual lock's log: ring, numbers, bookmark."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ttlock_protocol.errors import Refusal
from ttlock_protocol.messages.log import OLDEST, UNREAD, GetLog, LogRecord, LogType
from ttlock_protocol.procedures import read_log
from ttlock_protocol.virtual.memory import LAST_LOG_NUMBER, LOG_CAPACITY, Log
from virtual_helpers import LOCAL, Bench, paired, refusal_of


def record(number: int) -> LogRecord:
    return LogRecord(log_type=LogType.WRONG_PASSCODE, recorded_at=LOCAL, battery=number % 100)


def filled(count: int) -> Log:
    log = Log()
    for number in range(count):
        log = log.appended(record(number))
    return log


def bench_with(count: int, *, written: int | None = None) -> Bench:
    log = filled(count)
    return Bench(paired(log=log if written is None else replace(log, written=written)))


def pages(bench: Bench, cursor: int) -> Iterator[tuple[int, int]]:
    """Yield (number, battery) of each record from ``cursor`` on, as clients read on."""
    central = bench.central()
    while (page := central.request(GetLog(cursor=cursor))).next_cursor is not None:
        (only,) = page.records
        assert isinstance(only, LogRecord)
        yield page.next_cursor - 1, only.battery
        cursor = page.next_cursor
    central.close()


def test_records_are_numbered_from_one_and_read_one_a_page() -> None:
    assert list(pages(bench_with(3), OLDEST)) == [(1, 0), (2, 1), (3, 2)]


def test_a_cursor_goes_on_behind_what_was_read() -> None:
    bench = bench_with(5)
    assert list(pages(bench, 4)) == [(4, 3), (5, 4)]
    assert list(pages(bench, 6)) == []


def test_an_empty_log_ends_at_once() -> None:
    assert list(pages(Bench(), OLDEST)) == []
    assert list(pages(Bench(), UNREAD)) == []


def test_a_cursor_beyond_the_newest_record_is_refused() -> None:
    bench = bench_with(5)
    for cursor in (7, 100, 0xFFF0):
        request = GetLog(cursor=cursor)
        ask = bench.central()
        assert refusal_of(ask.request, request) == Refusal.RECORD_NOT_FOUND
        ask.close()


def test_the_ring_forgets_the_oldest_and_old_cursors_begin_at_what_is_left() -> None:
    bench = bench_with(LOG_CAPACITY + 20)
    assert len(bench.memory.log.records) == LOG_CAPACITY
    assert next(pages(bench, OLDEST)) == (21, 20)
    bench.lock.disconnect(bench.now)
    assert next(pages(bench, 5)) == (21, 20)


def test_numbers_start_again_behind_the_last_one() -> None:
    bench = bench_with(4, written=LAST_LOG_NUMBER + 2)
    expected = [(LAST_LOG_NUMBER - 1, 0), (LAST_LOG_NUMBER, 1), (1, 2), (2, 3)]
    assert list(pages(bench, OLDEST)) == expected
    assert list(pages(bench, LAST_LOG_NUMBER)) == expected[1:]
    assert list(pages(bench, 2)) == expected[3:]


def test_reading_unread_records_moves_the_shared_bookmark() -> None:
    bench = bench_with(3)
    assert bench.memory.log.has_unread
    assert list(pages(bench, UNREAD)) == [(1, 0), (2, 1), (3, 2)]
    assert not bench.memory.log.has_unread
    assert list(pages(bench, UNREAD)) == []
    bench.type("0000")
    assert bench.memory.log.has_unread
    assert [number for number, _ in pages(bench, UNREAD)] == [4]


def test_the_bookmark_may_have_fallen_out_of_the_ring() -> None:
    bench = bench_with(3)
    list(pages(bench, UNREAD))
    for _ in range(LOG_CAPACITY + 10):
        bench.lock._body.record(bench.now, LogType.KEY_UNLOCK)
    assert next(pages(bench, UNREAD))[0] == 14


@pytest.mark.parametrize("cursor", [OLDEST, 2])
def test_reading_by_cursor_leaves_the_bookmark_alone(cursor: int) -> None:
    bench = bench_with(3)
    central = bench.central()
    assert central.run(read_log(cursor=cursor, limit=9)).next_cursor == 4
    assert bench.memory.log.bookmark == 0

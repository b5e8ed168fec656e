"""The operation log, its ring and its bookmark (reference 6.16)."""

from __future__ import annotations

from dataclasses import replace

from ttlock_protocol.errors import Refusal
from ttlock_protocol.messages.log import OLDEST, UNREAD, GetLog, LogPage
from ttlock_protocol.virtual.memory import LAST_LOG_NUMBER, Log
from ttlock_protocol.virtual.visit import Refused, Visit, handles


@handles(GetLog)
def get_page(visit: Visit, request: GetLog) -> LogPage:
    """Tell one record; asking for unread ones moves the bookmark behind the newest."""
    log = visit.body.memory.log
    if request.cursor == UNREAD:
        place = max(log.bookmark, log.first)
        visit.body.change(log=replace(log, bookmark=log.written))
    elif request.cursor == OLDEST:
        place = log.first
    else:
        place = _place(log, request.cursor)
    if place >= log.written:
        return LogPage(next_cursor=None)
    number = 1 + place % LAST_LOG_NUMBER
    return LogPage(next_cursor=number + 1, records=(log.records[place - log.first],))


def _place(log: Log, cursor: int) -> int:
    """Return which record ``cursor`` means, counted over all that were ever written.

    One that fell out of the ring means the oldest there is; one behind the newest record's
    successor is refused.
    """
    if cursor - 1 > LAST_LOG_NUMBER:
        raise Refused(Refusal.RECORD_NOT_FOUND)
    ahead = (cursor - 1 - log.first) % LAST_LOG_NUMBER
    if ahead <= len(log.records):
        return log.first + ahead
    beyond_newest = ahead - len(log.records)
    before_oldest = LAST_LOG_NUMBER - ahead
    if before_oldest <= min(log.first, beyond_newest):
        return log.first
    raise Refused(Refusal.RECORD_NOT_FOUND)

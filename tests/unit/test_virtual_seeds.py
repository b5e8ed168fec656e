"""Seeds for passcodes of the cloud: what the lock tells about them fits into its answer."""

from __future__ import annotations

from datetime import timedelta

from ttlock_protocol.messages.pairing import (
    SEED_YEARS,
    GetOfflinePasscodes,
    InitOfflinePasscodes,
    OfflinePasscodes,
    OfflineSeed,
)
from virtual_helpers import LOCAL, Bench


def test_the_moment_of_a_reset_is_told_to_the_minute() -> None:
    bench = Bench()
    bench.now += timedelta(seconds=7)
    seed = OfflineSeed(code=1, secret=2)
    init = InitOfflinePasscodes(first_year=LOCAL.year % 100, seeds=(seed,) * SEED_YEARS)
    answer = bench.ask(init, GetOfflinePasscodes())
    assert isinstance(answer, OfflinePasscodes)
    assert (answer.seed, answer.cleared_at) == (seed, LOCAL)

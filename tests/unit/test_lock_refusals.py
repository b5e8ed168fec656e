"""Every "no" of a lock has a name, a sentence and a next step."""

import pytest

from ttlock_agent.errors import KeysRejected, LockRefused
from ttlock_agent.lock.refusals import MEANINGS, refused
from ttlock_protocol.errors import CommandRefused, Refusal

KEYS_ARE_WRONG = {
    "WRONG_ADMIN_SECRET", "WRONG_DYNAMIC_CODE", "IN_SETTING_MODE", "NO_ADMINISTRATOR",
    "NO_AES_KEY", "EKEYS_WERE_RESET",
}  # fmt: skip
PASSING = {"CHECKSUM", "STILL_PROCESSING"}


@pytest.mark.parametrize("refusal", Refusal, ids=lambda each: each.name)
def test_every_refusal_means_something(refusal: Refusal) -> None:
    error = refused(CommandRefused(3, refusal))
    assert error.message.endswith(".")
    assert error.hint
    if refusal.name in KEYS_ARE_WRONG:
        assert isinstance(error, KeysRejected)
        return
    assert isinstance(error, LockRefused)
    assert error.retryable is (refusal.name in PASSING)
    if refusal in MEANINGS:
        assert error.code == refusal.name.lower()
    else:
        assert error.code == "lock_refused"
        assert refusal.name.lower() in error.message


def test_a_number_nobody_knows_is_named_by_it() -> None:
    error = refused(CommandRefused(3, Refusal(0x77)))
    assert error.code == "lock_refused"
    assert "119" in error.message

"""Makes a wiped lock ours, in steps each of which may be the last before a power cut.

The keys are in the vault before the lock hears of them. From then on one question decides
everything: does the lock know these keys? If so it is ours; if not, it fell back to setting mode
and they are worth nothing. No keys are let go of before the lock has taken others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from ttlock_agent.errors import KeysRejected, LinkLost, LockRefused, OutcomeUnknown
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.keyring import Keyring
from ttlock_agent.lock.setting_mode import SettingMode
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.procedures import NewSecrets
from ttlock_protocol.procedures.ownership import MAX_SECRET

log = structlog.get_logger()

DEAD_KEYS: Final = (
    "The vendor's app and the gateway hold dead keys for this lock now; only this agent can speak"
    " to it. To go back, reset it and add it in the app."
)
_PASSCODE_SPAN: Final = 10_000_000
"""Seven digits, as other clients choose."""


def new_secrets(admin_passcode: str | None, randbelow: Callable[[int], int]) -> NewSecrets:
    """Choose what a lock shall know its administrator by; ``randbelow(n)`` is 0 to n - 1."""
    return NewSecrets(
        admin_secret=1 + randbelow(MAX_SECRET),
        unlock_key=1 + randbelow(MAX_SECRET),
        admin_passcode=admin_passcode or f"{randbelow(_PASSCODE_SPAN):07}",
        is_passcode_chosen=admin_passcode is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How the lock can be reached, and what becomes of its keys."""

    knows: Callable[[LockKeys], Awaitable[bool]]
    """Connect with these keys; whether the lock took them."""
    setting_mode: Callable[[], AbstractAsyncContextManager[SettingMode]]
    use_keys: Callable[[LockKeys], Awaitable[None]]
    """Keep proved keys as those of the lock."""


class Enrol:
    """One enrolment, over as many visits as it takes."""

    def __init__(
        self,
        *,
        lock: str,
        secrets: NewSecrets,
        keyring: Keyring,
        ways: Ways,
        local_time: Callable[[], Awaitable[datetime | None]],
        steps: Steps,
    ) -> None:
        """``local_time`` is what the lock's clock should show, ``None`` while nobody knows it."""
        self._lock = lock
        self._secrets = secrets
        self._keyring = keyring
        self._ways = ways
        self._local_time = local_time
        self._steps = steps
        self._told: dict[str, Any] = {}

    async def run(self) -> None:
        """Enrol and prove it; raises what ends the attempt, to be run again then."""
        if await self._is_proved():
            return
        self._steps.tell("enrolling", 0)
        try:
            await self._enrol()
        except OutcomeUnknown:
            log.warning("answer_lost", job_id=self._steps.job.id, act="enrol")
        except _HasAdministrator as refusal:
            if not await self._is_ours_already():
                raise refusal.meaning from refusal
            return
        if not await self._is_proved():
            raise LinkLost("The lock fell back to setting mode before it kept its new keys.")

    async def _is_proved(self) -> bool:
        """Ask the lock whether it knows the keys that were made last."""
        pending = await self._keyring.pending(self._lock)
        if pending is not None:
            self._steps.tell("proving", 0)
            if await self._ways.knows(pending):
                await self._ways.use_keys(pending)
                await self._steps.prove(self._told | {"dead_keys": DEAD_KEYS})
                await self._keyring.put_pending(self._lock, None)
                return True
        await self._steps.note_read_back()
        return False

    async def _is_ours_already(self) -> bool:
        """Ask a lock that has an administrator whether it is the agent.

        Somebody asked twice, or it was never reset although it seemed so, or its keys were replaced
        by those of another lock.
        """
        known = await self._keyring.get(self._lock)
        if known is not None and await self._ways.knows(known):
            await self._steps.prove({"was_ours": True})
            return True
        for keys in await self._keyring.former(self._lock):
            if await self._ways.knows(keys):
                await self._ways.use_keys(keys)
                await self._steps.prove({"was_ours": True})
                return True
        return False

    async def _enrol(self) -> None:
        async def keep(keys: LockKeys) -> None:
            await self._keyring.put_pending(self._lock, keys)
            await self._steps.mark_sent()

        try:
            local_time = await self._local_time()
            async with self._ways.setting_mode() as door:
                enrolment = await door.enrol(self._secrets, local_time=local_time, on_keys=keep)
        except KeysRejected as error:
            raise _HasAdministrator from error
        except CommandRefused as error:
            if error.refusal is Refusal.NOT_IN_SETTING_MODE:
                raise _HasAdministrator from error
            raise
        features = enrolment.features
        self._told = {
            "features": [] if features is None else [int(each) for each in features],
            "is_clock_set": enrolment.is_clock_set,
            "admin_passcode": self._whose(enrolment.admin_passcode),
            "model": enrolment.device.model,
            "firmware": enrolment.device.firmware,
        }

    def _whose(self, admin_passcode: str | None) -> str:
        """Say where the administrator's keypad passcode comes from."""
        if admin_passcode is None:
            return "not_told"
        if admin_passcode != self._secrets.admin_passcode:
            return "kept"
        return "chosen" if self._secrets.is_passcode_chosen else "random"


class _HasAdministrator(Exception):
    """The lock is not in setting mode."""

    @property
    def meaning(self) -> LockRefused:
        return LockRefused(
            "The lock has an administrator: it is not in setting mode.",
            refusal="not_in_setting_mode",
            hint="Reset it first (`lock reset`, or its button); if the vendor's app just added it,"
            " use `keys import`.",
        )

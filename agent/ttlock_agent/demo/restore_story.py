"""Field case 2: a lock must be reset, the power fails in the middle, and nothing is lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from ttlock_agent.backup.content import SavedFingerprint
from ttlock_agent.backup.words import finger_name
from ttlock_agent.demo.narrator import Tell
from ttlock_agent.demo.restore_stage import (
    CARDS,
    FINGERS,
    LOCK_ID,
    MAC_DIGITS,
    PASSCODES,
    SETTINGS,
    USED_ONCE,
    RestoreStage,
    Told,
)
from ttlock_agent.demo.story import StoryStuck
from ttlock_agent.errors import EX_OK, EX_REJECTED
from ttlock_agent.limits import time_limit
from ttlock_agent.virtual_lock.control import VirtualLockControl
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from ttlock_protocol.messages.cards import card_to_decimal
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint

PATIENCE_S: Final = 90.0
"""The whole story takes a quarter of a minute; a loaded Pi several times that."""
RADIO_DELAY_S: Final = 0.04
"""Of each answer while the restore runs: about what a real connection takes."""
WRONG_TRIES: Final = 3
"""Passcodes typed in vain after the reset: two more, and the keypad would be dead for minutes."""
CUT_AFTER: Final = 3
"""Passcodes that are back when the agent loses its power."""
_POLL_S: Final = 0.02


@dataclass(slots=True, kw_only=True)
class Opener:
    """A passcode, card or finger, and what the door made of it at three moments."""

    kind: str
    name: str
    what: str
    opened: list[bool | None] = field(default_factory=list)
    """Before the reset, after it, after the restore; ``None`` was not tried."""

    @property
    def must_open(self) -> bool:
        """Whether a restore can and must bring it back: what opened before, but for fingers."""
        return self.kind != "finger" and self.opened[0] is True

    @property
    def is_good(self) -> bool:
        """Whether it opened before exactly if it does so in the end, and never in between."""
        before, between, after = self.opened
        return not between and after is (before is True and self.kind != "finger")


@dataclass(slots=True, kw_only=True)
class RestoreAccount:
    """What the story has found out."""

    openers: list[Opener] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    are_settings_back: bool = False
    is_backup_erased: bool = False

    @property
    def is_good(self) -> bool:
        """Whether all that opened opens again, and the report names the fingers that do not."""
        fingers = [opener.name for opener in self.openers if opener.kind == "finger"]
        return (
            all(opener.is_good for opener in self.openers)
            and any(opener.must_open for opener in self.openers)
            and self.report.get("result") == "proved"
            and self.report["fingerprints"]["ids"] == fingers
            and self.are_settings_back
            and self.is_backup_erased
        )

    def summary(self) -> dict[str, Any]:
        """Return the closing account as JSON."""
        return {
            "is_good": self.is_good,
            "openers": [
                {
                    "kind": opener.kind,
                    "name": opener.name,
                    "what": opener.what,
                    "before": opener.opened[0],
                    "after_reset": opener.opened[1],
                    "after_restore": opener.opened[2],
                }
                for opener in self.openers
            ],
            "fingerprints_to_enrol": self.report.get("fingerprints", {}).get("ids", []),
            "are_settings_back": self.are_settings_back,
            "is_backup_erased": self.is_backup_erased,
        }


class RestoreStory:
    """Plays the field case on a stage, telling each step."""

    def __init__(self, stage: RestoreStage, tell: Tell) -> None:
        self._stage = stage
        self._tell = tell
        self._account = RestoreAccount()

    async def play(self) -> RestoreAccount:
        """Return the account at the end; raises ``StoryStuck``."""
        try:
            async with time_limit(PATIENCE_S):
                await self._play()
        except TimeoutError as error:
            raise StoryStuck("The demo did not come to its end in time.") from error
        return self._account

    async def _play(self) -> None:
        stage = self._stage
        await stage.start_lock()
        self._furnish()
        async with VirtualLockControl(stage.lock_socket) as lock:
            # It is spent here, so that the table can show that it stays spent.
            await lock.type_code(USED_ONCE)
            await self._try_all(lock, "before")
        await stage.start_agent()
        backup = await self._back_up()
        await self._reset(backup)
        await self._cut_power_between()
        await self._enrol()
        await self._restore_with_a_cut(backup)
        async with VirtualLockControl(stage.lock_socket) as lock:
            await self._try_all(lock, "after_restore")
            settings = (await lock.memory()).settings
            self._account.are_settings_back = settings == SETTINGS
        await self._erase(backup)

    def _furnish(self) -> None:
        self._account.openers = [
            *(Opener(kind="passcode", name=digits, what=what) for digits, what in PASSCODES),
            *(Opener(kind="card", name=card_to_decimal(card), what="card") for card in CARDS),
            *(Opener(kind="finger", name=_finger(finger), what="finger") for finger in FINGERS),
        ]
        counts = {"passcodes": len(PASSCODES), "cards": len(CARDS), "fingers": len(FINGERS)}
        self._tell("scene", counts)

    async def _try_all(
        self, lock: VirtualLockControl, when: str, *, passcodes: int = len(PASSCODES)
    ) -> None:
        credentials = {card_to_decimal(card): card for card in CARDS}
        credentials |= {_finger(finger): finger for finger in FINGERS}
        for opener in self._account.openers:
            if opener.kind == "card":
                result = await lock.present_card(credentials[opener.name])
            elif opener.kind == "finger":
                result = await lock.present_finger(credentials[opener.name])
            elif passcodes:
                passcodes -= 1
                result = await lock.type_code(opener.name)
            else:
                opener.opened.append(None)
                continue
            opener.opened.append(result.is_opened)
        tried = [
            opened for opener in self._account.openers if (opened := opener.opened[-1]) is not None
        ]
        self._tell("tried", {"when": when, "opening": sum(tried), "of": len(tried)})

    async def _back_up(self) -> str:
        made = self._must(await self._stage.command("backup", "create", LOCK_ID))
        backup = str(made.body["backup"])
        self._tell("backed_up", {"backup": backup, "holds": made.body["holds"]})
        compared = self._must(
            await self._stage.command("backup", "verify", backup, "--lock", LOCK_ID)
        )
        self._tell("verified", {"same": compared.body["same"]})
        return backup

    async def _reset(self, backup: str) -> None:
        asked = ("lock", "reset", LOCK_ID, "--backup", backup)
        wrong = await self._stage.command(*asked, "--mac-digits", "000000")
        if wrong.exit_code != EX_REJECTED:
            raise StoryStuck("The reset was not refused although the digits were wrong.")
        self._tell("refused", {"message": wrong.body["error"]["message"]})
        done = self._must(await self._stage.command(*asked, "--mac-digits", MAC_DIGITS))
        self._tell("reset", {"fingerprints": done.body["fingerprints"]["count"]})
        async with VirtualLockControl(self._stage.lock_socket) as lock:
            await self._try_all(lock, "after_reset", passcodes=WRONG_TRIES)

    async def _cut_power_between(self) -> None:
        for name in ("agent", "lock"):
            await self._stage.kill(name)
        self._tell("power_cut", {"of": ["agent", "lock"], "when": "between reset and restore"})
        await self._stage.start_lock()
        await self._stage.start_agent()

    async def _enrol(self) -> None:
        self._must(await self._stage.command("enrol", LOCK_ID, "--give-up-app"))
        self._tell("enrolled", {})

    async def _restore_with_a_cut(self, backup: str) -> None:
        asked = ("restore", LOCK_ID, backup)
        rehearsed = self._must(await self._stage.command(*asked, "--dry-run"))
        self._tell(
            "rehearsed",
            {
                "would_restore": len(rehearsed.body["would_restore"]),
                "fingerprints": rehearsed.body["fingerprints"]["count"],
            },
        )
        async with VirtualLockControl(self._stage.lock_socket) as lock:
            delay = Fault(action=FaultAction.DELAY, at=FaultPoint.ANSWER, delay_s=RADIO_DELAY_S)
            await lock.set_faults(FaultPlan(faults=(delay,)))
            interrupted = asyncio.create_task(self._stage.command(*asked))
            while len((await lock.memory()).passcodes) < CUT_AFTER:
                if interrupted.done():
                    raise StoryStuck("The restore was over before the power could be cut.")
                await asyncio.sleep(_POLL_S)
            await self._stage.kill("agent")
            back = len((await lock.memory()).passcodes)
        told = await interrupted
        self._tell(
            "power_cut",
            {"of": ["agent"], "when": f"with {back} passcodes back", "exit_code": told.exit_code},
        )
        await self._stage.start_agent()
        done = self._must(await self._stage.command(*asked))
        self._account.report = done.body
        # The one that was cut off goes on by itself, and may be over before it is asked for again.
        counts = {"restored": len(done.body["restored"]), "was_there": done.body["was_there"]}
        self._tell("restored", counts)

    async def _erase(self, backup: str) -> None:
        erased = self._must(await self._stage.command("backup", "erase", backup, "--yes"))
        gone = await self._stage.command("backup", "verify", backup)
        self._account.is_backup_erased = gone.exit_code == EX_REJECTED
        self._tell("erased", {"cannot_promise": erased.body["cannot_promise"]})

    @staticmethod
    def _must(told: Told) -> Told:
        if told.exit_code != EX_OK:
            raise StoryStuck(f"A command failed with exit code {told.exit_code}: {told.said}")
        return told


def _finger(finger: bytes) -> str:
    return finger_name(
        SavedFingerprint(id=finger, valid_from=PERMANENT_FROM, valid_until=PERMANENT_UNTIL)
    )

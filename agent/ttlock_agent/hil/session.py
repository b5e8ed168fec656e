"""One run, from the first interlock to the report: check after check, each with a verdict."""

from __future__ import annotations

import platform
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ttlock_agent import __version__
from ttlock_agent.clock import Clock
from ttlock_agent.errors import AgentError, ConfigError, InterlockOpen, JournalError, VaultError
from ttlock_agent.limits import stop_if_told, time_limit
from ttlock_protocol.errors import ProtocolError

from .book import Began, Book, Closed, Ended, Opened
from .catalogue import ALWAYS, CHECKS
from .check_destructive import finish_wipe
from .hands import Hands, Person, PersonsHands, VirtualHands
from .interlocks import Interlocks
from .model import (
    BENCH_PACE,
    DEFAULT_LIMITS,
    FIELD_PACE,
    Check,
    CheckFailed,
    CheckSkipped,
    Group,
    Limits,
    Need,
    Pace,
    Verdict,
)
from .questions import learnt_quirks
from .rig import Rig
from .site import Site, open_site

_MARK: Final = {Verdict.PASSED: "ok  ", Verdict.FAILED: "FAIL", Verdict.SKIPPED: "skip"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for; kept in the book, so that a run goes on as it began."""

    lock: str
    config: Path
    confirmed: str | None = None
    mac_digits: str | None = None
    is_door_open: bool = False
    soak: int | None = None
    limits: Limits = DEFAULT_LIMITS

    def pace(self, *, is_virtual: bool) -> Pace:
        """Return how patient to be."""
        pace = BENCH_PACE if is_virtual else FIELD_PACE
        return pace if self.soak is None else Pace(**asdict(pace) | {"soak": self.soak})


class Session:
    """A run that is under way; made by :func:`open_session`."""

    def __init__(self, rig: Rig, person: Person) -> None:
        self.rig = rig
        self._person = person
        self._has_contact = True

    @property
    def book(self) -> Book:
        """Everything that happened so far."""
        return self.rig.book

    async def run(self, checks: Sequence[Check]) -> None:
        """Judge every check that has no verdict yet; those of :data:`ALWAYS` are judged anew.

        Raises ``InterlockOpen`` when the run must not go on; it can be resumed.
        """
        await self.go_on()
        known = self.book.verdicts()
        group: Group | None = None
        for check in checks:
            if check.name in known and check.group not in ALWAYS:
                continue
            if check.group is not group:
                group = check.group
                self._person.say(f"\n  {group.value}")
            await self.judge(check)
        self.close()

    def close(self) -> None:
        """Note that the run came to its end."""
        self.book.write(Closed(at=self.book.now()))

    async def go_on(self) -> None:
        """Finish what an earlier process left half done."""
        await finish_wipe(self.rig)
        for line in await self.rig.keep_promises() if self.book.open_promises() else ():
            self._person.say(f"      still to be put back: {line}")

    async def judge(self, check: Check) -> Ended:
        """Carry out one check; raises ``InterlockOpen``, and what ends the agent itself."""
        rig, clock = self.rig, self.rig.clock
        rig.check = check.name
        self.book.write(Began(at=self.book.now(), check=check.name))
        began_s = clock.monotonic()
        verdict, reason = await self._verdict(check)
        stop_if_told()
        if check.name == "contact.find" and verdict is not Verdict.PASSED:
            self._has_contact = False
        ended = Ended(
            at=self.book.now(),
            check=check.name,
            verdict=verdict,
            seconds=round(clock.monotonic() - began_s, 3),
            reason=reason,
        )
        self.book.write(ended)
        why = f"\n         {reason}" if reason else ""
        self._person.say(f"  {_MARK[verdict]} {check.title}  [{check.name}]{why}")
        return ended

    async def _verdict(self, check: Check) -> tuple[Verdict, str]:
        try:
            self._skip_if_pointless(check)
            async with time_limit(check.limit_s):
                await check.run(self.rig)
        except CheckSkipped as skipped:
            return Verdict.SKIPPED, str(skipped)
        except CheckFailed as failed:
            return Verdict.FAILED, str(failed)
        except TimeoutError:
            return Verdict.FAILED, f"It took longer than {check.limit_s:.0f} s."
        except (InterlockOpen, JournalError, VaultError):
            raise
        except AgentError as error:
            return Verdict.FAILED, f"{error.message} ({error.code})"
        except ProtocolError as error:
            return Verdict.FAILED, f"{str(error)[:1].upper()}{str(error)[1:]}."
        return Verdict.PASSED, ""

    def _skip_if_pointless(self, check: Check) -> None:
        rig = self.rig
        if not self._has_contact:
            raise CheckSkipped("the lock does not let us in")
        feature = check.feature
        if feature is not None and rig.features is not None and feature not in rig.features:
            name = feature.name.lower().replace("_", " ")
            raise CheckSkipped(f"this lock has no {name} (feature {int(feature)})")
        if Need.HANDS in check.needs and not rig.is_virtual and not self._person.is_there:
            raise CheckSkipped("nobody is there to do something at the lock")


@asynccontextmanager
async def open_session(
    options: Options,
    book: Book,
    *,
    checks: Sequence[Check],
    person: Person,
    clock: Clock,
    randbelow: Callable[[int], int],
    register_secret: Callable[[str], None] = lambda _secret: None,
) -> AsyncGenerator[Session]:
    """Own the lock, close the first interlocks, and yield the session.

    Raises ``ConfigError``, ``JournalLocked``, ``VaultError`` or ``InterlockOpen``.
    """
    async with open_site(
        options.lock,
        config_file=options.config,
        directory=book.directory,
        clock=clock,
        register_secret=register_secret,
    ) as site:
        book.write(_opened(options, book, site, checks))
        interlocks = Interlocks(book, clock, person, options.limits, is_virtual=site.is_virtual)
        await interlocks.is_the_lock(site.lock, options.confirmed)
        if options.is_door_open:
            interlocks.door_was_declared_open()
        hands: Hands = PersonsHands(person)
        if site.controls is not None:
            hands = VirtualHands(site.controls)
        rig = Rig(
            profile=site.profile,
            zone=site.zone,
            keep_keys=site.keep_keys,
            links=site.links,
            book=book,
            vault=site.vault,
            clock=clock,
            person=person,
            hands=hands,
            pace=options.pace(is_virtual=site.is_virtual),
            limits=options.limits,
            interlocks=interlocks,
            randbelow=randbelow,
            is_virtual=site.is_virtual,
            mac_digits=options.mac_digits,
        )
        rig.use_quirks(**learnt_quirks(book))
        async with rig.listening():
            yield Session(rig, person)


def _opened(options: Options, book: Book, site: Site, checks: Sequence[Check]) -> Opened:
    limits = asdict(options.limits)
    return Opened(
        at=book.now(),
        agent_version=__version__,
        lock=options.lock,
        name=site.name,
        address="virtual lock" if site.is_virtual else site.profile.address,
        is_virtual=site.is_virtual,
        config=str(options.config.absolute()),
        machine={
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "host": platform.node(),
        },
        options=limits | {"soak": options.soak, "door_open": options.is_door_open},
        checks=tuple(each.name for each in checks),
    )


def resumed(book: Book, **changes: object) -> tuple[Options, tuple[Check, ...]]:
    """Return how a run began, to go on with it; raises ``ConfigError``."""
    first = next(book.all(Opened), None)
    if first is None:
        raise ConfigError(
            f"The run in {book.directory} never came to its lock.", hint="Begin a new one."
        )
    limits = {name: first.options[name] for name in asdict(Limits()) if name in first.options}
    soak = first.options.get("soak")
    options = Options(
        lock=first.lock,
        config=Path(first.config),
        soak=soak if isinstance(soak, int) else None,
        limits=Limits(**limits),  # type: ignore[arg-type]
        **changes,  # type: ignore[arg-type]
    )
    return options, tuple(each for each in CHECKS if each.name in first.checks)

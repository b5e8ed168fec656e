"""Everything that checks may look at: values with the moment they were true, digits hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Any

from msgspec import structs

from ttlock_agent.diagnose.firmware import Fault
from ttlock_agent.errors import AgentError
from ttlock_agent.jobs.model import FormerPasscode, Job, Known, WantedPasscode
from ttlock_agent.lock.visit import ClockReading, Listing
from ttlock_agent.watch.book import Book
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.messages.log import LogRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the lock said in one connection, at ``at``; ``None`` where ``refused`` has the reason.

    ``clock`` is ``None`` for a lock without one. ``log`` are the records that were read, the oldest
    first; ``log_reaches_end`` whether the youngest is among them.
    """

    at: datetime
    rssi_dbm: int | None
    model: str | None
    hardware: str | None
    firmware: str | None
    features: FeatureSet | None
    clock: ClockReading | None
    battery_percent: int | None
    is_remote_unlock_on: bool | None
    switches: int | None
    listing: Listing | None = field(repr=False)
    log: Sequence[LogRecord] = field(default=(), repr=False)
    log_reaches_end: bool = True
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A passcode that should be in the lock: ``wanted`` of the journal, or on the cloud's list.

    ``label`` has no digits of it; ``claimed_at`` is since when the cloud lists it, and
    ``was_delivered`` whether the gateway had brought it, as far as that is known.
    """

    wanted: WantedPasscode
    label: str
    claimed_at: datetime | None = None
    was_delivered: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of one lock and of this machine.

    ``session`` is ``None`` if the lock was not visited, or could not be: then ``unreached`` says
    why not. ``wishes`` are the passcodes that are wanted, ``removals`` those that must be gone,
    ``former`` which of those listed are known from before, by their digits. ``failed_jobs`` are
    recent passcode jobs that the lock ended. ``status`` is that of the agent.
    """

    now: datetime
    lock: str
    zone: tzinfo
    session: Session | None = None
    unreached: AgentError | None = None
    is_visit_wanted: bool = True
    wishes: Sequence[Wish] = field(default=(), repr=False)
    removals: Sequence[WantedPasscode] = field(default=(), repr=False)
    former: Mapping[str, FormerPasscode] = field(default_factory=dict, repr=False)
    open_jobs: Sequence[Job] = ()
    failed_jobs: Sequence[Job] = ()
    last_added_at: datetime | None = None
    """When the lock took a new passcode last."""
    info: Known | None = None
    """Model, hardware and firmware, as read at an earlier visit."""
    last_clock: Known | None = None
    clock_history: Sequence[Mapping[str, Any]] = ()
    clock_tolerance_s: float = 30.0
    adapter: str | None = None
    """Which adapter reaches the lock; ``None`` is the first usable one."""
    signal_days: Sequence[Mapping[str, Any]] = ()
    book: Book = field(default_factory=Book)
    status: Mapping[str, Any] = field(default_factory=dict)
    disk_free_bytes: int | None = None
    faults: Sequence[Fault] = ()

    @property
    def heard(self) -> Mapping[str, Any]:
        """What the lock said by itself, or when it was asked last, each with its moment."""
        lock = (self.status.get("locks") or {}).get(self.lock) or {}
        return lock.get("state") or {}

    @property
    def known_verdict(self) -> str | None:
        """What the gateway watch says of this lock, in words."""
        cloud = self.status.get("cloud") or {}
        words: str | None = (cloud.get("verdicts") or {}).get(self.lock)
        return words

    @property
    def is_time_known(self) -> bool:
        """Whether nothing says that this machine's own clock is not synchronised."""
        return self.status.get("is_time_synchronised") is not False

    @property
    def no_session(self) -> str:
        """Why the lock itself was not read."""
        if self.unreached is not None:
            return f"Not measured: {self.unreached.message}"
        return "Not measured: the lock was not visited, as asked for."


def anonymous(facts: Facts) -> Facts:
    """Return facts without labels, owners and names of gateways."""
    book = facts.book
    return replace(
        facts,
        wishes=[
            replace(wish, label="", wanted=replace(wish.wanted, owner="somebody"))
            for wish in facts.wishes
        ],
        book=structs.replace(
            book,
            gateways=tuple(
                replace(gateway, name=f"number {number}")
                for number, gateway in enumerate(book.gateways, start=1)
            ),
        ),
        status={
            **facts.status,
            "cloud": {**(facts.status.get("cloud") or {}), "verdicts": {}},
        },
    )

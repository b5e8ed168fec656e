"""How the Bluetooth adapters are: told by the links, shown wherever the agent is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from ttlock_agent.errors import AdapterProblem

from .bluez_recovery import RecoveryCounts

UNKNOWN: Final = "unknown"
USABLE: Final = "usable"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterState:
    """One adapter as last seen."""

    wanted: str | None = None
    """Name or address as configured; ``None`` stands for the first usable one."""
    adapter: str | None = None
    """``hci0`` and the like; ``None`` until one was found."""
    address: str | None = None
    problem: AdapterProblem | None = None
    """``None``: it works, as far as is known."""
    since: datetime | None = None
    """When it came into this state; ``None`` while nobody has looked yet."""
    message: str | None = None
    hint: str | None = None
    """What to do about it, where there is anything to do."""
    needs_operator: bool = False
    """Whether all remedies were tried and nothing has worked since."""
    is_passive: bool = False
    """Whether background scanning was seen to work without costing the locks anything."""
    recovery: RecoveryCounts = field(default_factory=RecoveryCounts)

    @property
    def name(self) -> str:
        """``unknown``, ``usable``, or the name of the problem."""
        if self.since is None:
            return UNKNOWN
        return USABLE if self.problem is None else self.problem.value

    def as_json(self) -> dict[str, Any]:
        """Return it for ``status`` and for the topic ``health``."""
        since = None if self.since is None else self.since.isoformat(timespec="seconds")
        body = asdict(self) | {"state": self.name, "since": since}
        del body["problem"]
        return body


class Adapters:
    """All adapters that the agent uses; whoever listens is told of each change."""

    def __init__(self) -> None:
        self._states: dict[str | None, AdapterState] = {}
        self._listeners: list[Callable[[AdapterState], None]] = []

    @property
    def states(self) -> list[AdapterState]:
        """The latest of each, in the order in which they were first told of."""
        return list(self._states.values())

    def listen(self, on_change: Callable[[AdapterState], None]) -> None:
        """Call ``on_change`` with each state from now on."""
        self._listeners.append(on_change)

    def tell(self, state: AdapterState) -> None:
        """Take the state of one adapter."""
        if self._states.get(state.wanted) == state:
            return
        self._states[state.wanted] = state
        for listener in self._listeners:
            listener(state)

"""The names of all topics: built here, read here, spelled nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass

ID_PATTERN = r"[a-zA-Z0-9_-]{1,64}"
VERB_PATTERN = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"
VERB_MAX_LENGTH = 64

_ID = re.compile(ID_PATTERN)
_VERB = re.compile(VERB_PATTERN)

ONLINE = b"online"
OFFLINE = b"offline"


def is_id(text: str) -> bool:
    """Whether ``text`` may name an agent, a lock or a job in a topic."""
    return _ID.fullmatch(text) is not None


def is_verb(text: str) -> bool:
    """Whether ``text`` has the form of a verb: lower-case words joined by dots."""
    return len(text) <= VERB_MAX_LENGTH and _VERB.fullmatch(text) is not None


def is_below(topic: str, prefix: str) -> bool:
    """Whether ``topic`` can be published on and lies below ``prefix``.

    This is the fence for answers that a requester wants elsewhere: whoever may send a request must
    not choose freely what the agent, with its wider rights, writes to.
    """
    return (
        bool(prefix)
        and topic.startswith(prefix.rstrip("/") + "/")
        and not any(character in "+#$" or not character.isprintable() for character in topic)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topics of one agent: ``<base>/<agent_id>/...``.

    ``base`` may have several levels. Raises ``ValueError`` for ids and verbs of another form than
    the patterns above; text from outside is checked before it gets here.
    """

    agent_id: str
    base: str = "ttlock"

    def __post_init__(self) -> None:
        for level in (*self.base.split("/"), self.agent_id):
            _require_id(level)

    @property
    def root(self) -> str:
        """What all topics of this agent begin with, without the last slash."""
        return f"{self.base}/{self.agent_id}"

    @property
    def status(self) -> str:
        """``online`` or ``offline``, retained; the will speaks here."""
        return f"{self.root}/status"

    @property
    def info(self) -> str:
        """What this agent is, retained."""
        return f"{self.root}/info"

    @property
    def health(self) -> str:
        """How this agent is, retained."""
        return f"{self.root}/health"

    @property
    def request_filter(self) -> str:
        """Subscription that receives every request."""
        return f"{self.root}/request/+"

    def request(self, verb: str) -> str:
        """Where a caller asks for ``verb``."""
        return f"{self.root}/request/{_require_verb(verb)}"

    def parse_request(self, topic: str) -> str | None:
        """Verb asked for on ``topic``; None if it is no request topic or no verb."""
        prefix = f"{self.root}/request/"
        verb = topic.removeprefix(prefix)
        return verb if topic.startswith(prefix) and is_verb(verb) else None

    def response(self, verb: str) -> str:
        """Where requests for ``verb`` are answered."""
        return f"{self.root}/response/{_require_verb(verb)}"

    def lock_state(self, lock_id: str) -> str:
        """State of a lock with ``as_of``, retained."""
        return self._lock(lock_id, "state")

    def lock_availability(self, lock_id: str) -> str:
        """Whether a lock can be reached, retained."""
        return self._lock(lock_id, "availability")

    def lock_passcodes(self, lock_id: str) -> str:
        """Passcodes of a lock without their digits, retained."""
        return self._lock(lock_id, "passcodes")

    def lock_event(self, lock_id: str) -> str:
        """What happened at a lock; never retained."""
        return self._lock(lock_id, "event")

    def lock_gateway(self, lock_id: str) -> str:
        """What the gateway watch found out about a lock, retained."""
        return self._lock(lock_id, "gateway")

    def lock_command(self, lock_id: str) -> str:
        """Where Home Assistant sends ``LOCK`` and ``UNLOCK``."""
        return self._lock(lock_id, "command")

    def job(self, job_id: str) -> str:
        """State of one job, retained, for callers that asked for it."""
        return f"{self.root}/job/{_require_id(job_id)}"

    def _lock(self, lock_id: str, leaf: str) -> str:
        return f"{self.root}/lock/{_require_id(lock_id)}/{leaf}"


def _require_id(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"an id in a topic matches {ID_PATTERN}")
    return text


def _require_verb(text: str) -> str:
    if not is_verb(text):
        raise ValueError(f"a verb matches {VERB_PATTERN}, at most {VERB_MAX_LENGTH} characters")
    return text

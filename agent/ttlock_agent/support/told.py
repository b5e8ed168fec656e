"""The running agent's part of a bundle, served on the control socket alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from ttlock_agent.config import Config
from ttlock_agent.control.messages import Call, Line, Result
from ttlock_agent.control.server import Handler
from ttlock_agent.diagnose.facts import anonymous
from ttlock_agent.diagnose.finding import body_of, examine
from ttlock_agent.diagnose.gather import FOUND, INFO, Gatherer
from ttlock_agent.diagnose.table import CHECKS
from ttlock_agent.errors import ConfigError
from ttlock_agent.jobs.model import Job
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.support.masking import (
    Masker,
    log_entry,
    masked_config,
    scrub,
    secrets_in,
    tail,
)
from ttlock_agent.watch.watch import GatewayWatch

SUPPORT: Final = "support"
"""Name of the call."""
JOBS: Final = 50

_LOCK_FIELDS: Final = (
    "is_reachable", "last_visit_at", "last_error", "visits", "failed_visits", "round_trips",
    "connected_s", "has_keys", "state", "clock", "usage", "signal",
)  # fmt: skip

Entries = Callable[[], Sequence[Mapping[str, Any]]]
Status = Callable[[], Awaitable[dict[str, Any]]]


class Support:
    """Tells what a bundle needs, and leaves every other call to others."""

    def __init__(
        self,
        config: Config,
        *,
        journal: Journal,
        profiles: Mapping[str, LockProfile],
        gatherer: Gatherer,
        watch: GatewayWatch,
        status: Status,
        recent_log: Entries,
        otherwise: Handler,
    ) -> None:
        self._config = config
        self._journal = journal
        self._profiles = profiles
        self._gatherer = gatherer
        self._watch = watch
        self._status = status
        self._recent_log = recent_log
        self._otherwise = otherwise

    async def on_control(self, call: Call) -> AsyncIterator[Line]:
        """Answer a call from the control socket; raises ``AgentError`` for a refusal."""
        if call.verb == SUPPORT:
            yield Result(body=await self.tell())
            return
        async for line in self._otherwise(call):
            yield line

    async def tell(self) -> dict[str, Any]:
        """Return all there is to tell, without secrets, names and labels."""
        status = await self._status()
        told = {
            "agent": _agent(status),
            "config": masked_config(self._config),
            "jobs": {
                "counts": status["jobs"],
                "recent": [_job(job) for job in await self._journal.recent(JOBS)],
            },
            "locks": {name: await self._lock(name, lock) for name, lock in status["locks"].items()},
            "log": [log_entry(entry) for entry in self._recent_log()],
        }
        masked: dict[str, Any] = Masker(await self._secrets()).mask(told)
        return masked

    async def _lock(self, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        info = await self._journal.last_known(name, INFO)
        found = await self._journal.last_known(name, FOUND)
        wishes = await self._journal.wanted(name)
        told = {field: status.get(field) for field in _LOCK_FIELDS}
        if told["last_error"] is not None:
            told["last_error"] = scrub(told["last_error"])
        told["address"] = tail(status["address"])
        told["device"] = None if info is None else info.value
        told["wanted"] = dict(Counter(wish.kind.value for wish in wishes if wish.is_wanted))
        told["proved"] = sum(wish.proved_at is not None for wish in wishes if wish.is_wanted)
        book = await self._watch.book(name)
        told["gateway"] = {
            "verdict": book.standing.verdict.value,
            "gateways": [
                {"is_online": each.is_online, "rssi_dbm": each.rssi_dbm} for each in book.gateways
            ],
            "listed": len(book.claims),
        }
        told["diagnosis"] = found.value if found is not None else await self._diagnose(name)
        return told

    async def _diagnose(self, name: str) -> dict[str, Any] | None:
        profile = self._profiles.get(name)
        if profile is None:
            return None
        facts = await self._gatherer.facts(profile, session=None, unreached=None)
        return body_of(examine(anonymous(facts), CHECKS))

    async def _secrets(self) -> list[str | bytes]:
        """Return every secret that the agent can lay hands on."""
        found: list[str | bytes] = []
        for lock in self._config.locks:
            wanted = await self._journal.wanted(lock.id)
            found += [wish.digits for wish in wanted]
            found += [wish.label for wish in wanted if _is_telling(wish.label)]
            book = await self._watch.book(lock.id)
            found += [claim.digits for claim in book.claims]
            found += [claim.label for claim in book.claims if _is_telling(claim.label)]
        for profile in self._profiles.values():
            found += secrets_in(profile.keys)
        references = [self._config.mqtt.password]
        if self._config.cloud is not None:
            references += [self._config.cloud.client_secret, self._config.cloud.password_md5]
        if self._config.watch.callbacks is not None:
            references.append(self._config.watch.callbacks.path)
        for reference in references:
            if reference is not None:
                try:
                    found.append(reference.resolve())
                except ConfigError:
                    continue  # gone since the start; what cannot be read here is not known either
        return found


def _is_telling(label: str) -> bool:
    """Whether a label is masked wherever it stands: one like ``done`` would hide our own words."""
    return not (label.islower() and label.isidentifier())


def _agent(status: Mapping[str, Any]) -> dict[str, Any]:
    cloud = status.get("cloud") or {}
    mqtt = dict(status["mqtt"])
    if mqtt.get("error"):
        mqtt["error"] = scrub(mqtt["error"])
    return {
        "version": status["version"],
        "uptime_s": status["uptime_s"],
        "mqtt": mqtt,
        "cloud": {
            "is_watched": cloud.get("is_watched"),
            "trouble": (cloud.get("trouble") or {}).get("code"),
            "calls_this_month": cloud.get("calls_this_month"),
            "poll_interval_s": cloud.get("poll_interval_s"),
        },
        "vault_key": status["vault_key"],
        "journal_set_aside": status["journal_set_aside"] is not None,
        "journal_trouble": (status["journal_trouble"] or {}).get("problem"),
        "is_time_synchronised": status["is_time_synchronised"],
        "adapters": [
            {
                "adapter": each.get("adapter"),
                "address": None if each.get("address") is None else tail(each["address"]),
                "state": each.get("state"),
                "since": each.get("since"),
                "needs_operator": each.get("needs_operator"),
                "is_passive": each.get("is_passive"),
                "recovery": each.get("recovery"),
            }
            for each in status.get("adapters") or ()
        ],
    }


def _job(job: Job) -> dict[str, Any]:
    """Return how a job stands; the caller's id for it may be a name."""
    return {
        "job": job.id,
        "verb": job.verb,
        "lock": job.lock,
        "source": job.source,
        "state": job.state.value,
        "reason": None if job.reason is None else job.reason.value,
        "error": None if job.error is None else job.error.code,
        "attempts": job.attempts,
        "is_sent": job.is_sent,
        "created_at": job.created_at.isoformat(timespec="seconds"),
        "updated_at": job.updated_at.isoformat(timespec="seconds"),
    }

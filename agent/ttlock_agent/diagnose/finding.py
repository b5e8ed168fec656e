"""What a check says, and in which order likely causes are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import structlog

from ttlock_agent.diagnose.facts import Facts
from ttlock_agent.logs import where

log = structlog.get_logger()


class Verdict(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - a word
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    """Not measured; the sentence says why."""


class Source(StrEnum):
    """Who said what a finding rests on."""

    LOCK = "lock"
    JOURNAL = "journal"
    CLOUD = "cloud"
    MACHINE = "machine"
    TABLE = "table"


class Fix(StrEnum):
    """What ``--fix`` may do: nothing that a person would miss afterwards."""

    CLOCK = "clock"
    MISSING = "missing_passcodes"
    EXPIRED = "expired_passcodes"
    REMOTE_UNLOCK = "remote_unlock"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was read, by whom, and when; ``as_of`` is missing for what has no time."""

    text: str
    source: Source
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found: a verdict, its meaning in one sentence, what it rests on, what to do.

    ``remedy`` is a command to type or a thing to do; ``fix`` says what ``--fix`` would do of it.
    """

    verdict: Verdict
    sentence: str
    evidence: Sequence[Evidence] = ()
    remedy: str = ""
    fix: Fix | None = None
    fix_words: str = ""
    """What the repair would do, for whoever is asked whether it shall be done."""

    @property
    def is_trouble(self) -> bool:
        """Whether there is something to do."""
        return self.verdict in (Verdict.FAIL, Verdict.WARN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the table. A symptom is reported, and is nobody's cause."""

    id: str
    question: str
    run: Callable[[Facts], Finding]
    is_symptom: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order of the table."""

    facts: Facts
    rows: Sequence[tuple[Check, Finding]]

    @property
    def worst(self) -> Verdict:
        """The verdict on the whole; what was not measured does not count."""
        found = {finding.verdict for _, finding in self.rows}
        for verdict in (Verdict.FAIL, Verdict.WARN):
            if verdict in found:
                return verdict
        return Verdict.PASS

    @property
    def causes(self) -> list[tuple[Check, Finding]]:
        """Likely causes, the likeliest first: failures before warnings, each in table order."""
        causes = [row for row in self.rows if row[1].is_trouble and not row[0].is_symptom]
        return sorted(causes, key=lambda row: row[1].verdict is not Verdict.FAIL)

    @property
    def fixes(self) -> dict[Fix, str]:
        """What may be repaired without asking, in words."""
        return {each.fix: each.fix_words for _, each in self.rows if each.fix is not None}


def examine(facts: Facts, checks: Iterable[Check]) -> Report:
    """Run every check on the same facts; one that fails itself says so, and spoils no other."""
    return Report(facts, [(check, _run(check, facts)) for check in checks])


def _run(check: Check, facts: Facts) -> Finding:
    try:
        return check.run(facts)
    except Exception as error:  # noqa: BLE001 - who needs a diagnosis needs all that can be had
        log.error("check_defect", check=check.id, **where(error))  # noqa: TRY400
        return unknown(
            "Not measured: the check itself failed.",
            remedy="Please report it: ttlock-agent support-bundle",
        )


LIKELIHOOD: Final = {Verdict.FAIL: "likely", Verdict.WARN: "possible"}


def body_of(report: Report) -> dict[str, Any]:
    """Return a report as JSON, without digits."""
    session = report.facts.session
    return {
        "verdict": report.worst.value,
        "as_of": _text(report.facts.now),
        "visited": session is not None,
        "causes": [
            {
                "check": check.id,
                "likelihood": LIKELIHOOD[finding.verdict],
                "sentence": finding.sentence,
                "remedy": finding.remedy,
            }
            for check, finding in report.causes
        ],
        "checks": [
            {
                "check": check.id,
                "question": check.question,
                "verdict": finding.verdict.value,
                "sentence": finding.sentence,
                "evidence": [
                    {"text": each.text, "source": each.source.value, "as_of": _text(each.as_of)}
                    for each in finding.evidence
                ],
                "remedy": finding.remedy or None,
            }
            for check, finding in report.rows
        ],
        "fixes": [{"fix": fix.value, "does": words} for fix, words in report.fixes.items()],
    }


def passed(sentence: str, *evidence: Evidence) -> Finding:
    """Nothing to do."""
    return Finding(verdict=Verdict.PASS, sentence=sentence, evidence=evidence)


def unknown(why: str, *, remedy: str = "") -> Finding:
    """Not measured, and why."""
    return Finding(verdict=Verdict.UNKNOWN, sentence=why, remedy=remedy)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")

"""The page that is signed, in a real browser: quiet, self-contained, and fit for paper."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from browser import CHROMIUM, Seen, look_at
from ttlock_agent.hil.book import (
    Acknowledged,
    Answered,
    Began,
    Book,
    Broken,
    Closed,
    Connected,
    Ended,
    Entry,
    Identified,
    Left,
    Measured,
    Moved,
    Opened,
    Promised,
)
from ttlock_agent.hil.catalogue import CHECKS
from ttlock_agent.hil.model import Verdict
from ttlock_agent.hil.report import write_report

BUILD = Path(__file__).parents[2] / "build" / "hil-report"
PAGES = 6
NASTY = "<script>alert(1)</script><img src=http://example.org/x onerror=alert(2)>"
BEGAN = datetime(2026, 11, 20, 9, 14, tzinfo=UTC)

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: sudo apt-get install chromium"
)


class Watch:
    """A clock that passes by itself, a little each time it is looked at."""

    def __init__(self) -> None:
        self.at = BEGAN

    def now(self) -> datetime:
        self.at += timedelta(seconds=2)
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def field_run(  # noqa: C901 - an evening has many kinds of events
    directory: Path, *, name: str = "Front door", failing: str | None = None
) -> Book:
    """Write the book of a run as a technician's evening would have written it."""
    draw = random.Random(20261120)
    book = Book.create(directory, Watch())

    def write(kind: type[Entry], **fields: object) -> None:
        book.write(kind(at=book.now(), **fields))

    write(
        Opened, agent_version="0.1.0", lock="front-door", name=name, address="F1:0E:66:11:22:33",
        is_virtual=False, config="/etc/ttlock-agent/agent.yaml",
        machine={"system": "Linux-6.12-aarch64", "python": "3.11.2", "host": "pi"},
        options={"connections": 250, "motor_runs": 24},
        checks=tuple(each.name for each in CHECKS),
    )  # fmt: skip
    for interlock, how in (
        ("lock", "its id was typed again"), ("battery", "84 %"), ("signal", "-63 dBm"),
        ("door_open", "a person said so"),
    ):  # fmt: skip
        write(Acknowledged, interlock=interlock, how=how)
    write(Identified, facts={
        "address": "F1:0E:66:11:22:33", "model": "SN999_DEMO", "hardware": "1.2",
        "firmware": "6.5.20.240724", "features": "491470C4D7B7", "time zone": "Europe/Berlin",
        "clock error": "-25200 s", "battery": "84 %", "signal": "-63 dBm",
    })  # fmt: skip
    for number, check in enumerate(CHECKS):
        write(Began, check=check.name)
        rssi = round(-64 + draw.gauss(0, 4))
        is_ok = draw.random() > 0.05
        write(Connected, is_ok=is_ok, seconds=draw.uniform(0.6, 2.4) if is_ok else 20.0,
              rssi_dbm=rssi, error="" if is_ok else "lock_not_seen")  # fmt: skip
        if check.motor_runs:
            write(Moved, check=check.name)
        verdict = Verdict.SKIPPED if number % 17 == 8 else Verdict.PASSED
        reason = "this lock has no such thing" if verdict is Verdict.SKIPPED else ""
        if check.name == failing:
            verdict, reason = Verdict.FAILED, NASTY
        write(Ended, check=check.name, verdict=verdict, seconds=draw.uniform(0.3, 9), reason=reason)
        for question in check.answers:
            write(Answered, question=f"D{question}", answer="as the agent does it")
    for share, rssi in ((100.0, -62), (100.0, -71), (90.0, -79), (60.0, -86), (20.0, -91)):
        write(Measured, name="success", value=share, unit="%", rssi_dbm=rssi)
    for _ in range(10):
        write(Measured, name="delivery", value=draw.uniform(2.5, 5.0), unit="s", rssi_dbm=-63)
    for _ in range(3):
        write(Measured, name="delivery after a cut", value=draw.uniform(3, 7), unit="s")
    write(Answered, question="D26", answer="the bit of tamper alert changed, and no other",
          quirks={"switches_are_verified": True})  # fmt: skip
    write(Left, items=())
    if failing is not None:
        write(Promised, promise=1, what="a test passcode", sealed=b"sealed")
        write(Broken, promise=1, reason=NASTY)
    write(Closed)
    return book


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page[^s]", pdf))


def check_quiet(seen: Seen, page: Path) -> None:
    assert seen.complaints == []
    outside = [url for url in seen.requests if url != page.as_uri() and not url.startswith("data:")]
    assert outside == []


@needs_browser
@pytest.mark.timeout(240)
async def test_a_good_run_is_six_quiet_pages_and_looks_like_this(tmp_path: Path) -> None:
    page, *_ = write_report(field_run(tmp_path))
    seen = await look_at(page)
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "passed.png").write_bytes(seen.screenshot)
    (BUILD / "passed.pdf").write_bytes(seen.pdf)
    check_quiet(seen, page)
    assert pages(seen.pdf) == PAGES
    for words in ("PASSED", "Front door", "F1:0E:66:11:22:33", "6.5.20.240724", "signature"):
        assert words in seen.text
    assert "switches_are_verified: true" in seen.text


@needs_browser
@pytest.mark.timeout(240)
async def test_what_a_lock_says_is_text_and_nothing_else(tmp_path: Path) -> None:
    page, *_ = write_report(field_run(tmp_path, name=NASTY, failing="passcode.add"))
    seen = await look_at(page)
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "failed.png").write_bytes(seen.screenshot)
    check_quiet(seen, page)
    assert "FAILED" in seen.text
    assert seen.text.count(NASTY) >= 4, "name, reason, what is left behind, signature"
    assert pages(seen.pdf) in (PAGES, PAGES + 1)


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page, *_ = write_report(field_run(tmp_path, name=NASTY))
    text = page.read_text()
    assert "<script" not in text.lower()
    assert re.findall(r"<\w[^>]*\s(?:src|href)=\"(?!data:)", text) == []
    assert "default-src &#x27;none&#x27;" in text


def test_the_xml_says_the_same_as_the_page(tmp_path: Path) -> None:
    _, junit, *_ = write_report(field_run(tmp_path, failing="passcode.add"))
    suite = ET.parse(junit).getroot()
    assert int(suite.get("tests", "")) == len(CHECKS)
    failed = [each.get("name") for each in suite.iter("testcase") if list(each.iter("failure"))]
    assert failed == ["passcode.add"]

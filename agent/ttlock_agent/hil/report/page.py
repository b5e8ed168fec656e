"""The page: everything in one file, nothing from elsewhere, made for A4 and a signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from ttlock_agent.hil.book import Connected, Measured
from ttlock_agent.hil.model import Verdict

from .account import Account, Row
from .plots import Dot, scatter

_MARKS: Final = {
    Verdict.PASSED: ("✓", "passed"),
    Verdict.FAILED: ("✗", "failed"),
    Verdict.SKIPPED: ("~", "skipped"),
    None: ("·", "not run"),
}
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html_page(account: Account) -> str:
    """Return the page."""
    style = Path(__file__).with_name("page.css").read_text("utf-8")
    name = escape(account.name)
    body = "".join(
        (
            _head(account),
            _failures(account),
            _left(account),
            _quirks(account),
            _signature(account),
            _plots(account),
            _checks(account),
            _questions(account),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>Lock test: {name}</title>'
        f"<style>{style}</style></head><body>{body}</body></html>\n"
    )


def _head(account: Account) -> str:
    opened = account.opened
    if account.is_good:
        kind, word = "passed", "PASSED"
    elif not account.is_complete:
        kind, word = "open", "NOT COMPLETE"
    else:
        kind, word = "failed", "FAILED"
    counts = ", ".join(
        f"{account.count(verdict)} {words}"
        for verdict, (_, words) in _MARKS.items()
        if account.count(verdict)
    )
    ended = "" if account.finished_at is None else f" to {account.finished_at:%H:%M}"
    limits = opened.options
    run = {
        "tested": f"{opened.at:%Y-%m-%d %H:%M}{ended} UTC",
        "agent": opened.agent_version,
        "machine": opened.machine.get("system", ""),
        "Python": opened.machine.get("python", ""),
        "connections": f"{len(account.connections)} of {limits.get('connections')}",
        "motor runs": f"{account.motor_runs} of {limits.get('motor_runs')}",
        "parts of the run": str(account.visits),
    } | {f"interlock: {each.interlock.replace('_', ' ')}": each.how for each in account.interlocks}
    return (
        f'<header><div><p class="over">Hardware test of a lock</p><h1>{escape(account.name)}</h1>'
        f'<p class="sub">{escape(opened.address)}</p></div>'
        f'<div class="verdict {kind}"><strong>{word}</strong><span>{escape(counts)}</span></div>'
        f"</header>"
        f'<section class="pair"><div><h2>The lock</h2>{_table(account.facts)}</div>'
        f"<div><h2>The test</h2>{_table(run)}</div></section>"
    )


def _failures(account: Account) -> str:
    failed = [row for row in account.rows if row.verdict is Verdict.FAILED]
    if not failed:
        return ""
    items = "".join(
        f"<li><b>{escape(row.check.title)}</b> <code>{escape(row.check.name)}</code>"
        f"<br>{escape(row.reason)}</li>"
        for row in failed
    )
    return f'<section class="alarm"><h2>What failed</h2><ul>{items}</ul></section>'


def _left(account: Account) -> str:
    if account.left is None:
        told = "<p>Nobody looked: the run did not come so far.</p>"
    elif not account.left:
        told = (
            "<p>Nothing. After the test the whole lock was read and compared with what it held "
            "before; every test passcode, card and setting is gone or as it was.</p>"
        )
    else:
        items = "".join(f"<li>{escape(each)}</li>" for each in account.left)
        told = f"<ul>{items}</ul>"
    return f"<section><h2>Left behind in the lock</h2>{told}</section>"


def _plots(account: Account) -> str:
    made = [plot for plot in _drawn(account) if plot]
    if not made:
        return ""
    figures = "".join(f"<figure>{plot}</figure>" for plot in made)
    return f'<section class="plots"><h2>Times and signal</h2>{figures}</section>'


def _drawn(account: Account) -> Iterator[str]:
    tries = account.connections

    def minute(each: Connected) -> float:
        return (each.at - account.opened.at).total_seconds() / 60

    yield scatter(
        "Time to connect (hollow: failed)",
        [Dot(minute(each), each.seconds, not each.is_ok) for each in tries],
        x_label="minutes into the test",
        y_label="seconds",
    )
    heard = [each for each in tries if each.rssi_dbm is not None]
    yield scatter(
        "Signal of the lock at the Pi",
        [Dot(minute(each), float(each.rssi_dbm or 0)) for each in heard],
        x_label="minutes into the test",
        y_label="dBm",
    )
    yield scatter(
        "Time to connect against signal",
        [Dot(float(each.rssi_dbm or 0), each.seconds, not each.is_ok) for each in heard],
        x_label="dBm",
        y_label="seconds",
    )
    deliveries = [each for each in account.measures if each.name.startswith("delivery")]
    yield scatter(
        "Deliveries (hollow: after a power cut)",
        [
            Dot(float(number), each.value, each.name != "delivery")
            for number, each in enumerate(deliveries, start=1)
        ],
        x_label="delivery",
        y_label="seconds",
    )
    yield _success(account.measures)


def _success(measures: list[Measured]) -> str:
    spots = [each for each in measures if each.name == "success" and each.rssi_dbm is not None]
    if len(spots) < 2:
        return ""
    return scatter(
        "Connections that came about, by signal",
        [Dot(float(each.rssi_dbm or 0), each.value) for each in spots],
        x_label="dBm",
        y_label="percent",
    )


def _checks(account: Account) -> str:
    parts = []
    for group, rows in groupby(account.rows, key=lambda row: row.check.group):
        lines = "".join(_line(row) for row in rows)
        parts.append(
            f'<tbody><tr class="group"><th colspan="4">{escape(group.value)}</th></tr>'
            f"{lines}</tbody>"
        )
    return (
        '<section><h2>Checks</h2><table class="checks"><thead><tr><th></th><th>The lock</th>'
        '<th>check</th><th class="num">s</th></tr></thead>' + "".join(parts) + "</table></section>"
    )


def _line(row: Row) -> str:
    mark, words = _MARKS[row.verdict]
    why = f'<div class="why">{escape(row.reason)}</div>' if row.reason else ""
    kind = words.replace(" ", "-")
    return (
        f'<tr class="{kind}"><td class="mark" title="{words}">{mark}</td>'
        f"<td>{escape(row.check.title)}{why}</td><td><code>{escape(row.check.name)}</code></td>"
        f'<td class="num">{_seconds(row)}</td></tr>'
    )


def _seconds(row: Row) -> str:
    if row.verdict in (None, Verdict.SKIPPED):
        return ""
    return f"{row.seconds:.2f}" if row.seconds < 1 else f"{row.seconds:.1f}"


def _questions(account: Account) -> str:
    answered = [each for each in account.questions if each.answer]
    if not answered:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each.name)}</td><td>{escape(each.topic)}"
        + (f'<div class="why">{escape(each.decision)}</div>' if each.decision else "")
        + f"</td><td>{escape(each.answer)}</td></tr>"
        for each in answered
    )
    silent = [each for each in account.questions if not each.answer]
    rest = "".join(
        f"<li><b>{escape(each.name)}</b> {escape(each.topic)}: {escape(each.by)}</li>"
        for each in silent
    )
    return (
        '<section><h2>Open questions, and what this lock answered</h2><table class="questions">'
        '<thead><tr><th></th><th>Question<div class="why">what the agent does</div></th>'
        f"<th>This lock</th></tr></thead><tbody>{rows}</tbody></table>"
        f'<h3>Not asked in this test</h3><ul class="silent">{rest}</ul></section>'
    )


def _quirks(account: Account) -> str:
    if not account.quirks_yaml:
        return (
            "<section><h2>For the configuration</h2><p>Nothing: this lock is like most.</p>"
            "</section>"
        )
    return (
        "<section><h2>For the configuration</h2><p>These settings follow from its answers:</p>"
        f"<pre>{escape(account.quirks_yaml)}</pre></section>"
    )


def _signature(account: Account) -> str:
    lines = "".join(
        f'<div><span class="rule"></span>{escape(what)}</div>'
        for what in ("place and date", "name of the technician", "signature")
    )
    word = "passed" if account.is_good else "did not pass"
    return (
        f'<section class="signature"><h2>Signed</h2><p>The lock {escape(account.name)} '
        f"({escape(account.facts.get('address', account.opened.address))}) {word} this test. What "
        f'is named above as left behind was seen.</p><div class="lines">{lines}</div></section>'
    )


def _table(rows: Mapping[str, str]) -> str:
    cells = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
    return f'<table class="facts">{cells}</table>'

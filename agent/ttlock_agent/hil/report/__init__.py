"""What remains of a run: JUnit XML for machines, one page to print and sign, lines for the config.

``account``  the run's book, summed up     ``junit``  the XML
``page``     the page                      ``plots``  its drawings
"""

from __future__ import annotations

from pathlib import Path

from ttlock_agent.hil.book import Book

from .account import account_of
from .junit import junit_xml
from .page import html_page


def write_report(book: Book, out: Path | None = None) -> list[Path]:
    """Write the reports of ``book`` beside it, or into ``out``; return what was written."""
    directory = out or book.directory
    directory.mkdir(parents=True, exist_ok=True)
    account = account_of(book)
    files = {"report.html": html_page(account), "junit.xml": junit_xml(account)}
    if account.quirks_yaml:
        files["quirks.yaml"] = account.quirks_yaml
    written = []
    for name, text in files.items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written

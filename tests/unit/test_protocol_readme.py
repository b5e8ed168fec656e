"""The README's example is what it says."""

import re
from pathlib import Path

import pytest

from ttlock_protocol.disagreements import DISAGREEMENTS

README = Path(__file__).parents[2] / "protocol" / "README.md"


def test_the_ten_lines_run(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 10
    exec(compile(example, str(README), "exec"), {})
    assert max(map(len, example.splitlines())) <= 100
    assert capsys.readouterr().out == "2026-12-01 00:00:00\n"


def test_every_module_is_named() -> None:
    text = README.read_text()
    package = README.parent / "ttlock_protocol"
    names = {path.stem for path in package.iterdir() if not path.name.startswith("_")}
    for name in names - {"py", "errors"}:
        assert f"`{name}" in text, name


def test_the_table_for_technicians_has_every_quirk() -> None:
    rows = [
        f"| D{each.number} | {each.topic} | {each.decision} | `{each.quirk}` |"
        for each in DISAGREEMENTS
        if each.quirk is not None
    ]
    table = [line for line in README.read_text().splitlines() if line.startswith("| D")]
    assert table == rows

"""From YAML text to structs: every value is judged on its own, so that all findings are found.

msgspec alone stops at the first mistake and knows no lines. Here the structs lead through PyYAML's
node tree instead: each node is converted by the type of its field, and its mark says where it
stands.
"""

from __future__ import annotations

import re
import typing
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, Final

import msgspec
import yaml

from ttlock_agent.validation import BadValue, closest, example_of, expectation, quoted_name

from .findings import Finding, Severity
from .values import SecretRef, decoder


class _Missing(Enum):
    """Stands for a value that could not be made; its findings say why."""

    INVALID = "invalid"


INVALID: Final = _Missing.INVALID

_QUOTED: Final = re.compile(r"""(['"])(?!<)[^'"]{2,}\1""")


class Document:
    """One config file while it is read: what was built from it, and what is wrong with it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.built: dict[str, object] = {}
        """Every valid value that stands in the file, by its path."""
        self._marks: dict[str, yaml.Mark] = {}
        self._decode = decoder(file.absolute().parent)
        # Scalars get their YAML 1.1 meaning one by one; a constructor needs no stream for that.
        self._scalars = yaml.constructor.SafeConstructor()

    def read(self, raw: bytes, kind: type[msgspec.Struct]) -> None:
        """Build ``kind`` from ``raw``; afterwards ``built`` and ``findings`` tell the result."""
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            mark = _mark_after(raw[: error.start].decode())
            self._add(mark, "", "The file is not UTF-8 text.", "Save it as UTF-8.")
            return
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            message = "The file holds a control character here."
            self._add(_mark_after(text[: error.position]), "", message, "Remove it.")
        except yaml.MarkedYAMLError as error:
            self._report_broken(error)
        except RecursionError:
            message = "The file is nested too deeply."
            self._add(_mark_after(""), "", message, "Compare it with the example.")
        else:
            if root is None:
                hint = "Start from the annotated example."
                self._add(_mark_after(""), "", "The file is empty.", hint)
            else:
                self._build(root, kind, "")

    def report(
        self, setting: str, message: str, hint: str, *, severity: Severity = Severity.ERROR
    ) -> None:
        """Add a finding about a setting that may be absent: then its section's place is told."""
        place = setting
        while place and place not in self._marks:
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        self._add(self._marks.get(place), setting, message, hint, severity)

    def _add(
        self, mark: yaml.Mark | None, setting: str, message: str, hint: str,
        severity: Severity = Severity.ERROR,
    ) -> None:  # fmt: skip
        self.findings.append(
            Finding(
                severity=severity,
                file=self.file,
                line=mark.line + 1 if mark else 0,
                column=mark.column + 1 if mark else 0,
                setting=setting,
                message=message,
                hint=hint,
            )
        )

    def _report_broken(self, error: yaml.MarkedYAMLError) -> None:
        # PyYAML quotes text of the file, which may be a password; its own words are in <>.
        problem = _QUOTED.sub("(not shown)", error.problem or "it cannot be parsed")
        hint = "Check indentation (spaces, never tabs), colons and quotes around here."
        if "alias" in problem:
            hint = "Text that begins with * or & must be in quotes."
        elif "another document" in problem:
            hint = "Remove the line ---; one file is one configuration."
        self._add(error.problem_mark, "", f"The file is not YAML: {problem}.", hint)

    def _build(self, node: yaml.Node, expected: Any, path: str) -> object:
        """Return the value, or ``INVALID`` after reporting why."""
        self._marks[path] = node.start_mark
        plain = _without_none(expected)
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
            value = self._build_struct(node, plain, path, is_optional=plain is not _bare(expected))
        elif typing.get_origin(plain) is tuple:
            value = self._build_list(node, typing.get_args(plain)[0], path)
        else:
            value = self._build_scalar(node, expected, plain, path)
        if value is not INVALID:
            self.built[path] = value
        return value

    def _build_struct(
        self, node: yaml.Node, kind: type[msgspec.Struct], path: str, *, is_optional: bool
    ) -> object:
        if _is_null(node):
            if is_optional:
                return None
            node = yaml.MappingNode(node.tag, [], node.start_mark)  # an empty section
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        if not isinstance(node, yaml.MappingNode):
            self._add(
                node.start_mark,
                path,
                f"`{path}` must be a section." if path else "The file must be a set of sections.",
                f"Write one of these per line, followed by a colon: {', '.join(fields)}.",
            )
            return INVALID
        present, misspelled, is_clean = self._entries(node, set(fields), path)
        values: dict[str, object] = {}
        for name, field in fields.items():
            below = f"{path}.{name}" if path else name
            if name in present:
                values[field.name] = self._build(present[name], field.type, below)
            elif field.required and name not in misspelled:
                self.report(below, f"`{below}` is missing.", _write(name, field.type))
                is_clean = False
        if not is_clean or INVALID in values.values():
            return INVALID
        return kind(**values)

    def _entries(
        self, node: yaml.MappingNode, known: set[str], path: str
    ) -> tuple[dict[str, yaml.Node], set[str], bool]:
        """Return known entries, settings that were misspelled, and whether all keys are fine."""
        entries: dict[str, yaml.Node] = {}
        misspelled: set[str] = set()
        is_clean = True
        within = f"`{path}`" if path else "the file"
        names = [key.value if isinstance(key, yaml.ScalarNode) else "" for key, _ in node.value]
        for name, (key, value) in zip(names, node.value, strict=True):
            if name in known and name not in entries:
                entries[name] = value
                continue
            is_clean = False
            if name in known:
                first = entries[name].start_mark.line + 1
                message = f"`{name}` is written twice in {within}; the first is in line {first}."
                self._add(key.start_mark, path, message, "Keep one of the two.")
            elif meant := closest(name, known.difference(names)):
                misspelled.add(meant)
                message = f"{within} has no setting {quoted_name(name)}."
                self._add(key.start_mark, path, _capital(message), f"Did you mean `{meant}`?")
            else:
                message = f"{within} has no setting {quoted_name(name)}."
                hint = f"Remove it; known are {', '.join(sorted(known))}."
                self._add(key.start_mark, path, _capital(message), hint)
        return entries, misspelled, is_clean

    def _build_list(self, node: yaml.Node, item: Any, path: str) -> object:
        if not isinstance(node, yaml.SequenceNode):
            message = f"`{path}` must be a list."
            self._add(node.start_mark, path, message, "Begin each item with a dash and a space.")
            return INVALID
        items = [self._build(n, item, f"{path}[{i}]") for i, n in enumerate(node.value)]
        if not items:
            self.report(path, f"`{path}` is empty.", "Write at least one item.")
            return INVALID
        return INVALID if INVALID in items else tuple(items)

    def _build_scalar(self, node: yaml.Node, expected: Any, plain: Any, path: str) -> object:
        name = path.rpartition(".")[2]
        if not isinstance(node, yaml.ScalarNode):
            message = f"`{path}` must be {expectation(expected)}, not a section or list."
            self._add(node.start_mark, path, message, _write(name, expected))
            return INVALID
        try:
            raw = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            raw = NotImplemented  # what YAML takes for a date or number, but is none
        if raw is None and plain is not _bare(expected):
            return None
        if plain not in {bool, int} and not isinstance(raw, str | NoneType):
            self._report_not_quoted(node, raw, expected, path)
            return INVALID
        try:
            return msgspec.convert(raw, expected, dec_hook=self._decode)
        except msgspec.ValidationError as error:
            bad = error.__cause__
            if isinstance(bad, BadValue) and raw is not None:
                self._add(node.start_mark, path, f"`{path}` {bad.message}.", bad.hint)
            else:
                message = f"`{path}` must be {expectation(expected)}."
                if raw is None:
                    message = f"`{path}` has no value."
                self._add(node.start_mark, path, message, _write(name, expected))
            return INVALID

    def _report_not_quoted(
        self, node: yaml.ScalarNode, raw: object, expected: Any, path: str
    ) -> None:
        """YAML 1.1 reads 0123 as 83, 12:30 as 750, no as false: quotes keep what was written."""
        name = path.rpartition(".")[2]
        if _without_none(expected) is SecretRef:  # perhaps the secret itself: not repeated
            message = f"`{path}` must be text, and YAML takes it for something else."
            self._add(node.start_mark, path, message, _write(name, expected))
            return
        kind = "the number " if isinstance(raw, int | float) and not isinstance(raw, bool) else ""
        read_as = "nothing it knows" if raw is NotImplemented else f"{kind}{raw}".lower()
        message = f"`{path}` must be text, and YAML reads {node.value} as {read_as}."
        self._add(node.start_mark, path, message, f'Put it in quotes: {name}: "{node.value}".')


def _mark_after(text: str) -> yaml.Mark:
    line, column = text.count("\n"), len(text) - text.rfind("\n") - 1
    return yaml.Mark("", len(text), line, column, None, 0)


def _bare(expected: Any) -> Any:
    """Return the annotation without its ``Meta``."""
    return expected.__origin__ if hasattr(expected, "__metadata__") else expected


def _without_none(expected: Any) -> Any:
    """Return what an optional setting holds when it holds something."""
    bare = _bare(expected)
    kinds = [kind for kind in typing.get_args(bare) if kind is not NoneType]
    is_optional = NoneType in typing.get_args(bare)
    return _bare(kinds[0]) if is_optional else bare


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _write(name: str, expected: Any) -> str:
    example = example_of(expected)
    if example is None:
        return f"Write {name}: with {expectation(expected)}."
    return f"Write for example {name}: {example}"


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]

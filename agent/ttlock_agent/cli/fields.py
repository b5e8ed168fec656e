"""Fields of requests as parameters of commands, made from the types that judge them.

What opens a door never is an argument: it comes from a file, from standard input, or from whoever
sits at the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from msgspec import inspect

from ttlock_agent.cli.bench import first_line
from ttlock_agent.cli.complete import complete_locks
from ttlock_agent.cli.windows import parse_hours, parse_windows
from ttlock_agent.requests import PassageWindow, Request, WeeklyHours

POSITIONAL: Final = frozenset({"lock", "job", "name", "setting", "value"})
"""Fields that a command takes by place, where they must be given or say which one is meant."""
OPTIONAL_BY_PLACE: Final = frozenset({"name"})
_TYPED_TWICE: Final = frozenset({"passcode.add", "admin_passcode.set"})
"""A slip of the finger would be found only at the door."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A parameter, and what of the request its value becomes."""

    parameter: click.Parameter
    field: tuple[str, ...]
    """Path in the request."""
    convert: Callable[[Any], Any] = lambda value: value


def parameters_of(verb: str, kind: type[Request], *, without: Iterable[str]) -> list[Taken]:
    """Return the parameters for all fields of a request but those named."""
    fields = inspect.type_info(kind).fields  # type: ignore[attr-defined]
    named = [field for field in fields if field.encode_name not in without]
    return [taken for field in named for taken in _parameters(verb, field, ())]


def put(request: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Set a field of a request, at whatever depth."""
    *parents, name = path
    for parent in parents:
        request = request.setdefault(parent, {})
    request[name] = value


def ask_for(verb: str, field: str, file: Path | None) -> str:
    """Return a secret: from a file, else from the terminal, else from standard input."""
    if file is None and sys.stdin.isatty():
        words = field.replace("_", " ").capitalize()
        is_new = verb in _TYPED_TWICE
        return str(click.prompt(words, hide_input=True, confirmation_prompt=is_new, err=True))
    return first_line(file or Path("-"), f"--{field}-file").strip()


def _parameters(verb: str, field: inspect.Field, parents: tuple[str, ...]) -> list[Taken]:
    name, info = field.encode_name, _plain(field.type)
    path = (*parents, name)
    if isinstance(info, inspect.StructType):
        return [taken for each in info.fields for taken in _parameters(verb, each, path)]
    if isinstance(info, inspect.CustomType):
        is_needed = field.required
        option = click.Option(
            [_option(f"{name}_file")],
            type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
            help=f"Take it from this file's first line, - for standard input."
            f" {'Without it, it is asked for.' if is_needed else _help(field)}",
        )
        return [Taken(option, path, _secret(verb, name, is_needed=is_needed))]
    if isinstance(info, inspect.VarTupleType):
        return [_list(field, info, path)]
    if name in POSITIONAL and not parents and (field.required or name in OPTIONAL_BY_PLACE):
        return [_by_place(field, info, path)]
    return [_by_option(field, info, path)]


def _list(field: inspect.Field, info: inspect.VarTupleType, path: tuple[str, ...]) -> Taken:
    item = info.item_type
    assert isinstance(item, inspect.StructType), "lists of requests hold entries"
    if item.cls is PassageWindow:
        argument = click.Argument([path[-1]], nargs=-1, required=True, metavar="WINDOW...")
        return Taken(argument, path, parse_windows)
    if item.cls is WeeklyHours:
        hours = click.Option(
            [_option(path[-1])],
            multiple=True,
            required=True,
            metavar="HOURS",
            help='Write for example "mon-fri 08:00-18:00", several times; any for no limit.',
        )
        return Taken(hours, path, parse_hours)
    option = click.Option(
        [_option(path[-1]), path[-1]],
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        required=field.required,
        metavar="FILE",
        help=f"JSON file with the list, - for standard input. {_help(field)}",
    )
    return Taken(option, path, _json_list)


def _by_place(field: inspect.Field, info: inspect.Type, path: tuple[str, ...]) -> Taken:
    name = field.encode_name
    if name == "lock":
        return Taken(click.Argument([name], shell_complete=complete_locks), path)
    if isinstance(info, inspect.UnionType):
        return Taken(click.Argument([name]), path, _bool_or_number)
    argument = click.Argument(
        [name], type=_type(info), required=field.required, metavar=name.upper()
    )
    return Taken(argument, path)


def _by_option(field: inspect.Field, info: inspect.Type, path: tuple[str, ...]) -> Taken:
    name = field.encode_name
    if isinstance(info, inspect.BoolType):
        flags = _option(name) if not field.required else f"{_option(name)}/--not-{_dashed(name)}"
        option = click.Option(
            [flags, name], is_flag=True, default=None, required=field.required, help=_help(field)
        )
        return Taken(option, path)
    option = click.Option(
        [_option(name), name],
        type=_type(info),
        required=field.required,
        shell_complete=complete_locks if name == "lock" else None,
        help=_help(field),
        metavar="TIME" if isinstance(info, inspect.DateTimeType) else None,
    )
    return Taken(option, path, _time if isinstance(info, inspect.DateTimeType) else _same)


def _type(info: inspect.Type) -> click.ParamType[Any] | None:
    match info:
        case inspect.IntType():
            return click.IntRange(info.ge, info.le)
        case inspect.EnumType():
            return click.Choice([str(member.value) for member in info.cls])
        case _:
            return None


def _plain(info: inspect.Type) -> inspect.Type:
    """Return a type without what is said about it, and without its "or nothing"."""
    while True:
        match info:
            case inspect.Metadata(type=inner):
                info = inner
            case inspect.UnionType(types=types) if any(map(_is_none, types)):
                (info,) = (each for each in types if not _is_none(each))
            case _:
                return info


def _is_none(info: inspect.Type) -> bool:
    return isinstance(info, inspect.NoneType)


def _help(field: inspect.Field) -> str:
    said = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
    text = str((said or {}).get("description", ""))
    if isinstance(_plain(field.type), inspect.DateTimeType):
        text = text.replace("ISO 8601 with UTC offset", "ISO 8601, here without offset local time")
    return text.replace("`", "")


def _secret(verb: str, name: str, *, is_needed: bool) -> Callable[[Any], Any]:
    def convert(file: Path | None) -> str | None:
        if file is None and not is_needed:
            return None
        return ask_for(verb, name, file)

    return convert


def _same(value: Any) -> Any:
    return value


def _time(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"{text!r} is no time: write for example 2026-12-05T11:00, or with an offset."
        ) from None
    return at.astimezone().isoformat() if at.tzinfo is None else text


def _bool_or_number(text: str) -> bool | int:
    words = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
    if text.casefold() in words:
        return words[text.casefold()]
    try:
        return int(text)
    except ValueError:
        raise click.UsageError("A value is on, off or a whole number.") from None


def _json_list(file: Path | None) -> Any:
    if file is None:
        return None
    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            raw = json.load(stream)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError:
        # Without the cause, which quotes what it read.
        raise click.UsageError(f"{file} is not JSON.") from None
    return raw.get("passcodes", raw) if isinstance(raw, dict) else raw


def _option(name: str) -> str:
    return f"--{_dashed(name)}"


def _dashed(name: str) -> str:
    return name.removeprefix("is_").replace("_", "-")

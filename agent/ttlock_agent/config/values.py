"""Values of the config file that are more than text: secrets, addresses, zones, paths."""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ttlock_agent.errors import ConfigError
from ttlock_agent.validation import BadValue, closest

_MAC: Final = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
_MAC_SPELLED_OTHERWISE: Final = re.compile(r"[0-9A-F]{2}([-. ]?[0-9A-F]{2}){5}")
_VIRTUAL: Final = "virtual:"
_CREDENTIAL_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]+")
_VARIABLE_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class LockAddress(str):
    """Where a lock is: a MAC in upper case with colons, or ``virtual:`` and a name or path."""

    __slots__ = ()


class SecretSource(StrEnum):
    """Where a secret is kept."""

    CREDENTIAL = "credential"
    FILE = "file"
    ENV = "env"


class SecretRef:
    """The place of a secret; never the secret itself.

    No dataclass: msgspec would read those as sections instead of asking :func:`decoder`.
    """

    __slots__ = ("directory", "name", "source")

    def __init__(self, source: SecretSource, name: str, directory: Path) -> None:
        """``name`` is that of the credential or variable, or a path relative to ``directory``."""
        self.source: Final = source
        self.name: Final = name
        self.directory: Final = directory

    def __repr__(self) -> str:
        return f"SecretRef({self})"

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"

    def path(self) -> Path | None:
        """Return the file that holds the secret; None for ``env:``, and outside the service.

        systemd says in ``$CREDENTIALS_DIRECTORY`` where a service's credentials are.
        """
        match self.source:
            case SecretSource.FILE:
                return self.directory / self.name
            case SecretSource.CREDENTIAL:
                directory = os.environ.get("CREDENTIALS_DIRECTORY")
                return Path(directory) / self.name if directory else None
            case SecretSource.ENV:
                return None

    def resolve(self) -> str:
        """Read the secret; one line break at its end is not part of it.

        Raises ``ConfigError`` that names the reference and what is wrong with it.
        """
        text = self._from_environment() if self.source is SecretSource.ENV else self._from_file()
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise ConfigError(f"The secret {self} is empty.")
        return text

    def _from_environment(self) -> str:
        text = os.environ.get(self.name)
        if text is None:
            raise ConfigError(
                f"The environment variable {self.name}, named by {self}, is not set.",
                hint="Set it for the service, or keep the secret in a file and write file:PATH.",
            )
        return text

    def _from_file(self) -> str:
        path = self.path()
        if path is None:
            raise ConfigError(
                f"The secret {self} exists only inside the systemd service.",
                hint=f"Add LoadCredential={self.name}:PATH to the unit, or write file:PATH here.",
            )
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"The secret {self} cannot be read from {path}: {error.strerror}.",
                hint="Create the file, owned by the agent's user and with mode 0400.",
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(
                f"The secret {self} in {path} is not UTF-8 text.",
                hint="Write the secret as plain text into the file.",
            ) from None


def decoder(directory: Path) -> Callable[[type, Any], Any]:
    """Return msgspec's hook for the types of this module; relative paths start at ``directory``.

    The hook raises ``BadValue``.
    """

    def decode(kind: type, raw: object) -> object:
        if not isinstance(raw, str) or not raw:
            raise BadValue("must be text", hint="Write text, in quotes.")
        match kind:
            case _ if kind is LockAddress:
                return _lock_address(raw)
            case _ if kind is zoneinfo.ZoneInfo:
                return _time_zone(raw)
            case _ if kind is SecretRef:
                return _secret_ref(raw, directory)
            case _:
                return directory / raw

    return decode


def _lock_address(text: str) -> LockAddress:
    if text.startswith(_VIRTUAL):
        if not text.removeprefix(_VIRTUAL).strip():
            raise BadValue(
                "names no virtual lock", hint="Write virtual:NAME or virtual:/path/of/its/socket."
            )
        return LockAddress(text)
    mac = text.upper()
    if _MAC.fullmatch(mac):
        return LockAddress(mac)
    if _MAC_SPELLED_OTHERWISE.fullmatch(mac):
        digits = re.sub(r"[^0-9A-F]", "", mac)
        pairs = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
        raise BadValue("is a MAC written without colons", hint=f'Write "{pairs}".')
    raise BadValue(
        "is neither a MAC nor a virtual lock",
        hint='Write the MAC as "AA:BB:CC:DD:EE:FF", or virtual:NAME.',
    )


def _time_zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass  # an unknown name, a path, or a directory of the database such as "America"
    known = zoneinfo.available_timezones()
    if not known:
        raise BadValue(
            "cannot be looked up: this machine has no time zone database",
            hint="Install it: apt install tzdata.",
        )
    wanted = name.strip().replace(" ", "_")
    by_city = {zone.rpartition("/")[2].casefold(): zone for zone in sorted(known, reverse=True)}
    suggestion = by_city.get(wanted.rpartition("/")[2].casefold()) or closest(wanted, known)
    raise BadValue(
        "is not a time zone",
        hint=(f"Did you mean {suggestion}? " if suggestion else "")
        + "Names are those of the IANA database, such as Europe/Berlin; "
        "`timedatectl list-timezones` shows them.",
    )


def _secret_ref(text: str, directory: Path) -> SecretRef:
    scheme, colon, name = text.partition(":")
    if not colon or scheme not in set(SecretSource) or not name:
        # The text may be the secret: it is not repeated.
        raise BadValue(
            "must say where the secret is, not the secret itself",
            hint="Put the secret into a file that only the agent can read and write file:PATH; "
            "or credential:NAME for a systemd credential, or env:NAME.",
        )
    source = SecretSource(scheme)
    if source is SecretSource.CREDENTIAL and not _CREDENTIAL_NAME.fullmatch(name):
        raise BadValue("names no credential", hint="Write credential:NAME, without slashes.")
    if source is SecretSource.ENV and not _VARIABLE_NAME.fullmatch(name):
        raise BadValue("names no environment variable", hint="Write env:NAME.")
    return SecretRef(source, name, directory)

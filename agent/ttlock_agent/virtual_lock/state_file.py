"""The memory chip of a virtual lock: one JSON file that a power cut never leaves half written."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from ttlock_agent.errors import ConfigError
from ttlock_protocol.virtual import Memory, StateError, dump_memory, load_memory


class StateFile:
    """Owns one state file; a second process that wants it is refused.

    Use it as a context manager. Raises ``ConfigError`` for a file that is taken, missing,
    unreadable or wrong.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._lock_descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._problem(f"cannot be owned: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise self._problem("belongs to another virtual lock that is running") from error
        self._lock_descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._lock_descriptor is not None
        os.close(self._lock_descriptor)
        self._lock_descriptor = None

    def load(self) -> Memory:
        """Return what is saved."""
        try:
            return load_memory(self._path.read_text("utf-8"))
        except OSError as error:
            raise self._problem(f"cannot be read: {error.strerror}") from error
        except (StateError, UnicodeDecodeError) as error:
            raise self._problem(f"cannot be used: {error}") from error

    def save(self, memory: Memory) -> None:
        """Replace what is saved; it is on disk when this returns.

        Raises ``OSError``: a lock that cannot remember must not go on confirming things.
        """
        write_state(self._path, memory)

    def _problem(self, what: str) -> ConfigError:
        return ConfigError(
            f"The state file {self._path} {what}.",
            hint="Name the state file of a virtual lock that no other process runs.",
        )


def write_state(path: Path, memory: Memory) -> None:
    """Write ``memory`` to ``path``, whole or not at all, readable for its owner only."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(dump_memory(memory))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

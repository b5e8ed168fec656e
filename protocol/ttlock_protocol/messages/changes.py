"""What commands with several operations share: their answer says which one was carried out."""

from __future__ import annotations

from typing import TypeVar

from ttlock_protocol.message import Request, Response


class Changed(Response):
    """The lock did it; ``operation`` echoes which of the operations."""

    __slots__ = ()
    operation: int


C = TypeVar("C", bound=Changed)


class ChangeRequest(Request[C]):
    """One operation of a command that has several."""

    __slots__ = ()
    operation: int

    def accepts(self, response: Response, previous: Response | None) -> bool:
        """Whether it answers this operation and not an earlier one of the same command."""
        return (
            isinstance(response, self.response_type)
            and isinstance(response, Changed)
            and response.operation == self.operation
        )

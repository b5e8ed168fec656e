"""A refusal that the agent told, on its way to the end of the command."""

from __future__ import annotations

from ttlock_agent.control.messages import Failure


class AgentSaidNo(Exception):
    """What the agent refused, with all that is said about it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure

"""How talking to the broker can fail, as far as a caller acts on it."""

from __future__ import annotations

from ttlock_agent.errors import EX_TRY_LATER, EX_UNAVAILABLE, AgentError


class MqttError(AgentError):
    """The broker cannot be used for what was asked."""

    code = "mqtt"
    exit_code = EX_UNAVAILABLE
    retryable = True
    hint = "`ttlock-agent status` tells the state of the broker connection."


class BrokerUnavailable(MqttError):
    """There is no connection to the broker; the agent keeps trying by itself."""

    code = "broker_unavailable"
    exit_code = EX_TRY_LATER
    hint = "Check that the broker runs, and host, port and credentials under `mqtt:`."


class PublishRefused(MqttError):
    """The broker answered that it does not take this message; ``reason`` is its own word for it.

    Only MQTT 5 brokers say so; a 3.1.1 broker drops the message and acknowledges it all the same.
    """

    code = "publish_refused"
    retryable = False
    hint = "Allow the agent to write below its base topic in the broker's access list."

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

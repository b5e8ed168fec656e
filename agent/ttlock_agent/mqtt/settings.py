"""What the broker connection has to know; the section ``mqtt:`` of the configuration fills it."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from ttlock_agent.errors import ConfigError

from .topics import Topics

DEFAULT_PORT = 1883
DEFAULT_TLS_PORT = 8883
DEFAULT_KEEPALIVE_S = 30
"""Short enough that the will tells of a pulled plug within a minute (brokers wait 1.5 times)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Files in PEM form. Without ``ca_file`` the system's own authorities are trusted."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """One broker, and who we are there.

    ``keepalive_s`` is 5 .. 65535. ``tls`` None means plaintext, which is taken for a loopback host
    only, unless ``allow_plaintext``. Answers go to a requester's own response topic (MQTT 5) only
    below ``response_prefix``. Raises ``ValueError`` if ``agent_id`` or ``base_topic`` is no id.
    """

    host: str
    port: int
    agent_id: str
    base_topic: str = "ttlock"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    keepalive_s: int = DEFAULT_KEEPALIVE_S
    tls: TlsSettings | None = None
    allow_plaintext: bool = False
    response_prefix: str | None = None

    def __post_init__(self) -> None:
        Topics(agent_id=self.agent_id, base=self.base_topic)

    @property
    def client_id(self) -> str:
        """Fixed, because the broker keeps our session under this name."""
        return f"ttlock-agent-{self.agent_id}"

    @property
    def topics(self) -> Topics:
        """The topics of this agent."""
        return Topics(agent_id=self.agent_id, base=self.base_topic)

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS with certificate and host-name check, or None where plaintext is allowed.

        Raises ``ConfigError`` when the files cannot be used, or when credentials and passcodes
        would cross a network in the clear.
        """
        if self.tls is None:
            if self.allow_plaintext or is_loopback(self.host):
                return None
            raise ConfigError(
                f"the broker {self.host} is not on this machine and `mqtt.tls` is missing:"
                " passcodes would cross the network in the clear",
                hint="Add `mqtt.tls` (an empty section trusts the system's authorities),"
                " or set `mqtt.allow_plaintext: true` on a network you trust.",
            )
        try:
            context = ssl.create_default_context(cafile=self.tls.ca_file)
            if self.tls.cert_file is not None:
                # An encrypted key would make OpenSSL ask on the terminal and block the start.
                context.load_cert_chain(self.tls.cert_file, self.tls.key_file, password=b"")
        except OSError as error:  # ssl.SSLError is one too
            raise ConfigError(
                f"the files under `mqtt.tls` cannot be used: {error.strerror or error}",
                hint="They must exist, be readable by the agent, hold PEM, and fit each other.",
            ) from error
        return context


def is_loopback(host: str) -> bool:
    """Whether ``host`` certainly is this machine: localhost or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

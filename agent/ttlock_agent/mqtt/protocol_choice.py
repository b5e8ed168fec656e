"""Which MQTT version to speak: 5 where the broker can, else 3.1.1, found out by asking."""

from __future__ import annotations

from enum import StrEnum

RETRY_V5_AFTER_S = 24 * 3600.0
"""A broker learns MQTT 5 by an upgrade, which is rare; asking once a day costs one handshake."""

PATIENCE = 2
"""A broker that is just starting closes now and then; one that cannot do MQTT 5 does so always."""

MAX_PATIENCE = 16


class MqttVersion(StrEnum):
    """The versions we speak."""

    V5 = "5"
    V3_1_1 = "3.1.1"

    @property
    def other(self) -> MqttVersion:
        """The one to try when this one fails."""
        return MqttVersion.V3_1_1 if self is MqttVersion.V5 else MqttVersion.V5


class ProtocolChoice:
    """Learns from what the broker does; holds for the life of the process.

    Sans-IO: ``now_s`` is monotonic time in seconds. A version is *settled* once the broker has
    answered in it. Only an unsettled version is given up for a connection without an answer: that
    may as well come from a broker that restarts, or from a proxy in front of it.
    """

    def __init__(self, version: MqttVersion = MqttVersion.V5) -> None:
        self._version = version
        self._settled_at_s: float | None = None
        self._failures = 0
        self._patience = PATIENCE

    def version(self, now_s: float) -> MqttVersion:
        """Version for the next connection."""
        if (
            self._version is MqttVersion.V3_1_1
            and self._settled_at_s is not None
            and now_s - self._settled_at_s >= RETRY_V5_AFTER_S
        ):
            self._switch()
        return self._version

    def answered(self, now_s: float) -> None:
        """The broker understood this version, whatever else it thought of us."""
        if self._settled_at_s is None:
            self._settled_at_s = now_s
        self._failures = 0
        self._patience = PATIENCE

    def version_refused(self) -> None:
        """The broker said that it does not speak this version."""
        self._switch()

    def closed_early(self) -> None:
        """The broker closed the connection instead of answering."""
        self._failed(1)

    def stayed_silent(self) -> None:
        """The broker neither answered nor closed the connection.

        That is telling: an old broker takes the properties of MQTT 5 for the length of a client id
        and waits for the rest (amqtt does).
        """
        self._failed(PATIENCE)

    def _failed(self, weight: int) -> None:
        self._failures += weight
        if self._settled_at_s is None and self._failures >= self._patience:
            # Whoever answers in neither version is probably down: change sides more and more
            # rarely, so that the growing pauses between attempts are not cut short.
            self._patience = min(self._patience * 2, MAX_PATIENCE)
            self._switch()

    def _switch(self) -> None:
        self._version = self._version.other
        self._settled_at_s = None
        self._failures = 0

"""Device information: one request a kind, each with its typed answer (reference 6.19).

The answer does not say which kind it is, so the request must: hence several requests of one opcode.
An unsupported kind is refused as ``FINGERPRINT_EXISTS`` (0x19, which means "unknown kind" here).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ttlock_protocol.errors import LocalProtocolError, OpenIntEnum
from ttlock_protocol.message import (
    Auth,
    Opcode,
    Request,
    Response,
    const,
    field,
    request,
    response,
)
from ttlock_protocol.wire import DATE6, MAC, Enum8, OrNone, Signed8, TerminatedText

_MAC_KIND: Final = 5
_CLOCK_KIND: Final = 6
_SIGNAL_KIND: Final = 10
_OTHER_KINDS: Final = (_MAC_KIND, _CLOCK_KIND, _SIGNAL_KIND)


class DeviceText(OpenIntEnum):
    """Kinds of information that are text; from ``PASSCODE_KEY_NUMBER`` on single-sourced."""

    MODEL = 1
    HARDWARE = 2
    FIRMWARE = 3
    PRODUCED = 4
    """Normally ``YYYYMMDD``, opaque on some locks: shown, never interpreted (D44)."""
    NB_OPERATOR = 7
    NB_NODE_ID = 8
    NB_CARD_NUMBER = 9
    PASSCODE_KEY_NUMBER = 12
    CAMERA_SERIAL = 13
    UUID = 14
    AUTH_CODE = 15


@response(Opcode.DEVICE_INFO)
class DeviceMac(Response):
    """The lock's Bluetooth address."""

    mac: str = field(MAC)


@request(Opcode.DEVICE_INFO, auth=Auth.NOTHING, is_repeatable=True)
class GetDeviceMac(Request[DeviceMac]):
    """Read the Bluetooth address."""

    kind: int = const(_MAC_KIND)


@response(Opcode.DEVICE_INFO)
class DeviceClock(Response):
    """The lock's local time, as :class:`.clock.Clock`."""

    local_time: datetime | None = field(OrNone(DATE6, 6))


@request(Opcode.DEVICE_INFO, auth=Auth.NOTHING, is_repeatable=True)
class GetDeviceClock(Request[DeviceClock]):
    """Read the clock this way."""

    kind: int = const(_CLOCK_KIND)


@response(Opcode.DEVICE_INFO)
class DeviceSignal(Response):
    """Strength of the NB-IoT signal."""

    rssi_dbm: int = field(Signed8())


@request(Opcode.DEVICE_INFO, auth=Auth.NOTHING, is_repeatable=True)
class GetDeviceSignal(Request[DeviceSignal]):
    """Read the strength of the NB-IoT signal (feature 16)."""

    kind: int = const(_SIGNAL_KIND)


@response(Opcode.DEVICE_INFO)
class DeviceTextAnswer(Response):
    """Printable ASCII up to a NUL (disagreement D25); other bytes show as ``?``."""

    text: str = field(TerminatedText())


@request(Opcode.DEVICE_INFO, auth=Auth.NOTHING, is_repeatable=True)
class GetDeviceText(Request[DeviceTextAnswer]):
    """Read one text."""

    kind: DeviceText = field(Enum8(DeviceText))

    def __post_init__(self) -> None:
        if self.kind in _OTHER_KINDS:
            raise LocalProtocolError("that kind is no text: it has a request of its own")

    def accepts(self, response: Response, previous: Response | None) -> bool:
        """Whether it is a new answer: the radio's repeat of another kind's would look the same."""
        return isinstance(response, DeviceTextAnswer) and (
            response != previous or not response.text
        )

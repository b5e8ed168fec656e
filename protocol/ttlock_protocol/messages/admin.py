"""What only an owner does: admin passcode, name, limits, reset (reference 6.5, 6.18, 6.21)."""

from __future__ import annotations

from typing import Final

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.message import Auth, Opcode, Request, Response, field, request, response
from ttlock_protocol.wire import DIGITS, TEXT, U8, Octets, RestText

from .passcodes import check_digits

MAX_NAME_BYTES: Final = 15


@response(Opcode.SET_ADMIN_PASSCODE)
class AdminPasscodeSet(Response):
    """The administrator's keypad passcode was set."""

    battery_percent: int | None = field(U8, is_optional=True)


@request(Opcode.SET_ADMIN_PASSCODE, auth=Auth.ADMIN, is_repeatable=True)
class SetAdminPasscode(Request[AdminPasscodeSet]):
    """Set the administrator's keypad passcode, 4 to 9 digits (disagreement D23: digit values)."""

    passcode: str = field(DIGITS, is_secret=True)

    def __post_init__(self) -> None:
        check_digits(self.passcode)


@response(Opcode.GET_ADMIN_PASSCODE)
class AdminPasscode(Response):
    """The administrator's keypad passcode, empty when none is set (disagreement D24)."""

    battery_percent: int = field(U8)
    passcode: str = field(TEXT, is_secret=True)


@request(Opcode.GET_ADMIN_PASSCODE, auth=Auth.ADMIN, is_repeatable=True)
class GetAdminPasscode(Request[AdminPasscode]):
    """Read the administrator's keypad passcode (feature 18)."""


@response(Opcode.LOCK_NAME)
class LockNameSet(Response):
    """The name was set."""

    battery_percent: int | None = field(U8, is_optional=True)


@request(Opcode.LOCK_NAME, auth=Auth.ADMIN, is_repeatable=True)
class SetLockName(Request[LockNameSet]):
    """Set the name that the lock advertises, 1 to 15 ASCII characters."""

    name: str = field(RestText())

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME_BYTES:
            raise LocalProtocolError(f"a name is 1 to {MAX_NAME_BYTES} characters")


@response(Opcode.DEVICE_PARAMETER)
class DeviceParameterSet(Response):
    """The lock took the command; what it says besides is not known."""

    body: bytes = field(Octets(), default=b"")


@request(Opcode.DEVICE_PARAMETER, auth=Auth.ADMIN, is_repeatable=False)
class SetDeviceParameter(Request[DeviceParameterSet]):
    """Send an AT command such as ``AT+NAME=Front``."""

    command: str = field(RestText())


@response(Opcode.MAX_PASSCODES)
class MaxPasscodesSet(Response):
    """The limit was set."""

    battery_percent: int | None = field(U8, is_optional=True)


@request(Opcode.MAX_PASSCODES, auth=Auth.ADMIN, is_repeatable=True)
class SetMaxPasscodes(Request[MaxPasscodesSet]):
    """Set how many passcodes the lock holds at most, 0 to 255."""

    count: int = field(U8)


@response(Opcode.RESET)
class ResetDone(Response):
    """The lock forgets everything; it may also say so with an empty frame or not at all (D22)."""

    battery_percent: int | None = field(U8, is_optional=True)


@request(Opcode.RESET, auth=Auth.ADMIN, is_repeatable=False)
class Reset(Request[ResetDone]):
    """Wipe the lock and return it to setting mode. Nothing undoes this."""

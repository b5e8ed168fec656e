"""What Bluetooth errors mean, decided by types and error names, never by texts."""

from __future__ import annotations

from typing import Final

from bleak.exc import (  # noqa: TID251 - the Bluetooth link is made of bleak
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)
from dbus_fast.errors import AuthError, DBusFastError

from ttlock_agent.errors import AdapterProblem, AdapterUnavailable

RADIO_ERRORS: Final = (
    BleakError, DBusFastError, OSError, EOFError, LookupError, AttributeError, AssertionError,
)  # fmt: skip
"""All that bleak and the bus below it raise; time-outs are ``OSError``, a dead bus ``EOFError``.

The last three are what bleak trips with over objects that BlueZ takes away under it.
"""

_REASONS: Final = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: AdapterProblem.MISSING,
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: AdapterProblem.MISSING,
    BleakBluetoothNotAvailableReason.POWERED_OFF: AdapterProblem.POWERED_OFF,
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: AdapterProblem.NO_PERMISSION,
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: AdapterProblem.NO_PERMISSION,
    BleakBluetoothNotAvailableReason.DENIED_BY_UNKNOWN: AdapterProblem.NO_PERMISSION,
    BleakBluetoothNotAvailableReason.UNKNOWN: AdapterProblem.STUCK,
}
_BUS: Final = "org.freedesktop.DBus.Error."
_DBUS_NAMES: Final = {
    "org.bluez.Error.NotReady": AdapterProblem.POWERED_OFF,
    "org.bluez.Error.Blocked": AdapterProblem.BLOCKED,
    f"{_BUS}AccessDenied": AdapterProblem.NO_PERMISSION,
    f"{_BUS}Disconnected": AdapterProblem.NO_BUS,
    # systemd's word for a bluetooth.service that is masked while its alias for D-Bus is not.
    f"{_BUS}FileExists": AdapterProblem.NO_DAEMON,
    f"{_BUS}NameHasNoOwner": AdapterProblem.NO_DAEMON,
    f"{_BUS}NoReply": AdapterProblem.NO_DAEMON,
    f"{_BUS}ServiceUnknown": AdapterProblem.NO_DAEMON,
    f"{_BUS}TimedOut": AdapterProblem.NO_DAEMON,
    "org.freedesktop.systemd1.NoSuchUnit": AdapterProblem.NO_DAEMON,
    "org.freedesktop.systemd1.UnitMasked": AdapterProblem.NO_DAEMON,
}
_WORDS: Final = {
    AdapterProblem.MISSING: (
        "There is no such Bluetooth adapter.",
        "Check `bluetoothctl list`; plug the adapter in again, or name another one.",
    ),
    AdapterProblem.POWERED_OFF: (
        "The Bluetooth adapter is switched off.",
        "Switch it on with `bluetoothctl power on`.",
    ),
    AdapterProblem.BLOCKED: (
        "The Bluetooth adapter is blocked by a radio switch.",
        "Check `rfkill list`, then `rfkill unblock bluetooth`.",
    ),
    AdapterProblem.NO_DAEMON: (
        "The Bluetooth service does not run.",
        "Check `systemctl status bluetooth`.",
    ),
    AdapterProblem.NO_BUS: (
        "The system bus (D-Bus) cannot be reached.",
        "Check `systemctl status dbus`.",
    ),
    AdapterProblem.NO_PERMISSION: (
        "The agent may not use Bluetooth.",
        "Let the agent's user be a member of the group `bluetooth`, and restart the agent.",
    ),
    AdapterProblem.STUCK: (
        "The Bluetooth adapter does not do what it is asked to.",
        "Restart it with `systemctl restart bluetooth`; if that does not help, restart the Pi.",
    ),
}


def unavailable(problem: AdapterProblem) -> AdapterUnavailable:
    """Return the error that names ``problem``, with its remedy."""
    message, hint = _WORDS[problem]
    return AdapterUnavailable(message, reason=problem, hint=hint)


def problem_of_name(dbus_error: str) -> AdapterProblem | None:
    """Return what a D-Bus error says about the adapter; ``None`` where that is nothing."""
    return _DBUS_NAMES.get(dbus_error)


def problem_of(error: BaseException) -> AdapterProblem | None:
    """Return what one of :data:`RADIO_ERRORS` says about the adapter; ``None``: nothing."""
    match error:
        case BleakBluetoothNotAvailableError():
            return _REASONS[error.reason]
        case BleakDBusError():
            return problem_of_name(error.dbus_error)
        case AuthError() | PermissionError():
            return AdapterProblem.NO_PERMISSION
        case TimeoutError():
            return None
        case OSError() | EOFError():
            return AdapterProblem.NO_BUS
        case _:
            return None

"""Settings: auto-lock, sound, display, remote unlock, switches (reference 6.9 to 6.13)."""

from __future__ import annotations

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
from ttlock_protocol.wire import FLAG, U8, U16, U32, Flag, Reader

_UNCHANGED: Final = 0xFFFF
MIN_VOLUME: Final = 1
MAX_VOLUME: Final = 5


@response(Opcode.AUTO_LOCK)
class AutoLock(Response):
    """Seconds until the lock locks itself, 0 for never, and which ones it accepts.

    ``is_locking_on_close`` tells whether a closed door sensor locks at once, where firmware says.
    """

    battery_percent: int = field(U8)
    operation: int = const(1)
    delay_s: int = field(U16)
    min_delay_s: int = field(U16)
    max_delay_s: int = field(U16)
    is_locking_on_close: bool | None = field(FLAG, is_optional=True)


@request(Opcode.AUTO_LOCK, auth=Auth.ADMIN, is_repeatable=True)
class GetAutoLock(Request[AutoLock]):
    """Read the auto-lock delay and its limits (feature 4)."""

    operation: int = const(1)


@response(Opcode.AUTO_LOCK)
class AutoLockSet(Response):
    """The delay or the door-sensor flag was set."""

    battery_percent: int = field(U8)
    operation: int = const(2)


@request(Opcode.AUTO_LOCK, auth=Auth.ADMIN, is_repeatable=True)
class SetLockingOnClose(Request[AutoLockSet]):
    """Lock at once when the door sensor says closed; the delay stays. Single source, see 6.9."""

    operation: int = const(2)
    delay_s: int = const(_UNCHANGED, size=2)
    is_locking_on_close: bool = field(FLAG)


@request(Opcode.AUTO_LOCK, auth=Auth.ADMIN, is_repeatable=True)
class SetAutoLock(Request[AutoLockSet]):
    """Set the delay in seconds, within the lock's own limits; 0 is never (feature 23)."""

    operation: int = const(2)
    delay_s: int = field(U16)

    def __post_init__(self) -> None:
        if self.delay_s == _UNCHANGED:
            raise LocalProtocolError("a delay of 65535 seconds means something else to the lock")


@response(Opcode.SOUND)
class Sound(Response):
    """Whether the lock sounds, and how loud (1 to 5) where it has a volume (feature 43)."""

    battery_percent: int = field(U8)
    operation: int = const(1)
    is_on: bool = field(FLAG)
    volume: int | None = field(U8, is_optional=True)


@request(Opcode.SOUND, auth=Auth.ADMIN, is_repeatable=True)
class GetSound(Request[Sound]):
    """Read the sound setting (feature 15)."""

    operation: int = const(1)


@response(Opcode.SOUND)
class SoundSet(Response):
    """The sound was set."""

    battery_percent: int = field(U8)
    operation: int = const(2)


@request(Opcode.SOUND, auth=Auth.ADMIN, is_repeatable=True, sizes=range(2, 3))
class SetSound(Request[SoundSet]):
    """Turn the sound on or off."""

    operation: int = const(2)
    is_on: bool = field(FLAG)


@request(Opcode.SOUND, auth=Auth.ADMIN, is_repeatable=True)
class SetVolume(Request[SoundSet]):
    """Turn the sound on at ``volume`` 1 to 5; locks with a mere beeper ignore the number."""

    operation: int = const(2)
    is_on: int = const(1)
    volume: int = field(U8)
    language: int = const(0)

    def __post_init__(self) -> None:
        if not MIN_VOLUME <= self.volume <= MAX_VOLUME:
            raise LocalProtocolError(f"a volume is {MIN_VOLUME} to {MAX_VOLUME}")


class _BatteryOrNothing:
    """A battery byte that one client's layout leaves out (disagreement D16).

    Two bytes left are the operation and the value; three have the battery in front.
    """

    def encode(self, value: int | None, out: bytearray) -> None:
        if value is not None:
            U8.encode(value, out)

    def decode(self, reader: Reader) -> int | None:
        return None if reader.remaining == 2 else U8.decode(reader)


@response(Opcode.SHOW_PASSCODE)
class PasscodeDisplay(Response):
    """Whether typed digits show on the lock's screen."""

    battery_percent: int | None = field(_BatteryOrNothing(), default=None)
    operation: int = const(1)
    is_shown: bool = field(FLAG)


@request(Opcode.SHOW_PASSCODE, auth=Auth.ADMIN, is_repeatable=True)
class GetPasscodeDisplay(Request[PasscodeDisplay]):
    """Read whether typed digits are shown (feature 9)."""

    operation: int = const(1)


@response(Opcode.SHOW_PASSCODE)
class PasscodeDisplaySet(Response):
    """The display was set."""

    battery_percent: int = field(U8)
    operation: int = const(2)


@request(Opcode.SHOW_PASSCODE, auth=Auth.ADMIN, is_repeatable=True)
class SetPasscodeDisplay(Request[PasscodeDisplaySet]):
    """Show typed digits or hide them."""

    operation: int = const(2)
    is_shown: bool = field(FLAG)


@response(Opcode.REMOTE_UNLOCK)
class RemoteUnlock(Response):
    """Whether a gateway may unlock."""

    battery_percent: int = field(U8)
    operation: int = const(1)
    is_allowed: bool = field(FLAG)


@request(Opcode.REMOTE_UNLOCK, auth=Auth.ADMIN, is_repeatable=True)
class GetRemoteUnlock(Request[RemoteUnlock]):
    """Read the remote-unlock switch (feature 14)."""

    operation: int = const(1)


@response(Opcode.REMOTE_UNLOCK)
class RemoteUnlockSet(Response):
    """The switch was set; feature bit 10 follows it."""

    battery_percent: int = field(U8)
    operation: int = const(2)


@request(Opcode.REMOTE_UNLOCK, auth=Auth.ADMIN, is_repeatable=True)
class SetRemoteUnlock(Request[RemoteUnlockSet]):
    """Allow gateways to unlock, or forbid it."""

    operation: int = const(2)
    is_allowed: bool = field(FLAG)


class Switch(OpenIntEnum):
    """Masks of the switches that are known (disagreement D26: one source, seen on hardware)."""

    TAMPER_ALERT = 0x01
    RESET_BUTTON = 0x02
    PRIVACY_LOCK = 0x04
    UNLOCK_DIRECTION_LEFT = 0x10
    PASSAGE_AUTO_UNLOCK = 0x20
    WIFI_POWER_SAVING = 0x80


class _SwitchMask:
    """A mask of 32 bits, of one switch or of one without a name."""

    def encode(self, value: Switch, out: bytearray) -> None:
        U32.encode(int(value), out)

    def decode(self, reader: Reader) -> Switch:
        return Switch(U32.decode(reader))


@response(Opcode.SWITCHES)
class Switches(Response):
    """All switches at once, one bit each."""

    battery_percent: int = field(U8)
    operation: int = const(1)
    bits: int = field(U32)

    def is_on(self, switch: Switch) -> bool:
        """Whether ``switch`` is on."""
        return bool(self.bits & switch)


@request(Opcode.SWITCHES, auth=Auth.ADMIN, is_repeatable=True)
class GetSwitches(Request[Switches]):
    """Read all switches."""

    operation: int = const(1)


@response(Opcode.SWITCHES)
class SwitchSet(Response):
    """A switch was set."""

    battery_percent: int = field(U8)
    operation: int = const(2)


@request(Opcode.SWITCHES, auth=Auth.ADMIN, is_repeatable=True)
class SetSwitch(Request[SwitchSet]):
    """Turn one switch on or off."""

    operation: int = const(2)
    switch: Switch = field(_SwitchMask())
    is_on: bool = field(Flag(4))

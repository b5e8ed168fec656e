"""What is asked of BlueZ besides scanning and connecting, which bleak does.

A connection to the system bus of its own: bleak neither tells which adapters there are nor notices
when the Bluetooth service dies or takes a device away without saying "disconnected" first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dbus_fast import BusType, Message, MessageType, Variant, unpack_variants
from dbus_fast.aio import MessageBus

from ttlock_agent.errors import AdapterProblem
from ttlock_agent.limits import time_limit

from .bluez_errors import RADIO_ERRORS, problem_of, problem_of_name, unavailable

BLUEZ: Final = "org.bluez"
CALL_LIMIT_S: Final = 10.0
"""BlueZ answers in milliseconds, a disconnect takes it two seconds; after this it hangs."""

_ADAPTER: Final = "org.bluez.Adapter1"
_DEVICE: Final = "org.bluez.Device1"
_OBJECTS: Final = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_BUS: Final = "org.freedesktop.DBus"
_BLOCKED: Final = "off-blocked"
SWITCHES: Final = Path("/sys/class/bluetooth")
"""Where the kernel keeps the radio switches of each adapter, for everybody to read."""
_MATCHES: Final = tuple(
    f"type='signal',{rule}"
    for rule in (
        f"sender='{_BUS}',interface='{_BUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
        f"sender='{BLUEZ}',interface='{_OBJECTS}',member='InterfacesAdded'",
        f"sender='{BLUEZ}',interface='{_OBJECTS}',member='InterfacesRemoved'",
        f"sender='{BLUEZ}',interface='{_PROPERTIES}',member='PropertiesChanged',arg0='{_ADAPTER}'",
    )
)
_POWER: Final = frozenset({"Powered", "PowerState"})
_GONE_ALREADY: Final = frozenset(
    {
        "org.bluez.Error.DoesNotExist",
        "org.bluez.Error.NotConnected",
        "org.freedesktop.DBus.Error.UnknownObject",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One Bluetooth adapter of this machine."""

    path: str
    address: str
    is_powered: bool
    is_blocked: bool
    """By a radio switch: told by BlueZ since 5.71, by the kernel before."""
    is_central: bool

    @property
    def name(self) -> str:
        """``hci0`` and the like; may change when adapters are plugged in another order."""
        return self.path.rpartition("/")[2]

    def device_path(self, address: str) -> str:
        """Return where BlueZ keeps the device ``address``."""
        return f"{self.path}/dev_{address.upper().replace(':', '_')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What BlueZ knows at one moment."""

    adapters: tuple[Adapter, ...]
    connected: frozenset[str]
    """Paths of the devices that BlueZ holds a connection to, for whomever."""

    def adapter(self, wanted: str | None) -> Adapter:
        """Return the adapter ``wanted``: a name, an address, or ``None`` for the first usable one.

        Raises ``AdapterUnavailable``.
        """
        fitting = [
            each
            for each in self.adapters
            if each.is_central
            and (wanted is None or wanted in (each.name, each.address) or wanted == each.path)
        ]
        usable = next((each for each in fitting if each.is_powered), None)
        if usable is not None:
            return usable
        if not fitting:
            raise unavailable(AdapterProblem.MISSING)
        is_blocked = any(each.is_blocked for each in fitting)
        raise unavailable(AdapterProblem.BLOCKED if is_blocked else AdapterProblem.POWERED_OFF)


class BluezBus:
    """A connection to BlueZ; made when first needed, and again after it was lost.

    Every method that asks BlueZ something raises ``AdapterUnavailable``.
    """

    def __init__(
        self,
        *,
        call_limit_s: float = CALL_LIMIT_S,
        on_news: Callable[[AdapterProblem | None], None] = lambda _: None,
        switches: Path = SWITCHES,
    ) -> None:
        """``on_news`` is called when service or bus are gone, with that.

        Also with ``None``, when an adapter came, went or was switched: then it is time to look.
        """
        self._call_limit_s = call_limit_s
        self._on_news = on_news
        self._switches = switches
        self._bus: MessageBus | None = None
        self._end: asyncio.Task[None] | None = None
        self._is_doubted = False
        """Whether a question stayed unanswered, maybe because the bus itself hears nothing."""
        self._connecting = asyncio.Lock()
        self._watchers: list[tuple[str, Callable[[], None]]] = []

    async def snapshot(self) -> Snapshot:
        """Return what BlueZ knows now."""
        (objects,) = await self._ask("/", _OBJECTS, "GetManagedObjects")
        found: Mapping[str, Mapping[str, Mapping[str, Any]]] = unpack_variants(objects)
        return Snapshot(
            adapters=tuple(
                self._adapter(path, found[path][_ADAPTER])
                for path in sorted(found)
                if _ADAPTER in found[path]
            ),
            connected=frozenset(
                path
                for path, interfaces in found.items()
                if interfaces.get(_DEVICE, {}).get("Connected", False)
            ),
        )

    async def set_powered(self, adapter_path: str, *, is_powered: bool) -> None:
        """Switch an adapter on or off."""
        value = Variant("b", is_powered)
        await self._ask(adapter_path, _PROPERTIES, "Set", "ssv", [_ADAPTER, "Powered", value])

    async def disconnect_device(self, device_path: str) -> None:
        """End whatever connection BlueZ holds to a device; harmless when there is none."""
        await self._ask(device_path, _DEVICE, "Disconnect", is_harmless_when_gone=True)

    async def remove_device(self, device_path: str) -> None:
        """Let BlueZ forget a device; harmless when it has."""
        adapter_path = device_path.rpartition("/")[0]
        await self._ask(
            adapter_path, _ADAPTER, "RemoveDevice", "o", [device_path], is_harmless_when_gone=True
        )

    @contextmanager
    def watching(self, path: str, on_gone: Callable[[], None]) -> Iterator[None]:
        """Call ``on_gone`` whenever the object ``path`` can no longer be counted on.

        That is: it was removed (with its adapter, perhaps), the service ended, or the bus is lost.
        """
        watcher = (path, on_gone)
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    async def close(self) -> None:
        """Let go of the bus; the next question connects again."""
        bus, self._bus = self._bus, None
        end, self._end = self._end, None
        self._is_doubted = False
        if bus is not None and end is not None:
            if bus.connected:
                bus.disconnect()
                # Not waited for: one that hears nothing does not hear of its end either.
                end.cancel()
            await asyncio.wait({end})

    async def _ask(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        is_harmless_when_gone: bool = False,
    ) -> list[Any]:
        message = Message(
            destination=BLUEZ,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            async with time_limit(self._call_limit_s):
                reply = await (await self._connected()).call(message)
        except RADIO_ERRORS as error:
            # Kept until the next question: meanwhile it may tell that the service was restarted.
            self._is_doubted = isinstance(error, TimeoutError)
            raise unavailable(problem_of(error) or AdapterProblem.STUCK) from error
        if reply.message_type == MessageType.ERROR:
            name = reply.error_name or ""
            if not (is_harmless_when_gone and name in _GONE_ALREADY):
                raise unavailable(problem_of_name(name) or AdapterProblem.STUCK)
        answer: list[Any] = reply.body
        return answer

    async def _connected(self) -> MessageBus:
        async with self._connecting:
            if self._bus is not None and self._bus.connected and not self._is_doubted:
                return self._bus
            await self.close()
            bus = MessageBus(bus_type=BusType.SYSTEM)
            await bus.connect()
            bus.add_message_handler(self._on_message)
            end = asyncio.create_task(self._await_end(bus))
            try:
                for rule in _MATCHES:
                    await bus.call(
                        Message(
                            destination=_BUS,
                            path="/org/freedesktop/DBus",
                            interface=_BUS,
                            member="AddMatch",
                            signature="s",
                            body=[rule],
                        )
                    )
            except BaseException:
                bus.disconnect()
                raise
            self._bus, self._end = bus, end
            return bus

    async def _await_end(self, bus: MessageBus) -> None:
        with suppress(*RADIO_ERRORS):
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        if bus is self._bus:
            self._on_news(AdapterProblem.NO_BUS)
        self._tell(lambda _: True)

    def _on_message(self, message: Message) -> None:
        if message.message_type != MessageType.SIGNAL:
            return
        match message.member:
            case "NameOwnerChanged" if message.body[0] == BLUEZ:
                _, old_owner, new_owner = message.body
                self._on_news(None if new_owner else AdapterProblem.NO_DAEMON)
                if old_owner:
                    self._tell(lambda _: True)
            case "InterfacesAdded" if _ADAPTER in message.body[1]:
                self._on_news(None)
            case "InterfacesRemoved" if message.interface == _OBJECTS:
                gone, interfaces = message.body
                if _ADAPTER in interfaces:
                    self._on_news(None)
                if _DEVICE in interfaces or _ADAPTER in interfaces:
                    self._tell(lambda path: path == gone)
            case "PropertiesChanged" if message.body[0] == _ADAPTER:
                if _POWER & message.body[1].keys():
                    self._on_news(None)

    def _adapter(self, path: str, properties: Mapping[str, Any]) -> Adapter:
        name = path.rpartition("/")[2]
        power = properties.get("PowerState")
        return Adapter(
            path=path,
            address=properties["Address"],
            is_powered=properties["Powered"],
            is_blocked=self._is_switched_off(name) if power is None else power == _BLOCKED,
            # Before BlueZ 5.51 nobody told; a controller that cannot fails to scan, and is named.
            is_central="central" in properties.get("Roles", ("central",)),
        )

    def _is_switched_off(self, name: str) -> bool:
        """Whether a radio switch of the adapter is, in software or in hardware."""
        with suppress(OSError):
            return any(
                (switch / kind).read_text().strip() == "1"
                for switch in (self._switches / name).glob("rfkill*")
                for kind in ("soft", "hard")
            )
        return False

    def _tell(self, is_meant: Callable[[str], bool]) -> None:
        # A copy, because whoever is told may stop watching.
        for path, on_gone in tuple(self._watchers):
            if is_meant(path):
                on_gone()

"""A service that looks like BlueZ from the bus: one process' worth of adapters, locks in range.

It answers what bleak and the agent ask of ``org.bluez``, with BlueZ's own error names, its order of
signals and its habits: discovery and notification sessions belong to a bus connection, a device
that was only scanned is a temporary object, and the signal strength is told anew in each scan. It
does not show what a kernel or a controller would have done.
"""

from __future__ import annotations

import asyncio

from dbus_fast import Variant

from ttlock_protocol.virtual import NotConnectable

from .air import AirLock
from .bus_service import PROPERTIES, BusService, Call, Handlers, Refusal

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
ADVERTISING_INTERVAL_S = 0.02
FIRST_ADDRESS = "00:1A:7D:DA:71:13"


def uuid16(number: int) -> str:
    return f"{number:08x}-0000-1000-8000-00805f9b34fb"


class FakeBluez(BusService):
    """The service; start it, script it, stop it."""

    def __init__(self) -> None:
        super().__init__("org.bluez")
        self.locks: list[AirLock] = []
        self.strangers: dict[str, int] = {}
        """Addresses of other devices in range, and their company numbers."""
        self.clashes: list[str] = []
        """Times that somebody connected while a scan was running."""
        self.offers_passive = False
        self.delivers_passive = True
        self.forgets_when_scan_stops = False
        self.clumsy_stops = 0
        """How many of the next scans end while BlueZ says that they do not (before 5.88)."""
        self.is_stuck = False
        """Whether scanning fails until the power is cycled."""
        self.refuse_power_on = 0
        """How often the power cannot be switched on."""
        self.aborts = 0
        """How many of the next connections radio noise ends while they are made."""
        self.write_types: list[str] = []
        self.has_service = True
        self.handles = ("000d", "000f")
        self._scanners: dict[str, set[str]] = {}
        self._monitors: dict[str, set[tuple[str, str]]] = {}
        self._notified: dict[str, set[str]] = {}
        self._linked: dict[str, AirLock] = {}
        self._wobble = 0
        self.broadcasts = 0
        """How often an adapter has listened to everybody in range."""
        self._add_adapter_object("hci0", FIRST_ADDRESS)

    # What happens to the machine

    async def start(self) -> None:
        await super().start()
        self.spawn(self._advertise())

    async def stop(self) -> None:
        """End in order: everything is taken back first."""
        for path in [each for each in self.objects if DEVICE in self.objects[each]]:
            self.remove_device(path)
        for path in list(self.objects):
            self.remove(path)
        await self.kill()

    async def kill(self) -> None:
        """Be gone without a word, and forget everything but the adapters."""
        await super().kill()
        for lock in self._linked.values():
            lock.disconnect()
        for memory in (self._linked, self._scanners, self._monitors, self._notified):
            memory.clear()
        self.objects = {path: each for path, each in self.objects.items() if ADAPTER in each}

    def add_adapter(self, name: str, address: str, *, is_powered: bool = True) -> None:
        path = self._add_adapter_object(name, address, is_powered=is_powered)
        self.announce(path)

    def remove_adapter(self, name: str) -> None:
        """Unplug it."""
        path = f"/org/bluez/{name}"
        for device in self._devices(path):
            self.remove_device(device)
        self._scanners.pop(path, None)
        self.remove(path)

    def set_powered(self, is_powered: bool, name: str = "hci0") -> None:
        path = f"/org/bluez/{name}"
        if not is_powered:
            self._scanners.pop(path, None)
            for device in self._devices(path):
                self.drop(device)
        self.change(path, ADAPTER, {"Powered": Variant("b", is_powered)})

    def set_power_state(self, state: str, name: str = "hci0") -> None:
        self.change(f"/org/bluez/{name}", ADAPTER, {"PowerState": Variant("s", state)})

    def drop(self, path: str) -> None:
        """End the connection to a device."""
        if not self.is_connected(path):
            return
        self._linked.pop(path).disconnect()
        gone = {"ServicesResolved": Variant("b", False), "Connected": Variant("b", False)}
        self.change(path, DEVICE, gone)

    def remove_device(self, path: str, *, is_silent: bool = False) -> None:
        """Forget a device; a silent removal does not say "disconnected" first."""
        if is_silent and path in self._linked:
            self._linked.pop(path).disconnect()
        self.drop(path)
        for each in sorted(self.objects, reverse=True):
            if each.startswith(path):
                self.remove(each)

    def hold(self, lock: AirLock) -> None:
        """Be connected to a lock on behalf of a client that is long gone."""
        path = self._see(lock.mac, self._company_data(lock), "/org/bluez/hci0", -60)
        lock.connect(lambda _: None, lambda: self.drop(path))
        self._linked[path] = lock
        self.change(path, DEVICE, {"Connected": Variant("b", True)})

    # What a test asks

    def device_path(self, lock: AirLock, adapter: str = "hci0") -> str:
        return f"/org/bluez/{adapter}/dev_{lock.mac.replace(':', '_')}"

    def is_connected(self, path: str) -> bool:
        return path in self._linked

    @property
    def is_scanning(self) -> bool:
        return any(self._scanners.values())

    # Methods

    def handlers(self) -> Handlers:
        handlers = {
            **super().handlers(),
            (PROPERTIES, "Set"): self._set,
            (ADAPTER, "SetDiscoveryFilter"): self._nothing,
            (ADAPTER, "StartDiscovery"): self._start_discovery,
            (ADAPTER, "StopDiscovery"): self._stop_discovery,
            (ADAPTER, "RemoveDevice"): self._remove_device,
            (DEVICE, "Connect"): self._connect,
            (DEVICE, "Disconnect"): self._disconnect,
            (CHARACTERISTIC, "WriteValue"): self._write,
            (CHARACTERISTIC, "StartNotify"): self._start_notify,
            (CHARACTERISTIC, "StopNotify"): self._nothing,
        }
        if self.offers_passive:
            handlers[MONITORS, "RegisterMonitor"] = self._register_monitor
            handlers[MONITORS, "UnregisterMonitor"] = self._unregister_monitor
        return handlers

    def client_gone(self, name: str) -> None:
        """A bus connection is gone, and with it all that was started over it."""
        for clients in (*self._scanners.values(), *self._notified.values()):
            clients.discard(name)

    async def _nothing(self, _: Call) -> None:
        return

    async def _set(self, call: Call) -> None:
        _, name, value = call.body
        if name != "Powered":
            raise Refusal("NotSupported")
        if value.value and self.refuse_power_on:
            self.refuse_power_on -= 1
            raise Refusal("Failed", "Failed")
        self.is_stuck = False
        self.set_powered(value.value, call.path.rpartition("/")[2])

    async def _start_discovery(self, call: Call) -> None:
        if not self.objects[call.path][ADAPTER]["Powered"].value:
            raise Refusal("NotReady", "Resource Not Ready")
        if self.is_stuck:
            raise Refusal("InProgress", "Operation already in progress")
        clients = self._scanners.setdefault(call.path, set())
        if call.sender in clients:
            raise Refusal("InProgress", "Operation already in progress")
        clients.add(call.sender)

    async def _stop_discovery(self, call: Call) -> None:
        if not self.objects[call.path][ADAPTER]["Powered"].value:
            raise Refusal("NotReady", "Resource Not Ready")
        clients = self._scanners.get(call.path, set())
        if call.sender not in clients:
            raise Refusal("Failed", "No discovery started")
        clients.discard(call.sender)
        if not clients:
            for path in self._devices(call.path):
                self.invalidate(path, DEVICE, "RSSI")
        if self.clumsy_stops:
            self.clumsy_stops -= 1
            raise Refusal("InProgress", "Operation already in progress")
        if self.forgets_when_scan_stops:
            for path in self._devices(call.path):
                self.remove_device(path)

    async def _register_monitor(self, call: Call) -> None:
        self._monitors.setdefault(call.path, set()).add((call.sender, call.body[0]))

    async def _unregister_monitor(self, call: Call) -> None:
        self._monitors[call.path].discard((call.sender, call.body[0]))

    async def _remove_device(self, call: Call) -> None:
        if call.body[0] not in self.objects:
            raise Refusal("DoesNotExist", "Does Not Exist")
        self.remove_device(call.body[0])

    async def _connect(self, call: Call) -> None:
        if self.is_scanning or any(self._monitors.values()):
            self.clashes.append(call.path)
        if call.path in self._linked:
            raise Refusal("AlreadyConnected", "Already Connected")
        if self.aborts:
            self.aborts -= 1
            for is_up in (True, False):
                self.change(call.path, DEVICE, {"Connected": Variant("b", is_up)})
            raise Refusal("Failed", "le-connection-abort-by-local")
        lock = next((each for each in self.locks if self._is_at(each, call.path)), None)
        try:
            if lock is None or not lock.is_in_range:
                raise Refusal("Failed", "Host is down")
            lock.connect(lambda data: self._notify(call.path, data), lambda: self.drop(call.path))
        except NotConnectable:
            raise Refusal("Failed", "le-connection-refused") from None
        self._linked[call.path] = lock
        self.change(call.path, DEVICE, {"Connected": Variant("b", True)})
        self.spawn(self._resolve(call.path))

    async def _resolve(self, path: str) -> None:
        """Discover the services, which takes another moment."""
        await asyncio.sleep(0)
        if path not in self._linked:
            return
        service = f"{path}/service000c"
        if self.has_service and service not in self.objects:
            self.objects[service] = {
                SERVICE: {
                    "UUID": Variant("s", uuid16(0x1910)),
                    "Primary": Variant("b", True),
                    "Device": Variant("o", path),
                }
            }
            self.announce(service)
            for handle, number, flags in (
                (self.handles[0], 0xFFF2, ["write", "write-without-response"]),
                (self.handles[1], 0xFFF4, ["notify"]),
            ):
                characteristic = f"{service}/char{handle}"
                self.objects[characteristic] = {
                    CHARACTERISTIC: {
                        "UUID": Variant("s", uuid16(number)),
                        "Service": Variant("o", service),
                        "Flags": Variant("as", flags),
                        "Notifying": Variant("b", False),
                        "MTU": Variant("q", 23),
                    }
                }
                self.announce(characteristic)
        self.change(path, DEVICE, {"ServicesResolved": Variant("b", True)})

    async def _disconnect(self, call: Call) -> None:
        self.drop(call.path)

    async def _write(self, call: Call) -> None:
        value, options = call.body
        device = call.path.rpartition("/service")[0]
        if device not in self._linked:
            raise Refusal("Failed", "Not connected")
        self.write_types.append(options["type"].value)
        self._linked[device].receive(bytes(value))

    async def _start_notify(self, call: Call) -> None:
        clients = self._notified.setdefault(call.path, set())
        if call.sender in clients:
            raise Refusal("InProgress", "In Progress")
        clients.add(call.sender)
        self.change(call.path, CHARACTERISTIC, {"Notifying": Variant("b", True)})

    # The air

    async def _advertise(self) -> None:
        while True:
            await asyncio.sleep(ADVERTISING_INTERVAL_S)
            for adapter in [each for each in self.objects if ADAPTER in self.objects[each]]:
                is_monitored = bool(self._monitors.get(adapter)) and self.delivers_passive
                if self._scanners.get(adapter) or is_monitored:
                    self._hear_everybody(adapter)

    def _hear_everybody(self, adapter: str) -> None:
        self.broadcasts += 1
        # A step too small for BlueZ to report would be no news; this is one that it reports.
        self._wobble = 9 - self._wobble
        for address, company in self.strangers.items():
            self._see(address, {company: Variant("ay", bytes(8))}, adapter, -70)
        for lock in self.locks:
            if lock.advertisement() is not None:
                data = self._company_data(lock)
                self._see(lock.mac, data, adapter, lock.rssi_dbm - self._wobble)

    def _company_data(self, lock: AirLock) -> dict[int, Variant]:
        data = lock.advertisement() or bytes(17)
        return {int.from_bytes(data[:2], "little"): Variant("ay", data[2:])}

    def _see(self, address: str, data: dict[int, Variant], adapter: str, rssi_dbm: int) -> str:
        path = f"{adapter}/dev_{address.replace(':', '_')}"
        heard = {"RSSI": Variant("n", rssi_dbm), "ManufacturerData": Variant("a{qv}", data)}
        if path in self.objects:
            self.change(path, DEVICE, heard)
            return path
        self.objects[path] = {
            DEVICE: {
                "Address": Variant("s", address),
                "AddressType": Variant("s", "public"),
                "Alias": Variant("s", address.replace(":", "-")),
                "Adapter": Variant("o", adapter),
                "Paired": Variant("b", False),
                "Connected": Variant("b", False),
                "ServicesResolved": Variant("b", False),
                "UUIDs": Variant("as", []),
                **heard,
            }
        }
        self.announce(path)
        return path

    def _notify(self, device: str, data: bytes) -> None:
        path = f"{device}/service000c/char{self.handles[1]}"
        if self._notified.get(path):
            self.change(path, CHARACTERISTIC, {"Value": Variant("ay", data)})

    # Small things

    def _add_adapter_object(self, name: str, address: str, *, is_powered: bool = True) -> str:
        path = f"/org/bluez/{name}"
        self.objects[path] = {
            ADAPTER: {
                "Address": Variant("s", address),
                "Powered": Variant("b", is_powered),
                "Roles": Variant("as", ["central", "peripheral"]),
            }
        }
        return path

    def _devices(self, adapter: str) -> list[str]:
        return [
            path
            for path, interfaces in self.objects.items()
            if DEVICE in interfaces and path.startswith(f"{adapter}/")
        ]

    def _is_at(self, lock: AirLock, path: str) -> bool:
        return path.endswith(lock.mac.replace(":", "_"))

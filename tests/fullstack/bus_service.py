"""The part of a D-Bus service that has nothing to do with Bluetooth: objects, calls, signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

OBJECTS = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"

Reply = tuple[str, list[Any]]
Handler = Callable[["Call"], Coroutine[Any, Any, Reply | None]]
Handlers = dict[tuple[str, str], Handler]


class Refusal(Exception):
    """An error reply."""

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(name)
        self.name = name if "." in name else f"org.bluez.Error.{name}"
        self.text = text


class Call:
    """One method call."""

    def __init__(self, message: Message) -> None:
        self.path: str = message.path or ""
        self.member: str = message.member or ""
        self.sender: str = message.sender or ""
        self.body: list[Any] = message.body


class BusService:
    """Owns a name on the system bus and a tree of objects; can be told to misbehave."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.refusals: dict[str, list[Refusal]] = {}
        """What the next calls of a method are answered with, in order."""
        self.hanging: set[str] = set()
        """Methods that never answer."""
        self.calls: list[str] = []
        """``Interface1.Member`` of every call, in order."""
        self.objects: dict[str, dict[str, dict[str, Variant]]] = {}
        self._bus: MessageBus | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._bus = MessageBus(bus_type=BusType.SYSTEM)
        await self._bus.connect()
        self._bus.add_message_handler(self._on_message)
        await self._bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=["type='signal',member='NameOwnerChanged'"],
            )
        )
        await self._bus.request_name(self._name)

    async def kill(self) -> None:
        """Be gone without a word."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._bus is not None:
            bus, self._bus = self._bus, None
            bus.disconnect()
            # A bus that was itself killed ends in an error.
            with suppress(OSError, EOFError):
                await bus.wait_for_disconnect()

    def refuse(self, member: str, *refusals: Refusal) -> None:
        self.refusals.setdefault(member, []).extend(refusals)

    def handlers(self) -> Handlers:
        return {(OBJECTS, "GetManagedObjects"): self._get_managed_objects}

    def client_gone(self, name: str) -> None:
        """A bus connection has ended."""

    def announce(self, path: str) -> None:
        body = [path, self.objects[path]]
        self._emit("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", body)

    def remove(self, path: str) -> None:
        body = [path, list(self.objects.pop(path))]
        self._emit("/", OBJECTS, "InterfacesRemoved", "oas", body)

    def change(self, path: str, interface: str, changed: dict[str, Variant]) -> None:
        self.objects[path][interface].update(changed)
        body = [interface, changed, []]
        self._emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    def invalidate(self, path: str, interface: str, name: str) -> None:
        if self.objects[path][interface].pop(name, None) is not None:
            self._emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, {}, [name]])

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_message(self, message: Message) -> bool:
        if message.message_type == MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and not message.body[2]:
                self.client_gone(message.body[0])
            return False
        if message.message_type != MessageType.METHOD_CALL:
            return False
        handler = self.handlers().get((message.interface or "", message.member or ""))
        if handler is None:
            return False
        self.spawn(self._answer(message, handler))
        return True

    async def _answer(self, message: Message, handler: Handler) -> None:
        call = Call(message)
        self.calls.append(f"{(message.interface or '').rpartition('.')[2]}.{call.member}")
        if call.member in self.hanging:
            return
        try:
            self._check(call)
            signature, body = await handler(call) or ("", [])
        except Refusal as refusal:
            reply = Message.new_error(message, refusal.name, refusal.text)
        else:
            reply = Message.new_method_return(message, signature, body)
        if self._bus is not None and self._bus.connected:
            await self._bus.send(reply)

    def _check(self, call: Call) -> None:
        if self.refusals.get(call.member):
            raise self.refusals[call.member].pop(0)
        if call.path != "/" and call.path not in self.objects:
            raise Refusal("org.freedesktop.DBus.Error.UnknownObject", "no such object")

    def _emit(self, path: str, interface: str, member: str, signature: str, body: Any) -> None:
        if self._bus is not None and self._bus.connected:
            self._bus.send(
                Message.new_signal(path, interface, member, signature, body)
            ).add_done_callback(lambda sent: sent.exception())

    async def _get_managed_objects(self, _: Call) -> Reply:
        return "a{oa{sa{sv}}}", [self.objects]

"""The virtual lock's process behind its socket, reached by the link that the agent uses."""

import asyncio
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TypeVar

import pytest

from ttlock_agent.errors import (
    ConfigError,
    ConnectFailed,
    ControlUnavailable,
    LinkLost,
    LockNotSeen,
)
from ttlock_agent.link import Link, Sighting, virtual
from ttlock_agent.link.virtual import VirtualLinkFactory
from ttlock_agent.link.virtual_wire import (
    Advertised,
    Connect,
    Connected,
    Notified,
    Write,
    encode_line,
)
from ttlock_agent.lock.visit import LockProfile, visit_lock
from ttlock_agent.virtual_lock.control import VirtualLockControl
from ttlock_agent.virtual_lock.main import create_state, serve
from ttlock_agent.virtual_lock.server import VirtualLockServer
from ttlock_agent.virtual_lock.state_file import StateFile, write_state
from ttlock_protocol.advertisement import Advertisement, parse
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.frame import chunks
from ttlock_protocol.message import Request, Response
from ttlock_protocol.messages.auth import CheckAdmin, CheckRandom
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.messages.operate import GetState, OperationPush, State
from ttlock_protocol.messages.passcodes import AddPasscode, PasscodeType
from ttlock_protocol.session import Push, Replied, Session
from ttlock_protocol.virtual import (
    Fault,
    FaultAction,
    FaultPlan,
    FaultPoint,
    KeypadReason,
    Memory,
    VirtualLock,
    load_memory,
)
from ttlock_protocol.virtual.memory import Habits, Settings
from virtual_helpers import KEYS, LOCAL, MAC, ManualClock, counting_entropy, paired, settle

R = TypeVar("R", bound=Response)

ADDRESS = "virtual:door"
ADD = AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode="135790")
CARD = bytes.fromhex("01e28f3a")
FINGER = bytes.fromhex("5f3a91c40007")
SOON_S = 5.0
"""Long enough for a loaded machine; nothing that succeeds waits for it."""
AT_ONCE_S = 0.05
"""For what must not happen at all."""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose name is short enough for the sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="vl"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Door:
    """A running lock, and the ways to it."""

    def __init__(self, directory: Path, clock: ManualClock, server: VirtualLockServer) -> None:
        self.socket = directory / "door.sock"
        self.state = directory / "door.json"
        self.clock = clock
        self.server = server
        self.links = VirtualLinkFactory(directory, clock=clock, addresses=[ADDRESS])
        self.control = VirtualLockControl(self.socket)
        self._visitors: list[Visitor] = []

    def saved(self) -> Memory:
        return load_memory(self.state.read_text())

    async def connect(self, timeout_s: float = SOON_S) -> "Visitor":
        visitor = Visitor(await self.links.connect(ADDRESS, timeout_s=timeout_s))
        self._visitors.append(visitor)
        return visitor

    async def close(self) -> None:
        for visitor in self._visitors:
            await visitor.link.close()

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.socket)


class Visitor:
    """A session over a link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.session = Session(key=KEYS.aes_key, version=KEYS.version)
        self.pushes: list[Response] = []

    async def ask(self, request: Request[R]) -> R:
        for piece in chunks(self.session.send(request)):
            await self.link.write(piece)
        while True:
            for event in self.session.receive(await self.link.read()):
                if isinstance(event, Replied):
                    assert isinstance(event.response, request.response_type)
                    return event.response  # type: ignore[return-value]
                assert isinstance(event, Push), event
                self.pushes.append(event.message)

    async def login(self) -> None:
        challenge = await self.ask(CheckAdmin(admin_secret=KEYS.admin_secret, user_id=KEYS.user_id))
        await self.ask(CheckRandom(proof=KEYS.proof(challenge.challenge)))


@asynccontextmanager
async def running(
    directory: Path, clock: ManualClock, memory: Memory | None = None
) -> AsyncIterator[Door]:
    door = directory / "door.json"
    write_state(door, memory or paired())
    lock = VirtualLock(load_memory(door.read_text()), entropy=counting_entropy())
    server = VirtualLockServer(lock, clock=clock, save=lambda new: write_state(door, new))
    ready = asyncio.Event()
    task = asyncio.create_task(server.serve(directory / "door.sock", on_ready=ready.set))
    await asyncio.wait_for(ready.wait(), SOON_S)
    try:
        async with (way := Door(directory, clock, server)).control:
            yield way
            await way.close()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def door(directory: Path, clock: ManualClock) -> AsyncIterator[Door]:
    async with running(directory, clock) as door:
        yield door


async def test_a_passcode_delivered_over_the_link_opens_the_door(door: Door) -> None:
    assert (await door.control.type_code("135790")).reason == KeypadReason.WRONG
    visitor = await door.connect()
    await visitor.login()
    await visitor.ask(ADD)
    await visitor.link.close()
    assert (await door.control.type_code("135790")).is_opened
    inside = await door.control.inspect()
    assert (inside.is_connected, inside.local_time) == (False, LOCAL.isoformat())
    assert [each.passcode for each in (await door.control.memory()).passcodes] == ["135790"]


async def test_what_was_confirmed_is_on_disk_before_the_answer(door: Door) -> None:
    visitor = await door.connect()
    await visitor.login()
    assert door.saved().passcodes == ()
    await visitor.ask(ADD)
    assert [each.passcode for each in door.saved().passcodes] == ["135790"]


async def test_a_lock_that_cannot_save_confirms_nothing_and_stops(
    directory: Path, clock: ManualClock
) -> None:
    def fail(_: Memory) -> None:
        raise OSError(28, "no space left")

    lock = VirtualLock(paired(), entropy=counting_entropy())
    server = VirtualLockServer(lock, clock=clock, save=fail)
    ready = asyncio.Event()
    task = asyncio.create_task(server.serve(directory / "door.sock", on_ready=ready.set))
    await asyncio.wait_for(ready.wait(), SOON_S)
    links = VirtualLinkFactory(directory, clock=clock)
    visitor = Visitor(await links.connect(ADDRESS, timeout_s=SOON_S))
    await visitor.login()
    with pytest.raises(LinkLost):
        await visitor.ask(ADD)
    await visitor.link.close()
    with pytest.raises(ExceptionGroup):
        await task


async def test_the_lock_is_silent_for_others_while_it_is_taken(door: Door) -> None:
    visitor = await door.connect()
    with pytest.raises(LockNotSeen):
        await door.connect(AT_ONCE_S)
    await visitor.link.close()
    await (await door.connect()).link.close()


async def test_who_connects_to_a_taken_lock_is_refused(door: Door) -> None:
    await door.connect()
    reader, writer = await door.raw()
    writer.write(encode_line(Connect()))
    assert json.loads(await reader.readline())["type"] == "refused"
    writer.close()


async def test_somebody_else_was_faster(directory: Path, clock: ManualClock) -> None:
    async def advertise_and_refuse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readline()
        writer.write(encode_line(Advertised(MAC, b"", -60)))
        await reader.readline()
        writer.close()

    server = await asyncio.start_unix_server(advertise_and_refuse, directory / "door.sock")
    async with server:
        with pytest.raises(ConnectFailed):
            await VirtualLinkFactory(directory, clock=clock).connect(ADDRESS, timeout_s=SOON_S)


@pytest.mark.parametrize("line", [b"nonsense\n", b"", b"half a line"])
async def test_a_lock_that_talks_nonsense_is_not_seen(
    directory: Path, clock: ManualClock, line: bytes
) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        writer.close()

    async with await asyncio.start_unix_server(babble, directory / "door.sock"):
        with pytest.raises(LockNotSeen):
            await VirtualLinkFactory(directory, clock=clock).connect(ADDRESS, timeout_s=SOON_S)


@pytest.mark.parametrize("address", ["virtual:nobody", "virtual:/nowhere/at/all.sock"])
async def test_no_process_no_lock(directory: Path, clock: ManualClock, address: str) -> None:
    with pytest.raises(LockNotSeen, match="No virtual lock runs"):
        await VirtualLinkFactory(directory, clock=clock).connect(address, timeout_s=SOON_S)


async def test_a_path_is_an_address_too(door: Door) -> None:
    link = await door.links.connect(f"virtual:{door.socket}", timeout_s=SOON_S)
    await link.close()


async def test_giving_up_while_connecting_leaves_the_lock_free(
    directory: Path, clock: ManualClock
) -> None:
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        connecting.cancel()
        assert await reader.read() == b""
        writer.close()
        gone.set()

    links = VirtualLinkFactory(directory, clock=clock)
    async with await asyncio.start_unix_server(say_nothing, directory / "door.sock"):
        connecting = asyncio.create_task(links.connect(ADDRESS, timeout_s=SOON_S))
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.wait_for(gone.wait(), SOON_S)


async def test_advertisements_in_between_are_passed_over(
    directory: Path, clock: ManualClock
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = Advertised(MAC, b"", -60)
        for message in (seen, seen, Connected(), seen, Notified(b"x"), Notified(b"y")):
            writer.write(encode_line(message))
        await reader.read()
        writer.close()

    links = VirtualLinkFactory(directory, clock=clock)
    async with await asyncio.start_unix_server(talk, directory / "door.sock"):
        link = await links.connect(ADDRESS, timeout_s=SOON_S)
        assert await link.read() == b"x"
        await link.close()


async def test_a_lock_that_does_not_let_go_is_not_waited_for_for_ever(
    directory: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    async def hold_on(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode_line(Advertised(MAC, b"", -60)) + encode_line(Connected()))
        await closed.wait()
        writer.close()

    monkeypatch.setattr(virtual, "CLOSE_LIMIT_S", AT_ONCE_S)
    links = VirtualLinkFactory(directory, clock=clock)
    async with await asyncio.start_unix_server(hold_on, directory / "door.sock"):
        link = await links.connect(ADDRESS, timeout_s=SOON_S)
        await link.close()
        with pytest.raises(LinkLost):
            await link.write(b"x")
        closed.set()


async def test_a_write_to_a_lock_that_is_gone_is_a_lost_link(
    directory: Path, clock: ManualClock
) -> None:
    async with running(directory, clock) as door:
        link = await door.links.connect(ADDRESS, timeout_s=SOON_S)
    with pytest.raises(LinkLost):
        await link.write(b"x")
    await link.close()


async def test_an_idle_link_is_dropped_after_five_seconds(door: Door) -> None:
    visitor = await door.connect()
    reading = asyncio.create_task(visitor.link.read())
    await door.clock.advance(4.9)
    assert not reading.done()
    await door.clock.advance(0.2)
    with pytest.raises(LinkLost):
        await asyncio.wait_for(reading, SOON_S)
    await visitor.link.close()
    assert not (await door.control.inspect()).is_connected


async def test_pushes_arrive_when_they_are_due(door: Door) -> None:
    visitor = await door.connect()
    assert not (await door.control.type_code("0000")).is_opened
    await door.control.turn_key()
    await visitor.ask(GetClock())
    assert [type(each) for each in visitor.pushes] == [State]
    await door.clock.advance(3)
    await visitor.ask(GetClock())
    await door.clock.advance(2)
    await visitor.ask(GetClock())
    assert [type(each) for each in visitor.pushes] == [State, State, OperationPush, OperationPush]


async def test_the_auto_lock_runs_with_nobody_there(door: Door) -> None:
    await door.control.turn_key()
    await door.clock.advance(4.9)
    assert door.saved().bolt.opened_at is not None
    await door.clock.advance(0.2)
    assert door.saved().bolt.opened_at is None


async def test_a_lock_that_goes_away_is_a_lost_link(directory: Path, clock: ManualClock) -> None:
    async with running(directory, clock) as door:
        visitor = await door.connect()
    with pytest.raises(LinkLost):
        await visitor.link.read()
    with pytest.raises(LinkLost):
        await visitor.link.write(b"x")
    assert not door.socket.exists()
    with pytest.raises(ControlUnavailable):
        await door.control.touch()
    with pytest.raises(ControlUnavailable):
        async with door.control:
            pass


async def test_a_closed_link_is_closed(door: Door) -> None:
    visitor = await door.connect()
    reading = asyncio.create_task(visitor.link.read())
    await settle()
    await visitor.link.close()
    await visitor.link.close()
    with pytest.raises(LinkLost):
        await reading
    with pytest.raises(LinkLost):
        await visitor.link.write(b"x")


async def test_a_write_is_at_most_twenty_bytes(door: Door) -> None:
    visitor = await door.connect()
    with pytest.raises(ValueError, match="at most 20 bytes"):
        await visitor.link.write(bytes(21))
    assert (await visitor.ask(GetState())).battery_percent == 100


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b'{"type":"dance"}\n', b"half a line", encode_line(Write(b"x"))]
)
async def test_who_talks_nonsense_to_the_lock_is_dropped(door: Door, line: bytes) -> None:
    reader, writer = await door.raw()
    writer.write(line)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), SOON_S) == b""
    writer.close()
    await door.control.touch()


async def test_a_central_that_writes_too_much_is_dropped(door: Door) -> None:
    reader, writer = await door.raw()
    writer.write(encode_line(Connect()))
    assert json.loads(await reader.readline())["type"] == "connected"
    writer.write(encode_line(Write(bytes(21))))
    assert await asyncio.wait_for(reader.read(), SOON_S) == b""
    writer.close()
    await (await door.connect()).link.close()


async def test_nobody_writes_into_somebody_elses_connection(door: Door) -> None:
    visitor = await door.connect()
    await visitor.login()
    reader, writer = await door.raw()
    for piece in chunks(Session(key=KEYS.aes_key, version=KEYS.version).send(ADD)):
        writer.write(encode_line(Write(piece)))
    assert await asyncio.wait_for(reader.read(), SOON_S) == b""
    writer.close()
    assert (await door.control.memory()).passcodes == ()
    await visitor.ask(ADD)


class TestSightings:
    async def collect(self, door: Door, links: VirtualLinkFactory, seconds: int) -> list[Sighting]:
        found: list[Sighting] = []

        async def watch() -> None:
            async for sighting in links.sightings():
                found.append(sighting)  # noqa: PERF401 - the loop never ends

        task = asyncio.create_task(watch())
        await door.clock.advance(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return found

    async def test_come_about_once_a_second_for_locks_that_are_there(self, door: Door) -> None:
        links = VirtualLinkFactory(
            door.socket.parent, clock=door.clock, addresses=[ADDRESS, "virtual:nobody"]
        )
        found = await self.collect(door, links, 3)
        assert {each.address for each in found} == {ADDRESS}
        assert [each.seen_at_monotonic_s for each in found] == [0, 1, 2, 3]
        advertisement = parse(found[0].manufacturer_data)
        assert isinstance(advertisement, Advertisement)
        assert advertisement.mac == MAC

    async def test_stop_while_somebody_is_connected(self, door: Door) -> None:
        visitor = await door.connect()
        assert await self.collect(door, door.links, 3) == []
        await visitor.link.close()
        assert await self.collect(door, door.links, 1)

    async def test_a_touch_is_seen_at_once(self, door: Door) -> None:
        found: list[Sighting] = []

        async def watch() -> None:
            async for sighting in door.links.sightings():
                found.append(sighting)  # noqa: PERF401 - the loop never ends

        task = asyncio.create_task(watch())
        await settle()
        await door.control.touch()
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        params = [parse(each.manufacturer_data) for each in found]
        touched = [each.is_touched for each in params if isinstance(each, Advertisement)]
        assert touched == [False, True]

    async def test_a_lock_that_comes_later_is_found(
        self, directory: Path, clock: ManualClock
    ) -> None:
        links = VirtualLinkFactory(directory, clock=clock, addresses=[ADDRESS])
        sightings = links.sightings()
        first = asyncio.ensure_future(anext(sightings))
        await clock.advance(5)
        assert not first.done()
        async with running(directory, clock):
            await clock.advance(1)
            assert (await asyncio.wait_for(first, SOON_S)).address == ADDRESS
        await sightings.aclose()  # type: ignore[attr-defined]

    async def test_nobody_to_look_for(self, directory: Path, clock: ManualClock) -> None:
        sightings = VirtualLinkFactory(directory, clock=clock).sightings()
        waiting = asyncio.ensure_future(anext(sightings))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def test_a_defect_of_a_watcher_is_not_swallowed(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> float:
            raise ZeroDivisionError

        monkeypatch.setattr(door.clock, "monotonic", broken)
        links = VirtualLinkFactory(door.socket.parent, clock=door.clock, addresses=[ADDRESS])
        monkeypatch.setattr(links, "_watch", self.fail)
        with pytest.raises(ZeroDivisionError):
            await anext(links.sightings())

    async def fail(self, *_: object) -> None:
        raise ZeroDivisionError


class TestControl:
    async def test_cards_and_fingers(self, door: Door) -> None:
        for present in (door.control.present_card(CARD), door.control.present_finger(FINGER)):
            assert (await present).reason == KeypadReason.WRONG

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda control: control.type_code("12a4"),
            lambda control: control.present_card(b"\1"),
            lambda control: control.present_finger(b"\1"),
        ],
    )
    async def test_what_is_impossible_is_said(
        self, door: Door, wrong: Callable[[VirtualLockControl], Awaitable[object]]
    ) -> None:
        with pytest.raises(LocalProtocolError):
            await wrong(door.control)
        await door.control.touch()

    async def test_clock_batteries_and_reset(self, door: Door) -> None:
        await door.control.shift_clock(-3600)
        assert (await door.control.inspect()).local_time == "2026-03-14T08:00:00"
        await door.control.reboot()
        assert (await door.control.inspect()).local_time == "2000-01-01T00:00:00"
        await door.control.press_reset()
        assert door.saved().administrator is None

    async def test_a_reset_button_that_is_switched_off(
        self, directory: Path, clock: ManualClock
    ) -> None:
        memory = replace(paired(), settings=Settings(switches=0))
        async with running(directory, clock, memory) as door:
            with pytest.raises(LocalProtocolError, match="switched off"):
                await door.control.press_reset()

    async def test_a_wrong_fault_plan_is_refused(self, door: Door) -> None:
        reader, writer = await door.raw()
        writer.write(b'{"type":"set_faults","plan":{"faults":[{"action":"dance"}]}}\n')
        answer = json.loads(await reader.readline())
        assert answer["type"] == "wrong"
        assert "plan.faults[0].action" in answer["reason"]
        writer.close()


class TestFaults:
    async def set(self, door: Door, action: FaultAction, **changes: object) -> None:
        fault = Fault(action=action, at=FaultPoint.ANSWER, **changes)  # type: ignore[arg-type]
        await door.control.set_faults(FaultPlan(faults=(fault,), seed=3))

    async def test_an_answer_lost_after_the_passcode_was_added(self, door: Door) -> None:
        await self.set(door, FaultAction.LOSE, request="AddPasscode", nth=1)
        visitor = await door.connect()
        await visitor.login()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(visitor.ask(ADD), AT_ONCE_S)
        assert [each.passcode for each in door.saved().passcodes] == ["135790"]

    async def test_a_dropped_link_is_lost(self, door: Door) -> None:
        await self.set(door, FaultAction.DROP)
        visitor = await door.connect()
        with pytest.raises(LinkLost):
            await visitor.ask(GetState())
        await visitor.link.close()

    async def test_a_delayed_answer_comes_when_its_time_has_come(self, door: Door) -> None:
        await self.set(door, FaultAction.DELAY, delay_s=2.0)
        visitor = await door.connect()
        asking = asyncio.create_task(visitor.ask(GetState()))
        await settle()
        await door.clock.advance(1.9)
        assert not asking.done()
        await door.clock.advance(0.2)
        assert (await asyncio.wait_for(asking, SOON_S)).battery_percent == 100


class TestProcess:
    async def test_two_locks_do_not_share_a_state(self, directory: Path) -> None:
        path = directory / "door.json"
        create_state(path, paired())
        with StateFile(path) as file:
            assert file.load() == paired()
            with pytest.raises(ConfigError, match="another virtual lock"), StateFile(path):
                pass
        with StateFile(path):
            pass
        assert path.stat().st_mode & 0o777 == 0o600

    async def test_a_new_lock_never_replaces_an_old_one(self, directory: Path) -> None:
        create_state(directory / "door.json", paired())
        with pytest.raises(ConfigError, match="there already"):
            create_state(directory / "door.json", paired())

    @pytest.mark.parametrize("content", [None, b"{", b"\xff"])
    async def test_a_state_that_cannot_be_used(
        self, directory: Path, clock: ManualClock, content: bytes | None
    ) -> None:
        path = directory / "door.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"door\.json"):
            await serve(path, directory / "door.sock", clock, out=io.StringIO())

    async def test_a_directory_that_is_not_there(self, directory: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be owned"), StateFile(directory / "x" / "y"):
            pass

    async def test_it_says_when_it_is_ready(self, directory: Path, clock: ManualClock) -> None:
        create_state(directory / "door.json", paired())
        out = io.StringIO()
        socket = directory / "door.sock"
        task = asyncio.create_task(serve(directory / "door.json", socket, clock, out=out))
        while not out.getvalue():
            await asyncio.sleep(0)
        assert json.loads(out.getvalue()) == {
            "event": "ready",
            "mac": MAC,
            "name": "S999_332211",
            "socket": str(socket),
        }
        assert socket.stat().st_mode & 0o777 == 0o600
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_people_type_and_read_until_the_input_ends(
        self, directory: Path, clock: ManualClock
    ) -> None:
        create_state(directory / "door.json", replace(paired(), admin_passcode="2468135"))
        read, write = os.pipe()
        os.write(write, b"0000\n\n2468135#12a4#\n")
        os.close(write)
        out = io.StringIO()
        with os.fdopen(read) as source:
            await serve(
                directory / "door.json",
                directory / "door.sock",
                clock,
                has_keypad=True,
                source=source,
                out=out,
            )
        ready, prompt, *told = out.getvalue().splitlines()
        assert json.loads(ready)["event"] == "ready"
        assert prompt.startswith("Keypad:")
        assert told == [
            "wrong passcode",
            "bolt withdrawn",
            "the door opens (administrator's passcode)",
            "only the digits 0 to 9 can be typed",
        ]

    async def test_killed_in_mid_air_it_has_not_forgotten_what_it_confirmed(
        self, directory: Path, clock: ManualClock
    ) -> None:
        create_state(directory / "door.json", paired())
        links = VirtualLinkFactory(directory, clock=clock)
        for digits in ("135790", "246800"):
            process = await self.start(directory)
            visitor = Visitor(await links.connect(ADDRESS, timeout_s=SOON_S))
            await visitor.login()
            await visitor.ask(replace(ADD, passcode=digits))
            process.send_signal(signal.SIGKILL)
            await process.wait()
            with pytest.raises(LinkLost):
                await visitor.link.read()
            await visitor.link.close()
        saved = load_memory((directory / "door.json").read_text())
        assert [each.passcode for each in saved.passcodes] == ["135790", "246800"]

    async def start(self, directory: Path) -> asyncio.subprocess.Process:
        command = ["-m", "ttlock_agent", "virtual-lock", "--state", str(directory / "door.json")]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            "--socket",
            str(directory / "door.sock"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["event"] == "ready"
        return process


async def test_a_visit_begins_with_the_header_that_the_lock_advertises(
    directory: Path, clock: ManualClock
) -> None:
    """Disagreement D6: a lock of scene 1 that insists, and keys that were stored for scene 2."""
    assert KEYS.version.scene == 2
    memory = paired(version=replace(KEYS.version, scene=1), habits=Habits(is_header_strict=True))
    profile = LockProfile(
        id="door",
        address=ADDRESS,
        zone=UTC,
        keys=KEYS,
        clock_tolerance_s=30,
        response_timeout_s=SOON_S,
        connect_timeout_s=SOON_S,
    )
    async with (
        running(directory, clock, memory) as door,
        visit_lock(door.links, profile, clock) as visit,
    ):
        assert await visit.passcodes(is_fresh=True) == ()

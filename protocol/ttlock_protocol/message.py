"""Messages by declaration: one frozen dataclass each, one registry for both sides of the link.

A request is declared once and so is its response; the client encodes the one and decodes the other,
the virtual lock does the reverse. Fields are written in wire order with :func:`field`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
)

from .errors import DecodeError, LocalProtocolError, OpenIntEnum
from .wire import Codec, Reader, Unsigned

T = TypeVar("T")
MessageT = TypeVar("MessageT", bound="Message")
RequestT = TypeVar("RequestT", bound="Request[Any]")
ResponseT = TypeVar("ResponseT", bound="Response")
ResponseT_co = TypeVar("ResponseT_co", bound="Response", covariant=True)

_WIRE: Final = "ttlock.wire"


class Opcode(OpenIntEnum):
    """Commands (reference 6.0)."""

    FEATURES = 0x01
    ENTER_FIRMWARE_UPDATE = 0x02
    PASSCODES = 0x03
    CARDS = 0x05
    FINGERPRINTS = 0x06
    PASSCODE_LIST = 0x07
    NB_ADDRESS = 0x12
    STATE = 0x14
    GET_AES_KEY = 0x19
    LOG = 0x25
    CHECK_RANDOM = 0x30
    INIT_OFFLINE_PASSCODES = 0x31
    READ_OFFLINE_PASSCODES = 0x32
    MAX_PASSCODES = 0x33
    GET_CLOCK = 0x34
    WRISTBAND_KEY = 0x35
    AUTO_LOCK = 0x36
    REMOTE_UNLOCK = 0x37
    CHECK_ADMIN = 0x41
    SET_CLOCK = 0x43
    HELLO = 0x45
    UNLOCK = 0x47
    LOCK_NAME = 0x4E
    RESET = 0x52
    SET_ADMIN_PASSCODE = 0x53
    RESPONSE = 0x54
    CHECK_USER = 0x55
    ADD_ADMIN = 0x56
    PAIRING_FINISHED = 0x57
    LOCK = 0x58
    SHOW_PASSCODE = 0x59
    SOUND = 0x62
    REMOTE_CONTROL = 0x63
    HOTEL = 0x64
    GET_ADMIN_PASSCODE = 0x65
    PASSAGE_MODE = 0x66
    SWITCHES = 0x68
    SCHEDULE = 0x70
    DEVICE_INFO = 0x90
    DEVICE_PARAMETER = 0xFF


class Auth(Enum):
    """What has to come first in the same connection (reference 5.5)."""

    NOTHING = "nothing"
    SETTING_MODE = "setting mode"
    """The lock has no administrator; used while it is being paired."""
    USER_CHALLENGE = "user challenge"
    """A 0x55 (or 0x41), whose challenge is part of the request itself."""
    USER = "user"
    """0x55 and 0x30."""
    ADMIN = "administrator"
    """0x41 and 0x30."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    codec: Codec[Any]
    is_optional: bool
    when: Callable[[Mapping[str, Any]], bool] | None


def field(
    codec: Codec[Any],
    *,
    default: Any = dataclasses.MISSING,
    is_optional: bool = False,
    is_secret: bool = False,
    when: Callable[[Mapping[str, Any]], bool] | None = None,
) -> Any:
    """Declare a field in wire order.

    ``is_optional`` fields may be missing at the end of the payload and are then ``None``, as are
    fields whose ``when`` (asked with the fields before it) says that this layout lacks them.
    ``is_secret`` keeps the value out of the representation.
    """
    if default is dataclasses.MISSING and (is_optional or when is not None):
        default = None
    return dataclasses.field(
        default=default,
        repr=not is_secret,
        metadata={_WIRE: _Field(codec, is_optional, when)},
    )


def const(
    value: int,
    *,
    size: int = 1,
    also: frozenset[int] = frozenset(),
    init: Literal[False] = False,
) -> Any:
    """Declare a number that is always there and tells layouts of one opcode apart.

    ``also`` are other numbers that mean the same when they are received. ``init`` is for type
    checkers: the number is never an argument.
    """
    return dataclasses.field(
        default=value,
        init=init,
        repr=False,
        metadata={_WIRE: _Field(_Const(value, size, also), is_optional=False, when=None)},
    )


class OtherLayout(DecodeError):
    """The payload belongs to another message with the same opcode."""


class _Const:
    def __init__(self, value: int, size: int, also: frozenset[int]) -> None:
        self.value = value
        self._also = also
        self._codec = Unsigned(size)

    def encode(self, value: int, out: bytearray) -> None:
        self._codec.encode(value, out)

    def decode(self, reader: Reader) -> int:
        found = self._codec.decode(reader)
        if found != self.value and found not in self._also:
            raise OtherLayout(f"{self.value} is expected here, not {found}")
        return found


class Message:
    """One payload without its envelope; see :class:`Request` and :class:`Response`."""

    __slots__ = ()
    opcode: ClassVar[Opcode]
    _layout: ClassVar[tuple[tuple[str, _Field], ...]] = ()
    _constants: ClassVar[frozenset[str]] = frozenset()
    _sizes: ClassVar[range] = range(256)

    def encode(self) -> bytes:
        """Return the payload; raises ``LocalProtocolError`` for what cannot be said."""
        out = bytearray()
        values: dict[str, Any] = {}
        is_cut_short = False
        for name, wire in self._layout:
            value = values[name] = getattr(self, name)
            is_there = wire.when is None or wire.when(values)
            is_cut_short = is_cut_short or (is_there and wire.is_optional and value is None)
            if is_there and not is_cut_short:
                wire.codec.encode(value, out)
            elif value is not None:
                raise LocalProtocolError(f"{name} has no place in this {type(self).__name__}")
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a payload; bytes behind the layout are ignored, newer firmware may send more.

        Raises ``DecodeError``, as ``OtherLayout`` when a constant says that it is another message.
        """
        if len(data) not in cls._sizes:
            raise OtherLayout(f"{len(data)} bytes are not this message")
        try:
            return cls(**cls._read(Reader(data)))
        except LocalProtocolError as error:
            raise DecodeError(str(error)) from None

    @classmethod
    def _read(cls, reader: Reader) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, wire in cls._layout:
            if wire.when is not None and not wire.when(values):
                continue
            if wire.is_optional and not reader.remaining:
                break
            values[name] = wire.codec.decode(reader)
        return {name: value for name, value in values.items() if name not in cls._constants}


class Request(Message, Generic[ResponseT_co]):
    """What a client asks; the type parameter is the response that answers it."""

    __slots__ = ()
    response_type: ClassVar[type[Response]]
    auth: ClassVar[Auth]
    _is_repeatable: ClassVar[bool]

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it twice has the effect of sending it once; only then it is resent."""
        return self._is_repeatable

    def accepts(self, response: Response, previous: Response | None) -> bool:
        """Whether ``response`` answers this very request and not another one like it.

        ``previous`` is the last response to another request in the same connection, which the radio
        may repeat.
        """
        return isinstance(response, self.response_type)

    def is_answered_by(self, response: Response) -> bool:
        """Whether ``response`` is the last one: a learning command answers more than once."""
        return isinstance(response, self.response_type)


class Response(Message):
    """What a lock answers, or says on its own as a push."""

    __slots__ = ()


_requests: dict[Opcode, list[type[Request[Any]]]] = {}
_pushes: dict[Opcode, list[type[Response]]] = {}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field, const))
def request(
    opcode: Opcode, *, auth: Auth, is_repeatable: bool, sizes: range = range(256)
) -> Callable[[type[RequestT]], type[RequestT]]:
    """Declare and register a request.

    ``sizes`` are the payload lengths this layout may have, where another one shares its opcode.
    """

    def declare(cls: type[RequestT]) -> type[RequestT]:
        declared = _declare(cls, opcode, sizes)
        declared.response_type = _answer_of(cls)
        declared.auth = auth
        declared._is_repeatable = is_repeatable  # noqa: SLF001 - as in _declare
        _requests.setdefault(opcode, []).append(declared)
        return declared

    return declare


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field, const))
def response(
    opcode: Opcode, *, is_push: bool = False, sizes: range = range(256)
) -> Callable[[type[ResponseT]], type[ResponseT]]:
    """Declare a response; ``is_push`` ones also arrive unasked and are registered as such.

    ``sizes`` are the payload lengths this layout may have, where another one shares its opcode.
    """

    def declare(cls: type[ResponseT]) -> type[ResponseT]:
        declared = _declare(cls, opcode, sizes)
        if is_push:
            _pushes.setdefault(opcode, []).append(declared)
        return declared

    return declare


def _answer_of(cls: type[Request[Any]]) -> type[Response]:
    """Return the type parameter that ``cls`` or one of its bases gives to :class:`Request`."""
    generic_bases = (
        base for each in cls.__mro__ for base in each.__dict__.get("__orig_bases__", ())
    )
    arguments = (argument for base in generic_bases for argument in get_args(base))
    return next(each for each in arguments if isinstance(each, type) and issubclass(each, Response))


def _declare(cls: type[MessageT], opcode: Opcode, sizes: range) -> type[MessageT]:
    declared = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)
    declared.opcode = opcode
    declared._sizes = sizes  # noqa: SLF001 - the registry fills in what the class declares
    declared._layout = tuple(  # noqa: SLF001
        (each.name, each.metadata[_WIRE])
        for each in dataclasses.fields(declared)  # type: ignore[arg-type]
        if _WIRE in each.metadata
    )
    declared._constants = frozenset(  # noqa: SLF001
        each.name
        for each in dataclasses.fields(declared)  # type: ignore[arg-type]
        if not each.init
    )
    return declared


def requests() -> Mapping[Opcode, tuple[type[Request[Any]], ...]]:
    """Return every registered request by opcode."""
    return {opcode: tuple(kinds) for opcode, kinds in _requests.items()}


def decode_request(opcode: int, data: bytes) -> Request[Any]:
    """Read a request as the lock's side does.

    Raises ``LookupError`` for an opcode or operation without a known layout, ``DecodeError`` for a
    known one whose payload is wrong.
    """
    return _first_layout(_requests.get(Opcode(opcode), ()), data)


def decode_push(opcode: int, data: bytes) -> Response:
    """Read something the lock said unasked; raises like :func:`decode_request`."""
    return _first_layout(_pushes.get(Opcode(opcode), ()), data)


def _first_layout(kinds: list[type[MessageT]] | tuple[()], data: bytes) -> MessageT:
    for kind in kinds:
        try:
            return kind.decode(data)
        except OtherLayout:
            continue
    raise LookupError("no layout is known for this command")

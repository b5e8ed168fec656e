"""The settings of one lock."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from ttlock_agent.validation import Id

from .values import LockAddress, SecretRef


class UnknownPasscodes(StrEnum):
    """What becomes of passcodes that nobody the agent knows wants."""

    KEEP = "keep"
    DELETE = "delete"


class QuirksConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one stubborn lock differs from most; the technician's suite says which of these it needs.

    The numbers are those of the protocol's table of disagreements.
    """

    mirrors_header: Annotated[
        bool,
        Meta(description="Send the header that the lock answers with (D6).", examples=[True]),
    ] = True
    pads_empty_payload: Annotated[
        bool,
        Meta(description='Send "nothing" as a block of padding (D7).', examples=[False]),
    ] = False
    ignores_checksum: Annotated[
        bool,
        Meta(description="Take frames with a wrong checksum.", examples=[False]),
    ] = False
    says_hello_first: Annotated[
        bool,
        Meta(description="Greet the lock at the start of each connection (D20).", examples=[False]),
    ] = False
    log_needs_admin: Annotated[
        bool,
        Meta(
            description="Authenticate before reading log, state and clock (D19).", examples=[False]
        ),
    ] = False
    unlocks_with_admin_challenge: Annotated[
        bool,
        Meta(
            description="Move the bolt with the administrator's challenge (D21).", examples=[False]
        ),
    ] = False
    switches_are_verified: Annotated[
        bool,
        Meta(description="Somebody saw that this lock's switches work (D26).", examples=[False]),
    ] = False
    writes_with_response: Annotated[
        bool,
        Meta(description="Have each written piece acknowledged (D38).", examples=[False]),
    ] = False
    client_token: Annotated[
        str,
        Meta(
            description="The vendor's token for enrolling; a white-label lock may want its own "
            "(D29).",
            pattern=r"^[!-~]{1,64}$(?!\n)",
            examples=["SCIENER"],
        ),
    ] = "SCIENER"  # noqa: S105 - everybody knows this one


class LockConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One lock."""

    id: Annotated[
        Id,
        Meta(
            description="Name of the lock in topics and requests, unique here. Letters, digits, - "
            "and _, at most 64.",
            examples=["front-door"],
        ),
    ]
    address: Annotated[
        LockAddress,
        Meta(
            description="The lock's MAC, in quotes; or virtual:NAME for a virtual lock.",
            examples=["AA:BB:CC:DD:EE:FF"],
        ),
    ]
    time_zone: Annotated[
        ZoneInfo,
        Meta(
            description="Zone of the lock's clock, which knows only local time: validity periods "
            "are converted with it, daylight saving included. It has no default because a wrong "
            "guess lets guests in hours late.",
            examples=["Europe/Berlin"],
        ),
    ]
    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        Meta(
            description="Name for people. Default: the id.",
            examples=["Front door"],
        ),
    ] = None
    keys: Annotated[
        SecretRef | None,
        Meta(
            description="Where the JSON file with the lock's keys is: credential:NAME, file:PATH "
            "or env:NAME. Not needed once they are imported into the vault.",
            examples=["credential:front-door-keys"],
        ),
    ] = None
    cloud_lock_id: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="The lock's lockId in the cloud. Without it the cloud is not asked about "
            "this lock, and its gateway is watched only by what others report.",
            examples=[1234567],
        ),
    ] = None
    gateway_grace_s: Annotated[
        Annotated[int, Meta(ge=0, le=86400)] | None,
        Meta(
            description="Seconds the gateway gets to deliver to this lock. Default: watch.grace_s.",
            examples=[180],
        ),
    ] = None
    adapter: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        Meta(
            description="Adapter that reaches this lock, one of bluetooth.adapters. Default: the "
            "first of them.",
            examples=["hci1"],
        ),
    ] = None
    clock_tolerance_s: Annotated[
        int,
        Meta(
            ge=5,
            le=3600,
            description="Seconds the lock's clock may be off before it is set. Default 30: half "
            "the minute in which validity periods are counted.",
            examples=[30],
        ),
    ] = 30
    connections_per_day: Annotated[
        int,
        Meta(
            ge=1,
            description="How often the agent may connect to this lock in a day. Default 200. When "
            "that is used up, only jobs for a guest at the door or with a deadline within the hour "
            "connect until the next day.",
            examples=[200],
        ),
    ] = 200
    connected_s_per_day: Annotated[
        int,
        Meta(
            ge=1,
            le=86400,
            description="How many seconds the agent may be connected to this lock in a day, by the "
            "same rule. Default 3600.",
            examples=[3600],
        ),
    ] = 3600
    reproof_interval_s: Annotated[
        int,
        Meta(
            ge=1,
            le=30 * 86400,
            description="Seconds for which a complete listing of the lock's passcodes is believed. "
            "When the agent is connected after that, or somebody stands at the door, it lists "
            "again and puts back what went missing. Default 3600.",
            examples=[3600],
        ),
    ] = 3600
    unknown_passcodes: Annotated[
        UnknownPasscodes,
        Meta(
            description="What becomes of passcodes that nobody asked this agent for: keep (the "
            "default) reports them, delete removes them as well, be they the owner's own; not "
            "while a damaged journal lies set aside, for it knew who asked for them.",
            examples=["keep"],
        ),
    ] = UnknownPasscodes.KEEP
    allow_mqtt_unlock: Annotated[
        bool,
        Meta(
            description="Let callers over MQTT open this door with lock.unlock. Default false: "
            "whoever may publish on the broker could open it without standing there. The control "
            "socket of this machine may in any case.",
            examples=[False],
        ),
    ] = False
    quirks: Annotated[
        QuirksConfig,
        Meta(description="How this lock differs from most. Leave it out unless a test says so."),
    ] = QuirksConfig()

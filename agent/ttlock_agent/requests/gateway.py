"""What other systems tell the agent of the cloud and its gateways."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, Struct

from ttlock_agent.validation import BadValue

from .structs import MAX_LABEL, MAX_SET, Instant, LockRequest, Request, SyncPasscode


class GatewayState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway, as the cloud or an app shows it."""

    is_online: Annotated[
        bool, Meta(description="Whether the cloud calls it online.", examples=[True])
    ]
    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_LABEL)],
        Meta(
            description="Its name; reports of several gateways are told apart by it. Default: "
            "gateway.",
            examples=["ruveno g2"],
        ),
    ] = "gateway"
    heard_lock_at: Annotated[
        Instant | None,
        Meta(
            description="When it last heard the lock: ISO 8601 with UTC offset. Leave it out if it "
            "is not known; after half an hour the gateway counts as deaf.",
            examples=["2026-12-01T14:00:00+01:00"],
        ),
    ] = None
    rssi_dbm: Annotated[
        Annotated[int, Meta(ge=-127, le=20)] | None,
        Meta(description="How strongly it heard the lock.", examples=[-71]),
    ] = None

    def __post_init__(self) -> None:
        if not self.name.isprintable():
            raise BadValue(
                "has a name with control characters", hint="Use printable characters only."
            )


class GatewayReport(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tell the gateway watch what the cloud says, in place of access to the cloud."""

    gateway: Annotated[GatewayState, Meta(description="The gateway that serves this lock.")]
    passcodes_listed: Annotated[
        Annotated[tuple[SyncPasscode, ...], Meta(max_length=MAX_SET)] | None,
        Meta(
            description="The cloud's complete list of this lock's own passcodes (not those that "
            "the cloud computed). What the gateway does not deliver in time the agent does, and "
            "what is listed no more it removes. Leave it out to report the gateway alone: then "
            "nothing is known of its deliveries.",
        ),
    ] = None


GATEWAY_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {"gateway.report": GatewayReport}
)
"""The verbs of this module."""

"""The Open API's error codes as one table: what each means for a passcode and what to do.

The cloud's own texts are never used: they come in two languages, change without notice, and may
repeat what was sent. Reference: the vendor's error-code page; facts in the project's cloud notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class ErrorClass(StrEnum):
    """What a caller does about an error code."""

    CONFIGURATION = "configuration"  # stop; a person must change a setting or a right
    TOKEN = "token"  # noqa: S105 - refresh, then log in, once
    QUOTA = "quota"  # stop until the month ends in Beijing
    PATH_BROKEN = "path_broken"  # the cloud cannot reach the lock: fall back to Bluetooth
    REFUSED = "refused"  # the request itself will be refused again
    GONE = "gone"  # what the request names does not exist any more
    OWN_CLOCK = "own_clock"  # our clock is wrong: fix it first
    RETRY = "retry"  # may work later as it is
    BUG = "bug"  # we sent nonsense


RETRYABLE_CLASSES = frozenset(
    {
        ErrorClass.TOKEN,
        ErrorClass.QUOTA,
        ErrorClass.PATH_BROKEN,
        ErrorClass.OWN_CLOCK,
        ErrorClass.RETRY,
    }
)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One error code: stable ``name``, its class, and texts that hold nothing from the server.

    ``meaning`` says what happened, for a passcode where that applies; ``hint`` is the next step for
    a person; ``retry_after_s`` is the shortest sensible wait where one is known.
    """

    code: int
    name: str
    error_class: ErrorClass
    meaning: str
    hint: str
    retry_after_s: int | None = None

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed later although nobody changed anything."""
        return self.error_class in RETRYABLE_CLASSES


# Integrators space commands to one gateway by 30 to 60 s; less only meets "busy" again.
GATEWAY_BUSY_RETRY_S = 30
# No figure is published for the call rate; a minute is longer than any window seen.
RATE_RETRY_S = 60

_LOCAL = "The agent delivers over Bluetooth meanwhile; "
_PARAMETER = "The agent sent something the cloud does not take: please report it."

_C = ErrorClass
_ROWS = (
    ErrorRow(
        1,
        "failed",
        _C.RETRY,
        "the cloud gave up without a reason; through a gateway this means not delivered",
        _LOCAL + "if this repeats, power-cycle the gateway.",
        GATEWAY_BUSY_RETRY_S,
    ),
    ErrorRow(
        10000,
        "client_unknown",
        _C.CONFIGURATION,
        "the cloud does not know the client id",
        "Check cloud.client_id against the developer console.",
    ),
    ErrorRow(
        10001,
        "client_refused",
        _C.CONFIGURATION,
        "the client id and client secret do not fit each other",
        "Check cloud.client_id and the client secret against the developer console.",
    ),
    ErrorRow(
        10003,
        "token_unknown",
        _C.TOKEN,
        "the cloud does not know the access token",
        "The agent logs in again by itself.",
    ),
    ErrorRow(
        10004,
        "token_expired",
        _C.TOKEN,
        "the access token has expired or was revoked",
        "The agent renews it by itself.",
    ),
    ErrorRow(
        10007,
        "login_refused",
        _C.CONFIGURATION,
        "the cloud refuses the account name or its password",
        "Use the account of the vendor's app (not the developer login) and its current password.",
    ),
    ErrorRow(
        10011,
        "refresh_token_refused",
        _C.TOKEN,
        "the refresh token is not valid",
        "The agent logs in again by itself.",
    ),
    ErrorRow(
        10015,
        "login_key_rotated",
        _C.RETRY,
        "the cloud changed the key that protects passwords",
        "The agent tries again by itself.",
    ),
    ErrorRow(
        20002,
        "not_lock_admin",
        _C.CONFIGURATION,
        "the account does not administer this lock",
        "Use the account that set up the lock, or have the lock transferred to this account.",
    ),
    # The three differ in detail only for registering accounts, which the agent does not do.
    *(
        ErrorRow(
            code,
            "user_name_refused",
            _C.CONFIGURATION,
            "the cloud does not take the user name",
            "Check cloud.username: an e-mail address, or a phone number with + and country code.",
        )
        for code in (30002, 30003, 30004)
    ),
    ErrorRow(
        30005,
        "password_not_md5",
        _C.CONFIGURATION,
        "the password was not sent as a lower-case MD5 digest",
        "Check the cloud password in the configuration.",
    ),
    ErrorRow(
        30006,
        "too_many_calls",
        _C.RETRY,
        "too many calls in a short time",
        "The agent slows down by itself; look for other programs that share the client id.",
        RATE_RETRY_S,
    ),
    ErrorRow(
        30007,
        "quota_used_up",
        _C.QUOTA,
        "the developer account's calls for this month are used up",
        "Buy more calls in the developer console, poll less often, or wait for the next month; "
        "passcodes asked for over MQTT are still delivered.",
    ),
    ErrorRow(
        30008,
        "wrong_region",
        _C.CONFIGURATION,
        "the account lives in another region",
        "Set cloud.base_url to the host of the account's region: euapi.ttlock.com, or "
        "cnapi.ttlock.com for mainland China.",
    ),
    ErrorRow(
        80000,
        "clock_off",
        _C.OWN_CLOCK,
        "this computer's clock is more than 5 minutes off the cloud's",
        "Check time synchronisation with `timedatectl`.",
    ),
    ErrorRow(80002, "json_refused", _C.BUG, "a parameter was not valid JSON", _PARAMETER),
    ErrorRow(
        90000,
        "server_error",
        _C.RETRY,
        "the cloud has an error of its own",
        "The agent tries again by itself.",
        RATE_RETRY_S,
    ),
    ErrorRow(-3, "parameter_refused", _C.BUG, "a parameter was not valid", _PARAMETER),
    ErrorRow(
        -1003,
        "lock_gone",
        _C.GONE,
        "the cloud does not know this lock; it was deleted or reset by somebody",
        "Check in the vendor's app whether the lock was set up anew, then correct its cloud id.",
    ),
    ErrorRow(
        -1007,
        "no_passcode_data",
        _C.REFUSED,
        "the lock has no data for computed passcodes",
        "Reset the lock's passcodes in the vendor's app, or use custom passcodes.",
    ),
    ErrorRow(-1008, "ekey_gone", _C.GONE, "the ekey does not exist", "Issue the ekey again."),
    ErrorRow(-1021, "card_gone", _C.GONE, "the card does not exist", "Nothing is left to do."),
    ErrorRow(
        -1023, "fingerprint_gone", _C.GONE, "the fingerprint does not exist", "Enrol it anew."
    ),
    ErrorRow(
        -1026,
        "window_used_up",
        _C.REFUSED,
        "a computed passcode for this window was issued and deleted before",
        "Choose other hours, or a custom passcode.",
    ),
    ErrorRow(
        -2009, "passcode_gone", _C.GONE, "the passcode does not exist", "Nothing is left to do."
    ),
    ErrorRow(
        -2012,
        "no_gateway_near_lock",
        _C.PATH_BROKEN,
        "no gateway has heard the lock lately, so nothing was delivered",
        _LOCAL + "move the gateway closer to the lock and check the lock's batteries.",
    ),
    ErrorRow(
        -2018,
        "no_permission",
        _C.CONFIGURATION,
        "the account may not do this",
        "Give the account the right in the vendor's app.",
    ),
    ErrorRow(
        -2025,
        "lock_frozen",
        _C.REFUSED,
        "the lock is frozen and takes no commands",
        "Unfreeze it in the vendor's app.",
    ),
    ErrorRow(
        -2032,
        "passcode_too_simple",
        _C.REFUSED,
        "the passcode is a plain run or repetition, which the cloud refuses",
        "Choose other digits.",
    ),
    ErrorRow(
        -3002,
        "gateway_offline",
        _C.PATH_BROKEN,
        "the gateway is offline, so nothing was delivered",
        _LOCAL + "check the gateway's power and network.",
    ),
    ErrorRow(
        -3003,
        "gateway_busy",
        _C.PATH_BROKEN,
        "the gateway was busy, so nothing was delivered",
        _LOCAL + "if it stays busy, power-cycle the gateway.",
        GATEWAY_BUSY_RETRY_S,
    ),
    ErrorRow(
        -3006,
        "passcode_length",
        _C.REFUSED,
        "the cloud does not take a passcode of this length",
        "Choose 4 to 9 digits.",
    ),
    ErrorRow(
        -3007,
        "passcode_exists",
        _C.REFUSED,
        "the cloud already has this passcode for this lock",
        "Compare with the cloud's list; the lock's own memory decides.",
    ),
    ErrorRow(
        -3008,
        "passcode_never_used",
        _C.REFUSED,
        "a computed passcode cannot be changed before its first use",
        "Delete it and add a new one.",
    ),
    ErrorRow(
        -3009,
        "passcode_space_full",
        _C.REFUSED,
        "the lock has no room for another custom passcode",
        "Delete expired passcodes.",
    ),
    *(
        ErrorRow(
            code,
            "transfer_to_self",
            _C.REFUSED,
            "a lock or gateway cannot be transferred to its owner",
            "Name another account.",
        )
        for code in (-3011, -3016)
    ),
    ErrorRow(
        -3034,
        "wifi_not_configured",
        _C.PATH_BROKEN,
        "the lock's WiFi is not set up, so nothing was delivered",
        _LOCAL + "set up the lock's WiFi in the vendor's app.",
    ),
    ErrorRow(
        -3035,
        "wifi_power_saving",
        _C.PATH_BROKEN,
        "the lock's WiFi is in power saving, so nothing was delivered",
        _LOCAL + "turn WiFi power saving off in the vendor's app.",
    ),
    ErrorRow(
        -3036,
        "wifi_lock_offline",
        _C.PATH_BROKEN,
        "the WiFi lock is offline, so nothing was delivered",
        _LOCAL + "check the lock's WiFi.",
    ),
    ErrorRow(
        -3037,
        "wifi_lock_busy",
        _C.PATH_BROKEN,
        "the WiFi lock was busy, so nothing was delivered",
        _LOCAL + "nothing else is left to do.",
        GATEWAY_BUSY_RETRY_S,
    ),
    ErrorRow(
        -3039,
        "ekey_window_too_short",
        _C.CONFIGURATION,
        "the account's own ekey ends before the passcode would",
        "Extend the ekey, or use the administrator's account.",
    ),
    ErrorRow(
        -3046,
        "no_remote_unlock_right",
        _C.CONFIGURATION,
        "the account's ekey does not include remote unlocking",
        "Grant remote unlocking to the ekey in the vendor's app.",
    ),
    ErrorRow(
        -4037,
        "gateway_gone",
        _C.GONE,
        "the gateway does not exist in the cloud",
        "Set up the gateway anew in the vendor's app.",
    ),
    ErrorRow(
        -4043,
        "not_supported",
        _C.REFUSED,
        "the lock does not support this, or its remote-unlock switch is off",
        "Check the remote-unlock switch in the lock's settings in the vendor's app.",
    ),
    ErrorRow(
        -4056, "card_space_full", _C.REFUSED, "the lock has no room for cards", "Delete old cards."
    ),
    ErrorRow(
        -4063,
        "locks_remain",
        _C.REFUSED,
        "the account still has locks",
        "Delete or transfer the locks first.",
    ),
    ErrorRow(
        -4064,
        "receiver_unknown",
        _C.REFUSED,
        "the receiving account does not exist",
        "Check the receiver's user name.",
    ),
    ErrorRow(
        -4067,
        "nb_not_registered",
        _C.REFUSED,
        "the lock is not registered for NB-IoT",
        "Register the lock in the vendor's app.",
    ),
    ErrorRow(
        -4082,
        "auto_lock_out_of_range",
        _C.REFUSED,
        "the lock does not take this auto-lock delay",
        "Choose a delay within the lock's range.",
    ),
)

ERROR_ROWS: Mapping[int, ErrorRow] = MappingProxyType({row.code: row for row in _ROWS})


def error_row(code: int) -> ErrorRow:
    """Row of ``code``; a code nobody has documented gets a generic one that may be retried."""
    known = ERROR_ROWS.get(code)
    if known is not None:
        return known
    return ErrorRow(
        code,
        "unknown",
        ErrorClass.RETRY,
        "the cloud gave an error code that is not documented",
        "The agent tries again later; please report the code.",
        RATE_RETRY_S,
    )

"""Values of a key record, under all the names that programs give them (reference 9.2).

Names are compared in lower case without underscores: the cloud's ``aesKeyStr``, an app database's
``aeskeystr`` and another program's ``aes_key`` are one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ttlock_protocol.cipher import KEY_BYTES
from ttlock_protocol.errors import DecodeError, LocalProtocolError
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import MAX_U32, LockKeys
from ttlock_protocol.masking import unmask_text

from .model import ImportedKey, Item, KeyImportError, Problem

_NAMES: Final = {
    "mac": ("lockmac", "address", "mac"),
    "alias": ("lockalias", "keyname", "name"),
    "name": ("lockname", "btname"),
    "aes_key": ("aeskeystr", "aeskey"),
    # "noKeyPwd" is the keypad's passcode, although one program takes it for the unlock key.
    "unlock_key": ("lockkey", "unlockkey"),
    "admin_secret": ("adminpwd", "adminps", "adminsecret"),
    "admin_passcode": ("nokeypwd", "adminpasscode"),
    "flag_position": ("lockflagpos", "lockflagposition"),
    "user_id": ("uid", "userid"),
    "feature_value": ("featurevalue",),
    "special_value": ("specialvalue",),
    "time_zone": ("timezonerawoffset",),
    "valid_from": ("startdate", "starttime"),
    "valid_until": ("enddate", "endtime"),
    "version": ("lockversion", "version"),
}
_VERSION_NAMES: Final = {
    "protocoltype": "protocol_type",
    "protocolversion": "protocol_version",
    "scene": "scene",
    "groupid": "group",
    "group": "group",
    "orgid": "organisation",
    "organisation": "organisation",
}
_NESTED: Final = ("privatedata", "admin")
_MAX_NAME: Final = 64
_MAC: Final = re.compile(r"[0-9A-F]{12}")
_V3: Final = (5, 3)
_UNKNOWN_OFFSET: Final = -1
_MAX_OFFSET_MS: Final = 24 * 3600 * 1000


def flatten(record: Mapping[str, Any], depth: int = len(_NESTED)) -> dict[str, Any]:
    """Return ``record`` with comparable names, and with what stands in its inner parts."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        plain = str(name).lower().replace("_", "")
        if depth and plain in _NESTED and isinstance(value, Mapping):
            flat |= flatten(value, depth - 1)
        elif value not in (None, ""):
            flat[plain] = value
    return flat


@dataclass(frozen=True, slots=True)
class Record:
    """One lock's values; ``has_hex_secrets`` where a program writes secret numbers in hex."""

    values: Mapping[str, Any]
    has_hex_secrets: bool = False

    def key(self) -> ImportedKey:
        """Return the keys; raises ``KeyImportError``."""
        version = self._version()
        try:
            keys = LockKeys(
                aes_key=self._aes_key(),
                unlock_key=self._secret("unlock_key", Item.UNLOCK_KEY),
                admin_secret=self._secret("admin_secret", Item.ADMIN_SECRET),
                lock_flag_position=self._number("flag_position"),
                user_id=self._number("user_id"),
                version=version or Version(),
            )
        except LocalProtocolError as error:
            raise self._error(Problem.MALFORMED, str(error), None) from None
        return ImportedKey(
            keys=keys,
            mac=self._mac(),
            name=self.lock_name() or None,
            has_version=version is not None,
            features=self._features(),
            admin_passcode=self._admin_passcode(),
            time_zone_offset=self._time_zone(),
            valid_from=self._moment("valid_from"),
            valid_until=self._moment("valid_until"),
        )

    def lock_name(self) -> str:
        """Return what people call the lock, cut and printable, or nothing."""
        raw = str(self._get("alias") or self._get("name") or "")
        return "".join(each if each.isprintable() else "?" for each in raw)[:_MAX_NAME]

    def _get(self, what: str) -> Any:
        return next((self.values[name] for name in _NAMES[what] if name in self.values), None)

    def _error(self, problem: Problem, message: str, item: Item | None) -> KeyImportError:
        return KeyImportError(problem, message, item=item, lock=self.lock_name())

    def _malformed(self, what: str, item: Item | None = None) -> KeyImportError:
        return self._error(Problem.MALFORMED, f"the {what} cannot be read", item)

    def _aes_key(self) -> bytes:
        raw = self._get("aes_key")
        if raw is None:
            raise self._error(Problem.MISSING, "there is no AES key in it", Item.AES_KEY)
        parts = re.split(r"[,.\s]+", str(raw).strip())
        try:
            key = bytes.fromhex("".join(part.zfill(2) for part in parts))
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise self._malformed("AES key", Item.AES_KEY)
        return key

    def _secret(self, what: str, item: Item) -> int:
        raw = self._get(what)
        if raw is None:
            return 0
        try:
            text = str(raw)
            number = int(text, 16) if self.has_hex_secrets else int(unmask_text(text))
        except (ValueError, DecodeError):
            raise self._malformed(item.value, item) from None
        if not 0 <= number <= MAX_U32:
            raise self._malformed(item.value, item)
        return number

    def _number(self, what: str) -> int:
        try:
            return int(str(self._get(what) or 0))
        except ValueError:
            raise self._malformed(what.replace("_", " ")) from None

    def _mac(self) -> str | None:
        raw = self._get("mac")
        if raw is None:
            return None
        digits = re.sub(r"[:\-]", "", str(raw)).upper()
        if not _MAC.fullmatch(digits):
            raise self._malformed("address", Item.MAC)
        return ":".join(digits[at : at + 2] for at in range(0, 12, 2))

    def _version(self) -> Version | None:
        raw = self._get("version")
        if isinstance(raw, str):
            raw = _parsed(raw)
        fields = flatten(raw) if isinstance(raw, Mapping) else self.values
        if "protocoltype" not in fields:
            return None
        try:
            # A source without group and organisation leaves them at 1, as most locks do.
            known = {name: ours for name, ours in _VERSION_NAMES.items() if name in fields}
            version = Version(**{ours: int(str(fields[name])) for name, ours in known.items()})
        except (ValueError, LocalProtocolError):
            raise self._malformed("lock version", Item.VERSION) from None
        if (version.protocol_type, version.protocol_version) != _V3:
            raise self._error(
                Problem.NOT_SUPPORTED,
                "this lock speaks an older protocol than V3",
                Item.VERSION,
            )
        return version

    def _features(self) -> FeatureSet | None:
        value, special = self._get("feature_value"), self._get("special_value")
        try:
            if value is not None:
                return FeatureSet.from_cloud(str(value))
            return None if special is None else FeatureSet.from_special_value(int(str(special)))
        except (ValueError, DecodeError):
            raise self._malformed("feature value", Item.FEATURES) from None

    def _admin_passcode(self) -> str | None:
        raw = self._get("admin_passcode")
        try:
            return None if raw is None else unmask_text(str(raw))
        except DecodeError:
            raise self._malformed("administrator passcode", Item.ADMIN_PASSCODE) from None

    def _time_zone(self) -> timedelta | None:
        offset_ms = self._number("time_zone")
        if self._get("time_zone") is None or offset_ms == _UNKNOWN_OFFSET:
            return None
        if abs(offset_ms) > _MAX_OFFSET_MS:
            raise self._malformed("time zone offset", Item.TIME_ZONE)
        return timedelta(milliseconds=offset_ms)

    def _moment(self, what: str) -> datetime | None:
        since_epoch_ms = self._number(what)
        if not since_epoch_ms:
            return None
        try:
            return datetime.fromtimestamp(since_epoch_ms / 1000, UTC)
        except (OverflowError, OSError, ValueError):
            raise self._malformed("validity") from None


def _parsed(text: str) -> Any:
    """Return the JSON in ``text``, or nothing: a version is also a plain string like "1.0"."""
    try:
        return json.loads(text)
    except ValueError:
        return None

"""Which functions a lock has: the bits of its feature value (reference 6.14, 8.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from .errors import DecodeError, LocalProtocolError, OpenIntEnum


class Feature(OpenIntEnum):
    """Numbers of the bits that have a name; the value of a member is its bit."""

    PASSCODE = 0
    CARD = 1
    FINGERPRINT = 2
    WRISTBAND = 3
    AUTO_LOCK = 4
    PASSCODE_WITH_DELETE = 5
    FIRMWARE_SETTING = 6
    MODIFY_PASSCODE = 7
    LOCK_BY_COMMAND = 8
    PASSCODE_DISPLAY = 9
    GATEWAY_UNLOCK = 10
    FREEZE = 11
    CYCLIC_PASSCODE = 12
    MAGNETOMETER = 13
    REMOTE_UNLOCK_SWITCH = 14
    SOUND = 15
    NB_IOT = 16
    GET_ADMIN_PASSCODE = 18
    HOTEL_CARD = 19
    NO_CLOCK = 20
    SILENT_WHEN_IDLE = 21
    """Stops advertising until it is touched (disagreement D39)."""
    PASSAGE_MODE = 22
    AUTO_LOCK_CAN_BE_OFF = 23
    WIRELESS_KEYPAD = 24
    LIGHT = 25
    HOTEL_CARD_BLACKLIST = 26
    IDENTITY_CARD = 27
    TAMPER_ALERT = 28
    RESET_BUTTON = 29
    PRIVACY_LOCK = 30
    DEAD_LOCK = 32
    WEEKLY_SCHEDULE = 34
    UNLOCK_DIRECTION = 36
    FINGER_VEIN = 37
    BLUETOOTH_5_CHIP = 38
    NB_WAKE_UP = 39
    RECOVER_CYCLIC_PASSCODE = 40
    KEY_FOB = 41
    ACCESSORY_BATTERY = 42
    VOLUME = 43
    QR_CODE = 44
    DOOR_SENSOR = 45
    PASSAGE_AUTO_UNLOCK = 46
    FINGERPRINT_DISTRIBUTION = 47
    SENSOR_ZHONG_ZHENG = 48
    SENSOR_SYNO = 49
    WIRELESS_DOOR_SENSOR = 50
    DOOR_OPEN_ALARM = 51
    SENSITIVITY = 52
    FACE = 53
    MOTOR_TORQUE = 54
    CPU_CARD = 55
    WIFI = 56
    WIFI_STATIC_IP = 58
    PASSCODE_KEY_NUMBER = 60
    STAND_ALONE_ACTIVATION = 62
    DOUBLE_AUTHENTICATION = 63
    APP_AUTHORISED_UNLOCK = 64
    GATEWAY_AUTHORISED_UNLOCK = 65
    NO_EKEY_UNLOCK = 66
    XM = 67
    MICRO_CHIP = 68
    PHOTO_FACE_ZHI_AN = 69
    PALM_VEIN = 70
    WIFI_AREA = 71
    CAMERA = 75
    RESET_BY_CODE = 76
    THIRD_PARTY_BLUETOOTH = 77
    AUTOMATIC_ANGLE = 78
    MANUAL_ANGLE = 79
    LATCH_BOLT_CONTROL = 80
    AUTO_UNLOCK_DIRECTION = 81
    CARD_SECURITY = 82
    WIFI_POWER_SAVING_TIMES = 83
    MULTI_FUNCTION_KEYPAD = 84
    LATCH_BOLT_FIXED = 85
    PUBLIC_MODE = 86
    LOW_BATTERY_UNLOCK = 87
    MOTOR_DRIVE_TIME = 88
    MODIFY_FEATURES = 89
    MODIFY_NAME_PREFIX = 90
    PASSCODE_OPENS_PRIVACY_LOCK = 91
    AUTH_CODE = 92
    UNAUTHORISED_ATTEMPT_ALERT = 93
    LINKED_LOCK = 94
    CLEAR_PASSCODE_SETTING = 95
    WIFI_POWER_SAVER = 96
    ADVERTISING_INTERVAL = 97
    WORKING_MODE = 98
    SUPPLIER_NUMBER = 99
    CAT_1 = 100
    FORCED_OPEN_ALARM = 102
    PHOTO_FACE_2 = 103
    SECOND_DEAD_LOCK = 106
    WORKING_TIME = 107
    CUSTOM_QR_CODE = 108
    SECURE_M1_CARD = 109
    PHOTO_FACE_YI_SHENG = 110
    PICTURE_FACE_DELIVERY = 112
    ALIAS = 114
    HIDE_SLEEP_MODE = 117
    SEMI_AUTOMATIC_MODE = 119
    USER_ATTRIBUTES = 120
    PROOF_CAPTURE = 126


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """The functions of one lock: bit n of ``bits`` is feature n, without an upper end."""

    bits: int

    def __post_init__(self) -> None:
        if self.bits < 0:
            raise LocalProtocolError("feature bits are an unsigned number")

    @classmethod
    def of(cls, features: Iterable[int]) -> Self:
        """Make a set out of bit numbers."""
        bits = 0
        for feature in features:
            bits |= 1 << feature
        return cls(bits)

    @classmethod
    def from_cloud(cls, feature_value: str) -> Self:
        """Read the cloud's ``featureValue``, hexadecimal with the highest word first.

        Raises ``DecodeError``.
        """
        try:
            return cls(int(feature_value, 16))
        except (ValueError, LocalProtocolError):
            raise DecodeError("a feature value is a hexadecimal number") from None

    @classmethod
    def from_special_value(cls, special_value: int) -> Self:
        """Read the cloud's ``specialValue``: the lowest 32 bits, as a signed or unsigned number.

        Raises ``DecodeError`` for what 32 bits cannot hold.
        """
        if not -(1 << 31) <= special_value < 1 << 32:
            raise DecodeError("a special value is a number of 32 bits")
        return cls(special_value & 0xFFFFFFFF)

    def to_cloud(self) -> str:
        """Return it as ``featureValue``."""
        return f"{self.bits:X}"

    def __contains__(self, feature: int) -> bool:
        return bool(self.bits >> feature & 1)

    def __iter__(self) -> Iterator[Feature]:
        """Go through the features, lowest first; unknown bits keep their number."""
        return (Feature(bit) for bit in range(self.bits.bit_length()) if bit in self)

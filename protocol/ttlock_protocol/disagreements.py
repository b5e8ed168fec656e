"""Where the sources contradict each other, and what this library does (reference 10).

One row for each of the 44 disagreements: the decision, the one place in the code that takes it, and
the setting of :class:`.quirks.Quirks` for locks on which it proves wrong. A row without a quirk is
either known for sure or decided so that every variant is understood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One row; ``where`` is ``module:name`` in this package, ``quirk`` a field of ``Quirks``."""

    number: int
    topic: str
    decision: str
    where: str
    quirk: str | None = None

    @property
    def needs_hardware(self) -> bool:
        """Whether only a real lock can tell which side is right."""
        return self.quirk is not None


DISAGREEMENTS: Final = (
    Disagreement(
        1,
        "service 1910 in advertisements",
        "no filter by service: a lock is known by its manufacturer data and address",
        "advertisement:choose",
    ),
    Disagreement(
        2,
        "entry 33 of the checksum table",
        "07 both ways",
        "checksum:TABLE",
        "ignores_checksum",
    ),
    Disagreement(3, "dates of 0x55", "plain binary, not BCD", "wire:WallTime"),
    Disagreement(
        4, "flag position in 0x41 and 0x55", "three bytes of its own", "messages.auth:CheckAdmin"
    ),
    Disagreement(5, "overflow of challenge plus unlock key", "modulo 2**32", "keys:LockKeys.proof"),
    Disagreement(
        6,
        "header version",
        "as advertised, then as the lock answers",
        "session:Session.version",
        "mirrors_header",
    ),
    Disagreement(
        7,
        "empty payload",
        "sent without payload, both forms understood",
        "session:Session.send",
        "pads_empty_payload",
    ),
    Disagreement(
        8,
        "bit 0x10 of an advertisement",
        "by scene: a car on parking locks, else dormant with an unknown bolt",
        "advertisement:Advertisement.bolt",
    ),
    Disagreement(
        9,
        "bit 0x08 of an advertisement",
        "the bit alone",
        "advertisement:Advertisement.is_touched",
    ),
    Disagreement(
        10,
        "dates of an added passcode",
        "the vendor's: start only, an end for period ones and, if wanted, one-time ones",
        "messages.passcodes:AddPasscode",
    ),
    Disagreement(
        11,
        "dates of a listed one-time passcode",
        "by the bytes that are left",
        "messages.passcodes:_PasscodeRecordCodec",
    ),
    Disagreement(
        12, "end of the passcode list", "any of the three", "procedures.lists:list_passcodes"
    ),
    Disagreement(
        13,
        "which listed passcode opens the door",
        "the first",
        "messages.passcodes:PasscodeRecord",
    ),
    Disagreement(
        14, "width of a card number", "by the bytes that are left", "messages.cards:_CardNumber"
    ),
    Disagreement(
        15,
        "filler behind a learnt card number",
        "only when all four bytes are FF",
        "messages.cards:_LearntCard",
    ),
    Disagreement(
        16,
        "battery in the answer of 0x59",
        "there, unless only two bytes came",
        "messages.settings:_BatteryOrNothing",
    ),
    Disagreement(
        17,
        "tail of log record 56",
        "by its length, 7 or 8 bytes",
        "messages.log:_WIRELESS_KEYPAD_PARTS",
    ),
    Disagreement(
        18,
        "authentication for the clock",
        "administrator where known, else user",
        "procedures.core:needed_auth",
    ),
    Disagreement(
        19,
        "authentication for features, device information and log",
        "administrator where known for the first two, none for the log",
        "procedures.core:needed_auth",
        "log_needs_admin",
    ),
    Disagreement(
        20,
        "greeting at the start",
        "none but when enrolling",
        "procedures.core:greet",
        "says_hello_first",
    ),
    Disagreement(
        21,
        "challenge for the bolt",
        "a user's, fresh each time",
        "procedures.core:unlock",
        "unlocks_with_admin_challenge",
    ),
    Disagreement(
        22,
        "answer to a reset",
        "success, an empty frame, silence or a lost link; setting mode proves it",
        "procedures.ownership:reset",
    ),
    Disagreement(23, "digits of the admin passcode", "digit values", "wire:DigitValues"),
    Disagreement(
        24, "reading the admin passcode", "whole, by its length", "messages.admin:AdminPasscode"
    ),
    Disagreement(25, "texts of 0x90", "up to the NUL", "wire:TerminatedText"),
    Disagreement(
        26,
        "layout of the switches",
        "32-bit masks, not set before somebody saw them work",
        "procedures.core:set_switch",
        "switches_are_verified",
    ),
    Disagreement(27, "0x67, 0x71, 0x74", "guesses are not sent", "unconfirmed:UNCONFIRMED"),
    Disagreement(28, "log types 42 to 48", "plain numbers", "messages.log:LogType"),
    Disagreement(29, "vendor token", "SCIENER", "messages.pairing:GetAesKey", "client_token"),
    Disagreement(
        30,
        "range of the administrator's secrets",
        "1 to 999 999 999",
        "procedures.ownership:NewSecrets",
    ),
    Disagreement(
        31,
        "removing a passage entry",
        "sent with its times, understood without",
        "messages.passage:DeletePassageEntry",
    ),
    Disagreement(
        32,
        "all day in passage mode",
        "00:00 to 23:59 sent, 00:00 to 00:00 understood",
        "messages.passage:PassageEntry.is_all_day",
    ),
    Disagreement(
        33,
        "parts of a fingerprint identifier",
        "six opaque bytes",
        "messages.fingerprints:FINGERPRINT_BYTES",
    ),
    Disagreement(
        34, "third byte of the state", "raw, features tell its sense", "messages.operate:State"
    ),
    Disagreement(
        35,
        "which battery to believe",
        "an advertisement's only two minutes after a connection",
        "advertisement:Advertisement.battery_after",
    ),
    Disagreement(
        36,
        "a lock that always answers the same state",
        "a newer advertisement that knows counts more",
        "advertisement:Advertisement.bolt_over",
    ),
    Disagreement(37, "where a frame ends", "where its length says", "frame:FrameDecoder"),
    Disagreement(
        38,
        "kind of write",
        "without response",
        "quirks:Quirks.writes_with_response",
        "writes_with_response",
    ),
    Disagreement(39, "feature 21", "silent while idle", "features:Feature.SILENT_WHEN_IDLE"),
    Disagreement(40, "error 0x0D", "eKeys were reset", "errors:Refusal.EKEYS_WERE_RESET"),
    Disagreement(41, "frame of the answer to 0x19", "either kind", "session:_REPLY_COMMANDS"),
    Disagreement(42, "body of the greeting's answer", "not read", "messages.pairing:HelloAnswered"),
    Disagreement(
        43,
        "answer to a damaged frame",
        "none is expected: what is safe to repeat is sent again",
        "session:Damaged",
    ),
    Disagreement(44, "production date", "text to look at", "messages.device:DeviceText.PRODUCED"),
)
"""All of them, in order."""

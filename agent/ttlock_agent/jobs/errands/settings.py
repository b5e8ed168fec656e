"""Settings, and the administrator's keypad passcode."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ttlock_agent.errors import LockRefused, OutcomeUnknown
from ttlock_agent.jobs.errands.errand import Errand, Outcome, Runner, settle
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.params import params_of
from ttlock_agent.lock.settings import SETTINGS, Setting
from ttlock_agent.requests import AdminPasscodeSet, SettingSet
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.message import Request
from ttlock_protocol.messages.admin import GetAdminPasscode, SetAdminPasscode
from ttlock_protocol.messages.operate import GetFeatures
from ttlock_protocol.messages.settings import AutoLock, GetAutoLock

_AUTO_LOCK: Final = "auto_lock_s"


async def _features(errand: Errand) -> FeatureSet:
    return FeatureSet((await errand.visit.ask(GetFeatures())).bits)


async def _read_settings(errand: Errand) -> Outcome:
    """Ask only for what the lock says it has, and once for what tells of several settings."""
    features = await _features(errand)
    answers: dict[type[Request[Any]], Any] = {}
    values: dict[str, bool | int] = {}
    for name, setting in SETTINGS.items():
        kind = type(setting.get)
        if setting.feature not in features:
            continue
        if kind not in answers:
            answers[kind] = await _answer(errand, setting)
        value = None if answers[kind] is None else setting.value(answers[kind])
        if value is not None:
            values[name] = value
    body: dict[str, Any] = {"settings": values, "as_of": errand.now()}
    auto_lock = answers.get(GetAutoLock)
    if isinstance(auto_lock, AutoLock):
        body["auto_lock_limits_s"] = [auto_lock.min_delay_s, auto_lock.max_delay_s]
    return Outcome(JobState.DONE, body)


async def _answer(errand: Errand, setting: Setting) -> object:
    try:
        return await errand.visit.ask(setting.get)
    except CommandRefused as error:
        if error.refusal is not Refusal.NOT_SUPPORTED:
            raise
        return None


async def _set_setting(errand: Errand) -> Outcome:
    params = params_of(errand.job, SettingSet)
    setting, value = SETTINGS[params.setting], params.value
    await _refuse_impossible(errand, params.setting, setting, value)

    async def read() -> object:
        return await _answer(errand, setting)

    def missing(answer: object) -> list[Request[Any]]:
        is_so = answer is not None and setting.value(answer) == value
        return [] if is_so else [setting.put(value)]

    settled = await settle(errand, read, missing)
    return errand.proved({"setting": params.setting, "value": value}, was_there=settled.was_there)


async def _refuse_impossible(
    errand: Errand, name: str, setting: Setting, value: bool | int
) -> None:
    """Say what the lock would only call a wrong value, or take without having it."""
    features = await _features(errand)
    if setting.feature not in features:
        raise LockRefused(
            f"This lock has no {setting.words}.",
            refusal="not_supported",
            hint="`setting.read` lists what it has.",
        )
    if setting.is_switch and not errand.profile.quirks.switches_are_verified:
        raise LockRefused(
            "Nobody has verified yet what this lock's switches do.",
            refusal="switches_unverified",
            hint="Set it in the vendor's app; or try the switches with the technician's suite, and"
            " set the quirk `switches_are_verified`.",
        )
    if name == _AUTO_LOCK:
        await _refuse_delay(errand, features, value)


async def _refuse_delay(errand: Errand, features: FeatureSet, delay_s: int) -> None:
    if delay_s == 0:
        if Feature.AUTO_LOCK_CAN_BE_OFF not in features:
            raise LockRefused(
                "This lock's auto-lock cannot be off.",
                refusal="invalid_parameter",
                hint="Give it a long delay.",
            )
        return
    limits = await errand.visit.ask(GetAutoLock())
    if not limits.min_delay_s <= delay_s <= limits.max_delay_s:
        raise LockRefused(
            f"This lock takes a delay of {limits.min_delay_s} to {limits.max_delay_s} s only.",
            refusal="invalid_parameter",
            hint="Choose one within its limits.",
        )


async def _read_admin_passcode(errand: Errand) -> Outcome:
    digits = (await errand.visit.ask(GetAdminPasscode())).passcode
    if digits:
        errand.steps.whisper({"passcode": digits})
    return Outcome(
        JobState.DONE, {"is_set": bool(digits), "length": len(digits), "as_of": errand.now()}
    )


async def _set_admin_passcode(errand: Errand) -> Outcome:
    wanted = params_of(errand.job, AdminPasscodeSet).passcode.digits
    put = SetAdminPasscode(passcode=wanted)
    if Feature.GET_ADMIN_PASSCODE not in await _features(errand):
        if errand.job.state is JobState.UNKNOWN:
            raise OutcomeUnknown(
                "The lock's answer was lost, and this lock does not tell what it holds.",
                hint="Set it once more, with a new id: that does no harm.",
            )
        await errand.steps.mark_sent()
        await errand.visit.ask(put)
        return Outcome(JobState.DONE, {"confirmed_at": errand.now()})

    async def read() -> str:
        return (await errand.visit.ask(GetAdminPasscode())).passcode

    def missing(held: str) -> list[Request[Any]]:
        return [] if held == wanted else [put]

    settled = await settle(errand, read, missing)
    return errand.proved({}, was_there=settled.was_there)


SETTING_ERRANDS: Final[Mapping[str, Runner]] = MappingProxyType(
    {
        "setting.read": _read_settings,
        "setting.set": _set_setting,
        "admin_passcode.read": _read_admin_passcode,
        "admin_passcode.set": _set_admin_passcode,
    }
)
"""The verbs of this module."""

"""Special hardware, as far as one source describes it (reference 6.21)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ttlock_protocol.features import Feature
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.rare import (
    Button,
    ClickRemoteControl,
    GetHotelItem,
    GetRemoteControl,
    HotelAnswer,
    NbAddressSet,
    RemoteControlAnswer,
    SetHotelAesKey,
    SetHotelCardKey,
    SetHotelNumbers,
    SetNbAddress,
    SetWristbandKey,
    WristbandKeySet,
)
from ttlock_protocol.virtual.visit import Visit, handles

from .auth import check_proof


@handles(SetNbAddress)
def set_nb_address(visit: Visit, request: SetNbAddress) -> NbAddressSet:
    """Keep the server's address."""
    visit.require_feature(Feature.NB_IOT)
    _keep(visit, nb_port=request.port, nb_address=request.address)
    return NbAddressSet(body=_battery(visit))


@handles(SetWristbandKey)
def set_wristband_key(visit: Visit, request: SetWristbandKey) -> WristbandKeySet:
    """Keep the wristband's key."""
    visit.require_feature(Feature.WRISTBAND)
    _keep(visit, wristband_key=request.key)
    return WristbandKeySet(body=_battery(visit))


@handles(GetRemoteControl)
def get_remote_control(visit: Visit, _: GetRemoteControl) -> RemoteControlAnswer:
    """Say that we are there."""
    return RemoteControlAnswer(body=_battery(visit))


@handles(ClickRemoteControl)
def click(visit: Visit, request: ClickRemoteControl) -> RemoteControlAnswer:
    """Do what the button says; only two of them move a door lock."""
    check_proof(visit, request.proof)
    if request.button == Button.UNLOCK:
        visit.body.open_bolt(visit.now)
    elif request.button == Button.LOCK:
        visit.body.close_bolt_by_command(visit.now)
    visit.body.record(
        visit.now,
        LogType.REMOTE_CONTROL,
        user_id=visit.standing.user_id,
        record_id=request.unique_id,
        key=request.button,
    )
    return RemoteControlAnswer(body=_battery(visit))


@handles(GetHotelItem)
def get_hotel_item(visit: Visit, _: GetHotelItem) -> HotelAnswer:
    """Say yes; nobody knows how the item itself would be told."""
    visit.require_feature(Feature.HOTEL_CARD)
    return HotelAnswer(body=_battery(visit))


@handles(SetHotelCardKey)
def set_hotel_card_key(visit: Visit, request: SetHotelCardKey) -> HotelAnswer:
    """Keep the key of the cards."""
    visit.require_feature(Feature.HOTEL_CARD)
    _keep(visit, hotel_card_key=request.key)
    return HotelAnswer(body=_battery(visit))


@handles(SetHotelAesKey)
def set_hotel_aes_key(visit: Visit, request: SetHotelAesKey) -> HotelAnswer:
    """Keep the AES key of the cards."""
    visit.require_feature(Feature.HOTEL_CARD)
    _keep(visit, hotel_aes_key=request.key)
    return HotelAnswer(body=_battery(visit))


@handles(SetHotelNumbers)
def set_hotel_numbers(visit: Visit, request: SetHotelNumbers) -> HotelAnswer:
    """Keep where the lock is."""
    visit.require_feature(Feature.HOTEL_CARD)
    _keep(visit, hotel=request.hotel, building=request.building, floor=request.floor)
    return HotelAnswer(body=_battery(visit))


def _keep(visit: Visit, **changes: Any) -> None:
    visit.body.change(special=replace(visit.body.memory.special, **changes))


def _battery(visit: Visit) -> bytes:
    return bytes((visit.battery_percent,))

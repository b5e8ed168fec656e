"""Feature bits and masked fields."""

import pytest

from ttlock_protocol import masking
from ttlock_protocol.errors import DecodeError, LocalProtocolError
from ttlock_protocol.features import Feature, FeatureSet

CLOUD = "51071C4F5F1"
BITS = {0, 4, 5, 6, 7, 8, 10, 12, 13, 14, 15, 18, 22, 23, 24, 28, 29, 30, 36, 40, 42}


def test_cloud_value_and_bits_are_one() -> None:
    features = FeatureSet.from_cloud(CLOUD)
    assert set(features) == BITS
    assert FeatureSet.of(BITS) == features
    assert features.to_cloud() == CLOUD
    assert Feature.AUTO_LOCK in features
    assert Feature.CARD not in features
    assert 1000 not in features


@pytest.mark.parametrize(
    ("special", "has_bit_31"), [(0x71C4F5F1, False), (-1, True), (1 << 31, True)]
)
def test_special_value_is_the_lowest_word(special: int, has_bit_31: bool) -> None:
    features = FeatureSet.from_special_value(special)
    assert (31 in features) == has_bit_31
    assert features.bits == special & 0xFFFFFFFF


def test_unknown_bits_keep_their_number() -> None:
    (feature,) = FeatureSet.of([200])
    assert feature == 200
    assert not feature.is_known


def test_every_number_up_to_126_that_has_a_name_has_it_once() -> None:
    assert len(Feature) == len({feature.value for feature in Feature})
    assert max(Feature) == 126


@pytest.mark.parametrize("value", ["", "xyz", "-1"])
def test_bad_cloud_value(value: str) -> None:
    with pytest.raises(DecodeError):
        FeatureSet.from_cloud(value)


@pytest.mark.parametrize("value", [1 << 32, -(1 << 31) - 1])
def test_bad_special_value(value: int) -> None:
    with pytest.raises(DecodeError):
        FeatureSet.from_special_value(value)


def test_negative_bits_are_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        FeatureSet(-1)


@pytest.mark.parametrize("seed", [0, 128])
def test_a_seed_has_its_range(seed: int) -> None:
    with pytest.raises(LocalProtocolError):
        masking.mask(b"1", seed)


@pytest.mark.parametrize("seed", [1, 127])
def test_the_ends_of_the_range_are_seeds(seed: int) -> None:
    assert masking.unmask(masking.mask(b"135790", seed)) == b"135790"


def test_only_ascii_is_masked() -> None:
    with pytest.raises(LocalProtocolError):
        masking.mask_text("ß", 1)


def test_short_digits_are_in_clear() -> None:
    assert masking.unmask_text("0123456789") == "0123456789"
    assert masking.unmask_text("0") == "0"


@pytest.mark.parametrize(
    "stored", ["", "01234567890", "not base64", "MTAwLDI1Ng==", "MTAwLA==", "/w=="]
)
def test_neither_digits_nor_masked(stored: str) -> None:
    with pytest.raises(DecodeError) as raised:
        masking.unmask_text(stored)
    assert not stored or stored not in str(raised.value)


def test_nothing_is_not_masked() -> None:
    with pytest.raises(DecodeError):
        masking.unmask(b"")

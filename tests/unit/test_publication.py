import pytest

from ttlock_agent.publication import MAX_EXPIRY_S, Publication


def test_payload_and_correlation_data_are_hidden() -> None:
    publication = Publication("a/b", b"hunter-2", correlation_data=b"hunter-3")
    assert "hunter" not in repr(publication)


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0b"])
def test_topic_can_be_published_on(topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        Publication(topic, b"")


@pytest.mark.parametrize("expiry_s", [0, -1, MAX_EXPIRY_S + 1])
def test_expiry_fits_the_field_of_mqtt_5(expiry_s: int) -> None:
    with pytest.raises(ValueError, match="expiry_s"):
        Publication("a", b"", expiry_s=expiry_s)
    assert Publication("a", b"", expiry_s=MAX_EXPIRY_S).expiry_s == MAX_EXPIRY_S


def test_qos_2_is_not_spoken() -> None:
    with pytest.raises(ValueError, match="qos"):
        Publication("a", b"", qos=2)  # type: ignore[arg-type]

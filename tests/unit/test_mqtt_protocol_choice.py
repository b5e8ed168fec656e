from ttlock_agent.mqtt.protocol_choice import (
    MAX_PATIENCE,
    PATIENCE,
    RETRY_V5_AFTER_S,
    MqttVersion,
    ProtocolChoice,
)

V5, V3 = MqttVersion.V5, MqttVersion.V3_1_1


def test_5_comes_first() -> None:
    assert ProtocolChoice().version(0) is V5


def test_a_refused_version_is_left_at_once() -> None:
    choice = ProtocolChoice()
    choice.version_refused()
    assert choice.version(0) is V3


def test_one_early_close_is_no_proof() -> None:
    choice = ProtocolChoice()
    choice.closed_early()
    assert choice.version(0) is V5
    choice.closed_early()
    assert choice.version(0) is V3


def test_silence_is_proof_enough() -> None:
    choice = ProtocolChoice()
    choice.stayed_silent()
    assert choice.version(0) is V3


def test_an_answer_settles_the_version_against_closes_and_silence() -> None:
    choice = ProtocolChoice()
    choice.answered(0)
    for _ in range(MAX_PATIENCE):
        choice.closed_early()
        choice.stayed_silent()
    assert choice.version(0) is V5


def test_an_answer_does_not_settle_it_against_a_refusal() -> None:
    """The broker was replaced by an older one."""
    choice = ProtocolChoice()
    choice.answered(0)
    choice.version_refused()
    assert choice.version(0) is V3


def test_3_1_1_is_kept_for_a_day() -> None:
    choice = ProtocolChoice()
    choice.version_refused()
    choice.answered(100)
    choice.answered(50_000)
    assert choice.version(100 + RETRY_V5_AFTER_S - 1) is V3
    assert choice.version(100 + RETRY_V5_AFTER_S) is V5


def test_a_settled_5_is_never_retried() -> None:
    choice = ProtocolChoice()
    choice.answered(0)
    assert choice.version(10 * RETRY_V5_AFTER_S) is V5


def test_sides_change_more_and_more_rarely() -> None:
    choice = ProtocolChoice()
    runs = []
    for _ in range(6):
        version, closes = choice.version(0), 0
        while choice.version(0) is version:
            choice.closed_early()
            closes += 1
        runs.append(closes)
    assert runs == [PATIENCE, 4, 8, MAX_PATIENCE, MAX_PATIENCE, MAX_PATIENCE]

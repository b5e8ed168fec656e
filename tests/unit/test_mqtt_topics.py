import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttlock_agent.mqtt.topics import ID_PATTERN, VERB_PATTERN, Topics, is_below, is_id, is_verb

TOPICS = Topics(agent_id="house-12")


def test_every_topic_of_the_handbook() -> None:
    assert TOPICS.status == "ttlock/house-12/status"
    assert TOPICS.info == "ttlock/house-12/info"
    assert TOPICS.health == "ttlock/house-12/health"
    assert TOPICS.request_filter == "ttlock/house-12/request/+"
    assert TOPICS.request("passcode.add") == "ttlock/house-12/request/passcode.add"
    assert TOPICS.response("passcode.add") == "ttlock/house-12/response/passcode.add"
    assert TOPICS.lock_state("front-door") == "ttlock/house-12/lock/front-door/state"
    assert TOPICS.lock_availability("front-door") == "ttlock/house-12/lock/front-door/availability"
    assert TOPICS.lock_passcodes("front-door") == "ttlock/house-12/lock/front-door/passcodes"
    assert TOPICS.lock_event("front-door") == "ttlock/house-12/lock/front-door/event"
    assert TOPICS.lock_gateway("front-door") == "ttlock/house-12/lock/front-door/gateway"
    assert TOPICS.lock_command("front-door") == "ttlock/house-12/lock/front-door/command"
    assert TOPICS.job("01JE") == "ttlock/house-12/job/01JE"


def test_base_may_have_levels() -> None:
    assert Topics(base="site/ttlock", agent_id="a").status == "site/ttlock/a/status"


@pytest.mark.parametrize("text", ["", "a b", "a/b", "a.b", "+", "#", "ä", "a\n", "x" * 65])
def test_ids_that_are_none(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="id"):
        Topics(agent_id=text)
    with pytest.raises(ValueError, match="id"):
        TOPICS.lock_state(text)
    with pytest.raises(ValueError, match="id"):
        TOPICS.job(text)


@pytest.mark.parametrize("base", ["", "/", "a//b", "$SYS", "a/", "a/+"])
def test_bases_that_are_none(base: str) -> None:
    with pytest.raises(ValueError, match="id"):
        Topics(base=base, agent_id="a")


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "Passcode.add", "1a", "a-b", "a/b", "a\n", "a" * 65]
)
def test_verbs_that_are_none(text: str) -> None:
    assert not is_verb(text)
    assert TOPICS.parse_request(f"ttlock/house-12/request/{text}") is None
    with pytest.raises(ValueError, match="verb"):
        TOPICS.response(text)


@pytest.mark.parametrize(
    "topic",
    [
        "ttlock/house-12/response/passcode.add",
        "ttlock/house-13/request/passcode.add",
        "ttlock/house-12/request",
        "passcode.add",
        "x/ttlock/house-12/request/passcode.add",
    ],
)
def test_topics_that_are_no_request(topic: str) -> None:
    assert TOPICS.parse_request(topic) is None


@given(st.from_regex(f"^{ID_PATTERN}$"), st.from_regex(f"^{VERB_PATTERN}$"))
def test_request_topics_round_trip(agent_id: str, verb: str) -> None:
    if not is_id(agent_id) or not is_verb(verb):
        return  # `$` also matches before a final line feed, `fullmatch` does not
    topics = Topics(agent_id=agent_id)
    assert topics.parse_request(topics.request(verb)) == verb


@pytest.mark.parametrize(
    ("topic", "prefix"),
    [("replies/x", "replies"), ("replies/x/y", "replies/"), ("a/b/c", "a/b")],
)
def test_topics_below_a_prefix(topic: str, prefix: str) -> None:
    assert is_below(topic, prefix)


@pytest.mark.parametrize(
    ("topic", "prefix"),
    [
        ("replies/x", ""),
        ("replies", "replies"),
        ("replies2/x", "replies"),
        ("other/x", "replies"),
        ("replies/+", "replies"),
        ("replies/#", "replies"),
        ("replies/$x", "replies"),
        ("replies/a\0", "replies"),
        ("replies/a\n", "replies"),
        ("$SYS/x", "$SYS"),
    ],
)
def test_topics_outside_a_prefix(topic: str, prefix: str) -> None:
    assert not is_below(topic, prefix)

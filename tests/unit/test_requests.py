"""What callers may ask, and the named refusal for everything else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttlock_agent.errors import Rejection
from ttlock_agent.requests import (
    MAX_PAYLOAD_BYTES,
    VERBS,
    JobGet,
    LogRead,
    ParsedRequest,
    Passcode,
    PasscodeAdd,
    PasscodeKind,
    PasscodeSync,
    Priority,
    RequestRejected,
    canonical_content,
    parse_request,
    refuse_late,
)
from ttlock_agent.requests.schema import requests_schema
from ttlock_agent.validation import BadValue

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
LOCKS = ("front-door", "back-door")
CODE = "304050"

ADD: dict[str, Any] = {
    "id": "pms-8841",
    "lock": "front-door",
    "passcode": CODE,
    "label": "booking 8841",
    "valid_from": "2026-12-01T15:00:00+01:00",
    "valid_until": "2026-12-05T11:00:00+01:00",
    "deadline_at": "2026-12-01T14:00:00+01:00",
}


def parse(verb: str, request: object, **options: Any) -> ParsedRequest:
    payload = request if isinstance(request, bytes) else json.dumps(request).encode()
    parsed = parse_request(verb, payload, known_locks=LOCKS, **options)
    refuse_late(parsed, NOW)
    return parsed


def refusal(verb: str, request: object, **options: Any) -> RequestRejected:
    with pytest.raises(RequestRejected) as caught:
        parse(verb, request, **options)
    assert CODE not in f"{caught.value!r} {caught.value.message} {caught.value.hint}"
    assert caught.value.message.endswith(".")
    assert caught.value.hint
    return caught.value


def changed(**changes: Any) -> dict[str, Any]:
    """ADD with other values; None removes the key."""
    return {key: value for key, value in {**ADD, **changes}.items() if value is not None}


def test_the_handbooks_request_is_understood() -> None:
    request = parse("passcode.add", ADD)
    assert (request.id, request.verb, request.lock) == ("pms-8841", "passcode.add", "front-door")
    assert request.deadline_at == datetime(2026, 12, 1, 13, 0, tzinfo=UTC)
    assert request.priority is Priority.NORMAL
    params = request.params
    assert isinstance(params, PasscodeAdd)
    assert params.passcode == Passcode(CODE)
    assert params.label == "booking 8841"
    assert params.kind is PasscodeKind.PERIOD
    assert params.valid_from == datetime(2026, 12, 1, 14, 0, tzinfo=UTC)
    assert params.valid_until == datetime(2026, 12, 5, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, PasscodeKind.PERIOD),
        ({"valid_from": None}, PasscodeKind.PERIOD),
        ({"valid_until": None}, PasscodeKind.PERMANENT),
        ({"valid_from": None, "valid_until": None}, PasscodeKind.PERMANENT),
        ({"kind": "one_time"}, PasscodeKind.ONE_TIME),
        ({"kind": "one_time", "valid_until": None}, PasscodeKind.ONE_TIME),
    ],
)
def test_the_kind_follows_from_the_window_unless_it_is_given(
    changes: dict[str, Any], kind: PasscodeKind
) -> None:
    params = parse("passcode.add", changed(**changes)).params
    assert isinstance(params, PasscodeAdd)
    assert params.kind is kind


@pytest.mark.parametrize("code", ["0000", "000000000", "004711"])
def test_passcodes_keep_their_zeros(code: str) -> None:
    params = parse("passcode.delete", {"id": "1", "lock": "front-door", "passcode": code}).params
    assert params.passcode.digits == code  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_smallest_request(verb: str) -> None:
    kind = VERBS[verb]
    smallest: dict[str, Any] = {"lock": "front-door", "passcode": CODE, "job": "j-1"}
    smallest |= {"owner": "pms", "passcodes": [], "backup": "20261120-1a2b3c4d"}
    smallest |= {"gateway": {"is_online": True}, "setting": "volume", "value": 3, "windows": [{}]}
    smallest |= {"hours": []}
    if verb in (
        "card.modify",
        "card.delete",
        "fingerprint.modify",
        "fingerprint.delete",
        "card.hours",
        "fingerprint.hours",
    ):
        smallest |= {"name": "9f3a1c20"}
    if verb == "lock.enrol":
        smallest |= {"gives_up_app": True}
    if verb == "lock.reset":
        smallest |= {"dry_run": True}
    fields = {field.encode_name for field in msgspec.structs.fields(kind)}
    raw = {key: value for key, value in smallest.items() if key in fields}
    request = parse(verb, {"id": "1", **raw})
    assert type(request.params) is kind
    assert request.lock == (None if verb == "job.list" else raw.get("lock"))


SET: dict[str, Any] = {
    "id": "s-1",
    "lock": "front-door",
    "owner": "pms",
    "passcodes": [
        {"passcode": "304050", "label": "booking 1", "valid_until": "2026-12-05T11:00:00+01:00"},
        {"passcode": "112233"},
    ],
}


def test_a_set_is_read_entry_by_entry() -> None:
    params = parse("passcode.sync", SET).params
    assert isinstance(params, PasscodeSync)
    assert not params.is_dry_run
    first, second = params.passcodes
    assert (first.label, first.kind) == ("booking 1", PasscodeKind.PERIOD)
    assert (second.passcode, second.kind) == (Passcode("112233"), PasscodeKind.PERMANENT)
    assert CODE not in repr(params)


def test_a_set_is_the_same_in_whatever_order() -> None:
    backwards = {**SET, "passcodes": SET["passcodes"][::-1]}
    assert canonical_content(parse("passcode.sync", backwards)) == canonical_content(
        parse("passcode.sync", SET)
    )
    smaller = {**SET, "passcodes": SET["passcodes"][:1]}
    assert canonical_content(parse("passcode.sync", smaller)) != canonical_content(
        parse("passcode.sync", SET)
    )


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"passcode": "12"}, "In `passcodes[1]`: `passcode` must be 4 to 9 digits."),
        ({}, "In `passcodes[1]`: `passcode` is missing."),
        ({"passcode": "112233", "lable": ""}, "In `passcodes[1]`: The request has an unknown key"),
        ({"passcode": "112233", "kind": "period"}, "needs `valid_until`"),
        ("112233", "`passcodes[1]` must be an object."),
    ],
)
def test_a_bad_entry_is_named_by_its_place(entry: object, words: str) -> None:
    error = refusal("passcode.sync", {**SET, "passcodes": [SET["passcodes"][0], entry]})
    assert error.reason is Rejection.INVALID
    assert words in error.message
    assert "112233" not in error.message


def test_a_set_is_no_larger_than_any_lock() -> None:
    codes = [{"passcode": f"{number:06}"} for number in range(251)]
    assert refusal("passcode.sync", {**SET, "passcodes": codes}).reason is Rejection.INVALID
    assert parse("passcode.sync", {**SET, "passcodes": codes[:250]})


def test_jobs_are_asked_for_by_any_id() -> None:
    request = parse("job.get", {"id": "2", "job": "pms-8841"})
    assert request.params == JobGet(id="2", job="pms-8841")
    assert request.lock is None


def test_the_log_is_read_from_a_cursor() -> None:
    request = parse("log.read", {"id": "1", "lock": "back-door", "since": 12, "max_records": 5})
    assert request.params == LogRead(id="1", lock="back-door", since=12, max_records=5)
    for cursor in (0xFFFF, 0xFFF0, -1):
        bad = {"id": "1", "lock": "back-door", "since": cursor}
        assert refusal("log.read", bad).reason is Rejection.INVALID


def test_somebody_at_the_door_goes_first() -> None:
    request = parse("passcode.add", changed(priority="guest_at_the_door"))
    assert request.priority is Priority.GUEST_AT_THE_DOOR


# --- refusals ------------------------------------------------------------------------------------

# What replaces what in ADD, and what the message must say.
INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "3 digits": ({"passcode": "123"}, "`passcode` must be 4 to 9 digits"),
    "10 digits": ({"passcode": "1234567890"}, "4 to 9 digits"),
    "letters": ({"passcode": "12a4"}, "4 to 9 digits"),
    "digits and a newline": ({"passcode": "1234\n"}, "4 to 9 digits"),
    "digits of another script": ({"passcode": "١٢٣٤"}, "4 to 9 digits"),
    "passcode as a number": ({"passcode": int(CODE)}, "must be text"),
    "passcode as a list": ({"passcode": [CODE]}, "must be text"),
    "no passcode": ({"passcode": None}, "`passcode` is missing"),
    "no lock": ({"lock": None}, "`lock` is missing"),
    "lock as a number": ({"lock": 7}, "`lock` must be 1 to 64 letters"),
    "lock with a slash": ({"lock": "a/b"}, "`lock` must be"),
    "unknown key": ({"pasword": "x"}, "unknown key `pasword`"),
    "code as a key": ({CODE: "x"}, "unknown key (not shown)"),
    "code in a key": ({f"c{CODE}": "x"}, "unknown key (not shown)"),
    "code as a kind": ({"kind": CODE}, "`kind` must be one of"),
    "code as a time": ({"valid_until": CODE}, "`valid_until` must be a date and time"),
    "time as a number": ({"valid_until": 1796464800}, "`valid_until` must be a date and time"),
    "naive deadline": ({"deadline_at": "2026-12-01T14:00:00"},
                       "`deadline_at` must be a date and time with its UTC offset"),
    "naive start": ({"valid_from": "2026-12-01T15:00:00"}, "with its UTC offset"),
    "seconds": ({"valid_from": "2026-12-01T15:00:30+01:00"}, "`valid_from` is not a whole minute"),
    "microseconds": ({"valid_until": "2026-12-05T11:00:00.000001+01:00"}, "not a whole minute"),
    "end before start": ({"valid_from": "2026-12-06T15:00:00+01:00"}, "is not after"),
    "end is the start": ({"valid_from": "2026-12-05T10:00:00Z"}, "is not after"),
    "permanent with an end": ({"kind": "permanent"}, "permanent passcode has no end"),
    "period without an end": ({"kind": "period", "valid_until": None}, "needs `valid_until`"),
    "year 2100": ({"valid_until": "2100-01-01T00:00:00Z"}, "outside the years 2000 to 2099"),
    "year 1": ({"valid_from": "0001-01-01T00:00:00+14:00"}, "outside the years"),
    "deadline in year 9999": ({"deadline_at": "9999-12-31T23:59:59-12:00"}, "outside the years"),
    "label of 65 characters": ({"label": "x" * 65}, "`label` must be text of at most 64"),
    "label with an escape": ({"label": "\x1b[31m"}, "`label` holds control characters"),
    "label with half a character": ({"label": "\ud800"}, "`label` holds control characters"),
    "no priority of ours": ({"priority": "urgent"}, "one of normal, guest_at_the_door"),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_a_wrong_value_is_named_and_not_repeated(name: str) -> None:
    changes, said = INVALID[name]
    error = refusal("passcode.add", changed(**changes))
    assert error.reason is Rejection.INVALID
    assert error.code == "invalid"
    assert said in error.message
    assert error.request_id == "pms-8841"


def test_an_example_is_given_as_json() -> None:
    asked = {"id": "1", "lock": "front-door", "since": "x"}
    assert refusal("log.read", asked).hint == 'Write for example "since": 0.'
    assert refusal("log.read", {"id": "1"}).hint == 'Write for example "lock": "front-door".'
    assert refusal("passcode.add", changed(kind=7)).hint.startswith("Write one of permanent")


def test_a_misspelled_key_is_told_the_right_one() -> None:
    request = changed(valid_till=ADD["valid_until"], valid_until=None)
    assert refusal("passcode.add", request).hint == "Did you mean valid_until?"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "not JSON"),
        (b'{"id": "1"', "not JSON"),
        (b"{'id': '1'}", "not JSON"),
        (b'{"id": 1e}', "not JSON"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        ('{"id": "1"}'.encode("utf-16"), "not UTF-8"),
        (b'{"id": "\xc3\x28"}', "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"[" * 10_000, "nested too deeply"),
        (b'{"a":' * 3_000, "nested too deeply"),
        (b'{"id": "1", "since": NaN}', "NaN"),
        (b'{"id": "1", "since": -Infinity}', "NaN and Infinity"),
        (b'{"id": "1", "lock": "a", "lock": "b"}', "key `lock` stands there twice"),
        (b'{"id": "1", "deep": {"304050": 1, "304050": 2}}', "key (not shown)"),
    ],
)
def test_what_is_no_json_object_is_malformed(payload: bytes, said: str) -> None:
    error = refusal("passcode.add", payload)
    assert (error.reason, error.request_id) == (Rejection.MALFORMED, None)
    assert said in error.message
    assert refusal("passcode.add", payload, correlation_id="c-1").request_id == "c-1"


def test_a_megabyte_is_refused_unread() -> None:
    request = json.dumps(changed(label="x" * 1_000_000)).encode()
    error = refusal("passcode.add", request, correlation_id="c-1")
    assert (error.reason, error.request_id) == (Rejection.TOO_LARGE, "c-1")
    fits = json.dumps(ADD).encode().ljust(MAX_PAYLOAD_BYTES)
    assert parse("passcode.add", fits).id == "pms-8841"
    assert refusal("passcode.add", fits + b" ").reason is Rejection.TOO_LARGE


def test_a_retained_request_is_refused_to_its_id() -> None:
    error = refusal("passcode.add", ADD, is_retained=True)
    assert (error.reason, error.request_id) == (Rejection.RETAINED, "pms-8841")


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("passcode.ad", "Did you mean passcode.add?"),
        ("door.explode", "Known are"),
        ("", "Known are"),
        (f"passcode.add.{CODE}", "passcode.add"),
    ],
)
def test_an_unknown_verb_is_refused_to_its_id(verb: str, said: str) -> None:
    error = refusal(verb, ADD)
    assert (error.reason, error.request_id) == (Rejection.UNKNOWN_VERB, "pms-8841")
    assert said in error.hint


@pytest.mark.parametrize(
    ("lock", "said"), [("front-dor", "Did you mean front-door?"), ("xyz", "configuration")]
)
def test_an_unknown_lock_is_refused(lock: str, said: str) -> None:
    error = refusal("passcode.add", changed(lock=lock))
    assert error.reason is Rejection.UNKNOWN_LOCK
    assert lock in error.message
    assert said in error.hint
    assert refusal("passcode.add", changed(lock=CODE)).reason is Rejection.UNKNOWN_LOCK


@pytest.mark.parametrize(
    "changes",
    [
        {"deadline_at": "2026-11-30T09:00:00Z"},
        {"deadline_at": "2020-01-01T00:00:00Z"},
        {"valid_from": "2026-11-01T00:00:00Z", "valid_until": "2026-11-30T09:00:00Z"},
    ],
)
def test_what_is_over_is_refused_as_expired(changes: dict[str, Any]) -> None:
    error = refusal("passcode.add", changed(**changes))
    assert (error.reason, error.request_id) == (Rejection.EXPIRED, "pms-8841")


def test_a_window_that_has_begun_is_fine() -> None:
    request = parse("passcode.add", changed(valid_from="2020-01-01T00:00:00Z"))
    assert request.id == "pms-8841"


# --- ids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [7, "", "x" * 129, "a\nb", "\ud800", ["a"], {"a": 1}])
def test_an_id_that_cannot_be_echoed_is_refused(bad: object) -> None:
    error = refusal("passcode.add", {**ADD, "id": bad})
    assert (error.reason, error.request_id) == (Rejection.INVALID, None)
    assert "`id`" in error.message
    error = refusal("passcode.add", {**ADD, "id": bad}, correlation_id="c-1")
    assert error.request_id == "c-1"


def test_correlation_data_stands_in_for_the_id() -> None:
    without = changed(id=None)
    assert parse("passcode.add", without, correlation_id="c-1").id == "c-1"
    assert parse("passcode.add", {**ADD, "id": None}, correlation_id="c-1").id == "c-1"
    assert parse("passcode.add", ADD, correlation_id="c-1").id == "pms-8841"
    for useless in (None, "", "x" * 129, "a\x00"):
        error = refusal("passcode.add", without, correlation_id=useless)
        assert (error.reason, error.request_id) == (Rejection.INVALID, None)
        assert error.message == "`id` is missing."


# --- content -------------------------------------------------------------------------------------


def test_content_is_the_same_however_it_is_written() -> None:
    content = canonical_content(parse("passcode.add", ADD))
    # Nor does the order in which the fields are declared, which a later version may change.
    assert list(json.loads(content)) == sorted(json.loads(content))
    other_way = dict(reversed(list(changed(
        id="other", kind="period", priority="normal", valid_from="2026-12-01T14:00:00Z",
        valid_until="2026-12-05T12:00:00+02:00", deadline_at="2026-12-01T13:00:00.000Z",
    ).items())))  # fmt: skip
    assert canonical_content(parse("passcode.add", other_way)) == content
    assert canonical_content(parse("passcode.add", changed(id=None), correlation_id="c")) == content


@pytest.mark.parametrize(
    "changes",
    [
        {"passcode": "304051"},
        {"lock": "back-door"},
        {"label": "booking 8842"},
        {"kind": "one_time"},
        {"valid_from": None},
        {"valid_until": "2026-12-05T11:01:00+01:00"},
        {"deadline_at": None},
        {"priority": "guest_at_the_door"},
    ],
)
def test_content_differs_with_every_field(changes: dict[str, Any]) -> None:
    content = canonical_content(parse("passcode.add", ADD))
    assert canonical_content(parse("passcode.add", changed(**changes))) != content


def test_content_differs_with_the_verb() -> None:
    asked = {"id": "1", "lock": "front-door"}
    contents = {canonical_content(parse(v, asked)) for v in ("clock.read", "clock.sync")}
    assert len(contents) == 2


# --- the passcode itself -------------------------------------------------------------------------


def test_a_passcode_never_shows_itself() -> None:
    request = parse("passcode.add", ADD)
    for shown in (repr(request), str(request), f"{request.params}", repr(Passcode(CODE)),
                  str(Passcode(CODE)), f"{Passcode(CODE)}"):  # fmt: skip
        assert CODE not in shown


def test_passcodes_are_equal_by_their_digits() -> None:
    assert Passcode("0123") == Passcode("0123")
    assert len({Passcode("0123"), Passcode("0123"), Passcode("123" * 2)}) == 2
    assert Passcode("0123") != "0123"
    with pytest.raises(BadValue):
        Passcode("12345\n")


# --- any bytes -----------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.datetimes().map(datetime.isoformat) | st.sampled_from([*LOCKS, CODE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)  # fmt: skip


@given(verb=st.sampled_from([*VERBS, "x"]) | st.text(), payload=st.binary(max_size=200))
def test_any_bytes_give_a_request_or_a_named_refusal(verb: str, payload: bytes) -> None:
    _only_refusals(verb, payload)


@given(
    verb=st.sampled_from(list(VERBS)),
    request=st.fixed_dictionaries(
        {}, optional=dict.fromkeys([*ADD, "kind", "priority", "since", "max_records", "job"],
                                   json_values),
    ),
)  # fmt: skip
def test_any_values_give_a_request_or_a_named_refusal(verb: str, request: dict[str, Any]) -> None:
    _only_refusals(verb, json.dumps({"id": "1", "lock": "front-door", **request}).encode())


def _only_refusals(verb: str, payload: bytes) -> None:
    """Anything but ``RequestRejected`` fails the test; what is answered must fit into JSON."""
    try:
        answer = [canonical_content(parse(verb, payload)).decode()]
    except RequestRejected as refused:
        answer = [refused.message, refused.hint, refused.request_id or ""]
    assert all(part.encode() or part == "" for part in answer)


def test_the_schema_is_in_step_with_the_code() -> None:
    committed = (Path(__file__).parents[2] / "config" / "requests.schema.json").read_text()
    assert committed == requests_schema(), "run: python -m ttlock_agent.requests.schema > FILE"
    schema = json.loads(committed)
    assert list(schema["properties"]) == list(VERBS)
    for kind in schema["$defs"].values():
        for name, described in kind.get("properties", {}).items():
            assert "description" in described, f"{kind['title']}.{name}"

"""Each check of a diagnosis by itself: facts in, a finding out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent_rig import LOCK, ZONE
from ttlock_agent.backup.plan import USUAL_ROOM
from ttlock_agent.backup.read import PASSCODES
from ttlock_agent.diagnose.compare import compare
from ttlock_agent.diagnose.facts import Facts, Session, Wish
from ttlock_agent.diagnose.finding import Finding, Fix, Verdict, body_of, examine
from ttlock_agent.diagnose.firmware import Confidence, decode_faults, matching, shipped_faults
from ttlock_agent.diagnose.gather import wishes_of
from ttlock_agent.diagnose.table import CHECKS
from ttlock_agent.errors import (
    AdapterProblem,
    AdapterUnavailable,
    ConfigError,
    KeysRejected,
    LockNotSeen,
)
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Known, PasscodeKind, WantedPasscode
from ttlock_agent.lock.visit import ClockReading
from ttlock_agent.requests import PasscodeKind as AskedKind
from ttlock_agent.watch.book import Book, Claim, Outcome, Probe
from ttlock_agent.watch.verdict import GatewayView, ProbeResult
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.localtime import to_lock
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.log import LogRecord, LogType
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import PasscodeRecord, PasscodeType
from ttlock_protocol.virtual.memory import DEFAULT_FEATURES
from virtual_helpers import NOW

ROOM = USUAL_ROOM[PASSCODES]


def record(digits: str) -> PasscodeRecord:
    return PasscodeRecord(
        passcode_type=PasscodeType.PERMANENT,
        passcode=digits,
        original_passcode=digits,
        valid_from=PERMANENT_FROM,
        valid_until=None,
    )


def refused_entry(
    digits: str, *, kind: LogType = LogType.WRONG_PASSCODE, hours_ago: float = 1, **more: Any
) -> LogRecord:
    at = to_lock(NOW - timedelta(hours=hours_ago), ZONE)
    return LogRecord(log_type=kind, recorded_at=at, battery=90, passcode=digits, **more)


SESSION = Session(
    at=NOW,
    rssi_dbm=-60,
    model="SN484",
    hardware="1.2",
    firmware="6.5.08.230228",
    features=FeatureSet.of(DEFAULT_FEATURES),
    clock=ClockReading(error_s=1.0, read_at=NOW),
    battery_percent=90,
    is_remote_unlock_on=True,
    switches=0,
    listing=(record("482913"),),
)
WANTED = WantedPasscode(
    lock=LOCK, digits="482913", kind=PasscodeKind.PERMANENT, label="booking 1", owner="pms"
)
OTHER = replace(WANTED, digits="771204", label="booking 2")
STATUS = {
    "is_time_synchronised": True,
    "journal_trouble": None,
    "journal_set_aside": None,
    "mqtt": {"status": "connected", "version": "5", "since": "then", "error": None},
    "cloud": {"is_watched": True, "trouble": None, "lock_errors": {}, "calls_this_month": 7,
              "monthly_call_budget": 5000, "verdicts": {}},
    "adapters": [{"adapter": "hci0", "state": "usable", "since": None}],
}  # fmt: skip
GATEWAY = GatewayView(
    name="ruveno g2", is_online=True, heard_lock_at=NOW, rssi_dbm=-70, tells_hearing=False
)
DAY = {"day": "2026-03-14", "connected": 9, "lost": 0, "failed": {}, "heard": {"-60": 9}}
FACTS = Facts(
    now=NOW,
    lock=LOCK,
    zone=ZONE,
    session=SESSION,
    wishes=(Wish(wanted=WANTED, label="booking 1"),),
    signal_days=(DAY,),
    book=Book(gateways=(GATEWAY,), looked_at=NOW),
    status=STATUS,
    disk_free_bytes=10**9,
    faults=shipped_faults(),
)


def session(**changes: Any) -> Facts:
    return replace(FACTS, session=replace(SESSION, **changes))


def status(**changes: Any) -> Facts:
    return replace(FACTS, status=STATUS | changes)


def cloud(**changes: Any) -> Facts:
    return status(cloud=STATUS["cloud"] | changes)  # type: ignore[operator]


def wishing(*wanted: WantedPasscode, **changes: Any) -> Facts:
    return replace(
        FACTS, wishes=[Wish(wanted=each, label=each.label) for each in wanted], **changes
    )


def unreached(error: Any) -> Facts:
    return replace(FACTS, session=None, unreached=error)


def claimed(*, is_missing: bool, was_delivered: bool | None = None, **gateway: Any) -> Facts:
    """One passcode on the cloud's list, and a gateway."""
    wish = Wish(
        wanted=OTHER if is_missing else WANTED,
        label="booking",
        claimed_at=NOW,
        was_delivered=was_delivered,
    )
    book = Book(gateways=(replace(GATEWAY, **gateway),), looked_at=NOW)
    return replace(FACTS, wishes=(wish,), book=book)


def job(state: JobState = JobState.FAILED, **changes: Any) -> Job:
    options: dict[str, Any] = {
        "id": "a1", "source": "mqtt", "request_id": "pms-1", "verb": "passcode.add", "lock": LOCK,
        "params": b"", "state": state, "reason": None, "is_sent": False, "priority": 0,
        "deadline_at": None, "not_before_at": None, "attempts": 1, "created_at": NOW,
        "updated_at": NOW, "result": {"kind": "cyclic"},
        "error": JobFailure(code="not_supported", message="No.", hint="-", is_retryable=False),
    }  # fmt: skip
    return Job(**options | changes)


FULL = JobFailure(code="passcode_memory_full", message="No room.", hint="-", is_retryable=False)


NOT_KEPT = JobFailure(code="not_in_lock", message="Not there.", hint="-", is_retryable=False)


PROBES = tuple(
    Probe(result=result, at=NOW)
    for result in (ProbeResult.OK, ProbeResult.BUSY, ProbeResult.FAILED, ProbeResult.NO_ANSWER)
)


def finding(check: str, facts: Facts) -> Finding:
    (found,) = [each for each in CHECKS if each.id == check]
    return found.run(facts)


def test_a_lock_in_good_order_has_nothing_to_complain_of() -> None:
    report = examine(FACTS, CHECKS)
    found = {check.id: said.verdict for check, said in report.rows}
    assert found.pop("drift") is found.pop("confirmed") is Verdict.UNKNOWN
    assert set(found.values()) == {Verdict.PASS}
    assert report.worst is Verdict.PASS
    assert report.causes == []
    assert report.fixes == {}


@pytest.mark.parametrize("facts", [replace(FACTS, session=None), unreached(LockNotSeen("No."))])
def test_what_was_not_measured_is_not_called_good(facts: Facts) -> None:
    asks_lock = {
        "passcodes_held", "refused_at_the_door", "keys", "gateway", "clock", "memory", "battery",
        "features", "kinds", "collisions", "remote_unlock", "firmware", "expired", "strangers",
    }  # fmt: skip
    for check, said in examine(facts, CHECKS).rows:
        if check.id in asks_lock:
            assert said.verdict is Verdict.UNKNOWN, check.id
            assert said.sentence.startswith("Not measured: "), check.id


TROUBLES: dict[str, tuple[str, Facts, Verdict, str]] = {
    "missing": ("passcodes_held", wishing(WANTED, OTHER), Verdict.FAIL, "1 wanted passcode "),
    "unreadable": (
        "passcodes_held",
        replace(wishing(OTHER), session=replace(SESSION, listing=(Unreadable(b"x"),))),
        Verdict.WARN,
        "cannot be read",
    ),
    "refused, and missing still": (
        "refused_at_the_door",
        wishing(OTHER, session=replace(SESSION, log=(refused_entry("771204"),))),
        Verdict.FAIL,
        "refused",
    ),
    "refused, and there now": (
        "refused_at_the_door",
        session(log=(refused_entry("482913"),)),
        Verdict.WARN,
        "holds these passcodes now",
    ),
    "out of window, clock off": (
        "refused_at_the_door",
        session(
            log=(refused_entry("482913", kind=LogType.PASSCODE_OUT_OF_WINDOW),),
            clock=ClockReading(error_s=-600.0, read_at=NOW),
        ),
        Verdict.FAIL,
        "refused",
    ),
    "no adapter": (
        "adapter",
        unreached(AdapterUnavailable("None.", reason=AdapterProblem.MISSING)),
        Verdict.FAIL,
        "None.",
    ),
    "blocked adapter": (
        "adapter",
        status(adapters=[{"adapter": "hci0", "state": "blocked", "message": "It is blocked.",
                          "hint": "rfkill unblock bluetooth", "since": "then"}]),
        Verdict.FAIL,
        "It is blocked.",
    ),
    "not seen": ("reached", unreached(LockNotSeen("Not heard.")), Verdict.FAIL, "Not heard."),
    "reset": ("keys", unreached(KeysRejected("No.")), Verdict.FAIL, "it was reset"),
    "own clock": ("own_clock", status(is_time_synchronised=False), Verdict.FAIL, "synchronised"),
    "broker": (
        "broker",
        status(mqtt={"status": "waiting", "error": "Connection refused."}),
        Verdict.FAIL,
        "Connection refused.",
    ),
    "journal": (
        "journal",
        status(journal_trouble={"message": "The disk is full.", "hint": "Free some."}),
        Verdict.FAIL,
        "The disk is full.",
    ),
    "journal set aside": ("journal", status(journal_set_aside="/x"), Verdict.WARN, "damaged"),
    "disk": ("journal", replace(FACTS, disk_free_bytes=10**6), Verdict.WARN, "nearly full"),
    "gateway lies": ("gateway", claimed(is_missing=True), Verdict.FAIL, "holds none of them"),
    "gateway lied, agent wrote": (
        "gateway",
        claimed(is_missing=False, was_delivered=False),
        Verdict.WARN,
        "the agent has",
    ),
    "gateway offline": (
        "gateway", claimed(is_missing=True, is_online=False), Verdict.FAIL, "is not online"
    ),
    "gateway weak": (
        "gateway_signal", claimed(is_missing=False, rssi_dbm=-95), Verdict.WARN, "weak"
    ),
    "gateway seldom answers": (
        "gateway_signal",
        replace(FACTS, book=Book(gateways=(GATEWAY,), looked_at=NOW, probes=PROBES)),
        Verdict.WARN,
        "not answered",
    ),
    "clock of another zone": (
        "clock",
        session(clock=ClockReading(error_s=-7 * 3600.0, read_at=NOW)),
        Verdict.FAIL,
        "wrong time zone",
    ),
    "clock a little off": (
        "clock", session(clock=ClockReading(error_s=45.0, read_at=NOW)), Verdict.WARN, "45 s fast"
    ),
    "clock without time": (
        "clock", session(clock=ClockReading(error_s=None, read_at=NOW)), Verdict.FAIL, "lost"
    ),
    "drift": (
        "drift",
        replace(
            FACTS,
            clock_history=[
                {"at": (NOW - timedelta(days=1)).isoformat(), "clock_error_s": 0.0,
                 "was_set": False},
                {"at": NOW.isoformat(), "clock_error_s": -40.0, "was_set": False},
            ],
        ),
        Verdict.WARN,
        "bad one",
    ),
    "full": ("memory", replace(FACTS, failed_jobs=(job(error=FULL),)), Verdict.FAIL, "room"),
    "nearly full": (
        "memory",
        session(listing=tuple(record(f"{number:06}") for number in range(ROOM))),
        Verdict.WARN,
        "nearly as many",
    ),
    "battery low": ("battery", session(battery_percent=15), Verdict.WARN, "empty"),
    "battery empty": ("battery", session(battery_percent=5), Verdict.FAIL, "empty"),
    "no keypad": ("features", session(features=FeatureSet.of({1})), Verdict.FAIL, "no passcodes"),
    "no clock": (
        "features",
        session(features=FeatureSet.of({*DEFAULT_FEATURES, Feature.NO_CLOCK})),
        Verdict.WARN,
        "no clock",
    ),
    "refused kind": ("kinds", replace(FACTS, failed_jobs=(job(),)), Verdict.WARN, "refused 1"),
    "not kept": (
        "confirmed",
        replace(FACTS, failed_jobs=(job(error=NOT_KEPT),)),
        Verdict.FAIL,
        "does not keep them",
    ),
    "collision": (
        "collisions",
        wishing(replace(OTHER, digits="4829")),
        Verdict.WARN,
        "begins like",
    ),
    "remote unlock": ("remote_unlock", session(is_remote_unlock_on=False), Verdict.WARN, "off"),
    "cloud": (
        "cloud",
        cloud(trouble={"code": "cloud_misconfigured", "message": "Cloud error 10007: no.",
                       "hint": "Use the account of the vendor's app."}),
        Verdict.FAIL,
        "10007",
    ),
    "cloud, one lock": (
        "cloud",
        cloud(lock_errors={LOCK: "Cloud error 20002: not its administrator."}),
        Verdict.FAIL,
        "20002",
    ),
    "weak": ("signal", session(rssi_dbm=-92), Verdict.WARN, "weakly"),
    "many failures": (
        "signal",
        replace(FACTS, signal_days=({**DAY, "failed": {"connect_failed": 9}},)),
        Verdict.WARN,
        "fail or break",
    ),
    "firmware": ("firmware", session(firmware="6.5.20.240724"), Verdict.WARN, "suspected"),
    "firmware, as known": (
        "firmware",
        replace(
            FACTS, session=None, info=Known(value={"firmware": "6.5.20.240724"}, as_of=NOW)
        ),
        Verdict.WARN,
        "suspected",
    ),
    "strangers": ("strangers", wishing(), Verdict.WARN, "somebody else"),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLES)
def test_each_trouble_is_named_with_evidence_and_a_remedy(name: str) -> None:
    check, facts, verdict, words = TROUBLES[name]
    said = finding(check, facts)
    assert said.verdict is verdict
    assert words in said.sentence
    assert said.evidence
    if said.verdict is Verdict.FAIL:
        assert said.remedy
    assert "482913" not in repr(body_of(examine(facts, CHECKS)))


@pytest.mark.parametrize("check", sorted({each.id for each in CHECKS} - {"deliveries", "expired"}))
def test_no_check_is_never_in_trouble(check: str) -> None:
    assert check in {found for found, *_ in TROUBLES.values()}


FIXES: list[tuple[Facts, set[Fix]]] = [
    (TROUBLES["missing"][1], {Fix.MISSING}),
    (TROUBLES["clock of another zone"][1], {Fix.CLOCK}),
    (TROUBLES["remote unlock"][1], {Fix.REMOTE_UNLOCK}),
    (replace(TROUBLES["remote unlock"][1], book=Book()), set()),
    (
        replace(
            TROUBLES["clock of another zone"][1], status=STATUS | {"is_time_synchronised": False}
        ),
        set(),
    ),
    (TROUBLES["reset"][1], set()),
]


@pytest.mark.parametrize(("facts", "fixes"), FIXES)
def test_only_what_is_harmless_is_offered(facts: Facts, fixes: set[Fix]) -> None:
    assert examine(facts, CHECKS).fixes.keys() == fixes


def test_causes_are_ranked_and_symptoms_are_none() -> None:
    facts = replace(
        claimed(is_missing=True),
        session=replace(
            SESSION,
            firmware="6.5.20.240724",
            clock=ClockReading(error_s=-7 * 3600.0, read_at=NOW),
        ),
    )
    body = body_of(examine(facts, CHECKS))
    assert [(each["check"], each["likelihood"]) for each in body["causes"]] == [
        ("gateway", "likely"),
        ("clock", "likely"),
        ("firmware", "possible"),
    ]
    assert body["verdict"] == "fail"


def test_old_entries_at_the_door_are_history() -> None:
    facts = session(log=(refused_entry("482913", hours_ago=24 * 8),))
    assert finding("refused_at_the_door", facts).verdict is Verdict.PASS


def test_a_record_from_before_the_clock_was_set_gets_its_true_time() -> None:
    slow = {"at": NOW.isoformat(), "clock_error_s": -7 * 3600.0, "was_set": True}
    facts = replace(session(log=(refused_entry("482913", hours_ago=8),)), clock_history=[slow])
    said = finding("refused_at_the_door", facts)
    assert said.evidence[-1].as_of == NOW - timedelta(hours=1)


def test_what_works_since_is_no_failure_any_more() -> None:
    later = NOW + timedelta(minutes=1)
    failed = (job(error=FULL), job(error=NOT_KEPT))
    facts = replace(FACTS, failed_jobs=failed, last_added_at=later)
    assert finding("memory", facts).verdict is Verdict.PASS
    assert finding("confirmed", facts).verdict is Verdict.PASS


def test_an_agent_for_one_command_says_nothing_of_the_broker() -> None:
    assert finding("broker", status(mqtt={"status": "stopped"})).verdict is Verdict.UNKNOWN


def test_a_one_time_passcode_that_is_gone_was_used() -> None:
    used = replace(OTHER, kind=PasscodeKind.ONE_TIME, proved_at=NOW)
    assert compare(wishing(used)) == []
    assert [each.is_missing for each in compare(wishing(replace(used, proved_at=None)))] == [True]


def claim(digits: str, label: str = "") -> Claim:
    return Claim(
        name=f"n-{label}", entry="e", digits=digits, label=label, kind=AskedKind.PERMANENT,
        valid_from=None, valid_until=None, listed_at=NOW,
    )  # fmt: skip


def test_what_the_cloud_lists_is_wanted_as_well_and_once() -> None:
    book = Book(
        claims=(claim("482913"), claim("771204", "listed")),
        outcomes={"n-listed": Outcome(job="", was_there=False, found_at=NOW)},
    )
    own, listed = wishes_of([WANTED], book)
    assert (own.wanted, own.claimed_at, own.was_delivered) == (WANTED, NOW, None)
    assert (listed.wanted.owner, listed.label, listed.was_delivered) == ("cloud", "listed", False)


def test_what_shall_be_gone_is_not_wanted_because_the_cloud_lists_it() -> None:
    unwanted = replace(WANTED, is_wanted=False)
    assert wishes_of([unwanted], Book(claims=(claim("482913"),))) == []


def test_digits_in_a_label_are_not_shown() -> None:
    telling: list[Callable[[], list[Wish]]] = [
        lambda: wishes_of([replace(WANTED, label="code 482913")], Book()),
        lambda: wishes_of([WANTED, replace(OTHER, label="like 482913")], Book()),
        lambda: wishes_of([], Book(claims=(claim("482913", "code 482913"),))),
    ]
    for wishes in telling:
        assert "482913" not in "".join(wish.label for wish in wishes())


ROW = """
[[fault]]
firmware = "6.5."
model = "SN4"
fault = "f"
confidence = "confirmed"
evidence = "e"
source = "s"
remedy = "r"
"""


def test_firmware_is_matched_by_its_beginning_and_model_the_surest_first() -> None:
    own = decode_faults(ROW.encode(), "own.toml")
    rows = (*shipped_faults(), *own)
    assert [each.confidence for each in matching(rows, "6.5.20.240724", "SN484")] == [
        Confidence.CONFIRMED,
        Confidence.SUSPECTED,
    ]
    assert matching(own, "6.5.20.240724", "SN999") == matching(own, "6.6", "SN484") == []
    facts = replace(FACTS, faults=own)
    assert finding("firmware", facts).verdict is Verdict.FAIL, "a confirmed fault is a failure"


def test_what_ships_says_why_it_is_believed() -> None:
    (row,) = matching(shipped_faults(), "6.5.20.240724", "SN484")
    assert row.confidence is Confidence.SUSPECTED
    assert "ield case 1" in row.source


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (ROW.replace("confirmed", "sure"), "confidence"),
        (ROW.replace("remedy", "remedies"), "remed"),
        (ROW.replace('"6.5."', '""'), "firmware"),
        ("fault = [", "own.toml"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(content: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        decode_faults(content.encode(), "own.toml")


def test_a_failure_is_likelier_than_a_warning_that_stands_before_it() -> None:
    off = replace(SESSION, clock=ClockReading(error_s=-7 * 3600.0, read_at=NOW))
    facts = replace(claimed(is_missing=False, was_delivered=False), session=off)
    causes = body_of(examine(facts, CHECKS))["causes"]
    assert [each["check"] for each in causes] == ["clock", "gateway"]


def test_the_adapter_of_other_locks_is_their_own_matter() -> None:
    bad = {"wanted": "hci1", "adapter": "hci1", "state": "missing", "message": "Gone.", "hint": "-"}
    both = [*STATUS["adapters"], bad]  # type: ignore[misc]
    assert finding("adapter", status(adapters=both)).verdict is Verdict.PASS
    facts = replace(status(adapters=both), adapter="hci1")
    assert finding("adapter", facts).verdict is Verdict.FAIL


def test_a_check_that_fails_itself_spoils_no_other() -> None:
    odd = replace(FACTS, status=STATUS | {"mqtt": {"unexpected": 1}})
    found = {check.id: said for check, said in examine(odd, CHECKS).rows}
    assert found["broker"].verdict is Verdict.UNKNOWN
    assert "the check itself failed" in found["broker"].sentence
    assert found["passcodes_held"].verdict is Verdict.PASS


def test_what_a_lock_says_by_itself_counts_without_a_visit() -> None:
    said = {"rssi_dbm": -95, "seen_at": NOW.isoformat(), "battery_percent": 15,
            "battery_as_of": NOW.isoformat()}  # fmt: skip
    facts = replace(status(locks={LOCK: {"state": said}}), session=None, signal_days=())
    assert finding("battery", facts).verdict is Verdict.WARN
    weak = finding("signal", facts)
    assert (weak.verdict, weak.evidence[0].as_of) == (Verdict.WARN, NOW)

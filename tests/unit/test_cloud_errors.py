"""The error table holds what the vendor documents, and each row what a caller needs."""

from __future__ import annotations

import pytest

from ttlock_agent.cloud.codes import ERROR_ROWS, ErrorClass, error_row
from ttlock_agent.cloud.errors import CloudMisconfigured, CloudRefused, refusal

DOCUMENTED = {
    *(1, 10000, 10001, 10003, 10004, 10007, 10011, 10015, 20002, 30002, 30003, 30004, 30005),
    *(30006, 30007, 30008, 80000, 80002, 90000, -3, -1003, -1007, -1008, -1021, -1023, -1026),
    *(-2009, -2012, -2018, -2025, -2032, -3002, -3003, -3006, -3007, -3008, -3009, -3011, -3016),
    *(-3034, -3035, -3036, -3037, -3039, -3046, -4037, -4043, -4056, -4063, -4064, -4067, -4082),
}


def test_every_documented_code_has_one_row() -> None:
    assert set(ERROR_ROWS) == DOCUMENTED
    assert all(code == row.code for code, row in ERROR_ROWS.items())


@pytest.mark.parametrize(
    ("error_class", "codes"),
    [
        (ErrorClass.TOKEN, {10003, 10004, 10011}),
        (ErrorClass.QUOTA, {30007}),
        (ErrorClass.OWN_CLOCK, {80000}),
        (ErrorClass.PATH_BROKEN, {-2012, -3002, -3003, -3034, -3035, -3036, -3037}),
        (ErrorClass.GONE, {-1003, -1008, -1021, -1023, -2009, -4037}),
        (ErrorClass.RETRY, {1, 10015, 30006, 90000}),
        (ErrorClass.BUG, {-3, 80002}),
        (
            ErrorClass.CONFIGURATION,
            {10000, 10001, 10007, 20002, 30002, 30003, 30004, 30005, 30008, -2018, -3039, -3046},
        ),
    ],
)
def test_classes(error_class: ErrorClass, codes: set[int]) -> None:
    assert {row.code for row in ERROR_ROWS.values() if row.error_class is error_class} == codes


@pytest.mark.parametrize("row", ERROR_ROWS.values(), ids=lambda row: row.name)
def test_texts(row: object) -> None:
    error = refusal(row.code)  # type: ignore[attr-defined]
    assert str(error.errcode) in error.message
    assert error.row.meaning in error.message
    assert not error.row.meaning.endswith(".")
    assert error.hint.endswith(".")
    assert error.row.name.isidentifier()


def test_an_unknown_code_is_generic_and_may_pass() -> None:
    error = refusal(-987654)
    assert type(error) is CloudRefused
    assert (error.row.name, error.retryable) == ("unknown", True)
    assert "-987654" in error.message


@pytest.mark.parametrize(
    ("code", "retryable"),
    [(-3003, True), (10004, True), (80000, True), (-3007, False), (-3, False)],
)
def test_retryable_follows_the_class(code: int, retryable: bool) -> None:
    assert error_row(code).is_retryable is retryable
    assert refusal(code).retryable is retryable


def test_a_wrong_setting_is_a_class_of_its_own() -> None:
    assert isinstance(refusal(30008), CloudMisconfigured)
    assert not isinstance(refusal(-3002), CloudMisconfigured)

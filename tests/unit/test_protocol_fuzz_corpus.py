"""What the fuzzer once found interesting, without the fuzzer."""

import pytest

from fuzz.corpus import load
from fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_corpus_breaks_nothing(target: str) -> None:
    inputs = load(target)
    assert inputs
    for data in inputs:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_breaks_nothing(target: str) -> None:
    TARGETS[target](b"")

import os
from pathlib import Path

import pytest

from paribus.errors import ParibusError, RequestError, WorkError, nearest, shown


@pytest.mark.parametrize(
    ("given", "said"), [("swigl", "did you mean swiglu"), ("SWIGLU", "did you mean swiglu")]
)
def test_near_names_are_offered(given: str, said: str) -> None:
    assert said in nearest(given, ["relu", "swiglu"])


def test_near_names_in_capitals_are_offered_too() -> None:
    assert nearest("bf16", ["BF16", "I64"]) == "did you mean BF16?"


def test_without_a_near_name_all_are_listed() -> None:
    assert nearest("xyzzy", ["b", "a", "a"]) == "known: a, b"


def test_names_that_have_an_order_keep_it() -> None:
    assert nearest("x", ["512", "1024", "2048"], in_order=True) == "known: 512, 1024, 2048"


def test_a_wrong_request_exits_with_2_and_failed_work_with_1() -> None:
    assert (RequestError("x").exit_code, WorkError("x").exit_code, ParibusError("x").exit_code) == (2, 1, 1)


def test_a_path_is_shown_on_one_printable_line() -> None:
    strange = Path(os.fsdecode(b"a\nb\x1b[31m\xff"))
    assert shown(strange).isprintable()
    assert shown(Path("plain-世.txt")) == "plain-世.txt"


def test_a_long_name_is_cut() -> None:
    assert shown("x" * 10_000, at_most=20) == "x" * 19 + "…"
    assert shown("x" * 20, at_most=20) == "x" * 20

import pytest

from paribus.errors import ParibusError, RequestError, WorkError, nearest


@pytest.mark.parametrize(
    ("given", "said"), [("swigl", "did you mean swiglu"), ("SWIGLU", "did you mean swiglu")]
)
def test_near_names_are_offered(given: str, said: str) -> None:
    assert said in nearest(given, ["relu", "swiglu"])


def test_without_a_near_name_all_are_listed() -> None:
    assert nearest("xyzzy", ["b", "a", "a"]) == "known: a, b"


def test_names_that_have_an_order_keep_it() -> None:
    assert nearest("x", ["512", "1024", "2048"], in_order=True) == "known: 512, 1024, 2048"


def test_a_wrong_request_exits_with_2_and_failed_work_with_1() -> None:
    assert (RequestError("x").exit_code, WorkError("x").exit_code, ParibusError("x").exit_code) == (2, 1, 1)

"""A JSON object nobody vouches for is read whole or refused in one sentence."""

import math

import pytest

from paribus.files.json_object import MAX_DEPTH, json_object
from tests.families.files.checkpoints import refusal


def test_an_object_is_read() -> None:
    assert json_object(b' {"a": [1, -2, 1.5, null, true, "\xc3\xa4"]}\n', "x") == {
        "a": [1, -2, 1.5, None, True, "ä"]
    }


def test_a_key_given_twice_is_named() -> None:
    assert "x gives the key 'size' twice" in refusal(json_object, b'{"size": 1, "size": 1}', "x")


def test_a_key_given_twice_deep_inside_is_named() -> None:
    assert "x gives the key 'b' twice" in refusal(json_object, b'{"a": [{"b": 1, "c": 2, "b": 3}]}', "x")


def test_keys_that_are_spelled_differently_and_are_the_same_are_one_key() -> None:
    assert "twice" in refusal(json_object, b'{"a": 1, "\\u0061": 2}', "x")


def test_a_key_given_twice_does_not_flood_the_message() -> None:
    key = b"k" * 100_000
    assert "twice" in refusal(json_object, b'{"' + key + b'": 1, "' + key + b'": 2}', "x")


def test_nesting_up_to_the_bound_is_read() -> None:
    # The object itself is the first level.
    inner = MAX_DEPTH - 1
    assert json_object(b'{"a": ' + b"[" * inner + b"]" * inner + b"}", "x")


@pytest.mark.parametrize("depth", [MAX_DEPTH, 500, 100_000])
def test_deeper_nesting_is_refused(depth: int) -> None:
    assert f"x is nested more than {MAX_DEPTH} levels deep" in refusal(
        json_object, b'{"a": ' + b"[" * depth + b"]" * depth + b"}", "x"
    )


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_deeper_nesting_of_objects_is_refused(depth: int) -> None:
    assert f"x is nested more than {MAX_DEPTH} levels deep" in refusal(
        json_object, b'{"a": ' * depth + b"0" + b"}" * depth, "x"
    )


def test_nan_and_infinity_are_floats() -> None:
    read = json_object(b'{"a": NaN, "b": Infinity, "c": -Infinity}', "x")
    assert math.isnan(read["a"])
    assert (read["b"], read["c"]) == (math.inf, -math.inf)


def test_minus_zero_is_a_float() -> None:
    read = json_object(b'{"a": -0}', "x")["a"]
    assert isinstance(read, float)
    assert math.copysign(1, read) == -1


@pytest.mark.parametrize("digits", [101, 5_000, 1_000_000])
def test_a_number_of_very_many_digits_is_refused(digits: int) -> None:
    assert f"x has a number of {digits:,} digits" in refusal(
        json_object, b'{"a": ' + b"9" * digits + b"}", "x"
    )


def test_text_in_another_encoding_is_refused() -> None:
    assert "x is not UTF-8 text: byte 8 is wrong" in refusal(json_object, '{"name":ä}'.encode("latin-1"), "x")


def test_a_byte_order_mark_is_refused() -> None:
    assert "x begins with a byte order mark" in refusal(json_object, b"\xef\xbb\xbf{}", "x")


@pytest.mark.parametrize("raw", [b"", b" \n\t "])
def test_nothing_is_refused_as_empty(raw: bytes) -> None:
    assert "x is empty" in refusal(json_object, raw, "x")


@pytest.mark.parametrize("raw", [b"{", b'{"a', b'{"a": 1', b'{"a": [1,', b'{"a": "b', b'{"a": 1,\n'])
def test_a_truncated_object_breaks_off(raw: bytes) -> None:
    assert "x breaks off in the middle" in refusal(json_object, raw, "x")


def test_what_is_no_json_is_placed() -> None:
    said = refusal(json_object, b'{\n"a": b}', "x")
    assert "x is not JSON: " in said and "line 2, column 6" in said


def test_more_than_one_object_is_refused() -> None:
    assert "x is not JSON: extra data at line 1, column 4" in refusal(json_object, b"{} {}", "x")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"[]", "a list"),
        (b'"a"', "text"),
        (b"1", "a number"),
        (b"null", "null"),
        (b"true", "true"),
        (b"NaN", "a number"),
    ],
)
def test_what_is_no_object_is_named(raw: bytes, kind: str) -> None:
    assert f"x holds {kind} where a JSON object is expected" in refusal(json_object, raw, "x")


@pytest.mark.parametrize("raw", [rb'{"\ud800": 1}', rb'{"a": ["\udfff"]}'])
def test_half_a_surrogate_pair_is_refused(raw: bytes) -> None:
    assert "x holds half a surrogate pair" in refusal(json_object, raw, "x")


def test_a_whole_surrogate_pair_is_a_letter() -> None:
    assert json_object(rb'{"\ud83d\ude00": 1}', "x") == {"\N{GRINNING FACE}": 1}

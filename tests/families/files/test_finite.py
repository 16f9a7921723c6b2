"""NaN and infinity are found wherever they stand, in every format that has them, without a copy of the tensor."""

import math

import pytest
import torch

from paribus.families.files.finite import not_finite

from .checkpoints import peak_growth

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
EIGHT_BITS = [
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1_500_000, 2_999_999])
def test_one_bad_number_is_found_anywhere(dtype: torch.dtype, value: float, place: int) -> None:
    good, bad = torch.zeros(3_000_000, dtype=dtype), torch.zeros(3_000_000, dtype=dtype)
    bad[place] = value
    assert not_finite([("good", good), ("bad", bad)]) == ["bad"]


@pytest.mark.parametrize("dtype", EIGHT_BITS)
def test_nan_is_found_in_eight_bits(dtype: torch.dtype) -> None:
    numbers = torch.full((5,), 0.5).to(dtype)
    assert not_finite([("good", numbers)]) == []
    numbers[3:4] = torch.tensor([math.nan]).to(dtype)
    assert not_finite([("bad", numbers)]) == ["bad"]


def test_infinity_is_found_in_eight_bits() -> None:
    assert not_finite([("bad", torch.tensor([1.0, math.inf]).to(torch.float8_e5m2))]) == ["bad"]


@pytest.mark.parametrize("value", [complex(0, math.nan), complex(math.inf, 0)])
def test_nan_is_found_in_complex_numbers(value: complex) -> None:
    assert not_finite(
        [("good", torch.ones(3, dtype=torch.complex64)), ("bad", torch.tensor([0, value]))]
    ) == ["bad"]


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint16, torch.bool, torch.float4_e2m1fn_x2])
def test_formats_without_nan_are_finite(dtype: torch.dtype) -> None:
    assert not_finite([("a", torch.full((8,), 0xFF, dtype=torch.uint8).view(dtype))]) == []


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_numbers_are_finite(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    assert not_finite([("a", torch.tensor([largest, -largest], dtype=dtype))]) == []


def test_an_empty_tensor_is_finite() -> None:
    assert not_finite([("a", torch.zeros(0, 3)), ("b", torch.zeros(3, 0).T)]) == []


@pytest.mark.parametrize("place", [(1_999, 1_499), (700, 3)])
def test_a_tensor_that_lies_in_another_order_is_searched_whole(place: tuple[int, int]) -> None:
    numbers = torch.zeros(1_500, 2_000).T
    assert not_finite([("a", numbers)]) == []
    numbers[place] = math.nan
    assert not_finite([("a", numbers), ("b", numbers[::100, ::3])]) == ["a"] + ["b"] * (place == (700, 3))


def test_parameters_are_searched_without_a_graph() -> None:
    assert not_finite([("a", torch.nn.Parameter(torch.tensor([math.nan])))]) == ["a"]


BEFORE = """
import torch
from paribus.families.files.finite import not_finite
torch.set_num_threads(1)
large = [torch.ones(2**25), torch.ones(2**26, dtype=torch.uint8).view(torch.float8_e5m2), torch.ones(2**13, 2**12).T]
not_finite([("a", numbers[:9]) for numbers in large])
"""


def test_no_copy_of_a_tensor_is_made() -> None:
    searched = "assert not_finite((str(numbers.dtype), numbers) for numbers in large) == []"
    assert peak_growth(BEFORE, searched) < 2**24

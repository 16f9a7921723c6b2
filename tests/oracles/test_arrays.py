"""The size of one rounding."""

import numpy as np
import pytest

from paribus.oracles import round_once_slack, under


@pytest.mark.parametrize(
    ("exact", "bits", "half_place"), [(1.0, 8, 2**-8), (1.99, 8, 2**-8), (3.0, 24, 2**-23)]
)
def test_one_rounding_costs_half_a_place(exact: float, bits: int, half_place: float) -> None:
    assert round_once_slack(np.array([exact]), bits)[0] == half_place


def test_weights_under_a_prefix_lose_it_and_others_are_left_out() -> None:
    one = np.ones(1)
    assert under({"a.b": one, "ab.b": one, "b.a.b": one}, "a.") == {"b": one}

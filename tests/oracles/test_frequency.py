"""Scalings of RoPE against computed ratios, and the properties that they were made for."""

import numpy as np
import pytest

from paribus.oracles import Array, frequencies

D = 128


def ratios(name: str, *, base: float = 10000.0, **options: object) -> Array:
    """theta' / theta of each pair."""
    sizes = {"length": 0, "original_length": 4096, **options}
    plain, _ = frequencies("rope", D, base=base, length=0, original_length=4096)
    return frequencies(name, D, base=base, **sizes)[0] / plain


def test_the_slowest_period_is_as_computed() -> None:
    theta, factor = frequencies("rope", D, length=0, original_length=1)
    assert 2 * np.pi / theta[-1] == pytest.approx(54410, abs=0.6)
    assert (theta[0], factor) == (1, 1)


def test_linear_divides_all_alike() -> None:
    np.testing.assert_allclose(ratios("rope_linear", factor=4.0), 0.25, rtol=1e-15)


def test_ntk_keeps_the_fastest_and_divides_the_slowest_by_the_factor() -> None:
    found = ratios("rope_ntk", factor=4.0)
    assert found[0] == 1 and found[-1] == pytest.approx(1 / 4, rel=1e-13)
    raised, _ = frequencies("rope", D, base=40889.9424, length=0, original_length=1)
    np.testing.assert_allclose(
        found * frequencies("rope", D, length=0, original_length=1)[0], raised, rtol=1e-8
    )


def test_dynamic_ntk_starts_past_the_original_length_and_grows_with_the_sequence() -> None:
    for length in (1, 4095, 4096):
        np.testing.assert_array_equal(ratios("rope_dynamic", factor=2.0, length=length), 1)
    assert ratios("rope_dynamic", factor=2.0, length=4097)[-1] < 1
    # At n = 2L the stretch is s n / L - (s - 1) = s + 1.
    np.testing.assert_allclose(
        ratios("rope_dynamic", factor=2.0, length=8192), ratios("rope_ntk", factor=3.0), rtol=1e-13
    )


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("rope_yarn_paper", [0.65569, 0.22940, 0.09460, 0.06262]),
        ("rope_yarn", [0.85577, 0.56731, 0.27885, 0.09856]),
    ],
)
def test_yarn_of_the_paper_and_of_the_code_differ_as_computed(name: str, published: list[float]) -> None:
    found = ratios(name, factor=16.0)
    np.testing.assert_allclose(found[[24, 32, 40, 45]], published, atol=6e-6)
    _, factor = frequencies(name, D, length=0, original_length=4096, factor=16.0)
    assert factor == pytest.approx(1.2772589, abs=6e-8)


def test_yarn_of_the_code_ramps_between_rounded_pairs_unless_told_not_to() -> None:
    found = ratios("rope_yarn", factor=16.0)
    assert (found[:21] == 1).all() and found[21] < 1
    np.testing.assert_allclose(found[46:], 1 / 16, rtol=1e-14)
    assert found[45] > 1 / 16 + 1e-3
    whole = ratios("rope_yarn", factor=16.0, truncate=False)
    # lo = 20.94, hi = 45.03: unrounded the ramp is steeper.
    assert whole[21] > found[21] and whole[45] < found[45]


@pytest.mark.parametrize("name", ["rope_yarn", "rope_yarn_paper", "rope_longrope"])
def test_a_factor_of_one_changes_nothing(name: str) -> None:
    np.testing.assert_allclose(ratios(name, factor=1.0), 1, rtol=1e-15)
    assert frequencies(name, D, length=0, original_length=4096, factor=1.0)[1] == 1


def test_llama_3_has_the_computed_ratios() -> None:
    found = ratios("rope_llama3", base=5e5, factor=8.0, original_length=8192)
    published = [0.828168, 0.643743, 0.493507, 0.371122, 0.271425, 0.190211]
    np.testing.assert_allclose(found[29:35], published, atol=6e-7)
    np.testing.assert_allclose(found[35:], 1 / 8, rtol=1e-14)
    assert (found[:29] == 1).all()


def test_llama_3_is_the_papers_yarn_without_its_temperature() -> None:
    sizes = {"length": 0, "original_length": 8192, "factor": 8.0, "base": 5e5}
    llama, factor = frequencies("rope_llama3", D, **sizes)
    np.testing.assert_array_equal(llama, frequencies("rope_yarn_paper", D, slow=1, fast=4, **sizes)[0])
    assert factor == 1


def test_longrope_takes_the_long_factors_past_the_original_length_and_scales_attention() -> None:
    factors = {"short_factor": [2.0] * (D // 2), "long_factor": [5.0] * (D // 2), "factor": 32.0}
    np.testing.assert_allclose(ratios("rope_longrope", length=4096, **factors), 1 / 2, rtol=1e-15)
    np.testing.assert_allclose(ratios("rope_longrope", length=4097, **factors), 1 / 5, rtol=1e-15)
    _, factor = frequencies("rope_longrope", D, length=0, original_length=4096, factor=32.0)
    assert factor == pytest.approx(1.1902380714, abs=6e-11)


def test_an_unknown_scaling_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="rope_none"):
        frequencies("rope_none", D, length=0, original_length=1)


@pytest.mark.parametrize("name", ["rope_yarn", "rope_yarn_paper", "rope_longrope"])
def test_a_given_attention_factor_takes_the_place_of_the_formula(name: str) -> None:
    sizes = {"length": 0, "original_length": 4096, "factor": 16.0}
    theta, factor = frequencies(name, D, **sizes, attention_factor=1.0)
    assert factor == 1
    np.testing.assert_array_equal(theta, frequencies(name, D, **sizes)[0])

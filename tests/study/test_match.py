from typing import Any

import pytest

from paribus import registry
from paribus.errors import RequestError
from paribus.study.match import Match, match_width


def _matched(name: str, budget: int, *, d_model: int, **options: Any) -> Match:
    """One layer of this name by itself."""
    card = registry.get("ffn", name)
    return match_width(
        lambda d_ff: card.num_params(d_model=d_model, d_ff=d_ff, **options), budget=budget, name=name
    )


@pytest.mark.parametrize("d_model", [96, 192, 768])
@pytest.mark.parametrize(
    "name", sorted(name for name in registry.catalog()["ffn"] if not name.startswith("self_gate"))
)
def test_every_ffn_matches_a_two_matrix_layer_within_half_a_percent(name: str, d_model: int) -> None:
    budget = 8 * d_model**2
    match = _matched(name, budget, d_model=d_model)
    built = registry.get("ffn", name).build(d_model=d_model, d_ff=match.d_ff)
    counted = sum(parameter.numel() for parameter in built.parameters())
    assert counted == match.params
    assert abs(counted / budget - 1) <= 0.005
    assert match.mismatch == counted / budget - 1


@pytest.mark.parametrize(("d_model", "width"), [(96, 256), (192, 512), (768, 2048)])
def test_default_widths_are_exact_for_gated_layers(d_model: int, width: int) -> None:
    match = _matched("swiglu", 8 * d_model**2, d_model=d_model)
    assert (match.d_ff, match.mismatch) == (width, 0.0)


def test_the_nearest_width_is_taken_also_from_above() -> None:
    # 3 * 10 * d_ff against 20 * 100 = 2000: 67 gives 2010 (+0.5 %), 66 gives 1980 (-1 %)
    assert _matched("glu", 2000, d_model=10).d_ff == 67


def test_biases_count() -> None:
    # up 96 f + f, down 96 f + 96: a width of 382 is the nearest to the layer without biases
    match = _matched("relu", 2 * 96 * 384, d_model=96, bias=True)
    assert match.params == 96 * match.d_ff * 2 + match.d_ff + 96
    assert match.d_ff == 382


def test_what_cannot_be_matched_is_refused_with_the_nearest_width() -> None:
    with pytest.raises(
        RequestError, match=r"'swiglu' cannot be matched to 32 parameters.*nearest width, 3, has 36"
    ):
        _matched("swiglu", 32, d_model=4)


def test_a_layer_without_a_width_matches_its_own_size_and_no_other() -> None:
    assert _matched("self_gate_sigmoid", 96 * 96, d_model=96).params == 96 * 96
    with pytest.raises(RequestError, match=r"has 9,216 parameters whatever d_ff is.*73,728.*model\.d_ff"):
        _matched("self_gate_sigmoid", 8 * 96 * 96, d_model=96)

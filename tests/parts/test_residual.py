"""Every registered residual placement against its written-out expression."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus import oracles, registry
from paribus.parts.init import Role
from paribus.parts.norm.layernorm import LayerNorm

from .comparison import draw, tokens, weights_of

RESIDUALS = tuple(registry.catalog()["residual"])
ALL = pytest.mark.parametrize("name", RESIDUALS)
SUBLAYERS = ("attention", "ffn")


def build(name: str, *, num_layers: int = 3, sublayers: tuple[str, ...] = SUBLAYERS) -> nn.Module:
    residual = registry.get("residual", name).build(
        sublayers=sublayers, num_layers=num_layers, norm=lambda: LayerNorm(d_model=5)
    )
    return draw(residual.double())


def maps(seed: int = 3) -> dict[str, oracles.Array]:
    return {n: m.detach().numpy() for n, m in zip(SUBLAYERS, tokens(2, 5, 5, seed=seed), strict=True)}


def as_sublayers(matrices: dict[str, oracles.Array]) -> dict[str, Callable[[Tensor], Tensor]]:
    def of(matrix: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.tanh(x @ matrix)

    return {name: of(torch.from_numpy(matrix)) for name, matrix in matrices.items()}


def test_every_registered_placement_has_an_oracle() -> None:
    assert set(RESIDUALS) <= set(oracles.RESIDUAL), "write the new placement in src/paribus/oracles"


@ALL
def test_block_equals_the_written_out_expression(name: str) -> None:
    residual, matrices = build(name), maps()
    x = tokens(2, 3, 5)
    expected, w = x.detach().numpy(), weights_of(residual)
    assert set(w) == {f"norms.{s}.{p}" for s in SUBLAYERS for p in ("weight", "bias")}
    for sublayer in SUBLAYERS:
        norm = {p: w[f"norms.{sublayer}.{p}"] for p in ("weight", "bias")}
        expected = oracles.RESIDUAL[name](
            lambda x, norm=norm: oracles.layernorm(norm, x),
            lambda x, m=matrices[sublayer]: np.tanh(x @ m),
            expected,
        )
    actual = residual(x, as_sublayers(matrices))
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@ALL
def test_the_other_expression_is_told_apart(name: str) -> None:
    x, sublayers = tokens(2, 3, 5), as_sublayers(maps())
    outputs = [build(other)(x, sublayers) for other in RESIDUALS if other != name]
    assert not any(torch.allclose(build(name)(x, sublayers), output, rtol=1e-3) for output in outputs)


@ALL
def test_a_block_of_one_sublayer_has_one_norm(name: str) -> None:
    residual = build(name, sublayers=("ffn",))
    assert {n for n, _ in residual.named_parameters()} == {"norms.ffn.weight", "norms.ffn.bias"}
    assert residual(tokens(2, 5), {"ffn": torch.tanh}).shape == (2, 5)


@ALL
def test_gradients_reach_input_and_every_norm(name: str) -> None:
    residual, x = build(name), tokens(2, 3, 5)
    inputs = (x, *residual.parameters())
    sublayers = as_sublayers(maps())
    assert torch.autograd.gradcheck(lambda x, *_: residual(x, sublayers), inputs)


@ALL
def test_final_norm_is_there_exactly_where_the_stream_is_not_normalised(name: str) -> None:
    assert build(name).final_norm is oracles.FINAL_NORM[name]


@pytest.mark.parametrize("num_layers", [1, 2, 12])
def test_pre_norm_shrinks_only_what_writes_to_the_stream(num_layers: int) -> None:
    residual = build("pre", num_layers=num_layers)
    for kind in ("embedding", "head", "input", "output", "gain", "bias"):
        expected = (2 * num_layers) ** -0.5 if kind == "output" else 1.0
        assert residual.gain(Role(kind=kind, fan_in=3, fan_out=3)) == pytest.approx(expected, rel=1e-12)


def test_pre_norm_counts_the_sublayers_and_not_twice_the_layers() -> None:
    residual = build("pre", num_layers=4, sublayers=("ffn",))
    assert residual.gain(Role(kind="output", fan_in=3, fan_out=3)) == pytest.approx(0.5, rel=1e-12)


def test_post_norm_leaves_every_draw_alone() -> None:
    residual = build("post")
    for kind in ("embedding", "head", "input", "output", "gain", "bias"):
        assert residual.gain(Role(kind=kind, fan_in=3, fan_out=3)) == 1.0

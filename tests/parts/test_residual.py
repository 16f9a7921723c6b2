"""Every registered residual placement against its written-out expression."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.parts.init import Role
from paribus.parts.norm.layernorm import LayerNorm
from paribus.parts.residual.base import Depth, Residual, Sublayer
from paribus.parts.residual.deepnorm import DeepNorm, deepnorm_constants

from .comparison import draw, tokens, weights_of

RESIDUALS = tuple(registry.catalog()["residual"])
ALL = pytest.mark.parametrize("name", RESIDUALS)
SUBLAYERS = ("attention", "ffn")
CROSSING = ("attention", "cross_attention", "ffn")

KINDS = ("embedding", "head", "input", "query", "key", "output")
STACKS = [("decoder", 0, 3), ("encoder", 4, 0), ("encoder", 4, 3), ("decoder", 4, 3)]


def build(
    name: str,
    *,
    num_layers: int = 3,
    sublayers: tuple[str, ...] = SUBLAYERS,
    stack: tuple[str, int, int] | None = None,
) -> Residual:
    where, encoder, decoder = stack or ("decoder", 0, num_layers)
    depth = Depth(stack=where, encoder_layers=encoder, decoder_layers=decoder)
    residual = registry.get("residual", name).build(
        sublayers=sublayers, depth=depth, norm=lambda: LayerNorm(d_model=5)
    )
    assert isinstance(residual, Residual)
    draw(residual.double())
    return residual


def maps(sublayers: tuple[str, ...] = SUBLAYERS) -> dict[str, oracles.Array]:
    drawn = tokens(len(sublayers), 5, 5, seed=3).detach().numpy()
    return dict(zip(sublayers, drawn, strict=True))


def as_sublayers(matrices: dict[str, oracles.Array]) -> dict[str, Callable[[Tensor], Tensor]]:
    def of(matrix: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.tanh(x @ matrix)

    return {name: of(torch.from_numpy(matrix)) for name, matrix in matrices.items()}


def test_every_registered_placement_has_an_oracle() -> None:
    assert set(RESIDUALS) <= set(oracles.FINAL_NORM), "write the new placement in src/paribus/oracles"


def assert_block(
    residual: Residual, name: str, stack: tuple[str, int, int], sublayers: tuple[str, ...] = SUBLAYERS
) -> None:
    matrices, x = maps(sublayers), tokens(2, 3, 5)
    expected = oracles.placement(
        name,
        weights_of(residual),
        x.detach().numpy(),
        {sublayer: lambda x, m=m: np.tanh(x @ m) for sublayer, m in matrices.items()},
        oracles.layernorm,
        stack=stack[0],
        encoder_layers=stack[1],
        decoder_layers=stack[2],
    )
    actual = residual(x, as_sublayers(matrices))
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@ALL
@pytest.mark.parametrize("stack", STACKS)
def test_block_equals_the_written_out_expression(name: str, stack: tuple[str, int, int]) -> None:
    assert_block(build(name, stack=stack), name, stack)


@pytest.mark.parametrize("name", [name for name in RESIDUALS if not name.startswith("parallel")])
def test_block_with_cross_attention_does_too(name: str) -> None:
    stack = ("decoder", 4, 3)
    assert_block(build(name, sublayers=CROSSING, stack=stack), name, stack, CROSSING)


#: (placement, its sublayers in order, x) -> another expression that could be mistaken for it.
MUTANTS = {
    "post: the norm is that of the next sublayer": lambda r, f, x: fold(x, f, lambda x, n, g: other(r, n)(x + g(x))),
    "pre: the normed copy is the stream too": lambda r, f, x: fold(x, f, lambda x, n, g: (y := r.norms[n](x)) + g(y)),
    "pre: the norm stands on the other branch": lambda r, f, x: fold(x, f, lambda x, n, g: r.norms[n](x) + g(x)),
    "sandwich: norms in the other order":
        lambda r, f, x: fold(x, f, lambda x, n, g: x + r.norms[n](g(r.output_norms[n](x)))),
    "sandwich: norm of the sum":
        lambda r, f, x: fold(x, f, lambda x, n, g: r.output_norms[n](x + g(r.norms[n](x)))),
    "sandwich: one norm twice": lambda r, f, x: fold(x, f, lambda x, n, g: x + r.norms[n](g(r.norms[n](x)))),
    "peri: without the output norm": lambda r, f, x: fold(x, f, lambda x, n, g: x + g(r.norms[n](x))),
    "post_sublayer: the sublayer reads a norm": lambda r, f, x: fold(x, f, lambda x, n, g: x + g(r.norms[n](x))),
    "post_sublayer: norm of the sum": lambda r, f, x: fold(x, f, lambda x, n, g: r.norms[n](x + g(x))),
    "deepnorm: alpha is 1": lambda r, f, x: fold(x, f, lambda x, n, g: r.norms[n](x + g(x))),
    "deepnorm: alpha times what is written":
        lambda r, f, x: fold(x, f, lambda x, n, g: r.norms[n](x + r.alpha * g(x))),
    "deepnorm: alpha times the sum": lambda r, f, x: fold(x, f, lambda x, n, g: r.norms[n](r.alpha * (x + g(x)))),
    "deepnorm: alpha outside": lambda r, f, x: fold(x, f, lambda x, n, g: r.alpha * x + r.norms[n](g(x))),
    "parallel: in a row": lambda r, f, x: fold(x, f, lambda x, n, g: x + g(r.norms["shared"](x))),
    "parallel: the stream is the norm": lambda r, f, x: (y := r.norms["shared"](x)) + sum(g(y) for g in f.values()),
    "parallel: x each": lambda r, f, x: sum(x + g(r.norms["shared"](x)) for g in f.values()),
    "parallel_separate: in a row": lambda r, f, x: fold(x, f, lambda x, n, g: x + g(r.norms[n](x))),
    "parallel_separate: one norm": lambda r, f, x: x + sum(g(r.norms["ffn"](x)) for g in f.values()),
    "rezero: no scale": lambda r, f, x: fold(x, f, lambda x, n, g: x + g(x)),
    "rezero: the stream is scaled": lambda r, f, x: fold(x, f, lambda x, n, g: r.scales[n] * x + g(x)),
    "rezero: one scale": lambda r, f, x: fold(x, f, lambda x, n, g: x + r.scales["ffn"] * g(x)),
}  # fmt: skip


def fold(
    x: Tensor, sublayers: Mapping[str, Sublayer], step: Callable[[Tensor, str, Sublayer], Tensor]
) -> Tensor:
    for name, sublayer in sublayers.items():
        x = step(x, name, sublayer)
    return x


def other(residual: Residual, name: str) -> nn.Module:
    return residual.norms["ffn" if name == "attention" else "attention"]


def test_every_placement_has_a_mutant() -> None:
    assert {mutant.split(":")[0] for mutant in MUTANTS} == set(RESIDUALS)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_dies(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, stack = mutant.split(":")[0], ("decoder", 0, 3)
    residual = build(name, stack=stack)
    monkeypatch.setattr(residual, "forward", lambda x, f: MUTANTS[mutant](residual, f, x))
    with pytest.raises(AssertionError):
        assert_block(residual, name, stack)


#: Names of the norms and scales of a block with attention and a feed-forward layer.
OWNED = {
    "post": {"norms.attention", "norms.ffn"},
    "pre": {"norms.attention", "norms.ffn"},
    "sandwich": {"norms.attention", "norms.ffn", "output_norms.attention", "output_norms.ffn"},
    "peri": {"norms.attention", "norms.ffn", "output_norms.attention", "output_norms.ffn"},
    "post_sublayer": {"norms.attention", "norms.ffn"},
    "deepnorm": {"norms.attention", "norms.ffn"},
    "parallel": {"norms.shared"},
    "parallel_separate": {"norms.attention", "norms.ffn"},
    "rezero": {"scales.attention", "scales.ffn"},
}


@ALL
def test_placement_owns_its_norms_and_scales_and_nothing_else(name: str) -> None:
    owned = {n.removesuffix(".weight").removesuffix(".bias") for n, _ in build(name).named_parameters()}
    assert owned == OWNED[name]


@ALL
def test_the_other_expression_is_told_apart(name: str) -> None:
    x, sublayers = tokens(2, 3, 5), as_sublayers(maps())
    same = {name, *({"sandwich", "peri"} if name in ("sandwich", "peri") else ())}  # they differ at both ends
    outputs = [build(other)(x, sublayers) for other in RESIDUALS if other not in same]
    assert not any(torch.allclose(build(name)(x, sublayers), output, rtol=1e-3) for output in outputs)


@ALL
def test_a_block_of_one_sublayer_runs(name: str) -> None:
    residual = build(name, sublayers=("ffn",))
    assert not any("attention" in n for n, _ in residual.named_parameters())
    assert residual(tokens(2, 5), {"ffn": torch.tanh}).shape == (2, 5)


@ALL
def test_first_and_second_derivatives_are_the_numerical_ones(name: str) -> None:
    residual, x = build(name), tokens(2, 3, 5)
    inputs = (x, *residual.parameters())
    sublayers = as_sublayers(maps())
    assert torch.autograd.gradcheck(lambda x, *_: residual(x, sublayers), inputs)
    small = (tokens(1, 1, 5), *residual.parameters())
    assert torch.autograd.gradgradcheck(lambda x, *_: residual(x, sublayers), small)


@ALL
def test_norms_at_the_ends_are_those_that_the_placement_needs(name: str) -> None:
    assert build(name).final_norm is oracles.FINAL_NORM[name]
    assert build(name).embedding_norm is oracles.EMBEDDING_NORM[name]


def gains(residual: Residual) -> dict[str, float]:
    return {kind: residual.gain(Role(kind=kind, fan_in=3, fan_out=3)) for kind in KINDS}


@pytest.mark.parametrize("name", ["pre", "parallel", "parallel_separate"])
@pytest.mark.parametrize("num_layers", [1, 2, 12])
def test_a_stream_that_only_grows_shrinks_what_writes_to_it(name: str, num_layers: int) -> None:
    expected = {kind: (2 * num_layers) ** -0.5 if kind == "output" else 1.0 for kind in KINDS}
    assert gains(build(name, num_layers=num_layers)) == pytest.approx(expected, rel=1e-12)


def test_pre_norm_counts_the_sublayers_and_not_twice_the_layers() -> None:
    assert gains(build("pre", num_layers=4, sublayers=("ffn",)))["output"] == pytest.approx(0.5, rel=1e-12)
    crossing = build("pre", sublayers=CROSSING, stack=("decoder", 2, 3))
    assert gains(crossing)["output"] == pytest.approx(1 / 3, rel=1e-12)


@pytest.mark.parametrize("name", ["post", "sandwich", "peri", "post_sublayer", "rezero"])
def test_other_placements_leave_every_draw_alone(name: str) -> None:
    assert set(gains(build(name)).values()) == {1.0}


@pytest.mark.parametrize("stack", STACKS)
def test_deepnorm_scales_what_the_paper_says(stack: tuple[str, int, int]) -> None:
    residual = build("deepnorm", stack=stack)
    alpha, beta = oracles.deepnorm_constants(*stack)
    assert isinstance(residual, DeepNorm) and residual.alpha == pytest.approx(alpha, rel=1e-12)
    expected = {kind: beta if kind in ("input", "output") else 1.0 for kind in KINDS}
    assert gains(residual) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("layers", "alpha", "beta"),
    [(12, 2.2133638, 0.3194716), (100, 3.7606031, 0.1880302), (1000, 6.6874030, 0.1057371)],
)
def test_deepnorm_constants_are_the_published_ones(layers: int, alpha: float, beta: float) -> None:
    depth = Depth(stack="decoder", encoder_layers=0, decoder_layers=layers)
    assert deepnorm_constants(depth) == pytest.approx((alpha, beta), abs=1e-7)


#: The kind of each matrix that the oracle of gains knows by name.
MATRICES = {"q": "query", "k": "key", "v": "input", "gate": "input", "value": "input", "up": "input",
            "o": "output", "down": "output"}  # fmt: skip
DEPTHS = [
    *STACKS,
    ("decoder", 0, 1),
    ("encoder", 1, 0),
    ("encoder", 1, 24),
    ("decoder", 24, 1),
    ("decoder", 0, 1000),
]


@pytest.mark.parametrize("name", oracles.GAIN)
@pytest.mark.parametrize("stack", DEPTHS)
def test_gain_of_every_matrix_is_that_of_the_paper(name: str, stack: tuple[str, int, int]) -> None:
    crosses = stack[0] == "decoder" and stack[1] > 0
    given = gains(build(name, sublayers=CROSSING if crosses else SUBLAYERS, stack=stack))
    for matrix, kind in MATRICES.items():
        expected = oracles.GAIN[name](
            matrix, stack=stack[0], encoder_layers=stack[1], decoder_layers=stack[2]
        )
        assert given[kind] == pytest.approx(expected, rel=1e-12), matrix


@pytest.mark.parametrize("name", ["parallel", "parallel_separate"])
def test_parallel_placements_refuse_cross_attention_with_the_reason(name: str) -> None:
    with pytest.raises(RequestError, match="one attention and one feed-forward .* cross-attention too"):
        build(name, sublayers=CROSSING)


def test_rezero_starts_as_the_identity() -> None:
    depth = Depth(stack="decoder", encoder_layers=0, decoder_layers=2)
    residual = registry.get("residual", "rezero").build(sublayers=SUBLAYERS, depth=depth, norm=nn.Identity)
    x = tokens(2, 5).detach()
    assert torch.equal(residual(x, {"attention": torch.tanh, "ffn": torch.tanh}), x)

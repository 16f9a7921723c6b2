"""Every registered norm: formula, torch's own modules, one rounding, derivatives."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paribus import oracles, registry

from .comparison import draw, tokens, weights_of

NORMS = tuple(registry.catalog()["norm"])
ALL = pytest.mark.parametrize("name", NORMS)


def build(name: str, d_model: int = 5, **options: float) -> nn.Module:
    return draw(registry.get("norm", name).build(d_model=d_model, **options).double())


def assert_norm(norm: nn.Module, name: str, **options: float) -> None:
    """Small and large inputs, with a mean: where eps stands and whether a mean is taken both show."""
    for scale in (1e-3, 1.0, 1e3):
        x = tokens(4, 5).detach() * scale + scale
        expected = oracles.NORM[name](weights_of(norm), x.numpy(), **options)
        np.testing.assert_allclose(norm(x).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_every_registered_norm_has_an_oracle() -> None:
    assert set(NORMS) <= set(oracles.NORM), "write the new norm's formula in src/paribus/oracles"


@ALL
@pytest.mark.parametrize("options", [{}, {"eps": 0.1}])
def test_norm_equals_the_paper(name: str, options: dict[str, float]) -> None:
    assert_norm(build(name, **options), name, **options)


def test_norm_starts_without_effect_of_its_own() -> None:
    for name in NORMS:
        norm = registry.get("norm", name).build(d_model=3)
        expected = {"weight": torch.ones(3)} | ({"bias": torch.zeros(3)} if name == "layernorm" else {})
        assert {n: p.tolist() for n, p in norm.named_parameters()} == {
            n: p.tolist() for n, p in expected.items()
        }


def test_layernorm_without_bias_has_none() -> None:
    norm = draw(registry.get("norm", "layernorm").build(d_model=5, bias=False).double())
    assert [n for n, _ in norm.named_parameters()] == ["weight"]
    assert_norm(norm, "layernorm")


MUTANTS = {
    "layernorm: unbiased variance": lambda x, w, b: (x - x.mean(-1, True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt() * w + b,
    "layernorm: eps outside the root": lambda x, w, b: (x - x.mean(-1, True)) / (x.std(-1, False, keepdim=True) + 1e-5) * w + b,
    "layernorm: eps of RMSNorm": lambda x, w, b: F.layer_norm(x, (5,), w, b, eps=1e-6),
    "layernorm: no mean taken": lambda x, w, b: F.rms_norm(x, (5,), w, eps=1e-5) + b,
    "rmsnorm: mean taken": lambda x, w: F.layer_norm(x, (5,), w, eps=1e-6),
    "rmsnorm: gain of 1 + g": lambda x, w: F.rms_norm(x, (5,), 1 + w, eps=1e-6),
    "rmsnorm: eps of LayerNorm": lambda x, w: F.rms_norm(x, (5,), w, eps=1e-5),
    "rmsnorm: sum for mean": lambda x, w: x / (x.square().sum(-1, True) + 1e-6).sqrt() * w,
    "rmsnorm: eps outside the root": lambda x, w: x / (x.square().mean(-1, True).sqrt() + 1e-6) * w,
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_dies(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = mutant.split(":")[0]
    norm = build(name)
    monkeypatch.setattr(norm, "forward", lambda x: MUTANTS[mutant](x, *norm.parameters()))
    with pytest.raises(AssertionError):
        assert_norm(norm, name)


def test_norms_equal_those_of_torch() -> None:
    x = tokens(4, 5)
    ours = build("layernorm")
    theirs = F.layer_norm(x, (5,), ours.weight, ours.bias)
    torch.testing.assert_close(ours(x), theirs, rtol=1e-12, atol=1e-12)
    ours, peer = build("rmsnorm"), nn.RMSNorm(5, eps=1e-6, dtype=torch.float64)
    peer.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), peer(x), rtol=1e-12, atol=1e-12)


@ALL
@pytest.mark.parametrize(("dtype", "bits", "places"), [(torch.bfloat16, 8, 1.01), (torch.float32, 24, 8)])
def test_low_precision_input_costs_one_rounding(
    name: str, dtype: torch.dtype, bits: int, places: float
) -> None:
    norm = build(name, d_model=64).float()
    x = tokens(64, 64, dtype=dtype)
    y = norm(x)
    exact = oracles.NORM[name](weights_of(norm), x.detach().double().numpy())
    assert y.dtype == dtype
    slack = places * oracles.round_once_slack(exact, bits) + 2e-6  # a sum near zero keeps float32's errors
    assert (np.abs(y.detach().double().numpy() - exact) <= slack).all()


@ALL
def test_large_bf16_input_does_not_overflow(name: str) -> None:
    norm = build(name).float()
    assert norm(torch.tensor([[3e19, -2e19, 1e19, 0.0, 5e18]]).bfloat16() / 1e3).isfinite().all()


@ALL
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5), (2, 1, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_shape_and_dtype_are_those_of_the_input(
    name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    norm, x = build(name).float(), tokens(*shape, dtype=dtype)
    y = norm(x)
    y.sum().backward()
    assert x.grad is not None and (y.shape, y.dtype) == (x.grad.shape, x.grad.dtype) == (shape, dtype)
    assert {p.grad.dtype for p in norm.parameters() if p.grad is not None} == {torch.float32}


@ALL
def test_first_and_second_derivatives_are_the_numerical_ones(name: str) -> None:
    norm = build(name, d_model=3)
    inputs = (tokens(2, 3), *norm.parameters())

    def run(x: Tensor, *_: Tensor) -> Tensor:
        return norm(x)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@ALL
def test_strided_input_and_zero_row(name: str) -> None:
    norm, x = build(name), tokens(5, 4).detach()
    torch.testing.assert_close(norm(x.T), norm(x.T.contiguous()), rtol=1e-13, atol=1e-13)
    assert norm(torch.zeros(1, 5, dtype=torch.float64)).isfinite().all()


@ALL
def test_counts_are_those_of_the_gain_and_bias(name: str) -> None:
    card = registry.get("norm", name)
    assert card.num_params(d_model=5) == {"layernorm": 10, "rmsnorm": 5}[name]
    assert card.flops(d_model=5) == 0

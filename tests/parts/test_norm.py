"""Every registered norm: formula, torch's own modules, one rounding, derivatives."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

from paribus import oracles, registry
from paribus.errors import RequestError

from .comparison import draw, tokens, weights_of

NORMS = tuple(registry.catalog()["norm"])
ALL = pytest.mark.parametrize("name", NORMS)


#: Options that a norm takes, beside none.
OPTIONS: list[tuple[str, dict[str, float]]] = [
    *((name, {}) for name in NORMS),
    *((name, {"eps": 0.1}) for name in NORMS if "eps" in registry.get("norm", name).allowed_options()),
    ("rmsnorm", {"fraction": 0.5}),
    ("rmsnorm", {"offset": True}),
    ("rmsnorm", {"fraction": 0.3, "offset": True, "eps": 0.2}),
    ("layernorm", {"offset": True}),
    ("layernorm", {"gain": False}),
    ("layernorm", {"gain": False, "bias": False}),
    *((name, {"groups": 5}) for name in ("layernorm", "rmsnorm", "layernorm_offset")),
]
#: Numbers of parameters at d_model 5.
PARAMETERS = {
    "layernorm": 10, "layernorm_offset": 10, "rmsnorm": 5, "rmsnorm_offset": 5, "prmsnorm": 5, "batchnorm": 10, "dyt": 11,
    "scalenorm": 1, "none": 0,
}  # fmt: skip
#: What the parameters of a fresh norm hold.
STARTS = {
    "layernorm": {"weight": 1.0, "bias": 0.0},
    "layernorm_offset": {"weight": 0.0, "bias": 0.0},
    "rmsnorm": {"weight": 1.0},
    "rmsnorm_offset": {"weight": 0.0},
    "prmsnorm": {"weight": 1.0},
    "batchnorm": {"weight": 1.0, "bias": 0.0},
    "dyt": {"alpha": 0.5, "weight": 1.0, "bias": 0.0},
    "scalenorm": {"weight": 3.0**0.5},
    "none": {},
}


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


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_norm_equals_the_paper(name: str, options: dict[str, float]) -> None:
    assert_norm(build(name, **options), name, **options)


@pytest.mark.parametrize(
    ("name", "options"), [("layernorm", {}), ("rmsnorm", {}), ("rmsnorm", {"fraction": 0.5})], ids=str
)
def test_groups_are_normed_each_by_itself(name: str, options: dict[str, float]) -> None:
    norm, x = build(name, d_model=6, groups=2, **options), tokens(4, 6)
    for half in (slice(0, 3), slice(3, 6)):
        alone = build(name, d_model=3, **options)
        alone.load_state_dict({key: tensor[half] for key, tensor in norm.state_dict().items()})
        torch.testing.assert_close(norm(x)[:, half], alone(x[:, half]), rtol=1e-12, atol=1e-12)


@ALL
def test_norm_starts_where_its_paper_says(name: str) -> None:
    norm = registry.get("norm", name).build(d_model=3)
    assert {n for n, _ in norm.named_parameters()} == set(STARTS[name])
    for n, p in norm.named_parameters():
        torch.testing.assert_close(p.detach(), torch.full_like(p, STARTS[name][n]))


@pytest.mark.parametrize(("name", "kept"), [("layernorm", {"weight"}), ("dyt", {"alpha", "weight"})])
def test_a_norm_without_bias_has_none(name: str, kept: set[str]) -> None:
    norm = build(name, bias=False)
    assert {n for n, _ in norm.named_parameters()} == kept
    assert_norm(norm, name)


def test_alpha_starts_where_it_is_told_to() -> None:
    norm = registry.get("norm", "dyt").build(d_model=3, alpha=0.2)
    assert norm.alpha.item() == pytest.approx(0.2) and norm.roles()["alpha"].start == 0.2


MUTANTS = {
    "layernorm: unbiased variance": lambda x, w, b: (x - x.mean(-1, True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt() * w + b,
    "layernorm: eps outside the root": lambda x, w, b: (x - x.mean(-1, True)) / (x.std(-1, False, keepdim=True) + 1e-5) * w + b,
    "layernorm: eps of RMSNorm": lambda x, w, b: F.layer_norm(x, (5,), w, b, eps=1e-6),
    "layernorm: no mean taken": lambda x, w, b: F.rms_norm(x, (5,), w, eps=1e-5) + b,
    "layernorm_offset: the gain alone": lambda x, w, b: F.layer_norm(x, (5,), w, b),
    "layernorm_offset: the one is added after": lambda x, w, b: F.layer_norm(x, (5,), w, b) + 1,
    "rmsnorm: mean taken": lambda x, w: F.layer_norm(x, (5,), w, eps=1e-6),
    "rmsnorm: gain of 1 + g": lambda x, w: F.rms_norm(x, (5,), 1 + w, eps=1e-6),
    "rmsnorm: eps of LayerNorm": lambda x, w: F.rms_norm(x, (5,), w, eps=1e-5),
    "rmsnorm: sum for mean": lambda x, w: x / (x.square().sum(-1, True) + 1e-6).sqrt() * w,
    "rmsnorm: eps outside the root": lambda x, w: x / (x.square().mean(-1, True).sqrt() + 1e-6) * w,
    "rmsnorm_offset: the gain alone": lambda x, w: F.rms_norm(x, (5,), w, eps=1e-6),
    "prmsnorm: all features": lambda x, w: F.rms_norm(x, (5,), w, eps=1e-6),
    "rmsnorm_offset: the one is added after": lambda x, w: F.rms_norm(x, (5,), w, eps=1e-6) + 1,
    "rmsnorm_offset: mean taken": lambda x, w: F.layer_norm(x, (5,), 1 + w, eps=1e-6),
    "prmsnorm: the last features": lambda x, w: x / (x[..., -1:].square().mean(-1, True) + 1e-6).sqrt() * w,
    "prmsnorm: eps outside the root": lambda x, w: x / (x[..., :1].abs() + 1e-6) * w,
    "prmsnorm: sum over all features": lambda x, w: x / (x[..., :1].square().sum(-1, True) / 5 + 1e-6).sqrt() * w,
    "prmsnorm: two features": lambda x, w: x / (x[..., :2].square().mean(-1, True) + 1e-6).sqrt() * w,
    "batchnorm: unbiased variance": lambda x, w, b: (x - x.mean(0)) / (x.var(0) + 1e-5).sqrt() * w + b,
    "batchnorm: eps outside the root": lambda x, w, b: (x - x.mean(0)) / (x.std(0, False) + 1e-5) * w + b,
    "batchnorm: eps of RMSNorm": lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=1e-6),
    "batchnorm: no mean taken": lambda x, w, b: x / (x.square().mean(0) + 1e-5).sqrt() * w + b,
    "batchnorm: statistics of the start": lambda x, w, b: x / (1 + 1e-5) ** 0.5 * w + b,
    "batchnorm: over features": lambda x, w, b: F.layer_norm(x, (5,), w, b),
    "dyt: alpha outside the tanh": lambda x, a, w, b: a * torch.tanh(x) * w + b,
    "dyt: gain inside the tanh": lambda x, a, w, b: torch.tanh(a * x * w) + b,
    "scalenorm: root mean square": lambda x, w: x / x.square().mean(-1, True).sqrt() * w,
    "dyt: hard tanh": lambda x, a, w, b: F.hardtanh(a * x) * w + b,
    "dyt: no bias": lambda x, a, w, b: torch.tanh(a * x) * w,
    "scalenorm: eps added": lambda x, w: x / (x.norm(dim=-1, keepdim=True) + 1e-5) * w,
    "scalenorm: no gain": lambda x, w: F.normalize(x, dim=-1),
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
@pytest.mark.parametrize(("dtype", "bits", "size"), [(torch.bfloat16, 8, 3e16), (torch.float16, 11, 6e4)])
def test_large_input_costs_one_rounding_too(name: str, dtype: torch.dtype, bits: int, size: float) -> None:
    """Its squares overflow half precision, and leave bfloat16's product with the features no digits."""
    norm = build(name).float()
    with torch.no_grad():
        for p in norm.parameters():
            p.div_(4)  # so that without a norm the output still fits
    x = (torch.tensor([[1.0, -0.7, 0.3, 0.0, 0.1], [0.2, 0.9, -0.5, 0.4, 1.0]]) * size).to(dtype)
    exact = oracles.NORM[name](weights_of(norm), x.double().numpy())
    slack = 1.01 * oracles.round_once_slack(exact, bits) + 2e-6
    assert (np.abs(norm(x).detach().double().numpy() - exact) <= slack).all()


@ALL
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5), (2, 1, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_shape_and_dtype_are_those_of_the_input(
    name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    norm, x = build(name).float(), tokens(*shape, dtype=dtype)
    y = norm(x)
    y.sum().backward()
    assert x.grad is not None and (y.shape, y.dtype) == (x.grad.shape, x.grad.dtype) == (shape, dtype)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in norm.parameters())


@ALL
def test_first_and_second_derivatives_are_the_numerical_ones(name: str) -> None:
    norm = build(name, d_model=3)
    inputs = (tokens(2, 3), *norm.parameters())

    def run(x: Tensor, *_: Tensor) -> Tensor:
        return norm(x)

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@ALL
def test_strided_input_gives_what_a_copy_gives(name: str) -> None:
    norm, x = build(name), tokens(5, 4).detach()
    torch.testing.assert_close(norm(x.T), norm(x.T.contiguous()), rtol=1e-13, atol=1e-13)


@ALL
def test_a_row_of_zeros_has_a_finite_output_and_gradient(name: str) -> None:
    norm, x = build(name), torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    y = norm(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in (x, *norm.parameters()))


@ALL
def test_counts_are_those_of_the_gain_and_bias(name: str) -> None:
    card = registry.get("norm", name)
    assert card.num_params(d_model=5) == PARAMETERS[name]
    assert card.flops(d_model=5) == 0


# --- others ----------------------------------------------------------------------------------------------


def test_rmsnorm_with_an_offset_is_that_of_gemma() -> None:
    ours, peer = build("rmsnorm_offset"), GemmaRMSNorm(5, eps=1e-6).double()
    with torch.no_grad():
        peer.weight.copy_(ours.weight)
    x = tokens(4, 5).detach()  # Gemma computes in float32
    torch.testing.assert_close(ours(x), peer(x), rtol=1e-5, atol=1e-6)


def test_scalenorm_is_rmsnorm_with_one_gain_at_the_start() -> None:
    x = tokens(4, 5).detach()
    scale, rms = (registry.get("norm", name).build(d_model=5).double() for name in ("scalenorm", "rmsnorm"))
    torch.testing.assert_close(scale(x), rms(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("rmsnorm", {"fraction": 0.0}, "fraction"),
        ("rmsnorm", {"fraction": 1.5}, "fraction"),
        ("rmsnorm", {"groups": 2}, "groups"),
        ("layernorm", {"groups": 0}, "groups"),
        ("layernorm_offset", {"gain": False}, "gain"),
        ("layernorm", {"gain": False, "offset": True}, "gain"),
        ("batchnorm", {"momentum": 0.0}, "momentum"),
        ("dyt", {"alpha": float("nan")}, "alpha"),
        *((name, {"eps": eps}, "eps") for name, o in OPTIONS if o == {"eps": 0.1} for eps in (0.0, -1.0)),
    ],
)
def test_impossible_options_are_refused(name: str, options: dict[str, float], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        build(name, **options)

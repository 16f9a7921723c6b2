"""The comparisons that a feed-forward layer must pass and its mutants must fail.

They are plain functions so that one and the same comparison judges the real layer and the broken ones: a
tolerance that lets a mutant through makes its test fail.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from paribus import oracles, registry

UNIT_BF16 = 2.0**-8
#: Layers whose hidden vector is a product of pointwise functions of linear maps.
FFNS = tuple(name for name in registry.catalog()["ffn"] if name in oracles.FFN)


def weights_of(module: nn.Module) -> dict[str, oracles.Array]:
    """The parameters by name in numpy float64."""
    return {name: p.detach().double().numpy() for name, p in module.named_parameters()}


def draw(module: nn.Module, *, seed: int = 0, exact_in: torch.dtype = torch.float64) -> nn.Module:
    """Fill every parameter with numbers that `exact_in` holds exactly, matrices at unit gain."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            value = torch.randn(p.shape, dtype=torch.float64, generator=generator) * 1.5
            p.copy_((value / math.sqrt(p.shape[-1]) if p.ndim == 2 else value).to(exact_in))
    return module


def build_ffn(name: str, *, d_model: int = 5, d_ff: int = 7, bias: bool = False) -> nn.Module:
    """The registered layer in float64 with drawn weights; odd sizes, so that no axis can be mistaken."""
    return draw(registry.get("ffn", name).build(d_model=d_model, d_ff=d_ff, bias=bias).double()).eval()


def tokens(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal input that needs a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()


def run(layer: nn.Module, x: Tensor, dy: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Output and gradients of sum(y * dy), keyed as the oracles key them."""
    names, parameters = zip(*layer.named_parameters(), strict=True)
    y = layer(x)
    gradients = torch.autograd.grad(y, (x, *parameters), dy)
    return y.detach(), dict(zip(("x", *names), gradients, strict=True))


def assert_ffn_in_float(layer: nn.Module, name: str, *, dtype: torch.dtype = torch.float64) -> None:
    """Output and every gradient equal the oracle's up to a few roundings of float64 or float32."""
    layer = layer.to(dtype)
    d_model = layer.get_submodule("down").weight.shape[0]
    x, dy = tokens(11, d_model, dtype=dtype), tokens(11, d_model, seed=2, dtype=dtype).detach()
    y, gradients = run(layer, x, dy)
    w, x_, dy_ = weights_of(layer), x.detach().double().numpy(), dy.double().numpy()
    expected = {"y": oracles.ffn(name, w, x_), **oracles.ffn_gradients(name, w, x_, dy_)}
    tolerance = {torch.float64: 1e-13, torch.float32: 2e-6}[dtype]
    for key, actual in {"y": y, **gradients}.items():
        scale = np.abs(expected[key]).max()
        np.testing.assert_allclose(
            actual.double().numpy(), expected[key], rtol=tolerance, atol=tolerance * scale, err_msg=key
        )


def assert_double_backward(layer: nn.Module, *, d_model: int = 2) -> None:
    """Numerical first and second derivatives in float64 by the input and by every parameter."""
    inputs = (tokens(2, d_model), *layer.parameters())
    # The parameters are perturbed in place by the checks, so the layer need not be handed them.
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), inputs)
    assert torch.autograd.gradgradcheck(lambda x, *_: layer(x), inputs)


def assert_ffn_rounds_little_in_bf16(layer: nn.Module, name: str) -> None:
    """With 1x1 weights the layer is its pointwise function: two or three roundings are all that may show."""
    with torch.no_grad():
        for branch in (*oracles.FFN[name], "down"):  # a value of twice the gate tells the halves apart
            layer.get_submodule(branch).weight.fill_(2.0 if branch == "value" else 1.0)
    x = torch.linspace(-4, 4, 801).bfloat16().unsqueeze(-1)
    exact = oracles.ffn(name, weights_of(layer), x.double().numpy())
    y = layer(x)
    assert y.dtype == torch.bfloat16
    activations = [act for act in oracles.FFN[name].values() if act not in ("identity", "relu")]
    roundings = len(activations) + (len(oracles.FFN[name]) - 1)
    allowed = roundings * UNIT_BF16 * 1.02 * np.abs(exact) + 2.0**-22 * np.abs(x.double().numpy()) ** 2
    assert (np.abs(y.double().detach().numpy() - exact) <= allowed).all()


def bf16_error_over_floor(layer: nn.Module, name: str) -> dict[str, float]:
    """RMS error of output and gradients in bf16, in units of what rounding the exact result once costs."""
    d_model = layer.get_submodule("down").weight.shape[0]
    x, dy = tokens(64, d_model, dtype=torch.bfloat16), tokens(64, d_model, seed=2).detach().bfloat16()
    y, gradients = run(layer, x, dy)
    w, x_, dy_ = weights_of(layer), x.detach().double().numpy(), dy.double().numpy()
    expected = {"y": oracles.ffn(name, w, x_), **oracles.ffn_gradients(name, w, x_, dy_)}
    ratios = {}
    for key, actual in {"y": y, **gradients}.items():
        exact = torch.from_numpy(expected[key])
        floor = (exact.bfloat16().double() - exact).square().mean().sqrt()
        ratios[key] = ((actual.double() - exact).square().mean().sqrt() / floor).item()
    return ratios

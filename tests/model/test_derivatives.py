"""Derivatives of whole models that training does not ask for: in forward mode, and of gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from paribus.model.transformer import Transformer
from paribus.ops import attention

from .conftest import SWAPS, MakeConfig, swapped
from .test_transformer import ids, model_of, source_of

Named = dict[str, Tensor]


def directions(weights: Named) -> Named:
    generator = torch.Generator().manual_seed(7)
    return {
        name: torch.randn(each.shape, dtype=each.dtype, generator=generator) for name, each in weights.items()
    }


class Scored:
    """A number of a model as a function of its weights."""

    def __init__(self, model: Transformer, **options: Any) -> None:
        self._model, self._options = model, options
        self.weights = {name: each.detach() for name, each in model.named_parameters()}

    def __call__(self, weights: Named) -> Tensor:
        logits = functional_call(self._model, weights, (ids(),), {"dtype": torch.float64, **self._options})
        return torch.log_softmax(logits, dim=-1)[..., 3].sum()

    def along(self, tangents: Named) -> Tensor:
        """The derivative by reverse mode."""
        weights = {name: each.clone().requires_grad_() for name, each in self.weights.items()}
        gradients = torch.autograd.grad(
            self(weights), list(weights.values()), allow_unused=True, materialize_grads=True
        )
        return sum(
            ((g * tangents[name]).sum() for name, g in zip(weights, gradients, strict=True)),
            start=torch.zeros((), dtype=torch.float64),
        )


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_forward_mode_gives_the_derivatives_of_reverse_mode(
    make_config: MakeConfig, slot: str, name: str
) -> None:
    config = make_config(**swapped(slot, name))
    score = Scored(model_of(config).eval(), **source_of(config))
    tangents = directions(score.weights)
    value, derivative = jvp(score, (score.weights,), (tangents,))
    torch.testing.assert_close(value, score(score.weights))
    torch.testing.assert_close(derivative, score.along(tangents))


def choose(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_MEASURED", {("cpu", torch.float64, False): [(9, backend)]})


@pytest.mark.parametrize("backend", ["plain", "sdpa", "flex"])
def test_a_dual_level_takes_plain_attention_whatever_is_fastest(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    score = Scored(model_of(make_config(position="rope")))
    tangents = directions(score.weights)
    expected = score.along(tangents)
    choose(backend, monkeypatch)
    with forward_ad.dual_level():
        dual = {name: forward_ad.make_dual(each, tangents[name]) for name, each in score.weights.items()}
        derivative = forward_ad.unpack_dual(score(dual)).tangent
    torch.testing.assert_close(derivative, expected)


@pytest.mark.parametrize("backend", ["plain", "sdpa"])
def test_curvature_is_how_gradients_change(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    choose(backend, monkeypatch)
    score = Scored(model_of(make_config(position="rope")))
    tangents = directions(score.weights)
    _, curvature = jvp(grad(score), (score.weights,), (tangents,))
    step = 1e-5
    ahead, behind = (
        grad(score)({name: each + sign * step * tangents[name] for name, each in score.weights.items()})
        for sign in (1, -1)
    )
    for name, found in curvature.items():
        torch.testing.assert_close(found, (ahead[name] - behind[name]) / (2 * step), rtol=1e-4, atol=1e-3)


def test_gradients_of_fused_attention_are_differentiated_by_the_math_kernel(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(make_config(position="rope"))

    def curvature(backend: str) -> tuple[Tensor, ...]:
        choose(backend, monkeypatch)
        weights = list(model.parameters())
        score = torch.log_softmax(model(ids(), dtype=torch.float64), dim=-1)[..., 3].sum()
        slope = sum(each.square().sum() for each in torch.autograd.grad(score, weights, create_graph=True))
        return torch.autograd.grad(slope, weights)

    with pytest.raises(RuntimeError, match="flash_attention_for_cpu_backward is not implemented"):
        curvature("sdpa")
    with sdpa_kernel(SDPBackend.MATH):
        found = curvature("sdpa")
    torch.testing.assert_close(found, curvature("plain"))

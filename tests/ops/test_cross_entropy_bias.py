"""The loss of a head with a bias: that of the plain logits, compiled as well."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from paribus.ops import nats as module
from paribus.ops.cross_entropy import linear_cross_entropy

from .test_cross_entropy import OPTIONS, N, V, definition, inputs


def bias_V() -> Tensor:
    return torch.randn(V, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.mark.parametrize("name", OPTIONS)
def test_nats_are_those_of_one_more_feature_that_is_always_one(name: str) -> None:
    (x, weight, targets), bias = inputs(), bias_V()
    x_and_one = torch.cat((x, torch.ones(N, 1, dtype=x.dtype)), dim=1)
    expected = definition(x_and_one, torch.cat((weight, bias[:, None]), dim=1), targets, **OPTIONS[name])
    actual = linear_cross_entropy(x, weight, targets, bias_V=bias, **OPTIONS[name])
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["plain", "everything"])
def test_first_and_second_derivatives_are_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EAGER_ELEMENTS", 3 * V)  # several stretches of eager rows
    (x, weight, targets), bias = inputs(), bias_V()

    def loss(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        given: dict[str, Any] = OPTIONS[name]
        return linear_cross_entropy(x, weight, targets, bias_V=bias, **given)

    assert torch.autograd.gradcheck(loss, (x, weight, bias))
    assert torch.autograd.gradgradcheck(loss, (x, weight, bias))


def test_the_bias_alone_may_learn() -> None:
    (x, weight, targets), bias = inputs(), bias_V()
    given = {"bias_V": bias, "reduction": "sum"}
    both = torch.autograd.grad(linear_cross_entropy(x, weight, targets, **given), (weight, bias))[1]
    alone = linear_cross_entropy(x.detach(), weight.detach(), targets, **given)
    for again in (False, True):
        torch.testing.assert_close(
            torch.autograd.grad(alone, bias, create_graph=again, retain_graph=True)[0], both
        )


def test_in_bf16_the_bias_keeps_its_dtype() -> None:
    (x, weight, targets), bias = inputs(torch.bfloat16), bias_V()
    nats = linear_cross_entropy(x, weight, targets, bias_V=bias)
    logits = torch.nn.functional.linear(x, weight, bias.bfloat16())
    expected = torch.nn.functional.cross_entropy(logits.double(), targets, reduction="none")
    torch.testing.assert_close(nats.double(), expected, rtol=1e-6, atol=1e-6)
    assert torch.autograd.grad(nats.sum(), bias)[0].dtype == torch.float64


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_it_is_one_graph_with_the_same_gradients() -> None:
    (x, weight, targets), bias = inputs(), bias_V()

    def loss(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return linear_cross_entropy(x, weight, targets, bias_V=bias, reduction="mean")

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    learned = (x, weight, bias)
    torch.testing.assert_close(compiled(*learned), loss(*learned))
    torch.testing.assert_close(
        torch.autograd.grad(compiled(*learned), learned), torch.autograd.grad(loss(*learned), learned)
    )

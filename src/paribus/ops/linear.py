"""Matrix products with master weights: parameters stay in float32, the product runs in the input's dtype.

Casting each weight where it is used is as exact as autocast and cheaper: the dtype simply follows the
activations, nothing is cached, and a compiler fuses the cast.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b in the dtype of x: x [..., in], weight [out, in], bias [out] give [..., out]."""
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


class Linear(nn.Linear):
    """`nn.Linear` whose parameters are cast to the dtype of the input. Without bias unless asked for."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = False) -> None:
        super().__init__(in_features, out_features, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def is_plain(layer: nn.Module) -> bool:
    """Whether calling the layer is its product and no more: no class of its own (an adapter), and no hooks."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return type(layer).forward is Linear.forward and not any(hooks)

"""The head: from the end of the stream to logits, W h + b.

h is the stream itself, or norm(act(W_t x + b_t)) of it, as BERT has for masked tokens. That transform belongs to the
end of the stream: a loss that makes logits itself then needs W and b alone. Scale and cap of logits are the model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.linear import Linear, linear
from paribus.parts.activation.base import activation_roles, build_activation
from paribus.parts.init import Role, Roles, constant, linear_roles


class HeadTransform(nn.Module):
    """norm(act(W x + b)): x [..., d_model] gives the same.

    BERT calls it cls.predictions.transform, RoBERTa lm_head.dense and lm_head.layer_norm. `activation` is a name of the
    registry, `activation_options` are its own. Raises `RequestError` for an unknown activation and a `bias` that is
    neither true nor false. Source: Devlin et al. 2018 (arXiv:1810.04805), released code.
    """

    def __init__(
        self,
        *,
        d_model: int,
        activation: str,
        norm: nn.Module,
        activation_options: Mapping[str, Any] | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(bias, bool):
            raise RequestError(f"the bias of head_transform is true or false; it is {bias!r}")
        self.activation = build_activation(activation, activation_options, width=d_model)
        self.dense = Linear(d_model, self.activation.inputs * d_model, bias=bias)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.activation(self.dense(x)))

    def roles(self) -> Roles:
        fans = {"fan_in": self.dense.in_features, "fan_out": self.dense.out_features}
        return {
            **linear_roles("dense", kind="input", bias=self.dense.bias is not None, **fans),
            **activation_roles("activation", self.activation),
        }


class Head(nn.Module):
    """`weight` [V, D], or None where the embedding is it; `bias` [V] or None; and the transform before them."""

    def __init__(
        self, *, d_model: int, vocab_size: int, tied: bool, bias: bool, transform: nn.Module
    ) -> None:
        super().__init__()
        self.d_model, self.vocab_size, self.transform = d_model, vocab_size, transform
        self.weight = None if tied else nn.Parameter(torch.empty(vocab_size, d_model).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None

    def forward(self, x: Tensor, embedding_VD: Tensor) -> Tensor:
        """Logits [..., V] from what `transform` gave, [..., D]."""
        return linear(x, embedding_VD if self.weight is None else self.weight, self.bias)

    def roles(self) -> Roles:
        roles: dict[str, Role] = {}
        if self.weight is not None:
            roles["weight"] = Role(kind="head", fan_in=self.d_model, fan_out=self.vocab_size)
        if self.bias is not None:
            roles["bias"] = constant(self.vocab_size, 0.0)
        return roles

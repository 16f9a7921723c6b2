"""The one-matrix gate: the input itself, gated by an activation of one linear map of it.

    y = x * act(W x)

It is sometimes written down as "GLU". It is another, cheaper layer: it has no value projection, no hidden
width and no matrix back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.linear import Linear
from paribus.parts.activation.base import activation_roles, build_activation
from paribus.parts.ffn.replay import Memory, check_memory, product, replayed, stand_in
from paribus.parts.init import Roles, linear_roles
from paribus.registry import part

_ROWS = (
    # name, activation, activation in LaTeX
    ("self_gate_sigmoid", "sigmoid", r"\sigma"),
    ("self_gate_gelu", "gelu", r"\operatorname{GELU}"),
    ("self_gate_swish", "silu", r"\operatorname{SiLU}"),
)


class SelfGate(nn.Module):
    """x * act(W x + b), with one matrix `gate` [d_model, d_model].

    Takes x [..., d_model] of any floating dtype and gives the same. d_ff is not used: the layer has d_model²
    parameters whatever it is.

    `memory` is what it keeps for the backward pass beside x, in bytes a token and element of d_model in bf16 (twice
    that in float32): "keep" 2, the linear map; "none" 0, and its product is replayed (one more on the three of a
    training step, 33 % of the FLOPs).

    Raises `RequestError` for another `memory` or an unknown activation.
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_ff: int,
        activation: str = "sigmoid",
        activation_options: Mapping[str, Any] | None = None,
        bias: bool = False,
        memory: Memory = "keep",
    ) -> None:
        super().__init__()
        check_memory(memory, allowed=("keep", "none"))
        self.d_model, self.has_bias, self.memory = d_model, bias, memory
        self.activation = build_activation(activation, activation_options, width=d_model)
        if self.activation.inputs != 1:
            raise RequestError(
                f"a gate is one feature, and {activation} makes one of {self.activation.inputs}"
            )
        self.gate = Linear(d_model, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x) if self.memory == "keep" else None
        like = stand_in(x, self.d_model) if gate is None else gate
        return replayed(
            self._finish, x, gate, self.gate.weight, self.gate.bias, *self.activation.arguments(like)
        )

    def _finish(
        self, x: Tensor, gate: Tensor | None, weight: Tensor, bias: Tensor | None, *arguments: Tensor
    ) -> Tensor:
        if gate is None:
            gate = product(self.gate, x, weight, bias)
        return x * self.activation.compute(gate, *arguments)

    def roles(self) -> Roles:
        gate = linear_roles(
            "gate", kind="input", fan_in=self.d_model, fan_out=self.d_model, bias=self.has_bias
        )
        return {**gate, **activation_roles("activation", self.activation)}


for _name, _activation, _latex in _ROWS:
    part(
        "ffn",
        _name,
        formula=rf"x \odot {_latex}(W x)",
        summary=f"one-matrix gate: the input times {_activation} of a linear map of it",
        paper="blog notes on GLU; compare arXiv:1612.08083 (Dauphin et al. 2016), which has two projections",
        parameters="d_model^2",
        shapes="x [..., d_model] -> [..., d_model]; gate [d_model, d_model]",
        traps=(
            "often called GLU, which it is not: a GLU has two projections, (x W) * sigmoid(x V)",
            "d_ff changes nothing, so it can be matched to others only where they have d_model^2 parameters",
        ),
        options={"activation": _activation},
    )(SelfGate)

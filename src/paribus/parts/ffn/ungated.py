"""The two-matrix feed-forward layer of the Transformer, over any activation.

    y = W_down act(W_up x)

The activation is replayed in the backward pass, so one tensor of width d_ff is kept, or none with the option
`memory`. Biases are off, as in T5 and in the comparison of Shazeer 2020; the original Transformer had them. Every
activation of the registry gives a layer of its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from paribus.ops.linear import Linear
from paribus.parts.activation import across, learned, pointwise  # noqa: F401 - their parts make ours
from paribus.parts.activation.base import activation_roles, build_activation
from paribus.parts.ffn.replay import Memory, check_memory, product, replayed, stand_in
from paribus.parts.ffn.split import of_these_features
from paribus.parts.init import Roles, linear_roles
from paribus.registry import part, registered

_BIAS = "the original layer has biases; here they are off unless asked for, as in T5"
_SHAPES = "x [..., d_model] -> [..., d_model]; up [d_ff, d_model], down [d_model, d_ff]"
_VASWANI = "arXiv:1706.03762 (Vaswani et al. 2017)"


class FeedForward(nn.Module):
    """down(act(W_up x)), for any activation of the registry.

    Takes x [..., d_model] of any floating dtype and gives the same shape and dtype. Two linear layers: `up`
    [d_ff, d_model] and `down` [d_model, d_ff]; GPT-2 calls them c_fc and c_proj, BERT intermediate.dense and
    output.dense. An activation that makes one feature of several has `up` that many times as wide.
    `activation_options` go to the activation.

    `memory` is what it keeps for the backward pass beside x, in bytes a token and element of `up` in bf16 (twice
    that in float32): "keep" 2, the hidden vector before the activation; "none" 0, and the product with `up` is
    replayed (one more on the six of a training step, 17 % of the FLOPs).

    Raises `RequestError` for another `memory` or an unknown activation.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), equation 2.
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_ff: int,
        activation: str = "relu",
        activation_options: Mapping[str, Any] | None = None,
        bias: bool = False,
        memory: Memory = "keep",
    ) -> None:
        super().__init__()
        check_memory(memory, allowed=("keep", "none"))
        self.d_model, self.d_ff, self.has_bias, self.memory = d_model, d_ff, bias, memory
        self.activation = build_activation(activation, activation_options, width=d_ff)
        self.up = Linear(d_model, self.activation.inputs * d_ff, bias=bias)
        self.down = Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.up(x) if self.memory == "keep" else None
        like = stand_in(x, self.up.out_features) if hidden is None else hidden
        # What is learned or random goes in as arguments: a replay must see what the forward pass saw.
        return replayed(
            self._finish,
            x if hidden is None else None,
            hidden,
            *(tensor for layer in (self.up, self.down) for tensor in (layer.weight, layer.bias)),
            *self.activation.arguments(like),
        )

    def _finish(
        self,
        x: Tensor | None,
        hidden: Tensor | None,
        up_weight: Tensor,
        up_bias: Tensor | None,
        down_weight: Tensor,
        down_bias: Tensor | None,
        *arguments: Tensor,
    ) -> Tensor:
        """The output, from the hidden vector if it is kept, else from x."""
        if hidden is None:
            assert x is not None
            hidden = product(self.up, x, up_weight, up_bias)
        arguments = of_these_features(self.activation, arguments, hidden=hidden, layer=self.up)
        return product(self.down, self.activation.compute(hidden, *arguments), down_weight, down_bias)

    def roles(self) -> Roles:
        wide, bias = self.up.out_features, self.has_bias
        return {
            **linear_roles("up", kind="input", fan_in=self.d_model, fan_out=wide, bias=bias),
            **linear_roles("down", kind="output", fan_in=self.d_ff, fan_out=self.d_model, bias=bias),
            **activation_roles("activation", self.activation),
        }


def _register(name: str, activation: str, summary: str, options: Mapping[str, Any] | None = None) -> None:
    """The two-matrix layer over a registered activation, under this name."""
    card = registered("activation")[activation]
    pieces = getattr(card.build(width=1), "inputs", 1)
    learned_too = f" + what {activation} learns" if card.num_params(width=1, **(options or {})) else ""
    fixed = {"activation": activation} | ({"activation_options": options} if options else {})
    part(
        "ffn",
        name,
        formula=rf"W_\text{{down}} \, f(W_\text{{up}} x), \quad f(x) = {card.formula}",
        summary=summary,
        paper=f"{_VASWANI}; the activation: {card.paper}",
        parameters=f"{1 + pieces} d_model d_ff{learned_too}",
        shapes=_SHAPES,
        traps=(*card.traps, _BIAS) if activation == "relu" else card.traps,
        options=fixed,
    )(FeedForward)


for _name in registered("activation"):
    _register(_name, _name, f"two-matrix feed-forward layer with {_name}")
_register(
    "swish_learnable",
    "swish",
    "two-matrix feed-forward layer with Swish, its beta learned",
    {"learnable": True},
)
part(
    "ffn",
    "ungated",
    formula=r"W_\text{down} \, f(W_\text{up} x)",
    summary="two-matrix feed-forward layer over any activation: option activation",
    paper=_VASWANI,
    parameters="2 d_model d_ff",
    shapes=_SHAPES,
    traps=(_BIAS,),
)(FeedForward)

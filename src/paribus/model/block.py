"""One layer of a stack: sublayers by name, joined by the residual placement."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from paribus.model.cache import Cache
from paribus.model.config import ModelConfig, StackConfig
from paribus.parts.context import Context

#: What layers give beside their output, by name: `loss` is added to the training loss.
Aux = dict[str, Tensor]


class Block(nn.Module):
    """One layer: attention, perhaps cross-attention, and a feed-forward layer, joined by the placement."""

    def __init__(self, config: ModelConfig, stack: StackConfig, layer: int) -> None:
        super().__init__()
        self.index = layer
        self.attention = config.build_attention(layer)
        if "cross_attention" in stack.sublayers:
            self.cross_attention = config.build_attention(layer, cross=True)
        self.ffn = config.build_ffn(layer)
        self.residual = config.build_residual(stack.depth)

    def forward(self, x_BTD: Tensor, context: Context, cache: Cache | None = None) -> tuple[Tensor, Aux]:
        """The stream after this layer, and what its feed-forward layer gives beside."""
        aux: Aux = {}

        def attend(name: str) -> Callable[[Tensor], Tensor]:
            layer = getattr(self, name)
            window = getattr(layer, "window", None)
            held = None if cache is None else cache.layer(self.index, name, window=window)
            return lambda x_BTD: layer(x_BTD, context, held)

        def feed_forward(x_BTD: Tensor) -> Tensor:
            given = self.ffn(x_BTD)
            if isinstance(given, tuple):
                given, more = given
                aux.update(more)
            return given

        sublayers = {"attention": attend("attention")}
        if hasattr(self, "cross_attention"):
            sublayers["cross_attention"] = attend("cross_attention")
        sublayers["ffn"] = feed_forward
        return self.residual(x_BTD, sublayers), aux

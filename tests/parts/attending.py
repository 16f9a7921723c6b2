"""One attention layer with one position encoding around it, as a stack uses them."""

from typing import Any

import torch
from torch import Tensor, nn

from paribus import registry
from paribus.ops.attention import Backend, Mask
from paribus.parts.attention.cache import KeyValueCache
from paribus.parts.context import Context
from paribus.parts.position.base import Position

from .comparison import draw

D, H, K = 6, 4, 4  # H K is not D: no axis can be mistaken for another
ATTENTIONS = tuple(registry.catalog()["attention"])
POSITIONS = tuple(registry.catalog()["position"])
#: Options in effect for a name that cannot do without: key heads of a group.
KV_HEADS = {"gqa": 2, "mqa": 1}


class Attending(nn.Module):
    """x [B, T, D] -> attention's output; no embedding is encoded, that is the stack's business."""

    def __init__(
        self,
        name: str = "mha",
        *,
        position: str | dict[str, Any] = "none",
        causal: bool = True,
        longest: int = 5,
        d_model: int = D,
        num_heads: int = H,
        head_dim: int = K,
        **options: Any,
    ) -> None:
        super().__init__()
        sizes = {"d_model": d_model, "num_heads": num_heads, "head_dim": head_dim}
        given = {"name": position} if isinstance(position, str) else dict(position)
        encoding = registry.get("position", given.pop("name")).build(
            **sizes, max_seq_len=longest, causal=causal, **given
        )
        assert isinstance(encoding, Position)
        self.position, self.causal = encoding, causal
        if name == "gqa":
            options = {"num_kv_heads": KV_HEADS["gqa"], **options}
        self.attention = registry.get("attention", name).build(**sizes, **options)

    def forward(
        self,
        x: Tensor,
        *,
        backend: Backend = "plain",
        valid: Tensor | None = None,
        document: Tensor | None = None,
        memory: Tensor | None = None,
        memory_valid: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        start = 0 if cache is None else cache.length
        places = torch.arange(start + x.shape[1])
        context = Context(
            position=self.position,
            state=self.position.state(places[start:], places, length=len(places)),
            mask=Mask(causal=self.causal, key_valid_BS=valid, document_BS=document),
            backend=backend,
            memory_BSD=memory,
            memory_valid_BS=memory_valid,
        )
        return self.attention(x, context, cache)


def attending(name: str = "mha", **options: Any) -> Attending:
    """The layer in float64, every parameter drawn."""
    module = Attending(name, **options).double()
    draw(module)
    return module

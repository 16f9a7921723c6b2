"""T5's relative positions: one learned number for each head and bucket of distances, added to the logits."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.embedding import embedding, look_up
from paribus.parts.init import Roles, constant
from paribus.parts.position.base import Position, Sizes, State
from paribus.registry import part


def t5_buckets(offset: Tensor, *, causal: bool, num_buckets: int = 32, max_distance: int = 128) -> Tensor:
    """Bucket of each offset, key position minus query position: whole numbers of any shape, [0, num_buckets).

    Near distances have a bucket each, far ones share buckets of logarithmic width up to `max_distance`, and
    all beyond share the last. Without `causal` the upper half is for later keys; with it those share bucket 0.
    """
    if causal:
        distance, first = (-offset).clamp(min=0), torch.zeros_like(offset)
    else:
        num_buckets //= 2
        distance, first = offset.abs(), (offset > 0).to(offset.dtype) * num_buckets
    exact = num_buckets // 2
    # At least `exact`, so that no logarithm is taken of zero; nearer distances do not use it.
    ratio = distance.clamp(min=exact).float() / exact
    far = exact + (ratio.log() / math.log(max_distance / exact) * (num_buckets - exact)).to(offset.dtype)
    return first + torch.where(distance < exact, distance, far.clamp(max=num_buckets - 1))


@part(
    "position",
    "t5",
    formula=r"q_i \cdot k_j + b_{h, \operatorname{bucket}(j - i)}",
    paper="arXiv:1910.10683 (Raffel et al. 2020)",
    parameters="num_buckets num_heads",
    shapes="bias [H, T, S], added to the logits; weight [num_buckets, num_heads]",
    traps=(
        "T5 has no 1/sqrt(K) in its logits: give attention the scale 1.0 for its form",
        "all layers share one table, the encoder's and the decoder's are two, and cross-attention has none",
        "in the causal form later keys fall into bucket 0; the mask hides them",
    ),
)
class T5Position(Position):
    """Adds b[bucket(key - query), head] to the logits; the table is shared by all layers of the stack.

    `weight` [num_buckets, num_heads] starts at zero, so that the model starts without positions. Raises
    `RequestError` for fewer than 2 buckets (4 where later keys are seen) or a max_distance that leaves the far
    buckets nothing. Source: Raffel et al. 2020 (arXiv:1910.10683), section 2.1, and its released code.
    """

    acts_on = frozenset({"bias"})

    def __init__(self, *, num_buckets: int = 32, max_distance: int = 128, **sizes: Unpack[Sizes]) -> None:
        super().__init__(**sizes)
        sides = 1 if self.causal else 2
        if num_buckets < 2 * sides or num_buckets % (2 * sides):
            raise RequestError(
                f"t5's num_buckets must be a multiple of {2 * sides} here; it is {num_buckets}"
            )
        if max_distance <= num_buckets // sides // 2:
            raise RequestError(
                f"t5's max_distance must be above {num_buckets // sides // 2}, the distances that have a bucket "
                f"each; it is {max_distance}"
            )
        self.num_buckets, self.max_distance = num_buckets, max_distance
        self.weight = nn.Parameter(torch.zeros(num_buckets, self.num_heads))

    def state(self, query_T: Tensor, key_S: Tensor, *, length: int) -> State:
        wide = torch.promote_types(self.weight.dtype, torch.float32)
        # All offsets beyond max_distance share a bucket, so these are all there are for each head.
        reach = torch.arange(-self.max_distance, self.max_distance + 1, device=query_T.device)
        buckets = t5_buckets(
            reach, causal=self.causal, num_buckets=self.num_buckets, max_distance=self.max_distance
        )
        return {
            **super().state(query_T, key_S, length=length),
            # In at least float32: the gradients of some T² numbers are added up in each bucket.
            "table": embedding(self.weight.to(wide), buckets).T.flatten(),
        }

    def bias_of(self, offset: Tensor, head: Tensor, state: State) -> Tensor:
        place = offset.clamp(-self.max_distance, self.max_distance) + self.max_distance
        return look_up(state["table"], head * (2 * self.max_distance + 1) + place)

    def roles(self) -> Roles:
        return {"weight": constant(self.num_buckets, 0.0)}

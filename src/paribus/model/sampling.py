"""Which token comes next, from its logits: what is changed, what is left to choose from, and the draw.

In this order, the one of `transformers`: the repetition penalty, the temperature, top-k, top-p, min-p. Each step sees
what the one before it left.

Shapes: B rows, V vocab_size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import RequestError

#: Below this temperature a logit over it may be no number of float32.
_COLD = 1e-30


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    `temperature` 0 takes the likeliest token (of equal ones the first), and only the penalty counts; above it tokens
    are drawn from softmax(logits / temperature). `top_k` leaves the k likeliest and what is as likely as the last of
    them; `top_p` the fewest that reach this probability together (Holtzman et al. 2020, arXiv:1904.09751); `min_p`
    those at least so many times as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082).
    `repetition_penalty` divides the positive and multiplies the negative logits of tokens that were seen (Keskar et
    al. 2019, arXiv:1909.05858). Raises `RequestError` for impossible settings.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.temperature < math.inf):
            raise RequestError(f"temperature is a number of at least 0; it is {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise RequestError(f"top_k is a number of tokens, at least 1; it is {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top_p is a probability in (0, 1], 1 for all tokens; it is {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise RequestError(f"min_p is a share in [0, 1], 0 for all tokens; it is {self.min_p}")
        if not 0 < self.repetition_penalty < math.inf:
            raise RequestError(
                f"repetition_penalty is a number above 0, 1 for none; it is {self.repetition_penalty}"
            )

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0

    @property
    def penalises(self) -> bool:
        """Whether it matters which tokens were seen."""
        return self.repetition_penalty != 1

    def penalised(self, logits_BV: Tensor, seen_BV: Tensor | None) -> Tensor:
        """The logits, those of tokens where `seen_BV` is true made less likely."""
        if not self.penalises or seen_BV is None:
            return logits_BV
        penalty = self.repetition_penalty
        lower_BV = torch.where(logits_BV < 0, logits_BV * penalty, logits_BV / penalty)
        return torch.where(seen_BV, lower_BV, logits_BV)

    def filtered(self, logits_BV: Tensor, seen_BV: Tensor | None = None) -> Tensor:
        """Float32 logits of what a token is drawn from, -inf where it may not be."""
        logits_BV = self.penalised(logits_BV.float(), seen_BV)
        if self.temperature < _COLD:
            # From the likeliest down, or several of them would be infinite.
            logits_BV = logits_BV - logits_BV.amax(-1, keepdim=True)
        logits_BV = logits_BV / max(self.temperature, torch.finfo(torch.float32).tiny)
        if self.top_k is not None and self.top_k < logits_BV.shape[-1]:
            lowest_B1 = logits_BV.topk(self.top_k, dim=-1).values[:, -1:]
            logits_BV = logits_BV.masked_fill(logits_BV < lowest_B1, -math.inf)
        if self.top_p < 1:
            ascending_BV, order_BV = logits_BV.sort(dim=-1)
            # What the tokens up to this one have together; from the unlikely end, so the likeliest always stays.
            dropped_BV = ascending_BV.softmax(-1).cumsum(-1) <= 1 - self.top_p
            dropped_BV[:, -1] = False
            logits_BV = logits_BV.masked_fill(dropped_BV.scatter(-1, order_BV, dropped_BV), -math.inf)
        if self.min_p > 0:
            probability_BV = logits_BV.softmax(-1)
            least_B1 = self.min_p * probability_BV.amax(-1, keepdim=True)
            logits_BV = logits_BV.masked_fill(probability_BV < least_B1, -math.inf)
        return logits_BV

    def choose(self, logits_BV: Tensor, draws: Draws | None = None, seen_BV: Tensor | None = None) -> Tensor:
        """One token for each row, [B]; unless greedy it takes a number from each row's `draws`."""
        if self.greedy:
            # In float32: torch looks through bfloat16 one number at a time, which takes five times as long.
            return self.penalised(logits_BV.float(), seen_BV).argmax(-1)
        assert draws is not None, "drawing needs generators"
        sum_BV = self.filtered(logits_BV, seen_BV).double().softmax(-1).cumsum(-1)
        total_B1 = sum_BV[:, -1:]
        # Below the total, so that the first sum above it belongs to a token of some probability.
        aim_B1 = (draws.uniform_B1(sum_BV.device) * total_B1).minimum(total_B1.nextafter(total_B1 * 0))
        drawn_B1 = torch.searchsorted(sum_BV, aim_B1, right=True)
        return drawn_B1.squeeze(-1).clamp(max=logits_BV.shape[-1] - 1)  # logits that are nan have no such sum


class Draws:
    """A generator for each row, so that what a row draws does not depend on the rows beside it.

    They are CPU generators: a seed draws the same numbers on every device. Raises `RequestError` for a seed of more
    than 64 bits.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        if large := [seed for seed in seeds if not -(2**63) <= seed < 2**64]:
            raise RequestError(f"a seed is a whole number of at most 64 bits; it is {large[0]}")
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def uniform_B1(self, device: torch.device) -> Tensor:
        """The next number of each row, in [0, 1), [B, 1] in float64."""
        drawn = [torch.rand(1, generator=each, dtype=torch.float64) for each in self._generators]
        return torch.stack(drawn).to(device)


def row_seed(seed: int, row: int) -> int:
    """The seed of a row of a batch: `seed` itself for the first, others of sha256(seed, row).

    Not seed + row, which would give the rows of neighbouring seeds the same draws.
    """
    if row == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/{row}".encode()).digest()[:8], "little", signed=True)

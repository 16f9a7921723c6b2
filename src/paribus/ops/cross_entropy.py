"""Cross-entropy of a linear map: the head of a language model and its loss in one, without logits in float32.

    logits = cap(scale · x Wᵀ),   nats = logsumexp(logits) - (1 - s) logits[target] - s mean(logits) + z logsumexp²

The logits of a batch are the largest tensor of a training step. They are kept for backward in the dtype of x,
half of what float32 would take, and everything after the product is replayed from them; with `rows` not even that:
so many rows of logits exist at a time, and their product is done again in the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from paribus.errors import RequestError
from paribus.ops.linear import linear

_EAGER_ELEMENTS = 1 << 22  # logits that eager code holds in float32 at a time: 16 MiB


def linear_cross_entropy(
    x_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    reduction: Literal["none", "sum", "mean"] = "none",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    scale: float = 1.0,
    rows: int | None = None,
) -> Tensor:
    """Nats of each target, float32 [N] (float64 if x is), or their sum or mean over the scored targets, [].

    Takes x [..., D], weight [V, D] and targets [...], whole numbers in [0, V) or `ignore_index`, which costs
    nothing. `label_smoothing` s spreads that share of the target evenly over all ids. `z_loss` adds that many times
    the square of logsumexp. `softcap` c makes logits c · tanh(logit / c), after `scale`. The product runs in the
    dtype of x, everything after it in at least float32. `rows` at a time are held as logits (default: all).
    Raises `RequestError` for impossible options. Sources: Szegedy et al. 2016 (arXiv:1512.00567) for smoothing;
    PaLM (arXiv:2204.02311), section 5, for the z-loss; Gemma 2 (arXiv:2408.00118) for the cap.
    """
    _check(reduction, label_smoothing, z_loss, softcap, scale, rows)
    flat_ND, targets_N = x_ND.flatten(0, -2), targets_N.flatten()

    def nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        wide_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
        wide_NV = wide_NV if scale == 1 else wide_NV * scale
        wide_NV = wide_NV if softcap is None else softcap * torch.tanh(wide_NV / softcap)
        nats_N = F.cross_entropy(
            wide_NV, targets_N, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction="none"
        )
        if z_loss:
            squares_N = wide_NV.logsumexp(-1).square()
            nats_N = nats_N + z_loss * squares_N.masked_fill(targets_N == ignore_index, 0.0)
        return nats_N

    if rows is None or rows >= len(flat_ND):
        nats_N = _from_logits(nats, linear(flat_ND, weight_VD), targets_N)
    else:

        def product(part_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
            return nats(linear(part_ND, weight_VD), targets_N)

        nats_N = torch.cat(
            [
                _replayed(product, part_ND, weight_VD, part_N)
                for part_ND, part_N in zip(flat_ND.split(rows), targets_N.split(rows), strict=True)
            ]
        )
    if reduction == "none":
        return nats_N
    total = nats_N.sum()
    return total if reduction == "sum" else total / (targets_N != ignore_index).sum()


def rows_that_fit(num_rows: int, vocab_size: int, *, dtype: torch.dtype, memory_bytes: int) -> int | None:
    """Rows of logits to hold at a time, so that they and their gradient take an eighth of `memory_bytes` at most.

    None where all of them do, which is faster: rows cost a third product.
    """
    row_bytes = 2 * vocab_size * dtype.itemsize
    if num_rows * row_bytes <= memory_bytes // 8:
        return None
    fitting = max(1, memory_bytes // 8 // row_bytes)
    return math.ceil(num_rows / math.ceil(num_rows / fitting))


def _from_logits(nats: Callable[[Tensor, Tensor], Tensor], logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """`nats` of logits that are kept as they are; what it makes of them is replayed."""
    if torch.compiler.is_compiling():  # one kernel, whatever the size
        return _replayed(nats, logits_NV, targets_N)
    rows = max(1, _EAGER_ELEMENTS // logits_NV.shape[-1])
    parts = zip(logits_NV.split(rows), targets_N.split(rows), strict=True)
    return torch.cat([_replayed(nats, part_NV, part_N) for part_NV, part_N in parts])


def _replayed(function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    out = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    assert isinstance(out, Tensor)
    return out


def _check(
    reduction: str,
    label_smoothing: float,
    z_loss: float,
    softcap: float | None,
    scale: float,
    rows: int | None,
) -> None:
    reductions: Sequence[str] = ("none", "sum", "mean")
    if reduction not in reductions:
        raise RequestError(f"the reduction of a loss is none, sum or mean; it is {reduction!r}")
    if not 0 <= label_smoothing < 1:
        raise RequestError(f"label_smoothing is a share of the target, in [0, 1); it is {label_smoothing}")
    if not (z_loss >= 0 and math.isfinite(z_loss)):
        raise RequestError(f"z_loss must not be negative; it is {z_loss}")
    for name, value in (("softcap", 1.0 if softcap is None else softcap), ("scale", scale)):
        if not (value > 0 and math.isfinite(value)):
            raise RequestError(f"the {name} of logits must be above zero; it is {value}")
    if rows is not None and rows < 1:
        raise RequestError(f"a loss holds at least 1 row of logits at a time; rows is {rows}")

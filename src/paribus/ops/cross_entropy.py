"""Cross-entropy of a linear map: the head of a language model and its loss in one, without logits in float32.

    logits l = cap(scale · (x Wᵀ + b))
    nats = L - (1 - s) l[target] - s mean(l) + z L²    with L = logsumexp(l)
    d nats / d l = (1 + 2 z L) softmax(l) - s / V - (1 - s) [target]

The logits of a batch are the largest tensor of a training step. They are kept for backward in the dtype of x, half of
what float32 would take; or, with the vocabulary taken in parts, not at all: the logits of one part exist at a time,
and their product is done again in the backward pass.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.once import after

_EAGER_ELEMENTS = 1 << 20  # logits that eager code holds in float32 at a time: 4 MiB, which caches hold


def linear_cross_entropy(
    x_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    bias_V: Tensor | None = None,
    reduction: Literal["none", "sum", "mean"] = "none",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    scale: float = 1.0,
    parts: int = 1,
) -> Tensor:
    """Nats of each target, float32 [N] (float64 if x is), or their sum or mean over the scored targets, [].

    Takes x [..., D], weight [V, D], perhaps a bias [V], and targets [...], whole numbers in [0, V) or
    `ignore_index`, which costs nothing. `label_smoothing` s spreads that share of the target evenly over all ids. `z_loss` z adds that many
    times the square of logsumexp. `softcap` c makes logits c · tanh(logit / c), after `scale`. The product runs in
    the dtype of x, everything after it in at least float32. The vocabulary is taken in so many `parts`: more than
    one hold a part of the logits at a time, and cost a fourth product. Raises `RequestError` for impossible
    options. Under autocast x counts as of autocast's dtype. Sources: Szegedy et al. 2016 (arXiv:1512.00567) for smoothing; PaLM (arXiv:2204.02311), section 5, for
    the z-loss; Gemma 2 (arXiv:2408.00118) for the cap; Wijmans et al. 2025 (arXiv:2411.09009) for the parts.
    """
    _check(reduction, label_smoothing, z_loss, softcap, scale, parts)
    x_ND = _as_autocast(x_ND)
    nats_N = _Nats.apply(
        x_ND.flatten(0, -2),
        weight_VD.to(x_ND.dtype),
        None if bias_V is None else bias_V.to(x_ND.dtype),
        targets_N.flatten(),
        _Form(len(weight_VD), ignore_index, label_smoothing, z_loss, softcap, scale),
        min(parts, len(weight_VD)),
    )
    if reduction == "none":
        return nats_N
    total = nats_N.sum()
    return total if reduction == "sum" else total / (targets_N != ignore_index).sum()


def _as_autocast(x: Tensor) -> Tensor:
    """x in the dtype in which autocast, where it is on, multiplies; else gradients would meet another dtype."""
    device = x.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return x
    return x if x.dtype == torch.float64 else x.to(torch.get_autocast_dtype(device))


def parts_that_fit(num_rows: int, vocab_size: int, *, dtype: torch.dtype, memory_bytes: int) -> int:
    """Into how many parts to take a vocabulary, so that logits and their gradient take an eighth of `memory_bytes`.

    One where all of them do, which is faster.
    """
    needed = 2 * num_rows * vocab_size * dtype.itemsize
    return min(vocab_size, math.ceil(needed / max(1, memory_bytes // 8)))


class _Form(NamedTuple):
    """What is made of the product x Wᵀ, with its bias, for N rows and P of the V ids; see `linear_cross_entropy`."""

    vocab_size: int
    ignore_index: int
    label_smoothing: float
    z_loss: float
    softcap: float | None
    scale: float

    def logits(self, product: Tensor) -> Tensor:
        """In at least float32."""
        logits = product.to(torch.promote_types(product.dtype, torch.float32))
        logits = logits if self.scale == 1 else logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def terms(self, product_NP: Tensor, targets_N: Tensor, inside_N: Tensor) -> Tensor:
        """[4, N]: the highest logit, the sum of e to the logits less that, their sum, and the target's logit.

        Targets are counted from the first of these ids; the logit of one that is not `inside_N` is 0.
        """
        logits_NP = self.logits(product_NP)
        # Finite, as a part may have nothing but -inf, and -inf less itself is no number.
        highest_N = logits_NP.amax(-1).clamp(min=torch.finfo(logits_NP.dtype).min)
        exponentials_N = (logits_NP - highest_N[:, None]).exp_().sum(-1)
        sum_N = logits_NP.sum(-1) if self.label_smoothing else torch.zeros_like(highest_N)
        at_target_N = torch.where(inside_N, logits_NP.gather(1, targets_N[:, None])[:, 0], 0.0)
        return torch.stack((highest_N, exponentials_N, sum_N, at_target_N))

    def nats(self, terms: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Nats [N] from the terms of every part, the target's logit, and logsumexp: the highest logit and the rest.

        In one number the two would lose digits where logits are large.
        """
        highest_CN, exponentials_CN, sum_CN, at_target_CN = torch.stack(list(terms), dim=1)
        highest_N = highest_CN.amax(0)
        added_N = (exponentials_CN * (highest_CN - highest_N).exp()).sum(0).log()
        at_target_N = at_target_CN.sum(0)
        nats_N = added_N - (at_target_N - highest_N)
        if self.label_smoothing:
            uniform_N = added_N - (sum_CN.sum(0) / self.vocab_size - highest_N)
            nats_N = torch.lerp(nats_N, uniform_N, self.label_smoothing)
        if self.z_loss:
            nats_N = nats_N + self.z_loss * (highest_N + added_N).square()
        return nats_N, at_target_N, highest_N, added_N

    def gradient(
        self,
        product_NP: Tensor,
        targets_N: Tensor,
        inside_N: Tensor,
        at_target_N: Tensor,
        highest_N: Tensor,
        added_N: Tensor,
        gradient_N: Tensor,
    ) -> Tensor:
        """The gradient of the product, rounded to its dtype once, given that of the nats.

        `at_target_N` are logits at `targets_N`, inside or not.
        """
        spread_N = gradient_N * (1 + 2 * self.z_loss * (highest_N + added_N)) if self.z_loss else gradient_N
        uniform_N = gradient_N * (self.label_smoothing / self.vocab_size)

        def by_product(logits: Tensor, less_N1: Tensor | None = None) -> Tensor:
            found = (logits - highest_N[:, None]).sub_(added_N[:, None]).exp_().mul_(spread_N[:, None])
            found = found - uniform_N[:, None] if self.label_smoothing else found
            found = found if less_N1 is None else found - less_N1
            found = found if self.softcap is None else found * (1 - (logits / self.softcap).square())
            return (found if self.scale == 1 else found * self.scale).to(product_NP.dtype)

        # One element of a row differs. Looking for it among all of them would cost as much as the exponential.
        less_N = torch.where(inside_N, gradient_N * (1 - self.label_smoothing), 0.0)
        at_target_N1 = by_product(at_target_N[:, None], less_N[:, None])
        return by_product(self.logits(product_NP)).scatter_(1, targets_N[:, None], at_target_N1)


class _Nats(torch.autograd.Function):
    """Nats [N] of x [N, D], weight [V, D] and bias [V] (or None) in the dtype of x, and targets [N]."""

    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        form: _Form,
        parts: int,
    ) -> Tensor:
        terms: list[Tensor] = []
        kept: list[Tensor] = []
        for weight_PD, bias_P, local_N, inside_N in _parts(weight_VD, bias_V, targets_N, form, parts):
            # One part after the other: a compiler would hold the logits of all of them to fuse what follows.
            product_NP = _product(after(terms[-1], x_ND) if terms else x_ND, weight_PD, bias_P)
            kept = [product_NP] if parts == 1 else []
            stretches = _stretches(product_NP)
            found = [form.terms(product_NP[rows], local_N[rows], inside_N[rows]) for rows in stretches]
            terms.append(torch.cat(found, dim=1))
        nats_N, *by_row = form.nats(terms)
        ctx.save_for_backward(x_ND, weight_VD, bias_V, targets_N, *by_row, *kept)
        ctx.form, ctx.parts = form, parts
        return nats_N.masked_fill(targets_N == form.ignore_index, 0.0)

    @staticmethod
    def backward(ctx: Any, gradient_N: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_VD, bias_V, targets_N, at_target_N, highest_N, added_N, *kept = ctx.saved_tensors
        form, (wants_x, wants_weight, wants_bias, *_) = ctx.form, ctx.needs_input_grad
        gradient_N = gradient_N.masked_fill(targets_N == form.ignore_index, 0.0)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            # Views, as one may be made of the other (tied weights) and only its own share is asked for here.
            x_ND, weight_VD = x_ND.view_as(x_ND), weight_VD.view_as(weight_VD)
            wants = (wants_x, wants_weight, wants_bias)
            wanted = [each for each, asked in zip((x_ND, weight_VD, bias_V), wants, strict=True) if asked]
            product_NV = _product(x_ND, weight_VD, bias_V)
            ((_, _, local_N, inside_N),) = _parts(weight_VD, bias_V, targets_N, form, 1)
            nats_N = form.nats([form.terms(product_NV, local_N, inside_N)])[0]
            found = iter(torch.autograd.grad(nats_N, wanted, gradient_N, create_graph=True))
            return (*(next(found) if asked else None for asked in wants), None, None, None)
        of_x: Tensor | None = None
        of_weight: list[Tensor] = []
        of_bias: list[Tensor] = []
        made = gradient_N
        for weight_PD, bias_P, local_N, inside_N in _parts(weight_VD, bias_V, targets_N, form, ctx.parts):
            if kept:  # and read by nothing but its gradient, which can then be written in its place
                product_NP = kept[0]
            else:
                # Without this a compiler would see the product of the forward pass, and keep that.
                product_NP = _product(after(made, x_ND), weight_PD, bias_P)
                at_target_N = form.logits(product_NP.gather(1, local_N[:, None]))[:, 0]
            by_row = (local_N, inside_N, at_target_N, highest_N, added_N, gradient_N)
            of_product_NP = _in_stretches(form.gradient, product_NP, by_row)
            if wants_x:  # before the other, which is large
                of_part_ND = of_product_NP @ weight_PD
                if ctx.parts > 1:  # rounded once more only, when all are added
                    of_part_ND = of_part_ND.to(torch.promote_types(x_ND.dtype, torch.float32))
                made = of_x = of_part_ND if of_x is None else of_x.add_(of_part_ND)
            if wants_weight:
                made = of_product_NP.t() @ x_ND
                of_weight.append(made)
            if wants_bias:
                of_bias.append(of_product_NP.sum(0))
        return (
            of_x.to(x_ND.dtype) if of_x is not None else None,
            torch.cat(of_weight) if wants_weight else None,
            torch.cat(of_bias) if wants_bias else None,
            None,
            None,
            None,
        )


def _product(x_ND: Tensor, weight_PD: Tensor, bias_P: Tensor | None) -> Tensor:
    """x Wᵀ + b, [N, P]."""
    return x_ND @ weight_PD.t() if bias_P is None else torch.addmm(bias_P, x_ND, weight_PD.t())


def _parts(
    weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, form: _Form, parts: int
) -> Iterator[tuple[Tensor, Tensor | None, Tensor, Tensor]]:
    """Each part of the vocabulary: its weights, its bias, the targets counted from its first id, and which are inside it.

    Targets that are not stand at 0. One outside the whole vocabulary stays where it is, so that reading it fails.
    """
    ends = [number * form.vocab_size // parts for number in range(parts + 1)]
    for first, end in itertools.pairwise(ends):
        inside_N = targets_N != form.ignore_index
        if first > 0:
            inside_N = inside_N & (targets_N >= first)
        if end < form.vocab_size:
            inside_N = inside_N & (targets_N < end)
        bias_P = None if bias_V is None else bias_V[first:end]
        yield weight_VD[first:end], bias_P, torch.where(inside_N, targets_N - first, 0), inside_N


def _stretches(product_NP: Tensor) -> list[slice]:
    """The rows to work on at a time: all in compiled code, where nothing of this size is made in between."""
    count, width = product_NP.shape
    rows = count if torch.compiler.is_compiling() else max(1, _EAGER_ELEMENTS // width)
    return [slice(first, first + rows) for first in range(0, max(1, count), max(1, rows))]


def _in_stretches(function: Callable[..., Tensor], product_NP: Tensor, by_row: Sequence[Tensor]) -> Tensor:
    """function(product, *by_row), a stretch of rows at a time."""
    stretches = _stretches(product_NP)
    if len(stretches) == 1:
        return function(product_NP, *by_row)
    out_NP = torch.empty_like(product_NP)
    for rows in stretches:
        out_NP[rows] = function(product_NP[rows], *(each[rows] for each in by_row))
    return out_NP


def _check(
    reduction: str,
    label_smoothing: float,
    z_loss: float,
    softcap: float | None,
    scale: float,
    parts: int,
) -> None:
    reductions: Sequence[str] = ("none", "sum", "mean")
    if reduction not in reductions:
        raise RequestError(f"the reduction of a loss is none, sum or mean; it is {reduction!r}")
    if not 0 <= label_smoothing < 1:
        raise RequestError(f"label_smoothing is a share of the target, in [0, 1); it is {label_smoothing}")
    if not 0 <= z_loss < math.inf:
        raise RequestError(f"z_loss must not be negative; it is {z_loss}")
    for name, value in (("softcap", 1.0 if softcap is None else softcap), ("scale", scale)):
        if not 0 < value < math.inf:
            raise RequestError(f"the {name} of logits must be above zero; it is {value}")
    if parts < 1:
        raise RequestError(f"a vocabulary is taken in at least 1 part; parts is {parts}")

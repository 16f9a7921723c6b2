"""The loss of a training step, of which a batch's logits never exist together.

The gradients of a sum of nats do not depend on what comes after it but for a factor. So they are made in the forward
pass: the logits of a part of the rows, their gradient, its share of the gradients of x, W and b, and only then the
logits of the next part. A loss made of the nats in another way needs `linear_cross_entropy`.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.nats import (
    Form,
    as_autocast,
    differentiated_again,
    exact,
    plain_gradients,
    product,
    stretches,
)
from paribus.ops.once import after
from paribus.ops.transformed import is_transformed

_PART_BYTES = 8 << 20  # of logits: smaller parts save little
_USUAL_PARTS = 8  # each adds to the gradient of W: more take longer


def training_cross_entropy(
    x_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    divisor: float,
    bias_V: Tensor | None = None,
    parts: int = 1,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The sum of the nats of `linear_cross_entropy` over `divisor`, [], and the nats themselves, [N].

    The first is the loss; the second is for reading and has no gradient. Where gradients are on, the forward pass
    makes those of the loss and `backward` only multiplies them by what comes in, so a pass without a `backward`
    takes three times as long as it need. The rows are taken in so many `parts`, and the logits of one exist at a
    time; the gradients of weight and bias are added up in at least float32. Raises `RequestError` for impossible
    options, and for gradients in float16, which would vanish before a scaler could multiply them. Under transforms
    of `torch.func`, and where gradients are differentiated again, plain operations take over, which keep all logits.
    Source: Hsu et al. 2024 (arXiv:2410.10989), section 3.2.
    """
    form = Form(ignore_index, label_smoothing, z_loss, softcap, scale)
    form.check()
    if not 0 < divisor < math.inf:
        raise RequestError(f"the divisor of a loss must be above zero; it is {divisor}")
    if parts < 1:
        raise RequestError(f"rows are taken in at least 1 part; parts is {parts}")
    x_ND, targets_N = as_autocast(x_ND).flatten(0, -2), targets_N.flatten()
    if is_transformed():
        nats_N = form.plain_nats(x_ND, weight_VD, bias_V, targets_N)
        return nats_N.sum() / divisor, nats_N.detach()
    wants = tuple(
        torch.is_grad_enabled() and each is not None and each.requires_grad
        for each in (x_ND, weight_VD, bias_V)
    )
    if any(wants) and x_ND.dtype == torch.float16:
        raise RequestError(
            "gradients made before a scaler multiplies them vanish in float16: take linear_cross_entropy, or bfloat16"
        )
    loss, nats_N = _Loss.apply(x_ND, weight_VD, bias_V, targets_N, form, divisor, parts, wants)
    return loss, nats_N


def parts_that_fit(num_rows: int, vocab_size: int, *, dtype: torch.dtype, memory_bytes: int) -> int:
    """Into how many parts to take rows: up to 8, as that costs no time, and more where memory is short.

    Short is where the logits of a part and their gradient would take more than an eighth of `memory_bytes`. Parts
    are alike wherever less than twice as many divide the rows, so that compiled they share their kernels.
    """
    logits = num_rows * vocab_size * dtype.itemsize
    usual = min(_USUAL_PARTS, math.ceil(logits / _PART_BYTES))
    least = min(num_rows, max(usual, math.ceil(2 * logits / max(1, memory_bytes // 8))))
    return next((parts for parts in range(least, 2 * least) if num_rows % parts == 0), least)


class _Loss(torch.autograd.Function):
    """The sum of nats over a divisor, and nats [N], of x [N, D], weight [V, D], bias [V] (or None), targets [N]."""

    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        form: Form,
        divisor: float,
        parts: int,
        wants: tuple[bool, bool, bool],
    ) -> tuple[Tensor, Tensor]:
        wants_x, wants_weight, wants_bias = wants
        cast_VD = weight_VD.to(x_ND.dtype)
        cast_V = None if bias_V is None else bias_V.to(x_ND.dtype)
        nats: list[Tensor] = []
        of_x: list[Tensor] = []
        of_weight_VD: Tensor | None = None
        of_bias_V: Tensor | None = None
        made = [cast_VD]
        local_N, scored_N = form.targets(targets_N)
        share_N = scored_N.to(exact(x_ND.dtype)) / divisor
        ends = [number * len(x_ND) // parts for number in range(parts + 1)]
        for first, end in itertools.pairwise(ends):
            # One part after the other: a compiler would make the logits of all of them first. And as copies they
            # are alike, so that all parts share their kernels. What a row needs is read, not computed again for every
            # element: a compiler would else no longer see that the exponentials are wanted row by row, and write all
            # of them in float32.
            rows = slice(first, end)
            x_PD, local_P, share_P = after(made, x_ND[rows], local_N[rows], share_N[rows])
            nats_P, of_product_PV = _nats_and_gradient(
                product(x_PD, cast_VD, cast_V), local_P, share_P, form, wanted=any(wants)
            )
            nats.append(nats_P)
            made = [nats_P]
            if wants_x:
                of_x.append(of_product_PV @ cast_VD)
                made.append(of_x[-1])
            if wants_bias:
                part_V = of_product_PV.sum(0, dtype=exact(x_ND.dtype))
                of_bias_V = part_V if of_bias_V is None else of_bias_V + part_V
                made.append(of_bias_V)
            if wants_weight:
                part_VD = of_product_PV.t() @ x_PD
                # From the second part on in at least float32, and compiled in its place.
                of_weight_VD = (
                    part_VD if of_weight_VD is None else of_weight_VD.to(exact(x_ND.dtype)).add_(part_VD)
                )
                made.append(of_weight_VD)
            del of_product_PV  # before the next are made
        of_x_ND = torch.cat(of_x) if wants_x else None
        # Else a compiler could leave for later gradients of which the loss is not made, and keep logits for them.
        (nats_N,) = after(made, torch.cat(nats))
        nats_N = nats_N.masked_fill(~scored_N, 0.0)
        ctx.save_for_backward(x_ND, weight_VD, bias_V, targets_N, of_x_ND, of_weight_VD, of_bias_V)
        ctx.form, ctx.divisor = form, divisor
        ctx.mark_non_differentiable(nats_N)
        return nats_N.sum() / divisor, nats_N

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_VD, bias_V, targets_N, *made = ctx.saved_tensors
        learned = (x_ND, weight_VD, bias_V)
        rest = (None,) * 5
        if differentiated_again():
            gradient_N = (gradient / ctx.divisor).expand(len(targets_N))
            return (*plain_gradients(ctx, ctx.form, learned, targets_N, gradient_N), *rest)
        scaled = [
            # Of as many axes, so that the product is rounded to the dtype of what learns and no other.
            None if of is None else (of * gradient.view((1,) * of.dim())).to(each.dtype)
            for of, each in zip(made, learned, strict=True)
        ]
        return (*scaled, *rest)


def _nats_and_gradient(
    product_PV: Tensor, local_P: Tensor, share_P: Tensor, form: Form, *, wanted: bool
) -> tuple[Tensor, Tensor]:
    """Nats [P] of the targets `local_P` and, if it is wanted, the gradient of the product: eager in its place.

    `share_P` is the gradient of each row's nats; where it is 0 the nats are of no meaning.
    """

    def of_stretch(rows: slice) -> tuple[Tensor, Tensor]:
        given_PV = product_PV[rows]
        logits_PV = form.logits(given_PV)
        nats_P, by_row, exponentials_PV = form.nats(logits_PV, local_P[rows])
        if not wanted:
            return nats_P, given_PV
        return nats_P, form.gradient(
            logits_PV, exponentials_PV, local_P[rows], by_row, share_P[rows], dtype=given_PV.dtype
        )

    if torch.compiler.is_compiling():
        return of_stretch(slice(None))
    nats, of_product_PV = [], product_PV
    for rows in stretches(product_PV):
        nats_of_rows, of_product_PV[rows] = of_stretch(rows)
        nats.append(nats_of_rows)
    return torch.cat(nats), of_product_PV

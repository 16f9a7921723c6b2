"""Cross-entropy of a linear map: the head of a language model and its loss in one, without logits in float32.

The logits of a batch are the largest tensor of a pass. They are kept for backward in the dtype of x, half of what
float32 would take, as it is not known yet what will be made of the nats. A training step knows, and takes
`training_cross_entropy`, which keeps none; `nats` has the mathematics of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.nats import (
    Form,
    Rows,
    as_autocast,
    differentiated_again,
    plain_gradients,
    product,
    stretches,
)
from paribus.ops.transformed import is_transformed


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
) -> Tensor:
    """Nats of each target, float32 [N] (float64 if x is), or their sum or mean over the scored targets, [].

    Takes x [..., D], weight [V, D], perhaps a bias [V], and targets [...], whole numbers in [0, V) or
    `ignore_index`, which costs nothing. `label_smoothing` s spreads that share of the target evenly over all ids.
    `z_loss` z adds that many times the square of logsumexp. `softcap` c makes logits c · tanh(logit / c), after
    `scale`. The product runs in the dtype of x, everything after it in at least float32. Under autocast x counts as
    of autocast's dtype. Raises `RequestError` for impossible options. Sources: Szegedy et al. 2016
    (arXiv:1512.00567) for smoothing; PaLM (arXiv:2204.02311), section 5, for the z-loss; Gemma 2 (arXiv:2408.00118)
    for the cap.
    """
    reductions: Sequence[str] = ("none", "sum", "mean")
    if reduction not in reductions:
        raise RequestError(f"the reduction of a loss is none, sum or mean; it is {reduction!r}")
    form = Form(ignore_index, label_smoothing, z_loss, softcap, scale)
    form.check()
    x_ND, targets_N = as_autocast(x_ND).flatten(0, -2), targets_N.flatten()
    if is_transformed():
        nats_N = form.plain_nats(x_ND, weight_VD, bias_V, targets_N)
    else:
        weight_VD, bias_V = weight_VD.to(x_ND.dtype), None if bias_V is None else bias_V.to(x_ND.dtype)
        nats_N = _Nats.apply(x_ND, weight_VD, bias_V, targets_N, form)
    if reduction == "none":
        return nats_N
    total = nats_N.sum()
    return total if reduction == "sum" else total / (targets_N != ignore_index).sum()


class _Nats(torch.autograd.Function):
    """Nats [N] of x [N, D], weight [V, D] and bias [V] (or None) in the dtype of x, and targets [N]."""

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, form: Form
    ) -> Tensor:
        product_NV = product(x_ND, weight_VD, bias_V)
        local_N, scored_N = form.targets(targets_N)
        found = [
            form.nats(form.logits(product_NV[rows]), local_N[rows])[:2] for rows in stretches(product_NV)
        ]
        by_row = [torch.cat(each) for each in zip(*(rows for _, rows in found), strict=True)]
        ctx.save_for_backward(x_ND, weight_VD, bias_V, targets_N, product_NV, *by_row)
        ctx.form = form
        return torch.cat([nats_N for nats_N, _ in found]).masked_fill(~scored_N, 0.0)

    @staticmethod
    def backward(ctx: Any, gradient_N: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_VD, bias_V, targets_N, product_NV, *by_row = ctx.saved_tensors
        form, (wants_x, wants_weight, wants_bias, *_) = ctx.form, ctx.needs_input_grad
        if differentiated_again():
            learned = (x_ND, weight_VD, bias_V)
            return (*plain_gradients(ctx, form, learned, targets_N, gradient_N), None, None)
        local_N, scored_N = form.targets(targets_N)
        gradient_N = gradient_N.masked_fill(~scored_N, 0.0)

        def of_stretch(rows: slice) -> Tensor:
            logits_NV = form.logits(product_NV[rows])
            of_rows = Rows(*(each[rows] for each in by_row))
            exponentials_NV = (logits_NV - of_rows.highest_N[:, None]).exp_()
            return form.gradient(
                logits_NV, exponentials_NV, local_N[rows], of_rows, gradient_N[rows], dtype=x_ND.dtype
            )

        # Compiled, nothing else reads the product, and its gradient is written in its place.
        first, *others = stretches(product_NV)
        of_product_NV = torch.empty_like(product_NV) if others else of_stretch(first)
        for rows in [first, *others] if others else []:
            of_product_NV[rows] = of_stretch(rows)
        return (
            of_product_NV @ weight_VD if wants_x else None,
            of_product_NV.t() @ x_ND if wants_weight else None,
            of_product_NV.sum(0) if wants_bias else None,
            None,
            None,
        )

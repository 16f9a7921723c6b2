"""Nats of targets under the logits of a linear head, and their gradient: what both forms of the loss compute.

    logits l = cap(scale · (x Wᵀ + b))
    nats = L - (1 - s) l[target] - s mean(l) + z L²    with L = logsumexp(l)
    d nats / d l = (1 + 2 z L) softmax(l) - s / V - (1 - s) [target]

N rows, D features, V ids. The product runs in the dtype of x, everything after it in at least float32, and the
gradient is rounded to the dtype of x once. What is kept, and when a gradient is made, is the business of
`cross_entropy` and `training_cross_entropy`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from paribus.errors import RequestError

_EAGER_ELEMENTS = 1 << 20  # logits that eager code holds in float32 at a time: 4 MiB, which caches hold


class Rows(NamedTuple):
    """Of each row: its highest logit, the sum of e to the logits less that, and the target's logit.

    In one number, logsumexp, the first two would lose digits where logits are large.
    """

    highest_N: Tensor
    exponentials_N: Tensor
    at_target_N: Tensor


class Form(NamedTuple):
    """What is made of the product x Wᵀ + b; `linear_cross_entropy` says what the options do."""

    ignore_index: int
    label_smoothing: float
    z_loss: float
    softcap: float | None
    scale: float

    def check(self) -> None:
        """Raise `RequestError` for impossible options."""
        if not 0 <= self.label_smoothing < 1:
            raise RequestError(
                f"label_smoothing is a share of the target, in [0, 1); it is {self.label_smoothing}"
            )
        if not 0 <= self.z_loss < math.inf:
            raise RequestError(f"z_loss must not be negative; it is {self.z_loss}")
        softcap = 1.0 if self.softcap is None else self.softcap
        for name, value in (("softcap", softcap), ("scale", self.scale)):
            if not 0 < value < math.inf:
                raise RequestError(f"the {name} of logits must be above zero; it is {value}")

    def targets(self, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """Targets with 0 for those that are ignored, and which are not."""
        scored_N = targets_N != self.ignore_index
        return torch.where(scored_N, targets_N, 0), scored_N

    def logits(self, product: Tensor) -> Tensor:
        """In at least float32."""
        logits = product.to(exact(product.dtype))
        logits = logits if self.scale == 1 else logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def nats(self, logits_NV: Tensor, targets_N: Tensor) -> tuple[Tensor, Rows, Tensor]:
        """Nats [N], and what their gradient is made of: `Rows`, and e to the logits less the highest [N, V]."""
        highest_N = logits_NV.amax(-1)
        exponentials_NV = (logits_NV - highest_N[:, None]).exp_()
        rows = Rows(highest_N, exponentials_NV.sum(-1), logits_NV.gather(1, targets_N[:, None])[:, 0])
        added_N = rows.exponentials_N.log()
        nats_N = added_N - (rows.at_target_N - highest_N)
        if self.label_smoothing:
            uniform_N = added_N - (logits_NV.mean(-1) - highest_N)
            nats_N = torch.lerp(nats_N, uniform_N, self.label_smoothing)
        if self.z_loss:
            nats_N = nats_N + self.z_loss * (highest_N + added_N).square()
        return nats_N, rows, exponentials_NV

    def gradient(
        self,
        logits_NV: Tensor,
        exponentials_NV: Tensor,
        targets_N: Tensor,
        rows: Rows,
        gradient_N: Tensor,
        *,
        dtype: torch.dtype,
    ) -> Tensor:
        """The gradient of the product in `dtype`, given that of the nats; overwrites the exponentials."""
        spread_N = gradient_N / rows.exponentials_N
        if self.z_loss:
            spread_N = spread_N * (1 + 2 * self.z_loss * (rows.highest_N + rows.exponentials_N.log()))
        uniform_N = gradient_N * (self.label_smoothing / logits_NV.shape[1])

        def by_product(logits: Tensor, exponentials: Tensor, less_N1: Tensor | None = None) -> Tensor:
            found = exponentials.mul_(spread_N[:, None])
            found = found - uniform_N[:, None] if self.label_smoothing else found
            found = found if less_N1 is None else found - less_N1
            found = found if self.softcap is None else found * (1 - (logits / self.softcap).square())
            return (found if self.scale == 1 else found * self.scale).to(dtype)

        # One element of a row differs. Looking for it among all of them would cost as much as the exponential.
        less_N1 = (gradient_N * (1 - self.label_smoothing))[:, None]
        exponential_N1 = (rows.at_target_N - rows.highest_N).exp()[:, None]
        at_target_N1 = by_product(rows.at_target_N[:, None], exponential_N1, less_N1)
        found_NV = by_product(logits_NV, exponentials_NV)
        return found_NV.scatter_(1, targets_N[:, None], at_target_N1)

    def plain_nats(self, x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> Tensor:
        """Nats [N] by operations that torch differentiates as often as it is asked to; 0 of ignored targets."""
        local_N, scored_N = self.targets(targets_N)
        logits_NV = self.logits(product(x_ND, weight_VD, bias_V))
        return self.nats(logits_NV, local_N)[0].masked_fill(~scored_N, 0.0)


def exact(dtype: torch.dtype) -> torch.dtype:
    """The dtype of what is computed of numbers of `dtype`: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def product(x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> Tensor:
    """x Wᵀ + b, [N, V], in the dtype of x."""
    weight_DV = weight_VD.to(x_ND.dtype).t()
    return x_ND @ weight_DV if bias_V is None else torch.addmm(bias_V.to(x_ND.dtype), x_ND, weight_DV)


def as_autocast(x: Tensor) -> Tensor:
    """x in the dtype in which autocast, where it is on, multiplies; else gradients would meet another dtype."""
    device = x.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return x
    return x if x.dtype == torch.float64 else x.to(torch.get_autocast_dtype(device))


def stretches(product_NV: Tensor) -> list[slice]:
    """The rows to work on at a time: all in compiled code, where nothing of this size is made in between."""
    count, width = product_NV.shape
    if torch.compiler.is_compiling():
        return [slice(None)]
    rows = max(1, _EAGER_ELEMENTS // width)
    return [slice(first, first + rows) for first in range(0, max(1, count), rows)]


def differentiated_again() -> bool:
    """In a backward pass: whether the gradients that it makes will be differentiated themselves."""
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def plain_gradients(
    ctx: Any, form: Form, learned: tuple[Tensor, Tensor, Tensor | None], targets_N: Tensor, gradient_N: Tensor
) -> list[Tensor | None]:
    """Those of x, weight and bias that are asked for, by operations that can be differentiated themselves."""
    # Views, as one may be made of the other (tied weights) and only its own share is asked for here.
    x_ND, weight_VD, bias_V = (None if each is None else each.view_as(each) for each in learned)
    assert x_ND is not None and weight_VD is not None
    wants = ctx.needs_input_grad[:3]
    wanted = [
        each
        for each, asked in zip((x_ND, weight_VD, bias_V), wants, strict=True)
        if asked and each is not None
    ]
    nats_N = form.plain_nats(x_ND, weight_VD, bias_V, targets_N)
    found = iter(torch.autograd.grad(nats_N, wanted, gradient_N, create_graph=True))
    return [next(found) if asked else None for asked in wants]

"""BatchNorm over tokens: each feature is normalised over all tokens of the batch, not each token over its features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.parts.init import Roles, constant
from paribus.parts.norm.wide import checked_eps, widened
from paribus.registry import part


@part(
    "norm",
    "batchnorm",
    formula=r"\frac{x - \operatorname{mean}_{B,T}(x)}{\sqrt{\operatorname{var}_{B,T}(x) + \epsilon}} \odot g + b",
    paper="arXiv:1502.03167 (Ioffe & Szegedy 2015)",
    parameters="2 d_model",
    shapes="x [..., d_model] -> [..., d_model]; weight, bias, running_mean, running_var [d_model]",
    traps=(
        "its statistics run over positions: in training a later token changes an earlier one's output, so a causal model sees the future",
        "scoring uses running statistics, so a model can be good in training and bad in scoring",
        "the batch is normalised by the biased variance, the running one is the unbiased",
        "results depend on the batch size and on how a batch is shared out over devices",
        "every row counts, padding too: the statistics are of tokens in a tensor, not of text",
        "a single token has no variance: in training its output is the bias, where torch's module raises",
    ),
)
class BatchNorm(nn.Module):
    """(x - mean) / sqrt(var + eps) · g + b for each feature, over all leading axes.

    In training mean and biased variance are the batch's, and the running ones move towards them by `momentum`
    (towards the unbiased variance, as torch does); in scoring the running ones are used. Takes x [..., d_model]
    of any floating dtype, computes in at least float32 and gives the shape and dtype of x; an empty batch
    leaves the running statistics alone. Raises `RequestError` for a momentum outside (0, 1] and unless eps is
    above zero. Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), algorithms 1 and 2.
    """

    mode_dependent = True
    over_batch = True  # a row is normed by the others, too
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, *, d_model: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        if not 0 < momentum <= 1:
            raise RequestError(f"batchnorm's momentum lies in (0, 1]; it is {momentum}")
        self.eps, self.momentum = checked_eps(eps), momentum
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.register_buffer("running_mean", torch.zeros(d_model))
        self.register_buffer("running_var", torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        wide = widened(x)
        mean, var = self.running_mean, self.running_var
        tokens = x.numel() // x.shape[-1]
        if self.training and tokens:
            rows = wide.reshape(-1, x.shape[-1])
            mean = rows.mean(0)
            var = (rows - mean).square().mean(0)
            self._remember(mean.detach(), var.detach() * (tokens / max(tokens - 1, 1)))
        return ((wide - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias).to(x.dtype)

    def _remember(self, mean: Tensor, unbiased_var: Tensor) -> None:
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased_var.to(self.running_var.dtype), self.momentum)

    def roles(self) -> Roles:
        width = self.weight.numel()
        return {"weight": constant(width, 1.0), "bias": constant(width, 0.0)}

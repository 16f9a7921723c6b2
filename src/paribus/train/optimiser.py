"""AdamW with decay on matrices only, and decay that does not depend on the learning rate."""

from __future__ import annotations

import torch
from torch import nn

from paribus.train.config import TrainConfig


def adamw(model: nn.Module, config: TrainConfig, *, peak_rate: float) -> torch.optim.AdamW:
    """Fused AdamW over the parameters of `model`.

    torch multiplies its weight decay by the rate; dividing by the peak rate here makes a step at the peak
    remove exactly `config.weight_decay` whatever the rate is, so arms tuned to other rates decay alike.
    Source: Loshchilov & Hutter 2019 (arXiv:1711.05101), whose decay is independent of the rate.
    """
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay / peak_rate},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=peak_rate,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate

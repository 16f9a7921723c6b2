"""Norms, on tokens of sizes from 1 down to where eps decides; batchnorm as it trains and as it scores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from paribus import oracles
from paribus.oracles import Array, Weights
from paribus.parts.norm.batchnorm import BatchNorm
from paribus.registry import Card
from paribus.verify.bounds import ROUNDED_ONCE
from paribus.verify.case import Case, Setting
from paribus.verify.cases.variants import Options, label, variants

_B, _T, _D = 2, 7, 6
_TRIED: tuple[Options, ...] = (
    {"eps": 0.1},
    {"bias": False},
    {"gain": False},
    {"groups": 2},
    {"offset": True},
    {"fraction": 0.5},
    {"alpha": 0.7},
    {"momentum": 0.3},
)


def cases(card: Card, setting: Setting) -> Iterator[Case]:
    """Each set of options on shrinking tokens."""
    for options in tried(card):
        module = setting.place(card.build(d_model=_D, **options))
        yield Case(
            name=label(options),
            module=module,
            forms={"": module},
            oracle=partial(oracles.NORM[card.name], **options),
            x=shrinking(setting),
            bounds=ROUNDED_ONCE,
        )
        if isinstance(module, BatchNorm):
            yield _scoring(module, setting, options)
            yield _remembered(module, setting, options)


def tried(card: Card) -> Iterator[Options]:
    """The sets of options."""
    return variants(card, _TRIED)


def shrinking(setting: Setting) -> Tensor:
    """[B, T, d_model] of normal numbers, each token about a third as large as the one before, down to 1e-3."""
    sizes = 10.0 ** (-torch.arange(_T, dtype=torch.float64) / 2)
    return setting.exactly(setting.tensor(_B, _T, _D, seed=3).cpu().double() * sizes[:, None])


def _scoring(trained: BatchNorm, setting: Setting, options: Options) -> Case:
    module = setting.place(BatchNorm(d_model=_D, **options)).eval()
    running = {
        "running_mean": setting.tensor(_D, seed=30),
        "running_var": setting.exactly(setting.tensor(_D, seed=31).cpu().double().square() + 0.5),
    }
    module.load_state_dict(running, strict=False)
    arrays = {name: each.cpu().double().numpy() for name, each in running.items()}

    def oracle(w: Weights, x: Array) -> Array:
        return oracles.batchnorm_running({**w, **arrays}, x, **options)

    return Case(
        name=", ".join(filter(None, ("in scoring", label(options)))),
        module=module,
        forms={"": module},
        oracle=oracle,
        x=setting.tensor(_B, _T, _D, seed=3),
        bounds=ROUNDED_ONCE,
    )


def _remembered(module: BatchNorm, setting: Setting, options: Options) -> Case:
    """The running mean and variance after one batch: from 0 and 1 by `momentum` towards the batch's own."""
    share = options.get("momentum", 0.1)

    def run(x: Tensor) -> Tensor:
        with torch.no_grad():
            module.running_mean.zero_()
            module.running_var.fill_(1)
            module(x)
            return torch.stack((module.running_mean, module.running_var)).to(x.dtype)

    def oracle(w: Weights, x: Array) -> Array:
        tokens = x.reshape(-1, x.shape[-1])
        return np.stack((share * tokens.mean(0), 1 - share + share * tokens.var(0, ddof=1)))

    return Case(
        name=", ".join(filter(None, ("running statistics", label(options)))),
        module=module,
        forms={"": run},
        oracle=oracle,
        x=shrinking(setting),
        bounds=ROUNDED_ONCE,
        has_gradients=False,
    )

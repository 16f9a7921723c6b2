"""Made-up losses of studies whose truth is known."""

import math

import numpy as np

from paribus.study.verdicts.verdict import judge

RATES = np.array([1.5e-3, 3e-3, 6e-3])
VALLEY = np.array([0.1, 0.0, 0.08])[:, None]
CONTROLS = ("placebo", "handicap")
# Four seeds whose noise sums to zero and differs in shape from arm to arm.
NOISE = 0.01 * np.array([[1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1], [-2, 0, 1, 1], [0, 1, 1, -2]], float)


def study(seeds=4, *, shift=(0.0, 0.0, -0.2, 0.0, 0.3)):
    """relu (baseline), gelu (equal), swiglu (better by 0.2), placebo (equal), handicap (worse by 0.3)."""
    names = ("relu", "gelu", "swiglu", "placebo", "handicap")
    noise = np.resize(NOISE, (5, seeds)) if seeds != 4 else NOISE
    return {name: 2.9 + VALLEY + s + e for name, s, e in zip(names, shift, noise)}


def verdict(losses, **options):
    return judge(losses, **{"rates": RATES, "baseline": "relu", "controls": CONTROLS} | options)


def words(judgement):
    return {name: arm.verdict for name, arm in judgement.arms.items()}


def simulated(rng, *, correlation, sd, shift=None, arms=6, seeds=4):
    """Seed blocks, valleys of uneven depth (0.05 to 0.15), and noise correlated across rates or not."""
    valley = np.zeros((arms, 3, 1))
    valley[:, [0, 2], 0] = rng.uniform(0.05, 0.15, (arms, 2))
    common, own = rng.standard_normal((arms, 1, seeds)), rng.standard_normal((arms, 3, seeds))
    noise = sd * (math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own)
    block = 0.05 * rng.standard_normal(seeds)
    names = ("relu", "gelu", "swiglu", "geglu", "reglu", "placebo")
    tables = 2.92 + valley + noise + block
    return {name: table + (shift or {}).get(name, 0.0) for name, table in zip(names, tables)}

"""Dunnett's distribution: many arms against one baseline, so m t-statistics that share one mean.

The one idea: with a shared baseline the correlation of any two statistics is 1/2, and the joint distribution is
a double integral that two short trapezium sums give to ten digits. From it come critical values, adjusted p, and
what a study of a given size can find. What is compared, and with which variance, belongs in `statistics.py`.

Letters: k arms, n seeds, m comparisons with the baseline (k - 1 when every arm was scored).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

LEVEL, POWER = 0.95, 0.80
MAX_SEEDS = 1000

# Half a normal, for the trapezium rule, which on a Gaussian converges faster than any power of the step.
_Z = np.linspace(0.0, 9.0, 46)
_Z_WEIGHT = np.exp(-(_Z**2) / 2) * np.where(_Z > 0, 2, 1)
_Z_WEIGHT /= _Z_WEIGHT.sum()


def dunnett_p(t: ArrayLike, comparisons: int, df: float) -> Floats:
    """P(max_i |T_i| >= |t|) for m t-statistics that share a baseline (correlation 1/2), elementwise in t.

    1 - E_s E_z [Phi(z + a) - Phi(z - a)]^m with a = sqrt(2) |t| s, z the baseline's normal and s the chi
    scale; `df` may be inf. Source: Dunnett 1955.
    """
    scale, scale_weight = _chi_nodes(float(df))
    a = math.sqrt(2) * np.abs(np.asarray(t, float))[..., None, None] * scale[:, None]
    # Complements throughout, so that a small p is not a difference of two numbers near one.
    outside = np.minimum(special.ndtr(-_Z - a) + special.ndtr(_Z - a), 1.0)
    with np.errstate(divide="ignore"):
        any_outside = -np.expm1(comparisons * np.log1p(-outside))
    return np.asarray((any_outside @ _Z_WEIGHT) @ scale_weight, float)


@lru_cache(maxsize=64)
def _chi_nodes(df: float) -> tuple[Floats, Floats]:
    """Nodes s and weights for the mean over s = sqrt(chi^2_df / df): the trapezium rule in log s."""
    if math.isinf(df):
        return np.ones(1), np.ones(1)
    ends = special.gammaincinv(df / 2, 1e-13), special.gammainccinv(df / 2, 1e-13)
    low, high = (math.log(2 * end / df) / 2 for end in ends)
    x = np.linspace(low, high, 2 + math.ceil((high - low) / min(0.2, 0.5 / math.sqrt(2 * df))))
    weight = np.exp(df * (x - np.exp(2 * x) / 2 + 0.5))
    return np.exp(x), weight / weight.sum()


@lru_cache(maxsize=256)
def dunnett_critical(comparisons: int, df: float, level: float = LEVEL) -> float:
    """Two-sided Dunnett critical value c: P(max_i |T_i| <= c) = level; see `dunnett_p`.

    With one comparison it is Student's. Raises ValueError unless comparisons >= 1, df >= 1, 0 < level < 1.
    """
    if comparisons < 1 or not df >= 1 or not 0 < level < 1:
        raise ValueError(f"no Dunnett value for {comparisons} comparisons, df {df}, level {level}")
    return _root(lambda c: float(dunnett_p(c, comparisons, df)) - (1 - level))


def _root(decreasing: Callable[[float], float]) -> float:
    from scipy import optimize  # 0.1 s to import

    return float(optimize.brentq(decreasing, 0.0, 1e4, xtol=1e-10))


@lru_cache(maxsize=256)
def detectable(arms: int, comparisons: int, seeds: int, level: float = LEVEL) -> float:
    """Smallest true difference, in residual sd, that a Dunnett interval of `level` finds with 80 % power.

    Solves P(|T'| > c) = 0.8 for the noncentral t with (k - 1)(n - 1) df and noncentrality d sqrt(n / 2).
    """
    df = (arms - 1) * (seeds - 1)
    c = dunnett_critical(comparisons, df, level)
    scale, weight = _chi_nodes(float(df))  # special.nctdtr gives nan at small df

    def missing(shift: float) -> float:
        found = special.ndtr(shift - c * scale) + special.ndtr(-shift - c * scale)
        return POWER - float(found @ weight)

    return _root(missing) * math.sqrt(2 / seeds)


def seeds_to_detect(difference: float, arms: int, *, level: float = LEVEL) -> int | None:
    """Fewest seeds, from 2, whose `detectable` is at most `difference` (in residual sd); None beyond 1,000.

    Every arm but one is compared with the baseline.
    """
    if detectable(arms, arms - 1, MAX_SEEDS, level) > difference:
        return None
    return _fewest(difference, arms, arms - 1, level, low=2, high=MAX_SEEDS)


def seeds_to_halve(arms: int, comparisons: int, seeds: int, level: float = LEVEL) -> int:
    """Fewest seeds whose `detectable` is at most half of that of `seeds`."""
    goal = detectable(arms, comparisons, seeds, level) / 2
    # Four times always do, since c falls with df.
    return _fewest(goal, arms, comparisons, level, low=seeds + 1, high=4 * seeds)


def _fewest(goal: float, arms: int, comparisons: int, level: float, *, low: int, high: int) -> int:
    """First number of seeds in [low, high] whose `detectable` is at most `goal`; that of `high` is known to be."""
    while low < high:
        middle = (low + high) // 2
        if detectable(arms, comparisons, middle, level) <= goal:
            high = middle
        else:
            low = middle + 1
    return low

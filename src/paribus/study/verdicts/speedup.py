"""Effective speed-up: how much longer the baseline would have to train to reach an arm's loss.

The one idea: the handicap, which is the baseline on a fraction of the tokens, tells what compute is worth in loss
*here*; so a difference of losses becomes a factor of compute without an exponent borrowed from elsewhere.
Multiplied by the ratio of throughputs it is a factor of time. Over a ladder of sizes, where models and their text grow
together, the baseline's curve L = E + A C^-alpha through three or more takes the place of the straight line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from paribus.study.verdicts.dunnett import LEVEL
from paribus.study.verdicts.score import Floats

_ALPHAS = np.geomspace(0.01, 3.0, 61)  # beyond these a curve is a straight line or a step


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A factor and its interval [low, high]; without ends where nothing tells its error."""

    value: float
    low: float | None
    high: float | None


#: As fast as the baseline, for certain.
EQUAL = Ratio(value=1.0, low=1.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class Speedup:
    """`value` = `loss_factor` x `throughput.value`, with its interval [low, high].

    Above 1 the arm is faster than the baseline to one loss. None: no finite number says it (the handicap was
    no worse, or the baseline never gets there); an end that is None is unbounded. `extrapolated`: the arm's loss
    lies outside what was measured of the baseline.
    """

    value: float | None
    low: float | None
    high: float | None
    loss_factor: float | None
    throughput: Ratio
    extrapolated: bool


def throughput_ratio(baseline: ArrayLike, arm: ArrayLike, *, level: float = LEVEL) -> Ratio:
    """How many times as many tokens a second the arm's trials [n] trained as the baseline's [m], by their medians.

    Trials of an arm often run one after the other, so whatever slows the machine slows several of them: the error of a
    median is taken to be the whole spread of its trials, however many they are. Interval: Welch's, of the
    difference of logarithms with variances s^2 in place of s^2 / n; without ends for a single trial of either.
    Simulated coverage of the 95 % (`tests/study/test_speedup.py`), for a machine whose pace wanders: 90 to 97 % where
    it keeps a pace for three trials or for many times as many as an arm has, more where each has its own.
    Raises ValueError unless both have trials and all numbers are finite and positive.
    """
    speeds = [np.asarray(values, float) for values in (baseline, arm)]
    if not all(each.ndim == 1 and each.size and (np.isfinite(each) & (each > 0)).all() for each in speeds):
        raise ValueError(f"no ratio of throughputs from {[each.tolist() for each in speeds]}")
    value = float(np.median(speeds[1]) / np.median(speeds[0]))
    if min(each.size for each in speeds) < 2:
        return Ratio(value=value, low=None, high=None)
    variances = [float(np.log(each).var(ddof=1)) for each in speeds]
    if not (total := sum(variances)):
        return Ratio(value=value, low=value, high=value)
    parts = [
        (variance / total) ** 2 / (each.size - 1) for variance, each in zip(variances, speeds, strict=True)
    ]
    margin = float(special.stdtrit(1 / sum(parts), (1 + level) / 2)) * math.sqrt(total)
    return Ratio(value=value, low=value * math.exp(-margin), high=value * math.exp(margin))


def effective_speedup(
    baseline: ArrayLike,
    handicap: ArrayLike,
    arm: ArrayLike,
    *,
    fraction: float,
    tokens_ratio: float = 1.0,
    throughput: Ratio = EQUAL,
    level: float = LEVEL,
) -> Speedup:
    """Speed-up from pseudo-values [n] of the baseline, the baseline on `fraction` of the tokens, and an arm.

    With L(C) = L(1) - slope ln C through both points, slope = (handicap - baseline) / -ln fraction, the
    baseline needs exp((baseline - arm) / slope) of its tokens, to compare with `tokens_ratio`, the arm's own over
    the baseline's. Interval: Fieller's, for the ratio of two means
    paired by seed (exact for normal seeds, and it keeps that the baseline is in both); where the slope itself
    may be zero it has no ends. `throughput` is tokens/s of the arm over that of the baseline; its own interval
    widens this one, squares of the logarithms' distances added on either side (Zou and Donner 2008).
    Raises ValueError unless 0 < fraction < 1 and all three have the same n >= 1. Source: Fieller 1954.
    """
    base, less, own = (np.asarray(values, float) for values in (baseline, handicap, arm))
    if not 0 < fraction < 1 or base.ndim != 1 or not base.size or not base.shape == less.shape == own.shape:
        raise ValueError(
            f"no speed-up from a fraction {fraction:g} and shapes {base.shape, less.shape, own.shape}"
        )
    gain, cost, log_ratio = base - own, less - base, -math.log(fraction)
    low, high = _fieller(gain, cost, level)
    theta = float(gain.mean() / cost.mean()) if cost.mean() > 0 else None
    ends = sorted((float(base.mean()), float(less.mean())))
    own_share = math.log(tokens_ratio)
    return _speedup(
        *(None if end is None else end * log_ratio - own_share for end in (theta, low, high)),
        throughput=throughput,
        extrapolated=not ends[0] <= own.mean() <= ends[1],
    )


def _speedup(
    log_factor: float | None,
    low: float | None,
    high: float | None,
    *,
    throughput: Ratio,
    extrapolated: bool,
) -> Speedup:
    log_ratio = math.log(throughput.value)

    def end(of_factor: float | None, of_throughput: float | None, *, sign: int) -> float | None:
        if log_factor is None or of_factor is None or of_throughput is None:
            return None
        away = math.hypot(of_factor - log_factor, math.log(of_throughput) - log_ratio)
        return _exp(log_factor + log_ratio + sign * away)

    factor = _exp(log_factor)
    return Speedup(
        value=None if factor is None else factor * throughput.value,
        low=end(low, throughput.low, sign=-1),
        high=end(high, throughput.high, sign=1),
        loss_factor=factor,
        throughput=throughput,
        extrapolated=extrapolated,
    )


def _exp(log_value: float | None) -> float | None:
    """None also where the number is past all meaning: more than 1e12 times, or less than its inverse."""
    return None if log_value is None or abs(log_value) > 12 * math.log(10) else math.exp(log_value)


def _fieller(x: Floats, y: Floats, level: float) -> tuple[float | None, float | None]:
    """Fieller's interval of mean(x) / mean(y) for pairs; without ends unless mean(y) is clearly positive.

    All r with (x - r y)^2 <= t^2 var(x - r y) / n, means and variances over pairs: a quadratic in r.
    """
    n = len(x)
    if n < 2:
        return None, None
    t2 = float(special.stdtrit(n - 1, (1 + level) / 2)) ** 2 / n
    (xx, xy), (_, yy) = np.cov(x, y)
    mean_x, mean_y = float(x.mean()), float(y.mean())
    a, b, c = mean_y**2 - t2 * yy, mean_x * mean_y - t2 * xy, mean_x**2 - t2 * xx
    if mean_y <= 0 or a <= 0:
        return None, None
    root = math.sqrt(max(b * b - a * c, 0.0))
    return float((b - root) / a), float((b + root) / a)


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """Loss against compute, L = `floor` + `scale` C^-`exponent`; C in whatever unit it was fitted in."""

    floor: float
    scale: float
    exponent: float

    def loss(self, compute: ArrayLike) -> Floats:
        """L(C), elementwise."""
        return np.asarray(self.floor + self.scale * np.asarray(compute, float) ** -self.exponent, float)

    def compute(self, loss: float) -> float | None:
        """C of that loss; None at or below the floor, which no compute reaches."""
        if loss <= self.floor or self.scale <= 0:
            return None
        log_compute = (math.log(self.scale) - math.log(loss - self.floor)) / self.exponent
        return math.exp(log_compute) if log_compute < 700 else None


def fit_power_law(compute: ArrayLike, losses: ArrayLike) -> PowerLaw:
    """Least squares fit of L = E + A C^-alpha with E, A >= 0 and 0.01 <= alpha <= 3, to three or more points.

    For one alpha E and A are linear; alpha is searched on a grid in log alpha and then by Brent's method.
    `compute` and `losses` [P]. Raises ValueError for fewer than three different, positive, finite points.
    """
    c, y = np.asarray(compute, float), np.asarray(losses, float)
    if c.shape != y.shape or len(np.unique(c)) < 3 or not (c > 0).all() or not np.isfinite([c, y]).all():
        raise ValueError(f"a curve needs three or more compute points and their losses, not {c.tolist()}")
    log_c = np.log(c / np.exp(np.log(c).mean()))  # about 1, so that C^-alpha neither under- nor overflows
    best = float(_minimise(lambda log_alpha: _linear(log_c, y, math.exp(log_alpha))[2], np.log(_ALPHAS)))
    alpha = math.exp(best)
    floor, scale, _ = _linear(log_c, y, alpha)
    return PowerLaw(floor=floor, scale=scale * math.exp(alpha * float(np.log(c).mean())), exponent=alpha)


def _linear(log_c: Floats, y: Floats, alpha: float) -> tuple[float, float, float]:
    """E, A >= 0 of least squares and the sum of squares, for a given alpha."""
    x = np.exp(-alpha * log_c)
    away = x - x.mean()
    scale = max(float(away @ y / (away @ away)), 0.0)
    floor = float(y.mean() - scale * x.mean())
    if floor < 0:
        floor, scale = 0.0, float(x @ y / (x @ x))
    return floor, scale, float(((y - floor - scale * x) ** 2).sum())


def _minimise(f: Callable[[float], float], grid: Floats) -> float:
    from scipy import optimize  # 0.1 s to import

    at = int(np.argmin([f(x) for x in grid]))
    bounds = float(grid[max(at - 1, 0)]), float(grid[min(at + 1, len(grid) - 1)])
    found = optimize.minimize_scalar(f, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return float(found.x) if found.fun < f(grid[at]) else float(grid[at])


def speedup_on_curve(
    compute: ArrayLike,
    baseline: ArrayLike,
    arm: ArrayLike,
    *,
    at: float,
    spent: float | None = None,
    level: float = LEVEL,
) -> Speedup:
    """What an arm is worth in compute where the baseline was trained with `at`, by the baseline's own fitted curve.

    `compute` [P], three or more; `baseline` [P, n] its losses there, `arm` [n]; column j is one seed throughout,
    and `at` is one of `compute`. The factor is C(L(at) + arm - baseline at `at`) / `spent`, the arm's own compute
    (default: `at`): the curve is recentred on the baseline, so that an arm of equal loss and compute gets exactly 1
    however well the curve fits. Interval: Student's
    over jackknife pseudo-values of the log factor, the curve fitted anew without each seed; without ends where
    the baseline never gets there (also without some seed). `extrapolated`: C lies outside `compute`. Raises
    ValueError as `fit_power_law`, or if shapes or `at` do not fit.
    """
    c, table, own = (np.asarray(values, float) for values in (compute, baseline, arm))
    if c.ndim != 1 or own.ndim != 1 or not own.size or table.shape != (len(c), len(own)):
        raise ValueError(f"losses of shape {table.shape} and {own.shape} do not fit {c.shape} compute points")

    here = int(np.argmin(np.abs(c - at)))
    if not math.isclose(c[here], at, rel_tol=1e-6):
        raise ValueError(f"the baseline has no losses at {at:g}, only at {c.tolist()}")

    def log_factor(keep: list[int]) -> float | None:
        curve = fit_power_law(c, table[:, keep].mean(axis=1))
        reached = curve.compute(float(curve.loss(at) + own[keep].mean() - table[here, keep].mean()))
        return None if not reached else math.log(reached / (spent or at))

    seeds = list(range(len(own)))
    whole = log_factor(seeds)
    extrapolated = whole is None or not c.min() <= (spent or at) * math.exp(whole) <= c.max()
    low, high = _jackknife(
        whole, [log_factor([s for s in seeds if s != j]) for j in seeds] if seeds[1:] else [], level
    )
    return _speedup(whole, low, high, throughput=EQUAL, extrapolated=extrapolated)


def _jackknife(
    whole: float | None, without: list[float | None], level: float
) -> tuple[float | None, float | None]:
    n = len(without)
    known = [value for value in without if value is not None]
    if whole is None or n < 2 or len(known) < n:
        return None, None
    pseudo = n * whole - (n - 1) * np.array(known)
    half = float(special.stdtrit(n - 1, (1 + level) / 2) * pseudo.std(ddof=1) / math.sqrt(n))
    return whole - half, whole + half

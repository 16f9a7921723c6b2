"""Does a difference grow or shrink with the size of the model: its slope over a ladder of sizes.

The one idea: a difference found at one size says nothing of the next; a line through the differences of several
sizes, each with the standard error its own study gave it, says which way it goes and whether that is clear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from paribus.study.verdicts.score import Floats


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Change of the difference per doubling of parameters, `slope`, with its 95 % interval [low, high] and two-sided
    `p`; `sizes` it rests on; `between_sd`, what sizes vary by beyond the line and their errors (0: nothing)."""

    slope: float
    low: float
    high: float
    p: float
    sizes: int
    between_sd: float


def trend(
    params: ArrayLike, differences: ArrayLike, standard_errors: ArrayLike, dfs: ArrayLike | None = None
) -> Trend | None:
    """Weighted least squares of difference = a + slope log2(params), weights 1 / (se^2 + tau^2).

    All [P]; the errors are > 0 and independent from size to size, and were estimated with `dfs` degrees of freedom
    (None: they are known). Two sizes give their line, and the interval of their errors alone, Student's with the
    degrees of freedom that the slope's error has by Satterthwaite's formula. From three on, residuals may exceed the errors (Q > P - 2): then the between-
    size variance tau^2 that makes Q = P - 2 is added (random effects; Paule and Mandel 1982), and the interval is
    Student's with P - 2 degrees of freedom (Knapp and Hartung 2003), very wide at three sizes; otherwise tau = 0
    and it is as of two. Simulated coverage of the 95 % (`tests/study/test_trend.py`): 94 to 97 % where the errors
    say it all; where sizes vary by 2 to 4 times their errors, 87 to 88 % at three sizes and 92 to 94 % at four.
    None with fewer than two different sizes. Raises ValueError for shapes that differ, or numbers that are not
    finite and, but for the differences, positive.
    """
    size, y, error = (np.asarray(values, float) for values in (params, differences, standard_errors))
    positive = np.concatenate([size.ravel(), error.ravel()])
    if not size.shape == y.shape == error.shape or not (positive > 0).all():
        raise ValueError("a trend needs a size, a difference and a positive standard error for every rung")
    if not np.isfinite([size, y, error]).all():
        raise ValueError("a trend needs finite sizes, differences and standard errors")
    if len(np.unique(size)) < 2:
        return None
    x, beyond = np.log2(size), len(size) - 2
    tau2 = _between(x, y, error**2, beyond)
    slope, variance, _ = _line(x, y, error**2 + tau2)
    error_of_slope = math.sqrt(variance)
    df = float(beyond) if tau2 else math.inf if dfs is None else _satterthwaite(x, error**2, dfs)
    half = float(special.stdtrit(df, 0.975)) * error_of_slope
    p = 2 * float(special.stdtr(df, -abs(slope) / error_of_slope))
    return Trend(
        slope=slope, low=slope - half, high=slope + half, p=p, sizes=len(size), between_sd=math.sqrt(tau2)
    )


def _line(x: Floats, y: Floats, variance: Floats) -> tuple[float, float, float]:
    """Slope, its variance, and Q, the weighted sum of squared residuals."""
    weight = 1 / variance
    dx, dy = x - (weight @ x) / weight.sum(), y - (weight @ y) / weight.sum()
    spread = float(weight @ dx**2)
    slope = float((weight * dx) @ dy) / spread
    return slope, 1 / spread, float(weight @ (dy - slope * dx) ** 2)


def _satterthwaite(x: Floats, variance: Floats, dfs: ArrayLike) -> float:
    """Degrees of freedom of the slope's variance, sum of share_i variance_i. Source: Satterthwaite 1946."""
    weight = 1 / variance
    share = (weight * (x - (weight @ x) / weight.sum())) ** 2 * variance
    return float(share.sum() ** 2 / (share**2 / np.asarray(dfs, float)).sum())


def _between(x: Floats, y: Floats, variance: Floats, df: int) -> float:
    """tau^2 with Q(tau^2) = df; 0 where Q(0) is no larger. Bisects, since Q falls with tau^2."""
    if df < 1 or _line(x, y, variance)[2] <= df:
        return 0.0
    low, high = 0.0, float(np.ptp(y) ** 2)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _line(x, y, variance + middle)[2] > df else (low, middle)
    return high

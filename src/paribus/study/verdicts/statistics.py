"""The statistics of a study: from one value for each arm and seed to simultaneous intervals; nothing about words.

The one idea: a seed is a block over all arms, so what it does to every arm alike is taken out, and all arms are
compared with the baseline as one family. Where the values come from is in `score.py`, the distribution of the
family in `dunnett.py`; what a number *means* (verdicts, controls, reasons) belongs in `verdict.py`.

Letters: k arms, n seeds, m comparisons with the baseline (k - 1 when every arm was scored).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from paribus.study.verdicts.dunnett import LEVEL, dunnett_critical, dunnett_p

Floats = NDArray[np.float64]


def equivalence_level(level: float) -> float:
    """Level of the interval that two one-sided tests at 1 - level use: 1 - 2 (1 - level), 0.90 for 0.95."""
    return 1 - 2 * (1 - level)


@dataclass(frozen=True, kw_only=True)
class TwoWay:
    """Arms by seeds, seed a block: `means` [k], `variances` [k] within arms, `residual_squares` [k] summed over
    an arm's seeds, `df` = (k-1)(n-1), `residual_variance`, and `pairing_ratio` = mean within-arm variance / residual
    variance (what the block bought: 1 is nothing, nan when the residuals are zero)."""

    means: Floats
    variances: Floats
    residual_squares: Floats
    residual_variance: float
    df: int
    pairing_ratio: float
    seeds: int

    @property
    def standard_error(self) -> float:
        """Of a difference of two arms: sqrt(2 s^2 / n)."""
        return math.sqrt(2 * self.residual_variance / self.seeds)


def two_way(values: ArrayLike) -> TwoWay:
    """Fit value = arm + seed + residual to `values` [k, n] by least squares; needs k, n >= 2."""
    y = np.asarray(values, float)
    k, n = y.shape
    if k < 2 or n < 2:
        raise ValueError(f"a two-way layout needs at least 2 arms and 2 seeds, not {k} and {n}")
    means, within, df = y.mean(axis=1), y.var(axis=1, ddof=1), (k - 1) * (n - 1)
    residuals = y - means[:, None] - y.mean(axis=0) + y.mean()
    squares = (residuals**2).sum(axis=1)
    s2 = float(squares.sum() / df)
    if math.sqrt(s2) <= 1e-12 * np.abs(y).max():  # rounding, not noise
        s2 = 0.0
    ratio = float(within.mean() / s2) if s2 else math.nan
    return TwoWay(
        means=means,
        variances=within,
        residual_squares=squares,
        residual_variance=s2,
        df=df,
        pairing_ratio=ratio,
        seeds=n,
    )


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """Every arm minus the baseline, [k] (the baseline's own entry is 0 +- 0, p 1), as one family.

    An interval difference +- half_width excludes zero exactly when p_adjusted < 1 - level.
    `equivalence_widths` are the half-widths at `equivalence_level(level)`. `critical` and `df` are None where
    no variance is pooled.
    """

    differences: Floats
    standard_errors: Floats
    half_widths: Floats
    equivalence_widths: Floats
    p_adjusted: Floats
    critical: float | None
    df: int | None


def compare_pooled(layout: TwoWay, baseline: int, *, level: float = LEVEL) -> Comparisons:
    """Dunnett intervals with the residual variance of all arms: d +- c sqrt(2 s^2 / n)."""
    m, d = len(layout.means) - 1, layout.means - layout.means[baseline]
    error, critical = layout.standard_error, dunnett_critical(m, layout.df, level)
    p = dunnett_p(d / error, m, layout.df) if error else (d == 0).astype(float)
    p[baseline] = 1.0
    errors = np.full(m + 1, error)
    errors[baseline] = 0.0
    return Comparisons(
        differences=d,
        standard_errors=errors,
        half_widths=critical * errors,
        equivalence_widths=dunnett_critical(m, layout.df, equivalence_level(level)) * errors,
        p_adjusted=p,
        critical=critical,
        df=layout.df,
    )


def compare_apart(values: ArrayLike, baseline: int, apart: int, *, level: float = LEVEL) -> Comparisons:
    """Intervals of `values` [k, n], k >= 3, where one arm has a variance of its own and the others share theirs.

    Two of the others differ by d +- t sqrt(2 s^2 / n), s^2 the residual variance without that arm. A difference of the arm
    is one from the mean of the others, whose variance v has n - 1 degrees of freedom, and one within them:
    d +- t sqrt((v + s^2 (k-2)/(k-1)) / n), with Satterthwaite's degrees of freedom. What a seed does to all falls out of
    both. Bonferroni over the family, and not Holm, because Holm's adjusted p has no interval that excludes zero exactly
    when it is small, and a verdict here is an interval that excludes zero. Source: Welch 1947.
    """
    y = np.asarray(values, float)
    k, n = y.shape
    others = np.delete(y, apart, axis=0)
    shared = two_way(others)
    own, within = (y[apart] - others.mean(axis=0)).var(ddof=1), shared.residual_variance * (k - 2) / (k - 1)
    concerned = np.arange(k) == apart if apart != baseline else np.full(k, True)
    variance = np.where(concerned, own + within, 2 * shared.residual_variance)
    freedom = (own + within) ** 2 / (own**2 / (n - 1) + within**2 / shared.df)
    d = y.mean(axis=1) - y[baseline].mean()
    return _by_bonferroni(
        d, np.sqrt(variance / n), np.where(concerned, freedom, shared.df), baseline, level=level
    )


def compare_paired(values: ArrayLike, baseline: int, *, level: float = LEVEL) -> Comparisons:
    """Student's paired intervals of `values` [k, n], Bonferroni over the family: no variance is shared.

    Each is exact whatever else is in the family: d +- t sqrt(var(d by seed) / n) with n - 1 degrees of freedom.
    """
    by_seed = _from_baseline(values, baseline)
    n = by_seed.shape[1]
    error = np.sqrt(by_seed.var(axis=1, ddof=1) / n)
    df = np.full(len(error), n - 1.0)
    return _by_bonferroni(by_seed.mean(axis=1), error, df, baseline, level=level)


def _from_baseline(values: ArrayLike, baseline: int) -> Floats:
    """Differences from the baseline by seed, [k, n], with what is rounding taken for none."""
    y = np.asarray(values, float)
    by_seed = y - y[baseline]
    spread = np.ptp(by_seed, axis=1, keepdims=True)
    return np.where(spread <= 1e-12 * np.abs(y).max(), by_seed.mean(axis=1, keepdims=True), by_seed)


def _by_bonferroni(d: Floats, error: Floats, df: Floats, baseline: int, *, level: float) -> Comparisons:
    m = len(d) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(np.abs(d) / error, nan=0.0, posinf=np.inf)
    p = np.minimum(1.0, 2 * m * special.stdtr(df, -t))
    p[baseline], error[baseline] = 1.0, 0.0

    def half_widths(level: float) -> Floats:
        return np.asarray(special.stdtrit(df, 1 - (1 - level) / (2 * m)) * error, float)

    return Comparisons(
        differences=d,
        standard_errors=error,
        half_widths=half_widths(level),
        equivalence_widths=half_widths(equivalence_level(level)),
        p_adjusted=p,
        critical=None,
        df=None,
    )


def _welch(variances: Floats, other: float, n: int) -> tuple[Floats, Floats]:
    """Standard error of a difference of two means of n, and Satterthwaite's degrees of freedom."""
    total = variances + other
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (n - 1) * total**2 / (variances**2 + other**2)
    return np.sqrt(total / n), np.nan_to_num(df, nan=n - 1.0)


def difference_ratio(values: ArrayLike, baseline: int) -> tuple[float, float]:
    """Largest over smallest variance of the differences from the baseline by seed, and the chance of one as large.

    Pooling takes any two arms to go along with each other alike. Where some arms share the baseline's draws and others
    do not, their differences vary unalike though they themselves do not. The null is that all k arms of `values` [k, n]
    are alike. An arm that equals the baseline but for a constant says nothing of chance and is left out.
    """
    by_seed = np.delete(_from_baseline(values, baseline), baseline, axis=0)
    variances = by_seed.var(axis=1, ddof=1)
    variances = variances[variances > 0]
    if len(variances) < 2:
        return 1.0, 1.0
    ratio = float(variances.max() / variances.min())
    return ratio, _chance(ratio, _null_difference_ratios(len(variances), by_seed.shape[1]))


def _chance(ratio: float, null: Floats) -> float:
    """The share of the null's ratios, sorted, that are as large; never 0."""
    return (1 + len(null) - int(np.searchsorted(null, ratio))) / (1 + len(null))


@lru_cache(maxsize=64)
def _null_difference_ratios(m: int, n: int) -> Floats:
    rng = np.random.default_rng((m, n))
    ratios = []
    for _ in range(20):  # in parts: all draws at once would take memory by the number of arms
        draws = rng.standard_normal((1_000, m + 1, n))
        variances = (draws[:, 1:] - draws[:, :1]).var(axis=2, ddof=1)
        ratios.append(variances.max(axis=1) / variances.min(axis=1))
    return np.sort(np.concatenate(ratios))


def noise_ratios(layout: TwoWay) -> tuple[Floats, Floats]:
    """For each arm [k] its variance over that of the others, and the chance of one as large if all are alike.

    Of three or more arms, and whatever the block: an arm's residuals r have its noise and a k-th part of everybody's, so
    F = (k-1)/k (ratio + 1/(k-1)), where F compares k/(k-1) sum r^2 on n-1 degrees of freedom with what the others leave
    of all squares on (k-2)(n-1). Exact for any one arm; times k it bounds the chance that some arm is so noisy.
    Source: Russell and Bradley 1958.
    """
    k, own, rest = len(layout.means), layout.seeds - 1, (len(layout.means) - 2) * (layout.seeds - 1)
    squares = layout.residual_squares * k / (k - 1)
    others = np.maximum(layout.residual_squares.sum() - squares, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.nan_to_num((squares / own) / (others / rest), nan=1.0, posinf=np.inf)
    return np.maximum((f * k - 1) / (k - 1), 0.0), special.fdtrc(own, rest, f)


def tukey_group(layout: TwoWay, rows: Sequence[int], *, pooled: bool, level: float = LEVEL) -> list[int]:
    """Which arms of `rows` Tukey's test cannot tell from the one of lowest mean; lowest mean first.

    Pooled: the residual variance of all arms. Else Games and Howell (1976): each pair its own variances and
    Satterthwaite df, rounded down (cautious, and cached).
    """
    order = sorted(rows, key=lambda row: layout.means[row])
    gaps = layout.means[order] - layout.means[order[0]]
    error, df = _welch(layout.variances[order], layout.variances[order[0]], layout.seeds)
    if pooled:
        error, df = np.full(len(order), layout.standard_error), np.full(len(order), layout.df)
    limits = [_tukey_critical(len(order), math.floor(d), level) for d in df]
    return [r for r, gap, e, q in zip(order, gaps, error, limits) if gap <= q * e / math.sqrt(2)]


@lru_cache(maxsize=256)
def _tukey_critical(k: int, df: float, level: float) -> float:
    from scipy import stats  # over a second to import

    return float(stats.studentized_range.ppf(level, k, df))

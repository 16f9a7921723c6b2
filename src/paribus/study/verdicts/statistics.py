"""The statistics of a study: from one value for each arm and seed to simultaneous intervals; nothing about words.

The one idea: a seed is a block over all arms, so what it does to every arm alike is taken out, and all arms are
compared with the baseline as one family. Where the values come from is in `score.py`, the distribution of the
family in `dunnett.py`; what a number *means* (verdicts, controls, reasons) belongs in `verdict.py`.

Letters: k arms, n seeds, m comparisons with the baseline (k - 1 when every arm was scored).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
    """Arms by seeds, seed a block: `means` [k], `residual_squares` [k] summed over an arm's seeds, `df` = (k-1)(n-1),
    `residual_variance`, and `pairing_ratio` = mean within-arm variance / residual variance (what the block bought: 1 is
    nothing, nan when the residuals are zero)."""

    means: Floats
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
    no one variance is that of all.
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


def compare_apart(
    values: ArrayLike, baseline: int, apart: Sequence[int], *, level: float = LEVEL
) -> Comparisons:
    """Intervals of `values` [k, n] where each arm in `apart` has a variance of its own and the others share theirs.

    Bonferroni over the family, and not Holm, because Holm's adjusted p has no interval that excludes zero exactly when it
    is small, and a verdict here is an interval that excludes zero. See `errors_apart`.
    """
    error, df = errors_apart(values, baseline, apart)
    return _by_bonferroni(values, error, df, baseline, level=level)


def compare_paired(values: ArrayLike, baseline: int, *, level: float = LEVEL) -> Comparisons:
    """Student's paired intervals of `values` [k, n], Bonferroni over the family: no variance is shared.

    Each is exact whatever else is in the family: d +- t sqrt(var(d by seed) / n) with n - 1 degrees of freedom.
    """
    error, df = errors_paired(values, baseline)
    return _by_bonferroni(values, error, df, baseline, level=level)


def errors_apart(values: ArrayLike, reference: int, apart: Sequence[int]) -> tuple[Floats, Floats]:
    """Standard errors [k] of the differences from `reference`, and their degrees of freedom.

    The q >= 2 arms that are not in `apart` share a residual variance s^2, and two of them differ with variance 2 s^2 / n.
    A difference of an arm in `apart` from one of them is one from their mean, whose variance v by seed has n - 1 degrees of
    freedom, and one within them: (v + s^2 (q-1)/q) / n, with Satterthwaite's degrees of freedom. Two in `apart` differ with
    the variance of their difference by seed. What a seed does to all falls out of each. Source: Welch 1947.
    """
    y = np.asarray(values, float)
    k, n = y.shape
    quiet = [row for row in range(k) if row not in apart]
    shared = two_way(y[quiet])
    s2, q = shared.residual_variance, len(quiet)
    own = np.array([(y[row] - y[quiet].mean(axis=0)).var(ddof=1) for row in range(k)])
    error, df = errors_paired(y, reference)  # of two in apart
    for row in range(k):
        odd = [each for each in (row, reference) if each in apart]
        if not odd:
            error[row], df[row] = math.sqrt(2 * s2 / n), shared.df
        elif len(odd) == 1:
            v, within = float(own[odd[0]]), s2 * (q - 1) / q
            error[row] = math.sqrt((v + within) / n)
            df[row] = (v + within) ** 2 / (v**2 / (n - 1) + within**2 / shared.df) if v + within else n - 1
    return error, df


def errors_paired(values: ArrayLike, reference: int) -> tuple[Floats, Floats]:
    """Standard errors [k] of the differences from `reference` by seed, each by itself, and their degrees of freedom."""
    by_seed = _from_baseline(values, reference)
    k, n = by_seed.shape
    return np.sqrt(by_seed.var(axis=1, ddof=1) / n), np.full(k, n - 1.0)


def _from_baseline(values: ArrayLike, baseline: int) -> Floats:
    """Differences from the baseline by seed, [k, n], with what is rounding taken for none."""
    y = np.asarray(values, float)
    by_seed = y - y[baseline]
    spread = np.ptp(by_seed, axis=1, keepdims=True)
    return np.where(spread <= 1e-12 * np.abs(y).max(), by_seed.mean(axis=1, keepdims=True), by_seed)


def _by_bonferroni(
    values: ArrayLike, error: Floats, df: Floats, baseline: int, *, level: float
) -> Comparisons:
    y = np.asarray(values, float)
    d = y.mean(axis=1) - y[baseline].mean()
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


def noise_chances(layout: TwoWay) -> Floats:
    """For each of k >= 3 arms the chance, if all are alike, of residuals as far above those of the others.

    Whatever the block: an arm's residuals r have its noise and a k-th part of everybody's, so k/(k-1) sum r^2 on n-1
    degrees of freedom is independent of what the others leave of all squares, on (k-2)(n-1). Exact for any one arm; times
    k it bounds the chance that some arm is so noisy. Source: Russell and Bradley 1958.
    """
    k, own, rest = len(layout.means), layout.seeds - 1, (len(layout.means) - 2) * (layout.seeds - 1)
    squares = layout.residual_squares * k / (k - 1)
    others = np.maximum(layout.residual_squares.sum() - squares, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.nan_to_num((squares / own) / (others / rest), nan=1.0, posinf=np.inf)
    return np.asarray(special.fdtrc(own, rest, f), float)


def noise_ratio(values: ArrayLike, row: int, others: Sequence[int]) -> float:
    """The variance of an arm over the one that q other arms share; what a seed does to all falls out of both.

    var(arm - mean of the others) = its own + theirs / q. inf where they have none.
    """
    y = np.asarray(values, float)
    shared = two_way(y[list(others)]).residual_variance
    own = float((y[row] - y[list(others)].mean(axis=0)).var(ddof=1))
    return max(own / shared - 1 / len(others), 0.0) if shared else math.inf


def tukey_group(
    means: Floats,
    rows: Sequence[int],
    errors: Callable[[int], tuple[Floats, Floats]],
    *,
    level: float = LEVEL,
) -> list[int]:
    """Which arms of `rows` Tukey's test cannot tell from the one of lowest mean; lowest mean first.

    `errors` gives the standard errors of all differences from an arm, and their degrees of freedom, which are rounded down
    (cautious, and cached).
    """
    order = sorted(rows, key=lambda row: means[row])
    error, df = errors(order[0])
    limits = {row: _tukey_critical(len(order), math.floor(df[row]), level) for row in order}
    best = means[order[0]]
    return [row for row in order if means[row] - best <= limits[row] * error[row] / math.sqrt(2)]


@lru_cache(maxsize=256)
def _tukey_critical(k: int, df: float, level: float) -> float:
    from scipy import stats  # over a second to import

    return float(stats.studentized_range.ppf(level, k, df))

"""The statistics of a study: from a grid of losses to simultaneous intervals, and nothing about words.

The one idea: an arm is scored at its *own* best learning rate, and the price of choosing that rate is paid
in the interval, because the jackknife repeats the choice without each seed in turn. What a number *means*
(verdicts, controls, reasons) belongs in `verdict.py`.

Letters: k arms, n seeds, m comparisons with the baseline (k - 1 when every arm was scored), R rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
State = Literal["inside", "low edge", "high edge", "both edges"]

LEVEL, POWER = 0.95, 0.80

# Half a normal, for the trapezium rule, which on a Gaussian converges faster than any power of the step.
_Z = np.linspace(0.0, 9.0, 46)
_Z_WEIGHT = np.exp(-(_Z**2) / 2) * np.where(_Z > 0, 2, 1)
_Z_WEIGHT /= _Z_WEIGHT.sum()


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """Where an arm is best: its score `value` at `rate`; `index` of the grid minimum and its `state`."""

    value: float
    rate: float
    index: int
    state: State


def optimum(rates: ArrayLike, means: ArrayLike) -> Optimum:
    """Minimum of the quadratic in log rate through the grid minimum and its two neighbours.

    `rates` [R], increasing; `means` [R] with inf where a rate diverged and nan where it is unknown. On an
    edge of the grid, or beside a diverged rate (which counts as higher), the score is the grid value.
    Raises ValueError if no mean is finite or a neighbour of the minimum is unknown.
    """
    log_rates, y = np.log(np.asarray(rates, float)), np.asarray(means, float)
    if not np.isfinite(y).any():
        raise ValueError("no rate has a finite mean loss, so there is no minimum")
    index, last = int(np.nanargmin(y)), len(y) - 1
    near = y[max(index - 1, 0) : index + 2]
    if np.isnan(near).any():
        raise ValueError(f"the rate at index {index} has a neighbour whose mean loss is unknown")
    state: State = "inside"
    if index == 0 or index == last:
        state = "both edges" if last == 0 else "low edge" if index == 0 else "high edge"
    # Local on purpose: a diverging or far point of an extended grid would bend a global fit.
    value, at = y[index], log_rates[index]
    if state == "inside" and np.isfinite(near).all():
        value, at = _vertex(log_rates[index - 1 : index + 2], near)
    return Optimum(value=float(value), rate=float(np.exp(at)), index=index, state=state)


def _vertex(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Minimum over [x0, x2] of the parabola through (x, y[..., 3]), in Newton's form; value and place."""
    y0, y1, y2 = y[..., 0], y[..., 1], y[..., 2]
    slope = (y1 - y0) / (x[1] - x[0])
    bend = ((y2 - y1) / (x[2] - x[1]) - slope) / (x[2] - x[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.clip((x[0] + x[1]) / 2 - slope / (2 * bend), x[0], x[2])
    # Leaving a seed out may turn the parabola over; then its minimum is at one of the neighbours.
    at = np.where(bend > 0, at, np.where(y0 <= y2, x[0], x[2]))
    return y0 + (at - x[0]) * (slope + bend * (at - x[1])), at


def pseudo_values(rates: ArrayLike, losses: ArrayLike) -> Floats:
    """Jackknife pseudo-values [n] over seeds of the score: theta_j = n theta - (n - 1) theta_(-j).

    `losses` [R, n] has no nan at the grid minimum and beside it. One seed gives the score itself; where the
    score is a grid value, these are the losses at that rate. Raises as `optimum`. Source: Tukey 1958.
    """
    table = np.asarray(losses, float)
    n, means = table.shape[1], seed_means(table)
    best = optimum(rates, means)
    bracket = slice(best.index - 1, best.index + 2)
    if best.state != "inside" or not np.isfinite(means[bracket]).all():
        return table[best.index].copy()
    if n == 1:
        return np.array([best.value])
    # The bracket stays that of the full sample. Chosen again without each seed, it jumps between rates that
    # are nearly tied, and the jackknife with it. Simulated false verdicts (4,000 null studies a setting, 6
    # arms, sd 0.03, neighbouring rates +0.1 or +0.03, rate noise correlated 0 or 0.7), again against fixed:
    #   3 rates, 8 seeds, +0.1, tied baseline 20.0 to 22.4 % against 3.4 to 4.8 %
    #   5 rates, 8 seeds, +0.03, equal optima  5.3 to 21.2 % against 5.1 to 6.8 %
    # The worst of "fixed" was 7.5 %, where the valley is no deeper (+0.03) than one seed is noisy.
    x, near = np.log(np.asarray(rates, float))[bracket], table[bracket].T
    return n * best.value - (n - 1) * _vertex(x, (near.sum(axis=0) - near) / (n - 1))[0]


def seed_means(losses: Floats) -> Floats:
    """Mean over seeds, [R]: inf where any seed diverged, whatever is missing; else nan where one is missing."""
    diverged = np.isinf(losses).any(axis=1)
    return np.where(diverged, np.inf, np.where(np.isinf(losses), 0.0, losses).mean(axis=1))


@dataclass(frozen=True, kw_only=True)
class TwoWay:
    """Arms by seeds, seed a block: `means` [k], `variances` [k] within arms, `df` = (k-1)(n-1),
    `residual_variance`, and `pairing_ratio` = mean within-arm variance / residual variance (what the
    block bought: 1 is nothing, nan when the residuals are zero)."""

    means: Floats
    variances: Floats
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
    s2 = float((residuals**2).sum() / df)
    if math.sqrt(s2) <= 1e-12 * np.abs(y).max():  # rounding, not noise
        s2 = 0.0
    ratio = float(within.mean() / s2) if s2 else math.nan
    return TwoWay(means=means, variances=within, residual_variance=s2, df=df, pairing_ratio=ratio, seeds=n)


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """Every arm minus the baseline, [k] (the baseline's own entry is 0 +- 0, p 1), as one family.

    An interval difference +- half_width excludes zero exactly when p_adjusted < 1 - level. `critical` and
    `df` are None where they differ from arm to arm (Welch).
    """

    differences: Floats
    half_widths: Floats
    p_adjusted: Floats
    critical: float | None
    df: int | None


def compare_pooled(layout: TwoWay, baseline: int) -> Comparisons:
    """Dunnett intervals with the residual variance of all arms: d +- c sqrt(2 s^2 / n)."""
    m, d = len(layout.means) - 1, layout.means - layout.means[baseline]
    error, critical = layout.standard_error, dunnett_critical(m, layout.df)
    p = dunnett_p(d / error, m, layout.df) if error else (d == 0).astype(float)
    half = np.full(m + 1, critical * error)
    half[baseline], p[baseline] = 0.0, 1.0
    return Comparisons(differences=d, half_widths=half, p_adjusted=p, critical=critical, df=layout.df)


def compare_welch(layout: TwoWay, baseline: int) -> Comparisons:
    """Welch-Satterthwaite intervals, Bonferroni over the family: no variance is shared, no block is used.

    Bonferroni and not Holm, because Holm's adjusted p has no interval that excludes zero exactly when it
    is small, and a verdict here is an interval that excludes zero. Source: Welch 1947.
    """
    m, d = len(layout.means) - 1, layout.means - layout.means[baseline]
    error, df = _welch(layout.variances, layout.variances[baseline], layout.seeds)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(np.abs(d) / error, nan=0.0, posinf=np.inf)
    p = np.minimum(1.0, 2 * m * special.stdtr(df, -t))
    half = special.stdtrit(df, 1 - (1 - LEVEL) / (2 * m)) * error
    half[baseline], p[baseline] = 0.0, 1.0
    return Comparisons(differences=d, half_widths=half, p_adjusted=p, critical=None, df=None)


def _welch(variances: Floats, other: float, n: int) -> tuple[Floats, Floats]:
    """Standard error of a difference of two means of n, and Satterthwaite's degrees of freedom."""
    total = variances + other
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (n - 1) * total**2 / (variances**2 + other**2)
    return np.sqrt(total / n), np.nan_to_num(df, nan=n - 1.0)


def variance_ratio(layout: TwoWay) -> tuple[float, float]:
    """Hartley's F_max: largest over smallest within-arm variance, and the chance of one as large.

    Within arms, not of block residuals: subtracting seed means spreads one wild arm over all others, whose
    residual ratio then stays near (k - 1)^2; an arm with 10x the sd was noticed in 4 % of simulated studies
    (6 arms, 4 seeds) against 69 %. The null is k independent chi^2_(n-1); a seed effect makes variances
    more alike, so the test errs to caution (1 % becomes 0.2 %). A ratio over 10 alone: 48 % at (6, 4).
    """
    smallest, largest = float(layout.variances.min()), float(layout.variances.max())
    ratio = largest / smallest if smallest > 0 else math.inf
    null = _null_ratios(len(layout.variances), layout.seeds)
    return ratio, (1 + len(null) - int(np.searchsorted(null, ratio))) / (1 + len(null))


@lru_cache(maxsize=64)
def _null_ratios(k: int, n: int) -> Floats:
    draws = np.random.default_rng((k, n)).chisquare(n - 1, (20_000, k))
    return np.sort(draws.max(axis=1) / draws.min(axis=1))


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


def tukey_group(layout: TwoWay, rows: Sequence[int], *, pooled: bool) -> list[int]:
    """Which arms of `rows` Tukey's test cannot tell from the one of lowest mean; lowest mean first.

    Pooled: the residual variance of all arms. Else Games and Howell (1976): each pair its own variances and
    Satterthwaite df, rounded down (cautious, and cached).
    """
    order = sorted(rows, key=lambda row: layout.means[row])
    gaps = layout.means[order] - layout.means[order[0]]
    error, df = _welch(layout.variances[order], layout.variances[order[0]], layout.seeds)
    if pooled:
        error, df = np.full(len(order), layout.standard_error), np.full(len(order), layout.df)
    limits = [_tukey_critical(len(order), math.floor(d)) for d in df]
    return [r for r, gap, e, q in zip(order, gaps, error, limits) if gap <= q * e / math.sqrt(2)]


@lru_cache(maxsize=256)
def _tukey_critical(k: int, df: float) -> float:
    from scipy import stats  # over a second to import

    return float(stats.studentized_range.ppf(LEVEL, k, df))


@lru_cache(maxsize=256)
def detectable(arms: int, comparisons: int, seeds: int) -> float:
    """Smallest true difference, in residual sd, that a Dunnett interval finds with 80 % power.

    Solves P(|T'| > c) = 0.8 for the noncentral t with (k - 1)(n - 1) df and noncentrality d sqrt(n / 2).
    """
    df = (arms - 1) * (seeds - 1)
    c = dunnett_critical(comparisons, df)
    scale, weight = _chi_nodes(float(df))  # special.nctdtr gives nan at small df

    def missing(shift: float) -> float:
        found = special.ndtr(shift - c * scale) + special.ndtr(-shift - c * scale)
        return POWER - float(found @ weight)

    return _root(missing) * math.sqrt(2 / seeds)


def seeds_to_halve(arms: int, comparisons: int, seeds: int) -> int:
    """Fewest seeds whose `detectable` is at most half of that of `seeds`."""
    goal = detectable(arms, comparisons, seeds) / 2
    wanted = range(seeds + 1, 4 * seeds)  # four times always do: c falls with df
    return next((n for n in wanted if detectable(arms, comparisons, n) <= goal), 4 * seeds)

"""The score of one arm: from its grid of losses, learning rate by seed, to one value for each seed.

The one idea: an arm is scored at its *own* best learning rate, and the price of choosing that rate is paid
in the interval, because the jackknife repeats the choice without each seed in turn. How much an arm cares
about its rate is the second thing a grid tells. Comparing arms belongs in `statistics.py`.

Letters: R rates, n seeds. In a table of losses inf is a diverged trial and nan a failed or missing one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
State = Literal["inside", "low edge", "high edge", "both edges"]


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
        value, at = vertex(log_rates[index - 1 : index + 2], near)
    return Optimum(value=float(value), rate=float(np.exp(at)), index=index, state=state)


def vertex(x: Floats, y: Floats) -> tuple[Floats, Floats]:
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
    return n * best.value - (n - 1) * vertex(x, (near.sum(axis=0) - near) / (n - 1))[0]


def seed_means(losses: Floats) -> Floats:
    """Mean over seeds, [R]: inf where any seed diverged, whatever is missing; else nan where one is missing."""
    diverged = np.isinf(losses).any(axis=1)
    return np.where(diverged, np.inf, np.where(np.isinf(losses), 0.0, losses).mean(axis=1))


def rate_sensitivity(losses: ArrayLike, initial_loss: float) -> float | None:
    """What a rate picked blindly from the grid costs: mean_r min(loss(r), initial_loss) - min_r loss(r).

    `losses` [R, n], any one unit; `initial_loss` is that of the untrained model in the same unit, and what a
    diverged trial counts as. Seeds are averaged first, a trial that failed (nan) left out. Zero means that the
    rate does not matter; only arms on one grid may be compared. None if a rate has no trial to go by, or if
    no trial got below `initial_loss` (a flat line up there is no virtue).
    Source: Wortsman et al. 2023 (arXiv:2309.14322), there as an expectation over log-uniform rates.
    """
    table = np.asarray(losses, float)
    known = ~np.isnan(table)
    if not table.size or not np.isfinite(initial_loss) or not known.any(axis=1).all():
        return None
    capped = np.where(known, np.minimum(table, initial_loss), 0.0).sum(axis=1) / known.sum(axis=1)
    best = float(capped.min())
    return float(capped.mean()) - best if best < initial_loss else None

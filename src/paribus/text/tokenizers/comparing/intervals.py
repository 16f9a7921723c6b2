"""What other documents would have given: bootstrap intervals over documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_AT_ONCE = 4_000_000  # numbers held at a time: 32 MB


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and its percentile interval of 95 %; one document alone has none."""

    value: float
    low: float | None
    high: float | None


def ratio(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, *, replicates: int = 1000, seed: int = 0
) -> Estimate:
    """sum(numerator) / sum(denominator) over rows, which are drawn with replacement, as many as there are.

    A row is what is independent of all others: a document, or a group of near-duplicates. The same seed draws the same
    rows for every tokenizer.
    """
    rows = np.stack([np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)], axis=1)
    number = len(rows)
    total = rows.sum(axis=0)
    value = float(total[0] / total[1])
    if number < 2:
        return Estimate(value=value, low=None, high=None)
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // number)
    drawn = [
        rng.multinomial(number, np.full(number, 1 / number), size=min(step, replicates - start)) @ rows
        for start in range(0, replicates, step)
    ]
    sums = np.concatenate(drawn)
    # A draw of rows without a single token has no ratio.
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = np.nanquantile(np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan), [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))


def by_group(values: npt.ArrayLike, groups: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Sums of `values` [D] over `groups` [D], in order of group."""
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros(int(inverse.max()) + 1, dtype=np.int64)
    np.add.at(sums, inverse, np.asarray(values, np.int64))
    return sums

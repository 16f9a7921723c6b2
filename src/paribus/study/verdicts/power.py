"""What a longer study would see: how many seeds, and how many minutes, each round difference takes.

The one idea: nobody asks for a residual standard deviation, but for "could I see 0.01, and what would it cost?".
It takes a judgement, and so the noise that was measured; the distribution is in `dunnett.py`.
"""

from __future__ import annotations

import math

from paribus.study.verdicts import dunnett
from paribus.study.verdicts.judgement import Judgement
from paribus.study.verdicts.verdict import MIN_SEEDS

SHOWN = 4
_MANTISSAS = (1.0, 2.0, 5.0)


def power(judgement: Judgement, *, minutes_so_far: float | None) -> list[dict[str, float | int | None]]:
    """Rows `{difference, seeds, minutes}`, four round differences in the unit of the loss, largest first.

    `seeds` is the fewest, from 4, that find that difference with 80 % power at the level of the judgement,
    for as many arms and the residual variance that was measured (itself known to about 1 / sqrt(2 df));
    `minutes` all of them take, if time goes with seeds. Both are None beyond 1,000 seeds, `minutes` also
    where `minutes_so_far` is. The first row is the smallest round difference that this study could see. Empty
    where there is no common residual variance (variances not pooled, or nothing compared).
    """
    if judgement.smallest_detectable_difference is None or not judgement.residual_sd or not judgement.df:
        return []
    arms = 1 + judgement.df // (judgement.seeds - 1)
    rows: list[dict[str, float | int | None]] = []
    for difference in round_differences(judgement.smallest_detectable_difference):
        seeds = dunnett.seeds_to_detect(difference / judgement.residual_sd, arms, level=judgement.level)
        seeds = None if seeds is None else max(MIN_SEEDS, seeds)
        minutes = None
        if seeds is not None and minutes_so_far is not None:
            minutes = minutes_so_far * seeds / judgement.seeds
        rows.append({"difference": difference, "seeds": seeds, "minutes": minutes})
    return rows


def round_differences(seen: float) -> list[float]:
    """The smallest of 1, 2, 5 x 10^i that is at least `seen` > 0, and the three below it, largest first."""
    power_of_ten = math.floor(math.log10(seen))
    series = [m * 10.0**i for i in range(power_of_ten + 1, power_of_ten - 3, -1) for m in _MANTISSAS[::-1]]
    # Formatted and read again, so that a table shows 0.05 and not 0.05000000000000001.
    below = [value for value in series if value < seen * (1 - 1e-9)]
    start = len(series) - len(below) - 1
    return [float(f"{value:.0e}") for value in series[start : start + SHOWN]]

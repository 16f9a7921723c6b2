"""Which intervals a family of arms gets: with one variance of all, with one arm's own, or with each arm's.

The one idea: sharing a variance is what lets four seeds tell anything, and where arms are unalike it misleads; so it is
shared unless that is more than chance explains, by tests whose thresholds were chosen by what simulated studies then get
wrong (`calibration/simulation.py`). The maths is in `statistics.py`; what is said of an interval, in `verdict.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paribus.study.verdicts import statistics
from paribus.study.verdicts.judgement import Method, Scored
from paribus.study.verdicts.statistics import Comparisons, Floats, TwoWay

# Of noise so far above that of the others: of the noisiest arm or the next, or the baseline by itself; of one behind an
# arm that is not too noisy itself; and of one more, which ends all sharing, as after noisy arms it is no surprise. They
# are this small because a study of equal noise that chance takes in sees less: 3.5 sd in 95.4 % of studies at 0.02 for
# the first, in 96.6 % at 0.005.
MAX_NOISE_CHANCE, MAX_HIDDEN_NOISE_CHANCE, MAX_MORE_NOISE_CHANCE = 0.005, 0.0025, 0.1
MAX_PAIRING_RATIO = 10.0
# Rarer, because an arm that looks paired by chance gets a short interval: of the studies where one does, half are wrong.
MAX_PAIRING_CHANCE = 0.001


@dataclass(frozen=True, kw_only=True)
class Family:
    """Everyone who has a score, compared at once; `apart` are the arms with a variance of their own by `welch`."""

    names: tuple[str, ...]
    values: Floats | None = None  # [arms, seeds]
    layout: TwoWay | None = None
    method: Method | None = None
    apart: tuple[int, ...] = ()
    comparisons: Comparisons | None = None
    warnings: tuple[str, ...] = ()

    def errors(self, reference: int) -> tuple[Floats, Floats]:
        """Standard errors of all differences from an arm, and their degrees of freedom, as the intervals have them."""
        assert self.values is not None and self.layout is not None
        if self.method == "welch":
            return statistics.errors_apart(self.values, reference, self.apart)
        if self.method == "paired":
            return statistics.errors_paired(self.values, reference)
        count = len(self.names)
        return np.full(count, self.layout.standard_error), np.full(count, float(self.layout.df))


def compare(scores: Mapping[str, Scored], baseline: str, level: float) -> Family:
    """Everyone who has a score, compared with the baseline by simultaneous intervals of `level`."""
    names = tuple(name for name, scored in scores.items() if scored.values)
    if len(names) < 2 or baseline not in names or len(scores[baseline].values) < 2:
        return Family(names=names)
    values = np.array([scores[name].values for name in names])
    layout = statistics.two_way(values)
    at = names.index(baseline)
    family = Family(names=names, values=values, layout=layout)
    # Two arms make a paired t test, which is exact whatever their variances are.
    uneven = _uneven(names, values, at) if len(names) > 2 and layout.residual_variance else None
    if uneven is None:
        pooled = statistics.compare_pooled(layout, at, level=level)
        return replace(family, method="dunnett", comparisons=pooled)
    apart, why = uneven
    if not apart:
        paired = statistics.compare_paired(values, at, level=level)
        told = _told(why, "are paired ones of each arm")
        return replace(family, method="paired", comparisons=paired, warnings=(told,))
    welch = statistics.compare_apart(values, at, apart, level=level)
    alone = " and of ".join(names[row] for row in apart)
    told = _told(why, f"are Welch's by the variance of {alone} and one of the others")
    return replace(family, method="welch", apart=apart, comparisons=welch, warnings=(told,))


def _told(why: str, intervals: str) -> str:
    return (
        f"{why}, so the intervals {intervals}, with Bonferroni's correction; there is no common smallest detectable "
        "difference."
    )


def _uneven(names: Sequence[str], values: Floats, baseline: int) -> tuple[tuple[int, ...], str] | None:
    """Why one variance cannot be that of all arms, if so, and which arms need their own; none of them where all do."""
    apart = _noisy(values, baseline)
    quiet = [row for row in range(len(names)) if row not in apart]
    of_pairing = baseline in quiet and _pairing(values[quiet], quiet.index(baseline))
    if apart:
        ratio = statistics.noise_ratio(values, apart[0], quiet)
        so_much = (
            f"{names[apart[0]]} {ratio:.3g}x as much in variance"
            if ratio < math.inf
            else "those do not vary at all"
        )
        many = " and ".join(names[row] for row in apart)
        why = (
            f"What a seed does to all arms apart, the losses of {many} vary more than those of the others and than chance "
            f"explains ({so_much})"
        )
        rest = values[quiet]
        uneven = len(quiet) > 2 and _noisiest(rest)[0] < MAX_MORE_NOISE_CHANCE
        if of_pairing or uneven or not statistics.two_way(rest).residual_variance:
            return (), f"{why}, and those are uneven too"
        return apart, why
    if of_pairing:
        ratio, chance = of_pairing
        return (), (
            "Seeds pair some arms with the baseline far better than others (the variances of their differences differ by "
            f"{ratio:.3g}x, chance of that: {chance:.2g})"
        )
    return None


def _pairing(values: Floats, baseline: int) -> tuple[float, float] | None:
    """How unalike arms go along with the baseline, and the chance of that, if chance does not explain it."""
    ratio, chance = statistics.difference_ratio(values, baseline)
    return (ratio, chance) if ratio > MAX_PAIRING_RATIO and chance < MAX_PAIRING_CHANCE else None


def _noisy(values: Floats, baseline: int) -> tuple[int, ...]:
    """The arms whose noise is above the others' by more than chance explains, noisiest first; fewer than half.

    One after another the noisiest is taken out, whether or not it is too noisy, since two hide each other; those up to
    the last that is are noisy (Rosner 1983). If none is, the baseline is asked by itself, as it enters every comparison.
    """
    left, taken, noisy = list(range(len(values))), list[int](), 0
    while len(taken) < (len(values) - 1) // 2:
        chance, row = _noisiest(values[left])
        taken.append(left.pop(row))
        if chance < (MAX_NOISE_CHANCE if noisy == len(taken) - 1 else MAX_HIDDEN_NOISE_CHANCE):
            noisy = len(taken)
    if noisy:
        return tuple(taken[:noisy])
    chances = statistics.noise_chances(statistics.two_way(values))
    return (baseline,) if chances[baseline] < MAX_NOISE_CHANCE else ()


def _noisiest(values: Floats) -> tuple[float, int]:
    """The chance that any arm is as noisy as the noisiest, and which that is."""
    chances = statistics.noise_chances(statistics.two_way(values))
    row = int(chances.argmin())
    return min(1.0, len(chances) * float(chances[row])), row

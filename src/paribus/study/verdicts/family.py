"""Which intervals a family of arms gets: with one variance of all, with one arm's own, or with each arm's.

The one idea: sharing a variance is what lets four seeds tell anything, and where arms are unalike it misleads; so it is
shared unless that is more than chance explains, by tests whose thresholds were chosen by what simulated studies then get
wrong (`calibration/simulation.py`). The maths is in `statistics.py`; what is said of an interval, in `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paribus.study.verdicts import statistics
from paribus.study.verdicts.judgement import Method, Scored
from paribus.study.verdicts.statistics import Comparisons, TwoWay

# Of noise so far above that of the others. With one arm found noisy, a second one is less of a surprise.
MAX_NOISE_CHANCE, MAX_SECOND_NOISE_CHANCE = 0.02, 0.1
MAX_PAIRING_RATIO = 10.0
# Rarer, because an arm that looks paired by chance gets a short interval: of the studies where one does, half are wrong.
MAX_PAIRING_CHANCE = 0.001


@dataclass(frozen=True, kw_only=True)
class Family:
    """Everyone who has a score, compared at once."""

    names: tuple[str, ...]
    layout: TwoWay | None = None
    method: Method | None = None
    comparisons: Comparisons | None = None
    warnings: tuple[str, ...] = ()


def compare(scores: Mapping[str, Scored], baseline: str, level: float) -> Family:
    """Everyone who has a score, compared with the baseline by simultaneous intervals of `level`."""
    names = tuple(name for name, scored in scores.items() if scored.values)
    if len(names) < 2 or baseline not in names or len(scores[baseline].values) < 2:
        return Family(names=names)
    values = [scores[name].values for name in names]
    layout = statistics.two_way(values)
    at = names.index(baseline)
    family = Family(names=names, layout=layout)
    # Two arms make a paired t test, which is exact whatever their variances are.
    uneven = _uneven(names, values, layout, at) if len(names) > 2 and layout.residual_variance else None
    if uneven is None:
        pooled = statistics.compare_pooled(layout, at, level=level)
        return replace(family, method="dunnett", comparisons=pooled)
    apart, why = uneven
    if apart is None:
        paired = statistics.compare_paired(values, at, level=level)
        told = _told(why, "paired ones of each arm")
        return replace(family, method="paired", comparisons=paired, warnings=(told,))
    welch = statistics.compare_apart(values, at, apart, level=level)
    told = _told(why, f"Welch's, with a variance for {names[apart]} and one for the others")
    return replace(family, method="welch", comparisons=welch, warnings=(told,))


def _told(why: str, intervals: str) -> str:
    return (
        f"{why}, so the intervals are {intervals}, with Bonferroni's correction, and there is no common smallest "
        "detectable difference."
    )


def _uneven(
    names: Sequence[str], values: Sequence[Sequence[float]], layout: TwoWay, baseline: int
) -> tuple[int | None, str] | None:
    """Why one variance cannot be that of all arms, if so, and which arm's needs to be its own; None there for each arm's."""
    noisy = _noisy(layout, baseline, MAX_NOISE_CHANCE)
    if noisy is None:
        ratio, chance = statistics.difference_ratio(values, baseline)
        if not _is_of_pairing(ratio, chance):
            return None
        why = (
            "Seeds pair some arms with the baseline far better than others (the variances of their differences differ by "
            f"{ratio:.3g}x, chance of that: {chance:.2g})"
        )
        return None, why
    row, ratio, chance = noisy
    why = (
        f"What a seed does to all arms apart, the losses of {names[row]} vary {ratio:.3g}x as much as those of the others "
        f"(in variance; chance of that: {chance:.2g})"
    )
    others = np.delete(np.asarray(values, float), row, axis=0)
    shared = statistics.two_way(others)
    if not shared.residual_variance:  # nothing says what chance can do among them
        return None
    among_others = None if row == baseline else baseline - (row < baseline)
    second = _noisy(shared, among_others, MAX_SECOND_NOISE_CHANCE) if len(others) > 2 else None
    unpaired = among_others is not None and _is_of_pairing(*statistics.difference_ratio(others, among_others))
    return (None, f"{why}, and those vary unevenly too") if second or unpaired else (row, why)


def _is_of_pairing(ratio: float, chance: float) -> bool:
    return ratio > MAX_PAIRING_RATIO and chance < MAX_PAIRING_CHANCE


def _noisy(layout: TwoWay, baseline: int | None, limit: float) -> tuple[int, float, float] | None:
    """The arm whose noise is above the others' by more than chance explains: which, how many times, and the chance of it.

    The noisiest, or the baseline, which enters every comparison.
    """
    ratios, chances = statistics.noise_ratios(layout)
    noisiest = int(chances.argmin())
    of_any = min(1.0, len(chances) * float(chances[noisiest]))
    if of_any < limit:
        return noisiest, float(ratios[noisiest]), of_any
    if baseline is not None and chances[baseline] < limit:
        return baseline, float(ratios[baseline]), float(chances[baseline])
    return None

"""When a study may stop early: at most three looks at its data, each with a share of the five per cent.

The one idea: looking again and again at 5 % finds something in time, whether or not it is there; so the 5 % are
divided among looks fixed beforehand, and a look that settles every arm may be the last. A look is at whole seeds,
all arms and rates alike. What a look says is `verdict.judge` at `level_at(seeds)`.
"""

from __future__ import annotations

from dataclasses import dataclass

from paribus.errors import RequestError
from paribus.study.verdicts.judgement import Judgement

# Seeds, and the chance of a false verdict spent there (Bonferroni; most of it where most is known). Simulated: 5.2
# and 5.1 % of 4,000 null studies had a false verdict at any of the three looks (6 arms, 3 rates, neighbouring rates
# +0.05 to +0.15, sd 0.03, noise of one seed at two rates correlated 0 or 0.7), as `tests/study/test_looks.py`
# finds again; single looks 0.4 to 0.5, 1.8 to 1.9 and 3.6 %.
LOOKS = ((4, 0.005), (8, 0.015), (16, 0.03))


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at `seeds` with `alpha` settled: arms but the baseline, in order, are in one list or the other.

    `goes_on`: another look may settle more, since some arm is open because of chance and not because of its own
    trials or its grid, which no further seed mends.
    """

    seeds: int
    alpha: float
    resolved: tuple[str, ...]
    unresolved: tuple[str, ...]
    goes_on: bool


def level_at(seeds: int) -> float:
    """Simultaneous confidence of the look at `seeds`: 0.995, 0.985, 0.97. Raises RequestError at any other."""
    levels = {look: 1 - alpha for look, alpha in LOOKS}
    if seeds not in levels:
        planned = ", ".join(str(look) for look in levels)
        raise RequestError(f"no look is planned at {seeds} seeds; looks are at {planned}")
    return levels[seeds]


def look(*judgements: Judgement) -> Look:
    """Which arms are settled: those with another verdict than `cannot tell` in every one of `judgements`.

    Several judgements are those of several initialisation schemes, at one number of seeds and one level, each with
    its share of `alpha`.
    Controls are not asked: a placebo stays open for ever, as it should.
    """
    if len({(judgement.seeds, judgement.level, *judgement.arms) for judgement in judgements}) != 1:
        raise RequestError("a look needs judgements of the same arms at one number of seeds and one level")
    first = judgements[0]
    names = [name for name in first.arms if name != first.baseline]
    opened = {
        name: [j.arms[name].reason for j in judgements if j.arms[name].verdict == "cannot tell"]
        for name in names
    }
    return Look(
        seeds=first.seeds,
        alpha=round(len(judgements) * (1 - first.level), 12),
        resolved=tuple(name for name in names if not opened[name]),
        unresolved=tuple(name for name in names if opened[name]),
        goes_on=first.seeds < LOOKS[-1][0] and any(None in reasons for reasons in opened.values()),
    )

"""What a judgement consists of: the words and the numbers beside them, as plain frozen data.

The one idea: a report, a file or another judgement needs these types and not the way to them, which is
`verdict.py`. Lower loss is better; a difference is arm minus baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "baseline", "better", "worse", "same", "cannot tell", "depends on initialisation", "diverged"
]
Method = Literal["dunnett", "welch", "paired"]
Edge = Literal["low", "high", "both"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Arm minus baseline in the unit of the loss, with its simultaneous interval [low, high].

    That interval has the level of the judgement, 95 % unless asked otherwise. [low90, high90] is the one of
    two one-sided tests, of level 1 - 2 (1 - level): 90 % at 95 %, 99 % at a first look of 99.5 %.
    """

    mean: float
    low: float
    high: float
    low90: float
    high90: float
    standard_error: float
    p_adjusted: float


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What arms and controls share.

    `rate` is the best rate of the grid, `fitted_rate` the vertex; `values` the pseudo-values by seed, empty
    without a score; `edge` the end of the grid where the minimum lies. `reason` says why there is no
    verdict (or why a baseline is no yardstick), or what a verdict `same` leaves unsaid; None when the
    interval says it all.
    """

    name: str
    rate: float | None = None
    fitted_rate: float | None = None
    values: tuple[float, ...] = ()
    mean: float | None = None
    difference: Difference | None = None
    reason: str | None = None
    edge: Edge | None = None
    diverged_trials: int
    failed_trials: int


@dataclass(frozen=True, kw_only=True)
class ArmVerdict(Scored):
    """An arm and its verdict."""

    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class ControlVerdict(Scored):
    """A control: `ok` says whether it behaved, None when it could not be judged."""

    ok: bool | None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Everything a report says about who won.

    `level` is the confidence that all verdicts hold at once; `margin` what counts as `same`, if anything does.
    `method` is None when nothing could be compared; `critical`, `df` and `smallest_detectable_difference`
    (80 % power at `level`, unit of the loss) are None where variances are not pooled: they differ from arm to arm.
    `seeds_to_halve` is how many seeds would halve that difference. `best_group`: the arms with an optimum
    inside the grid that cannot be told from the best of them, best first. `edges` covers controls too.
    """

    arms: dict[str, ArmVerdict]
    controls: dict[str, ControlVerdict]
    baseline: str
    level: float
    margin: float | None
    method: Method | None
    critical: float | None
    df: int | None
    residual_sd: float | None
    pairing_ratio: float | None
    seeds: int
    smallest_detectable_difference: float | None
    seeds_to_halve: int | None
    best_group: tuple[str, ...]
    edges: dict[str, Edge]
    warnings: tuple[str, ...]

"""From losses to words: which arm is better, which is worse, and which nobody can tell.

The one idea: a verdict is given exactly when a simultaneous interval excludes zero, or lies inside the margin
that the user calls the same, *and* nothing stood in the way; what stood in the way is always said, as a
`reason`. The maths is in `score.py` and `statistics.py`, the types in `judgement.py`; how a verdict is shown is
for `report.py`. Lower loss is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from paribus.errors import RequestError, nearest
from paribus.study.verdicts import dunnett, score, statistics
from paribus.study.verdicts.family import Family, compare
from paribus.study.verdicts.judgement import (
    ArmVerdict,
    ControlVerdict,
    Difference,
    Edge,
    Judgement,
    Scored,
    Verdict,
)
from paribus.study.verdicts.statistics import Floats

MIN_SEEDS = 4

DIVERGED = "at no rate did every seed converge"
EDGES: dict[score.State, tuple[Edge, str]] = {
    "low edge": ("low", "the lowest tried; the grid must grow towards lower rates"),
    "high edge": ("high", "the highest tried; the grid must grow towards higher rates"),
    "both edges": ("both", "the only one tried; the grid must grow towards lower and higher rates"),
}
# What a control is, and what is said at the top of the report when it fails.
CONTROLS = {
    "placebo": "the placebo, which is the baseline drawn anew, was found to differ from it",
    "handicap": "the handicap, which is the baseline on fewer tokens, was not found to be worse",
}


def judge(
    losses: Mapping[str, ArrayLike],
    *,
    rates: ArrayLike,
    baseline: str,
    controls: Sequence[str] = (),
    level: float = dunnett.LEVEL,
    margin: float | None = None,
) -> Judgement:
    """Compare every arm and control with the baseline in one family of simultaneous intervals of `level`.

    `losses` maps a name to [R rates, S seeds]: inf is a diverged trial, nan a failed or missing one. A rate
    counts only if every seed converged at it. `controls` are names of `losses`: `placebo`, `handicap`.
    Fewer than 4 seeds give intervals (from 2) and no verdict. With `margin` d > 0, in the unit of the loss, an
    arm whose interval of two one-sided tests (see `Difference`) lies inside +-d is `same`, also where it is
    clear that it differs: the user said what matters. Raises RequestError (a ValueError) for unknown names,
    ragged tables, rates that are not positive and increasing, a level outside (0.5, 1), a margin <= 0.
    """
    _check_demands(level, margin)
    tables = _checked(losses, rates, baseline, *controls)
    if unknown := [name for name in controls if name not in CONTROLS or name == baseline]:
        raise RequestError(f"{unknown[0]} is not a control; {nearest(unknown[0], CONTROLS)}")
    seeds = tables[baseline].shape[1]
    scores = {name: _score(name, table, rates) for name, table in tables.items()}
    family = compare(scores, baseline, level)
    obstacle = _obstacle(scores[baseline], family, seeds)
    arms: dict[str, ArmVerdict] = {}
    judged: dict[str, ControlVerdict] = {}
    for name, scored in scores.items():
        # Too few seeds is said first: it holds for all, and an edge seen by two seeds may be chance.
        shared = obstacle if name != baseline else None
        reason = (shared or scored.reason) if scored.values and seeds < MIN_SEEDS else scored.reason or shared
        if name in controls and np.array_equal(tables[name], tables[baseline]):
            reason = reason or "it equals the baseline bit for bit, so it controls nothing"
        difference = _difference(name, family, baseline)
        if difference is not None and difference.standard_error == 0:
            reason = (
                reason
                or "it differs from the baseline by as much at every seed, so nothing says what chance can do"
            )
        final = replace(scored, difference=difference, reason=reason)
        if name in controls:
            judged[name] = ControlVerdict(**vars(final), ok=_holds(final))
        else:
            arms[name] = _decided(final, name == baseline, margin)
    layout, compared = family.layout, family.comparisons
    detectable, enough = _sensitivity(family, seeds, level)
    return Judgement(
        arms=arms,
        controls=judged,
        baseline=baseline,
        level=level,
        margin=margin,
        method=family.method,
        critical=compared.critical if compared else None,
        df=compared.df if compared else None,
        residual_sd=math.sqrt(layout.residual_variance) if layout else None,
        pairing_ratio=layout.pairing_ratio if layout else None,
        seeds=seeds,
        smallest_detectable_difference=detectable,
        seeds_to_halve=enough,
        best_group=_best_group(family, arms, level) if obstacle is None else (),
        edges={name: scored.edge for name, scored in scores.items() if scored.edge},
        warnings=_warnings(judged, obstacle) + family.warnings,
    )


def needs_extension(losses: Mapping[str, ArrayLike], rates: ArrayLike) -> Edge | None:
    """Which way the common grid must grow, for all arms alike, because some arm is best on its edge.

    An arm that diverged everywhere, or lacks the trials that would place its minimum, asks for nothing.
    """
    tables = _checked(losses, rates)
    edges = {_score(name, table, rates).edge for name, table in tables.items()} - {None}
    return edges.pop() if len(edges) == 1 else "both" if edges else None


def _check_demands(level: float, margin: float | None) -> None:
    if not 0.5 < level < 1:
        raise RequestError(f"a level of confidence lies between 0.5 and 1, such as 0.95, not at {level:g}")
    if margin is not None and not 0 < margin < math.inf:
        raise RequestError(f"a margin is a positive difference in the unit of the loss, not {margin:g}")


def _checked(losses: Mapping[str, ArrayLike], rates: ArrayLike, *names: str) -> dict[str, Floats]:
    grid = np.asarray(rates, float)
    if grid.ndim != 1 or not (np.isfinite(grid) & (grid > 0)).all() or not (np.diff(grid) > 0).all():
        raise RequestError(f"rates must be positive and increasing, not {grid.tolist()}")
    tables = {name: np.asarray(table, float) for name, table in losses.items()}
    if unknown := [name for name in names if name not in tables]:
        raise RequestError(f"no losses for {unknown[0]}; {nearest(unknown[0], tables)}")
    seeds = max((table.shape[-1] for table in tables.values() if table.ndim), default=0)
    for name, table in tables.items():
        if not table.size or table.shape != (len(grid), seeds):
            wanted = f"every arm needs {len(grid)} rates x {seeds} seeds"
            raise RequestError(f"the losses of {name} have shape {table.shape}; {wanted}")
        if np.isneginf(table).any():
            raise RequestError(f"a loss of {name} is -inf; a diverged trial is inf and a missing one nan")
    return tables


def _score(name: str, table: Floats, rates: ArrayLike) -> Scored:
    """One arm by itself. Where its minimum lies is first asked of the seeds there are, since a rate with a
    missing trial may well be the best; only if that place is fully known is there a score."""
    diverged, failed = int(np.isinf(table).sum()), int(np.isnan(table).sum())
    blank = Scored(name=name, diverged_trials=diverged, failed_trials=failed)
    means = score.seed_means(table)
    if np.isinf(means).all():
        return replace(blank, reason=DIVERGED)
    known = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        located = np.where(known, table, 0.0).sum(axis=1) / known.sum(axis=1)
    best = int(np.nanargmin(located)) if np.isfinite(located).any() else None
    near = slice(None) if best is None else slice(max(best - 1, 0), best + 2)
    if np.isnan(means[near]).any():
        missing = int(np.isnan(table[near][np.isnan(means[near])]).sum())
        trials = "1 trial" if missing == 1 else f"{missing} trials"
        return replace(blank, reason=f"{trials} failed at its best rate or beside it")
    optimum, values = score.optimum(rates, means), score.pseudo_values(rates, table)
    rate, mean = float(np.asarray(rates, float)[optimum.index]), float(values.mean())
    edge, why = EDGES.get(optimum.state, (None, None))
    reason = f"its best rate, {rate:.3g}, is {why}" if why else None
    scored = replace(blank, rate=rate, fitted_rate=optimum.rate, values=tuple(values.tolist()), mean=mean)
    return replace(scored, edge=edge, reason=reason)


def _obstacle(baseline: Scored, family: Family, seeds: int) -> str | None:
    """What keeps everybody from a verdict, however good their own trials."""
    if seeds < MIN_SEEDS:
        return f"{'one seed cannot tell' if seeds == 1 else f'{seeds} seeds'}; a verdict needs at least {MIN_SEEDS}"
    if baseline.reason:
        return f"the baseline, {baseline.name}, cannot be compared with: {baseline.reason}"
    if family.layout and family.layout.residual_variance == 0:
        return "the seeds left no residual variance, so nothing says what chance can do"
    return None


def _difference(name: str, family: Family, baseline: str) -> Difference | None:
    if family.comparisons is None or name not in family.names or name == baseline:
        return None
    c, at = family.comparisons, family.names.index(name)
    columns = (c.differences, c.half_widths, c.equivalence_widths, c.standard_errors, c.p_adjusted)
    mean, half, half90, error, p = (float(column[at]) for column in columns)
    return Difference(
        mean=mean,
        low=mean - half,
        high=mean + half,
        low90=mean - half90,
        high90=mean + half90,
        standard_error=error,
        p_adjusted=p,
    )


def _decided(arm: Scored, is_baseline: bool, margin: float | None) -> ArmVerdict:
    verdict = _verdict(arm, is_baseline, margin)
    if verdict == "same" and (d := arm.difference) and not d.low <= 0 <= d.high:
        arm = replace(arm, reason=f"it differs, but by less than the margin of {margin:g}")
    return ArmVerdict(**vars(arm), verdict=verdict)


def _verdict(arm: Scored, is_baseline: bool, margin: float | None) -> Verdict:
    if arm.reason == DIVERGED:
        return "diverged"
    if is_baseline:
        return "baseline"
    if arm.reason or (d := arm.difference) is None:
        return "cannot tell"
    if margin is not None and -margin < d.low90 and d.high90 < margin:
        return "same"
    if d.low <= 0 <= d.high:
        return "cannot tell"
    return "better" if d.high < 0 else "worse"


def _holds(control: Scored) -> bool | None:
    if control.reason or (d := control.difference) is None:
        return None
    return d.low <= 0 <= d.high if control.name == "placebo" else d.low > 0


def _warnings(controls: Mapping[str, ControlVerdict], obstacle: str | None) -> tuple[str, ...]:
    failed = [f"Do not trust this study: {CONTROLS[n]}." for n, c in controls.items() if c.ok is False]
    missed = [f"The {n} was not judged: {c.reason}." for n, c in controls.items() if c.ok is None]
    return (*failed, *([f"No verdict: {obstacle}."] if obstacle else []), *missed)


def _sensitivity(family: Family, seeds: int, level: float) -> tuple[float | None, int | None]:
    if family.method != "dunnett" or not family.layout or not family.layout.residual_variance:
        return None, None
    arms, sd = len(family.names), math.sqrt(family.layout.residual_variance)
    enough = dunnett.seeds_to_halve(arms, arms - 1, seeds, level)
    return dunnett.detectable(arms, arms - 1, seeds, level) * sd, max(MIN_SEEDS, enough)


def _best_group(family: Family, arms: Mapping[str, ArmVerdict], level: float) -> tuple[str, ...]:
    """Tukey's group among arms with an optimum inside the grid (an edge value is only a bound)."""
    rows = [i for i, name in enumerate(family.names) if name in arms and not arms[name].edge]
    if family.layout is None or len(rows) < 2:
        return ()
    group = statistics.tukey_group(family.layout.means, rows, family.errors, level=level)
    return tuple(family.names[i] for i in group)

"""How fast this machine trains the arms: short runs by the same workers that the study will use.

`expected` is for telling a user what a study would take. `alone` is for match=time, where it becomes part of the
plan: it is kept beside the prepared text, by machine and arm, so that the same command plans the same study again.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from paribus.errors import WorkError
from paribus.study import environment
from paribus.study.folder import hold
from paribus.study.launch import Launcher
from paribus.study.plan import Arm, Plan, Trial, digest
from paribus.study.planning import flops_per_token
from paribus.text.data import Dataset, default_cache

_STEPS = 80
_ROUNDS = 3
_START_SECONDS = 5.0  # a worker's imports
_EVALUATION_COST = 0.4  # of a training step of as many tokens, measured

#: Makes a launcher of this many workers for a folder and its lock.
MakeLauncher = Callable[[int, Path, int], AbstractContextManager[Launcher]]


def expected(plan: Plan, data: Dataset, make_launcher: MakeLauncher, *, workers: int) -> tuple[float, float]:
    """Tokens a second of a worker with all of them busy on the baseline, and the seconds that the plan would take."""
    arm = plan.arm(plan.baseline)
    outcomes = _short_runs(plan, [(arm, seed) for seed in range(workers)], make_launcher, workers=workers)
    speed = statistics.fmean(outcome["tokens_per_second"] for outcome in outcomes)
    compiling = max(outcome["compile_seconds"] for outcome in outcomes)
    # Other arms cost what their FLOPs say, which is rough where they are small.
    costs = {each.name: flops_per_token(each) / flops_per_token(arm) for each in plan.arms}
    trials = plan.trials(plan.rates)
    scored = _EVALUATION_COST * min(plan.train.heldout_tokens, data.heldout.num_tokens)
    tokens = sum((trial.tokens + scored) * costs[trial.arm] for trial in trials)
    graphs = len({trial.graph for trial in trials})
    return speed, _START_SECONDS + (tokens / speed + compiling * graphs) / workers


def alone(
    plan: Plan, arms: Sequence[Arm], make_launcher: MakeLauncher, *, data: Mapping[str, Any]
) -> Mapping[str, float]:
    """Tokens a second of each arm with one worker and nothing beside it: medians of three interleaved rounds."""
    machine = {key: value for key, value in environment.describe().items() if key != "platform"}
    shapes = [[arm.model.to_dict(), dataclasses.asdict(arm.train)] for arm in arms]
    kept = default_cache() / "throughput" / f"{digest([machine, plan.threads, dict(plan.code), shapes])}.json"
    if (known := _read(kept, arms)) is not None:
        return known
    runs = [(arm, seed) for seed in range(_ROUNDS) for arm in arms]
    outcomes = _short_runs(plan, runs, make_launcher, workers=1)
    speeds = {
        arm.name: statistics.median(
            outcome["tokens_per_second"]
            for (ran, _), outcome in zip(runs, outcomes, strict=True)
            if ran is arm
        )
        for arm in arms
    }
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(speeds))
    return speeds


def _read(path: Path, arms: Sequence[Arm]) -> dict[str, float] | None:
    try:
        speeds = json.loads(path.read_text())
        return {arm.name: float(speeds[arm.name]) for arm in arms}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _short_runs(
    plan: Plan, runs: Sequence[tuple[Arm, int]], make_launcher: MakeLauncher, *, workers: int
) -> list[dict[str, Any]]:
    """What runs of 80 steps gave, in the order asked for; raises `WorkError` if one failed."""
    trials: list[Trial] = []
    for arm, seed in runs:
        step = arm.train.tokens_per_step
        train = dataclasses.replace(arm.train, tokens=_STEPS * step, heldout_tokens=step, passes=None)
        short = dataclasses.replace(plan, probes={}, diagnostics={})
        trials.append(short.trial(dataclasses.replace(arm, train=train), plan.rates[0], seed))
    with (
        tempfile.TemporaryDirectory(prefix="paribus-speed-") as folder,
        hold(Path(folder)) as lock,
        make_launcher(workers, Path(folder), lock) as launcher,
    ):
        outcomes = {trial.key: result for trial, result in launcher.run(trials, progress=lambda _: None)}
    for trial in trials:
        result = outcomes.get(trial.key)
        if result is None or result["status"] == "failed":
            raise WorkError(f"the speed of {trial.arm} could not be measured: {(result or {}).get('reason')}")
    return [outcomes[trial.key] for trial in trials]

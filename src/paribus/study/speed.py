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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import WorkError
from paribus.study import environment
from paribus.study.folder import hold
from paribus.study.launch import Launcher
from paribus.study.naming import digest
from paribus.study.plan import Arm, Plan, Trial
from paribus.study.planning import flops_per_token
from paribus.text.data import Dataset, default_cache

_STEPS = 80
_ROUNDS = 5
_UNSTEADY = 0.03  # rounds that differ by more are worth a word
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


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Tokens a second by arm; half of the rounds differ by less than `spread` (relative) in an arm's ratio to the first."""

    tokens_per_second: Mapping[str, float]
    spread: float

    def note(self) -> str:
        """What a user should know of it."""
        speeds = ", ".join(f"{name} {speed:,.0f}" for name, speed in self.tokens_per_second.items())
        doubt = "; time is matched no better than that, so measure on a machine with nothing else to do"
        unsteady = doubt if self.spread > _UNSTEADY else ""
        return f"tokens a second, measured once and alone: {speeds}; half of the rounds agree within {self.spread:.1%}{unsteady}"


def alone(plan: Plan, arms: Sequence[Arm], make_launcher: MakeLauncher) -> Throughput:
    """The throughput of each arm with one worker and nothing beside it, in five interleaved rounds.

    Machines drift and other work comes and goes, so an arm is compared with the first one round by round; its
    speed is the median of those ratios times the first one's median.
    """
    machine = {key: value for key, value in environment.describe().items() if key != "platform"}
    shapes = [[arm.model.to_dict(), dataclasses.asdict(arm.train)] for arm in arms]
    known_by = digest([_ROUNDS, machine, plan.threads, dict(plan.code), shapes])
    kept = default_cache() / "throughput" / f"{known_by}.json"
    if (known := _read(kept, arms)) is not None:
        return known
    runs = [(arm, seed) for seed in range(_ROUNDS) for arm in arms]
    outcomes = iter(_short_runs(plan, runs, make_launcher, workers=1, in_order=True))
    rounds = [[next(outcomes)["tokens_per_second"] for _ in arms] for _ in range(_ROUNDS)]
    found = _compared([arm.name for arm in arms], rounds)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(dataclasses.asdict(found)))
    return found


def _compared(names: Sequence[str], rounds: Sequence[Sequence[float]]) -> Throughput:
    """From tokens a second by round and arm."""
    ratios = [[speeds[i] / speeds[0] for speeds in rounds] for i in range(len(names))]
    middles = [statistics.median(each) for each in ratios]
    first = statistics.median(speeds[0] for speeds in rounds)
    return Throughput(
        tokens_per_second={name: first * middle for name, middle in zip(names, middles, strict=True)},
        spread=max(
            statistics.median(abs(ratio / middle - 1) for ratio in each)
            for each, middle in zip(ratios, middles, strict=True)
        ),
    )


def _read(path: Path, arms: Sequence[Arm]) -> Throughput | None:
    try:
        kept = json.loads(path.read_text())
        speeds = {arm.name: float(kept["tokens_per_second"][arm.name]) for arm in arms}
        return Throughput(tokens_per_second=speeds, spread=float(kept["spread"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _short_runs(
    plan: Plan,
    runs: Sequence[tuple[Arm, int]],
    make_launcher: MakeLauncher,
    *,
    workers: int,
    in_order: bool = False,
) -> list[dict[str, Any]]:
    """What runs of 80 steps gave, as they were asked for; raises `WorkError` if one failed.

    A launcher runs what shares a program one after the other, unless they have to go `in_order`.
    """
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
        outcomes = {
            trial.key: result
            for together in ([[trial] for trial in trials] if in_order else [trials])
            for trial, result in launcher.run(together, progress=lambda _: None)
        }
    for trial in trials:
        result = outcomes.get(trial.key)
        if result is None or result["status"] == "failed":
            raise WorkError(f"the speed of {trial.arm} could not be measured: {(result or {}).get('reason')}")
    return [outcomes[trial.key] for trial in trials]

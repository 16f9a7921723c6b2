"""How the machine's cores are divided between workers and the threads of each.

The rule is a worker of one thread on every core: small steps gain little from threads. Where the rule applies and a
study is long enough for it to pay, a short run of the baseline's steps asks whether fewer workers with more threads
would get through more tokens, which depends on the shape, the caches and the memory of the machine.

What was measured is kept beside the prepared text, by machine, shape and code. It has to be: sums over threads round
differently, so `threads` is part of the plan, and the same command must plan the same study again.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paribus.errors import WorkError
from paribus.study import environment, memory
from paribus.study.plan import Plan, digest
from paribus.study.planning import code_versions, flops_per_token
from paribus.study.processes import Processes
from paribus.text.data import default_cache

#: Threads of a worker that are tried, as far as the cores go.
THREADS = (1, 2, 4, 8)

#: What a division must gain over one thread a worker to be taken. Less can be noise; and one thread always adds in the
#: same order, so its numbers come out again on machines with other cores and other libraries for threads.
WORTH_TAKING = 1.1

#: With up to so many threads a study that stands is found: the rule gives any number, by the cores it had.
_MOST_THREADS = 64

_METHOD = 2  # another one when what is measured changes: what was kept is then measured anew
_ROUNDS = 10
_TURN_SECONDS = 0.2
_ENOUGH_SECONDS = 10.0  # no round begins later
_WORTH_SECONDS = 60.0  # a tenth of them gained would about pay for measuring
_UNDISTURBED = (
    0.9  # of the time a process must have had its core: a busy neighbour slows the divisions unequally
)
_CORE_FLOPS = 1e11  # training FLOPs of a core in a second: the default study's on a core with AVX512-BF16


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the machine's cores are shared out: worker processes and threads in each.

    `measured` has the tokens a second of all workers together, uncompiled on the baseline, by divisions named workers
    x threads; it is empty where the rule or the user decided.
    """

    workers: int
    threads: int
    measured: Mapping[str, int] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "workers": self.workers,
            "threads_per_worker": self.threads,
            **({"divisions_tokens_per_second": dict(self.measured)} if self.measured else {}),
        }

    def note(self) -> str:
        """What was measured and what follows, in a sentence."""
        speeds = ", ".join(f"{name} {speed:,}" for name, speed in self.measured.items())
        return (
            f"cores divided into {self.workers}x{self.threads} (workers x threads), measured once for this shape in "
            f"tokens a second: {speeds}"
        )


def divide(
    plan: Plan, *, workers: int | None = None, threads: int | None = None
) -> tuple[Division, tuple[str, ...]]:
    """By the rule: one-thread workers on every core; fewer, with more threads, where memory or trials are short.

    Numbers that are given are kept, but for workers that memory cannot hold; then a note says so.
    """
    largest = max(plan.arms, key=lambda arm: memory.trial_bytes(arm.model, arm.train))
    trials = len(plan.trials(plan.rates))
    wanted = workers or min(trials, environment.trials_at_a_time(threads or 1))
    fitting = memory.workers_that_fit(largest.model, largest.train, wanted=wanted)
    notes = (f"memory holds {fitting} workers, not {workers}",) if workers and fitting < workers else ()
    return Division(workers=fitting, threads=threads or max(1, environment.cores() // fitting)), notes


def settle(
    plan: Plan,
    rule: Division,
    *,
    workers: int | None,
    begun: Callable[[Plan], int | None],
    say: Callable[[str], None],
) -> Division:
    """The division of a study for which nobody gave threads, from what the `rule` makes of it.

    `begun` tells the threads of the study that stands where this plan's would, if one does: it keeps them. Else a
    division is measured, or known, where nobody gave `workers` and `worth_measuring` holds. A measurement that
    fails, or that other work disturbed, leaves the rule and a sentence, and is not kept.
    """
    measuring = workers is None and worth_measuring(plan, rule)
    known = _read(_kept(plan)) if measuring else {}
    threads = chosen(known) if known else rule.threads
    stands = _standing(plan, begun, dict.fromkeys((threads, *THREADS, *range(1, _MOST_THREADS + 1))))
    if stands is None and measuring and not known and (known := _measured(plan, say)):
        threads = chosen(known)
    division = rule
    if (stands or threads) != rule.threads:
        division, _ = divide(plan, workers=workers, threads=stands or threads)
    cores = environment.cores()
    named = {f"{cores // each}x{each}": round(speed) for each, speed in known.items()}
    division = dataclasses.replace(division, measured=named)
    if stands not in (None, threads):
        say(f"the study goes on with {stands} threads a worker, as it began")
    elif known:
        say(division.note())
    return division


def _standing(plan: Plan, begun: Callable[[Plan], int | None], tried: Iterable[int]) -> int | None:
    """The threads of a study that stands where this plan's would with one of these numbers of threads."""
    found = (begun(dataclasses.replace(plan, threads=threads)) for threads in tried)
    return next((threads for threads in found if threads is not None), None)


def _measured(plan: Plan, say: Callable[[str], None]) -> dict[int, float]:
    """What `measure` gives, kept for the next time; nothing, and a sentence, if it cannot be had."""
    say("measuring once how to divide the cores between workers and their threads")
    try:
        found, running = measure(plan)
        if running < _UNDISTURBED:
            raise WorkError(f"other work had the cores for {1 - running:.0%} of the time")
        _keep(_kept(plan), found)
    except (WorkError, OSError) as error:
        say(f"every worker gets one thread: other divisions of the cores could not be measured ({error})")
        return {}
    return found


def worth_measuring(plan: Plan, rule: Division) -> bool:
    """Whether there is a choice, and a study long enough for a better one to pay.

    A choice: several cores, no GPU, and trials and memory for a worker on each. Long enough: by its training FLOPs
    at 100 GFLOP/s a core, a minute or more.
    """
    cores = environment.cores()
    if cores == 1 or (rule.workers, rule.threads) != (cores, 1):
        return False
    runs = len(plan.seeds) * len(plan.schemes) * len(plan.rates)
    flops = runs * sum(flops_per_token(arm) * arm.tokens for arm in plan.arms)
    return flops / (cores * _CORE_FLOPS) >= _WORTH_SECONDS


def chosen(measured: Mapping[int, float]) -> int:
    """The threads of the fastest division, but one thread where no other is a tenth faster than that."""
    best = max(measured, key=lambda threads: measured[threads])
    return best if measured[best] >= WORTH_TAKING * measured[1] else 1


def measure(plan: Plan) -> tuple[dict[int, float], float]:
    """Tokens a second of all workers together by the threads of each, on uncompiled steps of the baseline.

    Beside it the share of the time for which processes of one thread had a core. There is a process for every core.
    The divisions take turns of 0.2 seconds in ten rounds: the first cores // threads processes run at the same time
    on so many threads each, the others wait. Medians of the rounds count. Steps are not compiled, because compiling
    once for each number of threads would cost more than is won. Raises `WorkError` or `OSError` if a process cannot
    start or dies.
    """
    cores = environment.cores()
    arm = plan.arm(plan.baseline)
    tried = [threads for threads in THREADS if threads <= cores]
    speeds: dict[int, list[float]] = {threads: [] for threads in tried}
    running = []
    arguments = [json.dumps(arm.model.to_dict()), json.dumps(dataclasses.asdict(arm.train))]
    with Processes(
        ["paribus.study.step_timer", *arguments, plan.data["tokenizer"]], count=cores, threads=1
    ) as processes:

        def turn(threads: int, seconds: float) -> list[dict[str, float]]:
            return processes.ask("time", first=cores // threads, threads=threads, seconds=seconds)

        for threads in tried:
            turn(threads, 0.0)  # the first step of a process, and of a number of threads, is slow
        began = time.monotonic()
        for number in range(_ROUNDS):
            if number and time.monotonic() - began > _ENOUGH_SECONDS:
                break
            for threads in tried:
                answers = turn(threads, _TURN_SECONDS)
                speeds[threads].append(sum(answer["tokens_per_second"] for answer in answers))
                if threads == 1:
                    running.append(statistics.mean(answer["running"] for answer in answers))
    medians = {threads: statistics.median(each) for threads, each in speeds.items()}
    return medians, statistics.median(running)


def _kept(plan: Plan) -> Path:
    """Where a measurement is kept, by all that it depends on."""
    arm = plan.arm(plan.baseline)
    machine = {key: value for key, value in environment.describe().items() if key != "platform"}
    step = [getattr(arm.train, name) for name in ("batch_size", "seq_len", "objective", "dtype", "optimiser")]
    code = code_versions(list(arm.model.to_dict().values()))
    known_by = digest([_METHOD, machine, arm.model.to_dict(), step, plan.data["tokenizer"], code])
    return default_cache() / "division" / f"{known_by}.json"


def _keep(path: Path, measured: Mapping[int, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured))


def _read(path: Path) -> dict[int, float]:
    """What was measured, or nothing."""
    try:
        measured = {int(threads): float(speed) for threads, speed in json.loads(path.read_text()).items()}
        return measured if 1 in measured and min(measured) > 0 else {}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}

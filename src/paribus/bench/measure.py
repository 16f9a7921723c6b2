"""Drives a benchmark: rounds in which every contender is timed once, in an order that turns.

Interleaving is what makes ratios steady on a machine whose clock and neighbours change by the minute. With
several processes each does the same work at the same time, as the workers of a study do: all are asked together
and all must have answered before the next contender's turn.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paribus.bench.contender import Measured, Suite
from paribus.cores import usable_processes
from paribus.errors import RequestError
from paribus.study.environment import cores, describe
from paribus.study.launch import ALLOCATOR
from paribus.study.processes import Processes

_REDRAWN = 1000
_TURN_SECONDS = 0.03  # shorter steps are repeated until a turn takes this long

Told = Callable[[str, int, int], None]  # what is happening, turns done, turns in all


def benchmark(
    suite: Suite,
    options: Mapping[str, Any],
    *,
    rounds: int,
    processes: int | None = None,
    threads: int | None = None,
    only: Sequence[str] = (),
    told: Told = lambda what, done, total: None,
) -> dict[str, Any]:
    """All that was measured, as plain data: the suite and its options, the division of cores, and the rows.

    By default a suite runs on all cores: in one process, or in one process of one thread a core if it says so.
    """
    threads = threads or suite.threads or max(1, cores() // (processes or 1))
    processes = 1 if suite.peak else usable_processes(processes or max(1, cores() // threads))
    if suite.peak:
        found, tokens = measure_peaks(suite.name, options, threads=threads, only=only, told=told)
    else:
        found, tokens = measure(
            suite.name, options, rounds=rounds, processes=processes, threads=threads, only=only, told=told
        )
    return {
        "suite": suite.name,
        "summary": suite.summary,
        "options": dict(options),
        "reference": suite.reference,
        "unit": suite.unit,
        "peak": suite.peak,
        "rounds": rounds,
        "processes": processes,
        "threads": threads,
        "allocator": {} if suite.peak else ALLOCATOR,
        "rows": rows(found, tokens=tokens, reference=suite.reference),
        "ran_on": describe(),
    }


def measure(
    suite: str,
    options: Mapping[str, Any],
    *,
    rounds: int,
    processes: int,
    threads: int,
    only: Sequence[str] = (),
    told: Told = lambda what, done, total: None,
) -> tuple[list[Measured], int]:
    """Every contender of a suite, timed in `rounds` rounds, and the tokens of a step in all processes together.

    A contender whose library is missing, or that fails, has the reason in `unavailable` and no times. `only`
    keeps those whose names hold one of these words, and `ours`; raises `RequestError` if no name does.
    """
    with _processes(suite, options, count=processes, threads=threads) as workers:
        found, tokens = _listed(workers, only)
        repeats: dict[str, int] = {}
        for number, each in enumerate(found):
            told(f"building {each.name}", number, len(found))
            step = _build(workers, each)
            if step is not None:
                repeats[each.name] = math.ceil(_TURN_SECONDS / max(step, 1e-6))
        running = [each for each in found if each.unavailable is None]
        for turn in range(rounds):
            for place in range(len(running)):
                each = running[(turn + place) % len(running)]
                answers = workers.ask("time", name=each.name, repeats=repeats[each.name])
                each.seconds.append(max(answer["seconds"] for answer in answers))
                each.cpu_seconds.append(statistics.mean(answer["cpu_seconds"] for answer in answers))
                told(each.name, turn * len(running) + place + 1, rounds * len(running))
    return found, tokens * processes


def measure_peaks(
    suite: str, options: Mapping[str, Any], *, threads: int, only: Sequence[str] = (), told: Told
) -> tuple[list[Measured], int]:
    """Every contender's peak memory above rest, each in a process of its own with the system's own allocator."""
    with _processes(suite, options, count=1, threads=threads) as worker:
        found, tokens = _listed(worker, only)
    for number, each in enumerate(found):
        told(each.name, number, len(found))
        with _processes(
            suite, options, count=1, threads=threads, settings=dict.fromkeys(ALLOCATOR)
        ) as worker:
            step = _build(worker, each)
            if step is not None:
                each.seconds = [step]
                each.peak_bytes = worker.ask("peak", name=each.name)[0].get("bytes")
    return found, tokens


def _processes(suite: str, options: Mapping[str, Any], **how: Any) -> Processes:
    """Workers that hold the contenders of a suite."""
    return Processes(["paribus.bench.worker", suite, json.dumps(options)], **how)


def _listed(workers: Processes, only: Sequence[str]) -> tuple[list[Measured], int]:
    """The contenders that were asked for, and the tokens of a step."""
    listed = workers.ask("names")[0]
    every = [Measured(**line) for line in listed["contenders"]]
    for word in only:
        if not any(word in each.name for each in every):
            names = ", ".join(each.name for each in every)
            raise RequestError(f"no contender has {word!r} in its name; they are: {names}")
    wanted = [each for each in every if each.name == "ours" or any(word in each.name for word in only)]
    return wanted if only else every, listed["tokens"]


def _build(workers: Processes, each: Measured) -> float | None:
    """Build a contender in every process; seconds of a step, or None if it cannot take part."""
    answers = workers.ask("build", name=each.name)
    each.unavailable = next((a.get("missing") or a.get("failed") for a in answers if "step" not in a), None)
    if each.unavailable is not None:
        return None
    each.build_seconds = max(answer["seconds"] for answer in answers)
    each.kept_bytes = workers.ask("kept", name=each.name)[0].get("bytes")
    return answers[0]["step"]


def rows(found: Sequence[Measured], *, tokens: int, reference: str) -> list[dict[str, Any]]:
    """The table: medians, quartiles, tokens a second, and the time over the reference's, paired by round."""
    base = next((each for each in found if each.name == reference and each.seconds), None)
    table = []
    for each in found:
        row: dict[str, Any] = {
            "name": each.name,
            "kind": each.kind,
            "note": each.note,
            "unavailable": each.unavailable,
            "kept_bytes": each.kept_bytes,
            "peak_bytes": each.peak_bytes,
            "build_seconds": each.build_seconds,
            "rounds": len(each.seconds),
        }
        if each.seconds:
            median = statistics.median(each.seconds)
            row |= {
                "milliseconds": 1e3 * median,
                "quartiles": [1e3 * q for q in _quartiles(each.seconds)],
                "tokens_per_second": tokens / median,
            }
        if each.cpu_seconds:
            row["cpu_milliseconds"] = 1e3 * statistics.median(each.cpu_seconds)
        if each.seconds and base is not None:
            # Of medians, not of rounds: a neighbour that takes a core away hits one turn, not a round.
            row["ratio"] = statistics.median(each.seconds) / statistics.median(base.seconds)
            row["ratio_range"] = _redrawn(each.seconds, base.seconds)
        if each.peak_bytes is not None and base is not None and base.peak_bytes:
            row["peak_ratio"] = each.peak_bytes / base.peak_bytes
        if each.cpu_seconds and base is not None and base.cpu_seconds:
            row["cpu_ratio"] = statistics.median(each.cpu_seconds) / statistics.median(base.cpu_seconds)
        table.append(row)
    return table


def _redrawn(mine: Sequence[float], its: Sequence[float]) -> list[float]:
    """95 % of the ratios of medians when the rounds are drawn again: how steady a ratio is."""
    draw = random.Random(0)
    ratios = []
    for _ in range(_REDRAWN):
        rounds = [draw.randrange(len(mine)) for _ in mine]
        ratios.append(statistics.median(mine[r] for r in rounds) / statistics.median(its[r] for r in rounds))
    ratios.sort()
    return [ratios[_REDRAWN // 40], ratios[-_REDRAWN // 40]]


def _quartiles(values: Sequence[float]) -> list[float]:
    if len(values) < 2:
        return [values[0], values[0]]
    low, _, high = statistics.quantiles(values, n=4)
    return [low, high]

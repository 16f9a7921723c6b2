"""A training step of `ours` under several ways for a process's threads to wait, in turn in one run.

    python benchmarks/waiting.py [--rounds 30] [--busy 1] [--turns 0,1000,own] [OPTION=VALUE ...]

`--busy` keeps so many other processes at work meanwhile. Turns are libgomp's (GOMP_SPINCOUNT): how long a thread stays
awake for its next task; 0 sends it to sleep at once, `own` is what libgomp does where nothing is set. The options are
those of `paribus bench step`, for other sizes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys

from paribus.bench.suites import SUITES
from paribus.cli.benchmarks import override
from paribus.cores import WAITING, cores
from paribus.study.processes import Processes

OWN = "own"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("sizes", nargs="*", type=override)
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--busy", type=int, default=0)
    options.add_argument("--turns", default=f"0,1000,3000,{WAITING['GOMP_SPINCOUNT']},30000,{OWN},0")
    given = options.parse_intermixed_args()
    tried = given.turns.split(",")
    arguments = ["paribus.bench.worker", "step", json.dumps(SUITES["step"].options(None, dict(given.sizes)))]
    seconds: list[list[float]] = [[] for _ in tried]
    cpu_seconds: list[list[float]] = [[] for _ in tried]
    with contextlib.ExitStack() as held:
        workers = [
            held.enter_context(Processes(arguments, count=1, threads=cores(), settings=_settings(turns)))
            for turns in tried
        ]
        for worker in workers:
            worker.ask("build", name="ours")
        for _ in range(given.busy):
            other = held.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            held.callback(other.kill)
        for turn in range(given.rounds):
            for place in range(len(workers)):
                number = (turn + place) % len(workers)
                (answer,) = workers[number].ask("time", name="ours", repeats=1)
                seconds[number].append(answer["seconds"])
                cpu_seconds[number].append(answer["cpu_seconds"])
    first, first_cpu = statistics.median(seconds[0]), statistics.median(cpu_seconds[0])
    print(f"{'turns':>8}{'ms':>9}{'over the first':>16}{'CPU':>7}")
    for turns, clock, spent in zip(tried, seconds, cpu_seconds, strict=True):
        middle, cpu = statistics.median(clock), statistics.median(spent)
        print(f"{turns:>8}{1e3 * middle:>9.1f}{middle / first:>16.3f}{cpu / first_cpu:>7.3f}")


def _settings(turns: str) -> dict[str, str | None]:
    """Changes to a worker's settings for waiting."""
    return dict.fromkeys(WAITING) if turns == OWN else {"GOMP_SPINCOUNT": turns}


if __name__ == "__main__":
    main()

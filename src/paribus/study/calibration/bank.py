"""A bank of finished trials, drawn into many small studies: how verdicts fare on real losses.

The one idea: a study with a placebo, a handicap and many seeds holds hundreds of smaller studies of which
the truth is known: the placebo does not differ, every other arm does. Its seeds are parted at random, again
and again, into disjoint studies of n seeds, and each is judged by the real `judge`. The simulated studies,
and what is counted as false, are in `simulation.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.errors import RequestError
from paribus.study.calibration.parallel import Processes
from paribus.study.calibration.simulation import exact_interval, said
from paribus.study.verdicts.statistics import Floats
from paribus.study.verdicts.verdict import CONTROLS, judge

SIZES = (4, 8, 10)  # seeds of the studies that are drawn
POWER_SEEDS, POWER_LIMIT = 10, 0.90  # at 10 seeds the handicap must be found this often
PARTITIONS = 500  # of all the seeds, for each size
_CHUNK = 10  # partitions of a job
PLACEBO, HANDICAP = CONTROLS

_ABOUT = ("data", "training", "environment", "paribus", "command", "plan_sha256")
_LOSS = {"diverged": math.inf, "failed": math.nan, "missing": math.nan}
# What a study said of an arm; refused: something stood in the way of a verdict.
_WORDS = {"better": -1, None: 0, "worse": 1}
_REFUSED = 2


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Losses [rates, seeds] by arm, all of one study; `about` is what a page says of its origin."""

    folder: str
    baseline: str
    rates: tuple[float, ...]
    losses: Mapping[str, Floats]
    about: Mapping[str, Any]

    @property
    def seeds(self) -> int:
        return self.losses[self.baseline].shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.losses)


def read_bank(folder: Path) -> Bank:
    """Read the losses of a finished study from its `results.json`.

    Raises `RequestError`, one sentence, if there is none, if it lacks a placebo, a handicap or 10 seeds, or
    if it has two trials of one arm, rate and seed.
    """
    try:
        results = json.loads((folder / "results.json").read_text())
        rows, baseline = results["trials"], str(results["baseline"])
        cells = [(str(row["arm"]), float(row["lr"]), int(row["seed"]), _loss(row)) for row in rows]
        about = {key: results.get(key) for key in _ABOUT} | {"tokens": _tokens(results)}
    except FileNotFoundError:
        what = "holds no results.json" if folder.is_dir() else "is not there"
        raise RequestError(f"the bank {folder} {what}; a bank is the folder of a finished study") from None
    except OSError as error:
        raise RequestError(f"the bank {folder} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise RequestError(f"{folder / 'results.json'} is not the results of a study") from None
    names = list(dict.fromkeys(name for name, *_ in cells))
    rates, seeds = sorted({cell[1] for cell in cells}), sorted({cell[2] for cell in cells})
    for name in (baseline, *CONTROLS):
        if name not in names:
            raise RequestError(
                f"the bank {folder} has no trials of {name}; it has {', '.join(names) or 'none'}"
            )
    if len(seeds) < POWER_SEEDS:
        raise RequestError(
            f"the bank {folder} has {len(seeds)} seeds; at least {POWER_SEEDS} are needed, 40 are usual"
        )
    table = {cell[:3]: cell[3] for cell in cells}
    if len(table) < len(cells):
        raise RequestError(
            f"the bank {folder} has two trials of one arm, rate and seed, so it is no single study"
        )
    losses = {
        name: np.array([[table.get((name, rate, seed), math.nan) for seed in seeds] for rate in rates])
        for name in names
    }
    return Bank(folder=folder.name, baseline=baseline, rates=tuple(rates), losses=losses, about=about)


def _loss(row: Mapping[str, Any]) -> float:
    return float(row["val_bpb"]) if row["status"] == "done" else _LOSS[row["status"]]


def _tokens(results: Mapping[str, Any]) -> dict[str, int]:
    """Training tokens by arm, where the study says them."""
    rows = [*results.get("arms", []), *results.get("controls", [])]
    return {str(row["name"]): int(row["tokens"]) for row in rows if row.get("tokens")}


@dataclass(frozen=True, kw_only=True)
class _Job:
    bank: Bank
    size: int
    seed: int
    number: int
    partitions: int

    def run(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Seeds [studies, size] of each study and its words [studies, arms], as numbers: see `_WORDS`."""
        rng = np.random.default_rng([self.seed, self.size, self.number])
        whole = self.bank.seeds // self.size
        drawn = [
            rng.permutation(self.bank.seeds)[: whole * self.size].reshape(whole, self.size)
            for _ in range(self.partitions)
        ]
        members = np.concatenate(drawn)
        return members, np.array([self._words(seeds) for seeds in members])

    def _words(self, seeds: NDArray[np.int_]) -> list[int]:
        bank = self.bank
        judgement = judge(
            {name: table[:, seeds] for name, table in bank.losses.items()},
            rates=bank.rates,
            baseline=bank.baseline,
            controls=[name for name in bank.names if name in CONTROLS],
        )
        everyone = judgement.arms | judgement.controls
        return [_REFUSED if everyone[name].reason else _WORDS[said(judgement, name)] for name in bank.names]


def resample(
    bank: Bank, *, seed: int, processes: Processes, progress: Callable[[int], None] = lambda more: None
) -> dict[str, Any]:
    """Rates of false verdicts (placebo) and of found differences (every other arm), as plain data.

    `progress` gets the studies done since its last call, of `studies_in`. A difference is found
    when the verdict has its direction: worse for the handicap, for others that of the bank as a whole.
    """
    whole = judge(bank.losses, rates=bank.rates, baseline=bank.baseline)
    differences = {name: arm.difference for name, arm in whole.arms.items() if arm.difference is not None}
    sizes: list[dict[str, Any]] = []
    for size in SIZES:
        jobs = [
            _Job(bank=bank, size=size, seed=seed, number=number, partitions=_CHUNK)
            for number in range(PARTITIONS // _CHUNK)
        ]
        told = partial(_studies_done, progress, _CHUNK * (bank.seeds // size))
        parts = processes.map(_Job.run, jobs, progress=told)
        members, words = (np.concatenate(column) for column in zip(*parts, strict=True))
        found = []
        for name in bank.names:
            if name in (bank.baseline, PLACEBO):
                continue
            worse = name == HANDICAP or name not in differences or differences[name].mean > 0
            right = words[:, bank.names.index(name)] == (1 if worse else -1)
            found.append({"arm": name, **share(right, members, bank.seeds)})
            if sizes:  # more seeds do not find less
                fewer = next(row for row in sizes[-1]["found"] if row["arm"] == name)
                found[-1]["ci95"][0] = max(found[-1]["ci95"][0], min(fewer["ci95"][0], found[-1]["rate"]))
        false = np.isin(words[:, bank.names.index(PLACEBO)], (-1, 1))
        sizes.append(
            {
                "seeds": size,
                "studies": len(members),
                "false": share(false, members, bank.seeds),
                "found": found,
                "withheld": float((words == _REFUSED).any(axis=1).mean()),
            }
        )
    return {
        "folder": bank.folder,
        "seeds": bank.seeds,
        "partitions": PARTITIONS,
        "arms": list(bank.names),
        "rates": list(bank.rates),
        "differences": [
            {"arm": name, "mean": d.mean, "ci95": [d.low, d.high], "tokens": tokens_share(bank, name)}
            for name, d in differences.items()
        ],
        "noise": noise(bank),
        "sizes": sizes,
        "about": dict(bank.about),
    }


def _studies_done(progress: Callable[[int], None], each: int, jobs: int) -> None:
    progress(each * jobs)


def studies_in(bank: Bank) -> int:
    """How many studies `resample` judges, for a progress bar."""
    return PARTITIONS * sum(bank.seeds // size for size in SIZES)


def share(happened: NDArray[np.bool_], members: NDArray[np.int_], seeds: int) -> dict[str, Any]:
    """How often something happened in studies of `members` [studies, n], drawn from `seeds` seeds.

    The interval is Clopper and Pearson's with an effective number of studies, p (1 - p) / v (Korn and
    Graubard 1998), where v is the jackknife variance over seeds: all studies that hold a seed are left out
    together. That errs to width (Efron and Stein 1981). A bootstrap would draw a seed twice, and a study
    that holds a seed twice looks quieter than any real one. The effective number is never below
    seeds / n, the disjoint studies that there are (Hoeffding 1948); it is that when p is 0 or 1, of which
    the jackknife says nothing.
    """
    n, p = members.shape[1], float(happened.mean())
    disjoint = seeds / n
    effective = disjoint
    if 0 < p < 1:
        holds = (members[:, :, None] == np.arange(seeds)).any(axis=1)
        without = (~holds & happened[:, None]).sum(axis=0) / (~holds).sum(axis=0)
        variance = (seeds - 1) / seeds * float(((without - without.mean()) ** 2).sum())
        effective = max(disjoint, p * (1 - p) / variance) if variance else disjoint
    low, high = exact_interval(p * effective, effective)
    return {"count": int(happened.sum()), "rate": p, "ci95": [low, high], "effective_studies": effective}


def tokens_share(bank: Bank, name: str) -> float | None:
    """An arm's training tokens over the baseline's, where the study says them."""
    tokens: Mapping[str, int] = bank.about["tokens"]
    return tokens[name] / tokens[bank.baseline] if {name, bank.baseline} <= tokens.keys() else None


def noise(bank: Bank) -> dict[str, Any] | None:
    """What the bank's noise is like, in the terms of `calibration.Setting`; None where trials are missing.

    At each arm's best rate: `sd` of a trial without what its seed does to all arms (`block`, over that sd);
    `correlation` of that noise at neighbouring rates; `rise` of the mean loss one rate below and one above,
    over sd; `sds` by arm. From covariances over seeds: of an arm with itself, with the others, and of rates.
    """
    losses = np.array([bank.losses[name] for name in bank.names])
    best = losses.mean(axis=2).argmin(axis=1)
    if not np.isfinite(losses).all() or (best == 0).any() or (best == len(bank.rates) - 1).any():
        return None
    low, at, high = (losses[np.arange(len(best)), best + step] for step in (-1, 0, 1))
    k, covariance = len(best), np.cov(at)
    others = ~np.eye(k, dtype=bool)
    block = float(covariance[others].mean())
    variance = float(np.diag(covariance).mean()) - block
    beside = [np.cov(at, near)[:k, k:] for near in (low, high)]
    correlation = float(np.mean([np.diag(c).mean() - c[others].mean() for c in beside])) / variance
    sd = math.sqrt(variance)
    return {
        "sd": sd,
        "block": math.copysign(math.sqrt(abs(block)) / sd, block),
        "correlation": correlation,
        "rise": [float((near.mean(axis=1) - at.mean(axis=1)).mean()) / sd for near in (low, high)],
        "sds": dict(zip(bank.names, map(float, at.std(axis=1, ddof=1)), strict=True)),
    }

"""What a study will run: arms with their widths, controls, rates, seeds, and a name for every trial.

A plan holds everything that a result depends on and nothing else (not the number of workers), so its hash
says whether two folders hold the same study. Trials are named by what they are; a resumed study recognises
its finished ones by that. How a request becomes a plan is in `planning`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from paribus.errors import RequestError
from paribus.model.config import SLOTS, ModelConfig
from paribus.study.naming import digest, run_id, trial_name
from paribus.study.verdicts.looks import LOOKS
from paribus.train.config import TrainConfig

PLACEBO, HANDICAP = "placebo", "handicap"
#: What each control must show for the study to be trusted.
EXPECTED = {PLACEBO: "not different from the baseline", HANDICAP: "worse than the baseline"}
#: What `match` holds equal over the arms, beside the parameters that `params`, `flops` and `time` all hold equal.
MATCHES = {
    "params": "parameters",
    "flops": "parameters, and training FLOPs by the number of tokens",
    "time": "parameters, and training time by the number of tokens, from a throughput measured once",
    "bytes": "training bytes, bytes of context, and parameters outside embedding and head",
    "none": "nothing",
}

#: Diagnostics of an arm that do not depend on the rate: measured at the middle one of the grid.
ONCE = ("reference_time",)

#: Names in a plan's `code` that are no files.
VERSIONS = ("paribus", "paribus source", "torch")

_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One thing that is compared: the settings it is named for, and what they come to.

    `mismatch` is how far its matched parameters are off the baseline's, `compute_mismatch` its training FLOPs or
    time where these are matched too (both relative). `salted` are the slots that a placebo draws anew. `data` is the
    sha256 of a dataset of its own, where arms differ in their tokenizer.
    """

    name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    model: ModelConfig
    train: TrainConfig
    salted: tuple[str, ...] = ()
    mismatch: float = 0.0
    compute_mismatch: float = 0.0
    control: bool = False
    data: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens it trains on."""
        return self.train.trained_tokens


@dataclass(frozen=True, kw_only=True)
class Look:
    """A time to judge: after this many seeds, with simultaneous intervals of confidence 1 - alpha."""

    seeds: int
    alpha: float


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run: an arm at a rate from a seed. `probes` is what it measures beside its loss, with options.

    `data` is the sha256 of the arm's own dataset, None where all arms read the study's.
    """

    arm: str
    rate: float
    seed: int
    model: ModelConfig
    train: TrainConfig
    salted: tuple[str, ...] = ()
    probes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens it trains on."""
        return self.train.trained_tokens

    @functools.cached_property
    def graph(self) -> str:
        """Trials with the same graph share a compiled program."""
        train = dataclasses.replace(
            self.train,
            tokens=2 * self.train.tokens_per_step,
            passes=None,
            warmup=0.0,
            init_scheme="fan_in",
            match_output_rms=False,
        )
        return digest([self.model.to_dict(), dataclasses.asdict(train)])

    @property
    def name(self) -> str:
        return trial_name(self.arm, self.rate, self.seed)

    @functools.cached_property
    def key(self) -> str:
        """Hash of everything the result depends on, given the data."""
        return digest(dataclasses.asdict(self))

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Trial:
        return cls(**_revived(json.loads(text)))


class Compared(Protocol):
    """An arm as every kind of plan has it."""

    @property
    def name(self) -> str: ...

    @property
    def control(self) -> bool: ...


ArmT = TypeVar("ArmT", bound=Compared)
TrialT = TypeVar("TrialT")

Counted = Literal["tokens", "trials"]


class Grid(Generic[ArmT, TrialT]):
    """What the plans of all studies share: arms by rates by seeds by initial schemes."""

    arms: tuple[ArmT, ...]
    seeds: tuple[int, ...]
    schemes: tuple[str, ...]

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(arm.name for arm in self.arms if arm.control)

    def arm(self, name: str) -> ArmT:
        return next(arm for arm in self.arms if arm.name == name)

    def trials(self, rates: Sequence[float], seeds: Sequence[int] | None = None) -> list[TrialT]:
        """Every arm at every one of these rates from every seed under every scheme, whole seeds first."""
        grid = itertools.product(self.seeds if seeds is None else seeds, self.schemes, rates, self.arms)
        return [self.trial(arm, rate, seed, scheme) for seed, scheme, rate, arm in grid]

    def trial(self, arm: ArmT, rate: float, seed: int, scheme: str | None = None) -> TrialT:
        """One run of the grid, under the first scheme unless another is given."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Plan(Grid[Arm, Trial]):
    """A study before it runs.

    `varied` are the settings in which arms differ, `slots` those of them that are slots. `schemes` are the initial
    schemes that everything runs under, `looks` when it is judged; the last has all seeds. `probes` are measured
    in every trial, `diagnostics` in those of the first seed. `extend` is whether the grid of rates grows until
    every minimum lies inside. `data` has the name and content hash of the prepared text, `code` the versions of
    what computes and the content hashes of the user's own parts. `threads` counts: sums over threads round
    differently.
    """

    study: str
    kind: str
    arms: tuple[Arm, ...]
    baseline: str
    varied: tuple[str, ...]
    rates: tuple[float, ...]
    extend: bool
    seeds: tuple[int, ...]
    schemes: tuple[str, ...]
    looks: tuple[Look, ...]
    matched: str
    margin: float | None
    train: TrainConfig
    probes: Mapping[str, Mapping[str, Any]]
    diagnostics: Mapping[str, Mapping[str, Any]]
    data: Mapping[str, Any]
    threads: int
    code: Mapping[str, str]
    format: int = field(default=_FORMAT)

    @property
    def slots(self) -> tuple[str, ...]:
        return slots_of(self.varied)

    @property
    def counts(self) -> Counted:
        """What progress is counted in."""
        return "tokens"

    def trial(self, arm: Arm, rate: float, seed: int, scheme: str | None = None) -> Trial:
        scheme = scheme or self.schemes[0]
        probes = dict(self.probes)
        if seed == self.seeds[0] and scheme == self.schemes[0] and not arm.control:
            once = rate != self.rates[len(self.rates) // 2]
            probes |= {name: how for name, how in self.diagnostics.items() if not (once and name in ONCE)}
        return Trial(
            arm=arm.name,
            rate=rate,
            seed=seed,
            model=arm.model,
            train=dataclasses.replace(arm.train, init_scheme=scheme),
            salted=arm.salted,
            probes=probes,
            data=arm.data,
        )

    def run_id(self, trial: Trial) -> str:
        """What names this run anywhere: a hash of its settings, its data, and the code and torch that ran it."""
        return run_id(trial.key, data=self.data.get("sha256"), threads=self.threads, code=self.code)

    @functools.cached_property
    def sha256(self) -> str:
        """Identity of the study; where its text was found does not count, only what it says."""
        data = {key: fact for key, fact in self.data.items() if key != "source"}
        return digest({**self.to_dict(), "data": data})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Plan:
        """The plan that `to_dict`, or a plan.json, came from; raises `RequestError` for that of another version."""
        if raw.get("format") != _FORMAT:
            raise RequestError(
                f"the plan has format {raw.get('format')!r}, and this version of paribus reads {_FORMAT}"
            )
        try:
            lists = {name: tuple(raw[name]) for name in ("varied", "rates", "seeds", "schemes")}
            arms = tuple(Arm(**_revived(arm)) for arm in raw["arms"])
            looks = tuple(Look(**look) for look in raw["looks"])
            return cls(**{**raw, **lists, "arms": arms, "looks": looks, "train": TrainConfig(**raw["train"])})
        except (KeyError, TypeError) as error:
            raise RequestError(f"the plan is not what a study writes: {error}") from error


def _revived(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An arm or a trial as plain data, with its configs made again."""
    return {
        **raw,
        "model": ModelConfig(**raw["model"]),
        "train": TrainConfig(**raw["train"]),
        "salted": tuple(raw["salted"]),
    }


def slots_of(keys: Sequence[str]) -> tuple[str, ...]:
    """The slots among dotted settings."""
    return tuple(key.removeprefix("model.") for key in keys if key.removeprefix("model.") in SLOTS)


def planned_looks(seeds: int, *, until_resolved: bool) -> tuple[Look, ...]:
    """One look after all seeds, or those of a study that stops once everything is resolved."""
    looks = LOOKS if until_resolved else ((seeds, 0.05),)
    return tuple(Look(seeds=count, alpha=alpha) for count, alpha in looks)


def check_rates(rates: Sequence[float]) -> None:
    """Raise `RequestError` unless there are three rates or more that rise evenly in log."""
    if len(rates) < 3 or rates[0] <= 0 or not all(low < high for low, high in itertools.pairwise(rates)):
        raise RequestError(f"rates must be at least three, positive and rising; they are {list(rates)}")
    ratios = [high / low for low, high in itertools.pairwise(rates)]
    if max(ratios) > 1.01 * min(ratios):
        raise RequestError(
            f"rates must be evenly spaced in log, as 1e-3,2e-3,4e-3 are; they are {list(rates)}"
        )


def extended(rates: Sequence[float], direction: str) -> tuple[float, ...]:
    """The grid with one more rate of the same spacing at its `low` or `high` end, or at `both`."""
    ratio = rates[1] / rates[0]
    low = (rates[0] / ratio,) if direction in ("low", "both") else ()
    high = (rates[-1] * ratio,) if direction in ("high", "both") else ()
    return (*low, *rates, *high)

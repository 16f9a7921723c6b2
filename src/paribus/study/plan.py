"""What a study will run: arms with their widths, controls, rates, seeds, and a name for every trial.

A plan holds everything that a result depends on and nothing else (not the number of workers), so its hash
says whether two folders hold the same study. Trials are named by what they are; a resumed study recognises
its finished ones by that.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paribus
from paribus import registry
from paribus.errors import RequestError, nearest
from paribus.model.config import ModelConfig
from paribus.study.match import match_width
from paribus.study.settings import StudySettings
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig, objective_for

SLOT = "ffn"
PLACEBO, HANDICAP = "placebo", "handicap"
#: What each control must show for the study to be trusted.
EXPECTED = {PLACEBO: "not different from the baseline", HANDICAP: "worse than the baseline"}

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One thing that is compared. `tokens` differs from the others' for the handicap alone."""

    name: str
    model: ModelConfig
    tokens: int
    salted_slot: str | None = None
    mismatch: float = 0.0
    control: bool = False


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run: an arm at a rate from a seed."""

    arm: str
    rate: float
    seed: int
    model: ModelConfig
    train: TrainConfig
    salted_slot: str | None

    @property
    def graph(self) -> str:
        """Trials with the same graph share a compiled program."""
        train = dataclasses.replace(self.train, tokens=2 * self.train.tokens_per_step)
        return _digest([self.model.to_dict(), dataclasses.asdict(train)])

    @property
    def name(self) -> str:
        return f"{self.arm} rate {self.rate:.4g} seed {self.seed}"

    @property
    def key(self) -> str:
        """Hash of everything the result depends on, given the data."""
        return _digest(dataclasses.asdict(self))

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Trial:
        raw = json.loads(text)
        raw["model"], raw["train"] = ModelConfig(**raw["model"]), TrainConfig(**raw["train"])
        return cls(**raw)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study before it runs.

    `data` has the name and content hash of the prepared text, `code` the versions of what computes and the
    content hashes of the user's own parts. `threads` counts: sums over threads round differently.
    """

    arms: tuple[Arm, ...]
    baseline: str
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    train: TrainConfig
    data: Mapping[str, Any]
    threads: int
    code: Mapping[str, str]
    slot: str = SLOT
    matched: str = "params"
    format: int = field(default=_FORMAT)

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(arm.name for arm in self.arms if arm.control)

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def trials(self, rates: Sequence[float]) -> list[Trial]:
        """Every arm at every one of these rates from every seed, whole seeds first."""
        return [self.trial(arm, rate, seed) for seed in self.seeds for rate in rates for arm in self.arms]

    def trial(self, arm: Arm, rate: float, seed: int) -> Trial:
        return Trial(
            arm=arm.name,
            rate=rate,
            seed=seed,
            model=arm.model,
            train=dataclasses.replace(self.train, tokens=arm.tokens),
            salted_slot=arm.salted_slot,
        )

    @property
    def sha256(self) -> str:
        return _digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def make_plan(settings: StudySettings, *, data: Mapping[str, Any], threads: int = 1) -> Plan:
    """Work out arms, widths and controls; raises `RequestError` for what cannot be compared fairly.

    `settings.train` has its dtype and compilation decided already (`train.program.resolve`): a study that
    goes on elsewhere must not change them in silence.
    """
    section = settings.model_section()
    reference = section.pop("d_ff")
    specs = _named_arms(settings)
    baseline = registry.get(SLOT, settings.baseline).name
    if baseline not in specs:
        raise RequestError(f"the baseline {baseline!r} is not among the arms; {nearest(baseline, specs)}")
    seq_len, d_model = settings.train.seq_len, section["d_model"]
    objective = objective_for(settings.train, section["architecture"])
    vocab_size = objective.vocab_size(get_tokenizer(settings.tokenizer).vocab_size, seq_len=seq_len)
    train = dataclasses.replace(settings.train, objective=objective.name)

    def config(ffn: Any, d_ff: int) -> ModelConfig:
        return ModelConfig(
            **section,
            vocab_size=vocab_size,
            max_seq_len=objective.lengths(seq_len).longest,
            ffn=ffn,
            d_ff=d_ff,
        )

    # The baseline's own width sets the budget; by default that of a two-matrix layer of width 4 d_model.
    card, options = config(specs[baseline], reference or 1).part(SLOT)
    if reference is None:
        reference = match_width(card, options, d_model=d_model, budget=8 * d_model**2).d_ff
    budget = card.num_params(d_model=d_model, d_ff=reference, **options)

    arms = []
    for name, spec in specs.items():
        card, options = config(spec, 1).part(SLOT)
        match = match_width(card, options, d_model=d_model, budget=budget)
        d_ff = reference if name == baseline else match.d_ff
        mismatch = 0.0 if name == baseline else match.mismatch
        arms.append(Arm(name=name, model=config(spec, d_ff), tokens=settings.train.tokens, mismatch=mismatch))
    reference_arm = next(arm for arm in arms if arm.name == baseline)
    handicapped = _handicapped(settings)
    arms.append(dataclasses.replace(reference_arm, name=PLACEBO, salted_slot=SLOT, control=True))
    arms.append(dataclasses.replace(reference_arm, name=HANDICAP, tokens=handicapped.tokens, control=True))
    return Plan(
        arms=tuple(arms),
        baseline=baseline,
        rates=tuple(settings.rates),
        seeds=tuple(range(settings.base_seed, settings.base_seed + settings.seeds)),
        train=train,
        data=dict(data),
        threads=threads,
        code=_code([*specs.values(), *section.values()]),
    )


def _handicapped(settings: StudySettings) -> TrainConfig:
    try:
        return dataclasses.replace(settings.train, tokens=int(settings.train.tokens * settings.handicap))
    except RequestError:
        raise RequestError(
            f"train.tokens {settings.train.tokens} is too little: the handicapped control trains on "
            f"{settings.handicap:.0%} of it, and that is under two steps"
        ) from None


def _code(specs: Sequence[Any]) -> dict[str, str]:
    """Versions of torch and paribus, and hashes of the files that parts are taken from."""
    names = [spec.get("name") if isinstance(spec, Mapping) else spec for spec in specs]
    files = {name.rpartition(":")[0] for name in names if isinstance(name, str) and ".py:" in name}
    return {
        "paribus": paribus.__version__,
        "torch": importlib.metadata.version("torch"),
        **{file: hashlib.sha256(Path(file).expanduser().read_bytes()).hexdigest() for file in sorted(files)},
    }


def extended(rates: Sequence[float], direction: str) -> tuple[float, ...]:
    """The grid with one more rate of the same spacing at its `low` or `high` end, or at `both`."""
    ratio = rates[1] / rates[0]
    low = (rates[0] / ratio,) if direction in ("low", "both") else ()
    high = (rates[-1] * ratio,) if direction in ("high", "both") else ()
    return (*low, *rates, *high)


def _named_arms(settings: StudySettings) -> dict[str, Any]:
    """Part specs by canonical name; the baseline joins them if it was not named."""
    specs: dict[str, Any] = {}
    for spec in settings.arms:
        given = spec if isinstance(spec, str) else spec.get("name")
        if not isinstance(given, str):
            raise RequestError(f"an arm is a name or a mapping with a name; this one is {spec!r}")
        name = registry.get(SLOT, given).name
        if name in specs:
            raise RequestError(f"the arm {name!r} is named twice")
        if name in EXPECTED:
            raise RequestError(f"{name!r} is the name of a control; give the part another name")
        specs[name] = spec
    baseline = registry.get(SLOT, settings.baseline).name
    return specs if baseline in specs else {baseline: settings.baseline, **specs}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

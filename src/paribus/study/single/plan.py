"""What one run will do: its model, its training, where it begins, and how the result will be saved.

Everything that the result depends on stands in a `RunPlan` and nothing else does, so its hash says whether a folder
holds the same run.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paribus.errors import ParibusError, RequestError
from paribus.families.family import families
from paribus.families.files import open_folder
from paribus.families.loading import Origin, load
from paribus.families.saving import family_for
from paribus.model.config import ModelConfig
from paribus.model.count import on_meta, training_flops
from paribus.model.initialise import roles
from paribus.model.transformer import Transformer
from paribus.study import memory
from paribus.study.match import usual_width
from paribus.study.naming import digest
from paribus.study.plan import VERSIONS
from paribus.study.planning import code_versions
from paribus.study.single.settings import RunSettings
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig, objective_for
from paribus.train.program import resolve
from paribus.train.ranks import ALONE, Ranks
from paribus.train.run import ffn_output_gain

_RATE, _RATE_OF_WEIGHTS = 0.4, 0.04  # by d_model


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A run before it runs.

    `data` is the prepared text, `start` names the files whose weights it begins from, `files` hashes those that the
    user's own parts are taken from.
    """

    model: ModelConfig
    train: TrainConfig
    rate: float
    seed: int
    scores: int
    data: Mapping[str, Any]
    start: Mapping[str, Any] | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def sha256(self) -> str:
        return digest(self.to_dict())

    @property
    def score_at(self) -> frozenset[int]:
        """After how many steps held-out text is scored; real weights are scored before the first one too."""
        steps = {round(self.train.steps * part / self.scores) for part in range(1, self.scores + 1)}
        return frozenset(steps | ({0} if self.start else set()))


@dataclass(frozen=True, kw_only=True)
class Saving:
    """How the model will be saved: in the layout of a family, or in our own and then `why_not` says why."""

    family: str | None
    why_not: str | None


def make_plan(
    settings: RunSettings, *, data: Mapping[str, Any], ranks: Ranks = ALONE
) -> tuple[RunPlan, Transformer | None]:
    """The plan of a run, and the model whose weights it begins from.

    `settings.train` has its dtype and compilation decided already. Raises `RequestError` for what cannot be trained,
    or not by so many `ranks`.
    """
    loaded = _loaded(settings) if settings.finetune is not None else None
    model = loaded.config if loaded is not None else _model(settings)
    objective = objective_for(settings.train, model.architecture)
    train = dataclasses.replace(settings.train, objective=objective.name)
    _check(model, train, ranks, from_weights=loaded is not None)
    rate = settings.rate or (_RATE if loaded is None else _RATE_OF_WEIGHTS) / model.d_model
    plan = RunPlan(
        model=model,
        train=train,
        rate=rate,
        seed=settings.seed,
        scores=settings.scores,
        data=dict(data),
        start=_start(loaded),
        files=_own_files(model),
    )
    return plan, loaded


def _model(settings: RunSettings) -> ModelConfig:
    section, train = settings.model_section(), settings.train
    memory.check_shape(section)
    objective = objective_for(train, section["architecture"])
    section |= {
        "vocab_size": objective.vocab_size(
            get_tokenizer(settings.tokenizer).vocab_size, seq_len=train.seq_len
        ),
        "max_seq_len": objective.lengths(train.seq_len).longest,
    }
    if section["d_ff"] is None:
        section["d_ff"] = usual_width(ModelConfig(**{**section, "d_ff": 1}))
    return ModelConfig(**section)


def _loaded(settings: RunSettings) -> Transformer:
    """The checkpoint's model, if its vocabulary and its lengths are those of the run."""
    assert settings.finetune is not None
    model = load(settings.finetune)
    config, train = model.config, settings.train
    objective = objective_for(train, config.architecture)
    tokenizer = get_tokenizer(settings.tokenizer)
    own = tokenizer.vocab_size
    needed = objective.vocab_size(own, seq_len=train.seq_len)
    # A checkpoint may have more rows than tokens; but a token that an objective adds must not be one of its own.
    padded = tokenizer.files() and needed == own < config.vocab_size
    if config.vocab_size != needed and not padded:
        added = f" and the objective {objective.name} {needed - own:,} beside" if needed > own else ""
        raise RequestError(
            f"{settings.finetune} has a vocabulary of {config.vocab_size:,} tokens, and the tokenizer "
            f"{settings.tokenizer!r} has {own:,}{added}: they do not belong together"
        )
    if objective.lengths(train.seq_len).longest > config.max_seq_len:
        raise RequestError(
            f"{settings.finetune} takes texts of at most {config.max_seq_len} tokens, and train.seq_len is "
            f"{train.seq_len}"
        )
    return model


def _start(loaded: Transformer | None) -> dict[str, Any] | None:
    """What tells one checkpoint from another: where it lies, its config, and what is in its files."""
    if loaded is None:
        return None
    assert isinstance(loaded.origin, Origin)
    folder = open_folder(loaded.origin.path)
    return {
        "path": str(loaded.origin.path.absolute()),
        "config": digest(folder.config),
        "files": {file.name: _sha256(file) for file in map(Path, folder.files)},
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def computing_code() -> dict[str, str]:
    """Versions of torch and paribus, and a hash of what of paribus computes a run: where it goes on, they are the same."""
    versions = code_versions([])
    return {name: versions[name] for name in VERSIONS}


def _own_files(model: ModelConfig) -> dict[str, str]:
    versions = code_versions(list(model.to_dict().values()))
    return {name: value for name, value in versions.items() if name not in VERSIONS}


def _check(model: ModelConfig, train: TrainConfig, ranks: Ranks, *, from_weights: bool) -> None:
    """Build and run the model on meta tensors, and refuse what cannot work or would not fit, before any training."""
    ranks.check_batch(train.batch_size)
    memory.check_fits(model, train, ranks=ranks, from_weights=from_weights)
    lengths = objective_for(train, model.architecture).lengths(train.seq_len)
    try:
        training_flops(on_meta(model), seq_len=lengths.inputs, source_len=lengths.source)
        list(roles(on_meta(model)))
        ranks.check_model(on_meta(model))
        ffn_output_gain(model, train)
    except ParibusError:
        raise
    except Exception as error:  # whatever a user's own part raises
        reason = (str(error).strip().splitlines() or ["no reason"])[0]
        raise RequestError(f"the model cannot be run: {type(error).__name__}: {reason}") from error


def saving_of(plan: RunPlan, loaded: Transformer | None, settings: RunSettings) -> Saving:
    """The layout of the checkpoint that the run begins from, or of the model that it is like, or of any family."""
    if loaded is not None:
        assert isinstance(loaded.origin, Origin)
        family = loaded.origin.family
        return Saving(family=family.model_type if family else None, why_not=None)
    like = settings.like.family if settings.like is not None else None
    for name in (*([like] if like in families() else []), None):
        try:
            return Saving(family=family_for(plan.model, name=name).model_type, why_not=None)
        except RequestError as error:
            why_not = str(error)
    return Saving(family=None, why_not=why_not)


def decided(settings: RunSettings) -> tuple[RunSettings, str | None]:
    """The settings with dtype and compilation decided for this machine, and why it runs eager if nobody asked for it."""
    train, why_eager = resolve(settings.train)
    return settings.model_copy(update={"train": train}), why_eager

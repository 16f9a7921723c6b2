"""How one model is trained. Every field is held equal over the arms of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from paribus.errors import RequestError, nearest
from paribus.parts.init import SCHEMES
from paribus.train.objectives import OBJECTIVES, Objective, get_objective


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run. Token counts are tokens of text, over the whole run.

    `objective` is a name of `paribus.train.objectives`; `auto` takes the one for the model's architecture.
    `weight_decay` is the share of a matrix removed in a step at the peak of the schedule, independent of
    the learning rate. `optimiser` muon is Muon for the matrices of the blocks and AdamW for everything else: which
    part is better may depend on it. `clip` bounds the global gradient norm (0: no clipping). `heldout_tokens` is how much
    of the held-out text is scored. With `passes` the run sees tokens / passes different tokens of text, each
    that often; without it, as many as there are. With `match_output_rms` the output matrices of feed-forward
    layers start divided by the RMS of what they read, so that every kind of layer writes at one scale. Raises
    `RequestError` for impossible values.
    """

    tokens: int = 400_000
    batch_size: int = 16
    seq_len: int = 64
    warmup: float = 0.1
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip: float = 1.0
    optimiser: Literal["adamw", "muon"] = "adamw"
    passes: int | None = None
    init_scheme: str = "fan_in"
    match_output_rms: bool = False
    objective: str = "auto"
    heldout_tokens: int = 65_536
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"

    def __post_init__(self) -> None:
        for name in ("tokens", "batch_size", "seq_len", "heldout_tokens"):
            if getattr(self, name) < 1:
                raise RequestError(f"train.{name} must be at least 1; it is {getattr(self, name)}")
        if self.steps < 2:
            raise RequestError(
                f"train.tokens {self.tokens} is under two steps of {self.tokens_per_step} tokens "
                "(train.batch_size times train.seq_len)"
            )
        if self.passes is not None and not 1 <= self.passes <= self.tokens // self.tokens_per_step:
            raise RequestError(
                f"train.passes is how often the text is repeated, from 1 to the number of steps, "
                f"{self.steps}; it is {self.passes}"
            )
        if not 0 <= self.warmup < 1:
            raise RequestError(f"train.warmup is a share of the run, from 0 up to 1; it is {self.warmup}")
        for name in ("weight_decay", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise RequestError(f"train.{name} must lie in [0, 1); it is {getattr(self, name)}")
        if not (math.isfinite(self.clip) and self.clip >= 0 and math.isfinite(self.eps) and self.eps > 0):
            raise RequestError("train.clip must not be negative and train.eps must be above zero")
        if self.optimiser not in ("adamw", "muon"):
            raise RequestError(
                f"there is no train.optimiser {self.optimiser!r}; {nearest(str(self.optimiser), ('adamw', 'muon'))}"
            )
        if self.init_scheme not in SCHEMES:
            raise RequestError(
                f"there is no train.init_scheme {self.init_scheme!r}; {nearest(self.init_scheme, SCHEMES)}"
            )
        if self.objective != "auto":
            get_objective(self.objective)

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.seq_len

    @property
    def steps(self) -> int:
        """Whole steps within `tokens`."""
        return self.tokens // self.tokens_per_step

    @property
    def trained_tokens(self) -> int:
        """Tokens of these steps, at most `tokens`."""
        return self.steps * self.tokens_per_step

    @property
    def unique_tokens(self) -> int | None:
        """Tokens of text that the run may see, whole windows of them; None: the whole training split."""
        if self.passes is None:
            return None
        return self.steps * self.tokens_per_step // self.passes // self.seq_len * self.seq_len


def objective_for(train: TrainConfig, architecture: str) -> Objective:
    """The objective of a run of a model of this architecture; `RequestError` if it is for another."""
    if train.objective == "auto":
        return get_objective(
            next(name for name, kind in OBJECTIVES.items() if kind.architecture == architecture)
        )
    objective = get_objective(train.objective)
    if objective.architecture != architecture:
        fitting = ", ".join(name for name, kind in OBJECTIVES.items() if kind.architecture == architecture)
        raise RequestError(
            f"the objective {objective.name!r} is for a model of architecture {objective.architecture}, and this "
            f"one is {architecture}; its objectives are {fitting}"
        )
    return objective

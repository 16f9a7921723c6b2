"""One training run from a seed and a rate to a held-out score, resumable at any step.

Everything random is a pure function of the seed: draws by parameter name, batches by step. So a run that was
cut off and resumed from its checkpoint ends with the same bits as one that was not.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paribus.model.initialise import initialise
from paribus.text.data import Dataset, batch, heldout_windows
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig
from paribus.train.objectives import Examples, Objective
from paribus.train.optimiser import adamw, set_rate
from paribus.train.peak_memory import peak_memory, reset_peak_memory
from paribus.train.program import Batch, Program
from paribus.train.schedule import rate_at

CURVE_POINTS = 50
_HELDOUT_SEED = 0  # of what an objective hides in held-out text, whatever the seed of the run
_CHECK_EVERY = 20  # steps between looks at the loss; each look would wait for a GPU

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run gave. Bits per byte are over the scored held-out bytes; None when training diverged early.

    `curve` has the mean training loss in bits per byte at up to 50 token counts, with the seconds spent in
    steps until then; `branch_rms` is the RMS of the watched slot's output at step 0.
    """

    status: str  # done | diverged
    val_bpb: float | None
    reason: str | None
    tokens: int
    seconds: float
    tokens_per_second: float
    compile_seconds: float
    clipped_fraction: float
    branch_rms: float
    peak_memory_bytes: int | None
    dtype: str
    compiled: bool
    curve: dict[str, list[float]]


@dataclass
class _State:
    """What a checkpoint holds beside weights and optimiser."""

    step: int = 0
    losses: list[float] = field(default_factory=list)  # summed nats of each step
    seconds: list[float] = field(default_factory=list)  # of each step; nan where it compiled
    compile_seconds: float = 0.0
    clipped: int = 0


def run(
    program: Program,
    data: Dataset,
    config: TrainConfig,
    *,
    seed: int,
    rate: float,
    salted_slot: str | None = None,
    watch_slot: str = "ffn",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    progress: Progress | None = None,
) -> RunResult:
    """Train the program's model on `data` from `seed` at peak learning rate `rate`, and score it.

    With `checkpoint` the run saves itself there every `checkpoint_seconds` and continues from what it finds.
    A loss that is not finite, or a final loss above the first one, gives status `diverged`.
    """
    with torch.random.fork_rng():  # parts that draw at random do so from the seed, and leave no trace
        return _run(
            program,
            data,
            config,
            seed=seed,
            rate=rate,
            salted_slot=salted_slot,
            watch_slot=watch_slot,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress or (lambda done, total: None),
        )


def _run(
    program: Program,
    data: Dataset,
    config: TrainConfig,
    *,
    seed: int,
    rate: float,
    salted_slot: str | None,
    watch_slot: str,
    checkpoint: Path | None,
    checkpoint_seconds: float,
    progress: Progress,
) -> RunResult:
    model, device = program.model, program.device
    reset_peak_memory(device)
    program.reset()
    initialise(model, seed=seed, scheme=config.init_scheme, salted_slot=salted_slot)
    optimiser = adamw(model, config, peak_rate=rate)
    _seed_step(seed, 0)
    branch_rms = program.branch_rms(watch_slot, _batch(program, data, config, seed=seed, step=0))
    state = (
        _load(checkpoint, model, optimiser) if checkpoint is not None and checkpoint.exists() else _State()
    )
    if state is None:  # a broken checkpoint, some of which may have been taken in
        initialise(model, seed=seed, scheme=config.init_scheme, salted_slot=salted_slot)
        optimiser = adamw(model, config, peak_rate=rate)
        state = _State()

    lengths = program.objective.lengths(config.seq_len)
    scored_per_step = lengths.scored * config.batch_size
    reason = None
    pending: list[tuple[Tensor, Tensor]] = []  # loss and gradient norm of steps not looked at yet
    compiles = True  # the first step of this process may
    saved_at = looked_at = time.perf_counter()
    while state.step < config.steps:
        _seed_step(seed, state.step)
        examples = _batch(program, data, config, seed=seed, step=state.step)
        set_rate(optimiser, rate * rate_at(state.step, steps=config.steps, warmup=config.warmup))
        loss, auxiliary = program.loss(examples)
        mean = loss / scored_per_step
        (mean if auxiliary is None else mean + auxiliary).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip or math.inf)
        optimiser.step()
        optimiser.zero_grad()
        pending.append((loss.detach(), norm))
        state.step += 1
        if len(pending) == _CHECK_EVERY or compiles or state.step == config.steps:
            steps = len(pending)
            reason = _look(pending, state, config)
            now = time.perf_counter()
            state.seconds += [math.nan if compiles else (now - looked_at) / steps] * steps
            state.compile_seconds += now - looked_at if compiles else 0.0
            compiles, looked_at = False, now
        progress(state.step, config.steps)
        if reason is not None:
            break
        if checkpoint is not None and not pending and time.perf_counter() - saved_at > checkpoint_seconds:
            _save(checkpoint, model, optimiser, state)
            saved_at = looked_at = time.perf_counter()

    val_bpb = None
    if reason is None:
        nats_per_token, val_bpb = evaluate(program, data, config)
        first = state.losses[0] / scored_per_step
        if not math.isfinite(nats_per_token):
            reason, val_bpb = "the held-out loss is not finite", None
        elif nats_per_token > first:
            reason = f"the final loss {nats_per_token:.3f} nats is above the first one, {first:.3f}"
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    timed = [seconds for seconds in state.seconds if not math.isnan(seconds)]
    steady = statistics.median(timed) if timed else state.compile_seconds
    compiled = [math.isnan(seconds) for seconds in state.seconds]
    # A typical step stands in for one that compiled.
    seconds = [steady if math.isnan(seconds) else seconds for seconds in state.seconds]
    return RunResult(
        status="done" if reason is None else "diverged",
        val_bpb=val_bpb,
        reason=reason,
        tokens=state.step * config.tokens_per_step,
        seconds=sum(seconds),
        tokens_per_second=config.tokens_per_step / steady,
        compile_seconds=max(state.compile_seconds - steady * sum(compiled), 0.0),
        clipped_fraction=state.clipped / max(len(state.losses), 1),
        branch_rms=branch_rms,
        peak_memory_bytes=peak_memory(device),
        dtype=str(program.dtype).removeprefix("torch."),
        compiled=program.compiled,
        curve=_curve(
            state.losses, seconds, data, config, text_per_step=lengths.scored_text * config.batch_size
        ),
    )


def evaluate(program: Program, data: Dataset, config: TrainConfig) -> tuple[float, float]:
    """Mean nats a token and bits per byte over the same held-out examples for every model.

    bits per byte = summed nats / ln 2 / bytes of the target tokens.
    """
    examples = heldout_examples(program.objective, data, config)
    nats = torch.zeros((), dtype=torch.float64, device=program.device)
    with program.scoring():
        for rows in examples.batches(config.batch_size):
            loss, _ = program.loss(Batch.of(rows, program.device))
            nats += loss.detach().double()
    total = nats.item()
    num_bytes = examples.scored_bytes(get_tokenizer(data.tokenizer).byte_lengths)
    return total / examples.scored().size, total / math.log(2) / num_bytes


def heldout_examples(objective: Objective, data: Dataset, config: TrainConfig) -> Examples:
    """Examples of evenly spaced held-out windows; what is hidden in them does not depend on a run's seed."""
    windows = heldout_windows(data.heldout, seq_len=config.seq_len, num_tokens=config.heldout_tokens)
    vocab = get_tokenizer(data.tokenizer).vocab_size
    return objective.examples(windows, seed=_HELDOUT_SEED, step=0, tokenizer_vocab=vocab)


def _batch(program: Program, data: Dataset, config: TrainConfig, *, seed: int, step: int) -> Batch:
    """What the model sees in a step: a pure function of (data, objective, seed, step)."""
    windows = batch(data.train, seed=seed, step=step, batch_size=config.batch_size, seq_len=config.seq_len)
    vocab = get_tokenizer(data.tokenizer).vocab_size
    examples = program.objective.examples(windows, seed=seed, step=step, tokenizer_vocab=vocab)
    return Batch.of(examples, program.device)


def _look(pending: list[tuple[Tensor, Tensor]], state: _State, config: TrainConfig) -> str | None:
    """Move finished steps into the state; the reason to stop if a loss or gradient is not finite."""
    losses = torch.stack([loss for loss, _ in pending]).tolist()
    norms = torch.stack([norm for _, norm in pending]).tolist()
    pending.clear()
    state.losses.extend(losses)
    state.clipped += sum(norm > config.clip for norm in norms) if config.clip else 0
    for offset, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
        if not (math.isfinite(loss) and math.isfinite(norm)):
            step = state.step - len(losses) + offset
            return f"the loss or its gradient was not finite at step {step}"
    return None


def _seed_step(seed: int, step: int) -> None:
    """Random parts (dropout, say) draw by (seed, step), so that a resumed run draws what it would have."""
    digest = hashlib.sha256(f"{seed}/step {step}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def _curve(
    losses: list[float],
    seconds: list[float],
    data: Dataset,
    config: TrainConfig,
    *,
    text_per_step: int,
) -> dict[str, list[float]]:
    """Mean training loss over up to `CURVE_POINTS` stretches of the run.

    A step's bytes are those of the text it scores, `text_per_step` tokens at the mean bytes of a token.
    """
    ends = np.unique(np.linspace(0, len(losses), CURVE_POINTS + 1).round().astype(int))
    passed = np.cumsum(seconds)
    bytes_per_token = data.train.num_bytes / data.train.num_tokens
    means = [np.mean(losses[start:end]) for start, end in itertools.pairwise(ends)]
    scale = 1 / (text_per_step * math.log(2) * bytes_per_token)
    return {
        "tokens": [float(end * config.tokens_per_step) for end in ends[1:]],
        "seconds": [float(passed[end - 1]) for end in ends[1:]],
        "train_bpb": [float(mean * scale) for mean in means],
    }


def _save(path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, state: _State) -> None:
    """Write the checkpoint; without room for it the run goes on and can only be repeated, not resumed."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(
            {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "state": vars(state)},
            temporary,
        )
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError when a write falls short
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
            print(f"no checkpoint was written: {error}", file=sys.stderr)


def _load(path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> _State | None:
    """The state of a checkpoint, its weights and moments put in place; None if it cannot be used."""
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        return _State(**saved["state"])
    except Exception as error:  # noqa: BLE001 - torch raises whatever it stumbles over in a broken file
        with contextlib.suppress(OSError):
            print(f"{path} cannot be read and is not used: {error}", file=sys.stderr)
        return None

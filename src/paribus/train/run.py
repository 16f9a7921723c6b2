"""One training run from a seed and a rate to a held-out score, resumable at any step.

Everything random is a pure function of the seed: draws by parameter name, batches by step. So a run that was
cut off and resumed from its checkpoint ends with the same bits as one that was not.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.hidden_rms import hidden_rms
from paribus.model.initialise import initialise
from paribus.model.transformer import Transformer
from paribus.text.data import Dataset
from paribus.train import checkpoint as checkpoints
from paribus.train.checkpoint import State
from paribus.train.config import TrainConfig
from paribus.train.evaluation import evaluate
from paribus.train.examples import Data, scored_bytes_per_step, training_examples
from paribus.train.optimiser import descend, make_optimiser, set_rate
from paribus.train.peak_memory import peak_memory, reset_peak_memory
from paribus.train.probes import as_run, make_probe
from paribus.train.program import Batch, Program
from paribus.train.ranks import Ranks
from paribus.train.result import RunResult, curve
from paribus.train.schedule import rate_at

_CHECK_EVERY = 20  # steps between looks at the loss; each look would wait for a GPU

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What a run is asked for and asks while it trains; the trials of a study need none of it.

    Held-out text is scored after each of the numbers of steps in `score_at`, and `scored` told the step and the bits
    per byte; the end is scored anyhow. When `stop` says so, the run saves itself and raises `KeyboardInterrupt`.
    """

    score_at: Collection[int] = ()
    scored: Callable[[int, float], None] = lambda step, bits_per_byte: None
    stop: Callable[[], bool] = lambda: False


def run(
    program: Program,
    data: Data,
    config: TrainConfig,
    *,
    seed: int,
    rate: float,
    salted: Collection[str] = (),
    probes: Mapping[str, Mapping[str, Any]] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    keep_checkpoint: bool = False,
    weights: Callable[[Transformer], None] | None = None,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Train the program's model on `data` from `seed` at peak learning rate `rate`, and score it.

    The slots in `salted` are drawn anew; `probes` names what is measured beside the loss, with options. With
    `checkpoint` the run saves itself there every `checkpoint_seconds` and continues from what it finds; with
    `keep_checkpoint` that of the last step stays, for the caller to remove. `weights` puts weights in the place of the
    drawn ones. A loss that is not finite, or without `weights` a final one above the first, is status `diverged`.
    Raises `KeyboardInterrupt` when `watch` says to stop.
    """
    with torch.random.fork_rng():  # parts that draw at random do so from the seed, and leave no trace
        return _run(
            program,
            data,
            config,
            seed=seed,
            rate=rate,
            salted=salted,
            probes=probes or {},
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            keep_checkpoint=keep_checkpoint,
            weights=weights,
            watch=watch or Watch(),
            progress=progress or (lambda done, total: None),
        )


def _run(
    program: Program,
    data: Data,
    config: TrainConfig,
    *,
    seed: int,
    rate: float,
    salted: Collection[str],
    probes: Mapping[str, Mapping[str, Any]],
    checkpoint: Path | None,
    checkpoint_seconds: float,
    keep_checkpoint: bool,
    weights: Callable[[Transformer], None] | None,
    watch: Watch,
    progress: Progress,
) -> RunResult:
    model, device, ranks = program.model, program.device, program.ranks
    reset_peak_memory(device)
    program.reset()
    gain = ffn_output_gain(model.config, config)

    def begin() -> None:
        if weights is not None:
            weights(model)
        else:
            initialise(model, seed=seed, scheme=config.init_scheme, salted=salted, ffn_output_gain=gain)

    begin()
    optimiser = make_optimiser(model, config, peak_rate=rate)
    _seed_step(seed, 0, ranks)
    branch_rms = program.branch_rms("ffn", _batch(program, data, config, seed=seed, step=0)[0])
    measuring = {name: make_probe(name, options) for name, options in probes.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, probe in measuring.items():
        found[name] = {"start": probe.at_start(program, _text(data), config, seed=seed)}
    state = State()
    there = checkpoint is not None and checkpoint.exists()
    ranks.check_same(there, "checkpoint")
    if checkpoint is not None and there:
        loaded = checkpoints.load(checkpoint, model, optimiser, ranks=ranks)
        if any(ranks.most(loaded is None)):  # a broken checkpoint, some of which may have been taken in
            loaded = None
            program.reset()
            begin()
            optimiser = make_optimiser(model, config, peak_rate=rate)
        state = loaded or state
        ranks.check_same(state.step, "checkpoint")

    reason = None
    pending: list[tuple[Tensor, Tensor]] = []  # loss and gradient norm of steps not looked at yet
    compiles = True  # the first step of this process may
    if state.step == 0 in watch.score_at and not state.scores:
        _score(program, data, config, state, watch)
    saved_at = looked_at = time.perf_counter()
    while state.step < config.steps:
        _seed_step(seed, state.step, ranks)
        examples, share = _batch(program, data, config, seed=seed, step=state.step)
        set_rate(optimiser, rate * rate_at(state.step, steps=config.steps, warmup=config.warmup))
        loss = program.loss(examples)
        loss.total.backward()
        norm = descend(model.parameters(), optimiser, clip=config.clip)
        pending.append((loss.nats_B.sum() / share, norm))
        state.step += 1
        last, scores = state.step == config.steps, state.step in watch.score_at
        late = ranks.is_first and time.perf_counter() - saved_at > checkpoint_seconds
        stopping, late = map(bool, ranks.most(watch.stop(), late))
        if state.step % _CHECK_EVERY == 0 or compiles or last or stopping or scores:
            steps = len(pending)
            reason = _look(pending, state, config, ranks)
            now = time.perf_counter()
            state.seconds += [math.nan if compiles else (now - looked_at) / steps] * steps
            state.compile_seconds += now - looked_at if compiles else 0.0
            compiles, looked_at = False, now
        if reason is not None:
            break
        if scores and not last:
            _score(program, data, config, state, watch)
            looked_at = time.perf_counter()
        due = late and not pending
        if checkpoint is not None and (due or stopping or (last and keep_checkpoint)):
            checkpoints.save(checkpoint, model, optimiser, state, ranks=ranks)
            saved_at = looked_at = time.perf_counter()
        progress(state.step, config.steps)
        if stopping:
            ranks.most(0)  # one that ended now could end the one that writes
            raise KeyboardInterrupt

    val_bpb, heldout_nats = None, []
    if reason is None:
        score = evaluate(program, data, config)
        first = state.losses[0] / program.scored_per_step
        if not math.isfinite(score.nats_per_token):
            reason = "the held-out loss is not finite"
        else:
            val_bpb, heldout_nats = score.bits_per_byte, score.nats.round(4).tolist()
            # Real weights may begin below what held-out text costs them.
            if weights is None and score.nats_per_token > first:
                reason = f"the final loss {score.nats_per_token:.3f} nats is above the first one, {first:.3f}"
    for name, probe in measuring.items():
        found[name]["end"] = probe.at_end(program, _text(data), config, seed=seed)
    if checkpoint is not None and not keep_checkpoint and ranks.is_first:
        checkpoints.forget(checkpoint)
    scale = 1 / (math.log(2) * scored_bytes_per_step(program.objective, data, config))
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
        first_bpb=state.losses[0] * scale,
        peak_memory_bytes=ranks.most(peak_memory(device) or 0)[0] or None,
        dtype=str(program.dtype).removeprefix("torch."),
        compiled=program.compiled,
        as_run=as_run(program, seq_len=config.seq_len),
        curve=curve(state.losses, seconds, config, scale=scale),
        heldout_nats=heldout_nats,
        probes=found,
        scores=state.scores,
    )


def ffn_output_gain(model: ModelConfig, config: TrainConfig) -> float:
    """What output matrices of feed-forward layers are scaled by at the start: 1, or 1 / RMS of what they read.

    Raises `RequestError` for layers of several kinds, which would need a factor each.
    """
    if config.match_output_rms and len(model.specs("ffn")) > 1:
        raise RequestError(
            "train.match_output_rms needs one kind of feed-forward layer, and this ffn is a list"
        )
    return 1 / hidden_rms(model, scheme=config.init_scheme) if config.match_output_rms else 1.0


def _score(program: Program, data: Data, config: TrainConfig, state: State, watch: Watch) -> None:
    """Score the held-out text on the way."""
    bits_per_byte = evaluate(program, data, config).bits_per_byte
    state.scores.append([state.step, bits_per_byte])
    watch.scored(state.step, bits_per_byte)


def _text(data: Data) -> Dataset:
    """The data, if they are a text that a probe can read on in."""
    if isinstance(data, Dataset):
        return data
    raise RequestError(f"probes read running text, and {data.name} is packed conversations: measure none")


def _batch(program: Program, data: Data, config: TrainConfig, *, seed: int, step: int) -> tuple[Batch, float]:
    """What the model sees in a step, and its targets as a share of those that a step has in the mean."""
    examples = training_examples(program.objective, data, config, seed=seed, step=step)
    share = examples.scored().size / program.scored_per_step
    return Batch.of(program.ranks.rows(examples), program.device), share


def _look(
    pending: list[tuple[Tensor, Tensor]], state: State, config: TrainConfig, ranks: Ranks
) -> str | None:
    """Move finished steps into the state; the reason to stop if a loss or gradient is not finite."""
    losses = ranks.total(torch.stack([loss for loss, _ in pending])).tolist()
    norms = torch.stack([norm for _, norm in pending]).tolist()
    pending.clear()
    state.losses.extend(losses)
    state.clipped += sum(norm > config.clip for norm in norms) if config.clip else 0
    for offset, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
        if not (math.isfinite(loss) and math.isfinite(norm)):
            step = state.step - len(losses) + offset
            return f"the loss or its gradient was not finite at step {step}"
    return None


def _seed_step(seed: int, step: int, ranks: Ranks) -> None:
    """Random parts (dropout, say) draw by (seed, step, rank), so that a resumed run draws what it would have."""
    of_rank = "" if ranks.is_first else f"/rank {ranks.rank}"
    digest = hashlib.sha256(f"{seed}/step {step}{of_rank}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little", signed=True))

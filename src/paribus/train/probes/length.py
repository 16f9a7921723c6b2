"""How the loss depends on the length of the context, on the very same bytes.

Held-out windows of the longest context are cut into pieces of each shorter one. So every context scores the same
targets, and a difference is never one of texts. With a sliding window the same model reads long texts at
distances it knows, which tells "it cannot use more context" from "it breaks".

Shapes: N windows, L tokens of the longest context.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from paribus.errors import RequestError, nearest
from paribus.text.data import Dataset, heldout_windows
from paribus.train.config import TrainConfig
from paribus.train.probes.as_run import attention_backends
from paribus.train.probes.base import Probe, check_causal, check_whole, eager_loss, finite, untouched
from paribus.train.probes.rescaling import can_be_rescaled, check_scaling, rescaled
from paribus.train.program import Batch, Program

#: Nats [N, L] by mode and context.
Nats: TypeAlias = dict[tuple[str, int], npt.NDArray[np.float64]]
MODES = ("plain", "window")
_BATCH_BYTES = 256 * 2**20  # of one forward pass, where rows can be shared out
#: What parts raise when an input is too long for them: ours say so, a plain table has no such row.
_TOO_LONG = (RequestError, IndexError)


@dataclass(frozen=True, kw_only=True)
class LengthProbe(Probe):
    """Held-out loss of a decoder at contexts of `factors` times the trained length, in `modes`.

    About `num_tokens` tokens are scored at every context: {train_length, contexts, scored_tokens, scored_bytes,
    plain and window: {context: {nats, bpb} or None}, why_not: {mode: {context: reason}}, by_position: {mode:
    {context, buckets: [{position, first, last, bpb}]}}}. In mode `window` a layer lets a token see the last
    seq_len tokens only (itself included; over n layers information comes from n times as far); up to seq_len
    that is `plain`. `by_position` is the loss at the longest context that could be read, in `buckets` bands of
    log width by the number of tokens read so far, over the positions `first` to `last` (`position`: their
    geometric mean). None: a context the positions cannot reach, a loss that is not finite, or a row that would
    need more than `memory_gib`.

    A decoder with plain RoPE is read once more with each of `scalings` (rope_ntk, rope_yarn, ...) put on past the
    trained length, with factor context / seq_len: `scaled` has the same by their names.

    In the run's dtype, as parts behave when scored. Costs an eager forward pass over num_tokens for each context
    and mode, with attention's square; a quarter GiB of memory, more where a single row needs it. Raises
    `RequestError` (at the start) for another architecture or a held-out text without one longest window.
    """

    factors: Sequence[int] = (1, 2, 4, 8, 16)
    num_tokens: int = 65_536
    modes: Sequence[str] = MODES
    buckets: int = 24
    memory_gib: float = 4.0
    scalings: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("num_tokens", "buckets"):
            check_whole(f"the length probe's {name}", getattr(self, name))
        if not isinstance(self.factors, Sequence) or isinstance(self.factors, str) or not self.factors:
            raise RequestError(
                f"the length probe's factors are a list of whole numbers; they are {self.factors!r}"
            )
        for factor in self.factors:
            check_whole("each of the length probe's factors", factor)
            if max(self.factors) % factor:
                raise RequestError(
                    f"the length probe cuts its longest context into the others, so its factors must divide the "
                    f"largest; {factor} does not divide {max(self.factors)}"
                )
        if isinstance(self.modes, str) or not self.modes:
            raise RequestError(
                f"the length probe's modes are a list of plain and window; they are {self.modes!r}"
            )
        for mode in self.modes:
            if mode not in MODES:
                raise RequestError(f"the length probe has no mode {mode!r}; {nearest(str(mode), MODES)}")
        if isinstance(self.scalings, str):
            raise RequestError(f"the length probe's scalings are a list of names; they are {self.scalings!r}")
        for scaling in self.scalings:
            check_scaling(scaling)
        if not isinstance(self.memory_gib, (int, float)) or not 0 < self.memory_gib < math.inf:
            raise RequestError(
                f"the length probe's memory_gib must be a number above zero; it is {self.memory_gib!r}"
            )

    def at_start(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        check_causal("length", program)
        self._windows(data, config)
        return {}

    def at_end(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        windows = self._windows(data, config)
        byte_lengths = data.open_tokenizer().byte_lengths
        target_bytes = byte_lengths[windows[:, 1:]]
        found: dict[str, Any] = {
            "train_length": config.seq_len,
            "contexts": sorted({factor * config.seq_len for factor in self.factors}),
            "scored_tokens": target_bytes.size,
            "scored_bytes": int(target_bytes.sum()),
        }
        with untouched(program), program.scoring(), torch.no_grad():
            nats: Nats = {}
            found |= self._read(program, windows, target_bytes, nats, config=config, scaling=None)
            if can_be_rescaled(program):
                found["scaled"] = {
                    scaling: self._read(
                        program,
                        windows,
                        target_bytes,
                        # Up to the trained length nothing is scaled.
                        {key: value for key, value in nats.items() if key[1] <= config.seq_len},
                        config=config,
                        scaling=scaling,
                    )
                    for scaling in self.scalings
                }
        return found

    def _read(
        self,
        program: Program,
        windows: npt.NDArray[np.int64],
        target_bytes: npt.NDArray[np.int64],
        nats: Nats,
        *,
        config: TrainConfig,
        scaling: str | None,
    ) -> dict[str, Any]:
        """Scores by mode and context; what is in `nats` is not read again, and what is read is added there."""
        found: dict[str, Any] = {"why_not": {}, "by_position": {}}
        contexts = sorted({factor * config.seq_len for factor in self.factors})
        for mode in self.modes:
            found[mode], why_not = {}, {}
            for context in contexts:
                same = nats.get((mode, context))
                if same is None and context <= config.seq_len:
                    same = nats.get(("plain", context))
                scored = (
                    same
                    if same is not None
                    else self._score(program, windows, context, mode, config=config, scaling=scaling)
                )
                if not isinstance(scored, str) and not np.isfinite(scored.sum()):
                    scored = "the loss is not finite"
                if isinstance(scored, str):
                    found[mode][str(context)], why_not[str(context)] = None, scored
                    continue
                nats[mode, context] = scored
                total = float(scored.sum())
                bpb = finite(total / math.log(2) / max(int(target_bytes.sum()), 1))
                found[mode][str(context)] = {"nats": total, "bpb": bpb}
            found["why_not"][mode] = why_not
            if reached := [context for context in contexts if (mode, context) in nats]:
                rows = (-1, reached[-1])
                buckets = _by_position(
                    nats[mode, reached[-1]].reshape(rows), target_bytes.reshape(rows), buckets=self.buckets
                )
                found["by_position"][mode] = {"context": reached[-1], "buckets": buckets}
        return found

    def _windows(self, data: Dataset, config: TrainConfig) -> npt.NDArray[np.int64]:
        return heldout_windows(
            data.heldout, seq_len=max(self.factors) * config.seq_len, num_tokens=self.num_tokens
        )

    def _score(
        self,
        program: Program,
        windows: npt.NDArray[np.int64],
        context: int,
        mode: str,
        *,
        config: TrainConfig,
        scaling: str | None,
    ) -> npt.NDArray[np.float64] | str:
        """Nats [N, L] of every target when the windows are read in pieces of `context`, or why they cannot be."""
        row_bytes = _row_bytes(program, context)
        if row_bytes > self.memory_gib * 2**30:
            return (
                f"a row of {context} tokens would need about {row_bytes / 2**30:.1f} GiB, and memory_gib is "
                f"{self.memory_gib:g}"
            )
        narrow = mode == "window" and context > config.seq_len
        if narrow and not all(hasattr(block.attention, "window") for block in program.model.blocks()):
            return "this attention has no window that could be narrowed"
        inputs = np.ascontiguousarray(windows[:, :-1]).reshape(-1, context)
        targets = np.ascontiguousarray(windows[:, 1:]).reshape(-1, context)
        rows = max(1, int(_BATCH_BYTES // row_bytes))
        parts = []
        with contextlib.ExitStack() as changed:
            if narrow:
                changed.enter_context(_windowed(program, config.seq_len))
            if scaling is not None and context > config.seq_len:
                changed.enter_context(rescaled(program, scaling, context=context, trained=config.seq_len))
            for start in range(0, len(inputs), rows):
                batch = Batch(
                    inputs_BT=torch.from_numpy(inputs[start : start + rows]).to(program.device),
                    targets_BT=torch.from_numpy(targets[start : start + rows]).to(program.device),
                )
                try:
                    nats_BT = eager_loss(program, batch, dtype=program.dtype).nats_BT
                except _TOO_LONG as error:
                    return str(error)
                parts.append(nats_BT.double().cpu().numpy())
        return np.concatenate(parts).reshape(len(windows), -1)


@contextlib.contextmanager
def _windowed(program: Program, tokens: int) -> Iterator[None]:
    """Every layer of attention sees at most the last `tokens` tokens in here."""
    layers: list[Any] = [block.attention for block in program.model.blocks()]
    kept = [layer.window for layer in layers]
    try:
        for layer, window in zip(layers, kept, strict=True):
            layer.window = tokens if window is None else min(window, tokens)
        yield
    finally:
        for layer, window in zip(layers, kept, strict=True):
            layer.window = window


def _row_bytes(program: Program, context: int) -> int:
    """About what a row of a forward pass needs: one layer's activations, logits, and what is held of all pairs."""
    config = program.config
    per_token = 4 * (8 * config.d_model + 4 * config.d_ff + 3 * config.vocab_size)
    plain = any(layer["backend"] == "plain" for layer in attention_backends(program, seq_len=context))
    decoder: Any = program.model.decoder
    biased = any(position.acts_on & {"bias", "score", "value"} for position in decoder.positions)
    # Logits, masked logits and probabilities of every head; buckets or biases; and the mask.
    per_pair = 16 * config.num_heads * plain + (8 * config.num_heads + 24) * biased + 8
    return context * per_token + context * context * per_pair


def _by_position(
    nats_NL: npt.NDArray[np.float64], bytes_NL: npt.NDArray[np.int64], *, buckets: int
) -> list[dict[str, Any]]:
    """Bits per byte in bands of positions 1, 2, ... (tokens read when the target is predicted)."""
    longest = nats_NL.shape[1]
    edges = np.unique(np.geomspace(1, longest + 1, buckets + 1).round().astype(int))
    nats, sizes = (np.concatenate([[0], np.cumsum(each.sum(axis=0))]) for each in (nats_NL, bytes_NL))
    found = []
    for first, beyond in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        num_bytes = sizes[beyond - 1] - sizes[first - 1]
        bits = (nats[beyond - 1] - nats[first - 1]) / math.log(2)
        found.append(
            {
                "position": math.sqrt(first * (beyond - 1)),
                "first": first,
                "last": beyond - 1,
                "bpb": float(bits / num_bytes) if num_bytes else None,
            }
        )
    return found

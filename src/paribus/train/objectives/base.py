"""What an objective is and what it gives: arrays of ids whose shapes follow from seq_len alone.

Fixed shapes and a fixed number of scored tokens make every step and every arm alike: one compiled graph, one
normaliser, no padding. Shapes: B windows, T seq_len (windows are [B, T + 1]), L what the model reads in a row,
S what its encoder reads.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError

IGNORE = -100  # a target with this id is not scored

Ids: TypeAlias = npt.NDArray[np.int64]
Valid: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """What a model reads and is scored on; every array is C-contiguous.

    `inputs` int64 [B, L]; `targets` int64 [B, L], `IGNORE` where nothing is scored; `source` int64 [B, S], what
    an encoder-decoder's encoder reads. `inputs_valid` and `source_valid` are false for padding; None where there
    is none. Of packed rows `position` int64 [B, L] counts from 0 in each document and `document` int64 [B, L] numbers
    them: tokens see their own document only.
    """

    inputs: Ids
    targets: Ids
    inputs_valid: Valid | None = None
    source: Ids | None = None
    source_valid: Valid | None = None
    position: Ids | None = None
    document: Ids | None = None

    def scored(self) -> Ids:
        """[n] ids that are scored, row by row."""
        return self.targets[self.targets != IGNORE]

    def scored_bytes(self, byte_lengths: npt.NDArray[np.int64]) -> int:
        """Bytes of text that the scored ids stand for, given those of the tokenizer's own ids, [V].

        Ids that an objective adds (sentinels, end) cost nats and have no bytes. So bits per byte compare models
        under one objective, never one objective with another.
        """
        ids = self.scored()
        return int(byte_lengths[ids[ids < len(byte_lengths)]].sum())

    def take(self, rows: npt.NDArray[np.int64]) -> Examples:
        """These rows alone, in this order."""
        arrays = {name: array for name, array in vars(self).items() if array is not None}
        return dataclasses.replace(self, **{name: array[rows] for name, array in arrays.items()})

    def batches(self, batch_size: int) -> Iterator[Examples]:
        """The rows in order, `batch_size` at a time; the last batch is filled with rows that are not scored.

        Filled by repeating the last row: a row of nothing but padding would have no key to attend to.
        """
        for start in range(0, len(self.targets), batch_size):
            rows = np.arange(start, start + batch_size)
            batch = self.take(np.minimum(rows, len(self.targets) - 1))
            batch.targets[rows >= len(self.targets)] = IGNORE
            yield batch


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """What a window becomes: `inputs` L, `source` S (None without an encoder to feed), `scored` targets.

    `scored_text` of these are ids of the text; the others were added by the objective and have no bytes.
    """

    inputs: int
    scored: int
    scored_text: int
    source: int | None = None

    @property
    def longest(self) -> int:
        """Positions that the model must have; it can exceed seq_len, as short texts gain more than they lose."""
        return max(self.inputs, self.source or 0)


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """A way to make examples of windows. Fields of a subclass are its options.

    `architecture` is the kind of model it is for, `min_seq_len` the shortest window it can use.
    """

    name: ClassVar[str]
    architecture: ClassVar[Literal["decoder", "encoder", "encoder_decoder"]]
    paper: ClassVar[str]
    min_seq_len: ClassVar[int] = 2

    def lengths(self, seq_len: int) -> Lengths:
        """What a window of seq_len + 1 ids becomes; `RequestError` if seq_len is under `min_seq_len`."""
        if seq_len < self.min_seq_len:
            raise RequestError(
                f"seq_len is {seq_len}, and the objective {self.name!r} needs at least {self.min_seq_len}"
            )
        return self._lengths(seq_len)

    def tokens_per_window(self, seq_len: int) -> int:
        """Scored targets of one window, by which a summed loss is divided."""
        return self.lengths(seq_len).scored

    @abstractmethod
    def vocab_size(self, tokenizer_vocab: int, *, seq_len: int) -> int:
        """Ids that the model needs: the tokenizer's own and, after them, those of `extra_ids`."""

    def examples(self, windows: Ids, *, seed: int, step: int, tokenizer_vocab: int) -> Examples:
        """Examples of windows int64 [B, T + 1] of ids in [0, tokenizer_vocab).

        What is drawn depends on (seed, step, row, T) only: neither on the ids nor on how many rows follow. So
        held-out windows, given in one call under a fixed seed, are corrupted alike for every arm and batch size.
        Raises `RequestError` for windows that are too short and for ids outside the tokenizer's.
        """
        if windows.ndim != 2:
            raise RequestError(f"windows must have shape [B, T + 1]; these have {list(windows.shape)}")
        lengths = self.lengths(windows.shape[1] - 1)
        if windows.size and not (windows.min() >= 0 and windows.max() < tokenizer_vocab):
            raise RequestError(
                f"the windows have ids from {windows.min()} to {windows.max()}, and the tokenizer's go from 0 to "
                f"{tokenizer_vocab - 1}"
            )
        return self._examples(
            windows.astype(np.int64, copy=False),
            lengths=lengths,
            seed=seed,
            step=step,
            tokenizer_vocab=tokenizer_vocab,
        )

    @abstractmethod
    def _lengths(self, seq_len: int) -> Lengths:
        """`lengths`, for a seq_len that is long enough."""

    @abstractmethod
    def _examples(
        self, windows: Ids, *, lengths: Lengths, seed: int, step: int, tokenizer_vocab: int
    ) -> Examples:
        """`examples`, for windows that were checked."""

"""The score of a model: nats of held-out windows, and the bits per byte they come to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from paribus.text.data import heldout_window_groups
from paribus.text.data.sft import PackedDataset
from paribus.train.config import TrainConfig
from paribus.train.examples import Data, heldout_examples
from paribus.train.objectives import IGNORE, Examples
from paribus.train.program import Batch, Program


@dataclass(frozen=True, kw_only=True)
class Score:
    """Held-out loss: summed `nats` by group of documents [D], how many targets, and the bytes of these."""

    nats: npt.NDArray[np.float64]
    targets: int
    num_bytes: int

    @property
    def nats_per_token(self) -> float:
        return float(self.nats.sum()) / self.targets

    @property
    def bits_per_byte(self) -> float:
        return float(self.nats.sum()) / math.log(2) / self.num_bytes


def evaluate(program: Program, data: Data, config: TrainConfig) -> Score:
    """The loss on the same held-out examples for every model; bits per byte = nats / ln 2 / bytes of the targets."""
    examples = heldout_examples(program.objective, data, config)
    rows = []
    with program.scoring():
        for batch in examples.batches(config.batch_size):
            rows.append(program.loss(Batch.of(program.ranks.rows(batch), program.device)).nats_B.double())
    every = program.ranks.gather(torch.stack(rows)).flatten()
    # The last batch was filled up with rows that score nothing.
    nats = every[: len(examples.targets)].cpu().numpy()
    return Score(
        nats=heldout_groups(examples, data, config).sums(nats),
        targets=examples.scored().size,
        num_bytes=examples.scored_bytes(data.open_tokenizer().byte_lengths),
    )


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Which group of documents each held-out window is of, `index` [n], and each group's scored bytes, [D]."""

    index: npt.NDArray[np.int64]
    num_bytes: npt.NDArray[np.int64]

    def sums(self, per_window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What the windows of each group have together, [D]."""
        return np.bincount(self.index, weights=per_window, minlength=len(self.num_bytes)).astype(np.float64)


def heldout_groups(examples: Examples, data: Data, config: TrainConfig) -> Groups:
    """The groups of near-duplicate documents that held-out windows begin in.

    They are what a bootstrap over text resamples: windows of one document are not independent. Of packed rows each
    is a group.
    """
    if isinstance(data, PackedDataset):
        groups = np.arange(len(examples.targets))
    else:
        groups = heldout_window_groups(data.heldout, seq_len=config.seq_len, num_tokens=config.heldout_tokens)
    index = np.unique(groups, return_inverse=True)[1]
    byte_lengths = data.open_tokenizer().byte_lengths
    known = (examples.targets != IGNORE) & (examples.targets < len(byte_lengths))
    window_bytes = np.where(known, byte_lengths[np.where(known, examples.targets, 0)], 0).sum(axis=1)
    return Groups(index=index, num_bytes=np.bincount(index, weights=window_bytes).astype(np.int64))

"""What training makes of its data: examples for a step and for scoring, of a text in windows or of packed rows.

An objective says what is hidden and scored in a window of text. Packed rows say it themselves: next tokens, where
they are an answer's.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from paribus.errors import RequestError
from paribus.text.data import Dataset, batch, heldout_windows
from paribus.text.data.sft import PackedDataset, Rows, batch_rows, spread_rows
from paribus.train.config import TrainConfig
from paribus.train.objectives import IGNORE, Examples, NextToken, Objective

Data: TypeAlias = Dataset | PackedDataset

_HELDOUT_SEED = 0  # of what an objective hides in held-out text, whatever the seed of the run


def training_examples(
    objective: Objective, data: Data, config: TrainConfig, *, seed: int, step: int
) -> Examples:
    """What the model sees in a step: a pure function of (data, objective, seed, step)."""
    if isinstance(data, PackedDataset):
        unique = config.unique_tokens
        rows = batch_rows(
            data.train,
            seed=seed,
            step=step,
            batch_size=config.batch_size,
            unique_rows=None if unique is None else unique // config.seq_len,
        )
        return packed_examples(rows)
    windows = batch(
        data.train,
        seed=seed,
        step=step,
        batch_size=config.batch_size,
        seq_len=config.seq_len,
        unique_tokens=config.unique_tokens,
    )
    return objective.examples(windows, seed=seed, step=step, tokenizer_vocab=_vocab(data))


def heldout_examples(objective: Objective, data: Data, config: TrainConfig) -> Examples:
    """Examples of evenly spaced held-out windows or rows; what is hidden in them does not depend on a run's seed."""
    if isinstance(data, PackedDataset):
        rows = spread_rows(data.heldout, num_tokens=config.heldout_tokens)
        return packed_examples(data.heldout.rows(rows))
    windows = heldout_windows(data.heldout, seq_len=config.seq_len, num_tokens=config.heldout_tokens)
    return objective.examples(windows, seed=_HELDOUT_SEED, step=0, tokenizer_vocab=_vocab(data))


def packed_examples(rows: Rows) -> Examples:
    """Rows [B, T] as examples: place t is scored on token t + 1 where that is a scored one.

    A scored token is never the first of its document, so no document is asked for what the next begins with.
    """
    targets = np.full_like(rows.ids, IGNORE)
    targets[:, :-1] = np.where(rows.scored[:, 1:], rows.ids[:, 1:], IGNORE)
    return Examples(inputs=rows.ids, targets=targets, position=rows.position, document=rows.document)


def scored_per_row(data: Data) -> float | None:
    """Mean targets of a packed row, by which losses are divided; None where an objective says how many there are.

    The mean over the data and not over the batch: so every scored token weighs the same, whatever it is packed with.
    """
    return data.train.num_scored / data.train.num_rows if isinstance(data, PackedDataset) else None


def scored_bytes_per_step(objective: Objective, data: Data, config: TrainConfig) -> float:
    """Bytes of text that a step scores, in the mean."""
    train = data.train
    if isinstance(data, PackedDataset):
        return data.train.scored_bytes / data.train.num_rows * config.batch_size
    scored = objective.lengths(config.seq_len).scored_text * config.batch_size
    return scored * train.num_bytes / train.num_tokens


def check_packed(data: PackedDataset, objective: Objective, config: TrainConfig) -> None:
    """Raises `RequestError` unless packed rows of this length can be trained on with this objective and batch size."""
    if not isinstance(objective, NextToken):
        raise RequestError(
            f"packed conversations are for next tokens, and the objective is {objective.name!r}: take a decoder"
        )
    if config.seq_len != data.seq_len:
        raise RequestError(
            f"{data.name} is packed into rows of {data.seq_len:,} tokens, and train.seq_len is {config.seq_len:,}"
        )
    if data.train.num_rows < config.batch_size:
        raise RequestError(
            f"{data.name} has {data.train.num_rows:,} packed rows for training, fewer than train.batch_size, "
            f"{config.batch_size:,}: take a smaller one"
        )


def _vocab(data: Dataset) -> int:
    return data.open_tokenizer().vocab_size

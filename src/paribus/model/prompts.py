"""Prompts of different lengths as one batch: padded on the left, so that every row's next token stands last.

Shapes: B rows, T the longest prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import RequestError

#: One prompt a row, as a tensor of rows of one length or as rows of any lengths.
Prompts = Tensor | Sequence[Tensor] | Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Ids [B, T] and how many places at the start of each row are padding, [B]; `padded` says whether any are."""

    ids_BT: Tensor
    pad_B: Tensor
    padded: bool

    @property
    def valid_BT(self) -> Tensor | None:
        """False for padding; None where there is none."""
        if not self.padded:
            return None
        return torch.arange(self.ids_BT.shape[1], device=self.ids_BT.device) >= self.pad_B[:, None]

    @property
    def position_BT(self) -> Tensor | None:
        """Positions that count from 0 at each row's first token; None where all rows' are the same."""
        if not self.padded:
            return None
        place = torch.arange(self.ids_BT.shape[1], device=self.ids_BT.device)
        return (place - self.pad_B[:, None]).clamp(min=0)

    def last(self, count: int) -> Batch:
        """The same without all but the last `count` places."""
        cut = max(0, self.ids_BT.shape[1] - count)
        pad_B = (self.pad_B - cut).clamp(min=0)
        return Batch(ids_BT=self.ids_BT[:, cut:], pad_B=pad_B, padded=self.padded and bool(pad_B.any()))

    def with_tokens(self, token_B: Tensor) -> Batch:
        """The same with one more token a row."""
        return Batch(
            ids_BT=torch.cat((self.ids_BT, token_B[:, None]), dim=1), pad_B=self.pad_B, padded=self.padded
        )


def batch_of(prompts: Prompts, *, vocab_size: int, device: torch.device) -> Batch:
    """The prompts as a batch. Raises `RequestError` for no prompt, an empty one and ids outside the vocabulary."""
    if isinstance(prompts, Tensor):
        if prompts.ndim != 2:
            raise RequestError(f"prompts are ids [rows, tokens]; these have the shape {tuple(prompts.shape)}")
        rows = list(prompts)
    else:
        rows = [torch.as_tensor(row) for row in prompts]
    if not rows or any(row.ndim != 1 or len(row) < 1 for row in rows):
        raise RequestError("generating needs at least one token to go on from, in every row")
    if broken := [row.dtype for row in rows if row.is_floating_point() or row.dtype == torch.bool]:
        raise RequestError(f"prompts are ids, whole numbers; these are {broken[0]}")
    rows = [row.long() for row in rows]
    if strange := [row for row in rows if row.min() < 0 or row.max() >= vocab_size]:
        raise RequestError(
            f"prompts are ids of the model's {vocab_size:,} tokens, 0 to {vocab_size - 1}; one has "
            f"{strange[0].min()} to {strange[0].max()}"
        )
    lengths = [len(row) for row in rows]
    longest = max(lengths)
    ids_BT = torch.stack([torch.nn.functional.pad(row, (longest - len(row), 0)) for row in rows]).to(device)
    pad_B = torch.tensor([longest - length for length in lengths], device=device)
    return Batch(ids_BT=ids_BT, pad_B=pad_B, padded=min(lengths) < longest)

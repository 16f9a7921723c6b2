"""Writes a safetensors file tensor by tensor: one is made, written and let go before the next."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from paribus.families.files.dtypes import DTYPES

_WORDS = {getattr(torch, each.torch): word for word, each in DTYPES.items() if each.torch}


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A tensor to be written: what the header says of it is known before it is made."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], torch.Tensor]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write_tensors(path: Path, tensors: Sequence[Outgoing]) -> None:
    """Write one safetensors file; the widest numbers come first, so that all lie at multiples of their size."""
    tensors = sorted(tensors, key=lambda each: -each.dtype.itemsize)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for each in tensors:
        start, end = end, end + each.num_bytes
        header[each.name] = {
            "dtype": _WORDS[each.dtype],
            "shape": list(each.shape),
            "data_offsets": [start, end],
        }
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for each in tensors:
            made = each.make().detach().cpu().contiguous()
            assert made.shape == each.shape and made.dtype == each.dtype, each.name
            if each.num_bytes:
                file.write(made.flatten().view(torch.uint8).numpy().data)

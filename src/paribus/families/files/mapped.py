"""Tensors in the memory of a mapped file: the bytes are read when they are used, and never copied.

Pages that were only read belong to the system, which takes them back when it needs room.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import torch

from paribus.errors import RequestError, shown
from paribus.families.files.dtypes import DTYPES
from paribus.families.files.headers import TensorInfo
from paribus.files.opening import opened, place, size_of


class MappedFile:
    """A file in memory, from which tensors are made; it stays mapped as long as one of them lives."""

    def __init__(self, path: Path) -> None:
        with opened(path) as file:
            # Copied on write: a model may be trained on the tensors, and the file stays as it is.
            length = size_of(file)
            self._bytes = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY) if length else b""

    def tensor(self, info: TensorInfo) -> torch.Tensor:
        """The tensor that lies at `info` in this file.

        F4 is given as torch counts it, in pairs: half as long in its last dimension. Raises `RequestError` for
        F6, which torch does not have, for F4 of an odd last dimension, and for a file that has shrunk.
        """
        which = f"tensor {shown(info.name, at_most=80)!r} in {place(info.file)}"
        word = DTYPES[info.dtype]
        if word.torch is None:
            raise RequestError(f"{which} is {info.dtype}, a format that torch does not have")
        dtype = getattr(torch, word.torch)
        shape = info.shape
        if word.bits < 8:
            if shape[-1] % 2:
                raise RequestError(f"{which} is {info.dtype} of an odd last dimension, {shape[-1]}")
            shape = (*shape[:-1], shape[-1] // 2)
        if not info.num_bytes:
            return torch.empty(shape, dtype=dtype)
        if info.end > len(self._bytes):
            raise RequestError(
                f"{place(info.file)} has become shorter since its header was read: open it again"
            )
        raw = torch.frombuffer(self._bytes, dtype=torch.uint8, count=info.num_bytes, offset=info.start)
        if info.start % dtype.itemsize:
            raw = raw.clone()  # kernels expect numbers at multiples of their size
        return raw.view(dtype).view(shape)

    def release(self, info: TensorInfo) -> None:
        """Give back the memory of a tensor that was read and is not used any more; nothing may have been written to it."""
        start = -(-info.start // mmap.PAGESIZE) * mmap.PAGESIZE
        end = info.end // mmap.PAGESIZE * mmap.PAGESIZE
        if start < end and isinstance(self._bytes, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self._bytes.madvise(mmap.MADV_DONTNEED, start, end - start)

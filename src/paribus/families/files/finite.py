"""Which tensors hold NaN or infinity: a broken checkpoint should be known as one before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

_CHUNK = 2**20  # numbers at a time: what is converted costs a few MB, however large the tensor


def not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """Names of those tensors in which a number is NaN or infinite; whole numbers never are.

    A tensor is read up to the first such number, and no copy as large as it is made.
    """
    return [name for name, tensor in tensors if any(_is_broken(chunk) for chunk in _chunks(tensor.detach()))]


def _chunks(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.dtype == torch.float4_e2m1fn_x2:
        return  # every number of these formats is finite
    if tensor.is_contiguous():
        yield from tensor.view(-1).split(_CHUNK)
    elif tensor.numel() <= _CHUNK:
        yield tensor
    else:
        for part in tensor.unbind():
            yield from _chunks(part)


def _is_broken(chunk: torch.Tensor) -> bool:
    if not chunk.numel():
        return False
    if chunk.is_complex():
        chunk = torch.view_as_real(chunk)
    if chunk.dtype.itemsize == 1:
        chunk = chunk.float()  # torch compares no 8-bit floats
    # The smallest and the largest are NaN if any number is, and nothing is written down to find them.
    return not all(end.isfinite().item() for end in torch.aminmax(chunk))

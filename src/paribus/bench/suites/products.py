"""The floor: the matrix products that no implementation can do without, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

#: A linear map: rows, features in, features out.
Shape = tuple[int, int, int]


def linear_products(
    shapes: Sequence[Shape], *, dtype: torch.dtype, device: torch.device
) -> Callable[[], None]:
    """y = x Wᵀ, dx = dy W and dW = dyᵀ x of every shape, into tensors that exist already."""
    work = []
    for rows, n_in, n_out in shapes:
        x, w, dy = (
            torch.randn(*size, dtype=dtype, device=device)
            for size in ((rows, n_in), (n_out, n_in), (rows, n_out))
        )
        work.append((x, w, dy, torch.empty_like(dy), torch.empty_like(x), torch.empty_like(w)))

    def run() -> None:
        for x, w, dy, y, dx, dw in work:
            torch.mm(x, w.t(), out=y)
            torch.mm(dy, w, out=dx)
            torch.mm(dy.t(), x, out=dw)

    return run


def attention_products(
    *,
    batch_heads: int,
    length: int,
    head_dim: int,
    layers: int = 1,
    dtype: torch.dtype,
    device: torch.device,
) -> Callable[[], None]:
    """q kᵀ and p v with their gradients: six batched products a layer, over all keys."""
    narrow = [torch.randn(batch_heads, length, head_dim, dtype=dtype, device=device) for _ in range(4)]
    q, k, v, do = narrow
    p = torch.randn(batch_heads, length, length, dtype=dtype, device=device)
    square, out = torch.empty_like(p), torch.empty_like(q)

    def run() -> None:
        for _ in range(layers):
            torch.bmm(q, k.transpose(1, 2), out=square)
            torch.bmm(p, v, out=out)
            torch.bmm(do, v.transpose(1, 2), out=square)
            torch.bmm(p.transpose(1, 2), do, out=out)
            torch.bmm(square, k, out=out)
            torch.bmm(square.transpose(1, 2), q, out=out)

    return run


def backward_of(
    forward: Callable[[], Tensor], gradient: Tensor, leaves: Sequence[Tensor]
) -> Callable[[], None]:
    """The pass forward and backward, after which no gradient is left behind."""

    def run() -> None:
        forward().backward(gradient)
        for leaf in leaves:
            leaf.grad = None

    return run

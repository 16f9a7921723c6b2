"""The kernels of a pair, compiled once a process, and their launch on whole tensors.

Imports triton: nothing but what is about to launch or to compile a kernel may import this module.
"""

from __future__ import annotations

import functools
import linecache
from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from paribus.ops.pair import Pair
from paribus.ops.triton.emit import kernel_name, source

#: Elements of one program: with Triton's 4 warps 8 a thread, one load of 16 bytes in half precision.
BLOCK = 1024


class Kernels(NamedTuple):
    """The two `triton.jit` functions of a pair."""

    forward: Any
    backward: Any


@functools.cache
def kernels(pair: Pair) -> Kernels:
    """The pair's kernels, whose generated source a traceback and `inspect.getsource` show."""
    text = source(pair)
    file = f"<{pair}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    scope: dict[str, Any] = {"__name__": f"{__name__}.generated"}
    exec(compile(text, file, "exec"), scope)  # noqa: S102 - our own text; triton needs a function
    name = kernel_name(pair)
    return Kernels(scope[name], scope[f"{name}_backward"])


def forward(pair: Pair, g: Tensor, v: Tensor, beta: Tensor | None) -> Tensor:
    """y [...] in the dtype of g and v [...]; beta holds one number if the pair learns it."""
    g, v = g.contiguous(), v.contiguous()
    y = torch.empty_like(g)
    _launch(kernels(pair).forward, (g, v, *_given(beta)), (y,))
    return y


def backward(
    pair: Pair, dy: Tensor, g: Tensor, v: Tensor, beta: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """dg and dv [...] in the dtype of g and v, and the gradient of beta in beta's shape and dtype."""
    dy, g, v = dy.contiguous(), g.contiguous(), v.contiguous()
    dg, dv = torch.empty_like(g), torch.empty_like(v)
    kernel = kernels(pair).backward
    if beta is None:
        _launch(kernel, (dy, g, v), (dg, dv))
        return dg, dv, None
    partial = torch.empty(_programs(g), dtype=_wide(g), device=g.device)
    _launch(kernel, (dy, g, v, beta), (dg, dv, partial))
    return dg, dv, partial.sum().to(beta.dtype).reshape(beta.shape)


def _launch(kernel: Any, given: tuple[Tensor, ...], results: tuple[Tensor, ...]) -> None:
    first = results[0]
    if first.numel() == 0:
        return
    wide = tl.float64 if _wide(first) == torch.float64 else tl.float32
    with torch.cuda.device_of(first):  # triton launches on the current device, which may be another
        kernel[(_programs(first),)](*given, *results, first.numel(), WIDE=wide, BLOCK=BLOCK)


def _programs(x: Tensor) -> int:
    return -(-x.numel() // BLOCK)


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _given(beta: Tensor | None) -> tuple[Tensor, ...]:
    return () if beta is None else (beta,)

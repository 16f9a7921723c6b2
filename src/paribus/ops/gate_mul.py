"""y = gate(g) · value(v) in one Triton kernel, and its backward pass in another, for eager mode on a GPU.

The kernels are written by `paribus.ops.triton` from the rows of the activation table. They read and write each
tensor once, compute in float32 and round once; the plain form writes every step to memory. A compiler fuses
the plain form as well, so a compiled graph takes that one.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Mapping, Sequence
from subprocess import SubprocessError
from typing import Any

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.pair import Pair, pair
from paribus.ops.transformed import is_transformed

#: No C compiler, no headers of Python, no driver or an old one: each comes as another class.
_FAILURES = (RuntimeError, OSError, ImportError, AssertionError, SubprocessError)
_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def gate_mul(
    g: Tensor,
    v: Tensor,
    *,
    gate: str = "silu",
    value: str = "identity",
    beta: Tensor | None = None,
    gate_constants: Mapping[str, float] | None = None,
    value_constants: Mapping[str, float] | None = None,
) -> Tensor:
    """gate(g) · value(v) [...] of g and v [...] in one floating dtype, in which y is rounded once.

    `gate` and `value` are rows of the activation table or `swish`; the constants are the rows' own. A tensor
    `beta` of one number makes it swish's learned beta, and it gets a gradient. Differentiable to any order; from
    the second on in plain torch. Raises `RequestError` where `why_plain` gives a reason, and for unknown rows.
    """
    why = why_plain(g.device, g, v, *(() if beta is None else (beta,)))
    if why is not None:
        raise RequestError(f"gate_mul cannot run: {why}")
    if g.shape != v.shape or g.dtype != v.dtype:
        raise RequestError(
            f"gate_mul takes two tensors of one shape and dtype; they are {g.dtype} {list(g.shape)} and "
            f"{v.dtype} {list(v.shape)}"
        )
    if beta is not None and beta.numel() != 1:
        raise RequestError(f"gate_mul learns one beta for all features; there are {beta.numel()}")
    chosen = pair(
        gate,
        value,
        gate_constants=gate_constants,
        value_constants=value_constants,
        learned=beta is not None,
    )
    return _gate_mul(g, v, beta, chosen.gate, chosen.value, chosen.gate_constants, chosen.value_constants)


def available(device: torch.device, *tensors: Tensor) -> bool:
    """Whether `gate_mul` runs on this device, and on these tensors if they are given."""
    return why_plain(device, *tensors) is None


def why_plain(device: torch.device, *tensors: Tensor) -> str | None:
    """Why `gate_mul` does not run on this device or these tensors, in words for the reader; None where it does."""
    if torch.compiler.is_compiling():
        return "a compiled graph fuses the plain form by itself"
    if not _interpreted():
        if device.type != "cuda":
            return f"its kernels run on a GPU, and this is {device.type}"
        if (problem := _problem_with_triton(device.index)) is not None:
            return problem
    if is_transformed():
        return "torch.func and forward-mode derivatives need the plain form"
    for tensor in tensors:
        if type(tensor) not in (Tensor, nn.Parameter):
            return f"a {type(tensor).__name__} needs the plain form"
        if tensor.dtype not in _DTYPES:
            return f"its kernels know {', '.join(map(str, _DTYPES))}, and this is {tensor.dtype}"
        if tensor.device != tensors[0].device:
            return f"its tensors are on {tensors[0].device} and {tensor.device}"
    return None


def _interpreted() -> bool:
    """Triton's own switch: its kernels then run step by step on a CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def _problem_with_triton(index: int | None) -> str | None:
    """What keeps triton from this GPU: asked once, as it compiles a part of itself at its first start."""
    if torch.version.hip is not None:
        return "it has not been tried on AMD GPUs"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if torch.cuda.get_device_capability(index) < (8, 0):
        return "it needs an NVIDIA GPU of compute capability 8.0 or newer"
    try:
        from triton.runtime import driver

        driver.active.get_current_target()
    except _FAILURES as error:
        return f"triton does not start here: {error}"
    return None


def _pair(
    beta: Tensor | None, gate: str, value: str, of_gate: Sequence[float], of_value: Sequence[float]
) -> Pair:
    return Pair(gate, value, tuple(of_gate), tuple(of_value), beta is not None)


@torch.library.custom_op("paribus::gate_mul", mutates_args=())
def _gate_mul(
    g: Tensor,
    v: Tensor,
    beta: Tensor | None,
    gate: str,
    value: str,
    of_gate: Sequence[float],
    of_value: Sequence[float],
) -> Tensor:
    from paribus.ops.triton import kernels

    return kernels.forward(_pair(beta, gate, value, of_gate, of_value), g, v, beta)


@torch.library.custom_op("paribus::gate_mul_backward", mutates_args=())
def _gate_mul_backward(
    dy: Tensor,
    g: Tensor,
    v: Tensor,
    beta: Tensor | None,
    gate: str,
    value: str,
    of_gate: Sequence[float],
    of_value: Sequence[float],
) -> tuple[Tensor, Tensor, Tensor]:
    from paribus.ops.triton import kernels

    dg, dv, dbeta = kernels.backward(_pair(beta, gate, value, of_gate, of_value), dy, g, v, beta)
    return dg, dv, g.new_empty(0) if dbeta is None else dbeta  # an op has no optional result


@_gate_mul.register_fake
def _(g: Tensor, v: Tensor, beta: Tensor | None, *rows: Any) -> Tensor:
    return g.new_empty(g.shape)


@_gate_mul_backward.register_fake
def _(dy: Tensor, g: Tensor, v: Tensor, beta: Tensor | None, *rows: Any) -> tuple[Tensor, Tensor, Tensor]:
    dbeta = g.new_empty(0) if beta is None else beta.new_empty(beta.shape)
    return g.new_empty(g.shape), v.new_empty(v.shape), dbeta


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    g, v, beta, *rows = inputs
    ctx.save_for_backward(g, v, beta)
    ctx.rows = rows


def _backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    g, v, beta = ctx.saved_tensors
    # Whoever asks for a graph of the gradient gets one in plain torch: it has derivatives of every order.
    differentiate = _plain_backward if torch.is_grad_enabled() else _gate_mul_backward
    dg, dv, dbeta = differentiate(dy, g, v, beta, *ctx.rows)
    return dg, dv, None if beta is None else dbeta, *(None for _ in ctx.rows)


def _plain_backward(
    dy: Tensor, g: Tensor, v: Tensor, beta: Tensor | None, *rows: Any
) -> tuple[Tensor, Tensor, Tensor | None]:
    wide = torch.promote_types(g.dtype, torch.float32)
    of_beta = () if beta is None else (beta.to(wide),)
    dg, dv, *by_beta = _pair(beta, *rows).backward(dy.to(wide), g.to(wide), v.to(wide), *of_beta)
    dbeta = None if beta is None else by_beta[0].sum().to(beta.dtype).reshape(beta.shape)
    return dg.to(g.dtype), dv.to(v.dtype), dbeta


_gate_mul.register_autograd(_backward, setup_context=_setup)

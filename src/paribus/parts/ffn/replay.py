"""What a layer need not keep for its backward pass, because it is computed again there: the replay.

A replay must see what the forward pass saw. So everything that can change between the two is an argument: the
weights (`torch.func.functional_call` puts others in place and takes them away again), what is learned and what is
drawn at random.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from paribus.errors import RequestError
from paribus.ops.linear import Linear

#: How much of what is as wide as the hidden vector is kept: all that cannot be had pointwise, half of it, nothing.
Memory = Literal["keep", "half", "none"]


def check_memory(memory: object, *, allowed: Sequence[Memory]) -> None:
    """Raise `RequestError` for an amount that the layer cannot keep."""
    if memory in allowed:
        return
    why = " (a layer without a gate and a value has no half to keep)" if memory == "half" else ""
    raise RequestError(f"memory is one of {', '.join(allowed)}; it is {memory!r}{why}")


def replayed(function: Callable[..., Tensor], *arguments: Any, instead: bool = True) -> Tensor:
    """function(*arguments), which keeps its arguments and nothing that it computes.

    What is inside is computed again in the backward pass, up to the last tensor that is needed there. Without
    `instead` it is kept as usual; so it is, after a warning, under a transform of `torch.func`, which cannot replay.
    """
    if not instead or not torch.is_grad_enabled():
        return function(*arguments)
    if _under_a_transform():
        _warn_that_all_is_kept()
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)


def anything_learns(*tensors: Tensor | None) -> bool:
    """Whether any of them needs a gradient."""
    return any(tensor is not None and tensor.requires_grad for tensor in tensors)


def product(layer: Linear, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """layer(x) with the weight and bias that the layer had in the forward pass.

    The layer itself is called, not its formula: tensor parallelism and FSDP do their work in its hooks.
    """
    if (weight is layer.weight and bias is layer.bias) or _gathers_its_weights(layer):
        return layer(x)
    given = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return torch.func.functional_call(layer, given, (x,))


def _gathers_its_weights(layer: Linear) -> bool:
    """Whether FSDP shards this very layer: its weight is then another tensor inside its call than before it."""
    if not torch.distributed.is_available():
        return False
    from torch.distributed.fsdp import FSDPModule  # slow, and for replays with other weights only

    return isinstance(layer, FSDPModule)


def stand_in(x: Tensor, width: int) -> Tensor:
    """A tensor [..., width] like x [..., d_model] that holds no memory and, as nobody may read it, no numbers."""
    return x.new_full((), math.nan).expand(*x.shape[:-1], width)


def _under_a_transform() -> bool:
    return torch._C._functorch.peek_interpreter_stack() is not None


def _warn_that_all_is_kept() -> None:
    _warn_once()


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        "under a transform of torch.func a feed-forward layer keeps all that it computes, whatever its memory "
        "option says: replays need hooks that the transforms forbid",
        stacklevel=4,
    )


# A compiler runs both while it traces, under the transforms that it traces, and what they give is a constant to it.
# `torch.compiler.assume_constant_result` sets this mark, but first imports the compiler, which takes a second.
for _function in (_under_a_transform, _warn_that_all_is_kept):
    vars(_function)["_dynamo_marked_constant"] = True

"""A model made ready to generate: the same parameters, with what every step would do again done once.

The twin shares parameters, buffers and hooks with its model and is always in eval mode, so the model itself is never
touched. Its linear layers hold their weights in the compute dtype and, on a CPU, in the layout of the kernel.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from paribus.model.head import Head
from paribus.model.transformer import Transformer
from paribus.ops.linear import Linear
from paribus.ops.packed import PackedLinear, can_pack

#: Up to how many bytes weights are copied unasked: about two thousand million parameters in bfloat16.
COPIED_UNASKED = 4 * 2**30


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """How a model will generate: `packed` and `plain` count its linear layers, `copied_bytes` what they hold anew."""

    model: Transformer
    dtype: torch.dtype
    packed: int
    plain: int
    copied_bytes: int


def prepare(
    model: Transformer, *, dtype: torch.dtype = torch.float32, copies: bool | None = None
) -> Prepared:
    """A twin of the model for many passes without gradients in `dtype`; parameters it changes later are not seen.

    With `copies` every linear layer gets a copy of its weights in `dtype`, laid out for its kernel where there is
    such a layout; without, all stays as the model has it. Unless told, copies are made if they take no more than
    `COPIED_UNASKED` bytes. A layer that is not exactly our `Linear`, or has hooks of its own, is left as it is.
    """
    # The encoder reads once, so nothing of it would be used again.
    reading = [cast(nn.Module, model.decoder), model.head]
    modules = [module for part in reading for module in part.modules()]
    wanted = [module for module in modules if isinstance(module, Linear) and _replaceable(module)]
    extra = sum(_bytes(layer, dtype) for layer in wanted) + _head_bytes(model, dtype)
    if not (extra <= COPIED_UNASKED if copies is None else copies):
        plain = sum(isinstance(module, Linear) for module in model.modules()) + 1
        return Prepared(
            model=cast(Transformer, _twin(model, {})), dtype=dtype, packed=0, plain=plain, copied_bytes=0
        )
    replaced: dict[int, nn.Module] = {
        id(layer): PackedLinear(cast(nn.Parameter, layer.weight), layer.bias, dtype=dtype) for layer in wanted
    }
    twin = cast(Transformer, _twin(model, replaced))
    head = PackedLinear(cast(nn.Parameter, model.head_weight), model.head.bias, dtype=dtype)
    twin.head = cast(Head, _PackedHead(head, twin.head.transform))
    layers = [module for module in twin.modules() if isinstance(module, Linear)]
    packed = sum(layer.packed for layer in layers if isinstance(layer, PackedLinear))
    return Prepared(model=twin, dtype=dtype, packed=packed, plain=len(layers) - packed, copied_bytes=extra)


def _replaceable(module: Linear) -> bool:
    # A class derived from it (as parametrisations and sharding make) may compute anything, and so may a hook.
    return type(module) is Linear and not (module._forward_hooks or module._forward_pre_hooks)


def _bytes(layer: Linear, dtype: torch.dtype) -> int:
    copied = can_pack(layer.weight, dtype) or layer.weight.dtype != dtype
    return layer.weight.numel() * dtype.itemsize if copied else 0


def _head_bytes(model: Transformer, dtype: torch.dtype) -> int:
    weight = model.head_weight
    return weight.numel() * dtype.itemsize if can_pack(weight, dtype) or weight.dtype != dtype else 0


class _PackedHead(nn.Module):
    """A head whose matrix is packed, be it the embedding's or its own."""

    def __init__(self, layer: PackedLinear, transform: nn.Module) -> None:
        super().__init__()
        self.layer, self.transform = layer, transform

    def forward(self, x: Tensor, embedding_VD: Tensor) -> Tensor:
        return self.layer(x)


def _twin(module: nn.Module, twins: dict[int, nn.Module]) -> nn.Module:
    """A module of the same class over the same tensors, in eval mode; a module that is shared stays shared."""
    known = twins.get(id(module))
    if known is None:
        known = twins[id(module)] = copy.copy(module)
        known._modules = {
            name: None if child is None else _twin(child, twins) for name, child in module._modules.items()
        }
        known.training = False
    return known

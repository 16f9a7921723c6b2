"""A model made ready to generate: the same parameters, with what every step would do again done once.

The twin shares parameters, buffers and hooks with its model and is always in eval mode, so the model itself is never
touched. Its linear layers hold their weights in the compute dtype and, on a CPU, in the layout of the kernel; layers
that read the same, as a part's `together` names them, are one product: the part's `joint`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from paribus.model.head import Head
from paribus.model.transformer import Transformer
from paribus.ops.linear import Linear
from paribus.ops.packed import Packed, PackedLinear

#: Up to how many bytes weights are copied unasked: about two thousand million parameters in bfloat16.
COPIED_UNASKED = 4 * 2**30

# Bytes of a product's weight from which it is worth waking another thread, which takes as long as reading them.
_WORTH_A_THREAD = 2**20


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """How a model will generate.

    `copied` and `plain` name the linear layers of the decoder, and the head, that compute from copies and those that
    do not; `packed` says whether the copies are laid out for their kernel, `copied_bytes` how large they are.
    With `one_thread` a step of few tokens runs on one thread: its products are too small to be shared out.
    """

    model: Transformer
    dtype: torch.dtype
    copied: tuple[str, ...]
    plain: tuple[str, ...]
    packed: bool
    copied_bytes: int
    one_thread: bool


def prepare(
    model: Transformer, *, dtype: torch.dtype = torch.float32, copies: bool | None = None
) -> Prepared:
    """A twin of the model for many passes without gradients in `dtype`; parameters it changes later are not seen.

    With `copies` every linear layer of the decoder, and the head, gets a copy of its weights in `dtype`, laid out for
    its kernel where there is such a layout; without, all stays as the model has it. Unless told, copies are made if
    they take no more than `COPIED_UNASKED` bytes. A layer that is not exactly our `Linear`, or has hooks of its own,
    stays as it is. On a CPU small models get `one_thread`.
    """
    twin = cast(Transformer, _twin(model, {}))
    # The encoder reads once, so nothing of it would be used again.
    reading = [name for name, _ in twin.named_modules() if name.startswith(("decoder.", "head."))]
    layers = [name for name in reading if isinstance(twin.get_submodule(name), Linear)]
    weights = [cast(Linear, twin.get_submodule(name)).weight for name in layers]
    weights.append(cast(nn.Parameter, model.head_weight))
    size = sum(weight.numel() for weight in weights) * dtype.itemsize
    copied: list[str] = []
    held: list[Packed] = []
    if size <= COPIED_UNASKED if copies is None else copies:
        for name in reading:
            part: Any = twin.get_submodule(name)
            members = [f"{name}.{member}" for member in getattr(part, "together", ())]
            if members and all(_replaceable(twin.get_submodule(member)) for member in members):
                part.joint = Packed([getattr(part, member) for member in part.together], dtype=dtype)
                held.append(part.joint)
                copied += members
        for name in layers:
            layer: Any = twin.get_submodule(name)
            if name not in copied and _replaceable(layer):
                _replace(twin, name, packed := PackedLinear(layer, dtype=dtype))
                held.append(packed.held)
                copied.append(name)
        if _is_plain_head(model):
            head = PackedLinear(_over(model.head_weight, model.head.bias), dtype=dtype)
            twin.head = cast(Head, _PackedHead(head, twin.head.transform).eval())
            held.append(head.held)
            copied.append("head")
    everything = [*layers, "head"]
    return Prepared(
        model=twin,
        dtype=dtype,
        copied=tuple(name for name in everything if name in copied),
        plain=tuple(name for name in everything if name not in copied),
        packed=bool(held) and all(each.packed for each in held),
        copied_bytes=sum(each.nbytes for each in held),
        one_thread=weights[0].device.type == "cpu" and size < _WORTH_A_THREAD * len(weights),
    )


def _replaceable(module: nn.Module) -> bool:
    # A class derived from it (as parametrisations and sharding make) may compute anything, and so may a hook.
    plain = type(module) is Linear and type(module.weight) is nn.Parameter
    return plain and not (module._forward_hooks or module._forward_pre_hooks)


def _is_plain_head(model: Transformer) -> bool:
    plain = type(model.head) is Head and type(model.head_weight) is nn.Parameter
    return plain and not (model.head._forward_hooks or model.head._forward_pre_hooks)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, last = name.rpartition(".")
    setattr(model.get_submodule(owner), last, module)


class _PackedHead(nn.Module):
    """A head whose matrix is packed, be it the embedding's or its own."""

    def __init__(self, layer: PackedLinear, transform: nn.Module) -> None:
        super().__init__()
        self.layer, self.transform = layer, transform

    def forward(self, x: Tensor, embedding_VD: Tensor) -> Tensor:
        return self.layer(x)


def _over(weight: Tensor, bias: Tensor | None) -> Linear:
    """A layer over a weight and a bias that belong to something else."""
    with torch.device("meta"):
        layer = Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight, layer.bias = cast(nn.Parameter, weight), cast(nn.Parameter, bias)
    return layer


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

"""What a layer keeps for its backward pass: counted where autograd saves it, and in what a compiler makes of it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor.decomposition import select_decomp_table

from paribus import registry
from paribus.parts.ffn.gated import GatedFeedForward

from .comparison import tokens

CARDS = registry.catalog()["ffn"]
GATED = tuple(name for name, card in CARDS.items() if issubclass(card.factory, GatedFeedForward))
#: Each layer that can choose, with each amount that it can keep.
MEMORIES = [
    (name, memory)
    for name, card in CARDS.items()
    if "memory" in card.allowed_options()
    for memory in (("keep", "half", "none") if name in GATED else ("keep", "none"))
]
D, F = 6, 40


def saved_bytes(layer: nn.Module, num_tokens: int, dtype: torch.dtype, *, frozen_input: bool = False) -> int:
    """Bytes of all storages saved in the forward pass but that of the input."""
    x = tokens(num_tokens, D, dtype=dtype).requires_grad_(not frozen_input)
    saved: dict[int, Tensor] = {}  # holds the tensors, so that no address is used twice

    def pack(t: Tensor) -> Tensor:
        saved[t.untyped_storage().data_ptr()] = t
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = layer(x)
    saved.pop(x.untyped_storage().data_ptr(), None)
    y.sum().backward()
    return sum(t.untyped_storage().nbytes() for t in saved.values())


def graph_bytes(layer: nn.Module, num_tokens: int, dtype: torch.dtype) -> int:
    """Bytes of all that the compiled forward graph hands to the backward graph but the input.

    The graph is cut as Inductor has it cut, after its decompositions; no code is made of it.
    """
    handed: list[Any] = []

    def forward(graph: fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
        (outputs,) = (node for node in graph.graph.nodes if node.op == "output")
        handed.extend(node.meta["val"] for node in outputs.args[0][1:] if node is not graph_input(graph))
        return make_boxed_func(graph)

    def graph_input(graph: fx.GraphModule) -> fx.Node:
        (found,) = (
            node
            for node in graph.graph.nodes
            if node.op == "placeholder" and node.meta["val"].shape == (num_tokens, D)
        )
        return found

    backend = aot_autograd(
        fw_compiler=forward,
        bw_compiler=lambda graph, _: make_boxed_func(graph),
        partition_fn=min_cut_rematerialization_partition,
        decompositions=select_decomp_table(),
    )
    torch._dynamo.reset()
    x = tokens(num_tokens, D, dtype=dtype)
    torch.compile(layer, backend=backend, fullgraph=True)(x).sum().backward()
    return sum(value.numel() * value.element_size() for value in handed)


def inductor_bytes(layer: nn.Module, num_tokens: int, dtype: torch.dtype) -> int:
    """Bytes of all that code made by Inductor saves but the input."""
    torch._dynamo.reset()
    x = tokens(num_tokens, D, dtype=dtype)
    y = torch.compile(layer, fullgraph=True)(x)
    saved: tuple[Tensor, ...] = y.grad_fn.saved_tensors  # type: ignore[union-attr]
    assert saved
    return sum(
        t.numel() * t.element_size()
        for t in saved
        if t.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    )


def bytes_per_element(count: Callable[..., int], layer: nn.Module, dtype: torch.dtype) -> float:
    """Saved bytes for each token and hidden feature; weights do not grow with tokens, so they drop out."""
    into = next(layer.get_submodule(name) for name in ("up", "gate") if hasattr(layer, name))
    return (count(layer, 24, dtype) - count(layer, 8, dtype)) / 16 / into.out_features

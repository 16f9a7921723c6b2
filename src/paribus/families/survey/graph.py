"""What autograd remembers of one forward pass without numbers: which sum and which product each tensor is.

Names of modules do not say what is computed, so nothing here goes by them. A tensor is a *sum* of terms: walking back
through additions, scalings and changes of shape ends at the nodes that made its terms.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

Node = Any  # torch.autograd.graph.Node

#: Nodes that leave what they are given as it is, but for its shape, dtype or place.
_SHAPES = {
    *(
        "View",
        "UnsafeView",
        "ReshapeAlias",
        "Transpose",
        "Permute",
        "T",
        "Clone",
        "ToCopy",
        "Alias",
        "Expand",
        "Slice",
    ),
    *(
        "Squeeze",
        "Unsqueeze",
        "Split",
        "SplitWithSizes",
        "Select",
        "Unbind",
        "Copy",
        "AsStrided",
        "Reshape",
        "Chunk",
    ),
    *("NativeDropout", "Unfold", "IndexSelect", "Index", "Repeat", "ConstantPadNd", "Narrow"),
}
_SUMS = {"Add", "Sub"}
_SCALINGS = {"Mul", "Div"}
_PRODUCTS = {"Mm", "Addmm", "Bmm", "Baddbmm", "GroupedMm", "Convolution", "Mv", "Addmv", "Einsum", "Addbmm"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a module: the nodes of what went in and of what came out (None where nothing is learned)."""

    name: str
    module: nn.Module
    into: tuple[Node, ...]
    out: Node | None
    words: frozenset[str]  # keyword arguments that held tensors


@dataclass
class Trace:
    """Every call of a forward pass, in the order in which they ended."""

    calls: list[Call] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)  # of every module, by its name
    prefix: str = ""  # what the model's own classes begin with

    def made(self) -> Mapping[Node, list[Call]]:
        """The calls that gave each node, as it is or before it got its last shape; innermost first."""
        found: dict[Node, list[Call]] = {}
        for call in self.calls:
            if call.out is not None:
                for node in {call.out, source(call.out)}:
                    found.setdefault(node, []).append(call)
        return found


@contextlib.contextmanager
def traced(model: nn.Module) -> Iterator[Trace]:
    """Record the calls of all modules."""
    trace = Trace(
        classes={name: type(each).__name__ for name, each in model.named_modules()}, prefix=_prefix(model)
    )
    handles, keep = [], []

    def record(name: str) -> Any:
        entered: list[tuple[tuple[Node, ...], frozenset[str]]] = []

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            tensors = [*_tensors(args), *_tensors(kwargs)]
            keep.extend(tensors)
            words = frozenset(word for word, value in kwargs.items() if _tensors(value))
            entered.append((tuple(each.grad_fn for each in tensors if each.grad_fn is not None), words))

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            into, words = entered.pop()
            tensors = [each for each in _tensors(output) if each.grad_fn is not None]
            keep.extend(tensors)
            out = tensors[0].grad_fn if tensors else None
            trace.calls.append(Call(name=name, module=module, into=into, out=out, words=words))

        return before, after

    for name, module in model.named_modules():
        before, after = record(name)
        handles += [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after, with_kwargs=True),
        ]
    try:
        yield trace
    finally:
        for handle in handles:
            handle.remove()


def _prefix(model: nn.Module) -> str:
    """What the names of a model's own classes begin with: whole words, the model's name."""
    home = type(model).__module__.rpartition(".")[0]
    names = {type(each).__name__ for each in model.modules() if type(each).__module__.startswith(home)}
    found = os.path.commonprefix(sorted(names))
    while found and not all(name[len(found) :][:1].isupper() for name in names):
        found = found[:-1]
    return found


def kind(node: Node) -> str:
    """The operation that made a tensor: `Mm`, `Silu`, ..."""
    name: str = node.name().rsplit("::", 1)[-1]
    return name.split("Backward", 1)[0]


def parents(node: Node) -> list[Node]:
    """What an operation was applied to, parameters left out."""
    return [each for each, _ in node.next_functions if each is not None and not _is_parameter(each)]


def wide(node: Node) -> list[Node]:
    """What an operation was applied to, without what has one number where another has many."""
    given = [
        (each, tuple(each._input_metadata[output].shape[-1:]))
        for each, output in node.next_functions
        if each is not None and not _is_parameter(each)
    ]
    return [each for each, size in given if size != (1,)] or [each for each, _ in given]


def is_product(node: Node) -> bool:
    """Whether this is a product of matrices."""
    return kind(node) in _PRODUCTS


def is_linear(node: Node) -> bool:
    """Whether this is the product with a learned matrix."""
    return is_product(node) and len(parents(node)) == 1


def passes(node: Node) -> bool:
    """Whether a node leaves its one tensor as it is, up to shape and a factor."""
    name = kind(node)
    return len(parents(node)) == 1 and (name in _SHAPES or name in _SUMS or name in _SCALINGS)


def source(node: Node, stops: Collection[Node] = ()) -> Node:
    """The node before all that only passes."""
    while node not in stops and passes(node):
        node = parents(node)[0]
    return node


def terms(node: Node, stops: Collection[Node] = ()) -> frozenset[Node]:
    """The nodes whose sum, each times some factor, a tensor is. A walk ends at one of `stops`."""
    found, seen, todo = set(), set(), [node]
    while todo:
        each = todo.pop()
        if each in seen:
            continue
        seen.add(each)
        if each not in stops and (passes(each) or kind(each) in _SUMS):
            todo += parents(each)
        else:
            found.add(each)
    return frozenset(found)


def behind(node: Node, stops: Collection[Node] = ()) -> frozenset[Node]:
    """All nodes that a tensor comes from, those in `stops` included and nothing behind them."""
    seen: set[Node] = set()
    todo = [node]
    while todo:
        each = todo.pop()
        if each not in seen:
            seen.add(each)
            todo += [] if each in stops else parents(each)
    return frozenset(seen)


def consumers(nodes: Collection[Node]) -> Mapping[Node, list[Node]]:
    """Inside a set of nodes, which of them use each."""
    found: dict[Node, list[Node]] = {}
    for node in nodes:
        for each in parents(node):
            found.setdefault(each, []).append(node)
    return found


def _is_parameter(node: Node) -> bool:
    """Whether nothing but a parameter is behind this node."""
    while kind(node) in _SHAPES or kind(node) in _SCALINGS | _SUMS:
        inner = [each for each, _ in node.next_functions if each is not None]
        if len(inner) != 1:
            return False
        node = inner[0]
    return "AccumulateGrad" in node.name()


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, (list, tuple)):
        return [each for item in value for each in _tensors(item)]
    if isinstance(value, dict):
        return [each for item in value.values() for each in _tensors(item)]
    return []

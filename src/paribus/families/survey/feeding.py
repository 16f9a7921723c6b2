"""The activation of a feed-forward layer and what it gates, found between its first matrices and its last ones.

What decides over experts or scales a whole output is not on the way from the layer's output back to its matrices, so
activations of routers and of gates with one number for a token are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from paribus.families.rules import GATED
from paribus.families.survey import probing
from paribus.families.survey.graph import (
    Call,
    Node,
    consumers,
    is_linear,
    kind,
    parents,
    passes,
    source,
    wide,
)
from paribus.families.survey.kinds import Sublayer

#: Operations of their own that are activations.
_OPERATIONS = {
    "Silu": "silu",
    "Relu": "relu",
    "Elu": "elu",
    "Mish": "mish",
    "LeakyRelu": "leaky_relu",
    "Tanh": "tanh",
    "Hardswish": "hardswish",
    "Sigmoid": "sigmoid",
    "Gelu": "gelu",
    "Hardtanh": "relu6",
    "Celu": "celu",
    "Erf": "erf",
}
_ACTIVATION = re.compile(r"activation|gelu|silu|relu|swish|mish$", re.IGNORECASE)
#: An activation written out takes fewer operations.
_STEPS = 12
#: Where probabilities are made: nothing of the layer's own features is behind.
_CHOICES = {"Softmax", "LogSoftmax", "Topk", "Sort"}


Layer = tuple[str | None, bool | None]


def feed_forward(sublayer: Sublayer, made: Mapping[Node, list[Call]]) -> set[Layer]:
    """Activation (None: none of ours) and whether it is gated (None: in another way), for each kind of layer inside."""
    nodes = sublayer.nodes
    uses = consumers(nodes)
    found = {}
    for node in nodes:
        modules = [call.module for call in made.get(node, ()) if _is_activation(call)]
        if modules:
            found[node] = probing.activation(modules[0])
        elif kind(node) in _OPERATIONS and not _inside_activation(node, made, uses):
            found[node] = _operation(node)
    last, gated = _last(nodes, uses)
    products: dict[Node, set[Layer]] = {}
    for node in _hidden(last, nodes, found) & found.keys():
        products.setdefault(_product(node, uses), set()).add(_gating(node, found[node], uses))
    layers = {each.pop() if len(each) == 1 else (None, True) for each in products.values()}
    return {(name, None) for name, _ in layers} if gated else layers


def ffn_name(activation: str | None, gated: bool | None) -> str | None:
    """The layer by our name for it."""
    if activation is None or gated is None:
        return None
    return GATED.get(activation, f"gated {activation}") if gated else activation


def _last(nodes: frozenset[Node], uses: Mapping[Node, list[Node]]) -> tuple[set[Node], bool]:
    """The matrices whose sum the layer gives, and whether it gives a product of two of them instead."""
    last, gated = set(), False
    for node in _elementwise([node for node in nodes if node not in uses], nodes):
        if is_linear(node):
            last.add(node)
        elif kind(node) == "Mul" and len(wide(node)) > 1:
            gated = True
    return last, gated


def _hidden(last: set[Node], nodes: frozenset[Node], found: Collection[Node]) -> set[Node]:
    """What stands right before the last matrices; where that is no activation, before those that come before."""
    hidden, seen, todo = set(), set(), set(last)
    while todo:
        matrix = todo.pop()
        seen.add(matrix)
        before = _elementwise(parents(matrix), nodes)
        if before.isdisjoint(found):
            todo |= {node for node in before if is_linear(node)} - seen
        else:
            hidden |= before
    return hidden


def _elementwise(start: Iterable[Node], nodes: frozenset[Node]) -> set[Node]:
    """What these nodes come from, back to matrices and to choices; they are the last of it."""
    seen, todo = set(), list(start)
    while todo:
        node = todo.pop()
        if node not in seen and node in nodes and kind(node) not in _CHOICES:
            seen.add(node)
            todo += [] if is_linear(node) else wide(node)
    return seen


def _product(node: Node, uses: Mapping[Node, list[Node]]) -> Node:
    """The last product of features that this one is a factor of."""
    while True:
        onward = [each for each in uses.get(node, ()) if passes(each) or kind(each) in ("Mul", "Pow")]
        if not onward:
            return node
        node = onward[0]


def _is_activation(call: Call) -> bool:
    name, home = type(call.module).__name__, type(call.module).__module__
    named = home.endswith((".activations", "nn.modules.activation")) or bool(_ACTIVATION.search(name))
    alone = not list(call.module.children())
    return named and alone and name not in ("Softmax", "MultiheadAttention")


def _inside_activation(node: Node, made: Mapping[Node, list[Call]], uses: Mapping[Node, list[Node]]) -> bool:
    """Whether an operation is a step of an activation module, as tanh is of GELU."""
    todo = list(uses.get(node, ()))
    seen: set[Node] = set()
    while todo:
        each = todo.pop()
        if each in seen or is_linear(each) or len(seen) > _STEPS:
            continue
        seen.add(each)
        if any(_is_activation(call) and _before(call, node) for call in made.get(each, ())):
            return True
        todo += uses.get(each, ())
    return False


def _before(call: Call, node: Node) -> bool:
    """Whether a node lies between what went into a call and what came out."""
    start, todo, seen = set(call.into), [call.out], set()
    while todo:
        each = todo.pop()
        if each == node:
            return True
        if each not in seen and each not in start:
            seen.add(each)
            todo += parents(each)
    return False


def _operation(node: Node) -> str:
    name = _OPERATIONS[kind(node)]
    return "gelu_tanh" if name == "gelu" and getattr(node, "_saved_approximate", "none") == "tanh" else name


def _gating(node: Node, name: str | None, uses: Mapping[Node, list[Node]]) -> tuple[str | None, bool]:
    """Follow an activation to where it is squared, multiplied by its own input, or by another tensor."""
    while True:
        following = [each for each in uses.get(node, ()) if not _is_aside(each)]
        onward = next((each for each in following if passes(each)), None)
        square = next((each for each in following if kind(each) == "Pow"), None)
        product = next((each for each in following if kind(each) == "Mul" and len(parents(each)) == 2), None)
        if square is not None and name == "relu":
            node, name = square, "relu2"
        elif product is not None:
            other = [each for each in parents(product) if each != node]
            if not other and name == "relu":
                node, name = product, "relu2"
            elif name == "erf" and other and source(other[0]) == source(parents(source(node))[0]):
                node, name = product, "gelu"
            elif name == "sigmoid" and other and source(other[0]) == source(parents(source(node))[0]):
                node, name = product, _self_gated(node)
            else:
                return name, bool(other)
        elif onward is not None:
            node = onward
        else:
            return name, False


def _self_gated(node: Node) -> str:
    """x sigmoid(b x): SiLU where b is 1, `gelu_quick` where x is scaled."""
    return "gelu_quick" if any(kind(each) == "Mul" for each in parents(source(node))) else "silu"


def _is_aside(node: Node) -> bool:
    return kind(node) in ("Sum", "Mean", "Detach")

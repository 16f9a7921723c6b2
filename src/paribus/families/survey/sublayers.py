"""What one sublayer computes, by its part of the graph: which activation, gated or not, rotated or not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from paribus.families.rules import GATED
from paribus.families.survey import probing
from paribus.families.survey.blocks import Sublayer
from paribus.families.survey.graph import (
    Call,
    Node,
    consumers,
    is_linear,
    kind,
    parents,
    passes,
    source,
)

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
}
_ACTIVATION = re.compile(r"activation|gelu|silu|relu|swish|mish$", re.IGNORECASE)
#: An activation written out takes fewer operations.
_STEPS = 12
#: Gates of routers and of whole layers, not of features, unless there is nothing else.
_WEAK = {"sigmoid", "tanh"}


def feed_forward(sublayer: Sublayer, made: Mapping[Node, list[Call]]) -> set[tuple[str | None, bool]]:
    """Activation (None: none of ours) and whether it is gated, for each kind of layer inside, as with experts."""
    uses = consumers(sublayer.nodes)
    found = {}
    for node in sublayer.nodes:
        modules = [call.module for call in made.get(node, ()) if _is_activation(call)]
        if modules:
            found[node] = probing.activation(modules[0])
        elif kind(node) in _OPERATIONS and not _inside_activation(node, made, uses):
            found[node] = _operation(node)
    layers = {_gating(node, name, uses) for node, name in found.items()}
    strong = {layer for layer in layers if layer[0] not in _WEAK}
    return strong or layers


def rotates(sublayer: Sublayer, norms: Mapping[Node, Call]) -> bool:
    """Whether queries and keys are turned: half of the channels is negated, or pairs are complex numbers."""
    return any(
        kind(node) in ("Neg", "ViewAsComplex") or (kind(node) == "Sub" and _crosses(node))
        for node in sublayer.nodes
        if node not in norms
    )


def norms_queries(sublayer: Sublayer, norms: Mapping[Node, Call]) -> str | None:
    """The norm that stands between the queries' matrix and their product with the keys."""
    uses = consumers(sublayer.nodes)
    for node in sublayer.nodes & norms.keys():
        todo = list(uses.get(node, ()))
        seen: set[Node] = set()
        while todo:
            each = todo.pop()
            if each in seen or is_linear(each):
                continue
            seen.add(each)
            if kind(each).startswith("ScaledDotProduct") or (kind(each) == "Bmm" and len(parents(each)) == 2):
                return probing.norm(norms[node].module) or type(norms[node].module).__name__
            todo += uses.get(each, ())
    return None


def ffn_name(activation: str | None, gated: bool) -> str | None:
    """The layer by our name for it."""
    if activation is None:
        return None
    return GATED.get(activation, f"gated {activation}") if gated else activation


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


def _crosses(node: Node) -> bool:
    """x1 cos - x2 sin: a difference of two scaled tensors."""
    return [kind(each) for each in parents(node)] == ["Mul", "Mul"]

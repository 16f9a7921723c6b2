"""A block whose sum is of no form we know, taken apart by its modules: the largest that stay at one token, and the rest."""

from __future__ import annotations

from collections.abc import Iterable

from paribus.families.survey import kinds
from paribus.families.survey.graph import Call, Node, Trace, behind, is_linear
from paribus.families.survey.kinds import Sublayer


def sublayers(block: Call, trace: Trace) -> tuple[Sublayer, ...]:
    """Its feed-forward layers, and what of it attends or mixes."""
    parts = _parts(block, trace)
    layers = _layers(_apart(parts, trace.prefix))
    rest = _nodes(block).difference(*layers)
    found = [("ffn", nodes) for nodes in layers]
    mixing = [
        call for call in parts if kinds.is_mixer([type(call.module).__name__], trace.prefix, parts[call])
    ]
    if mixed := frozenset().union(*(parts[call] for call in mixing)) & rest:
        found.append(("mixer", mixed))
    if kinds.attends(rest - mixed):
        found.append(("attention", rest - mixed))
    return tuple(Sublayer(kind=name, nodes=nodes, before=None, behind=None) for name, nodes in found)


def tokenwise(block: Call, trace: Trace) -> Sublayer:
    """All modules of a block that stay at one token as one layer: some have a module for each of its matrices."""
    nodes = frozenset().union(*_layers(_parts(block, trace)))
    return Sublayer(kind="ffn", nodes=nodes, before=None, behind=None)


def _parts(block: Call, trace: Trace) -> dict[Call, frozenset[Node]]:
    """The calls inside a block, each with its nodes."""
    whole, inside = _nodes(block), set(block.module.modules()) - {block.module}
    return {call: nodes for call in trace.calls if call.module in inside and (nodes := _nodes(call)) <= whole}


def _apart(parts: dict[Call, frozenset[Node]], prefix: str) -> dict[Call, frozenset[Node]]:
    """Those that are no piece of a module which is called attention and attends: its gates are not the block's."""
    attending = [
        nodes
        for call, nodes in parts.items()
        if kinds.is_attention([type(call.module).__name__], prefix) and kinds.attends(nodes)
    ]
    return {call: nodes for call, nodes in parts.items() if not any(nodes < each for each in attending)}


def _layers(parts: dict[Call, frozenset[Node]]) -> list[frozenset[Node]]:
    """The largest parts that hold matrices and bring no token to another."""
    alone = {call: nodes for call, nodes in parts.items() if nodes and not kinds.crosses_time(nodes)}
    return [nodes for nodes in _largest(alone) if any(map(is_linear, nodes))]


def _nodes(call: Call) -> frozenset[Node]:
    """What stands between the inputs of a call and its output."""
    return frozenset() if call.out is None else behind(call.out, call.into).difference(call.into)


def _largest(parts: dict[Call, frozenset[Node]]) -> Iterable[frozenset[Node]]:
    return [nodes for nodes in parts.values() if not any(nodes < other for other in parts.values())]

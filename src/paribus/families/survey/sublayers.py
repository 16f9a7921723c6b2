"""What one sublayer computes, by its part of the graph: rotated or not, queries normed or not."""

from __future__ import annotations

from collections.abc import Mapping

from paribus.families.survey import probing
from paribus.families.survey.graph import (
    Call,
    Node,
    consumers,
    is_linear,
    kind,
    parents,
)
from paribus.families.survey.kinds import Sublayer, attends

#: Steps of a norm that is no module.
_NORMS = {"Rsqrt", "LinalgVectorNorm", "Norm", "NativeLayerNorm", "FusedRmsNorm"}


def rotates(sublayer: Sublayer, norms: Mapping[Node, Call]) -> bool:
    """Whether queries and keys are turned: half of the channels is negated, or pairs are complex numbers."""
    return any(
        kind(node) in ("Neg", "ViewAsComplex") or (kind(node) == "Sub" and _crosses(node))
        for node in sublayer.nodes
        if node not in norms
    )


def norms_queries(sublayer: Sublayer, norms: Mapping[Node, Call]) -> str | None:
    """The norm that stands between the queries' matrix and their product with the keys; `other` if it is none of ours."""
    uses = consumers(sublayer.nodes)
    found = [node for node in sublayer.nodes & norms.keys() if _meets_keys(node, uses)]
    if found:
        return probing.norm(norms[found[0]].module) or "other"
    written_out = (node for node in sublayer.nodes if kind(node) in _NORMS and _meets_keys(node, uses))
    return "other" if any(written_out) else None


def _meets_keys(node: Node, uses: Mapping[Node, list[Node]]) -> bool:
    """Whether a tensor goes into the product of queries and keys without another matrix before."""
    todo, seen = [*uses.get(node, ())], set()
    while todo:
        each = todo.pop()
        if each in seen or is_linear(each):
            continue
        if attends((each,)):
            return True
        seen.add(each)
        todo += uses.get(each, ())
    return False


def _crosses(node: Node) -> bool:
    """x1 cos - x2 sin: a difference of two scaled tensors."""
    return [kind(each) for each in parents(node)] == ["Mul", "Mul"]

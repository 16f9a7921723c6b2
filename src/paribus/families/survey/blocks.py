"""What the graph of a forward pass says of a block: its sublayers, where their norms stand, what they are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from paribus.families.survey import kinds, mixed
from paribus.families.survey.graph import Call, Node, Trace, behind, terms
from paribus.families.survey.kinds import Sublayer

_NORM = re.compile(r"norm", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of a stack. `placement` is one of ours, or None if the graph has another form."""

    sublayers: tuple[Sublayer, ...]
    placement: str | None

    def norms(self) -> list[Call]:
        """The norms of the residual stream."""
        found = [norm for each in self.sublayers for norm in (each.before, each.behind) if norm is not None]
        return list({id(norm): norm for norm in found}.values())


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm by its class and holds vectors only."""
    small = all(each.dim() <= 1 for each in module.parameters())
    return bool(_NORM.search(type(module).__name__)) and small and not list(module.children())


def norms_of(trace: Trace) -> Mapping[Node, Call]:
    """Calls of norms by the node they gave."""
    return {
        call.out: call for call in trace.calls if call.out is not None and call.into and is_norm(call.module)
    }


def stacks(model: nn.Module, trace: Trace) -> list[list[Call]]:
    """The calls of the blocks of each stack: lists of modules that are in no other list."""
    lists = [name for name, each in model.named_modules() if isinstance(each, nn.ModuleList) and len(each)]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    found = []
    for name in outer:
        calls = [call for call in trace.calls if re.fullmatch(rf"{re.escape(name)}\.\d+", call.name)]
        calls = [call for call in calls if call.out is not None and call.into]
        if calls and not is_norm(calls[0].module):
            found.append(calls)
    return found


def block(call: Call, trace: Trace, norms: Mapping[Node, Call], made: Mapping[Node, list[Call]]) -> Block:
    """The sublayers of one block, and its placement."""
    around = _Around(call.name, call.into[0], frozenset({*norms, *call.into}), norms, made, trace)
    total = terms(call.out, around.stops)
    if around.stream in total:
        found: Block | None = _with_open_stream(total - {around.stream}, around)
    else:
        found = _with_normed_stream(total, around)
    if found is None or found.placement is None:
        return Block(sublayers=mixed.sublayers(call, trace), placement=None)
    return found


@dataclass(frozen=True)
class _Around:
    """A block by its name, the stream that goes in, where walks end, and what is known of the whole pass."""

    block: str
    stream: Node
    stops: frozenset[Node]
    norms: Mapping[Node, Call]
    made: Mapping[Node, list[Call]]
    trace: Trace


def _with_open_stream(branches: frozenset[Node], around: _Around) -> Block:
    """The stream goes through as it is, and branches are added to it: pre, sandwich, post_sublayer, parallel."""
    stream, stops, norms = around.stream, around.stops, around.norms
    on_stream = {
        node: read
        for node, norm in norms.items()
        if stream in (read := terms(norm.into[0], stops)) and read <= {stream, *branches}
    }
    limits = {*on_stream, *stops.difference(norms), *branches}
    sublayers = []
    for branch in branches:
        last = norms.get(branch)
        inner = terms(last.into[0], stops) if last else frozenset({branch})
        # What a branch reads is a branch too, so the walk starts at its parents and not at itself.
        nodes = frozenset().union(*(behind(node, limits - {node}) for node in inner))
        first = [node for node in nodes if node in on_stream]
        read = (
            frozenset().union(*(on_stream[node] for node in first)) if first else nodes & {stream, *branches}
        )
        sublayers.append(
            Sublayer(
                kind=_kind(nodes - limits | inner, around),
                nodes=nodes - limits | inner,
                before=norms[first[0]] if first else None,
                behind=last,
                beside=not (read - inner) & branches,
            )
        )
    return Block(sublayers=_joined(sublayers), placement=_placement(sublayers))


def _with_normed_stream(total: frozenset[Node], around: _Around) -> Block | None:
    """The sum of stream and branch is normed before it goes on: post."""
    stream, stops, norms = around.stream, around.stops, around.norms
    sublayers: list[Sublayer] = []
    while len(total) == 1 and (last := norms.get(next(iter(total)))) is not None:
        total = terms(last.into[0], stops)
        onward = {each for each in total if each == stream or each in norms}
        branches = total - onward
        if len(onward) != 1 or not branches:
            return None
        limits = {*onward, *stops.difference(norms)}
        nodes = frozenset().union(*(behind(node, limits) for node in branches)) - limits
        sublayers.append(Sublayer(kind=_kind(nodes, around), nodes=nodes, before=None, behind=last))
        if onward == {stream}:
            return Block(sublayers=tuple(reversed(sublayers)), placement="post")
        total = frozenset(onward)
    return None


def _placement(sublayers: Sequence[Sublayer]) -> str | None:
    forms = {(each.before is not None, each.behind is not None) for each in sublayers}
    kinds = {each.kind for each in sublayers}
    if len(forms) != 1:
        return None
    form = forms.pop()
    if form == (True, False) and kinds == {"attention", "ffn"} and all(each.beside for each in sublayers):
        shared = len({id(each.before) for each in sublayers}) == 1
        return "parallel" if shared else "parallel_separate"
    return {(True, False): "pre", (True, True): "sandwich", (False, True): "post_sublayer"}.get(form)


def _joined(sublayers: Sequence[Sublayer]) -> tuple[Sublayer, ...]:
    order = {"attention": 0, "mixer": 1, "ffn": 2}
    return tuple(sorted(sublayers, key=lambda each: order[each.kind]))


def _kind(nodes: frozenset[Node], around: _Around) -> str:
    names = {name for node in nodes for call in around.made.get(node, ()) for name in _within(call, around)}
    if kinds.is_mixer(names, around.trace.prefix, nodes):
        return "mixer"
    return "attention" if kinds.is_attention(names, around.trace.prefix) else "ffn"


def _within(call: Call, around: _Around) -> list[str]:
    """Classes of the modules that a call is inside of, below the block."""
    words = call.name.removeprefix(f"{around.block}.").split(".") if call.name != around.block else []
    paths = [".".join((around.block, *words[:length])) for length in range(1, len(words) + 1)]
    return [around.trace.classes[path] for path in paths if path in around.trace.classes]

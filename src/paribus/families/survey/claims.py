"""One model type as a row of claims, each with how it is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from paribus.families.survey import mixed, probing, reading
from paribus.families.survey.blocks import Block, block, norms_of, stacks
from paribus.families.survey.depth import Depth
from paribus.families.survey.feeding import feed_forward, ffn_name
from paribus.families.survey.graph import Call, Node, Trace, terms
from paribus.families.survey.kinds import Sublayer
from paribus.families.survey.sublayers import norms_queries, rotates

#: What a row has beside its type and kind.
COLUMNS = (
    "activation",
    "gated",
    "ffn",
    "norm",
    "embedding_norm",
    "placement",
    "position",
    "attention",
    "window",
    "qk_norm",
    "experts",
    "tied",
    "tokenizer",
    "algorithm",
)
#: How a claim is known.
EVIDENCE = {
    "config": "a key of the default config",
    "modules": "the modules of the built model, and what they give for numbers",
    "graph": "the graph of one forward pass without numbers",
    "mapping": "transformers' table of tokenizers",
    "rules": "the rules by which Paribus loads the family",
    "unknown": "not known",
}


@dataclass(frozen=True)
class Claim:
    """What is said, and how it is known: a key of `EVIDENCE`."""

    value: str
    known: str


#: The columns that a filled in key decides on.
_HANGS_ON = {
    "rope_parameters": ("position",),
    "n_routed_experts": ("experts",),
}
UNKNOWN = Claim("?", "unknown")
_NO = "no"
_GATED = {True: "yes", False: _NO, None: "other"}


def claims(
    model: nn.Module, config: Any, trace: Trace | None, *, filled: Collection[str] = ()
) -> dict[str, Claim]:
    """The claims on a built model; without a `trace` only those that modules and config give.

    Nothing is said of what hangs on keys that were `filled` in.
    """
    text = config.get_text_config(decoder=True)
    found = {
        "window": _claim(reading.window(text), "config"),
        "experts": _claim(reading.experts(text, model), "config"),
        "attention": _claim(reading.attention(text), "config"),
        "tied": _tied(model, text),
    }
    if trace is not None:
        found |= _from_graph(model, text, trace, found["attention"])
    ours = {column for name in filled for column in _HANGS_ON.get(name, ())}
    return {name: UNKNOWN if name in ours else found.get(name, UNKNOWN) for name in COLUMNS}


def _from_graph(model: nn.Module, config: Any, trace: Trace, attention: Claim) -> dict[str, Claim]:
    norms, made = norms_of(trace), trace.made()
    all_stacks = stacks(model, trace)
    stack = _main(all_stacks)
    blocks = [block(call, trace, norms, made) for call in stack]
    if {each.kind for one in blocks for each in one.sublayers} <= {"attention"}:  # a list for each sublayer
        blocks = [block(call, trace, norms, made) for calls in all_stacks for call in calls]
    sublayers = [each for one in blocks for each in one.sublayers]
    attending = [
        (index, each)
        for index, one in enumerate(blocks)
        for each in one.sublayers
        if each.kind == "attention"
    ]
    depth = Depth.of(model, config)
    mixing = [each for each in sublayers if each.kind == "mixer"]
    layers = [
        layer
        for each in sublayers
        if each.kind == "ffn"
        for layer in sorted(feed_forward(each, made), key=str)
    ]
    if not layers:  # inside a branch that attends, or in several modules
        inside = [mixed.tokenwise(call, trace) for call in stack]
        layers = [layer for each in inside for layer in sorted(feed_forward(each, made), key=str)]
    found = {
        "activation": _joined(name or "other" for name, _ in layers),
        "gated": _joined(_GATED[gated] for _, gated in layers),
        "ffn": _joined(ffn_name(*layer) or "other" for layer in layers),
        "norm": _norm(blocks, trace),
        "embedding_norm": _embedding_norm(stack, norms),
        "placement": _joined(each.placement or "other" for each in blocks),
        "position": _position(model, config, trace, attending, norms, depth),
        "qk_norm": _in_layers([(index, norms_queries(each, norms)) for index, each in attending], depth),
    }
    apart = all(each.placement is not None for each in blocks)
    if mixing and apart and not layers and not any(each.kind == "ffn" for each in sublayers):
        found["ffn"] = Claim("none", "graph")
    if not attending and mixing:
        found["attention"] = Claim("none, a mixer", "graph")
    elif mixing and attention.known != "unknown":
        found["attention"] = Claim(f"{attention.value}, a mixer", attention.known)
    elif attention.known == "unknown" and (heads := reading.attention_of_modules(model)):
        found["attention"] = Claim(heads, "modules")
    return found


def _main(found: list[list[Call]]) -> list[Call]:
    """The decoder's stack where there are several, else the longest."""
    decoders = [each for each in found if re.search("decoder", each[0].name)]
    return max(decoders or found, key=len, default=[])


def _embedding_norm(stack: list[Call], norms: Mapping[Node, Call]) -> Claim:
    """The norm that makes the stream before its first block."""
    if not stack:
        return UNKNOWN
    into = terms(stack[0].into[0], norms)
    found = [norms[node] for node in into if node in norms]
    return _joined([probing.norm(found[0].module) or "other"] if found else [_NO])


def _norm(blocks: Iterable[Block], trace: Trace) -> Claim:
    calls = [call for each in blocks for call in each.norms()] or list(norms_of(trace).values())
    return _joined((probing.norm(call.module) or "other" for call in calls), known="modules")


def _position(
    model: nn.Module,
    config: Any,
    trace: Trace,
    attending: Sequence[tuple[int, Sublayer]],
    norms: Mapping[Node, Call],
    depth: Depth,
) -> Claim:
    signs = []
    turned = dict.fromkeys((index for index, _ in attending), False)
    turned |= {index: True for index, each in attending if rotates(each, norms)}
    if any(turned.values()):
        signs.append("rope" + reading.rope(config) + depth.share(turned))
    if any(word == "alibi" for call in trace.calls for word in call.words) or reading.alibi(config):
        signs.append("alibi")
    for call in trace.calls:
        weight = getattr(call.module, "weight", None)
        label = f"{call.name.rsplit('.', 1)[-1]} {type(call.module).__name__}".lower()
        if weight is None or weight.dim() != 2 or not re.search("embed|wpe|bias", label):
            continue
        if re.search("relat|rel_", label):
            signs.append("relative")
        elif re.search("pos|wpe", label):
            fixed = "sinus" in label or not weight.requires_grad
            if not (fixed and any(turned.values())):  # such a table holds the angles
                signs.append("sinusoidal" if fixed else "learned")
    if any("sinus" in name.lower() for name in trace.classes.values()) and not signs:
        signs.append("sinusoidal")
    if signs:
        return Claim(" + ".join(dict.fromkeys(signs)), "graph" if any(turned.values()) else "modules")
    return Claim("none", "graph") if attending and not reading.hints_position(model, config) else UNKNOWN


def _tied(model: nn.Module, config: Any) -> Claim:
    try:
        into, out = model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[operator]
        return Claim("yes" if into.weight is out.weight else _NO, "modules")
    except (AttributeError, NotImplementedError, TypeError):
        said = getattr(config, "tie_word_embeddings", None)
        return UNKNOWN if said is None else Claim("yes" if said else _NO, "config")


def _in_layers(values: Sequence[tuple[int, str | None]], depth: Depth) -> Claim:
    """As `_joined`; where one value holds in some layers and nothing in the others, in how many."""
    there = {each for _, each in values if each is not None}
    if len(there) != 1 or there == {"other"}:
        return _joined(each or _NO for _, each in values)
    holds = dict.fromkeys((index for index, _ in values), False)
    holds |= {index: True for index, each in values if each is not None}
    return Claim(there.pop() + depth.share(holds), "graph")


def _joined(values: Iterable[str], *, known: str = "graph") -> Claim:
    """The values there are, the most frequent first; where as many are of two, by name."""
    found = [value for value, _ in sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))]
    if not found or found == ["other"]:
        return UNKNOWN
    return Claim(" + ".join(found), known)


def _claim(value: str | None, known: str) -> Claim:
    return UNKNOWN if value is None else Claim(value, known)

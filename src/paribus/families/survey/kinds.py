"""A part of a block and which kind it is: attention, a mixer over time without attention, or a feed-forward layer.

Classes say it where the graph does not; but a class is named after its model first (`RecurrentGemmaMlp`), so what
all of a model's classes begin with says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from paribus.families.survey.graph import Call, Node, kind, parents

_MIXER = re.compile(
    r"Mamba|Mixer|SSM|DeltaNet|DeltaAttention|Rwkv|Recurrent|LSTM|ShortConv|Lightning|LinearAttention|Fourier"
)
_ATTENTION = re.compile(r"attention|attn|mla", re.IGNORECASE)
#: Operations that bring one token to another, beside products of two activations.
_OVER_TIME = {"Convolution", "Cumsum", "Logcumsumexp", "Exp", "FftC2C", "FftR2C"}


@dataclass(frozen=True, kw_only=True)
class Sublayer:
    """One branch of the residual stream: the nodes it is made of, and the norms before and behind it."""

    kind: str  # attention, ffn or mixer
    nodes: frozenset[Node]
    before: Call | None
    behind: Call | None
    beside: bool = False  # reads the stream as it was before the other sublayers of its block


def crosses_time(nodes: Iterable[Node]) -> bool:
    """Whether an operation among them can bring one token to another."""
    return any(kind(node) in _OVER_TIME or attends((node,)) for node in nodes)


def attends(nodes: Iterable[Node]) -> bool:
    """Whether queries meet keys: a product of two tensors neither of which is a parameter."""
    return any(
        kind(node).startswith("ScaledDotProduct") or (kind(node) == "Bmm" and len(parents(node)) == 2)
        for node in nodes
    )


def is_mixer(names: Iterable[str], prefix: str, nodes: Collection[Node]) -> bool:
    """Whether one of these classes mixes over time without attention; one named after its model only if it does."""
    names = list(names)
    if any(_MIXER.search(name.removeprefix(prefix)) for name in names):
        return True
    named = any(_MIXER.search(name) for name in names) and crosses_time(nodes)
    return named and not (is_attention(names, prefix) and attends(nodes))


def is_attention(names: Iterable[str], prefix: str) -> bool:
    """Whether one of these classes is called attention."""
    return any(_ATTENTION.search(name.removeprefix(prefix)) for name in names)

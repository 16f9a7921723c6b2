"""What is tried of a part, by slot: a file each, whose `cases` builds the part at small odd sizes.

A part that has nothing to be held to is not in its slot's oracles.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from paribus import oracles
from paribus.registry import Card
from paribus.verify.case import Case, Setting
from paribus.verify.cases import activation, attention, ffn, model, norm, position, residual


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The cases of a part, and the names of the parts that there are oracles of."""

    cases: Callable[[Card, Setting], Iterator[Case]]
    oracles: Container[str]


#: `model` stands for whole models, which are no slot of the registry.
SLOTS: Mapping[str, Slot] = {
    "activation": Slot(cases=activation.cases, oracles=oracles.ACTIVATION),
    "ffn": Slot(cases=ffn.cases, oracles=oracles.FFN_LAYER),
    "norm": Slot(cases=norm.cases, oracles=oracles.NORM),
    "residual": Slot(cases=residual.cases, oracles=oracles.FINAL_NORM),
    "position": Slot(cases=position.cases, oracles=oracles.POSITION),
    "attention": Slot(cases=attention.cases, oracles=attention.KEY_HEADS),
    "model": Slot(cases=model.cases, oracles=model.ARCHITECTURES),
}

"""Position encodings: inside an attention layer, and each place they act on by itself, far from the start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paribus import oracles, registry
from paribus.ops.attention import Backend
from paribus.oracles import Array, Weights
from paribus.parts.position.base import Place, Position, State
from paribus.registry import Card
from paribus.verify.bounds import FLOAT32_ANGLES, FLOAT32_INSIDE, LAYER
from paribus.verify.case import Case, Setting
from paribus.verify.cases import attending
from paribus.verify.cases.variants import Options, label, variants

#: Far apart and few. They reach past the length that the model is made for, and past every clip and ramp.
_PLACES = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55)
_LENGTH, _TRAINED = _PLACES[-1] + 1, 40
_D, _H, _K = 6, 3, 16  # 8 pairs turn, from once in 6 tokens to once in 20,000; 3 heads have no power of two
_TRIED: tuple[Options, ...] = (
    {"layout": "interleaved"},
    {"base": 500.0, "fraction": 0.5},
    {"turning": 0.25},
    {"factor": 8.0, "original_length": 1000},
    {"factor": 8.0, "original_length": 20},
    {"slow": 2.0, "fast": 8.0, "original_length": 1000},
    {"truncate": False, "original_length": 1000},
    {"attention_factor": 1.3},
    {"low": 0.5, "high": 8.0},
    {"short_factor": [1.0 + i / 8 for i in range(8)], "long_factor": [2.0 + i for i in range(8)]},
    {"short_factor": [1.0 + i / 8 for i in range(8)], "original_length": 1000},
    {"scale_base": 20.0},
    {"scale": 0.25},
    {"offset": 2},
    {"max_distance": 20},
    {"max_distance": 20, "num_buckets": 8},
)


def cases(card: Card, setting: Setting) -> Iterator[Case]:
    """First as a stack uses it, causal and not; then every set of options at far positions."""
    for causal in _directions(card):
        yield _inside(card, setting, causal=causal)
    for options in tried(card):
        for causal in _directions(card) if not options else (True,):
            yield from _pieces(card, setting, options, causal=causal)


def tried(card: Card) -> Iterator[Options]:
    """The sets of options."""
    return variants(card, _TRIED)


def _directions(card: Card) -> tuple[bool, ...]:
    return (True,) if card.name == "xpos" else (True, False)  # xpos refuses a bidirectional stack, as it must


def _inside(card: Card, setting: Setting, *, causal: bool) -> Case:
    """Six tokens of a model made for five, or for six where it refuses more."""
    longest = attending.T if card.name == "learned" else 5
    sizes = {"d_model": attending.D, "num_heads": attending.H, "head_dim": attending.K}
    position = card.build(**sizes, max_seq_len=longest, causal=causal)
    attention = registry.get("attention", "mha").build(**sizes)
    module = attending.Attending(position=position, attention=attention)
    setting.place(module)
    assert isinstance(position, Position)
    backends: tuple[Backend, ...] = ("plain", "sdpa")
    if position.acts_on & {"score", "value"}:
        backends = ("plain",)
    return Case(
        name="causal" if causal else "bidirectional",
        module=module,
        forms={backend: module.form(backend) for backend in backends},
        oracle=attending.oracle(card.name, max_seq_len=longest, causal=causal),
        x=setting.tensor(attending.B, attending.T, attending.D, seed=3),
        bounds=LAYER.at_least(FLOAT32_INSIDE if _is_float32(position) else 0),
    )


def _is_float32(position: Position) -> bool:
    """Whether it computes numbers of its own, which is done in float32; tables that are learned are exact."""
    return bool(position.acts_on) and not list(position.parameters())


def _pieces(card: Card, setting: Setting, options: Options, *, causal: bool) -> Iterator[Case]:
    longest = _LENGTH if card.name == "learned" else _TRAINED
    sizes = {"d_model": _D, "num_heads": _H, "head_dim": _K, "max_seq_len": longest, "causal": causal}
    module = setting.place(card.build(**sizes, **options))
    assert isinstance(module, Position)
    program, paper = _Program(module, setting), _Paper(oracles.POSITION[card.name], longest, causal, options)
    named = label(options) or ("causal" if causal else "bidirectional")
    for place in sorted(module.acts_on):
        yield Case(
            name=f"far {place}, {named}",
            module=module,
            forms={"": getattr(program, place)},
            oracle=getattr(paper, place),
            x=setting.tensor(*_SHAPES[place], seed=3),
            bounds=LAYER.at_least(FLOAT32_ANGLES if _is_float32(module) else 0),
        )


#: What each place is a function of: embeddings, queries over keys, a factor, queries, probabilities.
_SHAPES: Mapping[Place, tuple[int, ...]] = {
    "embed": (2, len(_PLACES), _D),
    "rotate": (2, 1, _H, len(_PLACES), _K),
    "bias": (1, 1, 1),
    "score": (1, _H, len(_PLACES), _K),
    "value": (1, _H, len(_PLACES), len(_PLACES)),
}


class _Program:
    """What the part makes of x in each place."""

    def __init__(self, position: Position, setting: Setting) -> None:
        self._position = position
        self._places = torch.tensor(_PLACES, device=setting.device)

    def _state(self) -> State:
        return self._position.state(self._places, self._places, length=_LENGTH)

    def embed(self, x: Tensor) -> Tensor:
        return self._position.embed(x, self._places)

    def rotate(self, x: Tensor) -> Tensor:
        return torch.stack(self._position.rotate(x[0], x[1], self._state()))

    def bias(self, x: Tensor) -> Tensor:
        bias = self._position.bias(self._state())
        assert bias is not None
        return (bias * x).to(x.dtype)

    def score(self, x: Tensor) -> Tensor:
        return self._position.score(x, self._state())

    def value(self, x: Tensor) -> Tensor:
        return self._position.value(x, self._state())


class _Paper:
    """The same by the oracle."""

    def __init__(self, exact: oracles.PositionOracle, longest: int, causal: bool, options: Options) -> None:
        self._exact: Any = exact  # one of its places may be None: then there is nothing to hold the part to
        self._longest, self._causal, self._options = longest, causal, options
        self._places = np.array(_PLACES, dtype=float)

    def embed(self, w: Weights, x: Array) -> Array:
        return self._exact.embed(w, x, self._places, **self._options)

    def rotate(self, w: Weights, x: Array) -> Array:
        lengths = (_LENGTH, self._longest)
        both = zip(x, "qk", strict=True)
        return np.stack(
            [self._exact.rotate(each, self._places, which, *lengths, **self._options) for each, which in both]
        )

    def bias(self, w: Weights, x: Array) -> Array:
        return self._exact.bias(w, self._places, self._places, _H, self._causal, **self._options) * x

    def score(self, w: Weights, x: Array) -> Array:
        return self._exact.score(w, x, self._places, self._places, **self._options)

    def value(self, w: Weights, x: Array) -> Array:
        return self._exact.value(w, x, self._places, self._places, **self._options)

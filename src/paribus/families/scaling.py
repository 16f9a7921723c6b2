"""A model like another one, of any number of parameters.

The number sets a scale and the original the proportions: how deep for its width, how wide its feed-forward layers,
how many heads share a key, how wide a head is. Many shapes come near the number; the one that bends these least
is taken, and the width of its feed-forward layers then makes up what is missing. What is counted is the built model,
embeddings included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paribus.errors import RequestError
from paribus.families.anatomy import resized, retold
from paribus.families.meaning import num_kv_heads
from paribus.model.config import LAYERED, ModelConfig
from paribus.model.count import on_meta, params_at_any_depth
from paribus.model.transformer import slot_of

#: How far the parameters may be off the number that was asked for.
TOLERANCE = 0.05
#: Depth goes with this power of the width: GPT-3's models, from 12 layers of 768 to 96 of 12,288 (arXiv:2005.14165,
#: table 2.1), and about so those of OPT and Pythia.
_DEPTH = 0.75
_BENT = 1.25  # by how much the feed-forward layers' share of the width may move
_NARROWEST_HEAD = 8
_LONGEST_TURN = 4  # layers of a pattern of which no part of a turn is taken
_WIDE = 512  # from here on widths are multiples of 64
_FINALISTS = 8
# What bending costs, in units of a factor e in depth: a relative error, and heads half as wide.
_ERROR, _HALVED = 10.0, 0.25
#: Arguments that a size sets, unless they are given.
SIZES = ("d_model", "d_ff", "num_layers", "encoder_layers", "num_heads", "num_kv_heads", "head_dim")


def scaled(
    original: ModelConfig,
    *,
    vocab_size: int,
    max_seq_len: int,
    size: int | None = None,
    given: Mapping[str, Any] | None = None,
) -> ModelConfig:
    """A model of the parts and proportions of `original` with about `size` parameters; None: of its own sizes.

    `given` are arguments that stand as they are, sizes among them. The parameters are those of the whole model, its
    embeddings for `vocab_size` tokens included. d_model is a multiple of 8 (from 512 on of 64) and, where it is so in
    the original, of head_dim. Raises `RequestError` if nothing in these proportions comes within 5 % of `size`.
    """
    given = dict(given or {})
    fields = retold(original, vocab_size=vocab_size, max_seq_len=max_seq_len) | given
    if size is None:
        return ModelConfig(**(resized(original, fields, _own(original, given)) | given))
    if size < 1:
        raise RequestError(f"a scale is a number of parameters, at least 1; it is {size}")
    search = _Search.of(original, ModelConfig(**_whole(original, fields, given)), given, size)
    finalists = sorted(search.shapes(), key=search.guessed_cost)[:_FINALISTS]
    found = []
    refusal: RequestError | None = None
    for shape in finalists:
        try:
            found.append(_fitted(search, fields, shape))
        except RequestError as error:
            refusal = error
    if not found:
        raise refusal or RequestError(f"no model of these sizes has about {size:,} parameters")
    params, _, config = min(found, key=lambda each: each[1])
    if abs(params / size - 1) > TOLERANCE:
        raise RequestError(
            f"no model of these proportions has about {size:,} parameters: the nearest has {params:,}, with d_model "
            f"{config.d_model}, {config.num_layers} layers and a vocabulary of {config.vocab_size:,}; give another scale"
            + (" or fewer fixed sizes" if given.keys() & set(SIZES) else "")
        )
    return config


def _own(original: ModelConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of the original, but for those that are given and what goes by them."""
    sizes = {name: getattr(original, name) for name in SIZES}
    if "num_layers" in given and original.encoder_layers:
        sizes["encoder_layers"] = max(1, round(given["num_layers"] * _encoder_share(original)))
    if "d_model" in given:
        width = given["d_model"] / original.d_model
        sizes["d_ff"] = max(1, round(original.d_ff * width))
    if "num_heads" in given:
        sizes |= _heads(original, given["num_heads"], None, given)
    elif "d_model" in given:
        sizes |= _heads_across(original, given["d_model"], given)
    return sizes | {name: given[name] for name in SIZES if name in given}


def _heads_across(original: ModelConfig, d_model: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Heads over another width, as wide as before where they divide it, else half as wide, and so on."""
    group = _group(original)
    for head_dim in _head_dims(original, given):
        if not _whole_heads(original):
            share = original.num_heads * d_model / original.d_model
            return _heads(original, max(group, round(share / group) * group), head_dim, given)
        if d_model % (head_dim * group) == 0:
            return _heads(original, d_model // head_dim, head_dim, given)
    return _heads(original, original.num_heads, None, given)


def _whole(original: ModelConfig, fields: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The original with the parts that are given, whose layers say what a layer costs."""
    parts = {name: value for name, value in given.items() if name not in SIZES}
    return {**fields, **{name: getattr(original, name) for name in SIZES}, **parts}


def _encoder_share(original: ModelConfig) -> float:
    return (original.encoder_layers or original.num_layers) / original.num_layers


def _group(original: ModelConfig) -> int:
    """Heads that share a key, where there are several keys: the number of heads is a multiple of it."""
    heads, keys = original.num_heads, num_kv_heads(original)
    return heads // keys if 1 < keys < heads else 1


def _whole_heads(original: ModelConfig) -> bool:
    """Whether the heads together are as wide as the model."""
    assert original.head_dim is not None
    return original.num_heads * original.head_dim == original.d_model


def _head_dims(original: ModelConfig, given: Mapping[str, Any]) -> list[int]:
    """Widths of a head, the original's first."""
    if "head_dim" in given:
        return [given["head_dim"]]
    assert original.head_dim is not None
    found = [original.head_dim]
    while found[-1] % 2 == 0 and found[-1] // 2 >= _NARROWEST_HEAD:
        found.append(found[-1] // 2)
    return found


def _heads(
    original: ModelConfig, heads: int, head_dim: int | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Heads, and as many of keys and values as the original has for so many."""
    keys = None if original.num_kv_heads is None else max(1, heads // _group(original))
    if original.num_kv_heads == original.num_heads:
        keys = heads
    return {
        "num_heads": heads,
        "num_kv_heads": given.get("num_kv_heads", keys),
        "head_dim": given.get("head_dim", head_dim),
    }


@dataclass(frozen=True)
class _Shape:
    d_model: int
    num_layers: int
    num_heads: int
    head_dim: int
    d_ff: int


@dataclass(frozen=True)
class _Search:
    """The parameters of the original, by how they grow, and what is asked for."""

    original: ModelConfig
    given: Mapping[str, Any]
    size: int
    attention: float  # of a layer
    ffn: float  # of a layer
    rest: float  # of a layer
    outside: float

    @classmethod
    def of(cls, original: ModelConfig, whole: ModelConfig, given: Mapping[str, Any], size: int) -> _Search:
        found = {"attention": 0, "ffn": 0, "rest": 0, "outside": 0}
        for name, parameter in on_meta(whole).named_parameters():
            slot = slot_of(name) if ".blocks." in name else "outside"
            found[slot if slot in found else "rest"] += parameter.numel()
        layers = original.num_layers
        return cls(
            original,
            given,
            size,
            attention=found["attention"] / layers,
            ffn=found["ffn"] / layers,
            rest=found["rest"] / layers,
            outside=found["outside"],
        )

    def shapes(self) -> Iterator[_Shape]:
        """Shapes of about the size, by an estimate: a layer's matrices grow with the product of their widths."""
        for head_dim in _head_dims(self.original, self.given):
            for d_model, heads in self._widths(head_dim):
                width = d_model / self.original.d_model
                d_ff = self.given.get("d_ff", _round_width(self.original.d_ff * width))
                fixed, layer = self._guess(d_model, heads, head_dim, d_ff)
                for layers in self._depths((self.size - fixed) / layer):
                    yield _Shape(d_model, layers, heads, head_dim, d_ff)
                if fixed + layer > 2 * self.size:
                    break

    def _depths(self, wanted: float) -> set[int]:
        """Whole turns of a short pattern over the layers, as the original has them."""
        if "num_layers" in self.given:
            return {self.given["num_layers"]}
        turn = math.lcm(*(len(self.original.specs(slot)) for slot in LAYERED))
        turn = turn if turn <= _LONGEST_TURN else 1
        return {max(turn, round_(wanted / turn) * turn) for round_ in (math.floor, math.ceil)}

    def _widths(self, head_dim: int) -> Iterator[tuple[int, int]]:
        """d_model with its number of heads, rising."""
        original, group = self.original, _group(self.original)
        assert original.head_dim is not None
        whole = _whole_heads(original)
        unit = math.lcm(head_dim * group if whole else head_dim, 8)
        d_model = 0
        while True:
            d_model += unit if d_model + unit < _WIDE else math.lcm(unit, 64) - d_model % math.lcm(unit, 64)
            at = self.given.get("d_model", d_model)
            share = at * original.num_heads * original.head_dim / original.d_model / head_dim
            heads = self.given.get("num_heads", max(group, round(share / group) * group))
            if not whole or "head_dim" in self.given or at == heads * head_dim:
                yield at, heads
            if "d_model" in self.given or ("num_heads" in self.given and at > heads * head_dim):
                return

    def _guess(self, d_model: int, heads: int, head_dim: int, d_ff: int) -> tuple[float, float]:
        """Parameters outside the layers and of a layer."""
        original = self.original
        assert original.head_dim is not None
        width = d_model / original.d_model
        attended = heads * head_dim / original.num_heads / original.head_dim
        layer = (
            self.attention * width * attended + self.ffn * width * d_ff / original.d_ff + self.rest * width
        )
        return self.outside * width, layer

    def guessed_cost(self, shape: _Shape) -> float:
        """What a shape bends, once its feed-forward layers have made up what they can."""
        fixed, layer = self._guess(shape.d_model, shape.num_heads, shape.head_dim, shape.d_ff)
        missing = self.size - fixed - shape.num_layers * layer
        ffn = shape.num_layers * self.ffn * shape.d_model / self.original.d_model
        ffn *= shape.d_ff / self.original.d_ff
        bent = 1.0 if "d_ff" in self.given else min(max(1 + missing / ffn, 1 / _BENT), _BENT)
        return self.cost(shape, error=(missing - (bent - 1) * ffn) / self.size, bent=bent)

    def cost(self, shape: _Shape, *, error: float, bent: float) -> float:
        """How far a shape is from the size and from the proportions of the original."""
        original = self.original
        assert original.head_dim is not None
        depth = original.num_layers * (shape.d_model / original.d_model) ** _DEPTH
        return (
            _ERROR * abs(error)
            + abs(math.log(bent))
            + abs(math.log(shape.num_layers / depth))
            + _HALVED * math.log2(original.head_dim / shape.head_dim)
        )


def _fitted(search: _Search, fields: Mapping[str, Any], shape: _Shape) -> tuple[int, float, ModelConfig]:
    """A shape with its feed-forward layers as wide as the size wants: parameters, cost, and the model."""
    model = _model(search, fields, shape, shape.d_ff)
    params = params_at_any_depth(model)
    d_ff = shape.d_ff
    if "d_ff" not in search.given:
        each = (params_at_any_depth(_model(search, fields, shape, d_ff + 8)) - params) / 8
        wanted = d_ff + (search.size - params) / each if each else d_ff
        d_ff = _round_width(min(max(wanted, shape.d_ff / _BENT), shape.d_ff * _BENT))
        model = _model(search, fields, shape, d_ff)
        params = params_at_any_depth(model)
    cost = search.cost(shape, error=params / search.size - 1, bent=d_ff / shape.d_ff)
    return params, cost, model


def _model(search: _Search, fields: Mapping[str, Any], shape: _Shape, d_ff: int) -> ModelConfig:
    original = search.original
    sizes = {"d_model": shape.d_model, "num_layers": shape.num_layers, "d_ff": d_ff}
    sizes |= _heads(original, shape.num_heads, shape.head_dim, search.given)
    if original.encoder_layers is not None:
        encoder = max(1, round(shape.num_layers * _encoder_share(original)))
        sizes["encoder_layers"] = search.given.get("encoder_layers", encoder)
    return ModelConfig(**{**resized(original, fields, sizes), **search.given})


def _round_width(width: float) -> int:
    unit = 64 if width >= 4 * _WIDE else 8
    return max(unit, round(width / unit) * unit)

"""What a model is made of: names of parts and sizes, and nothing that can be worked out from them.

Every combination is tried when a config is made: each part is built once without memory, so what cannot be
is refused here, with the part's own reason, and not deep in a forward pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from paribus import registry
from paribus.errors import RequestError, nearest
from paribus.model.head import HeadTransform
from paribus.model.meta import shapes_only
from paribus.model.sizes import Architecture, check_sizes
from paribus.parts.ffn.replay import Memory
from paribus.parts.position.base import Position
from paribus.parts.residual.base import Depth, Residual

#: A part by name, or a mapping with its `name` and options for its constructor.
PartSpec = str | Mapping[str, Any]
#: One part for every layer, or a pattern of parts that repeats over the layers.
LayeredSpec = PartSpec | Sequence[PartSpec]

#: Arguments that the model gives to the parts of each slot; options of a `PartSpec` may not name them.
GIVEN = {
    "activation": {"width"},
    "ffn": {"d_model", "d_ff"},
    "norm": {"d_model"},
    "residual": {"sublayers", "depth", "norm"},
    "position": {"d_model", "head_dim", "num_heads", "max_seq_len", "causal"},
    "attention": {"d_model", "num_heads", "head_dim", "num_kv_heads", "cross"},
}
#: Slots of a model; activations are options of its feed-forward layers.
SLOTS = tuple(slot for slot in GIVEN if slot != "activation")
#: Slots whose part may differ from layer to layer.
LAYERED = ("ffn", "position", "attention")


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """One stack of a model: which, how deep, who sees whom, and its norms at both ends."""

    depth: Depth
    causal: bool
    sublayers: tuple[str, ...]
    embedding_norm: bool
    final_norm: bool


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A Transformer by its parts and sizes.

    `d_ff` is the hidden width of the feed-forward layer as that layer has it, `head_dim` defaults to
    d_model / num_heads, `num_kv_heads` to num_heads. `ffn`, `position` and `attention` may be lists: patterns
    that repeat over the layers, whose number they divide. `architecture` is decoder (causal), encoder
    (bidirectional) or encoder_decoder, where `num_layers` counts the decoder's layers and `encoder_layers`
    (default: as many) the encoder's. `embedding_norm` and `final_norm` put a norm after the embedding and
    before the head or leave it out; by default the residual placement decides. Embeddings are multiplied by
    `embedding_scale`, logits by `logit_scale`, and then capped to `logit_softcap` · tanh(logit / logit_softcap).
    `segments` is how many kinds of tokens (BERT's token types) have a vector that is added to the embedding.
    `head_bias` gives the head a bias, tied or not. `head_transform`, the name of an activation or a mapping with it
    (and its options, and `bias`, true unless given), puts a matrix [d_model, d_model], that activation and a norm
    before the head, as BERT has for masked tokens.
    `ffn_memory` is the `memory` of every feed-forward layer that is not given its own: "keep", "half" (half of what
    is as wide as d_ff is kept for the backward pass, for 11 % more of a gated layer's FLOPs) or "none" (nothing; 22 %
    more, 17 % of an ungated one's).
    Raises `RequestError` for impossible sizes, unknown parts and parts that cannot stand together.

    >>> ModelConfig(vocab_size=257, d_model=96, d_ff=256, num_layers=2, num_heads=3, ffn="swiglu")
    """

    vocab_size: int
    d_model: int
    d_ff: int
    num_layers: int
    num_heads: int
    num_kv_heads: int | None = None
    head_dim: int | None = None
    max_seq_len: int = 1024
    ffn: LayeredSpec = "swiglu"
    norm: PartSpec = "rmsnorm"
    residual: PartSpec = "pre"
    position: LayeredSpec = "rope"
    attention: LayeredSpec = "mha"
    tie_embeddings: bool = False
    architecture: Architecture = "decoder"
    encoder_layers: int | None = None
    embedding_norm: bool | None = None
    final_norm: bool | None = None
    embedding_scale: float = 1.0
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    segments: int = 0
    head_bias: bool = False
    head_transform: PartSpec | None = None
    ffn_memory: Memory = "keep"

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.head_dim is None:
            if self.d_model % self.num_heads:
                raise RequestError(
                    f"d_model {self.d_model} is not a multiple of num_heads {self.num_heads}; give head_dim"
                )
            object.__setattr__(self, "head_dim", self.d_model // self.num_heads)
        for slot in SLOTS:
            self._check_options(slot)
        with shapes_only():
            self._check_parts()

    # --- parts -----------------------------------------------------------------------------------------

    def specs(self, slot: str) -> tuple[PartSpec, ...]:
        """The pattern of a slot's parts over the layers; one of length 1 where all layers are alike."""
        spec: LayeredSpec = getattr(self, slot)
        if isinstance(spec, (str, Mapping)):
            return (spec,)
        if not isinstance(spec, Sequence):
            raise RequestError(f"{slot} must be a name or a mapping with a name; it is {spec!r}")
        return tuple(spec)

    def part(self, slot: str, layer: int = 0) -> tuple[registry.Card, dict[str, Any]]:
        """The card of a slot's part in a layer and the options given with it."""
        specs = self.specs(slot)
        name, options = _named(slot, specs[layer % len(specs)])
        return registry.get(slot, name), options

    def part_names(self) -> dict[str, str]:
        """Canonical part name by slot; the names of a pattern are joined by commas."""
        return {
            slot: ",".join(self.part(slot, layer)[0].name for layer in range(len(self.specs(slot))))
            for slot in SLOTS
        }

    def build_ffn(self, layer: int = 0) -> nn.Module:
        """The feed-forward layer of a layer."""
        card, options = self.part("ffn", layer)
        if self.ffn_memory != "keep" and "memory" not in options:
            if "memory" not in card.allowed_options():
                raise RequestError(
                    f"ffn_memory is {self.ffn_memory!r}, and ffn {card.name!r} has no option memory; without one "
                    "only 'keep' will do"
                )
            options["memory"] = self.ffn_memory
        return card.build(d_model=self.d_model, d_ff=self.d_ff, **options)

    def build_norm(self) -> nn.Module:
        """One norm over d_model features."""
        card, options = self.part("norm")
        return card.build(d_model=self.d_model, **options)

    def build_residual(self, depth: Depth) -> Residual:
        """The placement for a block of the stack that `depth` names."""
        card, options = self.part("residual")
        return cast(
            Residual,
            card.build(sublayers=self.sublayers(depth.stack), depth=depth, norm=self.build_norm, **options),
        )

    def build_position(self, layer: int = 0, *, causal: bool = True) -> Position:
        """The position encoding of a layer."""
        card, options = self.part("position", layer)
        return cast(
            Position,
            card.build(
                d_model=self.d_model,
                head_dim=self.head_dim,
                num_heads=self.num_heads,
                max_seq_len=self.max_seq_len,
                causal=causal,
                **options,
            ),
        )

    def build_attention(self, layer: int = 0, *, cross: bool = False) -> nn.Module:
        """The attention of a layer; with `cross` the one that reads the encoder's output."""
        card, options = self.part("attention", layer)
        if self.num_kv_heads is not None:
            options["num_kv_heads"] = self.num_kv_heads
        return card.build(
            d_model=self.d_model, num_heads=self.num_heads, head_dim=self.head_dim, cross=cross, **options
        )

    def build_head_transform(self) -> nn.Module:
        """What stands between the last layer's stream and the head's matrix."""
        if self.head_transform is None:
            return nn.Identity()
        name, options = _named("head_transform", self.head_transform)
        return HeadTransform(
            d_model=self.d_model,
            activation=name,
            bias=options.pop("bias", True),
            activation_options=options,
            norm=self.build_norm(),
        )

    # --- stacks ----------------------------------------------------------------------------------------

    def sublayers(self, stack: str) -> tuple[str, ...]:
        """Names of what a block of this stack runs, in order."""
        crosses = stack == "decoder" and self.architecture == "encoder_decoder"
        return ("attention", "cross_attention", "ffn") if crosses else ("attention", "ffn")

    def stacks(self) -> dict[str, StackConfig]:
        """The stacks of the architecture by name, the encoder first."""
        encoder_layers = self.encoder_layers or self.num_layers
        counts = {
            "decoder": (0, self.num_layers),
            "encoder": (self.num_layers, 0),
            "encoder_decoder": (encoder_layers, self.num_layers),
        }[self.architecture]
        stacks = {}
        for name, layers in zip(("encoder", "decoder"), counts, strict=True):
            if not layers:
                continue
            depth = Depth(stack=name, encoder_layers=counts[0], decoder_layers=counts[1])  # type: ignore[arg-type]
            with shapes_only():
                residual = self.build_residual(depth)
            stacks[name] = StackConfig(
                depth=depth,
                causal=name == "decoder",
                sublayers=self.sublayers(name),
                embedding_norm=residual.embedding_norm
                if self.embedding_norm is None
                else self.embedding_norm,
                final_norm=residual.final_norm if self.final_norm is None else self.final_norm,
            )
        return stacks

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `ModelConfig(**data)` takes back."""
        return dataclasses.asdict(self)

    # --- checks ----------------------------------------------------------------------------------------

    def _check_options(self, slot: str) -> None:
        specs = self.specs(slot)
        if len(specs) > 1 and slot not in LAYERED:
            raise RequestError(f"{slot} is one part for all layers; only {', '.join(LAYERED)} may be lists")
        depths = {self.num_layers, self.encoder_layers or self.num_layers}
        if not specs or any(layers % len(specs) for layers in depths):
            layers = " and ".join(str(layers) for layers in sorted(depths))
            raise RequestError(
                f"the list of {slot} parts repeats over the layers, so its length must divide {layers}; it has "
                f"{len(specs)}"
            )
        for layer in range(len(specs)):
            card, options = self.part(slot, layer)
            allowed = card.allowed_options() - GIVEN[slot]
            for option in options:
                if option not in allowed:
                    hint = nearest(option, allowed) if allowed else "it has none"
                    raise RequestError(f"{slot} {card.name!r} has no option {option!r}; {hint}")

    def _check_parts(self) -> None:
        """Build one of everything that is different."""
        for stack in self.stacks().values():
            positions = [
                self.build_position(layer, causal=stack.causal)
                for layer in range(len(self.specs("position")))
            ]
            if len(positions) > 1 and any("embed" in position.acts_on for position in positions):
                raise RequestError(
                    "positions that are added to the embeddings reach every layer, so a list of positions cannot "
                    f"name them; it is {list(self.specs('position'))!r}"
                )
            for layer in range(len(self.specs("attention"))):
                for sublayer in stack.sublayers[:-1]:
                    self.build_attention(layer, cross=sublayer == "cross_attention")
        for layer in range(len(self.specs("ffn"))):
            self.build_ffn(layer)
        self.build_head_transform()


def _named(field: str, spec: Any) -> tuple[str, dict[str, Any]]:
    """The name in a `PartSpec` and the options beside it."""
    if isinstance(spec, str):
        return spec, {}
    options = dict(spec) if isinstance(spec, Mapping) else {}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise RequestError(f"{field} must be a name or a mapping with a name; it is {spec!r}")
    return name, options

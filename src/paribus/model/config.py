"""What a model is made of: names of parts and sizes, and nothing that can be worked out from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paribus import registry
from paribus.errors import RequestError, nearest

#: A part by name, or a mapping with its `name` and options for its constructor.
PartSpec = str | Mapping[str, Any]

#: Arguments that the model gives to the parts of each slot; options of a `PartSpec` may not name them.
_GIVEN = {
    "ffn": {"d_model", "d_ff"},
    "norm": {"d_model"},
    "residual": {"sublayers", "num_layers", "norm"},
    "position": {"d_model", "head_dim", "max_seq_len"},
    "attention": {"d_model", "num_heads", "head_dim"},
}
SLOTS = tuple(_GIVEN)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A causal Transformer by its parts and sizes.

    `d_ff` is the hidden width of the feed-forward layer as that layer has it, `head_dim` defaults to
    d_model / num_heads. Raises `RequestError` for impossible sizes and unknown parts.

    >>> ModelConfig(vocab_size=257, d_model=96, d_ff=256, num_layers=2, num_heads=3, ffn="swiglu")
    """

    vocab_size: int
    d_model: int
    d_ff: int
    num_layers: int
    num_heads: int
    head_dim: int | None = None
    max_seq_len: int = 1024
    ffn: PartSpec = "swiglu"
    norm: PartSpec = "rmsnorm"
    residual: PartSpec = "pre"
    position: PartSpec = "rope"
    attention: PartSpec = "mha"
    tie_embeddings: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads", "head_dim", "max_seq_len"):
            size = getattr(self, name)
            if name == "head_dim" and size is None:
                continue
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise RequestError(f"{name} must be a whole number of at least 1; it is {size!r}")
        if self.head_dim is None:
            if self.d_model % self.num_heads:
                raise RequestError(
                    f"d_model {self.d_model} is not a multiple of num_heads {self.num_heads}; give head_dim"
                )
            object.__setattr__(self, "head_dim", self.d_model // self.num_heads)
        for slot in SLOTS:
            card, options = self.part(slot)
            allowed = card.allowed_options() - _GIVEN[slot]
            for option in options:
                if option not in allowed:
                    hint = nearest(option, allowed) if allowed else "it has none"
                    raise RequestError(f"{slot} {card.name!r} has no option {option!r}; {hint}")

    def part(self, slot: str) -> tuple[registry.Card, dict[str, Any]]:
        """The card of a slot's part and the options given with it."""
        spec: PartSpec = getattr(self, slot)
        if isinstance(spec, str):
            return registry.get(slot, spec), {}
        options = dict(spec)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise RequestError(f"{slot} must be a name or a mapping with a name; it is {dict(spec)!r}")
        return registry.get(slot, name), options

    def part_names(self) -> dict[str, str]:
        """Canonical part name by slot."""
        return {slot: self.part(slot)[0].name for slot in SLOTS}

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `ModelConfig(**data)` takes back."""
        return dataclasses.asdict(self)
